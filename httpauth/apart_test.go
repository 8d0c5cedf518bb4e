package httpauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gormkey/gormkey/httpauth"
)

// TestR15CookieAndBearerApart: in a request with ada's cookie and bob's bearer token each
// call gives its own, in every order, and asks the database once for each kind.
func TestR15CookieAndBearerApart(t *testing.T) {
	s := newSite(t)
	ada, bob := s.open("ada"), s.open("bob")
	const depth = 4
	for order := range 1 << (2 * depth) { // two bits a level: which middleware, or which call
		var levels []string
		var got, want []string
		h := http.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for level := range depth {
			kind := order >> (2 * level) & 3
			levels = append(levels, []string{"RequireUser", "RequireBearer", "Validate", "ValidateBearer"}[kind])
			want = append(want, []string{"ada", "bob", "ada", "bob"}[kind]+"@example.com")
			inner := h
			note := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var found *session
				var err error
				switch kind {
				case 2:
					found, err = s.web.Validate(w, r)
				case 3:
					found, err = s.web.ValidateBearer(w, r)
				default:
					found = s.web.Session(r.Context())
				}
				must(t, err)
				got = append(got, found.User.Email)
				inner.ServeHTTP(w, r)
			})
			switch kind {
			case 0:
				h = s.web.RequireUser(note)
			case 1:
				h = s.web.RequireBearer(note)
			default:
				h = note
			}
		}
		slices.Reverse(levels)
		slices.Reverse(want)
		what := strings.Join(levels, ", ")
		s.wire.taken()
		w := serve(s.web.OptionalUser(h), request("GET", "/", "Cookie", cookie(ada), "Authorization", bearer(bob)))
		equal(t, what+": status", w.Code, http.StatusOK)
		equal(t, what, strings.Join(got, ","), strings.Join(want, ","))
		statements := 1 // OptionalUser's
		if strings.Contains(what, "Bearer") {
			statements++
		}
		equal(t, what+": statements", len(s.wire.taken()), statements)
	}
}

// TestR15Parallel: so too of 32 goroutines that share a request.
func TestR15Parallel(t *testing.T) {
	s := newSite(t)
	ada, bob := s.open("ada"), s.open("bob")
	share := func(w http.ResponseWriter, r *http.Request) {
		s.wire.taken()
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range 32 {
			wg.Go(func() {
				<-start
				validate, want := s.web.Validate, "ada@example.com"
				if i%2 == 1 {
					validate, want = s.web.ValidateBearer, "bob@example.com"
				}
				found, err := validate(httptest.NewRecorder(), r)
				if err != nil || found.User.Email != want {
					t.Errorf("goroutine %d: got %+v, error %v, want %s", i, found, err, want)
				}
				if u := s.web.User(r.Context()); u.Email != "ada@example.com" {
					t.Errorf("goroutine %d: got user %s of the context, want ada", i, u.Email)
				}
			})
		}
		close(start)
		wg.Wait()
		equal(t, "statements of 32 goroutines, the cookie known", len(s.wire.taken()), 1)
	}
	r := request("GET", "/", "Cookie", cookie(ada), "Authorization", bearer(bob))
	serve(s.web.RequireUser(http.HandlerFunc(share)), r)
}

// TestR15ParallelResponse: and of goroutines that share its response too, of which each
// call adds to the headers.
func TestR15ParallelResponse(t *testing.T) {
	s := newSite(t)
	ada, bob := s.open("ada"), s.open("bob")
	w := serve(s.web.OptionalUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				validate, want := s.web.Validate, "ada@example.com"
				if i%2 == 1 {
					validate, want = s.web.ValidateBearer, "bob@example.com"
				}
				if found, err := validate(w, r); err != nil || found.User.Email != want {
					t.Errorf("goroutine %d: got %+v, error %v, want %s", i, found, err, want)
				}
			})
		}
		wg.Wait()
	})), request("GET", "/", "Cookie", cookie(ada), "Authorization", bearer(bob)))
	equal(t, "Vary", varies(w), "Authorization,Cookie")
}

// TestR15NeverInPlace: a token in one place is not looked for in the other.
func TestR15NeverInPlace(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	for _, test := range []struct {
		name string
		h    http.Handler
		r    *http.Request
		want string
	}{
		{"RequireUser, bearer", s.web.RequireUser(s.who()), request("GET", "/", "Authorization", bearer(token)), "Unauthorized\n"},
		{"OptionalUser, bearer", s.web.OptionalUser(s.who()), request("GET", "/", "Authorization", bearer(token)), "nobody"},
		{"RequireBearer, cookie", s.web.RequireBearer(s.who()), request("GET", "/", "Cookie", cookie(token)), "Unauthorized\n"},
		{"RequireUser, dead cookie, bearer", s.web.RequireUser(s.who()), request("GET", "/", "Cookie", cookie(knownToken), "Authorization", bearer(token)), "Unauthorized\n"},
		{"RequireBearer, unknown, cookie", s.web.RequireBearer(s.who()), request("GET", "/", "Authorization", bearer(knownToken), "Cookie", cookie(token)), "Unauthorized\n"},
		{"innermost, bearer's", s.web.RequireUser(s.web.RequireBearer(s.who())), request("GET", "/", "Cookie", cookie(token), "Authorization", bearer(knownToken)), "Unauthorized\n"},
		{"innermost, nobody", s.web.RequireBearer(s.web.OptionalUser(s.who())), request("GET", "/", "Authorization", bearer(token)), "nobody"},
	} {
		equal(t, test.name, serve(test.h, test.r).Body.String(), test.want)
	}
}

// TestTwoAuths: another Auth, as of another user type, does not see what one found.
func TestTwoAuths(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	other := s.with(httpauth.CookieName("other"))
	w := serve(s.web.RequireUser(other.OptionalUser(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		equal(t, "the user of the other", other.User(r.Context()), nil)
		equal(t, "the user", s.web.User(r.Context()).Email, "ada@example.com")
	}))), request("GET", "/", "Cookie", cookie(token)))
	equal(t, "status", w.Code, http.StatusOK)
	w = serve(s.web.RequireUser(other.RequireUser(s.who())), request("GET", "/", "Cookie", cookie(token)))
	equal(t, "status of the other", w.Code, http.StatusUnauthorized)
}

// TestNobodyOutside: without a middleware there is neither a session nor a user.
func TestNobodyOutside(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	for name, ctx := range map[string]context.Context{"empty": context.Background(), "a request's": request("GET", "/", "Cookie", cookie(token)).Context()} {
		equal(t, fmt.Sprintf("session of the context, %s", name), s.web.Session(ctx), nil)
		equal(t, fmt.Sprintf("user of the context, %s", name), s.web.User(ctx), nil)
	}
	serve(s.web.OptionalUser(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		equal(t, "session of nobody", s.web.Session(r.Context()), nil)
		equal(t, "user of nobody", s.web.User(r.Context()), nil)
	})), request("GET", "/"))
}
