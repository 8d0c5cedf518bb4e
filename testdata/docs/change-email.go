package page

import (
	"net/http"
	"testing"
	"time"

	"docs/kit"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

type Account struct {
	gormkey.User
	Email      string `gorm:"size:255;uniqueIndex"`
	VerifiedAt *time.Time
}

type app struct {
	auth   *gormkey.Repository[Account]
	web    *httpauth.Auth[Account, gormkey.Session[Account]]
	limits *throttle.Throttle
	mail   func(to, subject, text string) error
}

func (a *app) countMail(*http.Request, string) error { return nil }

func (a *app) answer(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		a.web.Error(w, r, err)
	}
}

func Check(t *testing.T) {
	db, ctx := kit.DB(t), t.Context()
	plugin := gormkey.New[Account](gormkey.WithOneTimeTokens(), gormkey.WithPasswordHasher(kit.FastHasher()))
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db, &throttle.Bucket{}))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	limits, err := throttle.New(db)
	kit.Must(t, err)
	web, err := httpauth.New(auth)
	kit.Must(t, err)
	box := kit.NewMails(t)
	a := &app{auth, web, limits, box.Send}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /in", func(w http.ResponseWriter, r *http.Request) {
		_, err := web.OpenSession(w, r, r.PostFormValue("id"))
		a.answer(w, r, err)
	})
	mux.Handle("POST /account/email", web.RequireUser(http.HandlerFunc(a.askForEmail)))
	mux.Handle("POST /account/email/confirm", web.RequireUser(http.HandlerFunc(a.changeEmail)))
	b := kit.Serve(t, mux)
	step := func(b *kit.Browser, path string, want int, form ...string) {
		t.Helper()
		if status, body := b.Post(path, form...); status != want {
			t.Errorf("%s %v: got %d %q, want %d", path, form, status, body, want)
		}
	}

	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: kit.Password}
	ada, bob := &Account{Email: login.ID}, &Account{Email: "bob@example.com"}
	kit.Must(t, auth.CreateUser(ctx, ada, login))
	kit.Must(t, auth.CreateUser(ctx, bob, gormkey.Credentials{Provider: "email", ID: bob.Email, Password: kit.Password}))
	name := gormkey.KeyID{Provider: "username", ID: "ada"}
	_, err = auth.ShareKey(ctx, name, login.KeyID())
	kit.Must(t, err)
	other := b.Another()
	step(b, "/in", 200, "id", ada.ID)
	step(other, "/in", 200, "id", bob.ID)

	step(b, "/account/email", 401, "email", "new@example.com", "password", "wrong")
	kit.Equal(t, "mails", box.Sent(), 0)
	step(b, "/account/email", 200, "email", "New@Example.com", "password", kit.Password)
	to, token := box.Next()
	kit.Equal(t, "mailed to", to, "new@example.com")
	if user, err := auth.GetUser(ctx, ada.ID); err != nil || user.Email != login.ID {
		t.Errorf("before the link: got %v, %v", user, err)
	}
	reset, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeResetPassword, login.KeyID().String(), time.Hour)
	kit.Must(t, err)
	step(other, "/account/email/confirm", 422, "token", token)
	step(b, "/account/email/confirm", 200, "token", token)
	to, _ = box.Next()
	kit.Equal(t, "the notice goes to", to, login.ID)
	user, err := auth.GetUser(ctx, ada.ID)
	kit.Must(t, err)
	kit.Equal(t, "the address", user.Email, "new@example.com")
	kit.Equal(t, "verified", user.VerifiedAt != nil, true)
	_, err = auth.UseKey(ctx, login)
	kit.Is(t, "the old key", err, gormkey.ErrInvalidCredentials)
	_, err = auth.UseKey(ctx, gormkey.Credentials{Provider: "email", ID: "new@example.com", Password: kit.Password})
	kit.Is(t, "the new key", err, nil)
	_, err = auth.UseKey(ctx, gormkey.Credentials{Provider: "username", ID: "ada", Password: kit.Password})
	kit.Is(t, "the other key", err, nil)
	_, err = auth.GetToken(ctx, gormkey.PurposeResetPassword, reset)
	kit.Is(t, "a link to the old address", err, gormkey.ErrInvalidToken)
	step(b, "/account/email/confirm", 422, "token", token) // and the session goes on

	// An address that is somebody's.
	step(b, "/account/email", 200, "email", bob.Email, "password", kit.Password)
	_, token = box.Next()
	step(b, "/account/email/confirm", 409, "token", token)
	user, err = auth.GetUser(ctx, ada.ID)
	kit.Must(t, err)
	kit.Equal(t, "the address", user.Email, "new@example.com")
}
