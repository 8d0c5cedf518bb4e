package gormkey_test

import (
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// snippets is a program of the pieces of README that stand inside a function.
const snippets = `package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/password"
	"github.com/gormkey/gormkey/throttle"
)

type Account struct {
	gormkey.User
	Email string
}

var oldKey, newKey []byte

var (
	_ password.Hasher
	_ event.Event
)

type Profile struct{ AccountID string }

var (
	ctx         = context.Background()
	db          *gorm.DB
	plugin      *gormkey.Plugin[Account]
	auth        *gormkey.Repository[Account]
	account     *Account
	login       gormkey.Credentials
	_           = errors.Is
	_           = slog.Warn
	_           time.Duration
	_           netip.Addr
	limits      *throttle.Throttle
	web         *httpauth.Auth[Account, gormkey.Session[Account]]
	r           *http.Request
	accountPage, home, apiMe http.Handler
)

func use(...any) {}

func main() {
`

// TestREADME runs the programs in README.md and docs that end, and compiles the rest.
func TestREADME(t *testing.T) {
	t.Parallel()
	declared := regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) :=`)
	pieces := snippets
	for _, file := range []string{"README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		programs := 0
		for _, block := range goBlock.FindAllStringSubmatch(string(text), -1) {
			source := block[1]
			if strings.Contains(source, "ListenAndServe") {
				programs++
				serve(t, source)
				continue
			}
			if strings.HasPrefix(source, "package main") {
				programs++
				if out := goFile(t, "run", source); !strings.Contains(out, "ada@example.com is signed in") {
					t.Errorf("%s: a program printed %q", file, out)
				}
				continue
			}
			var names []string
			for _, m := range declared.FindAllStringSubmatch(source, -1) {
				names = append(names, m[1])
			}
			pieces += "\tfunc() {\n" + source + "\tuse(" + strings.Join(names, ", ") + ")\n}()\n"
		}
		if programs == 0 && (file == "README.md" || file == "docs/sqlite.md") {
			t.Errorf("%s has no program", file)
		}
	}
	goFile(t, "build", pieces+"}\n")
}

// serve runs a program that serves, and is its client: one who signs up, is somebody, and
// signs out.
func serve(t *testing.T, source string) {
	t.Helper()
	folder := t.TempDir()
	binary := filepath.Join(folder, "server")
	port, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	address := port.Addr().String()
	if !strings.Contains(source, `"localhost:8080"`) || !strings.Contains(source, `"app.db?`) {
		t.Fatal("the program has another address or database")
	}
	source = strings.ReplaceAll(source, "localhost:8080", address)
	if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", binary, filepath.Join(folder, "main.go")).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s\n%s", err, out, source)
	}
	_ = port.Close()
	cmd := exec.Command(binary)
	cmd.Dir = folder
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: secureJar{jar}, Timeout: 10 * time.Second}
	do := func(method, path, form string) (int, string) {
		request, err := http.NewRequest(method, "http://"+address+path, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
		response, err := client.Do(request)
		for end := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(end); { // until it listens
			runtime.Gosched()
			response, err = client.Do(request)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	login := "email=ada@example.com&password=correct+horse+battery+staple"
	for _, step := range []struct {
		method, path, form string
		status             int
		body               string
	}{
		{"GET", "/account", "", 401, "Unauthorized"},
		{"POST", "/sign-up", "email=ada@example.com&password=short", 400, ""},
		{"POST", "/sign-up", login, 200, ""},
		{"POST", "/sign-up", login, 409, ""},
		{"GET", "/account", "", 200, "ada@example.com is signed in"},
		{"POST", "/sign-out", "", 200, ""},
		{"GET", "/account", "", 401, ""},
		{"POST", "/sign-in", login + "x", 401, ""},
		{"POST", "/sign-in", login, 200, ""},
		{"GET", "/account", "", 200, "ada@example.com is signed in"},
	} {
		if status, body := do(step.method, step.path, step.form); status != step.status || !strings.Contains(body, step.body) {
			t.Errorf("%s %s: got %d %q, want %d %q", step.method, step.path, status, body, step.status, step.body)
		}
	}
}

// secureJar takes http for https, as browsers do on localhost.
type secureJar struct{ http.CookieJar }

func https(u *url.URL) *url.URL {
	secure := *u
	secure.Scheme = "https"
	return &secure
}

func (j secureJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.CookieJar.SetCookies(https(u), cookies)
}
func (j secureJar) Cookies(u *url.URL) []*http.Cookie { return j.CookieJar.Cookies(https(u)) }

// goFile runs or builds a program of one file against this module.
func goFile(t *testing.T, verb, source string) string {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "main.go")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{verb, path}
	if verb == "build" {
		args = []string{verb, "-o", os.DevNull, path}
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "DATABASE_FILE="+filepath.Join(folder, "app.db"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("go %s: %v\n%s\n%s", verb, err, out, source)
	}
	return string(out)
}
