package httpauth_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

const trusted = "https://admin.example.org"

// methods are those of HTTP, of WebDAV, and of nobody.
var methods = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get", "post", "Options", ""}

// origins are what a request may say of where it comes from.
var origins = []struct {
	name           string
	sites, origins []string
}{
	{"nothing", nil, nil},
	{"same-origin", []string{"same-origin"}, nil},
	{"typed in", []string{"none"}, nil},
	{"same-site", []string{"same-site"}, nil},
	{"cross-site", []string{"cross-site"}, nil},
	{"garbage", []string{"Same-Origin"}, nil},
	{"garbage, two words", []string{"same-origin, none"}, nil},
	{"empty site", []string{""}, nil},
	{"site repeated", []string{"same-origin", "same-origin"}, nil},
	{"site repeated, differently", []string{"same-origin", "cross-site"}, nil},
	{"same-origin with Origin", []string{"same-origin"}, []string{"https://example.com"}},
	{"same-site with Origin", []string{"same-site"}, []string{"https://www.example.com"}},
	{"cross-site, Origin of the site", []string{"cross-site"}, []string{"https://example.com"}},
	{"cross-site, evil", []string{"cross-site"}, []string{"https://evil.com"}},
	{"cross-site, null", []string{"cross-site"}, []string{"null"}},
	{"cross-site, trusted", []string{"cross-site"}, []string{trusted}},
	{"cross-site, Origin repeated", []string{"cross-site"}, []string{trusted, trusted}},
	{"Origin", nil, []string{"https://example.com"}},
	{"Origin, empty site", []string{""}, []string{"https://example.com"}},
	{"Origin on http", nil, []string{"http://example.com"}},
	{"Origin, other scheme", nil, []string{"ftp://example.com"}},
	{"Origin of an extension", nil, []string{"chrome-extension://example.com"}},
	{"Origin, other", nil, []string{"https://evil.com"}},
	{"Origin, other port", nil, []string{"https://example.com:8443"}},
	{"Origin, subdomain", nil, []string{"https://www.example.com"}},
	{"Origin, ends alike", nil, []string{"https://evilexample.com"}},
	{"Origin, begins alike", nil, []string{"https://example.com.evil.com"}},
	{"Origin null", nil, []string{"null"}},
	{"Origin empty", nil, []string{""}},
	{"Origin repeated", nil, []string{"https://example.com", "https://example.com"}},
	{"Origin, evil beside it", nil, []string{"https://example.com", "https://evil.com"}},
	{"Origin without scheme", nil, []string{"example.com"}},
	{"Origin, scheme alone", nil, []string{"https://"}},
	{"Origin, relative", nil, []string{"//example.com"}},
	{"Origin, opaque", nil, []string{"https:example.com"}},
	{"Origin, IDN", nil, []string{"https://bücher.example"}},
	{"Origin, user name", nil, []string{"https://example.com@evil.com"}},
	{"Origin, backslash", nil, []string{`https://example.com\@evil.com`}},
	{"Origin, control", nil, []string{"https://example.com\x00.evil.com"}},
	{"Origin, no UTF-8", nil, []string{"https://example.com\xff"}},
	{"Origin, loopback", nil, []string{"http://localhost:3000"}},
	{"Origin, IPv6 loopback", nil, []string{"http://[::1]:3000"}},
	{"Origin, 127.0.0.1", nil, []string{"http://127.0.0.1:3000"}},
	{"Origin, loopback in its name", nil, []string{"http://localhost.evil.com:3000"}},
	{"Origin, trusted", nil, []string{trusted}},
	{"Origin, trusted on http", nil, []string{"http://admin.example.org"}},
	{"Origin, trusted on another port", nil, []string{trusted + ":8443"}},
	{"Origin, subdomain of the trusted", nil, []string{"https://x.admin.example.org"}},
}

var hosts = []string{"example.com", "example.com:8443", "Example.com", "", "localhost:3000", "[::1]:3000", "127.0.0.1:3000", "localhost.evil.com:3000", "xn--bcher-kva.example"}

// provesOrigin is the rule, written by hand: method, then the browser's word, then Origin.
func provesOrigin(r *http.Request, insecure bool, trust []string) bool {
	if slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, r.Method) && len(r.Header["Upgrade"]) == 0 {
		return true
	}
	origins, sites := r.Header["Origin"], r.Header["Sec-Fetch-Site"]
	if len(origins) > 1 || len(sites) > 1 {
		return false
	}
	origin, site := strings.Join(origins, ""), strings.Join(sites, "")
	switch {
	case site == "same-origin" || site == "none":
		return true
	case slices.Contains(trust, origin):
		return true
	case site != "" || r.Host == "":
		return false
	case origin == "https://"+r.Host:
		return true
	}
	loopback := slices.Contains([]string{"localhost:3000", "[::1]:3000", "127.0.0.1:3000"}, r.Host)
	return origin == "http://"+r.Host && r.TLS == nil && (insecure || loopback)
}

func TestR14CrossOrigin(t *testing.T) {
	s := newSite(t)
	for _, insecure := range []bool{false, true} {
		for _, trust := range [][]string{nil, {trusted}} {
			opts := []httpauth.Option{httpauth.TrustedOrigins(trust...)}
			if insecure {
				opts = append(opts, httpauth.InsecureCookie())
			}
			web := s.with(opts...)
			let, refused := 0, 0
			for _, method := range methods {
				for _, o := range origins {
					for _, host := range hosts {
						for _, onTLS := range []bool{false, true} {
							for _, upgrade := range []bool{false, true} {
								r := request(method, "/", "Host", host)
								r.Header["Origin"], r.Header["Sec-Fetch-Site"] = o.origins, o.sites
								if onTLS {
									r.TLS = new(tls.ConnectionState)
								}
								if upgrade {
									r.Header.Set("Upgrade", "websocket")
								}
								err, want := web.CheckOrigin(r), provesOrigin(r, insecure, trust)
								if want {
									let++
								} else {
									refused++
								}
								if (err == nil) != want || err != nil && !errors.Is(err, httpauth.ErrCrossOrigin) {
									t.Errorf("%s, %q, host %q, TLS %t, upgrade %t, insecure %t, trust %q: got %v, want it to pass: %t",
										o.name, method, host, onTLS, upgrade, insecure, trust, err, want)
								}
							}
						}
					}
				}
			}
			if let < 1000 || refused < 5000 {
				t.Errorf("%d passed and %d refused, want both sides looked at", let, refused)
			}
		}
	}
}

// TestR14EveryVerb: what reads the cookie, or sets it, asks the origin first.
func TestR14EveryVerb(t *testing.T) {
	s := newSiteOf(t, []gormkey.Option{gormkey.WithOneTimeTokens()}, httpauth.TrustedOrigins(trusted))
	account := s.signUp("ada")
	opened, err := s.auth.OpenSession(t.Context(), account.ID)
	must(t, err)
	called := false
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })
	calls := func(call func(w http.ResponseWriter, r *http.Request) error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := call(w, r); err != nil {
				s.web.Error(w, r, err)
				return
			}
			called = true
		})
	}
	verbs := map[string]http.Handler{
		"RequireUser":  s.web.RequireUser(next),
		"OptionalUser": s.web.OptionalUser(next),
		"Validate":     calls(func(w http.ResponseWriter, r *http.Request) error { _, err := s.web.Validate(w, r); return err }),
		"SignOut":      calls(s.web.SignOut),
		"SignIn": calls(func(w http.ResponseWriter, r *http.Request) error {
			_, err := s.web.SignIn(w, r, credentials("ada"))
			return err
		}),
		"OpenSession": calls(func(w http.ResponseWriter, r *http.Request) error {
			_, err := s.web.OpenSession(w, r, account.ID)
			return err
		}),
		"SignInWithToken": calls(func(w http.ResponseWriter, r *http.Request) error {
			_, err := s.web.SignInWithToken(w, r, knownToken)
			if errors.Is(err, gormkey.ErrInvalidToken) { // it was looked at
				return nil
			}
			return err
		}),
	}
	for verb, h := range verbs {
		for _, method := range methods {
			for _, o := range origins {
				token := opened.Token
				if verb != "RequireUser" && verb != "OptionalUser" && verb != "Validate" {
					token = knownToken // lest it end
				}
				r := request(method, "/", "Cookie", cookie(token))
				r.Header["Origin"], r.Header["Sec-Fetch-Site"] = o.origins, o.sites
				want := provesOrigin(r, false, []string{trusted})
				s.wire.taken()
				called = false
				w := serve(h, r)
				what := fmt.Sprintf("%s, %q, %s", verb, method, o.name)
				equal(t, what+": passes", called, want)
				if !want {
					equal(t, what+": status", w.Code, http.StatusForbidden)
					equal(t, what+": number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
					equal(t, what+": number of statements", len(s.wire.taken()), 0)
				}
			}
		}
	}
	equal(t, "the session is alive", s.alive(opened.Token), true)
}

// TestR14WebSocket: a handshake is a GET, to which browsers add cookies from any page.
func TestR14WebSocket(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	for name, h := range map[string]http.Handler{"RequireUser": s.web.RequireUser(s.who()), "OptionalUser": s.web.OptionalUser(s.who())} {
		for origin, want := range map[string]int{"https://example.com": 200, "https://evil.com": 403, "null": 403, "": 403} {
			r := request("GET", "/", "Cookie", cookie(token), "Connection", "Upgrade", "Upgrade", "websocket")
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			equal(t, name+", from "+origin, serve(h, r).Code, want)
			// Nor does a bearer token make it another's: a page cannot send one.
			r.Header.Set("Authorization", bearer(token))
			equal(t, name+" with a bearer token, from "+origin, serve(h, r).Code, want)
			r.Header.Del("Cookie")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			equal(t, name+" without the cookie, across sites, from "+origin, serve(h, r).Code, 403)
		}
	}
}

// TestR14BearerWithoutOrigin: a program with a token needs no Origin, unless its request
// has a cookie that could be believed.
func TestR14BearerWithoutOrigin(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	optional, require := s.web.OptionalUser(s.who()), s.web.RequireUser(s.who())
	for _, test := range []struct {
		name    string
		h       http.Handler
		headers []string
		status  int
		body    string
	}{
		{"OptionalUser, bearer", optional, []string{"Authorization", bearer(token)}, 200, "nobody"},
		{"OptionalUser, bearer, cross-site", optional, []string{"Authorization", bearer(token), "Sec-Fetch-Site", "cross-site"}, 200, "nobody"},
		{"OptionalUser, bearer and cookie", optional, []string{"Authorization", bearer(token), "Cookie", cookie(token)}, 403, "Forbidden\n"},
		{"OptionalUser, bearer and a dead cookie", optional, []string{"Authorization", bearer(token), "Cookie", cookie(knownToken)}, 403, "Forbidden\n"},
		{"OptionalUser, bearer and another cookie", optional, []string{"Authorization", bearer(token), "Cookie", "theme=dark"}, 200, "nobody"},
		{"OptionalUser, nothing", optional, nil, 403, "Forbidden\n"},
		{"OptionalUser, Basic", optional, []string{"Authorization", "Basic " + string(token)}, 403, "Forbidden\n"},
		{"OptionalUser, bearer of nothing", optional, []string{"Authorization", "Bearer "}, 403, "Forbidden\n"},
		{"RequireUser, bearer", require, []string{"Authorization", bearer(token)}, 401, "Unauthorized\n"},
		{"RequireUser, bearer and cookie", require, []string{"Authorization", bearer(token), "Cookie", cookie(token)}, 403, "Forbidden\n"},
		{"RequireBearer, bearer", s.web.RequireBearer(s.who()), []string{"Authorization", bearer(token)}, 200, "ada@example.com"},
		{"RequireBearer in OptionalUser", s.web.OptionalUser(s.web.RequireBearer(s.who())), []string{"Authorization", bearer(token)}, 200, "ada@example.com"},
	} {
		w := serve(test.h, request("POST", "/", test.headers...))
		equal(t, test.name+": status", w.Code, test.status)
		equal(t, test.name+": body", w.Body.String(), test.body)
	}
	// What sets a cookie takes no bearer token for a proof.
	w := httptest.NewRecorder()
	_, err := s.web.SignIn(w, request("POST", "/", "Authorization", bearer(token)), credentials("ada"))
	wantErr(t, "SignIn with a bearer token and no Origin", err, httpauth.ErrCrossOrigin)
	wantErr(t, "SignOut with a bearer token and no Origin", s.web.SignOut(w, request("POST", "/", "Authorization", bearer(token))), httpauth.ErrCrossOrigin)
}

// TestTrustedOriginOnce: trust is for one Auth, and for the whole origin.
func TestTrustedOriginOnce(t *testing.T) {
	s := newSite(t)
	web := s.with(httpauth.TrustedOrigins(trusted), httpauth.TrustedOrigins("http://old.example.com:8080"))
	for origin, want := range map[string]bool{trusted: true, "http://old.example.com:8080": true, "http://old.example.com": false, "https://old.example.com:8080": false} {
		r := request("POST", "/", "Origin", origin, "Sec-Fetch-Site", "cross-site")
		equal(t, origin+" passes", web.CheckOrigin(r) == nil, want)
		equal(t, origin+" passes where nothing is trusted", s.web.CheckOrigin(r) == nil, false)
	}
}
