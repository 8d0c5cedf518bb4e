package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/httpauth"
)

// varies returns the names in a response's Vary, sorted.
func varies(w http.ResponseWriter) string {
	var names []string
	for _, line := range w.Header()["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

func TestR13NotCacheable(t *testing.T) {
	s := newSite(t, httpauth.WithUnavailable(func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusServiceUnavailable) }))
	token := s.open("ada")
	require, optional, bearers := s.web.RequireUser(s.who()), s.web.OptionalUser(s.who()), s.web.RequireBearer(s.who())
	redirecting := s.with(httpauth.RedirectAnonymous("/sign-in"))
	const noStore = "no-store"
	for _, test := range []struct {
		name        string
		h           http.Handler
		r           *http.Request
		down        bool
		status      int
		cache, vary string
	}{
		{"RequireUser, signed in", require, request("GET", "/", "Cookie", cookie(token)), false, 200, noStore, "Cookie"},
		{"RequireUser, nobody", require, request("GET", "/"), false, 401, noStore, "Cookie"},
		{"RequireUser, dead", require, request("GET", "/", "Cookie", cookie(knownToken)), false, 401, noStore, "Cookie"},
		{"RequireUser, redirected", redirecting.RequireUser(s.who()), request("GET", "/"), false, 303, noStore, "Cookie"},
		{"RequireUser, cross-origin", require, request("POST", "/", "Cookie", cookie(token)), false, 403, noStore, "Cookie"},
		{"RequireUser, the database fails", require, request("GET", "/", "Cookie", cookie(token)), true, 503, noStore, "Cookie"},
		{"OptionalUser, signed in", optional, request("GET", "/", "Cookie", cookie(token)), false, 200, noStore, "Cookie"},
		{"OptionalUser, nobody", optional, request("GET", "/"), false, 200, "", "Cookie"},
		{"OptionalUser, dead", optional, request("GET", "/", "Cookie", cookie(knownToken)), false, 200, "", "Cookie"},
		{"OptionalUser, cross-origin", optional, request("POST", "/", "Cookie", cookie(token)), false, 403, noStore, "Cookie"},
		{"OptionalUser, the database fails", optional, request("GET", "/", "Cookie", cookie(token)), true, 503, noStore, "Cookie"},
		{"RequireBearer, signed in", bearers, request("GET", "/", "Authorization", bearer(token)), false, 200, noStore, "Authorization"},
		{"RequireBearer, nobody", bearers, request("GET", "/"), false, 401, noStore, "Authorization"},
		{"RequireBearer, the database fails", bearers, request("GET", "/", "Authorization", bearer(token)), true, 503, noStore, "Authorization"},
		{"nested", s.web.OptionalUser(require), request("GET", "/", "Cookie", cookie(token)), false, 200, noStore, "Cookie"},
		{"both kinds", s.web.OptionalUser(bearers), request("GET", "/", "Cookie", cookie(token), "Authorization", bearer(token)), false, 200, noStore, "Authorization,Cookie"},
	} {
		if test.down {
			s.wire.breaks("")
		}
		w := serve(test.h, test.r)
		s.wire.breaks("-")
		equal(t, test.name+": status", w.Code, test.status)
		equal(t, test.name+": Cache-Control", strings.Join(w.Header()["Cache-Control"], "|"), test.cache)
		equal(t, test.name+": Vary", varies(w), test.vary)
	}
	s.clock.Advance(authtest.ActivePeriod + time.Millisecond)
	w := serve(require, request("GET", "/", "Cookie", cookie(token)))
	equal(t, "renewed: number of Set-Cookie", len(setCookies(w, cookieName)), 1)
	equal(t, "renewed: Cache-Control", w.Header().Get("Cache-Control"), noStore)
	equal(t, "renewed: Vary", varies(w), "Cookie")
}

// TestR13CallsNotCacheable: so too for what is called from a handler of any router.
func TestR13CallsNotCacheable(t *testing.T) {
	s := newSite(t)
	account := s.signUp("ada")
	opened, err := s.auth.OpenSession(t.Context(), account.ID)
	must(t, err)
	calls := []struct {
		name, vary string
		call       func(w http.ResponseWriter) error
	}{
		{"Validate", "Cookie", func(w http.ResponseWriter) error {
			_, err := s.web.Validate(w, request("GET", "/", "Cookie", cookie(opened.Token)))
			return err
		}},
		{"ValidateBearer", "Authorization", func(w http.ResponseWriter) error {
			_, err := s.web.ValidateBearer(w, request("GET", "/", "Authorization", bearer(opened.Token)))
			return err
		}},
		{"SetCookie", "Cookie", func(w http.ResponseWriter) error { s.web.SetCookie(w, opened); return nil }},
		{"ClearCookie", "Cookie", func(w http.ResponseWriter) error { s.web.ClearCookie(w); return nil }},
		{"SignIn", "Cookie", func(w http.ResponseWriter) error {
			_, err := s.web.SignIn(w, post("/"), credentials("ada"))
			return err
		}},
		{"OpenSession", "Cookie", func(w http.ResponseWriter) error {
			_, err := s.web.OpenSession(w, post("/"), account.ID)
			return err
		}},
		{"SignOut", "Cookie", func(w http.ResponseWriter) error {
			return s.web.SignOut(w, post("/", "Cookie", cookie(opened.Token)))
		}},
	}
	for _, test := range calls {
		w := httptest.NewRecorder()
		must(t, test.call(w))
		equal(t, test.name+": Cache-Control", w.Header().Get("Cache-Control"), "no-store")
		equal(t, test.name+": Vary", varies(w), test.vary)
	}
}

func TestR13OwnCacheControl(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	own := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "private, max-age=60")
		w.Header().Add("Vary", "Accept-Language")
	})
	for name, h := range map[string]http.Handler{
		"RequireUser": s.web.RequireUser(own), "OptionalUser": s.web.OptionalUser(own), "RequireBearer": s.web.RequireBearer(own),
		"nested": s.web.OptionalUser(s.web.RequireUser(own)),
	} {
		w := serve(h, request("GET", "/", "Cookie", cookie(token), "Authorization", bearer(token)))
		equal(t, name+": Cache-Control", strings.Join(w.Header()["Cache-Control"], "|"), "private, max-age=60")
		if got := varies(w); got != "Accept-Language,Cookie" && got != "Accept-Language,Authorization" {
			t.Errorf("%s: got Vary %q, want the handler's and one more", name, got)
		}
	}
}

// TestR13CacheControlBefore: a default that an outer middleware sets for every response
// is not a decision about the pages of one user, nor about a refusal.
func TestR13CacheControlBefore(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	for name, r := range map[string]*http.Request{
		"signed in": request("GET", "/", "Cookie", cookie(token)), "nobody": request("GET", "/"), "cross-origin": request("POST", "/"),
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Cache-Control", "public, max-age=3600")
		s.web.RequireUser(s.who()).ServeHTTP(w, r)
		equal(t, name+": Cache-Control", w.Header().Get("Cache-Control"), "no-store")
	}
}

func TestVaryBefore(t *testing.T) {
	s := newSite(t)
	for before, want := range map[string]string{
		"": "Cookie", "cookie": "cookie", "Accept, COOKIE": "Accept, COOKIE", "*": "*", "Accept": "Accept|Cookie", "Set-Cookie": "Set-Cookie|Cookie",
	} {
		w := httptest.NewRecorder()
		if before != "" {
			w.Header().Set("Vary", before)
		}
		s.web.OptionalUser(s.who()).ServeHTTP(w, request("GET", "/"))
		equal(t, "Vary after "+before, strings.Join(w.Header()["Vary"], "|"), want)
	}
}
