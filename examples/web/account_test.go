package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// plain sends a wrong password over http, as a browser does that knows the site by host, and
// returns the page that it leads to.
func (s *site) plain(t *testing.T, host, origin string) string {
	t.Helper()
	h := s.handler()
	r := httptest.NewRequest("POST", "/sign-in", strings.NewReader(login("ada@example.com", "wrong").Encode()))
	r.Host = host
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if to := w.Header().Get("Location"); to != "" {
		r = httptest.NewRequest("GET", to, nil)
		for _, c := range w.Result().Cookies() {
			r.AddCookie(c)
		}
		w = httptest.NewRecorder()
		h.ServeHTTP(w, r)
	}
	return w.Body.String()
}

// TestVerify: a new account gets a link. Until it is used, the gate is closed.
func TestVerify(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, phone := s.visit(t), s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	ada.want(403, "/members", "We have sent a link to")(ada.do("GET", "/members", nil))
	ada.want(200, "/account", "not confirmed")(ada.do("GET", "/account", nil))
	first, _ := s.link(t, "/verify-email")
	ada.want(200, "/account/verify-email", "a new link")(ada.do("POST", "/account/verify-email", nil))
	link, token := s.link(t, "/verify-email")
	phone.want(410, "/verify-email", "no longer works")(phone.do("GET", first, nil))
	for range 2 { // looking at it uses nothing up
		phone.want(200, "/verify-email", "ada@example.com")(phone.do("GET", link, nil))
	}
	ada.want(403, "/members", "")(ada.do("GET", "/members", nil))
	phone.want(200, "/sign-in", "is confirmed")(phone.do("POST", "/verify-email", url.Values{"token": {token}}))
	ada.want(200, "/members", "is confirmed")(ada.do("GET", "/members", nil))
	ada.want(200, "/account", "This address is confirmed")(ada.do("GET", "/account/verify-email", nil))
	phone.want(410, "/verify-email", "no longer works")(phone.do("POST", "/verify-email", url.Values{"token": {token}}))
}

// TestVerifyIsLimited: an address gets five links at once.
func TestVerifyIsLimited(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	for range 4 {
		ada.want(200, "/account/verify-email", "a new link")(ada.do("POST", "/account/verify-email", nil))
	}
	ada.want(429, "/account/verify-email?draft=", "Try again in 10 minutes.")(ada.do("POST", "/account/verify-email", nil))
	if n := len(s.sent); n != 5 {
		t.Errorf("got %d mails, want 5", n)
	}
}

// TestResetVerifies: a link that sets a password proves the address as well.
func TestResetVerifies(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	ada.do("POST", "/forgot-password", url.Values{"email": {"Ada@example.com"}, "next": {"/members"}})
	link, token := s.link(t, "/reset-password")
	if !strings.Contains(link, "next=%2Fmembers") {
		t.Errorf("the link in the mail is %s", link)
	}
	ada.want(200, "/reset-password", `autocomplete="username" value="ada@example.com"`)(ada.do("GET", link, nil))
	_, at, page := ada.do("POST", "/reset-password", url.Values{"token": {token}, "password": {"a new password"}, "next": {"/members"}})
	if !strings.Contains(at, "next=%2Fmembers") || !strings.Contains(page, `value="ada@example.com"`) {
		t.Errorf("got %s:\n%s", at, page)
	}
	ada.want(200, "/members", "is confirmed")(ada.do("POST", "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"a new password"}, "next": {"/members"}}))
}

// TestChangeEmail: the new address gets a link and the old one a notice; the link makes the
// change, and the old address signs nobody in after it.
func TestChangeEmail(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, bob := s.visit(t), s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	bob.do("POST", "/sign-up", login("bob@example.com", password))
	ask := func(email string) (int, string, string) {
		return ada.do("POST", "/account/email", url.Values{"email": {email}})
	}
	ada.want(422, "/account/email?draft=", "like name@example.com")(ask("new"))
	ada.want(422, "/account/email?draft=", "already")(ask("ADA@example.com"))
	ada.want(409, "/account/email?draft=", "Another account")(ask("BOB@example.com"))
	before := len(s.sent)
	ada.want(200, "/account", "We have sent a link to the new address.")(ask(" New@Example.com"))
	must(t, s.deliverAll(t))
	if len(s.sent) != before+2 || s.sent[before].To != "new@example.com" || s.sent[before+1].To != "ada@example.com" {
		t.Fatalf("got the mails %v", s.sent[before:])
	}
	link, token := s.link(t, "/change-email")
	ada.want(200, "/change-email", "new@example.com")(ada.do("GET", link, nil))
	ada.want(200, "/account", "ada@example.com")(ada.do("GET", "/account", nil))
	ada.want(200, "/account", "new@example.com")(ada.do("POST", "/change-email", url.Values{"token": {token}}))
	ada.want(200, "/members", "is confirmed")(ada.do("GET", "/members", nil))
	other := s.visit(t)
	other.want(401, "/sign-in", "is wrong")(other.do("POST", "/sign-in", login("ada@example.com", password)))
	other.want(200, "/account", "new@example.com")(other.do("POST", "/sign-in", login("new@example.com", password)))

	ask("third@example.com")
	_, token = s.link(t, "/change-email")
	s.visit(t).do("POST", "/sign-up", login("third@example.com", password)) // somebody takes it meanwhile
	ada.want(409, "/change-email?draft=", "Nothing was changed")(ada.do("POST", "/change-email", url.Values{"token": {token}}))
	ada.want(200, "/account", "new@example.com")(ada.do("GET", "/account", nil))
}

// TestDeleteAccount: everything goes.
func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, phone := s.visit(t), s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	phone.do("POST", "/sign-in", login("ada@example.com", password))
	ada.want(200, "/", "Your account is deleted.")(ada.do("POST", "/account/delete", nil))
	for _, v := range []*visitor{ada, phone} {
		v.want(200, "/sign-in", "Sign in")(v.do("GET", "/account", nil))
	}
	ada.want(401, "/sign-in", "is wrong")(ada.do("POST", "/sign-in", login("ada@example.com", password)))
	ada.want(200, "/account", "ada@example.com")(ada.do("POST", "/sign-up", login("ada@example.com", password)))
}

// TestExport: the file has what is stored, and no secret.
func TestExport(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	response, err := ada.client.Do(ada.request("POST", "/account/export", nil))
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	var got export
	must(t, json.Unmarshal(text, &got))
	if got.Email != "ada@example.com" || len(got.Keys) != 1 || !got.Keys[0].HasPassword || len(got.Devices) != 1 || got.Devices[0].UsedAt.IsZero() ||
		got.Devices[0].OpenedAt == nil || got.Devices[0].AuthenticatedAt == nil || got.Devices[0].Methods != "pwd" ||
		len(got.Activity) == 0 || got.Activity[len(got.Activity)-1].Type != "user created" || got.Activity[0].IP != "127.0.0.1" {
		t.Errorf("got %s", text)
	}
	if h := response.Header; h.Get("Cache-Control") != "no-store" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || h.Get("Content-Type") != "application/json" {
		t.Errorf("got the headers %v", h)
	}
	sessions, err := s.auth.UserSessions(t.Context(), got.ID)
	must(t, err)
	key, err := s.auth.UserKeys(t.Context(), got.ID)
	must(t, err)
	for _, secret := range []string{string(sessions[0].ID), string(*key[0].HashedPassword), "hashed"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the export has a secret:\n%s", text)
		}
	}
}

// TestLastUse: it is noted once an hour.
func TestLastUse(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	id := s.userID(t, "ada@example.com")
	begin := s.clock.Now()
	for _, step := range []struct{ wait, want time.Duration }{{59 * time.Minute, 0}, {time.Minute, time.Hour}, {30 * time.Minute, time.Hour}, {90 * time.Minute, 3 * time.Hour}} {
		s.clock.Advance(step.wait)
		ada.do("GET", "/", nil)
		sessions, err := s.auth.UserSessions(t.Context(), id)
		must(t, err)
		if got := sessions[0].UsedAt.Sub(begin); got.Round(time.Second) != step.want {
			t.Errorf("after %v more it was last used %v after the sign-up, want %v", step.wait, got, step.want)
		}
	}
}

// TestSentOn: who is signed in does not see the forms of those who are not, and gets to where
// they were going.
func TestSentOn(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", url.Values{"email": {"ada@example.com"}, "password": {password}, "next": {"/account/devices"}})
	for path, to := range map[string]string{"/sign-in": "/account", "/sign-up": "/account", "/sign-in?next=/account/devices": "/account/devices", "/sign-in?next=//evil.example": "/account", "/.well-known/change-password": "/account/password"} {
		if response := ada.only("GET", path, nil); response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != to {
			t.Errorf("%s: got %d to %q, want %q", path, response.StatusCode, response.Header.Get("Location"), to)
		}
	}
}

// TestTakenAddress: the page leads to what helps, with the address and the way on.
func TestTakenAddress(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	s.visit(t).do("POST", "/sign-up", login("ada@example.com", password))
	ada := s.visit(t)
	_, _, page := ada.do("POST", "/sign-up", url.Values{"email": {"ada@example.com"}, "password": {password}, "next": {"/members"}})
	for _, path := range []string{"/sign-in", "/forgot-password"} {
		_, rest, found := strings.Cut(page, "There is an account with this address.")
		_, rest, _ = strings.Cut(rest, `href="`+path)
		query, _, _ := strings.Cut(rest, `"`)
		if !found || query == "" {
			t.Fatalf("no link to %s:\n%s", path, page)
		}
		_, _, next := ada.do("GET", path+strings.ReplaceAll(query, "&amp;", "&"), nil)
		if !strings.Contains(next, `value="ada@example.com"`) || !strings.Contains(next, `value="/members"`) {
			t.Errorf("%s does not keep the address and the way on:\n%s", path, next)
		}
	}
}
