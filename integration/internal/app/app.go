// Package app is the application that the engines' tests share: a user model, a table
// that points at it, and a log of the DDL that a migration sends.
package app

import (
	"context"
	"errors"
	"regexp"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
)

// Account is the application's user.
type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

// Order refers to its account by a plain string, whose type and width GORM takes from
// the user's id: on MySQL and MariaDB the foreign key is refused if they differ.
type Order struct {
	ID        uint
	AccountID string
	Account   Account `gorm:"constraint:OnDelete:CASCADE"`
}

// New returns a plugin for Account whose hashes take microseconds.
func New(opts ...gormkey.Option) *gormkey.Plugin[Account] {
	return gormkey.New[Account](append([]gormkey.Option{gormkey.WithPasswordHasher(gormkeytest.FastHasher())}, opts...)...)
}

// Email returns the credentials of an email address.
func Email(address string) gormkey.Credentials {
	return gormkey.Credentials{Provider: "email", ID: address, Password: "correct horse battery staple"}
}

// Install registers and migrates plugin, and returns its operations.
func Install(t testing.TB, db *gorm.DB, plugin *gormkey.Plugin[Account]) *gormkey.Repository[Account] {
	t.Helper()
	Must(t, db.Use(plugin))
	Must(t, plugin.AutoMigrate(db))
	auth, err := gormkey.From[Account](db)
	Must(t, err)
	return auth
}

// Flow takes one user through all stages: sign-up, sign-in, validation, sign-out, end.
func Flow(t testing.TB, auth *gormkey.Repository[Account]) {
	t.Helper()
	ctx := t.Context()
	ada := &Account{Email: "ada@example.com"}
	Must(t, auth.CreateUser(ctx, ada, Email(ada.Email)))
	opened, err := auth.SignIn(ctx, Email(ada.Email))
	Must(t, err)
	session, err := auth.ValidateSession(ctx, opened.Token)
	Must(t, err)
	if session.User == nil || session.User.ID != ada.ID || session.User.Email != ada.Email {
		t.Fatalf("validated session: got user %+v, want %+v", session.User, ada)
	}
	keys, err := auth.UserKeys(ctx, ada.ID)
	Must(t, err)
	if len(keys) != 1 || keys[0].ID != "email:ada@example.com" {
		t.Fatalf("got keys %+v, want email:ada@example.com", keys)
	}
	Must(t, auth.SignOut(ctx, opened.Token))
	if _, err = auth.ValidateSession(ctx, opened.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		t.Fatalf("validation after the sign-out: got error %v, want %v", err, gormkey.ErrInvalidSession)
	}
	Must(t, auth.DeleteUser(ctx, ada.ID))
	if _, err = auth.GetUser(ctx, ada.ID); !errors.Is(err, gormkey.ErrUserNotFound) {
		t.Fatalf("deleted user: got error %v, want %v", err, gormkey.ErrUserNotFound)
	}
}

// RunReference checks that Order is migrated beside the plugin's tables, that a second
// migration changes nothing, and that the foreign key holds.
func RunReference(t *testing.T, newDB gormkeytest.NewDB) {
	db, plugin := newDB(t), New()
	Must(t, db.Use(plugin))
	Must(t, plugin.AutoMigrate(db, &Order{}))
	log := new(DDL)
	Must(t, plugin.AutoMigrate(db.Session(&gorm.Session{Logger: log}), &Order{}))
	if got := log.Statements(); len(got) > 0 {
		t.Errorf("second migration: got DDL %q, want none", got)
	}

	auth, err := gormkey.From[Account](db)
	Must(t, err)
	ada := &Account{Email: "ada@example.com"}
	Must(t, auth.CreateUser(t.Context(), ada, Email(ada.Email)))
	Must(t, db.Omit(clause.Associations).Create(&Order{AccountID: ada.ID}).Error)
	if err := db.Omit(clause.Associations).Create(&Order{AccountID: "nobody"}).Error; err == nil {
		t.Error("order of an unknown account: got no error")
	}
	var order Order
	Must(t, db.Joins("Account").First(&order).Error)
	if order.Account.Email != ada.Email {
		t.Errorf("joined account: got %q, want %q", order.Account.Email, ada.Email)
	}
	Must(t, auth.DeleteUser(t.Context(), ada.ID))
	var left int64
	if Must(t, db.Model(&Order{}).Count(&left).Error); left != 0 {
		t.Errorf("orders after the account: got %d, want 0", left)
	}
}

// DDL is a logger that keeps the statements that change tables. It is safe for
// concurrent use.
type DDL struct {
	mu         sync.Mutex
	statements []string
}

var _ logger.Interface = (*DDL)(nil)

var isDDL = regexp.MustCompile(`(?i)^\s*(create|alter|drop|rename|comment)\b`)

// Statements returns the DDL so far.
func (l *DDL) Statements() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.statements
}

// Trace keeps DDL.
func (l *DDL) Trace(_ context.Context, _ time.Time, fc func() (string, int64), _ error) {
	if sql, _ := fc(); isDDL.MatchString(sql) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.statements = append(l.statements, sql)
	}
}

// LogMode returns l: it listens at every level.
func (l *DDL) LogMode(logger.LogLevel) logger.Interface { return l }

// Info drops the message.
func (*DDL) Info(context.Context, string, ...any) {}

// Warn drops the message.
func (*DDL) Warn(context.Context, string, ...any) {}

// Error drops the message.
func (*DDL) Error(context.Context, string, ...any) {}

// Must stops the test at an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}
