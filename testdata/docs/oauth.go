package page

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

type app struct {
	db       *gorm.DB
	auth     *gormkey.Repository[Account]
	web      *httpauth.Auth[Account, gormkey.Session[Account]]
	provider provider
}

func Check(t *testing.T) {
	db, ctx := kit.DB(t), t.Context()
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(kit.FastHasher()))
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	web, err := httpauth.New(auth)
	kit.Must(t, err)
	a := &app{db: db, auth: auth, web: web}
	who := identity{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /callback", func(w http.ResponseWriter, r *http.Request) { // a POST, so that the check needs no state
		if err := a.finish(w, r, who); err != nil {
			web.Error(w, r, err)
		}
	})
	mux.Handle("GET /me", web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(web.User(r.Context()).ID))
	})))
	b := kit.Serve(t, mux)
	come := func(as identity) *Account {
		t.Helper()
		who = as
		b := b.Another()
		if status, body := b.Post("/callback"); status != 200 {
			t.Fatalf("callback: got %d %q", status, body)
		}
		_, id := b.Get("/me")
		user, err := auth.GetUser(ctx, id)
		kit.Must(t, err)
		return user
	}

	google := func(subject, email string, verified bool) identity {
		return identity{"google", subject, email, verified}
	}
	first := come(google("1", "Ada@example.com", true))
	kit.Equal(t, "the address", *first.VerifiedEmail, "ada@example.com")
	kit.Equal(t, "again", come(google("1", "other@example.com", true)).ID, first.ID)
	github := come(identity{"github", "1", "", false})
	kit.Equal(t, "the same subject of another provider", github.ID == first.ID, false)

	// The attacker was first, with an address that is not proved.
	login := gormkey.Credentials{Provider: "email", ID: "bob@example.com", Password: kit.Password}
	trap := &Account{Email: login.ID}
	kit.Must(t, auth.CreateUser(ctx, trap, login))
	bob := come(google("2", "bob@example.com", true))
	kit.Equal(t, "in the attacker's account", bob.ID == trap.ID, false)

	// The provider has not verified.
	mallory := come(google("3", "ada@example.com", false))
	kit.Equal(t, "in the victim's account", mallory.ID == first.ID, false)
	kit.Equal(t, "proved", mallory.VerifiedEmail == nil, true)

	// Both sides have.
	address := "eve@example.com"
	eve := &Account{Email: address, VerifiedEmail: &address}
	kit.Must(t, auth.CreateUser(ctx, eve, gormkey.Credentials{Provider: "email", ID: address, Password: kit.Password}))
	kit.Equal(t, "linked", come(google("4", "Eve@Example.com", true)).ID, eve.ID)

	session, err := auth.OpenSession(ctx, trap.ID)
	kit.Must(t, err)
	kit.Is(t, "an account that is not verified", a.link(ctx, session, google("5", "", false)), errNotVerified)
	session, err = auth.OpenSession(ctx, eve.ID)
	kit.Must(t, err)
	kit.Is(t, "another's key", a.link(ctx, session, google("1", "", false)), gormkey.ErrDuplicateKey)
	kit.Must(t, a.link(ctx, session, google("5", "", false)))
	kit.Equal(t, "linked", come(google("5", "", false)).ID, eve.ID)
	keys, err := auth.UserKeys(ctx, eve.ID)
	kit.Must(t, err)
	kit.Equal(t, "keys", len(keys), 3)

	// Proved signs in by keys without a password alone.
	_, err = auth.SignIn(ctx, gormkey.Proved("email", address))
	kit.Is(t, "Proved for a key with a password", err, gormkey.ErrInvalidCredentials)
	last := gormkey.KeyID{Provider: "google", ID: "1"}
	kit.Is(t, "the last key", auth.RemoveKey(ctx, first.ID, last), gormkey.ErrLastKey)
	kit.Must(t, auth.RemoveKey(ctx, first.ID, last, gormkey.AllowLastKey()))

	t.Run("github", func(t *testing.T) {
		checkFlow(t, a, newGitHub, func(p *provider, url string) { p.identify = githubAPI(url).identify })
	})
	t.Run("google", func(t *testing.T) {
		checkFlow(t, a, newGoogle, func(p *provider, url string) { p.identify = userinfo(url + "/userinfo").identify })
	})
}

// fake plays the provider. It asks what a good one asks: the secret, the exact callback, PKCE,
// and each code once.
type fake struct {
	*http.ServeMux
	me         provider
	challenges map[string]string // by code
	answers    map[string]string // by path
}

func newFake() *fake {
	f := &fake{ServeMux: http.NewServeMux(), challenges: map[string]string{}, answers: map[string]string{}}
	f.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("client_id") != f.me.ID || q.Get("redirect_uri") != f.me.Callback || q.Get("response_type") != "code" || q.Get("scope") != f.me.Scope ||
			len(q.Get("state")) < 22 || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 {
			http.Error(w, "a bad request: "+q.Encode(), http.StatusBadRequest)
			return
		}
		code := rand.Text()
		f.challenges[code] = q.Get("code_challenge")
		http.Redirect(w, r, f.me.Callback+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
	})
	f.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		code, verifier := r.PostFormValue("code"), r.PostFormValue("code_verifier")
		challenge := sha256.Sum256([]byte(verifier))
		ok := f.challenges[code] == base64.RawURLEncoding.EncodeToString(challenge[:]) && len(verifier) >= 43 && len(verifier) <= 128
		delete(f.challenges, code)
		if !ok || r.PostFormValue("client_id") != f.me.ID || r.PostFormValue("client_secret") != f.me.Secret ||
			r.PostFormValue("redirect_uri") != f.me.Callback || r.PostFormValue("grant_type") != "authorization_code" || r.Header.Get("Accept") != "application/json" {
			_, _ = io.WriteString(w, `{"error":"bad_verification_code"}`) // with 200, as GitHub does
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"the token","token_type":"bearer"}`)
	})
	f.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		answer, ok := f.answers[r.URL.Path]
		if !ok || r.Header.Get("Authorization") != "Bearer the token" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, answer)
	})
	return f
}

// checkFlow goes from the button to the account.
func checkFlow(t *testing.T, a *app, newProvider func(id, secret, callback string) provider, local func(p *provider, url string)) {
	f := newFake()
	there := httptest.NewServer(f)
	t.Cleanup(there.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/sign-in", a.begin)
	mux.HandleFunc("GET /oauth/callback", a.callback)
	mux.Handle("GET /account", a.web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		me := a.web.User(r.Context())
		verified := "nothing"
		if me.VerifiedEmail != nil {
			verified = *me.VerifiedEmail
		}
		keys, err := a.auth.UserKeys(r.Context(), me.ID)
		kit.Must(t, err)
		_, _ = fmt.Fprint(w, keys[0].ID, " ", verified)
	})))
	b := kit.Serve(t, mux)
	p := newProvider("id", "secret & more", b.Base()+"/oauth/callback")
	for _, address := range []string{p.AuthURL, p.TokenURL} {
		kit.Equal(t, address, strings.HasPrefix(address, "https://"), true)
	}
	p.AuthURL, p.TokenURL = there.URL+"/authorize", there.URL+"/token"
	local(&p, there.URL)
	a.provider, f.me = p, p

	// begin returns the path of the callback to which the provider sends the browser.
	begin := func(b *kit.Browser) string {
		t.Helper()
		status, header := b.Header("POST", "/oauth/sign-in")
		kit.Equal(t, "begin", status, 303)
		answer, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(header.Get("Location"))
		kit.Must(t, err)
		defer func() { _ = answer.Body.Close() }()
		text, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != 303 {
			t.Fatalf("the provider: %s", text)
		}
		return strings.TrimPrefix(answer.Header.Get("Location"), b.Base())
	}
	// A link from another site brings the browser back.
	follow := func(b *kit.Browser, path string, want int) {
		t.Helper()
		status, body := b.With("Sec-Fetch-Site", "cross-site").Get(path)
		if status != want {
			t.Errorf("callback: got %d %q, want %d", status, body, want)
		}
	}
	come := func(want string) {
		t.Helper()
		b := b.Another()
		follow(b, begin(b), 303)
		_, body := b.Get("/account")
		kit.Equal(t, "account", body, want)
	}

	if strings.HasPrefix(p.Scope, "openid") {
		f.answers["/userinfo"] = `{"sub":"77","email":"Kim@example.com","email_verified":true}`
		come("google:77 kim@example.com")
		f.answers["/userinfo"] = `{"sub":"78","email":"lee@example.com","email_verified":"true"}`
		come("google:78 nothing")
		f.answers["/userinfo"] = `{"sub":"79","email":"lee@example.com"}`
		come("google:79 nothing")
		f.answers["/userinfo"] = `{"email":"lee@example.com","email_verified":true}`
		follow(b, begin(b), 502)
		return
	}
	f.answers["/user"] = `{"id":583231,"login":"octocat","email":"public@example.com"}`
	follow(b, begin(b), 502) // without the addresses
	f.answers["/user/emails"] = `[{"email":"old@example.com","primary":false,"verified":true},
		{"email":"Octo@example.com","primary":true,"verified":true},{"email":"x@example.com","primary":false,"verified":true}]`
	come("github:583231 octo@example.com")
	f.answers["/user"] = `{"id":583232,"login":"octocat"}`
	f.answers["/user/emails"] = `[{"email":"old@example.com","primary":false,"verified":true},{"email":"typed@example.com","primary":true,"verified":false}]`
	come("github:583232 nothing")
	f.answers["/user"] = `{"login":"octocat"}`
	follow(b, begin(b), 502)
	f.answers["/user"] = `{"id":583231}`

	status, _ := b.With("Sec-Fetch-Site", "cross-site").Post("/oauth/sign-in")
	kit.Equal(t, "begun by another site", status, 403)
	path := begin(b)
	follow(b.Another(), path, 400) // another browser, which an attacker sends there
	follow(b, strings.Replace(path, "state=", "state=A", 1), 400)
	follow(b, path, 400) // the cookie was good for one answer
	path = begin(b)
	u, err := url.Parse(path)
	kit.Must(t, err)
	follow(b, "/oauth/callback?error=access_denied&state="+u.Query().Get("state"), 401)
	mine, other := begin(b), b.Another()
	theirs, err := url.Parse(begin(other))
	kit.Must(t, err)
	u, err = url.Parse(mine)
	kit.Must(t, err)
	follow(b, "/oauth/callback?code="+theirs.Query().Get("code")+"&state="+u.Query().Get("state"), 502) // PKCE
	kit.Equal(t, "cookies", len(b.Cookies()), 0)
	f.me.Secret = "other"
	follow(b, begin(b), 502)
	f.me.Secret = p.Secret
	follow(b, begin(b), 303)
}
