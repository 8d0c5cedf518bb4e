package page

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

type app struct {
	auth  *gormkey.Repository[Account]
	web   *httpauth.Auth[Account, gormkey.Session[Account]]
	mails *throttle.Throttle
	mail  func(to, subject, text string) error
}

var db *gorm.DB

func use(...any) {}

func (a *app) count(r *http.Request, limits *throttle.Throttle, account string) error {
	client := throttle.Client{Address: a.web.ClientAddress(r)}
	err := limits.Do(r.Context(), account, client, func() error { return gormkey.ErrInvalidCredentials })
	if errors.Is(err, gormkey.ErrInvalidCredentials) {
		return nil
	}
	return err
}

func (a *app) answer(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		a.web.Error(w, r, err)
	}
}

func Check(t *testing.T) {
	db := kit.DB(t)
	clock := kit.NewClock()
	plugin := gormkey.New[Account](gormkey.WithOneTimeTokens(), gormkey.WithPasswordHasher(kit.FastHasher()), gormkey.WithClock(clock.Now))
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	web, err := httpauth.New(auth)
	kit.Must(t, err)
	mails, err := throttle.New(db, throttle.WithTable("mail_throttle"), throttle.WithClock(clock.Now),
		throttle.WithAccountLimit(3, 20*time.Minute), throttle.WithAddressLimit(20, 10*time.Minute))
	kit.Must(t, err)
	kit.Must(t, mails.AutoMigrate())
	box := kit.NewMails(t)
	a := &app{auth, web, mails, box.Send}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /in", func(w http.ResponseWriter, r *http.Request) {
		_, err := web.OpenSession(w, r, r.PostFormValue("id"))
		a.answer(w, r, err)
	})
	mux.Handle("POST /verify/resend", web.RequireUser(http.HandlerFunc(a.resend)))
	mux.Handle("POST /verify", web.RequireUser(http.HandlerFunc(a.verify)))
	mux.Handle("GET /gate", a.requireVerified(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))

	mallory := &Account{Email: "ada@example.com"} // with Ada's address
	login := gormkey.Credentials{Provider: "email", ID: mallory.Email, Password: kit.Password}
	kit.Must(t, auth.CreateUser(t.Context(), mallory, login))
	other := &Account{Email: "bob@example.com"}
	kit.Must(t, auth.CreateUser(t.Context(), other, gormkey.Proved("github", "1")))

	b := kit.Serve(t, mux)
	step := func(b *kit.Browser, path string, want int, form ...string) {
		t.Helper()
		status, body := b.Post(path, form...)
		if status != want {
			t.Errorf("%s: got %d %q, want %d", path, status, body, want)
		}
	}
	gate := func(want int) {
		t.Helper()
		status, _ := b.Get("/gate")
		kit.Equal(t, "gate", status, want)
	}
	gate(401)
	step(b, "/in", 200, "id", mallory.ID)
	gate(403)
	step(b, "/verify/resend", 200)
	_, first := box.Next()
	step(b, "/verify/resend", 200)
	to, token := box.Next()
	kit.Equal(t, "mailed to", to, mallory.Email)
	step(b, "/verify/resend", 200)
	_, third := box.Next()
	step(b, "/verify/resend", 429)
	step(b, "/verify", 422, "token", first)
	step(b, "/verify", 422, "token", token)
	clock.Advance(25 * time.Minute)
	step(b, "/verify/resend", 200)
	step(b, "/verify/resend", 429)
	_, token = box.Next()
	step(b, "/verify", 422, "token", third)

	// The owner of the address, in another account, follows the link.
	ada := b.Another()
	step(ada, "/verify", 401, "token", token)
	step(ada, "/in", 200, "id", other.ID)
	step(ada, "/verify", 422, "token", token)
	gate(403)

	// Neither that nor a new password uses the link up.
	_, err = auth.ChangePassword(t.Context(), login, "another good password", "")
	kit.Must(t, err)
	step(b, "/in", 200, "id", mallory.ID)
	step(b, "/verify", 200, "token", token)
	gate(200)
	step(b, "/verify", 422, "token", token)
	before := box.Sent()
	clock.Advance(time.Hour)
	step(b, "/verify/resend", 200)
	kit.Equal(t, "mails to a verified account", box.Sent(), before)

	// A link is of its address.
	token2, err := auth.IssueToken(t.Context(), mallory.ID, gormkey.PurposeVerifyEmail, "old@example.com", time.Hour)
	kit.Must(t, err)
	step(b, "/verify", 422, "token", string(token2))
	token3, err := auth.IssueToken(t.Context(), mallory.ID, gormkey.PurposeVerifyEmail, mallory.Email, 24*time.Hour)
	kit.Must(t, err)
	clock.Advance(24*time.Hour + time.Millisecond)
	step(b, "/in", 200, "id", mallory.ID)
	step(b, "/verify", 422, "token", string(token3))
}
