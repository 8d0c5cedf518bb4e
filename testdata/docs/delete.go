package page

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

type app struct {
	db   *gorm.DB
	auth *gormkey.Repository[Account]
}

// Plain has a plain unique index.
type Plain struct {
	gormkey.User
	Email     string `gorm:"size:255;uniqueIndex"`
	DeletedAt gorm.DeletedAt
}

// Hard has no soft delete.
type Hard struct{ gormkey.User }

// Invoice keeps its user.
type Invoice struct {
	ID        uint
	AccountID string   `gorm:"size:15;not null;index"`
	Account   *Account `gorm:"constraint:OnDelete:RESTRICT"`
}

func open[U any, P gormkey.UserModel[U]](t *testing.T, opts ...gormkey.Option) (*gorm.DB, *gormkey.Repository[U]) {
	t.Helper()
	db := kit.DB(t)
	plugin := gormkey.New[U, P](append(opts, gormkey.WithPasswordHasher(kit.FastHasher()))...)
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	return db, auth
}

var login = gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: kit.Password}

func Check(t *testing.T) {
	for name, more := range map[string][]gormkey.Option{"with foreign keys": nil, "without": {gormkey.WithoutForeignKeys()}} {
		t.Run(name, func(t *testing.T) { deletes(t, more...) })
	}
	t.Run("a plain unique index", func(t *testing.T) {
		_, auth := open[Plain](t)
		ada := &Plain{Email: login.ID}
		kit.Must(t, auth.CreateUser(t.Context(), ada, login))
		kit.Must(t, auth.DeleteUser(t.Context(), ada.ID))
		kit.Is(t, "again", auth.CreateUser(t.Context(), &Plain{Email: login.ID}, login), gormkey.ErrDuplicateAttribute)
	})
	t.Run("suspended", func(t *testing.T) {
		db, auth := open[Account](t, gormkey.WithSuspension())
		a, ada := &app{db, auth}, &Account{Email: login.ID}
		kit.Must(t, auth.CreateUser(t.Context(), ada, login))
		session, err := auth.SignIn(t.Context(), login)
		kit.Must(t, err)
		kit.Must(t, a.suspend(t.Context(), ada.ID, "root"))
		_, err = auth.ValidateSession(t.Context(), session.Token)
		kit.Is(t, "a session", err, gormkey.ErrInvalidSession)
		_, err = auth.SignIn(t.Context(), login)
		until := time.Now().Add(7 * 24 * time.Hour).Format(time.DateOnly)
		kit.Equal(t, "message", signInMessage(err), "Your account is closed until "+until+": spam")
		wrong := login
		wrong.Password = "a wrong password"
		_, err = auth.SignIn(t.Context(), wrong)
		kit.Equal(t, "message", signInMessage(err), "The address or the password is wrong.")
		kit.Must(t, db.Delete(ada).Error)
		kit.Must(t, a.unblock(t.Context(), ada.ID))
		kit.Must(t, auth.DeleteUser(t.Context(), ada.ID))
		kit.Must(t, a.unblock(t.Context(), ada.ID))
		_, err = auth.OpenSession(t.Context(), ada.ID)
		kit.Is(t, "restored", err, gormkey.ErrSuspended)
		kit.Must(t, a.unsuspend(t.Context(), ada.ID, "root"))
		_, err = auth.OpenSession(t.Context(), ada.ID)
		kit.Must(t, err)
		kit.Equal(t, "closed for good", signInMessage(&gormkey.SuspendedError{Reason: "spam"}), "Your account is closed: spam")
	})
	t.Run("no soft delete", func(t *testing.T) {
		db, auth := open[Hard](t)
		ada := &Hard{}
		kit.Must(t, auth.CreateUser(t.Context(), ada, login))
		kit.Must(t, auth.DeleteUser(t.Context(), ada.ID))
		for _, table := range []string{"auth_user", "user_key"} {
			kit.Equal(t, table, rows(t, db, table), 0)
		}
	})
	t.Run("a row that keeps its user", func(t *testing.T) {
		db, auth := open[Account](t, gormkey.WithOwned(&Invoice{}))
		a, ada := &app{db, auth}, &Account{Email: login.ID}
		kit.Must(t, auth.CreateUser(t.Context(), ada, login))
		kit.Must(t, db.Create(&Invoice{AccountID: ada.ID}).Error)
		err := a.erase(t.Context(), ada.ID)
		if err == nil || !strings.Contains(err.Error(), "FOREIGN KEY") && !strings.Contains(err.Error(), "foreign key") {
			t.Errorf("erase: got %v", err)
		}
		_, err = auth.SignIn(t.Context(), login)
		kit.Is(t, "nothing was deleted", err, nil)
		kit.Must(t, a.closeAccount(t.Context(), ada.ID))
	})
}

func rows(t *testing.T, db *gorm.DB, table string) int {
	t.Helper()
	var n int64
	kit.Must(t, db.Table(table).Count(&n).Error)
	return int(n)
}

func deletes(t *testing.T, more ...gormkey.Option) {
	ctx, told := t.Context(), 0
	count := gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		if e.Type == event.UserDeleted {
			told++
		}
		return nil
	})
	db, auth := open[Account](t, append(more, gormkey.WithOneTimeTokens(), gormkey.WithOwned(&Note{}), count)...)
	a := &app{db, auth}
	signUp := func() (*Account, error) {
		account := &Account{Email: login.ID}
		return account, auth.CreateUser(ctx, account, login)
	}
	ada, err := signUp()
	kit.Must(t, err)
	kit.Must(t, db.Create(&Note{AccountID: ada.ID, Text: "note"}).Error)
	session, err := auth.SignIn(ctx, login)
	kit.Must(t, err)
	token, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, login.ID, time.Hour)
	kit.Must(t, err)

	// Block.
	kit.Must(t, a.block(ctx, ada.ID))
	kit.Equal(t, "told", told, 0)
	_, err = auth.ValidateSession(ctx, session.Token)
	kit.Is(t, "session of a blocked user", err, gormkey.ErrInvalidSession)
	_, err = auth.SignIn(ctx, login)
	kit.Is(t, "sign-in of a blocked user", err, gormkey.ErrInvalidCredentials)
	_, err = signUp()
	kit.Is(t, "sign-up of a blocked user", err, gormkey.ErrDuplicateKey)

	// An export, of a blocked user too.
	all, err := a.export(ctx, ada.ID)
	kit.Must(t, err)
	text, err := json.Marshal(all)
	kit.Must(t, err)
	if len(all.Keys) != 1 || len(all.Sessions) != 1 || len(all.Tokens) != 1 || len(all.Notes) != 1 || !strings.Contains(string(text), login.ID) {
		t.Errorf("export: got %s", text)
	}
	for _, secret := range []string{string(session.Token), string(token), string(*all.Keys[0].HashedPassword), "argon2"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the export has a secret: %s", text)
		}
	}

	kit.Must(t, a.unblock(ctx, ada.ID))
	_, err = auth.ValidateSession(ctx, session.Token)
	kit.Is(t, "session of an unblocked user", err, nil)

	// Close.
	kit.Must(t, a.closeAccount(ctx, ada.ID))
	kit.Equal(t, "told", told, 1)
	kit.Equal(t, "keys, sessions, tokens, users, notes", fmt.Sprint(rows(t, db, "user_key"), rows(t, db, "user_session"), rows(t, db, "user_token"), rows(t, db, "auth_user"), rows(t, db, "notes")), "0 0 0 1 1")
	again, err := signUp()
	kit.Must(t, err)
	if again.ID == ada.ID {
		t.Error("the id is the old one")
	}

	// Erase: one that is closed, one that is blocked, one that is neither.
	kit.Must(t, a.erase(ctx, ada.ID))
	kit.Equal(t, "users, notes", fmt.Sprint(rows(t, db, "auth_user"), rows(t, db, "notes")), "1 0")
	kit.Must(t, a.block(ctx, again.ID))
	kit.Must(t, a.erase(ctx, again.ID))
	kit.Equal(t, "users, keys", fmt.Sprint(rows(t, db, "auth_user"), rows(t, db, "user_key")), "0 0")
	third, err := signUp()
	kit.Must(t, err)
	_, err = auth.SignIn(ctx, login)
	kit.Must(t, err)
	kit.Must(t, a.erase(ctx, third.ID))
	kit.Must(t, a.erase(ctx, third.ID)) // repeated
	kit.Equal(t, "users, keys, sessions", fmt.Sprint(rows(t, db, "auth_user"), rows(t, db, "user_key"), rows(t, db, "user_session")), "0 0 0")
	_, err = signUp()
	kit.Must(t, err)
}
