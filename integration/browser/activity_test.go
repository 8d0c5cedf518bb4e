package browser_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// lines are what the page of activity lists, the newest first.
func (v *visitor) lines() (all []string) {
	v.Helper()
	v.do(chromedp.Evaluate(`[...document.querySelectorAll("main ol > li .what")].map(e => e.innerText)`, &all))
	return all
}

// wantLines looks at the newest lines.
func (v *visitor) wantLines(want ...string) {
	v.Helper()
	if got := v.lines(); len(got) < len(want) || strings.Join(got[:len(want)], "\n") != strings.Join(want, "\n") {
		v.Errorf("got the lines %q, want %q first", got, want)
	}
}

// TestActivityByKeyboard: from the account to the list and to what helps, with Tab and Enter in a
// window of 320 points, and Back to it.
func TestActivityByKeyboard(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.visit(t).signUp("ada@example.com")
	s.visit(t).signIn("ada@example.com", "a guess")
	k := typist{s.visit(t)}
	k.signIn("ada@example.com", password)
	k.do(chromedp.EmulateViewport(320, 600))
	k.press("Account", "/account")
	k.press("See activity", "/account/activity")
	k.wantLines("Signed in by password", "A sign-in failed: wrong password", "Asked for a link to confirm the address",
		"Signed in by password", "Address added: ada@example.com", "Account created")
	k.wantText("Chrome on Linux at ")
	k.press("change your password", "/account/password")
	k.back()
	k.wantPath("/account/activity")
	k.wantLines("Signed in by password")
	k.press("change your password", "/account/password")
	k.fill("current", password, "new", "a new password")
	k.press("Change password", "/account")
	k.press("See activity", "/account/activity")
	k.wantLines("Password changed", "Signed out devices", "Signed in by password")
	k.press("Back to your account", "/account")
	k.press("See activity", "/account/activity")
	k.press("Sign out", "/")
	k.back()
	if text := k.text(); strings.Contains(text, "Password changed") {
		t.Errorf("after the sign-out Back shows:\n%s", text)
	}
}

// TestActivityWithoutScript: the list needs none, and its times are in UTC.
func TestActivityWithoutScript(t *testing.T) {
	t.Parallel()
	ada := start(t).visit(t)
	ada.signUp("ada@example.com")
	ada.do(emulation.SetScriptExecutionDisabled(true))
	ada.open("/account")
	ada.submit(click(`main a[href="/account/activity"]`))
	ada.wantPath("/account/activity")
	lines, times := ada.lines(), []string{}
	ada.do(chromedp.Evaluate(`[...document.querySelectorAll("main li time")].map(e => e.innerText)`, &times))
	if len(lines) != 4 || len(times) != 4 {
		t.Errorf("got %q at %q", lines, times)
	}
	for _, at := range times {
		if !strings.HasSuffix(at, " UTC") {
			t.Errorf("got the time %q", at)
		}
	}
}

// TestActivityInLocalTime: where scripts run, the list has the visitor's time.
func TestActivityInLocalTime(t *testing.T) {
	t.Parallel()
	ada := start(t).visit(t)
	ada.signUp("ada@example.com")
	ada.do(chromedp.ActionFunc(func(ctx context.Context) error { return emulation.SetTimezoneOverride("Asia/Kathmandu").Do(ctx) }))
	ada.open("/account/activity")
	zone, err := time.LoadLocation("Asia/Kathmandu") // 5:45 hours ahead
	must(t, err)
	var got, at string
	ada.do(chromedp.Text("main li time", &got, chromedp.ByQuery), chromedp.AttributeValue("main li time", "datetime", &at, nil, chromedp.ByQuery))
	moment, err := time.Parse(time.RFC3339, at)
	must(t, err)
	if want := moment.In(zone).Format("15:04"); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want a time that ends in %s", got, want)
	}
}

// TestNoticesArrive: the application's own job sends them, a moment after the act.
func TestNoticesArrive(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.visit(t)
	ada.signUp("ada@example.com")
	ada.open("/account/password")
	ada.do(fill(in("/account/password", current), password), fill(in("/account/password", chosen), "a new password"))
	ada.submit(click(in("/account/password", button)))
	const mail = "Your password was changed To ada@example.com"
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		ada.open("/dev/mails")
		if text := strings.Join(strings.Fields(ada.text()), " "); strings.Contains(text, mail) {
			break
		} else if time.Now().After(end) {
			t.Fatalf("no mail arrives:\n%s", text)
		}
	}
	ada.wantText(", from Chrome on Linux at ")
}
