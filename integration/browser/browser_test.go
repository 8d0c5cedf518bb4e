// Package browser_test clicks through examples/web in a real Chromium. Where there is none
// the tests are skipped, or fail with GORMKEY_REQUIRE_ENGINES=1.
package browser_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	_ "modernc.org/sqlite"
)

// patience is for how long a step may take.
const patience = 30 * time.Second

var (
	options []chromedp.ExecAllocatorOption // of every browser
	binary  string                         // of examples/web
	missing error
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "gormkey-browser-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(folder) }()
		binary = filepath.Join(folder, "web")
		build := exec.Command("go", "build", "-o", binary, "./examples/web")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("go build: %v\n%s", err, out))
		}
		path := os.Getenv("GORMKEY_CHROMIUM")
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
			if path == "" {
				path, missing = exec.LookPath(name)
			}
		}
		if path != "" {
			missing = nil
		}
		options = append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-quic", true), chromedp.ExecPath(path),
			chromedp.Flag("host-resolver-rules", "MAP dev.example localhost")) // a name that is not the machine's own
		return m.Run()
	}())
}

// site is examples/web, with a database of its own.
type site struct{ url, file string }

// age makes every session an hour older, so that none is recent.
func (s *site) age(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.file+"?_pragma=busy_timeout(5000)")
	must(t, err)
	defer func() { _ = db.Close() }()
	result, err := db.ExecContext(t.Context(), "UPDATE user_session SET opened_at = opened_at - 3600000, authenticated_at = authenticated_at - 3600000")
	must(t, err)
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%d sessions are older now (%v)", n, err)
	}
}

func start(t *testing.T, args ...string) *site {
	t.Helper()
	if missing != nil {
		skip := t.Skipf
		if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
			skip = t.Fatalf
		}
		skip("no Chromium (%v); install it: .ci/engines browser", missing)
	}
	file := filepath.Join(t.TempDir(), "web.db")
	cmd := exec.Command(binary, append([]string{"-addr", "localhost:0", "-db", file}, args...)...)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("examples/web ended with %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "Open "); ok {
			go func() {
				for lines.Scan() {
				}
			}()
			return &site{strings.TrimSuffix(address, "/"), file}
		}
	}
	t.Fatalf("examples/web printed no address")
	return nil
}

// visitor is a person with a browser of their own.
type visitor struct {
	*testing.T
	site   *site
	ctx    context.Context
	faults func() []string // takes what its pages should not have done
}

// visit opens a window. What a page should not do, such as an error in the console or a
// request to somewhere else, fails the test.
func (s *site) visit(t *testing.T, elsewhere ...string) *visitor {
	t.Helper()
	// A browser each: the headless mode opens no tab in a second profile of one.
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(options[:len(options):len(options)], chromedp.UserDataDir(t.TempDir()))...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // and wait for its end
		cancel()
		stop()
	})
	var mu sync.Mutex
	var wrong []string
	asking, asked := 0, sync.NewCond(&mu)
	allowed := append(elsewhere, s.url)
	chromedp.ListenTarget(ctx, func(event any) {
		problem := ""
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			problem = "exception: " + e.ExceptionDetails.Error()
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
				problem = "console: " + string(e.Type)
			}
		case *log.EventEntryAdded:
			switch e.Entry.Source {
			case log.SourceSecurity, log.SourceViolation, log.SourceJavascript, log.SourceRecommendation: // the last is about password managers
				problem = "log of " + e.Entry.URL + ": " + e.Entry.Text
			}
			if remark := problem; strings.HasPrefix(e.Entry.Text, nameless) {
				problem = ""
				mu.Lock()
				asking++
				mu.Unlock()
				go func() { // since a listener must not wait
					form := askForm(ctx, e.Entry.Args)
					mu.Lock()
					defer mu.Unlock()
					if form != "" {
						wrong = append(wrong, remark+"\n"+form)
					}
					asking--
					asked.Broadcast()
				}()
			}
		case *network.EventRequestWillBeSent:
			u, err := url.Parse(e.Request.URL)
			if err == nil && (u.Scheme == "http" || u.Scheme == "https") {
				ok := false
				for _, a := range allowed {
					ok = ok || u.Scheme+"://"+u.Host == a
				}
				if !ok {
					problem = "a request to " + e.Request.URL
				}
			}
		}
		if problem != "" {
			mu.Lock()
			defer mu.Unlock()
			wrong = append(wrong, problem)
		}
	})
	v := &visitor{t, s, ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		for asking > 0 {
			asked.Wait()
		}
		taken := wrong
		wrong = nil
		return taken
	}}
	t.Cleanup(func() {
		for _, fault := range v.faults() {
			t.Error(fault)
		}
	})
	must(t, chromedp.Run(ctx)) // starts it, for as long as ctx lasts
	v.do(network.Enable(), log.Enable())
	return v
}

// do runs steps, one after the other.
func (v *visitor) do(steps ...chromedp.Action) {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	for i, step := range steps {
		if err := chromedp.Run(ctx, step); err != nil {
			var where, text string
			again, cancel := context.WithTimeout(v.ctx, patience)
			_ = chromedp.Run(again, chromedp.Location(&where), chromedp.Evaluate(`document.body.innerText.slice(0, 600)`, &text))
			cancel()
			v.Fatalf("step %d: %v; at %s:\n%s", i+1, err, where, text)
		}
	}
}

// open goes to a path of the site.
func (v *visitor) open(path string) {
	v.Helper()
	v.do(chromedp.Navigate(v.site.url + path))
}

// submit sends the form that a step sends, and waits for the page that answers.
func (v *visitor) submit(send chromedp.Action) {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, send); err != nil {
		v.Fatalf("submit: %v", err)
	}
}

// in is the selector of something in the form that goes to a path.
func in(action, what string) string { return fmt.Sprintf(`main form[action="%s"] %s`, action, what) }

const (
	emailInput = `input[name="email"]`
	current    = `input[autocomplete="current-password"]`
	chosen     = `input[autocomplete="new-password"]`
	button     = `button:not([type="button"])`
)

const password = "correct horse battery staple"

// post sends a form that the page does not have.
func (v *visitor) post(path string, fields map[string]string) {
	v.Helper()
	text, err := json.Marshal(fields)
	must(v.T, err)
	v.submit(chromedp.Evaluate(fmt.Sprintf(`(() => {
		const form = document.createElement("form");
		form.method = "post";
		form.action = %q;
		for (const [name, value] of Object.entries(%s)) {
			const field = document.createElement("input");
			[field.name, field.value] = [name, value];
			form.append(field);
		}
		document.body.append(form);
		form.submit();
	})()`, path, text), nil))
}

// mailed returns the newest link to a page that was mailed.
func (v *visitor) mailed(path string) (link string) {
	v.Helper()
	v.open("/dev/mails")
	v.do(chromedp.AttributeValue(fmt.Sprintf(`main a[href*="%s?"]`, path), "href", &link, nil, chromedp.ByQuery))
	return link
}

// fill replaces what is in a field.
func fill(selector, text string) chromedp.Action {
	return chromedp.Tasks{
		chromedp.WaitVisible(selector, chromedp.ByQuery),
		chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q).value = ""`, selector), nil),
		chromedp.SendKeys(selector, text, chromedp.ByQuery),
	}
}

func click(selector string) chromedp.Action { return chromedp.Click(selector, chromedp.ByQuery) }

func (v *visitor) signUp(email string) {
	v.Helper()
	v.open("/sign-up")
	v.do(fill(in("/sign-up", emailInput), email), fill(in("/sign-up", chosen), password))
	v.submit(click(in("/sign-up", button)))
	v.wantPath("/account")
}

// signIn tries to sign in, and leaves it to the caller to look at what came of it.
func (v *visitor) signIn(email, password string) {
	v.Helper()
	v.open("/sign-in")
	v.do(fill(in("/sign-in", emailInput), email), fill(in("/sign-in", current), password))
	v.submit(click(in("/sign-in", button)))
}

// signOut uses the button that every page has.
func (v *visitor) signOut() {
	v.Helper()
	v.submit(click(`form[action="/sign-out"] button`))
}

// back does what the button does. A page that the browser had kept loads nothing, so it is
// the address that tells when it is there.
func (v *visitor) back() {
	v.Helper()
	var before, now, state string
	v.do(chromedp.Location(&before), chromedp.Evaluate(`setTimeout(() => history.back())`, nil))
	for end := time.Now().Add(patience); now == "" || now == before || state != "complete"; {
		if time.Now().After(end) {
			v.Fatalf("Back does not leave %s", before)
		}
		_ = chromedp.Run(v.ctx, chromedp.Location(&now), chromedp.Evaluate(`document.readyState`, &state))
	}
}

func (v *visitor) path() string {
	v.Helper()
	var where string
	v.do(chromedp.Location(&where))
	u, err := url.Parse(where)
	must(v.T, err)
	return u.Path
}

func (v *visitor) wantPath(want string) {
	v.Helper()
	if got := v.path(); got != want {
		v.Fatalf("got the path %s, want %s; the page says:\n%s", got, want, v.text())
	}
}

// text is what the page says.
func (v *visitor) text() (text string) {
	v.Helper()
	v.do(chromedp.Evaluate(`document.body.innerText`, &text))
	return text
}

func (v *visitor) wantText(want string) {
	v.Helper()
	if got := v.text(); !strings.Contains(strings.ToLower(got), strings.ToLower(want)) {
		v.Errorf("the page does not say %q:\n%s", want, got)
	}
}

// status is that of the page.
func (v *visitor) status() (status int) {
	v.Helper()
	v.do(chromedp.Evaluate(`performance.getEntriesByType("navigation")[0].responseStatus`, &status))
	return status
}

func (v *visitor) wantStatus(want int) {
	v.Helper()
	if got := v.status(); got != want {
		v.Errorf("got status %d, want %d; the page says:\n%s", got, want, v.text())
	}
}

// wantSignedIn looks at a private page.
func (v *visitor) wantSignedIn(want bool) {
	v.Helper()
	v.open("/account")
	v.wantPath(map[bool]string{true: "/account", false: "/sign-in"}[want])
}

func (v *visitor) count(selector string) (n int) {
	v.Helper()
	v.do(chromedp.Evaluate(fmt.Sprintf(`document.querySelectorAll(%q).length`, selector), &n))
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
