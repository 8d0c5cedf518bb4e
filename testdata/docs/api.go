package page

import (
	"encoding/json"
	"fmt"
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
	Email string `gorm:"size:255;uniqueIndex" json:"email"`
}

type app struct {
	auth   *gormkey.Repository[Account]
	web    *httpauth.Auth[Account, gormkey.Session[Account]]
	limits *throttle.Throttle
}

func Check(t *testing.T) {
	db, ctx, clock := kit.DB(t), t.Context(), kit.NewClock()
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(kit.FastHasher()), gormkey.WithClock(clock.Now))
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db, &throttle.Bucket{}))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	limits, err := throttle.New(db, throttle.WithClock(clock.Now))
	kit.Must(t, err)
	web, err := httpauth.New(auth, httpauth.WithThrottle(limits))
	kit.Must(t, err)
	a := &app{auth, web, limits}
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: kit.Password}
	kit.Must(t, auth.CreateUser(ctx, &Account{Email: login.ID}, login))

	program := kit.Serve(t, a.apiRoutes()).With() // neither Origin nor Sec-Fetch-Site
	type answer struct {
		Token   string
		Expires time.Time
		User    struct{ ID, Email string }
	}
	device := strings.Repeat("ABCDEFGHIJKLM", 2)
	signIn := func(want int, password, device string) (got answer) {
		t.Helper()
		var into any = &got
		if want != 200 {
			into = nil
		}
		kit.Equal(t, "sign-in", program.JSON("POST", "/api/sign-in", map[string]string{"email": "Ada@example.com", "password": password, "device": device}, into), want)
		return got
	}
	first := signIn(200, kit.Password, device)
	if len(first.Token) != 40 || first.User.Email != login.ID || len(program.Cookies()) != 0 {
		t.Errorf("got %d characters, %+v, %d cookies", len(first.Token), first.User, len(program.Cookies()))
	}
	kit.Equal(t, "no JSON", func() int { s, _ := program.Post("/api/sign-in"); return s }(), 400)

	ask := func(token string) (int, string) { return program.With("Authorization", "Bearer "+token).Get("/api/me") }
	status, body := ask(first.Token)
	kit.Equal(t, "me", status, 200)
	if !strings.Contains(body, `"email":"ada@example.com"`) {
		t.Errorf("me: got %s", body)
	}
	status, _ = ask("nonsense")
	kit.Equal(t, "a wrong token", status, 401)
	status, header := program.Header("GET", "/api/me")
	kit.Equal(t, "no token", status, 401)
	kit.Equal(t, "challenge", header.Get("WWW-Authenticate"), "Bearer")

	// The token stays, and its end moves.
	clock.Advance(10 * 24 * time.Hour)
	status, _ = ask(first.Token)
	kit.Equal(t, "idle", status, 200)
	clock.Advance(14 * 24 * time.Hour)
	status, _ = ask(first.Token)
	kit.Equal(t, "past its first end", status, 200)
	clock.Advance(15*24*time.Hour + time.Second)
	status, _ = ask(first.Token)
	kit.Equal(t, "unused for too long", status, 401)

	// Guesses lock strangers out, and not the device.
	for range 5 {
		signIn(401, "wrong", "")
	}
	signIn(429, kit.Password, "")
	second := signIn(200, kit.Password, device)
	status, _ = program.With("Authorization", "Bearer "+second.Token).Post("/api/sign-out")
	kit.Equal(t, "sign-out", status, 200)
	status, _ = ask(second.Token)
	kit.Equal(t, "signed out", status, 401)

	// What is shown of a token, a session and a key.
	session, err := auth.SignIn(ctx, login)
	kit.Must(t, err)
	for _, value := range []any{session.Token, session, map[string]any{"token": session.Token}} {
		text, err := json.Marshal(value)
		kit.Must(t, err)
		if strings.Contains(string(text), string(session.Token)) || strings.Contains(fmt.Sprintf("%v %+v", value, value), string(session.Token)) {
			t.Errorf("%T shows the token", value)
		}
	}
	text, err := json.Marshal(session.Token)
	kit.Must(t, err)
	kit.Equal(t, "JSON of a token", string(text), `"[redacted]"`)
	var c gormkey.Credentials
	kit.Must(t, json.Unmarshal([]byte(`{"Provider":"email","ID":"ada@example.com","Password":"x"}`), &c))
	kit.Equal(t, "a password in JSON", c.Password, "")
}
