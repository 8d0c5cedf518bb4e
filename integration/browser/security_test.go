package browser_test

import (
	"context"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestR11CookieAsTheBrowserSeesIt asks the browser what it keeps.
func TestR11CookieAsTheBrowserSeesIt(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.visit(t)
	ada.signUp("ada@example.com")
	cookies := func() map[string]*network.Cookie {
		found := map[string]*network.Cookie{}
		ada.do(chromedp.ActionFunc(func(ctx context.Context) error {
			list, err := network.GetCookies().WithURLs([]string{s.url}).Do(ctx)
			for _, c := range list {
				found[c.Name] = c
			}
			return err
		}))
		return found
	}
	c := cookies()["__Host-auth_session"]
	if c == nil {
		t.Fatalf("got no session cookie among %v", cookies())
	}
	left := time.Until(time.Unix(int64(c.Expires), 0))
	if !c.HTTPOnly || !c.Secure || c.SameSite != network.CookieSameSiteLax || c.Path != "/" || c.Domain != "localhost" || c.Session ||
		left < 15*24*time.Hour-time.Hour || left > 15*24*time.Hour {
		t.Errorf("got the cookie %+v, which ends in %v", *c, left)
	}
	for name, c := range cookies() {
		if !strings.HasPrefix(name, "__Host-") || !c.HTTPOnly || !c.Secure {
			t.Errorf("got another cookie %q, HttpOnly %t, Secure %t", name, c.HTTPOnly, c.Secure)
		}
	}
	var script string
	ada.do(chromedp.Evaluate(`document.cookie`, &script))
	if script != "" {
		t.Errorf("a script sees %d bytes of cookies", len(script))
	}
	before := c.Value
	ada.post("/sign-in", map[string]string{"email": "ada@example.com", "password": password}) // there is no link to it now
	if after := cookies()["__Host-auth_session"]; after == nil || after.Value == before {
		t.Errorf("a sign-in did not change the token")
	}
	ada.signOut()
	if after := cookies()["__Host-auth_session"]; after != nil {
		t.Errorf("after the sign-out the cookie is there still")
	}
}

var foreignPage = template.Must(template.New("").Parse(`<!doctype html><title>elsewhere</title>
<form method="post" action="{{.Action}}">{{range $name, $value := .Fields}}<input name="{{$name}}" value="{{$value}}">{{end}}<button>go</button></form>`))

// TestR14FormsOfOtherOrigins: pages of another site, and of another port of the same one,
// post forms to the site.
func TestR14FormsOfOtherOrigins(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, host := range []string{"127.0.0.1", "localhost"} { // localhost's cookies go to every port of it
		email := host + "@example.com"
		elsewhere, origin := foreign(t, host)
		ada, bob := s.visit(t, origin), s.visit(t, origin)
		bob.signUp("bob-" + email)
		ada.signUp(email)
		for _, attack := range []struct {
			path   string
			fields map[string]string
		}{
			{"/sign-out", nil},
			{"/account/password", map[string]string{"current": password, "new": "the attacker's", "password": "the attacker's"}},
			{"/account/devices/end-others", nil},
			{"/sign-in", map[string]string{"email": "bob-" + email, "password": password}},
			{"/sign-up", map[string]string{"email": "eve-" + email, "password": password}},
		} {
			ada.do(chromedp.Navigate(elsewhere(s.url+attack.path, attack.fields)))
			ada.submit(click(`button`))
			if status := ada.status(); status != 403 {
				t.Errorf("%s from %s: got status %d, want 403:\n%s", attack.path, origin, status, ada.text())
			}
		}
		ada.wantSignedIn(true)
		ada.wantText(email)
		if strings.Contains(ada.text(), "bob-") {
			t.Errorf("from %s: another account is signed in", origin)
		}
		ada.signOut()
		ada.signIn(email, password)
		ada.wantStatus(200)
		eve := s.visit(t)
		eve.signIn("eve-"+email, password)
		eve.wantStatus(401)
	}
}

// foreign serves pages of another origin, and returns what makes the address of one with a
// form.
func foreign(t *testing.T, host string) (page func(action string, fields map[string]string) string, origin string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fields := map[string]string{}
		for name, values := range r.URL.Query() {
			if name != "action" {
				fields[name] = values[0]
			}
		}
		_ = foreignPage.Execute(w, map[string]any{"Action": r.URL.Query().Get("action"), "Fields": fields})
	})}}
	server.Start()
	t.Cleanup(server.Close)
	origin = fmt.Sprintf("http://%s:%d", host, listener.Addr().(*net.TCPAddr).Port)
	return func(action string, fields map[string]string) string {
		query := url.Values{"action": {action}}
		for name, value := range fields {
			query.Set(name, value)
		}
		return origin + "/?" + query.Encode()
	}, origin
}

// TestPlainHTTP: on a page that was opened over http under another name than localhost, a browser
// keeps no Secure cookie and sends no Sec-Fetch-Site. The answer says so, and what to do.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	elsewhere := func(args ...string) *visitor {
		s := start(t, args...)
		s.url = strings.Replace(s.url, "localhost", "dev.example", 1)
		return s.visit(t)
	}
	ada := elsewhere()
	for _, scheme := range []string{"light", "dark"} {
		ada.dress(scheme)
		ada.signIn("ada@example.com", password)
		ada.wantStatus(403)
		ada.wantText("-insecure-cookie")
		ada.check("needs-https", scheme)
	}
	bob := elsewhere("-insecure-cookie")
	bob.signIn("bob@example.com", "a guess")
	bob.wantStatus(401)
	bob.signUp("bob@example.com")
	bob.wantText("is ready")
	bob.signOut()
	bob.signIn("bob@example.com", password)
	bob.wantSignedIn(true)
}
