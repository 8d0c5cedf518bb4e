package httpauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

// openers are the ways to open a session for ada. They want gormkey.WithOneTimeTokens.
func (s *site) openers(userID string) map[string]func(w http.ResponseWriter, r *http.Request) (*session, error) {
	return map[string]func(w http.ResponseWriter, r *http.Request) (*session, error){
		"SignIn": func(w http.ResponseWriter, r *http.Request) (*session, error) {
			return s.web.SignIn(w, r, credentials("ada"))
		},
		"OpenSession": func(w http.ResponseWriter, r *http.Request) (*session, error) {
			return s.web.OpenSession(w, r, userID)
		},
		"SignInWithToken": func(w http.ResponseWriter, r *http.Request) (*session, error) {
			link, err := s.auth.IssueToken(context.Background(), userID, gormkey.PurposeMagicLink, "", time.Hour)
			must(s, err)
			return s.web.SignInWithToken(w, r, link)
		},
	}
}

func TestR05OldSessionEnds(t *testing.T) {
	s := newSiteOf(t, []gormkey.Option{gormkey.WithOneTimeTokens()})
	account := s.signUp("ada")
	bob := s.open("bob")
	for name, open := range s.openers(account.ID) {
		old, err := s.auth.OpenSession(t.Context(), account.ID)
		must(t, err)
		w := httptest.NewRecorder()
		opened, err := open(w, post("/sign-in", "Cookie", cookie(old.Token)))
		must(t, err)
		if opened.Token == old.Token || opened.Token == "" {
			t.Errorf("%s: got the token that it came with, or none", name)
		}
		if lines := w.Header()["Set-Cookie"]; len(lines) != 1 || !strings.HasPrefix(lines[0], cookie(opened.Token)+"; ") {
			t.Errorf("%s: got Set-Cookie %q, want the new token alone", name, lines)
		}
		equal(t, name+": the old session is alive", s.alive(old.Token), false)
		equal(t, name+": the new session is alive", s.alive(opened.Token), true)
		equal(t, name+": the session of somebody else is alive", s.alive(bob), true)
	}
	// Of somebody else too, if the browser has it: it is one person's no more.
	_, err := s.web.SignIn(httptest.NewRecorder(), post("/sign-in", "Cookie", cookie(bob)), credentials("ada"))
	must(t, err)
	equal(t, "the session that bob left in the browser is alive", s.alive(bob), false)
}

// TestR05PlantedToken: no session arises that has a token which the client chose.
func TestR05PlantedToken(t *testing.T) {
	s := newSiteOf(t, []gormkey.Option{gormkey.WithOneTimeTokens()})
	account := s.signUp("ada")
	for name, open := range s.openers(account.ID) {
		for what, planted := range map[string]gormkey.Token{"known": knownToken, "22 characters": gormkey.Token(strings.Repeat("a", 22)), "malformed": "1"} {
			before := s.sessions()
			opened, err := open(httptest.NewRecorder(), post("/sign-in", "Cookie", cookie(planted)))
			must(t, err)
			if opened.Token == planted {
				t.Errorf("%s, %s: got the planted token", name, what)
			}
			equal(t, name+", "+what+": sessions more", s.sessions()-before, 1)
			equal(t, name+", "+what+": the planted token signs in", s.alive(planted), false)
		}
	}
	// A bearer token is no session that a browser came with.
	other, err := s.auth.OpenSession(t.Context(), account.ID)
	must(t, err)
	_, err = s.web.SignIn(httptest.NewRecorder(), post("/sign-in", "Authorization", bearer(other.Token)), credentials("ada"))
	must(t, err)
	equal(t, "the session of a bearer token is alive", s.alive(other.Token), true)
}

func TestR05FailedSignIn(t *testing.T) {
	s := newSiteOf(t, []gormkey.Option{gormkey.WithOneTimeTokens()})
	old := s.open("ada")
	long := credentials("ada")
	long.ID = strings.Repeat("x", 300)
	wrong := credentials("ada")
	wrong.Password = "wrong password"
	for what, test := range map[string]struct {
		gormkey.Credentials
		want error
	}{
		"wrong password": {wrong, gormkey.ErrInvalidCredentials},
		"unknown key":    {credentials("nobody"), gormkey.ErrInvalidCredentials},
		"too long":       {long, gormkey.ErrInvalidArgument},
		"nothing":        {gormkey.Credentials{}, gormkey.ErrInvalidArgument},
	} {
		before, w := s.sessions(), httptest.NewRecorder()
		got, err := s.web.SignIn(w, post("/sign-in", "Cookie", cookie(old)), test.Credentials)
		if got != nil {
			t.Errorf("%s: got a session beside %v", what, err)
		}
		wantErr(t, what, err, test.want)
		noCookie(t, what, w)
		equal(t, what+": sessions", s.sessions(), before)
		equal(t, what+": the old session is alive", s.alive(old), true)
	}
	w := httptest.NewRecorder()
	_, err := s.web.OpenSession(w, post("/", "Cookie", cookie(old)), "nobody")
	wantErr(t, "no such user", err, gormkey.ErrUserNotFound)
	noCookie(t, "no such user", w)
	equal(t, "no such user: the old session is alive", s.alive(old), true)

	link, err := s.auth.IssueToken(t.Context(), s.signUp("bob").ID, gormkey.PurposeMagicLink, "", time.Hour)
	must(t, err)
	w = httptest.NewRecorder()
	_, err = s.web.SignInWithToken(w, request("POST", "/", "Cookie", cookie(old)), link)
	wantErr(t, "a link, cross-origin", err, httpauth.ErrCrossOrigin)
	_, err = s.web.SignInWithToken(w, post("/", "Cookie", cookie(old)), knownToken)
	wantErr(t, "an unknown link", err, gormkey.ErrInvalidToken)
	noCookie(t, "a link that does not sign in", w)
	equal(t, "the old session is alive", s.alive(old), true)
	_, err = s.web.SignInWithToken(w, post("/", "Cookie", cookie(old)), link)
	must(t, err)
	equal(t, "after a link: the old session is alive", s.alive(old), false)
	_, err = s.web.SignInWithToken(w, post("/", "Cookie", cookie(old)), link)
	wantErr(t, "a used link", err, gormkey.ErrInvalidToken)
}

func TestSignOut(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	const cleared = cookieName + "=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"
	for _, test := range []struct {
		what string
		r    *http.Request
	}{
		{"a session", post("/sign-out", "Cookie", cookie(token))},
		{"again", post("/sign-out", "Cookie", cookie(token))},
		{"unknown", post("/sign-out", "Cookie", cookie(knownToken))},
		{"malformed", post("/sign-out", "Cookie", cookieName+"=x")},
		{"none", post("/sign-out")},
	} {
		w := httptest.NewRecorder()
		must(t, s.web.SignOut(w, test.r))
		if got := w.Header()["Set-Cookie"]; len(got) != 1 || got[0] != cleared {
			t.Errorf("%s: got Set-Cookie %q, want %q", test.what, got, cleared)
		}
		equal(t, test.what+": the session is alive", s.alive(token), false)
		equal(t, test.what+": Clear-Site-Data", w.Header().Get("Clear-Site-Data"), "")
	}
	// Chromium's Back: see integration/browser.
	for what, want := range map[string]int{cookie(token): 2, "theme=dark": 1, cookieName + "=": 1} {
		w := httptest.NewRecorder()
		must(t, s.web.SignOut(w, post("/sign-out", "Cookie", what, "Sec-Fetch-Mode", "navigate")))
		got := w.Header()["Set-Cookie"]
		equal(t, what+": number of Set-Cookie to a newer browser", len(got), want)
		equal(t, what+": the last of them", got[len(got)-1], cleared)
	}
}

// TestSignInIsSeen: what the middleware found is not asked again, but what the request
// has itself opened or ended is another thing.
func TestSignInIsSeen(t *testing.T) {
	s := newSite(t)
	account := s.signUp("ada")
	old, err := s.auth.OpenSession(t.Context(), account.ID)
	must(t, err)
	for what, r := range map[string]*http.Request{"nobody": post("/"), "a dead cookie": post("/", "Cookie", cookie(knownToken)), "a session": post("/", "Cookie", cookie(old.Token))} {
		serve(s.web.OptionalUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			opened, err := s.web.SignIn(w, r, credentials("ada"))
			must(t, err)
			found, err := s.web.Validate(w, r)
			must(t, err)
			if found.Token != opened.Token {
				t.Errorf("%s, then a sign-in: got another session than it opened", what)
			}
			equal(t, what+", then a sign-in: user", found.User.Email, account.Email)
			opened, err = s.web.OpenSession(w, r, account.ID)
			must(t, err)
			found, err = s.web.Validate(w, r)
			must(t, err)
			if found.Token != opened.Token || found.UserID != account.ID {
				t.Errorf("%s, then a session: got another than was opened", what)
			}
			must(t, s.web.SignOut(w, r))
			_, err = s.web.Validate(w, r)
			wantErr(t, what+", then a sign-out", err, gormkey.ErrInvalidSession)
		})), r)
	}
}
