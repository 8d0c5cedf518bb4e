package page

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"docs/kit"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

func login(r *http.Request) gormkey.Credentials {
	return gormkey.Credentials{Provider: "email", ID: r.PostFormValue("email"), Password: r.PostFormValue("password")}
}

// The headers are those that Chromium 156 was seen to send in these cases.
func Check(t *testing.T) {
	db, ctx := kit.DB(t), t.Context()
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(kit.FastHasher()))
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	kit.Must(t, auth.CreateUser(ctx, &Account{Email: "ada@example.com"}, gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: kit.Password}))
	h, err := newAPI(auth, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "data") }))
	kit.Must(t, err)

	b := kit.Serve(t, h)
	page := b.With("Origin", pages, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors")
	sibling := b.With("Origin", "https://blog.example.com", "Sec-Fetch-Site", "same-site")
	stranger := b.With("Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	form := []string{"email", "ada@example.com", "password", kit.Password}

	status, header := page.Header("GET", "/data")
	kit.Equal(t, "without a session", status, 401)
	kit.Equal(t, "a 401 can be read", header.Get("Access-Control-Allow-Origin"), pages)
	preflight := b.With("Origin", pages, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
	status, header = preflight.Header("OPTIONS", "/data")
	kit.Equal(t, "preflight", status, 204)
	kit.Equal(t, "preflight", header.Get("Access-Control-Allow-Credentials"), "true")

	status, _ = stranger.Post("/sign-in", form...)
	kit.Equal(t, "sign-in from elsewhere", status, 403)
	status, _ = sibling.Post("/sign-in", form...)
	kit.Equal(t, "sign-in from another subdomain", status, 403)
	status, _ = page.Post("/sign-in", form...)
	kit.Equal(t, "sign-in from the pages", status, 200)
	for _, c := range b.Cookies() {
		kit.Equal(t, "cookie", c.Name, "__Host-auth_session")
	}

	for name, step := range map[string]struct {
		from   *kit.Browser
		method string
		want   int
		cors   string
	}{
		"the pages read":                        {page, "GET", 200, pages},
		"the pages write":                       {page, "POST", 200, pages},
		"a sibling cannot write":                {sibling, "POST", 403, ""},
		"a sibling reads nothing":               {sibling, "GET", 200, ""}, // the browser keeps the answer from it
		"a stranger cannot write":               {stranger, "DELETE", 403, ""},
		"a page in an older browser":            {b.With("Origin", pages), "POST", 200, pages},
		"a sibling's preflight is not answered": {b.With("Origin", "https://blog.example.com", "Access-Control-Request-Method", "POST"), "OPTIONS", 200, ""},
		"a WebSocket of the pages":              {b.With("Origin", pages, "Sec-Fetch-Site", "same-site", "Upgrade", "websocket"), "GET", 200, pages},
		"a WebSocket of a sibling":              {b.With("Origin", "https://blog.example.com", "Sec-Fetch-Site", "same-site", "Upgrade", "websocket"), "GET", 403, ""},
	} {
		status, header := step.from.Header(step.method, "/data")
		kit.Equal(t, name, status, step.want)
		kit.Equal(t, name+": CORS", header.Get("Access-Control-Allow-Origin"), step.cors)
		if !strings.Contains(strings.Join(header.Values("Vary"), ","), "Origin") {
			t.Errorf("%s: Vary is %q", name, header.Values("Vary"))
		}
	}

	// Without TrustedOrigins CORS alone lets nothing be changed.
	limits, err := throttle.New(db)
	kit.Must(t, err)
	kit.Must(t, limits.AutoMigrate())
	web, err := httpauth.New(auth, httpauth.WithThrottle(limits))
	kit.Must(t, err)
	plain := kit.Serve(t, cors(web.OptionalUser(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))))
	status, _ = plain.With("Origin", pages, "Sec-Fetch-Site", "same-site").Post("/data")
	kit.Equal(t, "without TrustedOrigins", status, 403)
	for _, origin := range []string{"https://*.example.com", "app.example.com", "https://app.example.com/", "*"} {
		if _, err := httpauth.New(auth, httpauth.TrustedOrigins(origin)); err == nil {
			t.Errorf("TrustedOrigins(%q): got no error", origin)
		}
	}
	local, err := httpauth.New(auth, httpauth.TrustedOrigins("http://localhost:3000"))
	kit.Must(t, err)
	for _, site := range []string{"same-site", ""} { // "" is an older browser
		r := httptest.NewRequest(http.MethodPost, "http://localhost:8080/sign-in", nil)
		r.Header.Set("Origin", "http://localhost:3000")
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		kit.Is(t, "localhost:3000", local.CheckOrigin(r), nil)
		kit.Is(t, "localhost:3000, not trusted", web.CheckOrigin(r), httpauth.ErrCrossOrigin)
	}
	checkJSON(t, web)
	redirect, err := httpauth.New(auth, httpauth.RedirectAnonymous("/sign-in"))
	kit.Must(t, err)
	script := kit.Serve(t, redirect.RequireUser(http.NotFoundHandler()))
	status, _ = script.With("Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin").Get("/data")
	kit.Equal(t, "a script", status, 401)
	status, _ = script.With("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "none").Get("/data")
	kit.Equal(t, "a page", status, 303)
}

// checkJSON signs in as a script of the own page does.
func checkJSON(t *testing.T, web *httpauth.Auth[Account, gormkey.Session[Account]]) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/sign-in", signInJSON(web))
	mux.Handle("GET /api/me", web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, web.User(r.Context()).Email)
	})))
	b := kit.Serve(t, mux)
	type answer struct{ ID, Email, Token, Error, Message string }
	post := func(b *kit.Browser, value any, status int, name string) (got answer) {
		t.Helper()
		kit.Equal(t, "status", b.JSON("POST", "/api/sign-in", value, &got), status)
		kit.Equal(t, "error", got.Error, name)
		kit.Equal(t, "there is a message", got.Message != "", status != 200)
		return got
	}
	login := map[string]string{"email": "ada@example.com", "password": kit.Password}
	wrong := map[string]string{"email": "ada@example.com", "password": "wrong"}
	evil := b.With("Content-Type", "application/json", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
	post(evil, login, 403, "cross_origin")
	got := post(b, "no object", 400, "invalid_argument")
	kit.Equal(t, "message", got.Message, "body: is not the JSON of a sign-in")
	post(b, map[string]string{"password": "x"}, 400, "invalid_argument")
	post(b, map[string]string{"email": "ada@example.com", "password": kit.Password, "more": strings.Repeat("x", 64<<10)}, 400, "invalid_argument")
	got = post(b, wrong, 401, "invalid_credentials")
	kit.Equal(t, "message", got.Message, "Unauthorized")
	kit.Equal(t, "cookies", len(b.Cookies()), 0)

	me := b.With("Sec-Fetch-Site", "same-origin", "Accept", "application/json")
	status, text := me.Get("/api/me")
	kit.Equal(t, "nobody", status, 401)
	kit.Equal(t, "nobody", strings.HasPrefix(text, `{"error":"unauthenticated","message":`), true)
	_, text = b.Get("/api/me")
	kit.Equal(t, "nobody, without Accept", strings.HasPrefix(text, "{"), false)

	got = post(b, map[string]string{"email": " Ada@example.com", "password": kit.Password}, 200, "")
	kit.Equal(t, "who", got.Email, "ada@example.com")
	kit.Equal(t, "an id", got.ID != "" && got.Token == "", true)
	_, text = me.Get("/api/me")
	kit.Equal(t, "me", text, "ada@example.com")

	stranger := b.Another()
	for range 4 { // after the one above
		post(stranger, wrong, 401, "invalid_credentials")
	}
	post(stranger, login, 429, "too_many_requests")
}
