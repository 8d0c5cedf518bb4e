package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
)

const password = "correct horse battery staple"

// site is the application on a database of its own, over TLS, which the cookie wants.
type site struct {
	*server
	http  *httptest.Server
	clock *authtest.Clock
	log   *statements
}

func open(t *testing.T, set settings) *site {
	t.Helper()
	clock := authtest.NewClock()
	clock.Advance(time.Since(clock.Now())) // since the cookie jar has the other one
	db, auth, err := openDatabase(filepath.Join(t.TempDir(), "web.db"), clock.Now, gormkey.WithPasswordHasher(authtest.FastHasher()))
	must(t, err)
	t.Cleanup(func() { closeDatabase(db) })
	log := &statements{Interface: logger.Discard}
	db.Logger = log
	set.now = clock.Now
	s, err := newServer(db, auth.With(db), set) // with the logger
	must(t, err)
	server := httptest.NewTLSServer(s.handler())
	t.Cleanup(server.Close)
	s.site = server.URL
	return &site{s, server, clock, log}
}

// visitor is a browser, as far as the server sees it.
type visitor struct {
	*testing.T
	site   *site
	client *http.Client
}

func (s *site) visit(t *testing.T) *visitor {
	jar, err := cookiejar.New(nil)
	must(t, err)
	client := *s.http.Client()
	client.Jar = jar
	return &visitor{t, s, &client}
}

// do returns the page that a request leads to.
func (v *visitor) do(method, path string, form url.Values, header ...string) (status int, at, body string) {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), method, v.site.http.URL+path, strings.NewReader(form.Encode()))
	must(v.T, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := v.client.Do(r)
	must(v.T, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	must(v.T, err)
	return response.StatusCode, response.Request.URL.RequestURI(), string(text)
}

// want checks the status, the address in its beginning, and what the page says.
func (v *visitor) want(status int, at, says string) func(int, string, string) {
	return func(gotStatus int, gotAt, body string) {
		v.Helper()
		if gotStatus != status || !strings.HasPrefix(gotAt, at) || !strings.Contains(body, says) {
			v.Errorf("got %d at %s, want %d at %s with %q:\n%s", gotStatus, gotAt, status, at, says, body)
		}
	}
}

func login(email, password string) url.Values {
	return url.Values{"email": {email}, "password": {password}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	for _, step := range []struct {
		method, path string
		form         url.Values
		status       int
		at, says     string
	}{
		{"GET", "/", nil, 200, "/", "Create account"},
		{"GET", "/nowhere", nil, 404, "/nowhere", "no such page"},
		{"GET", "/account/devices", nil, 200, "/sign-in?next=%2Faccount%2Fdevices", `value="/account/devices"`},
		{"POST", "/sign-up", login("", ""), 422, "/sign-up", "Enter your email address."},
		{"POST", "/sign-up", login("ada", password), 422, "/sign-up", "like name@example.com"},
		{"POST", "/sign-up", login("ada@\u212Aelvin.example", password), 422, "/sign-up", "like name@example.com"}, // a k in lower case
		{"POST", "/sign-up", login("ada@example.com", "short"), 422, "/sign-up", "at least 8 characters"},
		{"POST", "/sign-up", login(" Ada@Example.com", password), 200, "/account?notice=welcome", "ada@example.com"},
		{"POST", "/sign-up", login("ada@example.com", password), 409, "/sign-up", "There is an account"},
		{"GET", "/account/devices", nil, 200, "/account/devices", "This device"},
		{"POST", "/account/password", url.Values{"current": {"wrong"}, "new": {"a new password"}}, 422, "/account/password", "This is not your password."},
		{"POST", "/account/password", url.Values{"current": {password}, "new": {"a new password"}}, 200, "/account?notice=password-changed", "is changed"},
		{"POST", "/account/devices/end", url.Values{"id": {""}}, 400, "/account/devices/end", ""},
		{"POST", "/account/devices/end", url.Values{"id": {strings.Repeat("0", 64)}}, 200, "/account/devices", "signed out"},
		{"POST", "/sign-out", nil, 200, "/?notice=signed-out", "You are signed out."},
		{"GET", "/account", nil, 200, "/sign-in", "Sign in"},
		{"POST", "/sign-in", login("ada@example.com", password), 401, "/sign-in", "not right"},
		{"POST", "/sign-in", login("nobody@example.com", password), 401, "/sign-in", "not right"},
		{"POST", "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"a new password"}, "next": {"//evil.example"}}, 200, "/account", "ada@example.com"},
		{"POST", "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"a new password"}, "next": {"/account/devices"}}, 200, "/account/devices", "This device"},
		{"POST", "/sign-in", login("ada@example.com", strings.Repeat("x", 100<<10)), 413, "/sign-in", "too much"},
	} {
		ada.want(step.status, step.at, step.says)(ada.do(step.method, step.path, step.form))
	}
}

// TestStrangers: of another site, and of another account.
func TestStrangers(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, eve := s.visit(t), s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	eve.do("POST", "/sign-up", login("eve@example.com", password))
	for _, path := range []string{"/sign-up", "/sign-in", "/sign-out", "/forgot-password", "/reset-password", "/account/password", "/account/devices/end", "/account/devices/end-others"} {
		ada.want(403, path, "came from elsewhere")(ada.do("POST", path, login("eve@example.com", password), "Sec-Fetch-Site", "cross-site"))
	}
	_, _, page := ada.do("GET", "/account/devices", nil)
	if !strings.Contains(page, "This device") {
		t.Fatalf("ada is signed out:\n%s", page)
	}
	sessions, err := s.auth.UserSessions(t.Context(), s.userID(t, "ada@example.com"))
	must(t, err)
	eve.do("POST", "/account/devices/end", url.Values{"id": {sessions[0].ID.String()}})
	ada.want(200, "/account", "ada@example.com")(ada.do("GET", "/account", nil))
}

func (s *site) userID(t *testing.T, email string) string {
	t.Helper()
	key, err := s.auth.GetKey(t.Context(), gormkey.KeyID{Provider: "email", ID: email})
	must(t, err)
	return key.UserID
}

// TestResetAnswersAlike: outside of development nobody learns who has an account, and the
// mail has the link.
func TestResetAnswersAlike(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, settings{mail: toFolder(folder), pace: time.Millisecond})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	_, _, known := ada.do("POST", "/forgot-password", login("ada@example.com", ""))
	_, _, unknown := ada.do("POST", "/forgot-password", login("eve@example.com", ""))
	if strings.ReplaceAll(known, "ada@", "eve@") != strings.ReplaceAll(unknown, "ada@", "eve@") || strings.Contains(known, "token=") {
		t.Errorf("the answers differ, or show the link:\n%s\n%s", known, unknown)
	}
	s.mails.Wait()
	files, err := os.ReadDir(folder)
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("got %d mails, want 1", len(files))
	}
	mail, err := os.ReadFile(filepath.Join(folder, files[0].Name()))
	must(t, err)
	link := regexp.MustCompile(regexp.QuoteMeta(s.http.URL) + `(/reset-password\?token=(\w+))`).FindStringSubmatch(string(mail))
	if link == nil || !strings.Contains(string(mail), "To: ada@example.com") {
		t.Fatalf("the mail is %q", mail)
	}
	ada.want(200, "/reset-password", "Choose a new password")(ada.do("GET", link[1], nil))
	ada.want(200, "/sign-in?notice=password-reset", "every device is signed out")(ada.do("POST", "/reset-password", url.Values{"token": {link[2]}, "password": {"a new password"}}))
	ada.want(410, "/reset-password", "no longer works")(ada.do("GET", link[1], nil))
	ada.want(200, "/account", "ada@example.com")(ada.do("POST", "/sign-in", login("ada@example.com", "a new password")))
}

// statements is a GORM logger that keeps what is sent, without the values.
type statements struct {
	logger.Interface
	mu   sync.Mutex
	sent []string
}

var values = regexp.MustCompile(`"[^"]*"|'[^']*'|\b\d+\b`)

func (l *statements) LogMode(logger.LogLevel) logger.Interface { return l }

func (l *statements) Trace(_ context.Context, _ time.Time, statement func() (string, int64), _ error) {
	sql, _ := statement()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, values.ReplaceAllString(sql, "?"))
}

func (l *statements) taken() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := strings.Join(l.sent, "\n")
	l.sent = nil
	return sent
}

// TestResetWorksAlike: the request, the client's next one, and the worker send the database
// the same statements, whether somebody has the address or not, and the request makes no link.
func TestResetWorksAlike(t *testing.T) {
	t.Parallel()
	var letters atomic.Int64
	for _, pace := range []time.Duration{time.Hour, time.Millisecond} { // with the first the worker does nothing here
		s := open(t, settings{pace: pace, mail: func(context.Context, mail) error { letters.Add(1); return nil }})
		s.visit(t).do("POST", "/sign-up", login("ada@example.com", password))
		ask := func(email string) string {
			s.clock.Advance(24 * time.Hour)
			v := s.visit(t)
			v.want(200, "/forgot-password", "on its way")(v.do("POST", "/forgot-password", login(email, "")))
			if pace == time.Millisecond {
				s.mails.Wait()
			}
			v.do("POST", "/forgot-password", login("third@example.com", ""))
			if pace == time.Millisecond {
				s.mails.Wait()
			}
			return s.log.taken()
		}
		s.log.taken()
		for _, email := range []string{"eve@example.com", "ada@example.com"} {
			ask(email) // the first request makes rows
		}
		letters.Store(0)
		unknown, known := ask("eve@example.com"), ask("ada@example.com")
		if known != unknown || known == "" {
			t.Errorf("pace %v: for an address with an account the statements are\n%s\nand for one without\n%s", pace, known, unknown)
		}
		if issues := strings.Contains(known, "INSERT INTO `user_token`"); issues != (pace == time.Millisecond) {
			t.Errorf("pace %v: a link is made: %t", pace, issues)
		}
		want := int64(0)
		if pace == time.Millisecond {
			want = 1
		}
		if n := letters.Load(); n != want {
			t.Errorf("pace %v: got %d letters, want %d", pace, n, want)
		}
	}
}

// TestMailsAreBounded: what the queue has no place for is dropped, whoever it is for.
func TestMailsAreBounded(t *testing.T) {
	t.Parallel()
	s := open(t, settings{pace: time.Hour})
	for range maxMails + 10 {
		s.post(func(context.Context) (mail, error) { return mail{}, nil })
	}
	s.waiting.Lock()
	defer s.waiting.Unlock()
	if n := len(s.queue); n != maxMails {
		t.Errorf("%d mails are waiting, want %d", n, maxMails)
	}
}

// TestFailureSetsNoCookie: what fails, or signs nobody in, leaves the browser as it is.
func TestFailureSetsNoCookie(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, eve := s.visit(t), s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	for _, step := range []struct {
		who  *visitor
		path string
		form url.Values
	}{
		{eve, "/sign-in", login("ada@example.com", "a guess")},
		{eve, "/sign-in", login("nobody@example.com", "a guess")},
		{eve, "/sign-in", login("ada@example.com", "\xff\xfe")},
		{eve, "/sign-up", login("ada@example.com", password)},
		{eve, "/sign-up", login("eve@example.com", "short")},
		{eve, "/forgot-password", login("ada@example.com", "")},
		{eve, "/reset-password", url.Values{"token": {"x"}, "password": {password}}},
		{ada, "/account/password", url.Values{"current": {"a guess"}, "new": {"a new password"}}},
		{ada, "/account/password", url.Values{"current": {"\xff\xfe"}, "new": {"a new password"}}},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.http.URL+step.path, strings.NewReader(step.form.Encode()))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		response, err := step.who.client.Do(r)
		must(t, err)
		_ = response.Body.Close()
		if lines := response.Header["Set-Cookie"]; len(lines) > 0 {
			t.Errorf("%s of %.40q: got Set-Cookie %q with status %d", step.path, step.form.Encode(), lines, response.StatusCode)
		}
	}
	eve.want(200, "/account", "ada@example.com")(eve.do("POST", "/sign-in", login("ada@example.com", password)))
}

// TestResetIsLimited: an address gets five mails at once, whoever asks, and one that nobody
// has is refused as soon.
func TestResetIsLimited(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, settings{mail: toFolder(folder), pace: time.Millisecond})
	s.visit(t).do("POST", "/sign-up", login("ada@example.com", password))
	for _, email := range []string{"ada@example.com", "eve@example.com"} {
		for range 5 {
			v := s.visit(t)
			v.want(200, "/forgot-password", "on its way")(v.do("POST", "/forgot-password", login(email, "")))
		}
		v := s.visit(t)
		v.want(429, "/forgot-password", "Try again in 10 minutes.")(v.do("POST", "/forgot-password", login(email, "")))
	}
	s.mails.Wait()
	files, err := os.ReadDir(folder)
	must(t, err)
	if len(files) != 5 {
		t.Errorf("got %d mails, want 5", len(files))
	}
}

// TestSecretPages: what shows a token is not stored, nor told to where its links lead.
func TestSecretPages(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	nobody := s.visit(t)
	_, _, page := nobody.do("POST", "/forgot-password", login("ada@example.com", ""))
	token := regexp.MustCompile(`token=(\w+)`).FindStringSubmatch(page)[1]
	for _, step := range []struct {
		method, path string
		form         url.Values
	}{
		{"GET", "/reset-password?token=" + token, nil},
		{"POST", "/reset-password", url.Values{"token": {token}, "password": {"short"}}},
		{"POST", "/forgot-password", login("ada@example.com", "")},
	} {
		r, err := http.NewRequestWithContext(t.Context(), step.method, s.http.URL+step.path, strings.NewReader(step.form.Encode()))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		response, err := nobody.client.Do(r)
		must(t, err)
		_ = response.Body.Close()
		if cache, referrer := response.Header.Get("Cache-Control"), response.Header.Get("Referrer-Policy"); cache != "no-store" || referrer != "strict-origin" {
			t.Errorf("%s %.16s: Cache-Control is %q, Referrer-Policy %q", step.method, step.path, cache, referrer)
		}
	}
}

// TestThrottle: a stranger's guesses keep the stranger out.
func TestThrottle(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, eve := s.visit(t), s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password)) // from now on a known device
	for range 5 {
		eve.want(401, "/sign-in", "not right")(eve.do("POST", "/sign-in", login("ada@example.com", "a guess")))
	}
	eve.want(429, "/sign-in", "Too many attempts. Try again in 10 minutes.")(eve.do("POST", "/sign-in", login("ada@example.com", password)))
	ada.want(200, "/account", "ada@example.com")(ada.do("POST", "/sign-in", login("ada@example.com", password)))
	s.clock.Advance(10 * time.Minute)
	eve.want(200, "/account", "ada@example.com")(eve.do("POST", "/sign-in", login("ada@example.com", password)))
}

// TestRun: it serves where it says, and ends when it is told to.
func TestRun(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-addr", "localhost:0"}, in) }()
	line := make([]byte, 200)
	n, err := out.Read(line)
	must(t, err)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	address := regexp.MustCompile(`http://localhost:\d+`).FindString(string(line[:n]))
	response, err := http.Get(address + "/")
	must(t, err)
	_ = response.Body.Close()
	if policy := response.Header.Get("Content-Security-Policy"); response.StatusCode != 200 || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("got %d with the policy %q", response.StatusCode, policy)
	}
	stop()
	must(t, <-ended)
}
