package httpauth_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

// Browsers refuse a cookie with the prefix __Host- that has a domain, so it needs another name.
func ExampleCookieDomain() {
	_, db, _, done := exampleSite()
	defer done()

	_, err := httpauth.New(exampleAuth(db), httpauth.CookieDomain("example.com"))
	fmt.Println(err)
	_, err = httpauth.New(exampleAuth(db), httpauth.CookieDomain("example.com"), httpauth.CookieName("__Secure-auth_session"))
	fmt.Println(err)
	// Output:
	// httpauth: CookieDomain: the name "__Host-auth_session" wants no domain; give CookieName one with __Secure- for "example.com"
	// <nil>
}

// A browser is sent to the form, and a script is told that it is not signed in.
func ExampleRedirectAnonymous() {
	web, _, _, done := exampleSite(httpauth.RedirectAnonymous("/sign-in"))
	defer done()

	account := web.RequireUser(http.NotFoundHandler())
	page := serve(account, request("GET", "/account", "Accept", "text/html"))
	fmt.Println(page.Code, page.Header().Get("Location"))
	script := serve(account, request("GET", "/account", "Accept", "application/json"))
	fmt.Println(script.Code, script.Body)
	// Output:
	// 303 /sign-in?next=%2Faccount
	// 401 {"error":"unauthenticated","message":"Unauthorized"}
}

// The forms of another origin of the application are let in. Its other subdomains are not.
func ExampleTrustedOrigins() {
	web, _, _, done := exampleSite(httpauth.TrustedOrigins("https://admin.example.com"))
	defer done()

	for _, origin := range []string{"https://admin.example.com", "https://blog.example.com"} {
		r := request("POST", "https://example.com/orders", "Sec-Fetch-Site", "same-site", "Origin", origin)
		fmt.Println(origin, web.CheckOrigin(r) == nil)
	}
	// Output:
	// https://admin.example.com true
	// https://blog.example.com false
}

// Behind a proxy the throttle counts the clients, and not the proxy as the one client.
func ExampleTrustedProxies() {
	_, db, _, done := exampleSite()
	defer done()
	proxy := []httpauth.Option{httpauth.TrustedProxies(netip.MustParsePrefix("10.0.0.0/8"))}
	for _, opts := range [][]httpauth.Option{nil, proxy} {
		web, err := httpauth.New(exampleAuth(db), opts...)
		if err != nil {
			log.Fatal(err)
		}
		r := request("POST", "/sign-in", "X-Forwarded-For", "192.0.2.7")
		r.RemoteAddr = "10.0.0.1:4000"
		fmt.Println(web.KnownClient(r).Address)
	}
	// Output:
	// 10.0.0.1
	// 192.0.2.7
}

// The handler writes the status too. Without one it would be 200.
func ExampleWithAnonymous() {
	web, _, _, done := exampleSite(httpauth.WithAnonymous(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "Sign in to see "+r.URL.Path)
	})))
	defer done()

	b := &browser{site: web.RequireUser(http.NotFoundHandler())}
	fmt.Println(b.send("GET", "/orders", nil))
	// Output: 401 Sign in to see /orders
}

// The answers of an application have a form of their own. CheckOrigin gives the reason.
func ExampleWithCrossOrigin() {
	var web *httpauth.Auth[Account, gormkey.Session[Account]]
	refused := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]string{"title": web.CheckOrigin(r).Error()})
	})
	web, _, _, done := exampleSite(httpauth.WithCrossOrigin(refused))
	defer done()

	answer := serve(web.RequireUser(http.NotFoundHandler()), request("POST", "/orders", "Sec-Fetch-Site", "cross-site"))
	fmt.Println(answer.Code, answer.Body)
	// Output:
	// 403 {"title":"httpauth: cross-origin request: Sec-Fetch-Site is \"cross-site\": the page that sent this is of another origin; if it is yours, give its origin to TrustedOrigins"}
}

// The database is down: the user sees a page, and stays signed in.
func ExampleWithUnavailable() {
	web, db, ada, done := exampleSite(httpauth.WithUnavailable(func(w http.ResponseWriter, r *http.Request, err error) {
		fmt.Println("to the log:", err)
		w.Header().Set("Retry-After", "10")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "We are back in a moment.")
	}))
	defer done()

	b := exampleBrowser(web, ada, web.RequireUser(http.NotFoundHandler()))
	if pool, err := db.DB(); err == nil {
		_ = pool.Close()
	}
	fmt.Println(b.send("GET", "/account", nil))
	fmt.Println("cookies:", len(b.cookies))
	// Output:
	// to the log: gormkey: db: is closed
	// 503 We are back in a moment.
	// cookies: 1
}
