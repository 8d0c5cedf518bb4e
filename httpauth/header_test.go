package httpauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
)

// TestR16HostileHeaders: a header that is malformed or too long, or has two sessions, signs
// nobody in; nothing panics, and nothing is answered by 5xx.
func TestR16HostileHeaders(t *testing.T) {
	s := newSite(t)
	token := string(s.open("ada"))
	bob := string(s.open("bob"))
	name := cookieName + "="
	junk := strings.Repeat("junk=1; ", 4000)
	const nobody, ada, either = "nobody", "ada@example.com", ""
	unknown := func(n int) (all string) {
		for i := range n {
			all += fmt.Sprintf("%s%040d; ", name, i)
		}
		return all
	}
	for _, test := range []struct {
		what    string
		headers []string
		want    string
		least   bool // a statement may be sent
	}{
		{"good", []string{name + token}, ada, true},
		{"among others", []string{"a=1; " + name + token + "; b=2"}, ada, true},
		{"in a second header", []string{"a=1", name + token}, ada, true},
		{"no blank between", []string{"a=1;" + name + token + ";b=2"}, ada, true},
		{"quoted", []string{name + `"` + token + `"`}, ada, true},
		{"same twice", []string{name + token + "; " + name + token}, ada, true},
		{"same in two headers", []string{name + token, name + token}, ada, true},
		{"two sessions", []string{name + token + "; " + name + bob}, nobody, true},
		{"two sessions, in two headers", []string{name + token, name + bob}, nobody, true},
		{"a session and an unknown token", []string{name + token + "; " + name + string(knownToken)}, ada, true},
		{"an unknown token and a session", []string{name + string(knownToken) + "; " + name + token}, ada, true},
		{"an empty one first", []string{name + "; " + name + token}, ada, true},
		{"an empty one last", []string{name + token + "; " + name}, ada, true},
		{"three, of which two are the same", []string{name + token + "; " + name + bob + "; " + name + token}, nobody, true},
		{"a planted one first", []string{name + "x; " + name + token}, ada, true},
		{"three planted", []string{unknown(3) + name + token}, ada, true},
		{"four planted", []string{unknown(4) + name + token}, nobody, false},
		{"four planted behind it", []string{name + token + "; " + unknown(4)}, nobody, false},
		{"unknown", []string{name + string(knownToken)}, nobody, true},
		{"upper case", []string{name + strings.ToUpper(token)}, nobody, true},
		{"name in another case", []string{strings.ToUpper(name) + token}, nobody, false},
		{"name without the prefix", []string{"auth_session=" + token}, nobody, false},
		{"name with a blank", []string{cookieName + " =" + token}, either, true},
		{"name alone", []string{cookieName}, nobody, false},
		{"empty", []string{name}, nobody, false},
		{"empty header", []string{""}, nobody, false},
		{"no value at all", []string{"=" + token}, nobody, false},
		{"value of another", []string{"a=" + name + token}, nobody, false},
		{"short", []string{name + token[:21]}, nobody, false},
		{"truncated", []string{name + token[:39]}, nobody, true},
		{"longer", []string{name + token + "a"}, nobody, true},
		{"127 characters", []string{name + strings.Repeat("a", 127)}, nobody, true},
		{"128 characters", []string{name + strings.Repeat("a", 128)}, nobody, false},
		{"5 kB", []string{name + strings.Repeat("a", 5000)}, nobody, false},
		{"64 kB", []string{name + strings.Repeat("a", 64<<10)}, nobody, false},
		{"64 kB before it", []string{"a=" + strings.Repeat("a", 64<<10) + "; " + name + token}, ada, true},
		{"4000 cookies, then it", []string{junk + name + token}, either, true}, // net/http of newer Go reads 3000 at most
		{"it, then 4000 cookies", []string{name + token + "; " + junk}, either, true},
		{"4000 different", []string{unknown(4000)}, nobody, false},
		{"NUL", []string{name + token + "\x00"}, nobody, false},
		{"NUL in it", []string{name + token[:20] + "\x00" + token[20:]}, nobody, false},
		{"no UTF-8", []string{name + token + "\xff"}, nobody, false},
		{"quote", []string{name + `"` + token}, nobody, false},
		{"quote behind", []string{name + token + `"`}, nobody, false},
		{"backslash", []string{name + `\` + token}, nobody, false},
		{"percent", []string{name + "%" + fmt.Sprintf("%02x", token[0]) + token[1:]}, nobody, false},
		{"%62", []string{name + "%62" + token}, nobody, false},
		{"plus", []string{name + token + "+"}, nobody, false},
		{"blank before", []string{name + " " + token}, nobody, false},
		{"blank in it", []string{name + token[:20] + " " + token[20:]}, nobody, false},
		{"tab", []string{name + "\t" + token}, nobody, false},
		{"line feed", []string{name + token + "\n"}, either, true},
		{"comma", []string{name + token + "," + token}, nobody, false},
		{"bytes of UTF-8", []string{name + token + "é"}, nobody, false},
		{"SQL", []string{name + "' OR '1'='1' -- aaaaaaaaaa"}, nobody, false},
		{"its id", []string{name + string(gormkey.Token(token).ID())}, nobody, true},
	} {
		r := request("GET", "/")
		r.Header["Cookie"] = test.headers
		s.wire.taken()
		w := serve(s.web.OptionalUser(s.who()), r)
		sent := len(s.wire.taken())
		got := w.Body.String()
		if got != test.want && (test.want != either || got != nobody && got != ada) {
			t.Errorf("%s: got %q, want %q", test.what, got, test.want)
		}
		equal(t, test.what+": status", w.Code, http.StatusOK)
		if test.want == nobody && !test.least {
			equal(t, test.what+": statements", sent, 0)
		}
		status := http.StatusUnauthorized
		if got == ada {
			status = http.StatusOK
		}
		equal(t, test.what+": status where a user is required", serve(s.web.RequireUser(s.who()), r).Code, status)
		r.Method = http.MethodPost
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		out := httptest.NewRecorder()
		must(t, s.web.SignOut(out, r))
		for owner, token := range map[string]string{ada: token, "bob@example.com": bob} {
			if s.alive(gormkey.Token(token)) {
				continue
			}
			if !strings.Contains(strings.Join(test.headers, ";"), name+token) && got != owner {
				t.Errorf("%s: SignOut ended a session of %s, whose token did not come", test.what, owner)
			}
			var account Account
			must(t, s.db.First(&account, "email = ?", owner).Error)
			_, err := s.auth.OpenSession(t.Context(), account.ID, func(d *session) { d.Token = gormkey.Token(token) })
			must(t, err)
		}
	}
}

// TestR15TokenElsewhere: a token in the URL or in a body is nobody's.
func TestR15TokenElsewhere(t *testing.T) {
	s := newSite(t)
	token := string(s.open("ada"))
	form := url.Values{"token": {token}, "access_token": {token}, "session": {token}, cookieName: {token}, "auth_session": {token}, "Authorization": {"Bearer " + token}}
	requests := map[string]*http.Request{
		"query":    request("GET", "/?"+form.Encode()),
		"path":     request("GET", "/"+token),
		"matrix":   request("GET", "/;"+cookieName+"="+token),
		"user":     request("GET", "https://"+token+":"+token+"@example.com/"),
		"body":     httptest.NewRequest("POST", "/", strings.NewReader(form.Encode())),
		"JSON":     httptest.NewRequest("POST", "/", strings.NewReader(`{"access_token":"`+token+`"}`)),
		"referrer": request("GET", "/", "Referer", "https://example.com/?access_token="+token),
	}
	requests["body"].Header.Set("Content-Type", "application/x-www-form-urlencoded")
	requests["JSON"].Header.Set("Content-Type", "application/json")
	for what, r := range requests {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		s.wire.taken()
		equal(t, what, serve(s.web.OptionalUser(s.who()), r).Body.String(), "nobody")
		equal(t, what+", RequireBearer", serve(s.web.RequireBearer(s.who()), r).Code, http.StatusUnauthorized)
		equal(t, what+": statements", len(s.wire.taken()), 0)
	}
}

// TestAnonymousSendsNoStatement: nor does a sign-out of nobody.
func TestAnonymousSendsNoStatement(t *testing.T) {
	s := newSite(t)
	s.wire.taken()
	for _, h := range []http.Handler{s.web.RequireUser(s.who()), s.web.OptionalUser(s.who()), s.web.RequireBearer(s.who())} {
		serve(h, request("GET", "/"))
		serve(h, request("GET", "/", "Cookie", "theme=dark", "Authorization", "Basic eDp5"))
		serve(h, post("/"))
	}
	must(t, s.web.SignOut(httptest.NewRecorder(), post("/")))
	if sent := s.wire.taken(); len(sent) > 0 {
		t.Errorf("got statements %q, want none", sent)
	}
}
