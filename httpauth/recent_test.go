package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

const tenMinutes = 10 * time.Minute

func newRecentSite(t *testing.T, opts ...httpauth.Option) *site {
	t.Helper()
	return newSiteOf(t, []gormkey.Option{gormkey.WithSessionFacts()}, opts...)
}

// signIn returns the cookie of a sign-in.
func (s *site) signIn(name string, set ...func(*session)) gormkey.Token {
	s.Helper()
	opened, err := s.web.SignIn(httptest.NewRecorder(), post("/sign-in"), credentials(name), set...)
	must(s, err)
	return opened.Token
}

func TestR49Reauthenticate(t *testing.T) {
	s := newRecentSite(t)
	s.signUp("ada")
	s.signUp("bob")
	old := s.signIn("ada")
	wrong := credentials("ada")
	wrong.Password = "a wrong password"
	for name, c := range map[string]struct {
		r     *http.Request
		login gormkey.Credentials
		want  error
	}{
		"a wrong password":    {post("/", "Cookie", cookie(old)), wrong, gormkey.ErrInvalidCredentials},
		"somebody else's key": {post("/", "Cookie", cookie(old)), credentials("bob"), gormkey.ErrInvalidCredentials},
		"no cookie":           {post("/"), credentials("ada"), gormkey.ErrInvalidSession},
		"another site":        {post("/", "Cookie", cookie(old), "Sec-Fetch-Site", "cross-site"), credentials("ada"), httpauth.ErrCrossOrigin},
	} {
		w := httptest.NewRecorder()
		_, err := s.web.Reauthenticate(w, c.r, c.login)
		wantErr(t, name, err, c.want)
		equal(t, name+": cookies", len(w.Header()["Set-Cookie"]), 0)
		equal(t, name+": session", s.alive(old), true)
	}
	w := httptest.NewRecorder()
	again, err := s.web.Reauthenticate(w, post("/", "Cookie", cookie(old)), credentials("ada"))
	must(t, err)
	lines := w.Header()["Set-Cookie"]
	if len(lines) != 1 || !strings.HasPrefix(lines[0], cookie(again.Token)+"; ") {
		t.Errorf("got Set-Cookie %q, want the new token alone", lines)
	}
	equal(t, "old token", s.alive(old), false)
	equal(t, "new token", s.alive(again.Token), true)
}

// TestR54ReauthenticateIsThrottled: guesses by both doors are counted together.
func TestR54ReauthenticateIsThrottled(t *testing.T) {
	s := newRecentSite(t)
	limits, err := throttle.New(s.db, throttle.WithClock(s.clock.Now))
	must(t, err)
	must(t, limits.AutoMigrate())
	s.web = s.with(httpauth.WithThrottle(limits))
	s.signUp("ada")
	opened, err := s.auth.SignIn(t.Context(), credentials("ada"))
	must(t, err)
	old := opened.Token
	wrong := credentials("ada")
	wrong.Password = "a wrong password"
	tried := 0
	for i := range 40 {
		var err error
		if i%2 == 0 {
			_, err = s.web.Reauthenticate(httptest.NewRecorder(), post("/", "Cookie", cookie(old)), wrong)
		} else {
			_, err = s.web.SignIn(httptest.NewRecorder(), post("/"), wrong)
		}
		status, _ := httpauth.Status(err)
		switch status {
		case http.StatusUnauthorized:
			tried++
		case http.StatusTooManyRequests:
		default:
			t.Fatal(err)
		}
	}
	equal(t, "passwords that were tried", tried, 5)
	_, err = s.web.Reauthenticate(httptest.NewRecorder(), post("/", "Cookie", cookie(old)), credentials("ada"))
	wantErr(t, "the right password", err, throttle.ErrTooMany)
	equal(t, "the session", s.alive(old), true)
}

func TestR50RequireRecent(t *testing.T) {
	s := newRecentSite(t, httpauth.RedirectReauthenticate("/confirm?x=1"))
	s.signUp("ada")
	token := s.signIn("ada")
	page := s.web.RequireRecent(tenMinutes, s.who())
	nested := s.web.RequireUser(page)
	bearer := s.web.RequireBearer(page)
	get := func(h http.Handler, headers ...string) *httptest.ResponseRecorder {
		return serve(h, request("GET", "/account/email?a=b", headers...))
	}
	for name, h := range map[string]http.Handler{"alone": page, "nested": nested} {
		w := get(h, "Cookie", cookie(token))
		equal(t, name+": recent", w.Code, http.StatusOK)
		equal(t, name+": body", w.Body.String(), "ada@example.com")
		equal(t, name+": nobody", get(h).Code, http.StatusUnauthorized)
	}
	equal(t, "bearer", get(bearer, "Authorization", "Bearer "+string(token)).Code, http.StatusOK)

	s.clock.Advance(tenMinutes + time.Millisecond)
	for name, h := range map[string]http.Handler{"alone": page, "nested": nested} {
		w := get(h, "Cookie", cookie(token))
		equal(t, name+": stale", w.Code, http.StatusSeeOther)
		equal(t, name+": stale", w.Header().Get("Location"), "/confirm?x=1&next=%2Faccount%2Femail%3Fa%3Db")
		w = get(h, "Cookie", cookie(token), "Accept", "application/json")
		equal(t, name+": stale, JSON", w.Code, http.StatusForbidden)
		equal(t, name+": stale, JSON", w.Body.String(), `{"error":"reauthenticate","message":"Forbidden"}`+"\n")
		equal(t, name+": stale, a script", get(h, "Cookie", cookie(token), "Sec-Fetch-Mode", "cors").Code, http.StatusForbidden)
	}
	for referer, want := range map[string]string{
		"http://example.com/account":  "/confirm?x=1&next=%2Faccount",
		"http://evil.example/account": "/confirm?x=1", "": "/confirm?x=1", "http://example.com//evil.example": "/confirm?x=1",
	} {
		w := serve(page, post("/account/email", "Cookie", cookie(token), "Referer", referer))
		equal(t, "a form of "+referer, w.Header().Get("Location"), want)
	}
	w := get(bearer, "Authorization", "Bearer "+string(token))
	equal(t, "stale bearer", w.Code, http.StatusUnauthorized)
	equal(t, "stale bearer", w.Header().Get("WWW-Authenticate"), `Bearer error="insufficient_user_authentication", max_age=600`)
	equal(t, "the session", s.alive(token), true)

	w = get(s.web.RequireRecent(time.Second, s.who()), "Cookie", cookie(token))
	equal(t, "a period out of bounds", w.Code, http.StatusServiceUnavailable)
	_, err := httpauth.New(s.auth, httpauth.RedirectReauthenticate("https://evil.example"))
	if err == nil || !strings.Contains(err.Error(), "RedirectReauthenticate") {
		t.Errorf("got %v", err)
	}
}

// TestR118Cookie: who did not want to be remembered has a cookie that the browser forgets.
func TestR118Cookie(t *testing.T) {
	s := newRecentSite(t)
	s.signUp("ada")
	for name, c := range map[string]struct {
		set     []func(*session)
		expires bool
	}{
		"not chosen": {nil, true}, "yes": {[]func(*session){s.auth.Remembered(true)}, true}, "no": {[]func(*session){s.auth.Remembered(false)}, false},
	} {
		has := func(what string, w *httptest.ResponseRecorder) {
			t.Helper()
			lines := w.Header()["Set-Cookie"]
			if len(lines) != 1 || strings.Contains(lines[0], "Expires=") != c.expires || strings.Contains(lines[0], "Max-Age") {
				t.Errorf("%s, %s: got Set-Cookie %q, want Expires %v", name, what, lines, c.expires)
			}
		}
		w := httptest.NewRecorder()
		opened, err := s.web.SignIn(w, post("/"), credentials("ada"), c.set...)
		must(t, err)
		has("sign-in", w)
		w = httptest.NewRecorder()
		opened, err = s.web.Reauthenticate(w, post("/", "Cookie", cookie(opened.Token)), credentials("ada"))
		must(t, err)
		has("re-authentication", w)
		for range 3 {
			s.clock.Advance(opened.ActiveExpires.Time().Sub(s.clock.Now()) + time.Second)
			w = serve(s.web.RequireUser(s.who()), request("GET", "/", "Cookie", cookie(opened.Token)))
			has("renewal", w)
			opened, err = s.auth.GetSession(t.Context(), opened.Token)
			must(t, err)
		}
	}
}
