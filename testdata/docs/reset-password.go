package page

import (
	"context"
	"html/template"
	"net/http"
	"strings"
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
	mail   func(to, subject, text string) error
	queue  chan string
	counts map[string]int
}

var resetPage = template.Must(template.New("").Parse(`token={{.}}`))

func (a *app) countMail(_ *http.Request, to string) error {
	a.counts[to]++
	return nil
}

func Check(t *testing.T) {
	db := kit.DB(t)
	plugin := gormkey.New[Account](gormkey.WithOneTimeTokens(), gormkey.WithPasswordHasher(kit.FastHasher()))
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db, &throttle.Bucket{}))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	limits, err := throttle.New(db)
	kit.Must(t, err)
	web, err := httpauth.New(auth, httpauth.WithThrottle(limits))
	kit.Must(t, err)
	box := kit.NewMails(t)
	a := &app{auth, web, limits, box.Send, make(chan string, 10), map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	pace, ended := make(chan time.Time), make(chan struct{})
	go func() { a.sendResets(ctx, pace); close(ended) }()
	defer func() { cancel(); <-ended }()

	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: kit.Password}
	kit.Must(t, auth.CreateUser(ctx, &Account{Email: login.ID}, login, gormkey.Proved("github", "1")))
	session, err := auth.SignIn(ctx, login)
	kit.Must(t, err)

	mux := http.NewServeMux()
	mux.HandleFunc("POST /forgot-password", a.forgot)
	mux.HandleFunc("GET /reset-password", a.showReset)
	mux.HandleFunc("POST /reset-password", a.reset)
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		c := login
		c.Password = r.PostFormValue("password")
		if _, err := web.SignIn(w, r, c); err != nil {
			web.Error(w, r, err)
		}
	})
	b := kit.Serve(t, mux)
	status, known := b.Post("/forgot-password", "email", "ADA@example.com")
	kit.Equal(t, "status", status, 200)
	pace <- time.Now()
	to, token := box.Next()
	kit.Equal(t, "mailed to", to, login.ID)
	for _, nobody := range []string{"nobody@example.com", "", strings.Repeat("x", 300)} {
		status, unknown := b.Post("/forgot-password", "email", nobody)
		kit.Equal(t, "status", status, 200)
		kit.Equal(t, "answer", unknown, known)
		pace <- time.Now()
	}
	pace <- time.Now()
	kit.Equal(t, "mails", box.Sent(), 1)
	kit.Equal(t, "counted without an account", a.counts["nobody@example.com"], 1)
	status, _ = b.With("Sec-Fetch-Site", "cross-site").Post("/forgot-password", "email", login.ID)
	kit.Equal(t, "from another site", status, 403)

	for range 5 {
		b.Post("/sign-in", "password", "wrong")
	}
	status, _ = b.Post("/sign-in", "password", kit.Password)
	kit.Equal(t, "throttled", status, 429)

	status, body := b.Get("/reset-password?token=" + token)
	kit.Equal(t, "the form", body, "token="+token)
	kit.Equal(t, "status", status, 200)
	status, _ = b.Post("/reset-password", "token", token, "password", "short")
	kit.Equal(t, "a short password", status, 400)
	verify, err := auth.IssueToken(ctx, session.UserID, gormkey.PurposeVerifyEmail, login.ID, time.Hour)
	kit.Must(t, err)
	magic, err := auth.IssueToken(ctx, session.UserID, gormkey.PurposeMagicLink, "", time.Hour)
	kit.Must(t, err)
	status, _ = b.Post("/reset-password", "token", token, "password", "another good password")
	kit.Equal(t, "a good password", status, 303)
	status, _ = b.Post("/reset-password", "token", token, "password", "another good password")
	kit.Equal(t, "twice", status, 422)
	status, _ = b.Get("/reset-password?token=" + token)
	kit.Equal(t, "the form of a used link", status, 422)
	_, err = auth.ValidateSession(ctx, session.Token)
	kit.Is(t, "the old session", err, gormkey.ErrInvalidSession)
	_, err = auth.GetToken(ctx, gormkey.PurposeMagicLink, magic)
	kit.Is(t, "another link", err, gormkey.ErrInvalidToken)
	_, err = auth.GetToken(ctx, gormkey.PurposeVerifyEmail, verify)
	kit.Is(t, "a link that verifies", err, nil)
	status, _ = b.Post("/sign-in", "password", kit.Password)
	kit.Equal(t, "the old password", status, 401)
	status, _ = b.Post("/sign-in", "password", "another good password")
	kit.Equal(t, "the new password", status, 200)

	// The payload.
	payload := gormkey.KeyID{Provider: "email", ID: "ada@example.com"}.String()
	kit.Equal(t, "payload", payload, "email:ada@example.com")
	kit.Must(t, a.sendReset(ctx, login.ID))
	_, token = box.Next()
	issued, err := auth.GetToken(ctx, gormkey.PurposeResetPassword, gormkey.Token(token))
	kit.Must(t, err)
	kit.Equal(t, "the payload of a reset", issued.Payload, payload)
	_, err = auth.IssueToken(ctx, session.UserID, gormkey.PurposeResetPassword, "ada@example.com", time.Hour)
	kit.Is(t, "an address as payload", err, gormkey.ErrInvalidArgument)

	// The address changes after the mail.
	kit.Must(t, a.sendReset(ctx, login.ID))
	_, token = box.Next()
	kit.Must(t, auth.RenameKey(ctx, session.UserID, login.KeyID(), "lovelace@example.com"))
	status, _ = b.Post("/reset-password", "token", token, "password", "another good password")
	kit.Equal(t, "a link to the old address", status, 422)
}
