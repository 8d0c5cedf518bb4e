package d1_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/d1"
)

type account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

// losing is a transport that loses the answers to writes while it is switched on.
type losing struct{ on atomic.Bool }

func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(strings.NewReader(string(sent)))
	response, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && l.on.Load() && (strings.Contains(string(sent), "INSERT ") || strings.Contains(string(sent), "DELETE ")) {
		_ = response.Body.Close()
		return nil, errors.New("the answer is lost")
	}
	return response, err
}

// gormkey knows the errors of package d1 by their shape.
func TestGormkey(t *testing.T) {
	c := newDatabase(t)
	lose := &losing{}
	c.HTTPClient = &http.Client{Transport: lose}
	db, err := gorm.Open(d1.New(c), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	plugin := gormkey.New[account]()
	must(t, db.Use(plugin))
	must(t, db.AutoMigrate(append(plugin.Models(), &note{})...))
	auth, err := gormkey.From[account](db)
	must(t, err)
	ctx := t.Context()
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse battery staple"}
	ada := &account{Email: "ada@example.com"}
	must(t, auth.CreateUser(ctx, ada, login))

	session, err := auth.SignIn(ctx, login)
	must(t, err)
	if session, err = auth.ValidateSession(ctx, session.Token); err != nil || session.User.Email != ada.Email {
		t.Errorf("%v, %v", session, err)
	}
	if _, err := auth.AddKey(ctx, ada.ID, login); !errors.Is(err, gormkey.ErrDuplicateKey) {
		t.Errorf("a taken key: %v", err)
	}
	if _, err := auth.OpenSession(ctx, "nobody000000000"); !errors.Is(err, gormkey.ErrUserNotFound) {
		t.Errorf("a session of nobody: %v", err)
	}
	if err := auth.CreateUser(ctx, &account{Email: "other@example.com"}, login); !errors.Is(err, gormkey.ErrDuplicateKey) {
		t.Errorf("a taken key at Commit: %v", err)
	}
	if n := count(t, pool, "SELECT count(*) FROM auth_user"); n != 1 {
		t.Errorf("%d users", n)
	}

	// Its callbacks leave the application's models with ids of the database's alone.
	if tx := db.Create(&note{Text: "x"}); tx.Error != nil || tx.RowsAffected != 1 {
		t.Errorf("a note: %d, %v", tx.RowsAffected, tx.Error)
	}

	lose.on.Store(true)
	if err := auth.SignOut(ctx, session.Token); !errors.Is(err, gormkey.ErrOutcomeUnknown) {
		t.Errorf("SignOut, its answer lost: %v", err)
	}
	if err := auth.CreateUser(ctx, &account{Email: "b@example.com"}); !errors.Is(err, gormkey.ErrOutcomeUnknown) {
		t.Errorf("CreateUser, its answer lost: %v", err)
	}
	lose.on.Store(false)
	if _, err := auth.ValidateSession(ctx, session.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		t.Errorf("the sign-out was done: %v", err)
	}
}
