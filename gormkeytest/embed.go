package gormkeytest

import (
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

var embedCases = []testCase{
	{"embed/structs with a prefix, whose fields are named as ours", embedPrefixed},
	{"embed/what GORM would not see is refused with its reason", embedRefused},
	{"embed/UpdatedAt of keys and sessions", embedUpdatedAt},
}

// address has fields whose names in Go are those of the embedded structs.
type address struct {
	ID             uint
	UserID         string `gorm:"size:16"`
	HashedPassword string `gorm:"size:16"`
	IdleExpires    int64
	City           string `gorm:"size:32"`
}

type resident struct {
	gormkey.User
	Home address `gorm:"embedded;embeddedPrefix:home_"`
	Name string  `gorm:"size:32"`
}

type residentKey struct {
	Seen address `gorm:"embedded;embeddedPrefix:seen_"`
	gormkey.Key[resident]
}

type residentSession struct {
	gormkey.Session[resident]
	From address `gorm:"embedded;embeddedPrefix:from_"`
}

func embedPrefixed(s *suite) {
	ctx := s.Context()
	f := openOf[resident, residentKey, residentSession](s, s.newDB(s.T))
	record := recordDDL(f.db)
	must(s, f.plugin.AutoMigrate(f.db))
	equalLists(s, "DDL of the second run", record.taken(), nil)
	u := &resident{Home: address{ID: 7, UserID: "x", City: "Oslo"}}
	must(s, f.CreateUser(ctx, u, email("u")))
	phone, err := f.SignIn(ctx, email("u"), as(residentSession{From: address{ID: 8, UserID: "y", IdleExpires: 1, City: "Bergen"}}))
	must(s, err)
	got, err := f.ValidateSession(ctx, phone.Token)
	must(s, err)
	equal(s, "session", got.From, phone.From)
	equal(s, "user", got.User.Home, u.Home)
	_, err = f.OverwritePassword(ctx, gormkey.Credentials{Provider: "email", ID: "u", Password: "another good password"}, "")
	must(s, err)
	_, err = f.ValidateSession(ctx, phone.Token)
	wantErr(s, "the session after it", err, gormkey.ErrInvalidSession)
	user, err := f.UpdateUserAttributes(ctx, u.ID, map[string]any{"home_id": 9, "home_city": "Tromsø"})
	must(s, err)
	equal(s, "user after an update", user.Home, address{ID: 9, UserID: "x", City: "Tromsø"})
	_, err = f.UpdateUserAttributes(ctx, u.ID, map[string]any{"id": "other"})
	wantErr(s, "the id as an attribute", err, gormkey.ErrInvalidArgument)
	findings, err := f.Audit(ctx)
	must(s, err)
	equalLists(s, "findings", problems(findings), nil)
	wantViolated(s, "a key of nobody", f.db.Create(&residentKey{Key: gormkey.Key[resident]{ID: "k", UserID: "nobody"}}).Error)
	must(s, f.db.Delete(&resident{}, "id = ?", u.ID).Error)
	equal(s, "rows", rows(s, f.db), [3]int64{})
}

type hidden struct{ gormkey.User }

type withHidden struct {
	hidden
	Email string `gorm:"size:64"`
}

type shown struct{ hidden }

type withHiddenBelow struct {
	shown
	Shown
}

// Shown has a name that GORM reads, and hides what is below it.
type Shown struct{ Note string }

type withPrefix struct {
	gormkey.User `gorm:"embeddedPrefix:auth_"`
}

type withIgnored struct {
	gormkey.User `gorm:"-"`
}

type hiddenKey struct{ gormkey.Key[account] }

type withHiddenKey struct {
	hiddenKey
	Label string `gorm:"size:16"`
}

type withPrefixedSession struct {
	gormkey.Session[account] `gorm:"embeddedPrefix:session_"`
}

type withOwnColumn struct {
	gormkey.User
	ID string `gorm:"column:own_id"`
}

func embedRefused(s *suite) {
	for name, c := range map[string]struct {
		use  func(db *gorm.DB) error
		want string // what the message must say
	}{
		"a base with a small letter":            {use[withHidden](), "embeds hidden, whose name begins with a small letter"},
		"a base with a small letter, two below": {use[withHiddenBelow](), "embeds shown, whose name begins with a small letter"},
		"a prefix":                              {use[withPrefix](), `the prefix "auth_"`},
		"a tag to ignore":                       {use[withIgnored](), "ignore the embedded User"},
		"an id of its own in another column":    {use[withOwnColumn](), "hides ID"},
		"a key whose base has a small letter":   {useOf[account, withHiddenKey, gormkey.Session[account]](), "embeds hiddenKey, whose name begins with a small letter"},
		"a session whose columns have a prefix": {useOf[account, gormkey.Key[account], withPrefixedSession](), `the prefix "session_"`},
	} {
		err := c.use(s.newDB(s.T))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			s.Errorf("%s: got %v, want a text with %q", name, err, c.want)
		}
	}
}

// tracked are a key and a session that know when they were last changed.
type trackedKey struct {
	gormkey.Key[account]
	CreatedAt time.Time
	UpdatedAt time.Time
}

type trackedSession struct {
	gormkey.Session[account]
	UpdatedAt time.Time
	Changed   int64  `gorm:"autoUpdateTime:milli"`
	Country   string `gorm:"size:2"`
}

func embedUpdatedAt(s *suite) {
	ctx := s.Context()
	db := s.newDB(s.T)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	db.Config.NowFunc = func() time.Time { return now }
	f := openOf[account, trackedKey, trackedSession](s, db)
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	must(s, db.Model(&trackedKey{}).Where("1 = 1").UpdateColumns(map[string]any{"created_at": now, "updated_at": now}).Error)
	id := "email:" + ada.Email
	for _, step := range []struct {
		name         string
		key, session bool // which of them changes
		act          func() error
	}{
		{"a check of the session", false, false, func() error { _, err := f.ValidateSession(ctx, session.Token); return err }},
		{"attributes of the session", false, true, func() error {
			_, err := f.UpdateSessionAttributes(ctx, session.ID, map[string]any{"country": "NO"})
			return err
		}},
		{"a renewal", false, true, func() error {
			f.clock.Advance(ActivePeriod + time.Minute)
			_, err := f.ValidateSession(ctx, session.Token)
			return err
		}},
		{"a new password", true, false, func() error {
			_, err := f.OverwritePassword(ctx, gormkey.Credentials{Provider: "email", ID: ada.Email, Password: "another good password"}, session.ID)
			return err
		}},
		{"a new name", true, false, func() error {
			id = "email:other@example.com"
			return f.RenameKey(ctx, ada.ID, keyID("email", ada.Email), "other@example.com")
		}},
	} {
		now = now.Add(time.Hour)
		before := now.Add(-time.Hour)
		must(s, step.act())
		var key trackedKey
		must(s, db.First(&key, "id = ?", id).Error)
		must(s, db.First(session, "id = ?", session.ID).Error)
		equal(s, step.name+": UpdatedAt of the key", key.UpdatedAt.Equal(now), step.key)
		equal(s, step.name+": CreatedAt of the key", key.CreatedAt.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), true)
		equal(s, step.name+": UpdatedAt of the session", session.UpdatedAt.Equal(now), step.session)
		equal(s, step.name+": milliseconds of the session", session.Changed == now.UnixMilli(), step.session)
		if !step.key && key.UpdatedAt.After(before) {
			s.Errorf("%s: the key's UpdatedAt is %v", step.name, key.UpdatedAt)
		}
	}
}
