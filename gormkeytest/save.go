package gormkeytest

import (
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

var saveCases = []testCase{
	{"integrity/R06 Save brings nothing back to life", saveEnded},
	{"integrity/Save changes what is there", saveLiving},
}

// household is a user whose keys and sessions are fields.
type household struct {
	gormkey.User
	Email    string                           `gorm:"size:255;uniqueIndex"`
	Keys     []gormkey.Key[household]         `gorm:"foreignKey:UserID"`
	Sessions []gormkey.Session[household]     `gorm:"foreignKey:UserID"`
	Token    *gormkey.OneTimeToken[household] `gorm:"foreignKey:UserID"`
}

func saveEnded(s *suite) {
	f := open[household](s, s.newDB(s.T), gormkey.WithOneTimeTokens())
	ctx := s.Context()
	ada := &household{Email: "ada@example.com"}
	must(s, f.CreateUser(ctx, ada, email(ada.Email), email("second@example.com")))
	session, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	kept, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	_, err = f.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, "", hour)
	must(s, err)
	var loaded household
	must(s, f.db.Preload("Keys").Preload("Sessions").Preload("Token").First(&loaded, "id = ?", ada.ID).Error)
	key := loaded.Keys[1]
	if key.ID != "email:second@example.com" {
		key = loaded.Keys[0]
	}
	must(s, f.EndSessionOfAnyone(ctx, session.ID)) // which also voids the token
	must(s, f.RemoveKey(ctx, ada.ID, keyID("email", "second@example.com")))
	before := rows(s, f.db)

	stale := func() *gormkey.Session[household] { copied := *session; return &copied }
	for name, c := range map[string]struct {
		save func(db *gorm.DB) error
		want error
	}{
		"a session":                  {func(db *gorm.DB) error { return db.Save(stale()).Error }, gormkey.ErrInvalidSession},
		"a slice of sessions":        {func(db *gorm.DB) error { return db.Save([]*gormkey.Session[household]{kept, stale()}).Error }, gormkey.ErrInvalidSession},
		"a slice of session structs": {func(db *gorm.DB) error { return db.Save([]gormkey.Session[household]{*session}).Error }, gormkey.ErrInvalidSession},
		"a session, without hooks":   {func(db *gorm.DB) error { return db.Session(&gorm.Session{SkipHooks: true}).Save(stale()).Error }, gormkey.ErrInvalidSession},
		"a session, without GORM's transaction": {func(db *gorm.DB) error {
			return db.Session(&gorm.Session{SkipDefaultTransaction: true}).Save(stale()).Error
		}, gormkey.ErrInvalidSession},
		"a key":              {func(db *gorm.DB) error { return db.Save(&key).Error }, gormkey.ErrKeyNotFound},
		"a token":            {func(db *gorm.DB) error { return db.Save(loaded.Token).Error }, gormkey.ErrInvalidToken},
		"the user with them": {func(db *gorm.DB) error { return db.Save(&loaded).Error }, nil},
		"an update of the user with them": {func(db *gorm.DB) error {
			return db.Updates(&loaded).Error
		}, nil},
		"the user with all of them": {func(db *gorm.DB) error {
			return db.Session(&gorm.Session{FullSaveAssociations: true}).Save(&loaded).Error
		}, nil},
	} {
		err := c.save(f.db)
		if c.want != nil {
			wantErr(s, name, err, c.want)
		} else if err == nil {
			s.Errorf("%s: got no error", name)
		}
		equal(s, name+": rows", rows(s, f.db), before)
		equal(s, name+": tokens", count(s, f.db, "user_token"), 0)
	}
	if f.db.Name() != "sqlite" || !s.batches {
		must(s, f.db.Transaction(func(tx *gorm.DB) error { // whose other statements stand
			return tx.Transaction(func(tx *gorm.DB) error {
				_ = tx.Save(stale())
				return nil
			})
		}))
	}
	equal(s, "rows", rows(s, f.db), before)
	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "the ended session", err, gormkey.ErrInvalidSession)
	_, err = f.ValidateSession(ctx, kept.Token)
	must(s, err)
}

func saveLiving(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	d, err := f.OpenSession(ctx, ada.ID, as(device{Country: "NL"}))
	must(s, err)
	d.Country = "BE"
	must(s, f.db.Save(d).Error)
	must(s, f.db.Save(d).Error) // which changes nothing, so that GORM goes on to an upsert on MySQL
	must(s, f.db.Save([]*device{d}).Error)
	stored, err := f.ValidateSession(ctx, d.Token)
	must(s, err)
	equal(s, "country", stored.Country, "BE")
	ada.Name = "Ada"
	must(s, f.db.Save(ada).Error)
	equal(s, "sessions", count(s, f.db, "user_session"), 1)
	// What is new is created.
	must(s, f.db.Create(&gormkey.Key[account]{ID: "github:1", UserID: ada.ID}).Error)
	equal(s, "keys", count(s, f.db, "user_key"), 2)
	var nobody account
	must(s, f.db.Save(&account{Email: "new@example.com"}).Error)
	must(s, f.db.First(&nobody, "email = ?", "new@example.com").Error)
}
