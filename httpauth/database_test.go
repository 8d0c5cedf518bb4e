package httpauth_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

// unavailable is a hook that notes what it is given.
type unavailable struct{ got []error }

func (u *unavailable) option() httpauth.Option {
	return httpauth.WithUnavailable(func(w http.ResponseWriter, _ *http.Request, err error) {
		u.got = append(u.got, err)
		http.Error(w, "come back later", http.StatusServiceUnavailable)
	})
}

// TestR18DatabaseError: of a database that fails nobody is told that they are signed out,
// however it fails, and the cookie stays.
func TestR18DatabaseError(t *testing.T) {
	for how, breakDown := range map[string]func(s *site) (want error){
		"each statement": func(s *site) error { s.wire.breaks(""); return errDown },
		"closed":         func(s *site) error { must(s, s.wire.pool.Close()); return nil },
		"a callback of the application": func(s *site) error {
			fail := func(tx *gorm.DB) { _ = tx.AddError(errDown) }
			callbacks := s.db.Callback()
			must(s, errors.Join(callbacks.Query().Before("gorm:query").Register("test:fail", fail),
				callbacks.Row().Before("gorm:row").Register("test:fail", fail)))
			return errDown
		},
		"no table": func(s *site) error { must(s, s.db.Exec("DROP TABLE user_session").Error); return nil },
	} {
		hook := new(unavailable)
		s := newSite(t, hook.option())
		token := s.open("ada")
		want := breakDown(s)
		called := false
		next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })
		for name, test := range map[string]struct {
			h http.Handler
			r *http.Request
		}{
			"RequireUser":   {s.web.RequireUser(next), request("GET", "/", "Cookie", cookie(token))},
			"OptionalUser":  {s.web.OptionalUser(next), request("GET", "/", "Cookie", cookie(token))},
			"RequireBearer": {s.web.RequireBearer(next), request("GET", "/", "Authorization", bearer(token))},
			"unknown token": {s.web.OptionalUser(next), request("GET", "/", "Cookie", cookie(knownToken))},
		} {
			what := how + ", " + name
			hook.got = nil
			w := serve(test.h, test.r)
			equal(t, what+": handler called", called, false)
			equal(t, what+": status", w.Code, http.StatusServiceUnavailable)
			equal(t, what+": body", w.Body.String(), "come back later\n")
			equal(t, what+": number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
			if len(hook.got) != 1 || errors.Is(hook.got[0], gormkey.ErrInvalidSession) || want != nil && !errors.Is(hook.got[0], want) {
				t.Errorf("%s: the hook got %v, want the database's error once", what, hook.got)
			}
			for _, err := range hook.got {
				if strings.Contains(err.Error(), string(token)) {
					t.Errorf("%s: the error holds the token", what)
				}
			}
		}
		w := httptest.NewRecorder()
		_, err := s.web.Validate(w, request("GET", "/", "Cookie", cookie(token)))
		if err == nil || errors.Is(err, gormkey.ErrInvalidSession) {
			t.Errorf("%s, Validate: got error %v, want the database's", how, err)
		}
		equal(t, how+", Validate: number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
		status, _ := httpauth.Status(err)
		equal(t, how+", Validate: status", status, http.StatusServiceUnavailable)
	}
}

// TestR18RenewalFails: the session can be read and not be written.
func TestR18RenewalFails(t *testing.T) {
	hook := new(unavailable)
	s := newSite(t, hook.option())
	token := s.open("ada")
	s.clock.Advance(authtest.ActivePeriod + 1e6)
	s.wire.breaks("UPDATE")
	w := serve(s.web.RequireUser(s.who()), request("GET", "/", "Cookie", cookie(token)))
	equal(t, "status", w.Code, http.StatusServiceUnavailable)
	noCookie(t, "a renewal that failed", w)
	equal(t, "errors for the hook", len(hook.got), 1)
	s.wire.breaks("-")
	w = serve(s.web.RequireUser(s.who()), request("GET", "/", "Cookie", cookie(token)))
	equal(t, "afterwards", w.Body.String(), "ada@example.com")
	equal(t, "afterwards, number of Set-Cookie", len(setCookies(w, cookieName)), 1)
}

// TestR18SignOutFails: the cookie is kept, so that the sign-out can be tried again.
func TestR18SignOutFails(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	for _, broken := range []string{"", "DELETE"} {
		s.wire.breaks(broken)
		w := httptest.NewRecorder()
		err := s.web.SignOut(w, post("/sign-out", "Cookie", cookie(token)))
		s.wire.breaks("-")
		wantErr(t, "SignOut", err, errDown)
		equal(t, "number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
		equal(t, "the session is alive", s.alive(token), true)
	}
}

// TestR18SignInFails: nothing is set, and the old session is as it was.
func TestR18SignInFails(t *testing.T) {
	s := newSite(t)
	account := s.signUp("ada")
	old, err := s.auth.OpenSession(t.Context(), account.ID)
	must(t, err)
	for _, broken := range []string{"", "INSERT", "DELETE", "BEGIN"} {
		for name, open := range map[string]func(w http.ResponseWriter, r *http.Request) (*session, error){
			"SignIn": func(w http.ResponseWriter, r *http.Request) (*session, error) {
				return s.web.SignIn(w, r, credentials("ada"))
			},
			"OpenSession": func(w http.ResponseWriter, r *http.Request) (*session, error) {
				return s.web.OpenSession(w, r, account.ID)
			},
		} {
			s.wire.breaks(broken)
			w := httptest.NewRecorder()
			got, err := open(w, post("/", "Cookie", cookie(old.Token)))
			s.wire.breaks("-")
			what := name + " without " + broken
			wantErr(t, what, err, errDown)
			equal(t, what+": session", got, nil)
			noCookie(t, what, w)
			equal(t, what+": the old session is alive", s.alive(old.Token), true)
			equal(t, what+": sessions", s.sessions(), 1)
		}
	}
}

// TestR18ThrottleFails: without its counts nobody is let in.
func TestR18ThrottleFails(t *testing.T) {
	s := newSite(t)
	s.signUp("ada")
	limits, err := throttle.New(s.db, throttle.WithClock(s.clock.Now))
	must(t, err)
	must(t, limits.AutoMigrate())
	hook := new(unavailable)
	web := s.with(httpauth.WithThrottle(limits), hook.option())
	s.wire.breaks("auth_throttle")
	r, w := post("/sign-in"), httptest.NewRecorder()
	_, err = web.SignIn(w, r, credentials("ada"))
	wantErr(t, "SignIn", err, errDown)
	web.Error(w, r, err)
	equal(t, "status", w.Code, http.StatusServiceUnavailable)
	equal(t, "errors for the hook", len(hook.got), 1)
	noCookie(t, "SignIn", w)
	equal(t, "sessions", s.sessions(), 0)
}

// TestR18CancelledRequest: a client that went away is no sign-out, and no line in the log.
func TestR18CancelledRequest(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	log := new(strings.Builder)
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	for name, h := range map[string]http.Handler{
		"RequireUser": s.web.RequireUser(s.who()), "OptionalUser": s.web.OptionalUser(s.who()), "RequireBearer": s.web.RequireBearer(s.who()),
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := serve(h, request("GET", "/", "Cookie", cookie(token), "Authorization", bearer(token)).WithContext(ctx))
		equal(t, name+": status", w.Code, http.StatusServiceUnavailable)
		equal(t, name+": number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
	}
	equal(t, "log", log.String(), "")
	equal(t, "the session is alive", s.alive(token), true)

	// By default an error of the database is logged, without a secret.
	s.wire.breaks("")
	w := serve(s.web.RequireUser(s.who()), request("GET", "/", "Cookie", cookie(token)))
	equal(t, "status by default", w.Code, http.StatusServiceUnavailable)
	equal(t, "body by default", w.Body.String(), "Service Unavailable\n")
	if got := log.String(); !strings.Contains(got, errDown.Error()) || strings.Contains(got, string(token)) {
		t.Errorf("got log %q, want the database's error and no token", got)
	}
}

// TestR18OnceBroken: an error is asked for once a request too, and stays an error.
func TestR18OnceBroken(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	s.wire.breaks("")
	s.wire.taken()
	w := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.web.RequireBearer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })).ServeHTTP(w, r)
	}), request("GET", "/", "Authorization", bearer(token)))
	equal(t, "status", w.Code, http.StatusServiceUnavailable)
	equal(t, "statements", len(s.wire.taken()), 1)
}
