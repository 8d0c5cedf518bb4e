package browser_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const remember = `input[name="remember"]`

// TestConfirmByKeyboard: everything that asks for the password again, with Tab, Enter and text in
// a window of 320 points.
func TestConfirmByKeyboard(t *testing.T) {
	t.Parallel()
	s := start(t)
	phone := s.visit(t)
	phone.signUp("ada@example.com")
	k := typist{s.visit(t)}
	k.do(chromedp.EmulateViewport(320, 600))
	k.open("/sign-in")
	k.fill("email", "ada@example.com", "password", "wrong")
	k.to("remember")
	k.do(chromedp.KeyEvent(" "))
	k.press("Sign in", "/sign-in")
	k.waitFocus("password")
	if n := k.count(remember + ":checked"); n != 1 {
		t.Errorf("after a wrong password the box is not ticked")
	}
	k.fill("password", password)
	k.press("Sign in", "/account")
	s.age(t)

	k.press("Devices", "/account/devices")
	k.wantText("Signed in an hour ago by password on this device")
	k.press("Sign out all other devices", "/confirm")
	k.waitFocus("password")
	k.fill("password", "wrong")
	k.submit(chromedp.KeyEvent("\r"))
	k.wantPath("/confirm")
	k.waitFocus("password")
	k.wantText("This is not your password.")
	k.fill("password", password)
	k.press("Continue", "/account/devices")
	k.wantText("Nothing else has changed yet.")
	phone.wantSignedIn(true)
	k.press("Sign out all other devices", "/account/devices")
	k.wantText("Your other devices are signed out.")
	phone.wantSignedIn(false)

	for _, step := range []struct{ from, to string }{
		{"Download data", "/account/export"}, {"Change address", "/account/email"}, {"Delete account", "/account/delete"},
	} {
		s.age(t)
		k.press("Account", "/account")
		k.press(step.from, "/confirm")
		k.waitFocus("password")
		k.fill("password", password)
		k.press("Continue", step.to)
	}
	s.age(t)
	k.press("Delete my account", "/confirm") // the page was open for too long
	k.waitFocus("password")
	k.fill("password", password)
	k.press("Continue", "/account/delete")
	k.press("Delete my account", "/")
	k.wantText("is deleted")
}

// TestConfirmWithoutScript: no step needs one, and times are in words all the same.
func TestConfirmWithoutScript(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.visit(t)
	ada.signUp("ada@example.com")
	ada.signOut()
	ada.do(emulation.SetScriptExecutionDisabled(true))
	ada.open("/sign-in")
	ada.do(click(remember))
	ada.signInHere("ada@example.com", "wrong")
	if n := ada.count(remember + ":checked"); n != 1 {
		t.Errorf("after a wrong password the box is not ticked")
	}
	ada.signInHere("ada@example.com", password)
	s.age(t)
	ada.open("/account/email")
	ada.wantPath("/confirm")
	if n := ada.count(`.reveal:not([hidden])`); n != 0 {
		t.Errorf("%d buttons wait for a script", n)
	}
	ada.confirm("wrong")
	ada.wantText("This is not your password.")
	ada.confirm(password)
	ada.wantPath("/account/email") // where it began
	ada.do(fill(in("/account/email", emailInput), "new@example.com"))
	s.age(t)
	ada.submit(click(in("/account/email", button)))
	ada.wantPath("/confirm")
	ada.confirm(password)
	ada.wantPath("/account/email")
	var typed string
	ada.do(chromedp.Value(in("/account/email", emailInput), &typed, chromedp.ByQuery))
	if typed != "" {
		t.Errorf("the form came back with %q", typed)
	}
	ada.open("/dev/mails")
	if strings.Contains(ada.text(), "To new@example.com") {
		t.Errorf("the form was sent again:\n%s", ada.text())
	}
	ada.open("/account/devices")
	ada.wantText("Signed in 2 hours ago by password on this device, from ")
	ada.wantText("Last confirmed just now.")
}

// confirm fills in the form that asks for the password again.
func (v *visitor) confirm(password string) {
	v.Helper()
	v.do(fill(in("/confirm", current), password))
	v.submit(click(in("/confirm", button)))
}

// TestBackAfterConfirm: Back from the page to which the confirmation led sends no form again and
// shows a page.
func TestBackAfterConfirm(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.visit(t)
	ada.signUp("ada@example.com")
	ada.site.visit(t).signIn("ada@example.com", password)
	s.age(t)
	ada.open("/account/devices")
	ada.submit(click(in("/account/devices/end-others", button)))
	ada.wantPath("/confirm")
	ada.confirm("wrong")
	ada.confirm(password)
	ada.wantPath("/account/devices")
	for range 3 { // the form, the form with its error, the page before
		ada.do(chromedp.Evaluate(`window.before = true; setTimeout(() => history.back())`, nil))
		gone := false
		for end := time.Now().Add(patience); !gone; {
			if time.Now().After(end) {
				t.Fatalf("Back does not leave %s", ada.path())
			}
			_ = chromedp.Run(ada.ctx, chromedp.Evaluate(`!window.before && document.readyState === "complete"`, &gone))
		}
		if n := ada.count(`.brand`); n != 1 || ada.status() >= 500 {
			t.Errorf("Back shows, at %s:\n%s", ada.path(), ada.text())
		}
	}
	ada.open("/account/devices")
	if n := ada.count(in("/account/devices/end", button)); n != 1 {
		t.Errorf("got %d other devices, want 1: a form was sent again", n)
	}
}

// TestRememberCookie: without the tick the browser keeps the cookie until it is closed, and after
// the password was confirmed too.
func TestRememberCookie(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.visit(t).signUp("ada@example.com")
	for _, tick := range []bool{false, true} {
		v := s.visit(t)
		v.open("/sign-in")
		if tick {
			v.do(click(remember))
		}
		v.signInHere("ada@example.com", password)
		for _, step := range []string{"the sign-in", "the confirmation"} {
			if step == "the confirmation" {
				s.age(t)
				v.open("/account/delete")
				v.confirm(password)
			}
			found := false
			v.do(chromedp.ActionFunc(func(ctx context.Context) error {
				list, err := network.GetCookies().WithURLs([]string{s.url}).Do(ctx)
				for _, c := range list {
					if c.Name == "__Host-auth_session" {
						found = true
						if c.Session == tick {
							t.Errorf("after %s with the tick %t: the cookie ends with the browser: %t", step, tick, c.Session)
						}
					}
				}
				return err
			}))
			if !found {
				t.Errorf("after %s there is no cookie", step)
			}
		}
	}
}

// TestDownload: the button saves a file and leaves the page as it is.
func TestDownload(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.visit(t)
	ada.signUp("ada@example.com")
	s.age(t)
	folder := t.TempDir()
	ada.do(browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(folder))
	ada.open("/account")
	ada.submit(click(`main a[href="/account/export"]`))
	ada.confirm(password)
	ada.wantPath("/account/export")
	ada.do(click(in("/account/export", button)))
	var text []byte
	for end := time.Now().Add(patience); len(text) == 0; {
		if time.Now().After(end) {
			t.Fatal("no file arrives")
		}
		text, _ = os.ReadFile(filepath.Join(folder, "latchkey.json"))
	}
	if !strings.Contains(string(text), `"ada@example.com"`) {
		t.Errorf("the file is %s", text)
	}
	ada.wantPath("/account/export")
}
