package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// state is what the forms below could change.
func (s *site) state(t *testing.T) string {
	t.Helper()
	var rows [3]int64
	for i, table := range []string{"user_session", "auth_user", "user_token"} {
		must(t, s.db.Table(table).Count(&rows[i]).Error)
	}
	return fmt.Sprintf("%d sessions, %d accounts, %d links, %d mails", rows[0], rows[1], rows[2], len(s.sent))
}

// from is a form that a page sent.
func (v *visitor) from(page, path string, form url.Values) *http.Response {
	v.Helper()
	return v.only("POST", path, form, "Referer", v.site.http.URL+page)
}

// TestStaleSession: ten minutes after the password was entered, nothing is done that needs it. The
// browser is sent to confirm it and comes back to the page that it was on, and only the form that
// is sent from there again does something.
func TestStaleSession(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]struct {
		page, path string
		form       func(s *site) url.Values
		to         string // where the form leads in the end, "" for a file
	}{
		"address":    {"/account/email", "/account/email", func(*site) url.Values { return url.Values{"email": {"new@example.com"}} }, "/account"},
		"one device": {"/account/devices", "/account/devices/end", func(s *site) url.Values { return url.Values{"id": {s.session(t, "ada@example.com").ID.String()}} }, "/account/devices"},
		"others":     {"/account/devices", "/account/devices/end-others", nil, "/account/devices"},
		"export":     {"/account/export", "/account/export", nil, ""},
		"deletion":   {"/account/delete", "/account/delete", nil, "/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, settings{dev: true})
			ada, phone := s.visit(t), s.visit(t)
			ada.do("POST", "/sign-up", login("ada@example.com", password))
			s.clock.Advance(time.Second)
			phone.do("POST", "/sign-in", login("ada@example.com", password))
			var form url.Values
			if step.form != nil {
				form = step.form(s)
			}
			s.clock.Advance(recently) // and a second, for ada

			before := s.state(t)
			confirm := "/confirm?next=" + url.QueryEscape(step.page)
			if r := ada.from(step.page, step.path, form); r.StatusCode != 303 || r.Header.Get("Location") != confirm {
				t.Errorf("got %d to %q, want 303 to %q", r.StatusCode, r.Header.Get("Location"), confirm)
			}
			ada.want(200, confirm, `value="`+step.page+`"`)(ada.do("GET", confirm, nil))
			if after := s.state(t); after != before {
				t.Errorf("a stale session changed %s to %s", before, after)
			}
			ada.want(200, step.page, "Nothing else has changed yet.")(ada.do("POST", "/confirm", url.Values{"password": {password}, "next": {step.page}}))
			if after := s.state(t); after != before {
				t.Errorf("the confirmation changed %s to %s", before, after)
			}
			r := ada.from(step.page, step.path, form)
			if to := r.Header.Get("Location"); to != step.to || step.to == "" && r.Header.Get("Content-Disposition") == "" {
				t.Errorf("after the confirmation: got %d to %q, want %q", r.StatusCode, to, step.to)
			}
			if after := s.state(t); (after == before) != (step.to == "") {
				t.Errorf("after the confirmation %s became %s", before, after)
			}
		})
	}
}

// TestStalePages: forms that would be refused are not shown. Those that prove the password
// themselves, or let somebody out, are not asked for it twice.
func TestStalePages(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	pages := []string{"/account/email", "/account/delete", "/account/export"}
	s.clock.Advance(recently - time.Second)
	for _, page := range pages {
		ada.want(200, page, "<form")(ada.do("GET", page, nil))
	}
	s.clock.Advance(2 * time.Second)
	for _, page := range pages {
		ada.want(200, "/confirm?next="+url.QueryEscape(page), `autocomplete="current-password"`)(ada.do("GET", page, nil))
	}
	for _, page := range []string{"/account", "/account/devices", "/account/password", "/members", "/account/verify-email"} {
		if _, at, _ := ada.do("GET", page, nil); at != page {
			t.Errorf("%s leads to %s", page, at)
		}
	}
	ada.want(200, "/account", "is changed")(ada.do("POST", "/account/password", url.Values{"current": {password}, "new": {"a new password"}}))
	s.visit(t).do("POST", "/sign-in", login("ada@example.com", "a new password"))
	s.clock.Advance(recently + time.Second)
	ada.want(200, "/", "You are signed out on every device.")(ada.do("POST", "/account/devices/end-all", nil))
	if left := s.state(t); !strings.HasPrefix(left, "0 sessions") {
		t.Errorf("got %s", left)
	}
}

// TestConfirm: the page keeps the way on and the session, whatever is typed.
func TestConfirm(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	s.clock.Advance(recently + time.Second)
	for typed, says := range map[string]string{"wrong": "This is not your password.", "": "Enter your password.", strings.Repeat("x", 5000): "This is not your password."} {
		status, at, page := ada.do("POST", "/confirm", url.Values{"password": {typed}, "next": {"/account/delete"}})
		ada.want(422, "/confirm?draft=", `value="/account/delete"`)(status, at, page)
		_, beside, _ := strings.Cut(page, `id="password-error"`)
		beside, _, _ = strings.Cut(beside, "</p>")
		field := page[strings.Index(page, `<input id="password"`):]
		field = field[:strings.Index(field, ">")]
		if !strings.Contains(beside, says) || !strings.Contains(field, "autofocus") || !strings.Contains(field, `aria-describedby="password-error"`) {
			t.Errorf("%.9q: the error next to the field is %q, and the field is %s", typed, beside, field)
		}
		if len(typed) > 0 && strings.Contains(page, typed) {
			t.Errorf("the page has the password:\n%s", page)
		}
		ada.want(200, "/account", "ada@example.com")(ada.do("GET", "/account", nil))
		ada.want(200, "/confirm", "")(ada.do("GET", "/account/delete", nil))
	}
	if _, _, page := ada.do("GET", "/confirm", nil); !strings.Contains(page, " autofocus>") {
		t.Errorf("the field has no focus:\n%s", page)
	}
	if _, at, page := ada.do("POST", "/confirm", url.Values{"next": {"//evil.example"}}); strings.Contains(at+page, "evil") {
		t.Errorf("got, at %s:\n%s", at, page)
	}
	for next, to := range map[string]string{"/account/delete": "/account/delete", "": "/account", "//evil.example": "/account", "https://evil.example/": "/account"} {
		r := ada.only("POST", "/confirm", url.Values{"password": {password}, "next": {next}})
		if r.StatusCode != 303 || r.Header.Get("Location") != to {
			t.Errorf("next %q: got %d to %q", next, r.StatusCode, r.Header.Get("Location"))
		}
	}
	s.clock.Advance(time.Minute)
	ada.wantWords("Signed in 11 minutes ago by password on this device, from 127.0.0.1. Last confirmed a minute ago.")
}

// TestConfirmOnce: who has entered the password just now is sent on, and a sign-in on the way
// counts. Somebody who came in by mail, though just now, is asked: the operations want the
// password.
func TestConfirmOnce(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, phone := s.visit(t), s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	ada.want(200, "/account/delete", "Delete my account")(ada.do("GET", "/confirm?next=/account/delete", nil))
	_, at, page := phone.do("GET", "/confirm?next=/account/delete", nil)
	phone.want(200, "/sign-in?next=", "Sign in")(200, at, page)
	phone.want(200, "/account/delete", "Delete my account")(phone.do("POST", "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {password}, "next": {"/confirm?next=/account/delete"}}))

	must(t, s.db.Exec("UPDATE user_session SET methods = 'mail'").Error)
	before := s.state(t)
	ada.want(200, "/confirm", `autocomplete="current-password"`)(ada.do("POST", "/account/delete", nil))
	if after := s.state(t); after != before {
		t.Errorf("a mailed link changed %s to %s", before, after)
	}
}

// TestConfirmKeepsTheChoice: the new cookie is forgotten by the browser as the old one was.
func TestConfirmKeepsTheChoice(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	s.visit(t).do("POST", "/sign-up", login("ada@example.com", password))
	for _, form := range []url.Values{login("ada@example.com", password), remember("ada@example.com", password)} {
		v := s.visit(t)
		v.do("POST", "/sign-in", form)
		for _, c := range v.only("POST", "/confirm", url.Values{"password": {password}}).Cookies() {
			if c.Name == "__Host-auth_session" && c.Expires.IsZero() == form.Has("remember") {
				t.Errorf("after %s: got a cookie until %v", form.Encode(), c.Expires)
			}
		}
	}
}

// TestConfirmIsThrottled: guesses at this page are counted with those at the sign-in.
func TestConfirmIsThrottled(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	for range 5 {
		ada.want(422, "/confirm", "not your password")(ada.do("POST", "/confirm", url.Values{"password": {"a guess"}}))
	}
	ada.want(429, "/confirm", "Too many attempts. Try again in")(ada.do("POST", "/confirm", url.Values{"password": {password}}))
	ada.want(429, "/sign-in", "Too many attempts. Try again in")(ada.do("POST", "/sign-in", login("ada@example.com", password)))
	ada.want(200, "/account", "ada@example.com")(ada.do("GET", "/account", nil))
}

// TestForgottenWhileSignedIn: the page of the mail knows the address, and keeps the way on.
func TestForgottenWhileSignedIn(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	s.clock.Advance(recently + time.Second)
	ada.want(200, "/confirm", `href="/forgot-password?next=%2Faccount%2Femail"`)(ada.do("GET", "/account/email", nil))
	_, _, page := ada.do("GET", "/forgot-password?next=%2Faccount%2Femail", nil)
	if !strings.Contains(page, `value="ada@example.com"`) || !strings.Contains(page, `value="/account/email"`) {
		t.Errorf("got\n%s", page)
	}
}
