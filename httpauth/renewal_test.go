package httpauth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
)

// readers are the ways in which the cookie is read.
func (s *site) readers() map[string]http.Handler {
	return map[string]http.Handler{
		"RequireUser":         s.web.RequireUser(s.who()),
		"OptionalUser":        s.web.OptionalUser(s.who()),
		"RequireUser twice":   s.web.RequireUser(s.web.RequireUser(s.who())),
		"one in the other":    s.web.OptionalUser(s.web.RequireUser(s.who())),
		"… the other way":     s.web.RequireUser(s.web.OptionalUser(s.who())),
		"around a bearer's":   s.web.OptionalUser(s.web.RequireBearer(s.who())),
		"Validate":            s.validating(),
		"Validate in another": s.web.OptionalUser(s.validating()),
	}
}

// validating answers as a router of another form would.
func (s *site) validating() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := s.web.Validate(w, r)
		if err != nil && !errors.Is(err, gormkey.ErrInvalidSession) {
			s.Error(err)
		}
	})
}

func TestR12RenewalSendsCookie(t *testing.T) {
	s := newSite(t)
	account := s.signUp("ada")
	for name, h := range s.readers() {
		opened, err := s.auth.OpenSession(t.Context(), account.ID)
		must(t, err)
		line := func() string {
			return cookie(opened.Token) + "; Path=/; Expires=" +
				s.clock.Now().Add(authtest.ActivePeriod+authtest.IdlePeriod).UTC().Format(http.TimeFormat) + "; HttpOnly; Secure; SameSite=Lax"
		}
		ask := func() *httptest.ResponseRecorder {
			return serve(h, request("GET", "/", "Cookie", cookie(opened.Token)))
		}

		s.clock.Advance(authtest.ActivePeriod) // the last active millisecond
		noCookie(t, name+", active", ask())
		s.clock.Advance(time.Millisecond)
		w := ask()
		if got := w.Header()["Set-Cookie"]; len(got) != 1 || got[0] != line() {
			t.Errorf("%s, renewed: got Set-Cookie %q, want %q alone", name, got, line())
		}
		noCookie(t, name+", active again", ask())
	}
}

// TestR12DeadSessionKeepsCookie: by the time that the answer arrives the browser may have the
// cookie of another session.
func TestR12DeadSessionKeepsCookie(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	s.clock.Advance(authtest.ActivePeriod + authtest.IdlePeriod + time.Millisecond)
	for name, h := range s.readers() {
		for what, value := range map[string]string{"dead": string(token), "unknown": string(knownToken), "malformed": "x", "two": string(token) + "; " + cookie(knownToken)} {
			w := serve(h, request("GET", "/", "Cookie", cookieName+"="+value))
			equal(t, name+", "+what+": number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
		}
		noCookie(t, name+", no cookie", serve(h, request("GET", "/")))
	}
}

// TestBearerSetsNoCookie: neither for a renewed session nor for a dead one.
func TestBearerSetsNoCookie(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	h := s.web.RequireBearer(s.who())
	s.clock.Advance(authtest.ActivePeriod + time.Millisecond)
	w := serve(h, request("GET", "/", "Authorization", bearer(token), "Cookie", cookie(knownToken)))
	equal(t, "renewed", w.Body.String(), "ada@example.com")
	noCookie(t, "renewed", w)
	s.clock.Advance(30 * 24 * time.Hour)
	w = serve(h, request("GET", "/", "Authorization", bearer(token), "Cookie", cookie(knownToken)))
	equal(t, "dead", w.Code, http.StatusUnauthorized)
	noCookie(t, "dead", w)
}

// TestOneSetCookie: whatever came before in the same response, one line remains, and
// other cookies stay.
func TestOneSetCookie(t *testing.T) {
	s := newSite(t)
	account := s.signUp("ada")
	for what, then := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"sign-in": func(w http.ResponseWriter, r *http.Request) error {
			_, err := s.web.SignIn(w, r, credentials("ada"))
			return err
		},
		"session opened": func(w http.ResponseWriter, r *http.Request) error {
			_, err := s.web.OpenSession(w, r, account.ID)
			return err
		},
		"sign-out": s.web.SignOut,
	} {
		h := s.web.OptionalUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: cookieName + "2", Value: "another"})
			http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
			must(t, then(w, r))
		}))
		renewed, err := s.auth.OpenSession(t.Context(), account.ID)
		must(t, err)
		s.clock.Advance(authtest.ActivePeriod + time.Millisecond)
		for from, token := range map[string]gormkey.Token{"a dead cookie": knownToken, "a renewal": renewed.Token} {
			w := serve(h, post("/", "Cookie", cookie(token)))
			lines := setCookies(w, cookieName)
			if len(lines) != 1 {
				t.Errorf("%s after %s: got Set-Cookie %q, want one", what, from, lines)
				continue
			}
			c, err := http.ParseSetCookie(lines[0])
			must(t, err)
			equal(t, what+" after "+from+": is cleared", c.Value == "", what == "sign-out")
			if strings.Contains(lines[0], string(token)) {
				t.Errorf("%s after %s: got the token that it ended", what, from)
			}
			equal(t, what+" after "+from+": all lines", len(w.Header()["Set-Cookie"]), 3)
		}
	}
}
