package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtype"
)

// session returns the newest session of an account.
func (s *site) session(t *testing.T, email string) *Device {
	t.Helper()
	sessions, err := s.auth.UserSessions(t.Context(), s.userID(t, email))
	must(t, err)
	newest := sessions[0]
	for _, d := range sessions {
		if d.OpenedAt > newest.OpenedAt {
			newest = d
		}
	}
	return newest
}

// remember is a sign-in with the box ticked.
func remember(email, password string) url.Values {
	form := login(email, password)
	form.Set("remember", "yes")
	return form
}

// TestRemember: without the tick the browser forgets the cookie and the session ends a day after
// its last use. With it both last for two weeks.
func TestRemember(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	s.visit(t).do("POST", "/sign-up", login("ada@example.com", password))
	s.clock.Advance(time.Second)
	cookie := func(v *visitor, form url.Values) *http.Cookie {
		for _, c := range v.only("POST", "/sign-in", form).Cookies() {
			if c.Name == "__Host-auth_session" {
				return c
			}
		}
		t.Fatalf("no cookie after %s", form.Encode())
		return nil
	}
	library, home := s.visit(t), s.visit(t)
	if c := cookie(library, login("ada@example.com", password)); c.MaxAge != 0 || !c.Expires.IsZero() {
		t.Errorf("without the tick the browser keeps the cookie: %v", c)
	}
	d := s.session(t, "ada@example.com")
	if left := d.IdleExpires.Time().Sub(s.clock.Now()).Round(time.Second); d.Remembered == nil || *d.Remembered || left != 24*time.Hour {
		t.Errorf("without the tick the session lasts for %v, remembered %v", left, d.Remembered)
	}
	s.clock.Advance(time.Second)
	if c := cookie(home, remember("ada@example.com", password)); time.Until(c.Expires) < 14*24*time.Hour {
		t.Errorf("with the tick the browser does not keep the cookie: %v", c)
	}
	if d := s.session(t, "ada@example.com"); d.Remembered == nil || !*d.Remembered {
		t.Errorf("with the tick the session is not remembered")
	}
	s.clock.Advance(24*time.Hour + time.Second)
	library.want(200, "/sign-in", "Sign in")(library.do("GET", "/account", nil))
	home.want(200, "/account", "ada@example.com")(home.do("GET", "/account", nil))
}

// TestRememberStaysTicked: after an error the choice is as it was, and a new form has none.
func TestRememberStaysTicked(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	v := s.visit(t)
	ticked := func(page string) bool {
		_, rest, found := strings.Cut(page, `name="remember"`)
		tag, _, _ := strings.Cut(rest, ">")
		if !found {
			t.Fatalf("there is no box:\n%s", page)
		}
		return strings.Contains(tag, "checked")
	}
	for name, step := range map[string]struct {
		form url.Values
		want bool
	}{
		"wrong, ticked":   {remember("ada@example.com", "wrong"), true},
		"wrong, empty":    {login("ada@example.com", "wrong"), false},
		"nothing, ticked": {remember("", ""), true},
	} {
		_, at, page := v.do("POST", "/sign-in", step.form)
		_, _, again := v.do("GET", at, nil)
		if ticked(page) != step.want || ticked(again) != step.want {
			t.Errorf("%s: the box is ticked: %t, after a reload %t", name, ticked(page), ticked(again))
		}
	}
	if _, _, page := v.do("GET", "/sign-in", nil); ticked(page) {
		t.Errorf("a new form has the tick:\n%s", page)
	}
}

// TestDevicesInWords: the page says when and how each device was signed in, and when its user
// last showed who they are.
func TestDevicesInWords(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	s.clock.Advance(3 * time.Minute)
	ada.wantWords("Signed in 3 minutes ago by password on this device, from 127.0.0.1. If it is not used, it is signed out on")

	s.visit(t).do("POST", "/sign-in", login("ada@example.com", password))
	s.clock.Advance(2 * time.Hour)
	ada.wantWords("Signed in 2 hours ago by password, from 127.0.0.1. It does not stay signed in: if it is not used, it is signed out on")
	s.clock.Advance(72 * time.Hour)
	ada.wantWords("Signed in on ")

	// What another process of an older version wrote has no facts.
	d := s.session(t, "ada@example.com")
	must(t, s.db.Exec("UPDATE user_session SET opened_at = NULL, authenticated_at = NULL, methods = NULL, remembered = NULL WHERE id = ?", string(d.ID)).Error)
	ada.wantWords("Signed in from 127.0.0.1. We did not note when. If it is not used,")
}

// wantWords checks what the page of devices says, less its tags.
func (v *visitor) wantWords(want string) {
	v.Helper()
	_, _, page := v.do("GET", "/account/devices", nil)
	if text := strings.Join(strings.Fields(tags.ReplaceAllString(page, "")), " "); !strings.Contains(text, want) {
		v.Errorf("the page does not say %q:\n%s", want, text)
	}
}

// TestWords: of a device whose session may be of any kind.
func TestWords(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "just now", 59 * time.Second: "just now", time.Minute: "a minute ago", 119 * time.Second: "a minute ago",
		2 * time.Minute: "2 minutes ago", time.Hour - 1: "59 minutes ago", time.Hour: "an hour ago", 2*time.Hour - 1: "an hour ago",
		2 * time.Hour: "2 hours ago", 48*time.Hour - 1: "47 hours ago", 48 * time.Hour: "",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	for methods, want := range map[authtype.Methods]string{
		"": "", "pwd": "password", "mail": "a mailed link", "fed": "another service", "fed-mfa": "another service",
		"mail pwd": "password and a mailed link", "fed fed-mfa": "another service", "otp": "",
	} {
		if got := methodWords(methods); got != want {
			t.Errorf("%q: got %q, want %q", methods, got, want)
		}
	}
	s := &server{settings: settings{now: time.Now}}
	if got := s.since(gormkey.UnixMilli(0)); !got.At.IsZero() || got.Ago != "" {
		t.Errorf("of no time: got %+v", got)
	}
}
