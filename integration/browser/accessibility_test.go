package browser_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axe is the text of axe-core.
var axe = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	return string(text), err
})

// dress sets the colour scheme that the visitor prefers.
func (v *visitor) dress(scheme string) {
	v.Helper()
	v.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// check looks at the page as it is: axe-core finds no violation, contrast included. In a window of
// 320 points it scrolls in one direction (WCAG 1.4.10), and what can be tapped is 44 points
// high, links in a sentence excepted (WCAG 2.5.5).
func (v *visitor) check(name, scheme string) {
	v.Helper()
	script, err := axe()
	if err != nil {
		skip := v.Skipf
		if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
			skip = v.Fatalf
		}
		skip("no axe-core (%v); install it: .ci/engines browser", err)
	}
	var found struct {
		Passes     int
		Violations []string
	}
	var ignored any
	v.do(chromedp.Evaluate(script+";0", &ignored))
	v.do(chromedp.Evaluate(`axe.run().then(r => ({passes: r.passes.length,
		violations: r.violations.map(v => v.id + ": " + v.help + "\n" + v.nodes.map(n => n.html + " " + n.failureSummary).join("\n"))}))`,
		&found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if found.Passes < 10 {
		v.Errorf("%s, %s: axe looked at %d rules", name, scheme, found.Passes)
	}
	for _, violation := range found.Violations {
		v.Errorf("%s, %s: %s", name, scheme, violation)
	}
	var excess int
	var small []string
	v.do(chromedp.EmulateViewport(320, 600),
		chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &excess),
		chromedp.Evaluate(`[...document.querySelectorAll("a, button, input")].filter(e => {
			const box = (e.type === "checkbox" ? e.closest("label") : e).getBoundingClientRect(); // its label can be tapped too
			const sentence = e.matches("p:not(.aside) a:not(.button)") && e.closest("main");
			return box.height > 0 && box.height < 44 && !sentence && !e.matches(".skip");
		}).map(e => e.outerHTML + " is " + e.getBoundingClientRect().height + " high")`, &small),
		chromedp.EmulateViewport(1024, 768))
	if excess > 0 {
		v.Errorf("%s, %s: at 320 points the page is %d too wide", name, scheme, excess)
	}
	for _, target := range small {
		v.Errorf("%s, %s: at 320 points %s", name, scheme, target)
	}
}

// look is called with a visitor who sees a page.
type look func(v *visitor, name, scheme string)

// eachPage shows every page in every state, in light and in dark.
func eachPage(t *testing.T, look look) {
	t.Helper()
	s := start(t)
	nobody, ada := s.visit(t), s.visit(t)
	for _, scheme := range []string{"light", "dark"} {
		nobody.dress(scheme)
		ada.dress(scheme)
		email := "ada-" + scheme + "@example.com"
		for _, p := range []struct{ name, path string }{
			{"home", "/"}, {"sign-up", "/sign-up"}, {"sign-in", "/sign-in"}, {"forgot-password", "/forgot-password"},
			{"link-expired", "/reset-password?token=x"}, {"not-found", "/nowhere"}, {"sign-in-draft-lost", "/sign-in?draft=x"},
		} {
			nobody.open(p.path)
			look(nobody, p.name, scheme)
		}
		accountPages(ada, email, scheme, look)
		refusedPages(nobody, email, scheme, look)
		confirmPages(ada, look, scheme)
		ada.signOut()
		look(ada, "signed-out", scheme)
	}
}

// accountPages signs up, and shows what there is for somebody.
func accountPages(ada *visitor, email, scheme string, look look) {
	ada.Helper()
	ada.signUp(email)
	look(ada, "account-new", scheme)
	for _, p := range []struct{ name, path string }{
		{"home-signed-in", "/"}, {"verify-needed", "/members"}, {"change-password", "/account/password"},
		{"change-email", "/account/email"}, {"delete-account", "/account/delete"}, {"export", "/account/export"}, {"mails", "/dev/mails"},
	} {
		ada.open(p.path)
		look(ada, p.name, scheme)
	}
	for _, path := range []string{"/account/password", "/account/email"} {
		ada.open(path)
		ada.submit(click(in(path, button)))
		look(ada, strings.ReplaceAll(path[1:], "/", "-")+"-refused", scheme)
	}
	for range 5 {
		ada.open("/account/verify-email")
		ada.submit(click(in("/account/verify-email", button)))
	}
	ada.wantStatus(429)
	look(ada, "verify-too-many", scheme)
	ada.do(chromedp.Navigate(ada.mailed("/verify-email")))
	look(ada, "confirm", scheme)
	ada.submit(click(in("/verify-email", button)))
	ada.open("/account")
	look(ada, "account", scheme)
	ada.open("/members")
	look(ada, "members", scheme)
	ada.site.visit(ada.T).signIn(email, password)
	ada.open("/account/devices")
	look(ada, "devices", scheme)
}

// confirmPages shows what a session sees that is not recent.
func confirmPages(ada *visitor, look look, scheme string) {
	ada.Helper()
	ada.site.age(ada.T)
	ada.open("/account/devices")
	look(ada, "devices-old", scheme)
	ada.submit(click(in("/account/devices/end-others", button)))
	ada.wantPath("/confirm")
	look(ada, "confirm-password", scheme)
	ada.submit(click(in("/confirm", button)))
	look(ada, "confirm-password-empty", scheme)
	ada.do(fill(in("/confirm", current), "wrong"))
	ada.submit(click(in("/confirm", button)))
	ada.wantStatus(422)
	look(ada, "confirm-password-refused", scheme)
	ada.do(fill(in("/confirm", current), password))
	ada.submit(click(in("/confirm", button)))
	ada.wantPath("/account/devices")
	look(ada, "devices-confirmed", scheme)
	ada.open("/account/delete")
	ada.site.age(ada.T)
	ada.submit(click(in("/account/delete", button)))
	for range 5 {
		ada.do(fill(in("/confirm", current), "wrong"))
		ada.submit(click(in("/confirm", button)))
	}
	ada.wantStatus(429)
	look(ada, "confirm-password-too-many", scheme)
	ada.open("/account/activity")
	look(ada, "activity", scheme)
}

// refusedPages shows what visitors see who have forgotten something.
func refusedPages(nobody *visitor, email, scheme string, look look) {
	nobody.Helper()
	nobody.open("/sign-up")
	nobody.submit(click(in("/sign-up", button)))
	look(nobody, "sign-up-refused", scheme)
	nobody.do(fill(in("/sign-up", emailInput), email), fill(in("/sign-up", chosen), password))
	nobody.submit(click(in("/sign-up", button)))
	nobody.wantStatus(409)
	look(nobody, "sign-up-taken", scheme)
	nobody.open("/sign-in")
	nobody.do(click(remember))
	nobody.signInHere(email, "wrong")
	look(nobody, "sign-in-refused", scheme)
	for range 5 {
		nobody.signIn(email, "wrong")
	}
	nobody.wantStatus(429)
	look(nobody, "sign-in-too-many", scheme)
	nobody.open("/forgot-password")
	nobody.do(fill(in("/forgot-password", emailInput), email))
	nobody.submit(click(in("/forgot-password", button)))
	look(nobody, "link-sent", scheme)
	nobody.do(chromedp.Navigate(nobody.mailed("/reset-password")))
	look(nobody, "reset-password", scheme)
	nobody.submit(click(in("/reset-password", button)))
	look(nobody, "reset-password-refused", scheme)
}

// TestPages checks every page in every state.
func TestPages(t *testing.T) {
	t.Parallel()
	looked := 0
	eachPage(t, func(v *visitor, name, scheme string) {
		looked++
		v.check(name, scheme)
	})
	if looked < 50 {
		t.Errorf("looked at %d pages", looked)
	}
}

// TestScreenshots makes those of the docs with GORMKEY_SCREENSHOTS=1, and those of every page,
// wide and narrow, with the name of a folder.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("GORMKEY_SCREENSHOTS")
	if folder == "" {
		t.Skip("set GORMKEY_SCREENSHOTS to 1, for the screenshots of docs/images, or to a folder, for those of every page")
	}
	widths := map[int64]string{900: "", 320: "-narrow"}
	docs := map[string]bool{"sign-in": true, "devices": true, "account": true}
	if folder == "1" {
		folder = filepath.Join("..", "..", "docs", "images")
		delete(widths, 320)
	} else {
		docs = nil
	}
	must(t, os.MkdirAll(folder, 0o755))
	eachPage(t, func(v *visitor, name, scheme string) {
		if docs != nil && !docs[name] {
			return
		}
		for width, suffix := range widths {
			var png []byte
			if docs != nil { // without a cursor that blinks
				v.do(chromedp.Evaluate(`document.activeElement.blur()`, nil))
			}
			v.do(chromedp.EmulateViewport(width, 640), chromedp.ActionFunc(func(ctx context.Context) (err error) {
				png, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatPng).WithCaptureBeyondViewport(docs == nil).Do(ctx)
				return err
			}))
			must(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s-%s%s.png", name, scheme, suffix)), png, 0o644))
		}
	})
}
