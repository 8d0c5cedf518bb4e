package browser_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// pages are those that the tests look at: as nobody, and then as somebody.
var pages = []struct {
	name, path string
	somebody   bool
}{
	{"home", "/", false}, {"sign-up", "/sign-up", false}, {"sign-in", "/sign-in", false},
	{"forgot-password", "/forgot-password", false}, {"link-too-old", "/reset-password?token=x", false}, {"not-found", "/nowhere", false},
	{"home-signed-in", "/", true}, {"account", "/account", true}, {"devices", "/account/devices", true},
}

// eachPage shows each page in light and in dark.
func eachPage(t *testing.T, look func(v *visitor, name, scheme string)) {
	t.Helper()
	s := start(t)
	nobody, ada, other := s.visit(t), s.visit(t), s.visit(t)
	ada.signUp("ada@example.com")
	other.signIn("ada@example.com", password)
	for _, scheme := range []string{"light", "dark"} {
		dressed := emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}})
		nobody.do(dressed)
		ada.do(dressed)
		for _, p := range pages {
			v := nobody
			if p.somebody {
				v = ada
			}
			v.open(p.path)
			look(v, p.name, scheme)
		}
		// With something to complain about.
		nobody.signIn("ada@example.com", "wrong")
		look(nobody, "sign-in-refused", scheme)
		nobody.open("/forgot-password")
		nobody.do(fill(in("/forgot-password", emailInput), "ada@example.com"))
		nobody.submit(click(in("/forgot-password", button)))
		look(nobody, "link-sent", scheme)
		nobody.submit(click(`main a[href*="/reset-password?"]`))
		look(nobody, "reset-password", scheme)
	}
}

// TestPages runs axe-core over every page: no violation, contrast included. And a window
// of 320 points scrolls in one direction (WCAG 1.4.10).
func TestPages(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile(filepath.Join("node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		skip := t.Skipf
		if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
			skip = t.Fatalf
		}
		skip("no axe-core (%v); install it: .ci/engines browser", err)
	}
	looked := 0
	eachPage(t, func(v *visitor, name, scheme string) {
		looked++
		var found struct {
			Passes     int
			Violations []string
		}
		var ignored any
		v.do(chromedp.Evaluate(string(axe)+";0", &ignored))
		v.do(chromedp.Evaluate(`axe.run().then(r => ({passes: r.passes.length,
			violations: r.violations.map(v => v.id + ": " + v.help + "\n" + v.nodes.map(n => n.html + " " + n.failureSummary).join("\n"))}))`,
			&found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		if found.Passes < 10 {
			t.Errorf("%s, %s: axe looked at %d rules", name, scheme, found.Passes)
		}
		for _, violation := range found.Violations {
			t.Errorf("%s, %s: %s", name, scheme, violation)
		}
		var excess int
		v.do(chromedp.EmulateViewport(320, 600),
			chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &excess),
			chromedp.EmulateViewport(1024, 768))
		if excess > 0 {
			t.Errorf("%s, %s: at 320 points the page is %d too wide", name, scheme, excess)
		}
	})
	if looked < 20 {
		t.Errorf("looked at %d pages", looked)
	}
}

// TestScreenshots makes those of the docs anew.
func TestScreenshots(t *testing.T) {
	if screenshots == "" {
		t.Skip("set GORMKEY_SCREENSHOTS=1 to make the screenshots of docs/images anew")
	}
	wanted := map[string]bool{"sign-in": true, "devices": true, "account": true, "link-sent": true}
	eachPage(t, func(v *visitor, name, scheme string) {
		if !wanted[name] {
			return
		}
		var png []byte
		v.do(chromedp.EmulateViewport(900, 640), chromedp.ActionFunc(func(ctx context.Context) (err error) {
			png, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatPng).Do(ctx)
			return err
		}))
		must(t, os.MkdirAll(screenshots, 0o755))
		must(t, os.WriteFile(filepath.Join(screenshots, fmt.Sprintf("%s-%s.png", name, scheme)), png, 0o644))
	})
}
