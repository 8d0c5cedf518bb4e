package httpauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

// exampleSite opens a database with one account, ada@example.com.
func exampleSite(opts ...httpauth.Option) (web *httpauth.Auth[Account, gormkey.Session[Account]], db *gorm.DB, ada *Account, done func()) {
	folder, err := os.MkdirTemp("", "httpauth-example-")
	if err != nil {
		log.Fatal(err)
	}
	db, err = gorm.Open(sqlite.Open("file:"+filepath.Join(folder, "app.db")+"?_pragma=foreign_keys(1)&_txlock=immediate"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		log.Fatal(err)
	}
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(authtest.FastHasher()), gormkey.WithOneTimeTokens())
	if err := errors.Join(db.Use(plugin), plugin.AutoMigrate(db)); err != nil {
		log.Fatal(err)
	}
	auth := exampleAuth(db)
	ada = &Account{Email: "ada@example.com"}
	if err := auth.CreateUser(context.Background(), ada, credentials("ada")); err != nil {
		log.Fatal(err)
	}
	if web, err = httpauth.New(auth, opts...); err != nil {
		log.Fatal(err)
	}
	return web, db, ada, func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
		_ = os.RemoveAll(folder)
	}
}

// exampleAuth returns the operations on a database of exampleSite.
func exampleAuth(db *gorm.DB) *gormkey.Repository[Account] {
	auth, err := gormkey.From[Account](db)
	if err != nil {
		log.Fatal(err)
	}
	return auth
}

// exampleLimits makes a throttle on a database of exampleSite.
func exampleLimits(db *gorm.DB) *throttle.Throttle {
	limits, err := throttle.New(db)
	if err == nil {
		err = limits.AutoMigrate()
	}
	if err != nil {
		log.Fatal(err)
	}
	return limits
}

// exampleBrowser returns a browser of the site in which a user is signed in.
func exampleBrowser(web *httpauth.Auth[Account, gormkey.Session[Account]], user *Account, site http.Handler) *browser {
	b := &browser{site: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := web.OpenSession(w, r, user.ID); err != nil {
			log.Fatal(err)
		}
	})}
	b.send("POST", "/", nil)
	b.site = site
	return b
}

// browser keeps cookies, and says where its requests come from.
type browser struct {
	site    http.Handler
	cookies map[string]*http.Cookie
}

func (b *browser) send(method, path string, form url.Values) string {
	r := httptest.NewRequest(method, "https://example.com"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.site.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if b.cookies == nil {
			b.cookies = map[string]*http.Cookie{}
		}
		if b.cookies[c.Name] = c; c.Value == "" {
			delete(b.cookies, c.Name)
		}
	}
	if location := w.Header().Get("Location"); location != "" {
		return fmt.Sprint(w.Code, " ", location)
	}
	return fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String()))
}

func ExampleNew() {
	web, _, _, done := exampleSite()
	defer done()

	mux := http.NewServeMux()
	mux.Handle("GET /account", web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, web.User(r.Context()).Email) // a *Account
	})))
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		_, err := web.SignIn(w, r, gormkey.Credentials{Provider: "email", ID: gormkey.FoldEmail(r.PostFormValue("email")), Password: r.PostFormValue("password")})
		if err != nil {
			web.Error(w, r, err)
			return
		}
		http.Redirect(w, r, httpauth.LocalPath(r.FormValue("next"), "/account"), http.StatusSeeOther)
	})
	mux.HandleFunc("POST /sign-out", func(w http.ResponseWriter, r *http.Request) {
		if err := web.SignOut(w, r); err != nil {
			web.Error(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})

	b := &browser{site: mux}
	fmt.Println(b.send("GET", "/account", nil))
	fmt.Println(b.send("POST", "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"a guess"}}))
	fmt.Println(b.send("POST", "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"correct horse battery staple"}}))
	fmt.Println(b.send("GET", "/account", nil))
	fmt.Println(b.send("POST", "/sign-out", nil))
	fmt.Println(b.send("GET", "/account", nil))
	// Output:
	// 401 Unauthorized
	// 401 Unauthorized
	// 303 /account
	// 200 ada@example.com
	// 303 /
	// 401 Unauthorized
}

func ExampleAuth_RequireUser() {
	web, _, ada, done := exampleSite(httpauth.RedirectAnonymous("/sign-in"))
	defer done()

	mux := http.NewServeMux()
	mux.Handle("/account", web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, web.User(r.Context()).Email)
	})))
	mux.HandleFunc("POST /sign-up", func(w http.ResponseWriter, r *http.Request) {
		if _, err := web.OpenSession(w, r, ada.ID); err != nil { // after CreateUser
			web.Error(w, r, err)
		}
	})

	b := &browser{site: mux}
	fmt.Println(b.send("GET", "/account?tab=1", nil))
	b.send("POST", "/sign-up", nil)
	fmt.Println(b.send("GET", "/account?tab=1", nil))
	// Output:
	// 303 /sign-in?next=%2Faccount%3Ftab%3D1
	// 200 ada@example.com
}

func ExampleAuth_OptionalUser() {
	web, _, ada, done := exampleSite()
	defer done()

	home := web.OptionalUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user := web.User(r.Context()); user != nil {
			_, _ = io.WriteString(w, "Hello, "+user.Email)
			return
		}
		if r.Method == http.MethodPost {
			_, _ = web.OpenSession(w, r, ada.ID)
		}
		_, _ = io.WriteString(w, "Hello, whoever you are")
	}))

	b := &browser{site: home}
	fmt.Println(b.send("GET", "/", nil))
	b.send("POST", "/", nil)
	fmt.Println(b.send("GET", "/", nil))
	// Output:
	// 200 Hello, whoever you are
	// 200 Hello, ada@example.com
}

func ExampleAuth_RequireBearer() {
	web, _, ada, done := exampleSite()
	defer done()

	session, err := web.OpenSession(httptest.NewRecorder(), post("/"), ada.ID)
	if err != nil {
		log.Fatal(err)
	}
	api := web.RequireBearer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, web.User(r.Context()).Email)
	}))

	r := httptest.NewRequest("DELETE", "https://example.com/api/orders/1", nil)
	r.Header.Set("Authorization", "Bearer "+string(session.Token))
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)

	r.Header.Set("Authorization", "Bearer something-else-that-is-no-token")
	w = httptest.NewRecorder()
	api.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 200 ada@example.com
	// 401 Bearer error="invalid_token"
}

func ExampleAuth_SignIn() {
	_, db, _, done := exampleSite()
	defer done()
	limits := exampleLimits(db)
	web, err := httpauth.New(exampleAuth(db), httpauth.WithThrottle(limits), httpauth.TrustedProxies(netip.MustParsePrefix("10.0.0.0/8")))
	if err != nil {
		log.Fatal(err)
	}

	b := &browser{site: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := web.SignIn(w, r, gormkey.Credentials{Provider: "email", ID: gormkey.FoldEmail(r.PostFormValue("email")), Password: r.PostFormValue("password")})
		if err != nil {
			web.Error(w, r, err)
			return
		}
		_, _ = io.WriteString(w, session.User.Email)
	})}
	fmt.Println(b.send("POST", "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"correct horse battery staple"}}))
	for range 6 {
		fmt.Println(b.send("POST", "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"a guess"}}))
	}
	// Output:
	// 200 ada@example.com
	// 401 Unauthorized
	// 401 Unauthorized
	// 401 Unauthorized
	// 401 Unauthorized
	// 401 Unauthorized
	// 429 Too Many Requests
}

func ExampleAuth_Validate() {
	web, _, ada, done := exampleSite()
	defer done()
	session, err := web.OpenSession(httptest.NewRecorder(), post("/"), ada.ID)
	if err != nil {
		log.Fatal(err)
	}

	// For a router whose handlers have another form.
	signedIn := func(w http.ResponseWriter, r *http.Request) string {
		session, err := web.Validate(w, r)
		switch {
		case errors.Is(err, gormkey.ErrInvalidSession):
			return "nobody"
		case err != nil:
			status, _ := httpauth.Status(err)
			return http.StatusText(status)
		}
		return session.User.Email
	}

	fmt.Println(signedIn(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)))
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: httpauth.DefaultCookieName, Value: string(session.Token)})
	fmt.Println(signedIn(httptest.NewRecorder(), r))
	r.Method = "POST"
	r.Header.Set("Origin", "https://evil.example")
	fmt.Println(signedIn(httptest.NewRecorder(), r))
	// Output:
	// nobody
	// ada@example.com
	// Forbidden
}

func ExampleLocalPath() {
	for _, next := range []string{"/account?tab=1", "https://evil.example/", "//evil.example/", `/\evil.example/`, ""} {
		fmt.Println(httpauth.LocalPath(next, "/"))
	}
	// Output:
	// /account?tab=1
	// /
	// /
	// /
	// /
}

// A sign-up form makes the user and signs them in.
func ExampleAuth_OpenSession() {
	web, _, ada, done := exampleSite()
	defer done()
	w := httptest.NewRecorder()
	session, err := web.OpenSession(w, post("/sign-up"), ada.ID)
	if err != nil {
		log.Fatal(err)
	}
	cookie := w.Result().Cookies()[0]
	fmt.Println(cookie.Name, cookie.Value == string(session.Token), cookie.Secure, cookie.HttpOnly)
	// Output: __Host-auth_session true true true
}

func ExampleAuth_SignOut() {
	web, _, ada, done := exampleSite()
	defer done()
	session, err := web.OpenSession(httptest.NewRecorder(), post("/"), ada.ID)
	if err != nil {
		log.Fatal(err)
	}
	b := &browser{cookies: map[string]*http.Cookie{"": {Name: httpauth.DefaultCookieName, Value: string(session.Token)}}}
	b.site = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := web.SignOut(w, r); err != nil {
			web.Error(w, r, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	fmt.Println(b.send("POST", "/sign-out", nil))
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: httpauth.DefaultCookieName, Value: string(session.Token)})
	_, err = web.Validate(httptest.NewRecorder(), r)
	fmt.Println(err)
	// Output:
	// 303 /
	// gormkey: invalid session
}

// A handler that changes something without asking who is signed in.
func ExampleAuth_CheckOrigin() {
	web, _, _, done := exampleSite()
	defer done()
	r := httptest.NewRequest("POST", "https://example.com/newsletter", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	err := web.CheckOrigin(r)
	fmt.Println(errors.Is(err, httpauth.ErrCrossOrigin))
	fmt.Println(err)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	fmt.Println(web.CheckOrigin(r))
	// Output:
	// true
	// httpauth: cross-origin request: Sec-Fetch-Site is "cross-site": the page that sent this is of another origin; if it is yours, give its origin to TrustedOrigins
	// <nil>
}

func ExampleStatus() {
	for _, err := range []error{gormkey.ErrInvalidCredentials, gormkey.ErrDuplicateKey, gormkey.ErrBusy, httpauth.ErrCrossOrigin, nil} {
		fmt.Println(httpauth.Status(err))
	}
	// Output:
	// 401 0
	// 409 0
	// 503 1
	// 403 0
	// 200 0
}

// Behind a proxy the address of the client is in a header.
func ExampleAuth_ClientAddress() {
	web, _, _, done := exampleSite(httpauth.TrustedProxies(netip.MustParsePrefix("10.0.0.0/8")))
	defer done()
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.0.0.1:4000"
	r.Header.Set("X-Forwarded-For", "203.0.113.5, 192.0.2.7") // the first is the client's own text
	fmt.Println(web.ClientAddress(r))
	// Output: 192.0.2.7
}
