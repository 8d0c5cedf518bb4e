package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestBackNeverResubmits: after each form, accepted or refused, Back shows a page. A page that was
// the answer to a POST would be Chromium's "Confirm Form Resubmission" instead.
func TestBackNeverResubmits(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, phone := s.visit(t), s.visit(t)
	ada.signUp("ada@example.com")
	phone.signIn("ada@example.com", password)
	for _, form := range []struct {
		who       *visitor
		page      string // where the form is, a link of a mail if it begins with "mail:"
		path      string // where it goes
		fields    map[string]string
		lead, say string
	}{
		{ada, "/account/verify-email", "/account/verify-email", nil, "/account/verify-email", "a new link"},
		{ada, "/account/password", "/account/password", nil, "/account/password", "Enter your password."},
		{ada, "/account/password", "/account/password", map[string]string{"current": password, "new": "a new password"}, "/account", "is changed"},
		{ada, "/account/email", "/account/email", map[string]string{"email": "x"}, "/account/email", "like name@example.com"},
		{ada, "/account/email", "/account/email", map[string]string{"email": "new@example.com"}, "/account", "have sent a link"},
		{ada, "mail:/change-email", "/change-email", nil, "/account", "is changed"},
		{ada, "/account/devices", "/sign-out", nil, "/", "You are signed out."},
		{ada, "/sign-up", "/sign-up", map[string]string{"email": "new@example.com", "password": password}, "/sign-up", "There is an account"},
		{ada, "/sign-in", "/sign-in", map[string]string{"email": "new@example.com", "password": "wrong"}, "/sign-in", "is wrong"},
		{ada, "/forgot-password", "/forgot-password", map[string]string{"email": "x"}, "/forgot-password", "like name@example.com"},
		{ada, "/forgot-password", "/forgot-password", map[string]string{"email": "new@example.com"}, "/forgot-password/sent", "have sent a link"},
		{ada, "mail:/reset-password", "/reset-password", map[string]string{"password": "short"}, "/reset-password", "at least 8"},
		{ada, "mail:/reset-password", "/reset-password", map[string]string{"password": password}, "/sign-in", "is changed"},
		{ada, "/sign-in", "/sign-in", map[string]string{"email": "new@example.com", "password": password}, "/account", "new@example.com"},
		{ada, "/confirm?next=/account/delete", "/confirm", map[string]string{"password": "wrong"}, "/confirm", "not your password"},
		{ada, "/confirm?next=/account/delete", "/confirm", map[string]string{"password": password}, "/account/delete", "is confirmed"},
		{ada, "/account/delete", "/account/delete", nil, "/", "is deleted"},
		{ada, "/sign-up", "/sign-up", map[string]string{"email": "bob@example.com", "password": password}, "/account", "is ready"},
	} {
		v := form.who
		if form.path == "/confirm" {
			s.age(t)
		}
		if link, ok := strings.CutPrefix(form.page, "mail:"); ok {
			v.do(chromedp.Navigate(v.mailed(link)))
		} else {
			v.open(form.page)
		}
		for name, value := range form.fields {
			v.do(fill(in(form.path, fmt.Sprintf("input[name=%q]", name)), value))
		}
		v.submit(click(fmt.Sprintf(`form[action="%s"] %s`, form.path, button)))
		v.wantPath(form.lead)
		v.wantText(form.say)
		v.open("/nowhere")
		v.back()
		var where string
		v.do(chromedp.Evaluate(`location.href`, &where))
		if !strings.HasPrefix(where, s.url) || v.count(`.brand`) != 1 {
			t.Errorf("after the form of %s (%q) Back shows %s:\n%s", form.page, form.say, where, v.text())
		}
	}
}

// typist uses the keyboard alone, in a window of 320 points.
type typist struct{ *visitor }

// active is what has the focus: its name, or else what it says.
func (k typist) active() (what string) {
	k.Helper()
	k.do(chromedp.Evaluate(`(e => e.name || e.getAttribute("aria-label") || e.innerText || e.tagName)(document.activeElement)`, &what))
	return strings.TrimSpace(what)
}

// to presses Tab until something has the focus.
func (k typist) to(want string) {
	k.Helper()
	for range 60 {
		if k.active() == want {
			return
		}
		k.do(chromedp.KeyEvent("\t"))
		var seen bool
		k.do(chromedp.Evaluate(`(() => { const s = getComputedStyle(document.activeElement);
			return document.activeElement === document.body || s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 })()`, &seen))
		if !seen {
			k.Errorf("the focus on %q is not to be seen", k.active())
		}
	}
	k.Fatalf("Tab does not reach %q; the page says:\n%s", want, k.text())
}

// fill types into fields, by name and text.
func (k typist) fill(pairs ...string) {
	k.Helper()
	for i := 0; i < len(pairs); i += 2 {
		k.to(pairs[i])
		k.do(chromedp.KeyEvent(pairs[i+1]))
	}
}

// press presses Enter on something, and waits for the page that it leads to.
func (k typist) press(what, path string) {
	k.Helper()
	k.to(what)
	k.submit(chromedp.KeyEvent("\r"))
	k.wantPath(path)
	var excess int
	k.do(chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &excess))
	if excess > 0 {
		k.Errorf("%s is %d points too wide", path, excess)
	}
}

// mail opens the link of the newest mail.
func (k typist) mail(path string) {
	k.Helper()
	k.press("Mails that were sent", "/dev/mails")
	var link string
	k.do(chromedp.Text(fmt.Sprintf(`main a[href*="%s?"]`, path), &link, chromedp.ByQuery))
	k.press(strings.TrimSpace(link), path)
}

// TestLifeByKeyboard: from sign-up to the end of the account, with Tab, Enter and text.
func TestLifeByKeyboard(t *testing.T) {
	t.Parallel()
	s := start(t)
	k := typist{s.visit(t)}
	k.do(chromedp.EmulateViewport(320, 600))
	k.open("/")
	k.do(chromedp.KeyEvent("\t"))
	if first := k.active(); first != "Skip to the content" {
		t.Errorf("the first stop is %q", first)
	}
	k.press("Create account", "/sign-up")
	k.fill("email", "Ada@Example.com", "password", "short")
	k.press("Create account", "/sign-up")
	k.waitFocus("password")
	k.fill("password", password)
	k.submit(chromedp.KeyEvent("\r")) // Enter in a field sends the form
	k.wantPath("/account")
	k.mail("/verify-email")
	k.press("Confirm", "/account")
	k.wantText("confirmed")

	s.visit(t).signIn("ada@example.com", password)
	k.press("Devices", "/account/devices")
	k.press("Sign out all other devices", "/account/devices")
	k.wantText("are signed out")
	k.press("Account", "/account")
	k.press("Change password", "/account/password")
	k.fill("current", "wrong", "new", "a new password")
	k.press("Change password", "/account/password")
	k.fill("current", password, "new", "a new password")
	k.press("Change password", "/account")
	k.press("Change address", "/account/email")
	k.fill("email", "new@example.com")
	k.press("Send a link to the new address", "/account")
	k.mail("/change-email")
	k.press("Use this address", "/account")
	k.wantText("new@example.com")

	k.press("Sign out", "/")
	k.press("Sign in", "/sign-in")
	k.waitFocus("email")
	k.fill("email", "new@example.com")
	k.press("Forgot your password?", "/forgot-password")
	k.press("Send me a link", "/forgot-password/sent") // the address has come along
	k.mail("/reset-password")
	k.fill("password", password)
	k.press("Set password", "/sign-in")
	k.fill("password", password) // the address is there
	k.press("Sign in", "/account")
	k.press("Delete account", "/account/delete")
	k.press("Delete my account", "/")
	k.wantText("is deleted")
}

// TestWithoutScript: everything works, times are in UTC, and no button does nothing.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.visit(t)
	ada.do(emulation.SetScriptExecutionDisabled(true))
	ada.open("/account/devices")
	ada.wantPath("/sign-in")
	if n := ada.count(`.reveal:not([hidden])`); n != 0 {
		t.Errorf("%d buttons wait for a script", n)
	}
	ada.do(click(`main a[href^="/sign-up"]`), chromedp.WaitVisible(in("/sign-up", chosen), chromedp.ByQuery))
	ada.do(fill(in("/sign-up", emailInput), "ada@example.com"), fill(in("/sign-up", chosen), "short"))
	ada.submit(click(in("/sign-up", button)))
	ada.wantText("at least 8")
	ada.do(fill(in("/sign-up", chosen), password)) // the address is there
	ada.submit(click(in("/sign-up", button)))
	ada.wantPath("/account/devices") // where it began
	ada.wantText("Signed in just now")
	s.visit(t).signIn("ada@example.com", password)
	ada.open("/account/devices")
	ada.wantText(" UTC")
	ada.do(chromedp.Navigate(ada.mailed("/verify-email")))
	ada.submit(click(in("/verify-email", button)))
	ada.open("/members")
	ada.wantStatus(200)
	ada.signOut()

	ada.open("/members")
	ada.signInHere("ada@example.com", "wrong")
	ada.do(click(`main a[href^="/forgot-password"]`), chromedp.WaitVisible(in("/forgot-password", emailInput), chromedp.ByQuery))
	ada.submit(click(in("/forgot-password", button))) // the address has come along
	ada.wantText("ada@example.com")
	ada.do(chromedp.Navigate(ada.mailed("/reset-password")))
	ada.do(fill(in("/reset-password", chosen), "a new password"))
	ada.submit(click(in("/reset-password", button)))
	ada.do(fill(in("/sign-in", current), "a new password"))
	ada.submit(click(in("/sign-in", button)))
	ada.wantPath("/members") // where it began, by way of the mail
}

// signInHere uses the form of the page.
func (v *visitor) signInHere(email, password string) {
	v.Helper()
	v.do(fill(in("/sign-in", emailInput), email), fill(in("/sign-in", current), password))
	v.submit(click(in("/sign-in", button)))
}

// waitFocus waits until the page has put the focus into a field.
func (v *visitor) waitFocus(name string) {
	v.Helper()
	now := ""
	for end := time.Now().Add(patience); now != name; {
		if time.Now().After(end) {
			v.Fatalf("%q has the focus, not %q", now, name)
		}
		v.do(chromedp.Evaluate(`document.activeElement.name || ""`, &now))
	}
}

// TestErrorsAtTheirFields: the field has the focus and names its error, which is there once.
func TestErrorsAtTheirFields(t *testing.T) {
	t.Parallel()
	ada := start(t).visit(t)
	ada.open("/sign-up")
	ada.do(fill(in("/sign-up", emailInput), "ada"))
	ada.submit(click(in("/sign-up", button)))
	ada.waitFocus("email")
	var got struct {
		Title, Focus, Value string
		Fields              []string
	}
	ada.do(chromedp.Evaluate(`({title: document.title, focus: document.activeElement.name, value: document.activeElement.value,
		fields: [...document.querySelectorAll("main input[aria-invalid=true]")].map(e =>
			e.name + ": " + e.getAttribute("aria-describedby").split(" ").map(id => document.getElementById(id).textContent.trim()).join(" "))})`, &got))
	text, _ := json.Marshal(got)
	want := `{"Title":"Error: Create an account · Latchkey","Focus":"email","Value":"ada","Fields":["email: Error: Enter an email address like name@example.com.",` +
		`"password: At least 8 characters. A few random words work well. Error: Choose a password."]}`
	if string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	for _, message := range []string{"Enter an email address like", "Choose a password."} {
		if n := strings.Count(ada.text(), message); n != 1 {
			t.Errorf("%q is on the page %d times", message, n)
		}
	}
}

// TestShowPassword: the button shows what was typed, and the form is sent as a password all the
// same.
func TestShowPassword(t *testing.T) {
	t.Parallel()
	ada := start(t).visit(t)
	ada.open("/sign-in")
	field, reveal := in("/sign-in", `input[name="password"]`), in("/sign-in", `.reveal`)
	ada.do(fill(field, "a secret"))
	state := func() (got string) {
		ada.do(chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q).type + " " + document.querySelector(%q).innerText.replace(/\s+/g, " ").trim()`, field, reveal), &got))
		return got
	}
	for _, want := range []string{"password Show Password", "text Hide Password", "password Show Password", "text Hide Password"} {
		if got := state(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		ada.do(click(reveal))
	}
	ada.do(click(reveal)) // shown
	ada.do(chromedp.Evaluate(`addEventListener("submit", e => { e.preventDefault(); document.title = document.getElementById("password").type })`, nil))
	ada.do(click(in("/sign-in", button)))
	var sent string
	ada.do(chromedp.Title(&sent))
	if sent != "password" {
		t.Errorf("the form is sent with a field of the type %q", sent)
	}
}

// TestLocalTimes: where scripts run, a page shows the visitor's time.
func TestLocalTimes(t *testing.T) {
	t.Parallel()
	ada := start(t).visit(t)
	ada.signUp("ada@example.com")
	ada.site.visit(t).signIn("ada@example.com", password)
	times := func(zone string) (all []string) {
		ada.do(chromedp.ActionFunc(func(ctx context.Context) error { return emulation.SetTimezoneOverride(zone).Do(ctx) }))
		ada.open("/account/devices")
		ada.do(chromedp.Evaluate(`[...document.querySelectorAll("main time")].map(t => {
			const at = new Date(t.dateTime), two = n => String(n).padStart(2, "0");
			if ("ago" in t.dataset) { return t.textContent + ", " + (t.title.endsWith(two(at.getHours()) + ":" + two(at.getMinutes())) ? "local" : t.title); }
			return t.textContent.includes("UTC") ? "UTC" : t.textContent.endsWith(two(at.getHours()) + ":" + two(at.getMinutes())) ? "local" : t.textContent;
		})`, &all))
		return all
	}
	for _, zone := range []string{"Asia/Kathmandu", "America/New_York"} { // the first is 5:45 hours ahead
		all := times(zone) // opened, ends; used, opened, ends at
		if len(all) != 5 || all[0] != "just now, local" || strings.Contains(all[1], ":") || all[2] != "local" || all[3] != all[0] || all[4] != "local" {
			t.Errorf("in %s: got %q", zone, all)
		}
	}
}
