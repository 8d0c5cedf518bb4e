package gormkey_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	_ "modernc.org/sqlite"

	"github.com/gormkey/gormkey"
)

type Account struct {
	gormkey.User
	Email    string                     `gorm:"size:255;uniqueIndex"`
	Sessions []gormkey.Session[Account] `gorm:"foreignKey:UserID"`
}

func TestSmoke(t *testing.T) {
	dsn := "file:" + filepath.Join(t.TempDir(), "a.db") + "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: dsn}), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	p := gormkey.New[Account](gormkey.WithTableNames(gormkey.TableNames{User: "accounts"}), gormkey.WithClock(func() time.Time { return now }))
	if err := db.Use(p); err != nil {
		t.Fatal(err)
	}
	if err := p.AutoMigrate(db.Debug()); err != nil {
		t.Fatal(err)
	}
	if err := p.AutoMigrate(db.Debug()); err != nil {
		t.Fatal(err)
	}
	db = db.Debug()
	auth, err := gormkey.From[Account](db)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	ada := &Account{Email: "ada@example.com"}
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse"}
	if err := auth.CreateUser(ctx, ada, login); err != nil {
		t.Fatal(err)
	}
	s, err := auth.SignIn(ctx, login)
	if err != nil {
		t.Fatal(err)
	}
	v, err := auth.ValidateSession(ctx, s.Token)
	if err != nil || v.User.Email != ada.Email || v.Fresh {
		t.Fatal(err, v)
	}
	now = now.Add(25 * time.Hour)
	v, err = auth.ValidateSession(ctx, s.Token)
	if err != nil || !v.Fresh {
		t.Fatal(err, v)
	}
	l, err := auth.UserSessions(ctx, ada.ID)
	if err != nil || len(l) != 1 {
		t.Fatal(err, l)
	}
	login.Password = "x"
	if _, err = auth.SignIn(ctx, login); !errors.Is(err, gormkey.ErrInvalidCredentials) {
		t.Fatal(err)
	}
	if err := auth.CreateUser(ctx, &Account{Email: "x"}, gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse"}); !errors.Is(err, gormkey.ErrDuplicateKey) {
		t.Fatal(err)
	}
	if err := auth.CreateUser(ctx, &Account{Email: "ada@example.com"}); !errors.Is(err, gormkey.ErrDuplicateAttribute) {
		t.Fatal(err)
	}
	if _, err := auth.CreateSession(ctx, "nobody"); !errors.Is(err, gormkey.ErrInvalidUser) {
		t.Fatal(err)
	}
	if err := auth.DeleteUser(ctx, ada.ID); err != nil {
		t.Fatal(err)
	}
	if _, err = auth.ValidateSession(ctx, s.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		t.Fatal(err)
	}
}
