package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
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
	db    *gorm.DB
}

var tags = regexp.MustCompile(`<[^>]*>`)

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
	if set.mail == nil {
		set.mail = func(context.Context, mail) error { return nil }
	}
	s, err := newServer(db, auth.With(db), set) // with the logger
	must(t, err)
	server := httptest.NewTLSServer(s.handler())
	t.Cleanup(server.Close)
	s.site = server.URL
	return &site{s, server, clock, log, db}
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
	response, err := v.client.Do(v.request(method, path, form, header...))
	must(v.T, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	must(v.T, err)
	return response.StatusCode, response.Request.URL.RequestURI(), string(text)
}

// only returns the answer to a request, and follows no redirect.
func (v *visitor) only(method, path string, form url.Values, header ...string) *http.Response {
	v.Helper()
	client := *v.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(v.request(method, path, form, header...))
	must(v.T, err)
	must(v.T, response.Body.Close())
	return response
}

func (v *visitor) request(method, path string, form url.Values, header ...string) *http.Request {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), method, v.site.http.URL+path, strings.NewReader(form.Encode()))
	must(v.T, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
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
		{"GET", "/nowhere", nil, 404, "/nowhere", "Page not found"},
		{"GET", "/account/devices", nil, 200, "/sign-in?next=%2Faccount%2Fdevices", `value="/account/devices"`},
		{"POST", "/sign-up", login("", ""), 422, "/sign-up?draft=", "Enter your email address."},
		{"POST", "/sign-up", login("ada", password), 422, "/sign-up?draft=", "like name@example.com"},
		{"POST", "/sign-up", login("ada@example.com", "short"), 422, "/sign-up?draft=", "at least 8 characters"},
		{"POST", "/sign-up", login(" Ada@Example.com", password), 200, "/account", "ada@example.com"},
		{"POST", "/sign-up", login("ADA@example.com", password), 409, "/sign-up?draft=", "There is an account"},
		{"GET", "/account/devices", nil, 200, "/account/devices", "This device"},
		{"POST", "/account/password", url.Values{"current": {"wrong"}, "new": {"a new password"}}, 422, "/account/password?draft=", "This is not your current password."},
		{"POST", "/account/password", url.Values{"current": {password}, "new": {strings.Repeat("x", 5000)}}, 422, "/account/password?draft=", "8 to 1,000 characters"},
		{"POST", "/account/password", url.Values{"current": {password}, "new": {"a new password"}}, 200, "/account", "is changed"},
		{"POST", "/account/devices/end", url.Values{"id": {""}}, 400, "/account/devices/end", ""},
		{"POST", "/account/devices/end", url.Values{"id": {strings.Repeat("0", 64)}}, 200, "/account/devices", "signed out"},
		{"POST", "/sign-out", nil, 200, "/", "You are signed out."},
		{"GET", "/account", nil, 200, "/sign-in", "Sign in"},
		{"POST", "/sign-in", login("ada@example.com", password), 401, "/sign-in?draft=", "is wrong"},
		{"POST", "/sign-in", login("nobody@example.com", password), 401, "/sign-in?draft=", "is wrong"},
		{"POST", "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"a new password"}, "next": {"//evil.example"}}, 200, "/account", "ada@example.com"},
		{"POST", "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"a new password"}, "next": {"/account/devices"}}, 200, "/account/devices", "This device"},
		{"POST", "/sign-in", login("ada@example.com", strings.Repeat("x", 100<<10)), 413, "/sign-in", "too large"},
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
	for _, path := range []string{"/sign-up", "/sign-in", "/sign-out", "/forgot-password", "/reset-password", "/verify-email", "/change-email", "/account/verify-email",
		"/account/email", "/account/password", "/account/delete", "/account/export", "/confirm", "/account/devices/end", "/account/devices/end-others", "/account/devices/end-all"} {
		ada.want(403, path, "We refused this request")(ada.do("POST", path, login("eve@example.com", password), "Sec-Fetch-Site", "cross-site"))
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

// TestFailureSetsNoCookie: a request that fails, or signs nobody in, gives the browser no cookie
// but that of the form's errors.
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
		{eve, "/verify-email", url.Values{"token": {"x"}}},
		{ada, "/confirm", url.Values{"password": {"a guess"}}},
		{ada, "/confirm", url.Values{"password": {"\xff\xfe"}}},
		{eve, "/sign-up", login("ada@example.com", password)},
		{eve, "/sign-up", login("eve@example.com", "short")},
		{eve, "/forgot-password", login("ada@example.com", "")},
		{eve, "/reset-password", url.Values{"token": {"x"}, "password": {password}}},
		{ada, "/account/password", url.Values{"current": {"a guess"}, "new": {"a new password"}}},
		{ada, "/account/password", url.Values{"current": {"\xff\xfe"}, "new": {"a new password"}}},
	} {
		response := step.who.only("POST", step.path, step.form)
		for _, c := range response.Cookies() {
			if c.Name != "__Host-web_draft" || response.StatusCode != 303 {
				t.Errorf("%s of %.40q: got the cookie %s with status %d", step.path, step.form.Encode(), c.Name, response.StatusCode)
			}
		}
	}
	eve.want(200, "/account", "ada@example.com")(eve.do("POST", "/sign-in", login("ada@example.com", password)))
}

// TestSecretPages: what shows a token is not stored, nor told to where its links lead.
func TestSecretPages(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	nobody := s.visit(t)
	nobody.do("POST", "/forgot-password", login("ada@example.com", ""))
	_, reset := s.link(t, "/reset-password")
	_, verify := s.link(t, "/verify-email")
	for _, step := range []struct {
		method, path string
		form         url.Values
	}{
		{"GET", "/reset-password?token=" + reset, nil},
		{"POST", "/reset-password", url.Values{"token": {reset}, "password": {"short"}}},
		{"GET", "/verify-email?token=" + verify, nil},
		{"POST", "/verify-email", url.Values{"token": {verify}}},
	} {
		response := nobody.only(step.method, step.path, step.form)
		if cache, referrer := response.Header.Get("Cache-Control"), response.Header.Get("Referrer-Policy"); cache != "no-store" || referrer != "strict-origin" {
			t.Errorf("%s %.16s: Cache-Control is %q, Referrer-Policy %q", step.method, step.path, cache, referrer)
		}
	}
}

// link returns the newest link to a page that was mailed, less the site, and its token.
func (s *site) link(t *testing.T, path string) (link, token string) {
	t.Helper()
	s.waiting.Lock()
	defer s.waiting.Unlock()
	for i := len(s.sent) - 1; i >= 0; i-- {
		u, err := url.Parse(s.sent[i].Link)
		must(t, err)
		if u.Path == path {
			return u.RequestURI(), u.Query().Get("token")
		}
	}
	t.Fatalf("no mail has a link to %s", path)
	return "", ""
}

// TestPasswordFormsHaveUsername: each form that asks for a password says before it whose it is, or
// asks. Password managers go by that. Chromium says so too, but it is not always right: see
// TestNamelessForms in integration/browser.
func TestPasswordFormsHaveUsername(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, nobody := s.visit(t), s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	nobody.do("POST", "/forgot-password", login("ada@example.com", ""))
	link, token := s.link(t, "/reset-password")
	s.clock.Advance(recently + time.Minute) // so that /confirm asks
	forms := regexp.MustCompile(`(?s)<form.*?</form>`)
	username := regexp.MustCompile(`<input hidden readonly type="text" name="username" autocomplete="username" value="ada@example.com">|<input [^>]*type="email" autocomplete="username"`)
	for _, page := range []struct {
		who          *visitor
		method, path string
		form         url.Values
	}{
		{nobody, "GET", "/sign-in", nil},
		{nobody, "POST", "/sign-in", login("", "")},
		{nobody, "POST", "/sign-in", login("ada@example.com", "a guess")},
		{nobody, "GET", "/sign-in?draft=x", nil},
		{nobody, "GET", "/sign-up", nil},
		{nobody, "POST", "/sign-up", login("", "")},
		{nobody, "POST", "/sign-up", login("ada@example.com", password)},
		{nobody, "GET", link, nil},
		{nobody, "POST", "/reset-password", url.Values{"token": {token}, "password": {"short"}}},
		{ada, "GET", "/account/password", nil},
		{ada, "POST", "/account/password", url.Values{"current": {""}, "new": {""}}},
		{ada, "POST", "/account/password", url.Values{"current": {"a guess"}, "new": {"a new password"}}},
		{ada, "GET", "/account/email", nil}, // leads to /confirm
		{ada, "POST", "/account/delete", nil},
		{ada, "POST", "/confirm", url.Values{"password": {"a guess"}}},
	} {
		status, at, body := page.who.do(page.method, page.path, page.form)
		asks := 0
		for _, form := range forms.FindAllString(body, -1) {
			before, _, found := strings.Cut(form, `type="password"`)
			if !found {
				continue
			}
			asks++
			if !username.MatchString(before) {
				t.Errorf("%s %.20s: got %d at %.20s with a form that has no username before its password:\n%s", page.method, page.path, status, at, form)
			}
		}
		if asks != 1 {
			t.Errorf("%s %.20s: got %d at %.20s with %d forms that ask for a password, want 1:\n%s", page.method, page.path, status, at, asks, body)
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
		eve.want(401, "/sign-in", "is wrong")(eve.do("POST", "/sign-in", login("ada@example.com", "a guess")))
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
