package httpauth_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/httpauth"
)

// jar keeps the session's cookie, as far as one of one name and no other attributes goes.
type jar struct{ value string }

// keep takes an answer.
func (b *jar) keep(t *testing.T, w http.ResponseWriter) {
	t.Helper()
	for _, line := range setCookies(w, cookieName) {
		c, err := http.ParseSetCookie(line)
		must(t, err)
		b.value = c.Value
		if !c.Expires.IsZero() && c.Expires.Before(time.Unix(1, 0)) {
			b.value = ""
		}
	}
}

// TestR12R53RotationUnderRequests: requests that left with a token which a sign-in among them
// replaces take the new one from nobody, in whatever order their answers arrive, and are not
// served with the old one once it is replaced.
func TestR12R53RotationUnderRequests(t *testing.T) {
	s := newSiteOf(t, []gormkey.Option{gormkey.WithOneTimeTokens(), gormkey.WithSessionFacts()})
	account := s.signUp("ada")
	openers := s.openers(account.ID)
	openers["Reauthenticate"] = func(w http.ResponseWriter, r *http.Request) (*session, error) {
		return s.web.Reauthenticate(w, r, credentials("ada"))
	}
	random := rand.New(rand.NewPCG(1, 2))
	mux := http.NewServeMux()
	mux.Handle("GET /require", s.web.RequireUser(s.who()))
	mux.Handle("GET /optional", s.web.OptionalUser(s.who()))
	mux.Handle("GET /validate", s.validating())
	paths := []string{"/require", "/optional", "/validate"}
	rounds, renewals := 20, 0
	for name, open := range openers {
		for round := range rounds {
			old, err := s.auth.OpenSession(t.Context(), account.ID)
			must(t, err)
			b := &jar{string(old.Token)}
			if round%2 == 1 { // one of the requests renews it
				s.clock.Advance(authtest.ActivePeriod + time.Millisecond)
			}
			answers := make([]*httptest.ResponseRecorder, 20)
			var signedIn sync.WaitGroup
			var wg sync.WaitGroup
			signedIn.Add(1)
			var opened gormkey.Token
			for i := range answers {
				r := request("GET", paths[i%len(paths)], "Cookie", cookieName+"="+b.value)
				wg.Go(func() {
					switch {
					case i == 0:
						defer signedIn.Done()
						answers[i] = httptest.NewRecorder()
						session, err := open(answers[i], post("/sign-in", "Cookie", cookieName+"="+b.value))
						if err != nil {
							t.Errorf("%s: %v", name, err)
							return
						}
						opened = session.Token
						return
					case i%2 == 0:
						signedIn.Wait() // so that it comes too late
					}
					answers[i] = serve(mux, r)
					if i%2 == 0 && answers[i].Body.String() == "ada@example.com" {
						t.Errorf("%s: a request with the replaced token was served after the sign-in", name)
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				return
			}
			// An answer that renews and is complete before the sign-in is sent before it.
			var late []*httptest.ResponseRecorder
			for _, w := range answers {
				if lines := setCookies(w, cookieName); len(lines) > 0 && strings.HasPrefix(lines[0], cookie(old.Token)+";") {
					renewals++
					b.keep(t, w)
					continue
				}
				late = append(late, w)
			}
			random.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
			for _, w := range late {
				b.keep(t, w)
			}
			if b.value != string(opened) {
				t.Fatalf("%s: the browser has another cookie than the sign-in's", name)
			}
			w := serve(mux, request("GET", "/require", "Cookie", cookieName+"="+b.value))
			equal(t, name+": status with the new token", w.Code, http.StatusOK)
		}
	}
	if renewals == 0 {
		t.Error("no answer renewed a session")
	}
}

// TestR12RenewalMeetsSignIn: a page renews its session and takes long. What ends that session
// meanwhile, and is answered first, is not undone by the page's cookie.
func TestR12RenewalMeetsSignIn(t *testing.T) {
	s := newSiteOf(t, []gormkey.Option{gormkey.WithOneTimeTokens()})
	account := s.signUp("ada")
	ends := s.openers(account.ID)
	ends["SignOut"] = func(w http.ResponseWriter, r *http.Request) (*session, error) { return nil, s.web.SignOut(w, r) }
	ends["nothing"] = func(http.ResponseWriter, *http.Request) (*session, error) { return nil, nil }
	ends["SignIn that fails"] = func(w http.ResponseWriter, r *http.Request) (*session, error) {
		_, err := s.web.SignIn(w, r, credentials("nobody"))
		wantErr(t, "SignIn", err, gormkey.ErrInvalidCredentials)
		return nil, nil
	}
	ends["SignIn with another cookie"] = func(w http.ResponseWriter, _ *http.Request) (*session, error) {
		_, err := s.web.SignIn(w, post("/"), credentials("ada"))
		return nil, err
	}
	for name, end := range ends {
		want := 0
		switch name {
		case "nothing", "SignIn that fails", "SignIn with another cookie":
			want = 1
		}
		for how, middleware := range map[string]func(http.Handler) http.Handler{
			"RequireUser": s.web.RequireUser, "OptionalUser": s.web.OptionalUser,
			"nested":       func(h http.Handler) http.Handler { return s.web.OptionalUser(s.web.RequireUser(h)) },
			"in a bearers": func(h http.Handler) http.Handler { return s.web.RequireBearer(s.web.RequireUser(h)) },
		} {
			old, err := s.auth.OpenSession(t.Context(), account.ID)
			must(t, err)
			s.clock.Advance(authtest.ActivePeriod + time.Millisecond)
			program, err := s.auth.OpenSession(t.Context(), account.ID)
			must(t, err)
			begun, goOn := make(chan struct{}), make(chan struct{})
			h := middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
				close(begun)
				<-goOn
				_, _ = w.Write([]byte("a long report"))
			}))
			answer := make(chan *httptest.ResponseRecorder)
			go func() {
				answer <- serve(h, request("GET", "/", "Cookie", cookie(old.Token), "Authorization", bearer(program.Token)))
			}()
			<-begun
			_, err = end(httptest.NewRecorder(), post("/", "Cookie", cookie(old.Token)))
			must(t, err)
			close(goOn)
			w := <-answer
			what := fmt.Sprintf("%s, then the end of %s", name, how)
			equal(t, what+": number of the session's cookies", len(setCookies(w, cookieName)), want)
			equal(t, what+": number of all cookies", len(w.Header()["Set-Cookie"]), want+1)
			equal(t, what+": Cache-Control", w.Header().Get("Cache-Control"), "no-store")
		}
	}
	if n := httpauth.Renewals(s.web); n != 0 {
		t.Errorf("%d renewals are remembered after their requests", n)
	}
}
