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
	"github.com/gormkey/gormkey/httpauth"
)

// cookies returns a Cookie header with several cookies of the session's name.
func cookies(tokens ...gormkey.Token) string {
	lines := make([]string, len(tokens))
	for i, token := range tokens {
		lines[i] = cookie(token)
	}
	return strings.Join(lines, "; ")
}

// TestSeveralCookies: of several cookies of the name, as after a change of CookieDomain, the
// one with a session counts. Two with sessions are nobody's.
func TestSeveralCookies(t *testing.T) {
	s := newSite(t)
	ada, bob := s.open("ada"), s.open("bob")
	other, err := s.auth.OpenSession(t.Context(), s.userOf(ada))
	must(t, err)
	const nobody, someone = "nobody", "ada@example.com"
	for what, test := range map[string]struct {
		tokens []gormkey.Token
		want   string
	}{
		"alone":                   {[]gormkey.Token{ada}, someone},
		"the same twice":          {[]gormkey.Token{ada, ada}, someone},
		"a dead one first":        {[]gormkey.Token{knownToken, ada}, someone},
		"a dead one last":         {[]gormkey.Token{ada, knownToken}, someone},
		"dead ones around":        {[]gormkey.Token{knownToken, ada, knownToken + "2"}, someone},
		"no tokens around":        {[]gormkey.Token{"x", "", ada, "signed-out", "%", ada}, someone},
		"two sessions of a user":  {[]gormkey.Token{ada, other.Token}, nobody},
		"two sessions":            {[]gormkey.Token{ada, bob}, nobody},
		"two sessions, dead ones": {[]gormkey.Token{knownToken, bob, knownToken + "2", ada}, nobody},
		"dead ones":               {[]gormkey.Token{knownToken, knownToken + "2"}, nobody},
	} {
		for how, h := range map[string]http.Handler{"OptionalUser": s.web.OptionalUser(s.who()), "RequireUser": s.web.RequireUser(s.who())} {
			w := serve(h, request("GET", "/", "Cookie", cookies(test.tokens...)))
			if got := w.Body.String(); got != test.want && (test.want == someone || w.Code != http.StatusUnauthorized) {
				t.Errorf("%s, %s: got %d, %q, want %s", what, how, w.Code, got, test.want)
			}
			noCookie(t, what+", "+how, w)
		}
	}
	s.wire.taken()
	serve(s.web.RequireUser(s.who()), request("GET", "/", "Cookie", cookies(ada, ada)))
	equal(t, "statements for one token", len(s.wire.taken()), 1)

	s.wire.breaks("")
	for _, tokens := range [][]gormkey.Token{{knownToken, ada}, {ada, knownToken}, {ada, bob}} {
		w := serve(s.web.OptionalUser(s.who()), request("GET", "/", "Cookie", cookies(tokens...)))
		equal(t, "the database fails: status", w.Code, http.StatusServiceUnavailable)
		noCookie(t, "the database fails", w)
	}
	s.wire.breaks("-")

	s.clock.Advance(authtest.ActivePeriod + time.Millisecond)
	w := serve(s.web.RequireUser(s.who()), request("GET", "/", "Cookie", cookies(knownToken, ada)))
	if lines := setCookies(w, cookieName); len(lines) != 1 || !strings.HasPrefix(lines[0], cookie(ada)+"; ") {
		t.Errorf("renewed: got Set-Cookie %q, want one with the token", lines)
	}
	noCookie(t, "renewed again", serve(s.web.RequireUser(s.who()), request("GET", "/", "Cookie", cookies(knownToken, ada))))
}

// userOf returns whose session it is.
func (s *site) userOf(token gormkey.Token) string {
	s.Helper()
	found, err := s.auth.GetSession(s.Context(), token)
	must(s, err)
	return found.UserID
}

// TestSeveralCookiesNeedProof: with any of them a request could be believed.
func TestSeveralCookiesNeedProof(t *testing.T) {
	s := newSite(t)
	ada, bob := s.open("ada"), s.open("bob")
	for _, tokens := range [][]gormkey.Token{{ada, bob}, {ada, knownToken}, {knownToken, ada}, {"", ada}, {ada, ""}} {
		r := request("POST", "/", "Cookie", cookies(tokens...), "Authorization", bearer(ada))
		equal(t, "status", serve(s.web.OptionalUser(s.who()), r).Code, http.StatusForbidden)
	}
}

// TestSeveralCookiesAreReplaced: after a sign-in the browser has one cookie with a session,
// whatever it came with, and after a sign-out none.
func TestSeveralCookiesAreReplaced(t *testing.T) {
	s := newSiteOf(t, []gormkey.Option{gormkey.WithOneTimeTokens()})
	account, bob := s.signUp("ada"), s.signUp("bob")
	of := func(id string) gormkey.Token {
		opened, err := s.auth.OpenSession(t.Context(), id)
		must(t, err)
		return opened.Token
	}
	for name, open := range s.openers(account.ID) {
		first, second, third, apart := of(account.ID), of(bob.ID), of(account.ID), of(account.ID)
		came := cookies(first, knownToken, second, "x", third, first)
		opened, err := open(httptest.NewRecorder(), post("/", "Cookie", came))
		must(t, err)
		for what, token := range map[string]gormkey.Token{"first": first, "second": second, "third": third} {
			equal(t, name+": the "+what+" session is alive", s.alive(token), false)
		}
		equal(t, name+": a session that did not come is alive", s.alive(apart), true)
		for _, set := range []string{cookies(first, opened.Token), cookies(opened.Token, second), cookies(first, second, opened.Token)} {
			w := serve(s.web.RequireUser(s.who()), request("GET", "/", "Cookie", set))
			equal(t, name+": who is signed in", w.Body.String(), account.Email)
		}
	}

	first, second := of(account.ID), of(bob.ID)
	must(t, s.web.SignOut(httptest.NewRecorder(), post("/", "Cookie", cookies(first, knownToken, second))))
	equal(t, "after SignOut: the first session is alive", s.alive(first), false)
	equal(t, "after SignOut: the second session is alive", s.alive(second), false)

	first, second = of(account.ID), of(bob.ID)
	s.wire.breaks("DELETE")
	w := httptest.NewRecorder()
	wantErr(t, "SignOut with a database that fails", s.web.SignOut(w, post("/", "Cookie", cookies(first, second))), errDown)
	equal(t, "SignOut with a database that fails: number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
	_, err := s.web.SignIn(w, post("/", "Cookie", cookies(first, second)), credentials("ada"))
	wantErr(t, "SignIn with a database that fails", err, errDown)
	s.wire.breaks("-")
	equal(t, "the first session is alive", s.alive(first), true)
	equal(t, "the second session is alive", s.alive(second), true)

	wrong := credentials("ada")
	wrong.Password = "wrong password"
	_, err = s.web.SignIn(w, post("/", "Cookie", cookies(first, second)), wrong)
	if !errors.Is(err, gormkey.ErrInvalidCredentials) || !s.alive(first) || !s.alive(second) || len(w.Header()["Set-Cookie"]) > 0 {
		t.Errorf("a wrong password: got error %v, sessions alive %t and %t, Set-Cookie %q", err, s.alive(first), s.alive(second), w.Header()["Set-Cookie"])
	}
}

// TestCookieDomainGiven: when CookieDomain comes to a site, browsers have the cookie that
// they got before, and get the other. The next sign-in or sign-out clears the old one.
func TestCookieDomainGiven(t *testing.T) {
	s := newSite(t)
	account := s.signUp("ada")
	domain := s.with(httpauth.CookieName("auth_session"), httpauth.CookieDomain("example.com"))
	host := s.with(httpauth.CookieName("auth_session"))
	const cleared = "auth_session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"
	const clearedDomain = "auth_session=; Path=/; Domain=example.com; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"
	for _, test := range []struct {
		what    string
		web     *httpauth.Auth[Account, session]
		cookies string
		old     []string
	}{
		{"both", domain, "auth_session=" + string(knownToken) + "; auth_session=" + string(knownToken) + "2", []string{cleared}},
		{"both, alike", domain, "auth_session=" + string(knownToken) + "; auth_session=" + string(knownToken), []string{cleared}},
		{"one", domain, "auth_session=" + string(knownToken), nil},
		{"none", domain, "theme=dark", nil},
		{"both, without a domain", host, "auth_session=" + string(knownToken) + "; auth_session=x", nil},
	} {
		w := httptest.NewRecorder()
		opened, err := test.web.OpenSession(w, post("/", "Cookie", test.cookies), account.ID)
		must(t, err)
		lines := setCookies(w, "auth_session")
		equal(t, test.what+": number of Set-Cookie", len(lines), len(test.old)+1)
		equal(t, test.what+": before the token", strings.Join(lines[:len(test.old)], "|"), strings.Join(test.old, "|"))
		if !strings.HasPrefix(lines[len(lines)-1], "auth_session="+string(opened.Token)+"; Path=/; ") {
			t.Errorf("%s: the last line is not the token's", test.what)
		}
		w = httptest.NewRecorder()
		must(t, test.web.SignOut(w, post("/", "Cookie", test.cookies)))
		want := append(test.old[:len(test.old):len(test.old)], map[bool]string{true: clearedDomain, false: cleared}[test.web == domain])
		equal(t, test.what+": SignOut", strings.Join(w.Header()["Set-Cookie"], "|"), strings.Join(want, "|"))
	}
}
