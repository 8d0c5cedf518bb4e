package gormkeytest

import (
	"errors"
	"testing"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

var userCases = []testCase{
	{"user/create and get", userCreateAndGet},
	{"user/create with several keys or none", userCreateKeys},
	{"user/R34 create is all or nothing", userCreateAllOrNothing},
	{"user/R33 which duplicate", userDuplicates},
	{"user/update attributes", userUpdate},
	{"user/R29 reserved attributes", userReservedAttributes},
	{"user/delete takes keys and sessions", userDelete},
	{"user/soft delete", userSoftDelete},
	{"user/hooks and defaults of the model run", userModelHooks},
	{"user/associations do not come in", userAssociations},
}

func userCreateAndGet(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	equal(s, "length of a generated id", len(ada.ID), 15)
	got, err := f.GetUser(s.Context(), ada.ID)
	must(s, err)
	equal(s, "email", got.Email, ada.Email)
	equal(s, "default of the database", got.Role, "member")

	own := &account{User: gormkey.User{ID: "my-own-id"}, Email: "own@example.com"}
	must(s, f.CreateUser(s.Context(), own))
	got, err = f.GetUser(s.Context(), "my-own-id")
	must(s, err)
	equal(s, "own id", got.ID, "my-own-id")

	_, err = f.GetUser(s.Context(), "nobody")
	wantErr(s, "unknown user", err, gormkey.ErrUserNotFound)
}

func userCreateKeys(s *suite) {
	f := s.accounts()
	a := &account{Email: "a@example.com"}
	must(s, f.CreateUser(s.Context(), a, email("a@example.com"), gormkey.Proved("github", "42")))
	keys, err := f.UserKeys(s.Context(), a.ID)
	must(s, err)
	if len(keys) != 2 || !keys[0].PasswordDefined() || keys[1].PasswordDefined() || keys[1].ID != "github:42" {
		s.Fatalf("got keys %+v, want email with a password and github:42 without", keys)
	}
	b := &account{Email: "b@example.com"}
	must(s, f.CreateUser(s.Context(), b))
	keys, err = f.UserKeys(s.Context(), b.ID)
	must(s, err)
	equal(s, "keys of a user without", len(keys), 0)
}

func userCreateAllOrNothing(s *suite) {
	f := s.accounts()
	signUp(s, f, "ada")
	before := rows(s, f.db)
	second := &account{Email: "second@example.com"}
	err := f.CreateUser(s.Context(), second, gormkey.Proved("github", "1"), email("ada@example.com"))
	wantErr(s, "taken key", err, gormkey.ErrDuplicateKey)
	equal(s, "rows after the failure", rows(s, f.db), before)
	equal(s, "id given back", second.ID, "")
	must(s, f.CreateUser(s.Context(), second, email("second@example.com")))
}

func userDuplicates(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	err := f.CreateUser(ctx, &account{Email: ada.Email}, email("other@example.com"))
	wantErr(s, "taken email", err, gormkey.ErrDuplicateAttribute)
	if errors.Is(err, gormkey.ErrDuplicateKey) || errors.Is(err, gormkey.ErrDuplicateUser) {
		s.Errorf("taken email is also another duplicate: %v", err)
	}
	err = f.CreateUser(ctx, &account{User: gormkey.User{ID: ada.ID}, Email: "new@example.com"}, email("other@example.com"))
	wantErr(s, "taken user id", err, gormkey.ErrDuplicateUser)
	err = f.CreateUser(ctx, &account{User: gormkey.User{ID: "brand-new"}, Email: ada.Email})
	wantErr(s, "taken email with an own id", err, gormkey.ErrDuplicateAttribute)
	// A value that holds what some engine's message would hold for a duplicate key.
	must(s, f.CreateUser(ctx, &account{Email: "user_key.PRIMARY user_key_pkey user_key.id"}))
	err = f.CreateUser(ctx, &account{Email: "user_key.PRIMARY user_key_pkey user_key.id"})
	wantErr(s, "misleading value", err, gormkey.ErrDuplicateAttribute)
	_, err = f.AddKey(ctx, ada.ID, email(ada.Email))
	wantErr(s, "taken key", err, gormkey.ErrDuplicateKey)
	label := "x"
	must(s, second(f.AddKey(ctx, ada.ID, email("v1@example.com"), as(login{Verified: &label}))))
	_, err = f.AddKey(ctx, ada.ID, email("v2@example.com"), as(login{Verified: &label}))
	wantErr(s, "taken attribute of a key", err, gormkey.ErrDuplicateAttribute)
	if errors.Is(err, gormkey.ErrDuplicateKey) {
		s.Errorf("taken attribute of a key is also a taken key: %v", err)
	}
	if f.db.Name() == "sqlite" {
		return // where nobody else writes during a transaction
	}
	must(s, f.db.Transaction(func(tx *gorm.DB) error { // whose snapshot may be older than the row that is in the way
		if err := tx.Find(&[]login{}).Error; err != nil {
			return err
		}
		_, err := f.AddKey(ctx, ada.ID, email("later@example.com"))
		must(s, err)
		_, err = f.With(tx).AddKey(ctx, ada.ID, email("later@example.com"))
		wantErr(s, "key taken after the snapshot", err, gormkey.ErrDuplicateKey)
		return nil
	}, ofSnapshot(f.db)))
}

func userUpdate(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	bob := signUp(s, f, "bob")
	got, err := f.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Name": "Ada L.", "role": "admin"})
	must(s, err)
	if got.Name != "Ada L." || got.Role != "admin" || got.Email != ada.Email {
		s.Errorf("got %+v", got)
	}
	got, err = f.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Name": "Ada L."}) // the same value: 0 rows on MySQL
	must(s, err)
	equal(s, "name", got.Name, "Ada L.")
	got, err = f.UpdateUserAttributes(ctx, ada.ID, nil)
	must(s, err)
	equal(s, "nothing to set", got.Name, "Ada L.")
	_, err = f.UpdateUserAttributes(ctx, ada.ID, map[string]any{"email": bob.Email})
	wantErr(s, "taken email", err, gormkey.ErrDuplicateAttribute)
	_, err = f.UpdateUserAttributes(ctx, "nobody", map[string]any{"Name": "x"})
	wantErr(s, "unknown user", err, gormkey.ErrUserNotFound)
	other, err := f.GetUser(ctx, bob.ID)
	must(s, err)
	equal(s, "the other's name", other.Name, "bob")
}

func userReservedAttributes(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(s.Context(), email(ada.Email))
	must(s, err)
	before, err := f.GetUser(s.Context(), ada.ID)
	must(s, err)
	for _, name := range []string{
		"id", "ID", "Id", "iD", "`id`", `"id"`, "auth_user.id", "User.ID", "user_id", "nope", "", " id", "id ", "name = 'x', role",
		"Sessions", "name; DROP TABLE auth_user", "deleted_at", "name", // which is Name once more
	} {
		_, err := f.UpdateUserAttributes(s.Context(), ada.ID, map[string]any{name: "mallory", "Name": "changed"})
		wantErr(s, "user attribute "+name, err, gormkey.ErrInvalidArgument)
	}
	for _, name := range []string{
		"id", "ID", "Id", "user_id", "UserID", "USER_ID", "active_expires", "ActiveExpires", "idle_expires", "IdleExpires", "Idle_Expires",
		"absolute_expires", "AbsoluteExpires", "user_session.user_id", "`user_id`", "Session.UserID", "Token", "User", "Fresh", "nope",
	} {
		_, err := f.UpdateSessionAttributes(s.Context(), session.ID, map[string]any{name: "mallory", "Country": "NO"})
		wantErr(s, "session attribute "+name, err, gormkey.ErrInvalidArgument)
	}
	after, err := f.GetUser(s.Context(), ada.ID)
	must(s, err)
	equal(s, "user", *after, *before)
	got, err := f.ValidateSession(s.Context(), session.Token)
	must(s, err)
	equal(s, "country", got.Country, "XX")
	equal(s, "owner", got.UserID, ada.ID)
}

func userDelete(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	kept, err := f.SignIn(ctx, email(bob.Email))
	must(s, err)
	must(s, f.DeleteUser(ctx, ada.ID))
	equal(s, "rows left", rows(s, f.db), [3]int64{1, 1, 1})
	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "session of a deleted user", err, gormkey.ErrInvalidSession)
	_, err = f.ValidateSession(ctx, kept.Token)
	must(s, err)
	must(s, f.DeleteUser(ctx, ada.ID))
	must(s, f.DeleteUser(ctx, "nobody"))
	_, err = f.SignIn(ctx, email(ada.Email))
	wantErr(s, "sign-in of a deleted user", err, gormkey.ErrInvalidCredentials)
	signUp(s, f, "ada") // the key is free again

	// A plain GORM delete cascades by the foreign keys.
	must(s, f.db.Delete(&account{User: gormkey.User{ID: bob.ID}}).Error)
	equal(s, "rows left after a plain delete", rows(s, f.db), [3]int64{1, 1, 0})
}

// member is soft-deleted.
type member struct {
	gormkey.User
	Name      string         `gorm:"size:64"`
	DeletedAt gorm.DeletedAt `gorm:"index"`
}

func userSoftDelete(s *suite) {
	f := open[member](s, s.newDB(s.T))
	ctx := s.Context()
	m := &member{Name: "m"}
	must(s, f.CreateUser(ctx, m, email("m@example.com")))
	session, err := f.SignIn(ctx, email("m@example.com"))
	must(s, err)
	must(s, f.db.Delete(&member{}, "id = ?", m.ID).Error)
	equal(s, "rows after a plain soft delete", rows(s, f.db), [3]int64{1, 1, 1})

	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "session", err, gormkey.ErrInvalidSession)
	_, err = f.SignIn(ctx, email("m@example.com"))
	wantErr(s, "sign-in", err, gormkey.ErrInvalidCredentials)
	_, err = f.OpenSession(ctx, m.ID)
	wantErr(s, "new session", err, gormkey.ErrUserNotFound)
	_, err = f.AddKey(ctx, m.ID, email("m2@example.com"))
	wantErr(s, "new key", err, gormkey.ErrUserNotFound)
	_, err = f.GetUser(ctx, m.ID)
	wantErr(s, "get", err, gormkey.ErrUserNotFound)

	must(s, f.db.Unscoped().Model(&member{}).Where("id = ?", m.ID).Update("deleted_at", nil).Error)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)

	must(s, f.DeleteUser(ctx, m.ID))
	equal(s, "rows after DeleteUser of a soft-deleted model", rows(s, f.db), [3]int64{1, 0, 0})
}

// hooked sets its own id, counts its reads and refuses a name.
type hooked struct {
	gormkey.User
	Name  string `gorm:"size:64"`
	Found int    `gorm:"-"`
}

func (h *hooked) BeforeCreate(*gorm.DB) error {
	if h.Name == "refused" {
		return errors.New("name is refused")
	}
	if h.Name == "own" {
		h.ID = "from-the-hook"
	}
	return nil
}

func (h *hooked) AfterFind(*gorm.DB) error { h.Found++; return nil }

func (h *hooked) BeforeDelete(tx *gorm.DB) error {
	if h.Name == "undeletable" {
		return errors.New("delete is refused")
	}
	return nil
}

func userModelHooks(s *suite) {
	f := open[hooked](s, s.newDB(s.T))
	ctx := s.Context()
	own := &hooked{Name: "own"}
	must(s, f.CreateUser(ctx, own, email("own@example.com")))
	equal(s, "id from BeforeCreate", own.ID, "from-the-hook")
	other := &hooked{Name: "other"}
	must(s, f.db.Create(other).Error) // by plain GORM, beside the application's own hook
	equal(s, "length of a generated id", len(other.ID), 15)
	batch := []*hooked{{Name: "a"}, {Name: "b"}}
	must(s, f.db.Session(&gorm.Session{SkipHooks: true}).Create(&batch).Error)
	if len(batch[0].ID) != 15 || batch[0].ID == batch[1].ID {
		s.Errorf("batch: got ids %q and %q", batch[0].ID, batch[1].ID)
	}
	must(s, f.db.Model(&hooked{}).Create(map[string]any{"Name": "map"}).Error)
	equal(s, "users with an empty id", count(s, f.db, "auth_user", "id = ''"), 0)

	err := f.CreateUser(ctx, &hooked{Name: "refused"}, email("refused@example.com"))
	if err == nil || err.Error() != "gormkey: create user: name is refused" {
		s.Errorf("refusing hook: got %v", err)
	}
	session, err := f.SignIn(ctx, email("own@example.com"))
	must(s, err)
	equal(s, "AfterFind at a sign-in", session.User.Found, 1)
	session, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	equal(s, "AfterFind at a validation", session.User.Found, 1)

	must(s, f.db.Model(&hooked{}).Where("id = ?", own.ID).Update("name", "undeletable").Error)
	if err := f.DeleteUser(ctx, own.ID); err == nil {
		s.Error("refusing BeforeDelete: got no error")
	}
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err) // nothing of the user is lost
}

// owner has its sessions as a field.
type owner struct {
	gormkey.User
	Name     string                   `gorm:"size:64"`
	Sessions []gormkey.Session[owner] `gorm:"foreignKey:UserID"`
	Keys     []gormkey.Key[owner]     `gorm:"foreignKey:UserID"`
}

func userAssociations(s *suite) {
	f := open[owner](s, s.newDB(s.T))
	ctx := s.Context()
	o := &owner{Name: "o", Sessions: []gormkey.Session[owner]{{ID: "planted", IdleExpires: 4e12}}, Keys: []gormkey.Key[owner]{{ID: "planted:1"}}}
	must(s, f.CreateUser(ctx, o, email("o@example.com")))
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 0})
	session, err := f.SignIn(ctx, email("o@example.com"))
	must(s, err)
	var got owner
	must(s, f.db.Preload("Sessions").Preload("Keys").First(&got, "id = ?", o.ID).Error)
	if len(got.Sessions) != 1 || got.Sessions[0].ID != session.ID || len(got.Keys) != 1 {
		s.Errorf("Preload: got %d sessions, %d keys", len(got.Sessions), len(got.Keys))
	}
	var joined gormkey.Session[owner]
	must(s, f.db.Joins("User").First(&joined, "user_session.id = ?", session.ID).Error)
	equal(s, "Joins", joined.User.Name, "o")
	must(s, f.db.Delete(&owner{}, "id = ?", o.ID).Error)
	equal(s, "rows after a plain delete beside a has-many", rows(s, f.db), [3]int64{0, 0, 0})
}

var _ testing.TB = (*suite)(nil)
