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

// taskRow is a row of README's table: a task, its lines of code, and the guide.
var taskRow = regexp.MustCompile("(?m)^\\| [^|]+ \\| (`.+`) \\| .+ \\|$")

// docBlock is Go in a page.
var docBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// TestREADME is a client of README's program, by the commands of the page. integration/docs
// compiles its table.
func TestREADME(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(readme), "\n"); n > 200 {
		t.Errorf("README has %d lines, over 200", n)
	}
	blocks := docBlock.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) != 1 {
		t.Fatalf("README has %d programs", len(blocks))
	}
	address := serve(t, blocks[0][1])
	curl(t, address, string(readme))
	browse(t, address)
	if n := len(taskRow.FindAllString(string(readme), -1)); n < 8 {
		t.Errorf("the table of tasks has %d rows of code", n)
	}
}

// serve starts a program that serves, and returns its address.
func serve(t *testing.T, source string) string {
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
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(20 * time.Second); ; runtime.Gosched() { // until it listens
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
			return address
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

var (
	curlLine = regexp.MustCompile(`^\$ (post|curl -sL -b jar)(?: -o out.html)?(?: -d '([^']*)')? localhost:8080(/\S+)$`)
	shell    = regexp.MustCompile("(?s)```console\n(\\$ .*?)```")
)

// curl sends what README's commands send, and compares the answers with those that it shows. With
// -L curl follows a redirect by GET, as net/http's client does.
func curl(t *testing.T, address, readme string) {
	t.Helper()
	block := shell.FindStringSubmatch(readme)
	if block == nil {
		t.Fatal("README has no commands of curl")
	}
	lines := strings.Split(strings.TrimSpace(block[1]), "\n")
	if lines[0] != `$ alias post='curl -sL -c jar -b jar -H "Origin: http://localhost:8080"'` {
		t.Fatalf("README's alias is another: %s", lines[0])
	}
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: secureJar{jar}, Timeout: 10 * time.Second}
	for i := 1; i < len(lines); i++ {
		m := curlLine.FindStringSubmatch(lines[i])
		if m == nil {
			t.Fatalf("not understood: %s", lines[i])
		}
		method, header := "GET", http.Header{}
		if m[1] == "post" {
			method = "POST"
			header.Set("Origin", "http://"+address)
			header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		want := ""
		if i+1 < len(lines) && !strings.HasPrefix(lines[i+1], "$") {
			want = lines[i+1] + "\n"
			i++
		}
		_, body := send(t, client, method, "http://"+address+m[3], m[2], header)
		if want != "" && body != want {
			t.Errorf("%s: got %q, want %q", m[0], body, want)
		}
	}
}

// browse is what a browser sends, with the statuses that curl does not show.
func browse(t *testing.T, address string) {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: secureJar{jar}, Timeout: 10 * time.Second}
	browser := http.Header{"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	login := "email=bob@example.com&password=correct+horse+battery+staple"
	for _, step := range []struct {
		method, path, form string
		header             http.Header
		status             int
		body               string
	}{
		{"GET", "/account", "", browser, 200, "<form"}, // sent to the form
		{"POST", "/sign-up", login, nil, 403, "a client that is not a browser sends"},
		{"POST", "/sign-up", login, browser, 200, "bob@example.com is signed in"},
		{"POST", "/sign-up", login, browser, 409, "Conflict"},
		{"POST", "/sign-out", "", browser, 200, "<form"},
		{"POST", "/sign-in", login + "x", browser, 401, "Unauthorized"},
		{"POST", "/sign-in", login, browser, 200, "bob@example.com is signed in"},
	} {
		status, body := send(t, client, step.method, "http://"+address+step.path, step.form, step.header)
		if status != step.status || !strings.Contains(body, step.body) {
			t.Errorf("%s %s: got %d %q, want %d %q", step.method, step.path, status, body, step.status, step.body)
		}
	}
}

func send(t *testing.T, client *http.Client, method, url, form string, header http.Header) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		request.Header = header.Clone()
	}
	response, err := client.Do(request)
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

// secureJar takes http for https, as browsers and curl do on localhost.
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
