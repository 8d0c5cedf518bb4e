package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestSignUpAndOut(t *testing.T) {
	t.Parallel()
	ada := start(t).visit(t)
	ada.open("/account")
	ada.wantPath("/sign-in")
	ada.signUp("Ada@Example.com")
	ada.wantText("ada@example.com")
	ada.signOut()
	ada.wantText("signed out")
	ada.wantSignedIn(false)

	ada.signIn("ada@example.com", password+"x")
	ada.wantStatus(401)
	var typed string
	ada.do(chromedp.Value(in("/sign-in", emailInput), &typed, chromedp.ByQuery))
	if typed != "ada@example.com" {
		t.Errorf("after a wrong password the address is %q", typed)
	}
	ada.signIn("nobody@example.com", password)
	ada.wantStatus(401)
	ada.signIn("ada@example.com", password)
	ada.wantStatus(200)
	ada.wantSignedIn(true)
}

// TestBackAfterSignOut: Back shows nobody's page then, whichever was the last one. The page to
// which a sign-in leads is another case than those after it: Chromium does not count the
// changes of cookies that came with the redirect to it.
func TestBackAfterSignOut(t *testing.T) {
	t.Parallel()
	ada := start(t).visit(t)
	ada.signUp("ada@example.com")
	for _, pages := range [][]string{nil, {}, {"/account/devices", "/", "/account"}} { // after the page that it leads to
		if pages != nil {
			ada.signIn("ada@example.com", password)
		}
		for _, page := range pages {
			ada.open(page)
			ada.wantPath(page)
		}
		ada.wantText("Sign out")
		ada.signOut()
		for range len(pages) + 1 {
			ada.back()
			if text := ada.text(); strings.Contains(text, "ada@example.com") || strings.Contains(text, "Sign out") {
				t.Errorf("after %q: Back shows, at %s:\n%s", pages, ada.path(), text)
			}
		}
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	s := start(t)
	laptop, phone, library := s.visit(t), s.visit(t), s.visit(t)
	laptop.signUp("ada@example.com")
	phone.signIn("ada@example.com", password)
	library.signIn("ada@example.com", password)

	end := in("/account/devices/end", button)
	laptop.open("/account/devices")
	laptop.wantText("this device")
	if n := laptop.count(end); n != 2 {
		t.Fatalf("got %d other devices, want 2:\n%s", n, laptop.text())
	}
	laptop.submit(click(end))
	if n := laptop.count(end); n != 1 {
		t.Errorf("got %d other devices, want 1", n)
	}
	phone.open("/account")
	library.open("/account")
	if one, other := phone.path(), library.path(); one == other {
		t.Errorf("after one device was ended both are at %s", one)
	}
	laptop.submit(click(in("/account/devices/end-others", button)))
	phone.wantSignedIn(false)
	library.wantSignedIn(false)
	laptop.wantSignedIn(true)
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, phone := s.visit(t), s.visit(t)
	ada.signUp("ada@example.com")
	phone.signIn("ada@example.com", password)
	change := func(from, to string) {
		ada.open("/account/password")
		ada.do(fill(in("/account/password", current), from), fill(in("/account/password", chosen), to))
		ada.submit(click(in("/account/password", button)))
	}
	change("not the password", "a new password")
	if status := ada.status(); status < 400 {
		t.Errorf("with a wrong password: got status %d", status)
	}
	phone.wantSignedIn(true)
	change(password, "a new password")
	ada.wantStatus(200)
	ada.wantSignedIn(true)
	phone.wantSignedIn(false)
	phone.signIn("ada@example.com", password)
	phone.wantStatus(401)
	phone.signIn("ada@example.com", "a new password")
	phone.wantSignedIn(true)
}

func TestResetPassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, phone := s.visit(t), s.visit(t)
	phone.signUp("ada@example.com")
	ada.open("/forgot-password")
	ada.do(fill(in("/forgot-password", emailInput), "ada@example.com"))
	ada.submit(click(in("/forgot-password", button)))
	address := ada.mailed("/reset-password")
	ada.do(chromedp.Navigate(address))
	ada.do(fill(in("/reset-password", chosen), "short"))
	ada.submit(click(in("/reset-password", button)))
	ada.wantStatus(422)
	ada.wantPath("/reset-password")
	ada.do(fill(in("/reset-password", chosen), "a new password"))
	ada.submit(click(in("/reset-password", button)))
	phone.wantSignedIn(false)
	ada.signIn("ada@example.com", password)
	ada.wantStatus(401)
	ada.signIn("ada@example.com", "a new password")
	ada.wantSignedIn(true)
	ada.do(chromedp.Navigate(address))
	if n := ada.count(in("/reset-password", chosen)); n != 0 {
		t.Errorf("a link that was used shows the form again:\n%s", ada.text())
	}
}

func TestThrottledSignIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, stranger := s.visit(t), s.visit(t)
	ada.signUp("ada@example.com") // from now on a known device
	ada.signOut()
	for range 5 {
		stranger.signIn("ada@example.com", "a guess of mine")
		stranger.wantStatus(401)
	}
	stranger.signIn("ada@example.com", password)
	stranger.wantStatus(429)
	stranger.wantText("too many")
	ada.signIn("ada@example.com", password)
	ada.wantSignedIn(true)
}
