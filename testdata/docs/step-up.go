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
	Email string `gorm:"size:255;uniqueIndex"`
}

type app struct {
	auth   *gormkey.Repository[Account]
	web    *httpauth.Auth[Account, gormkey.Session[Account]]
	limits *throttle.Throttle
	sent   []string
}

func (a *app) send(to, link string) { a.sent = append(a.sent, to) }

func (a *app) emailForm(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("a form")) }

func Check(t *testing.T) {
	db := kit.DB(t)
	plugin := newPlugin()
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db, &throttle.Bucket{}))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	limits, err := throttle.New(db)
	kit.Must(t, err)
	a := &app{auth: auth, limits: limits}
	mux := http.NewServeMux()
	kit.Must(t, a.stepUpRoutes(mux))
	mux.HandleFunc("POST /sign-in", a.signIn)
	mux.HandleFunc("GET /account", func(http.ResponseWriter, *http.Request) {})
	ada := &Account{Email: "ada@example.com"}
	kit.Must(t, auth.CreateUser(t.Context(), ada, gormkey.Credentials{Provider: "email", ID: ada.Email, Password: kit.Password}))

	b := kit.Serve(t, mux)
	b.Post("/sign-in", "email", "Ada@example.com", "password", kit.Password)
	sessions, err := auth.UserSessions(t.Context(), ada.ID)
	kit.Must(t, err)
	kit.Equal(t, "remembered", *sessions[0].Remembered, false)
	kit.Equal(t, "a day of idleness at most", time.Until(sessions[0].IdleExpires.Time()) <= 24*time.Hour, true)
	status, _ := b.Post("/account/email", "email", "new@example.com")
	kit.Equal(t, "recent", status, http.StatusNoContent)
	kit.Equal(t, "mails", len(a.sent), 1)

	kit.Must(t, db.Exec("UPDATE user_session SET authenticated_at = authenticated_at - 3600000").Error)
	_, body := b.Get("/account/email")
	kit.Equal(t, "the form", body == "a form", false)
	b.Post("/account/email", "email", "new@example.com")
	kit.Equal(t, "mails of a stale session", len(a.sent), 1)
	b.Post("/confirm", "password", "a wrong password", "next", "/account/email")
	b.Post("/account/email", "email", "new@example.com")
	kit.Equal(t, "mails after a wrong password", len(a.sent), 1)
	b.Post("/confirm", "password", kit.Password, "next", "/account/email")
	_, body = b.Get("/account/email")
	kit.Equal(t, "the form", body, "a form")
	b.Post("/account/email", "email", "new@example.com")
	kit.Equal(t, "mails", len(a.sent), 2)

	b.Post("/sign-in", "email", ada.Email, "password", kit.Password, "remember", "on")
	sessions, err = auth.UserSessions(t.Context(), ada.ID)
	kit.Must(t, err)
	kit.Equal(t, "remembered", *sessions[0].Remembered, true)
}
