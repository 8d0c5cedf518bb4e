package main

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestEveryPostRedirects: no page is the answer to a POST, so that Back never sends a form again.
func TestEveryPostRedirects(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, nobody := s.visit(t), s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	nobody.do("POST", "/forgot-password", login("ada@example.com", ""))
	_, reset := s.link(t, "/reset-password")
	_, verify := s.link(t, "/verify-email")
	for _, step := range []struct {
		who      *visitor
		path, to string
		form     url.Values
	}{
		{nobody, "/sign-in", "/sign-in?draft=", login("ada@example.com", "wrong")},
		{nobody, "/sign-in", "/sign-in?draft=", nil},
		{nobody, "/sign-in", "/sign-in?draft=.*next=%2Fmembers", url.Values{"next": {"/members"}}},
		{nobody, "/sign-up", "/sign-up?draft=", login("ada@example.com", password)},
		{nobody, "/sign-up", "/members", url.Values{"email": {"bob@example.com"}, "password": {password}, "next": {"/members"}}},
		{nobody, "/sign-out", "/", nil},
		{nobody, "/forgot-password", "/forgot-password/sent?draft=", login("ada@example.com", "")},
		{nobody, "/forgot-password", "/forgot-password?draft=", login("", "")},
		{nobody, "/reset-password", "/reset-password?draft=", url.Values{"token": {reset}, "password": {"short"}}},
		{nobody, "/reset-password", "/reset-password?token=x", url.Values{"token": {"x"}, "password": {password}}},
		{nobody, "/verify-email", "/sign-in", url.Values{"token": {verify}}},
		{nobody, "/verify-email", "/verify-email?token=", url.Values{"token": {verify}}},
		{nobody, "/change-email", "/change-email?token=x", url.Values{"token": {"x"}}},
		{ada, "/account/verify-email", "/account/verify-email", nil},
		{ada, "/account/email", "/account/email?draft=", url.Values{"email": {"ada"}}},
		{ada, "/account/email", "/account", url.Values{"email": {"ada@example.org"}}},
		{ada, "/confirm", "/confirm?draft=.*next=%2Fmembers", url.Values{"password": {"wrong"}, "next": {"/members"}}},
		{ada, "/confirm", "/confirm?draft=", nil},
		{ada, "/confirm", "/members", url.Values{"password": {password}, "next": {"/members"}}},
		{ada, "/account/password", "/account/password?draft=", url.Values{"current": {"wrong"}, "new": {"a new password"}}},
		{ada, "/account/password", "/account", url.Values{"current": {password}, "new": {"a new password"}}},
		{ada, "/account/devices/end-others", "/account/devices", nil},
		{ada, "/account/devices/end-all", "/", nil},
		{ada, "/sign-in", "/account", login("ada@example.com", "a new password")},
		{ada, "/account/delete", "/", nil},
	} {
		response := step.who.only("POST", step.path, step.form)
		path, query, _ := strings.Cut(step.to, ".*")
		to := response.Header.Get("Location")
		if response.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, path) || !strings.Contains(to, query) || !strings.ContainsAny(step.to, "?") && to != step.to {
			t.Errorf("POST %s of %s: got %d to %q, want 303 to %q", step.path, step.form.Encode(), response.StatusCode, to, step.to)
		}
	}
}

// TestDraft: after a refused form its page has the address and the error, for a reload too. The
// same page opened anew has neither, and nothing has the password.
func TestDraft(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	eve := s.visit(t)
	typed := url.Values{"email": {"eve@example.com"}, "password": {"a wrong password"}, "next": {"/members"}}
	status, at, page := eve.do("POST", "/sign-in", typed)
	for _, reload := range []string{"", " (reloaded)"} {
		if status != 401 || strings.Count(page, "is wrong") != 1 || !strings.Contains(page, `value="eve@example.com"`) || !strings.Contains(page, "<title>Error: ") || !strings.Contains(page, `value="/members"`) {
			t.Errorf("got %d%s:\n%s", status, reload, page)
		}
		status, _, page = eve.do("GET", at, nil)
	}
	if _, _, page := eve.do("GET", "/sign-in", nil); strings.Contains(page, "is wrong") || strings.Contains(page, "eve@") {
		t.Errorf("a new page shows the draft:\n%s", page)
	}
	if _, _, page := eve.do("GET", "/sign-in?draft=another", nil); strings.Contains(page, "is wrong") || strings.Contains(page, "eve@") {
		t.Errorf("the draft is shown for the id of another:\n%s", page)
	}
	_, query, _ := strings.Cut(at, "?")
	for _, path := range []string{"/sign-up", "/forgot-password"} { // the address goes along, the error does not
		if _, _, page := eve.do("GET", path+"?"+query, nil); strings.Contains(page, "is wrong") || !strings.Contains(page, `value="eve@example.com"`) {
			t.Errorf("%s: got\n%s", path, page)
		}
	}

	response := eve.only("POST", "/sign-in", typed)
	cookie := response.Cookies()[0]
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	must(t, err)
	text, err := s.sealer.Open(nil, nil, sealed, []byte(draftCookie))
	must(t, err)
	if !strings.Contains(string(text), "eve@example.com") || strings.Contains(string(text), "a wrong password") || strings.Contains(string(sealed), "eve@") {
		t.Errorf("the cookie holds %s, as %q", text, sealed)
	}
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 600 {
		t.Errorf("got the cookie %+v", cookie)
	}
}

// TestDraftOfAnother: the draft belongs to one browser and ends. What a browser made by itself
// shows nothing.
func TestDraftOfAnother(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, eve := s.visit(t), s.visit(t)
	_, at, _ := ada.do("POST", "/sign-in", login("ada@example.com", "wrong"))
	eve.want(200, "/sign-in", "fill in the form again")(eve.do("GET", at, nil))
	for _, value := range []string{"x", "", base64.RawURLEncoding.EncodeToString([]byte(`{"ID":"x","Page":"/sign-in","Errors":{"":"planted"}}`))} {
		_, _, page := eve.do("GET", "/sign-in?draft=x", nil, "Cookie", "__Host-web_draft="+value+"; __Host-web_notice=planted")
		if strings.Contains(page, "planted") || !strings.Contains(page, "fill in the form again") {
			t.Errorf("the cookie %q: got\n%s", value, page)
		}
	}
	s.clock.Advance(draftLifetime + time.Second)
	_, _, page := ada.do("GET", at, nil)
	if strings.Contains(page, "ada@") || strings.Contains(page, "is wrong") {
		t.Errorf("after its time the draft is shown:\n%s", page)
	}
}

// TestNoticeOnce: what was just done is said once.
func TestNoticeOnce(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.want(200, "/account", "Your account is ready.")(ada.do("POST", "/sign-up", login("ada@example.com", password)))
	if _, _, page := ada.do("GET", "/account", nil); strings.Contains(page, "Your account is ready.") {
		t.Errorf("the notice is there again:\n%s", page)
	}
}

// TestPlainHTTP: a form from a page that was opened over http on a network is refused with the
// reason, and with InsecureCookie it is not.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		insecure     bool
		host, origin string
		says         string
	}{
		{false, "192.0.2.2:8080", "http://192.0.2.2:8080", "-insecure-cookie"},
		{false, "192.0.2.2:8080", "http://evil.example", "We refused this request"},
		{false, "192.0.2.2:8080", "", "We refused this request"},
		{true, "192.0.2.2:8080", "http://192.0.2.2:8080", "is wrong"},
		{true, "192.0.2.2:8080", "http://evil.example", "We refused this request"},
	} {
		s := open(t, settings{dev: true, insecureCookie: test.insecure})
		page := s.plain(t, test.host, test.origin)
		if !strings.Contains(page, test.says) {
			t.Errorf("%+v: got\n%s", test, page)
		}
	}
	for site, want := range map[string]bool{"http://192.0.2.2:8080": true, "http://dev.example": true,
		"http://localhost:8080": false, "http://127.0.0.1": false, "http://[::1]:8080": false, "https://dev.example": false} {
		if got := plainHTTP(site); got != want {
			t.Errorf("plainHTTP(%q) = %t", site, got)
		}
	}
}
