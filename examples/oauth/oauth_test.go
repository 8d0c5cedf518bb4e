package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

const password = "correct horse battery staple"

// site is the example over TLS, as in production, with a provider on a server of its own.
type site struct {
	*app
	t        *testing.T
	url      string
	client   *http.Client
	mails    []string     // paths
	userinfo http.Handler // in place of the provider's, if not nil
	calls    int          // of the provider's token endpoint
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t}
	var provider http.Handler
	providerServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			s.calls++
		case r.URL.Path == "/userinfo" && s.userinfo != nil:
			s.userinfo.ServeHTTP(w, r)
			return
		}
		provider.ServeHTTP(w, r)
	}))
	t.Cleanup(providerServer.Close)
	server := httptest.NewUnstartedServer(nil)
	s.url = "https://" + server.Listener.Addr().String()
	c := client{issuer: providerServer.URL, id: "example", secret: "s/e c:ret", callback: s.url + "/oauth/callback"}
	provider = newProvider(c)
	a, err := newApp(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	a.mail = func(_, path string) { s.mails = append(s.mails, path) }
	s.app = a
	server.Config.Handler = a.routes()
	server.StartTLS()
	t.Cleanup(server.Close)
	s.client = server.Client()
	return s
}

// browser keeps cookies, sends what browsers send, and follows no redirect by itself.
type browser struct {
	*site
	http http.Client
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s, http.Client{Transport: s.client.Transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// do sends a request and returns its status, where it redirects to and the body.
func (b *browser) do(method, target, fetchSite string, form url.Values) (status int, location, body string) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, target, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	request.Header.Set("Sec-Fetch-Site", fetchSite)
	response, err := b.http.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Location"), string(text)
}

// post sends a form of the site's own.
func (b *browser) post(path string, form url.Values) int {
	b.t.Helper()
	status, _, _ := b.do("POST", b.url+path, "same-origin", form)
	return status
}

// begin presses the button of the site and returns where the provider asks.
func (b *browser) begin(path string) string {
	b.t.Helper()
	status, location, body := b.do("POST", b.url+path, "same-origin", nil)
	if status != http.StatusSeeOther {
		b.t.Fatalf("POST %s: got %d %q", path, status, body)
	}
	return location
}

// approve answers the provider's form and returns the callback's URL.
func (b *browser) approve(ask string, form url.Values) string {
	b.t.Helper()
	if status, _, body := b.do("GET", ask, "cross-site", nil); status != http.StatusOK {
		b.t.Fatalf("the provider: got %d %q", status, body)
	}
	status, location, body := b.do("POST", ask, "same-origin", form)
	if status != http.StatusSeeOther {
		b.t.Fatalf("the provider: got %d %q", status, body)
	}
	return location
}

// follow follows the redirect back to the site.
func (b *browser) follow(callback string) int {
	b.t.Helper()
	status, _, _ := b.do("GET", callback, "cross-site", nil)
	return status
}

// oauth goes the whole way, from the button at path.
func (b *browser) oauth(path string, form url.Values) int {
	b.t.Helper()
	return b.follow(b.approve(b.begin(path), form))
}

func (b *browser) cookie(name string) *http.Cookie {
	b.t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	cookies := b.http.Jar.Cookies(u)
	if i := slices.IndexFunc(cookies, func(c *http.Cookie) bool { return c.Name == name }); i >= 0 {
		return cookies[i]
	}
	return nil
}

// setCookie plants a cookie's value, as whoever holds the browser could.
func (b *browser) setCookie(name, value string) {
	b.t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

// user returns who is signed in, nil for nobody.
func (b *browser) user() *Account {
	b.t.Helper()
	cookie := b.cookie(httpauth.DefaultCookieName)
	if cookie == nil {
		return nil
	}
	session, err := b.auth.ValidateSession(b.t.Context(), gormkey.Token(cookie.Value))
	if err != nil {
		return nil
	}
	return session.User
}

// signedIn fails the test unless somebody is signed in, and returns who.
func (b *browser) signedIn() *Account {
	b.t.Helper()
	user := b.user()
	if user == nil {
		b.t.Fatal("nobody is signed in")
	}
	return user
}

// users returns how many accounts there are.
func (s *site) users() (n int64) {
	s.t.Helper()
	if err := s.db.Model(new(Account)).Count(&n).Error; err != nil {
		s.t.Fatal(err)
	}
	return n
}

// keys returns the ids of an account's keys.
func (s *site) keys(userID string) (ids []string) {
	s.t.Helper()
	keys, err := s.auth.UserKeys(s.t.Context(), userID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, key := range keys {
		ids = append(ids, key.ID)
	}
	return ids
}

// verified makes an account with a password that has proven its address.
func (s *site) verified(email string) *Account {
	s.t.Helper()
	b := s.browser()
	if status := b.post("/sign-up", form(email)); status != http.StatusSeeOther {
		s.t.Fatalf("sign-up: got %d", status)
	}
	if status := b.post("/verify", url.Values{"token": {s.mailed()}}); status != http.StatusSeeOther {
		s.t.Fatalf("verify: got %d", status)
	}
	account := b.signedIn()
	if account.VerifiedEmail == nil || *account.VerifiedEmail != email {
		s.t.Fatalf("verify: got %v", account.VerifiedEmail)
	}
	return account
}

// mailed returns the token of the last mail.
func (s *site) mailed() string {
	s.t.Helper()
	if len(s.mails) == 0 {
		s.t.Fatal("no mail")
	}
	return strings.TrimPrefix(s.mails[len(s.mails)-1], "/?token=")
}

func form(email string) url.Values {
	return url.Values{"email": {email}, "password": {password}}
}

// who is what somebody tells the provider. Verified is "on" or "".
func who(subject, email, verified string) url.Values {
	return url.Values{"sub": {subject}, "email": {email}, "email_verified": {verified}}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestSignIn(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	ask := b.begin("/oauth/sign-in")
	state := b.cookie(flowCookie)
	if state == nil {
		t.Fatal("no state cookie")
	}
	callback := b.approve(ask, who("1", "Ada@Example.com", "on"))
	equal(t, "callback", b.follow(callback), http.StatusSeeOther)
	ada := b.signedIn()
	equal(t, "email", ada.Email, "Ada@Example.com")
	if ada.VerifiedEmail == nil || *ada.VerifiedEmail != "ada@example.com" {
		t.Errorf("verified email: got %v", ada.VerifiedEmail)
	}
	if got, want := s.keys(ada.ID), []string{s.provider + ":1"}; !slices.Equal(got, want) {
		t.Errorf("keys: got %q, want %q", got, want)
	}
	if b.cookie(flowCookie) != nil {
		t.Error("the state cookie was not cleared")
	}

	// Another browser, another address, the same subject: the same account.
	other := s.browser()
	equal(t, "second sign-in", other.oauth("/oauth/sign-in", who("1", "new@example.com", "on")), http.StatusSeeOther)
	equal(t, "second sign-in", other.signedIn().ID, ada.ID)
	equal(t, "accounts", s.users(), 1)

	// The key has no password, so that a password form cannot use it.
	_, err := s.auth.SignIn(t.Context(), gormkey.Credentials{Provider: s.provider, ID: "1", Password: ""})
	equal(t, "an empty password", err, gormkey.ErrInvalidCredentials)
}

func TestStateCookie(t *testing.T) {
	s := newSite(t)
	check := func(header http.Header, maxAge int) {
		t.Helper()
		cookies := (&http.Response{Header: header}).Cookies()
		i := slices.IndexFunc(cookies, func(c *http.Cookie) bool { return c.Name == flowCookie })
		if i < 0 {
			t.Fatalf("got %v", header)
		}
		// Lax: Strict would not come back with the provider's redirect.
		c := cookies[i]
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || c.MaxAge != maxAge {
			t.Errorf("got %v", c)
		}
		equal(t, "Cache-Control", header.Get("Cache-Control"), "no-store")
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), "POST", s.url+"/oauth/sign-in", nil)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	s.routes().ServeHTTP(w, r)
	equal(t, "begin", w.Code, http.StatusSeeOther)
	check(w.Header(), 600)

	w = httptest.NewRecorder()
	s.routes().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", s.url+"/oauth/callback", nil))
	equal(t, "callback", w.Code, http.StatusBadRequest)
	check(w.Header(), -1)
}

func TestBeginNotFromAnotherSite(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	equal(t, "sign-up", b.post("/sign-up", form("ada@example.com")), http.StatusSeeOther)
	for _, path := range []string{"/oauth/sign-in", "/oauth/link", "/sign-up", "/sign-in", "/sign-out", "/verify"} {
		status, _, _ := b.do("POST", b.url+path, "cross-site", form("eve@example.com"))
		equal(t, path, status, http.StatusForbidden)
		status, _, _ = b.do("GET", b.url+path, "cross-site", nil)
		equal(t, "GET "+path, status, http.StatusMethodNotAllowed)
	}
	if b.cookie(flowCookie) != nil {
		t.Error("a flow was begun")
	}
	equal(t, "accounts", s.users(), 1)
}

// TestCallbackRefused: nobody is signed in, no account is made, the state cookie is cleared, and the
// session that was there goes on.
func TestCallbackRefused(t *testing.T) {
	valid := who("1", "ada@example.com", "on")
	for _, test := range []struct {
		name   string
		want   int
		calls  int // of the token endpoint
		change func(b *browser) (callback string)
	}{
		{"no cookie", http.StatusBadRequest, 0, func(b *browser) string {
			attacker := b.site.browser() // whose own callback the victim is sent to
			return attacker.approve(attacker.begin("/oauth/sign-in"), valid)
		}},
		{"another browser's cookie", http.StatusBadRequest, 0, func(b *browser) string {
			b.begin("/oauth/sign-in")
			attacker := b.site.browser()
			return attacker.approve(attacker.begin("/oauth/sign-in"), valid)
		}},
		{"an earlier flow of the browser", http.StatusBadRequest, 0, func(b *browser) string {
			callback := b.approve(b.begin("/oauth/sign-in"), valid)
			b.begin("/oauth/sign-in")
			return callback
		}},
		{"wrong state", http.StatusBadRequest, 0, func(b *browser) string {
			return setQuery(b.approve(b.begin("/oauth/sign-in"), valid), "state", strings.Repeat("A", 26))
		}},
		{"no state", http.StatusBadRequest, 0, func(b *browser) string {
			return setQuery(b.approve(b.begin("/oauth/sign-in"), valid), "state", "")
		}},
		{"empty state and an empty cookie", http.StatusBadRequest, 0, func(b *browser) string {
			callback := b.approve(b.begin("/oauth/sign-in"), valid)
			b.setCookie(flowCookie, "..")
			return setQuery(callback, "state", "")
		}},
		{"malformed cookie", http.StatusBadRequest, 0, func(b *browser) string {
			callback := b.approve(b.begin("/oauth/sign-in"), valid)
			b.setCookie(flowCookie, query(callback, "state"))
			return callback
		}},
		{"wrong verifier", http.StatusUnauthorized, 1, func(b *browser) string {
			callback := b.approve(b.begin("/oauth/sign-in"), valid)
			b.setCookie(flowCookie, query(callback, "state")+"."+strings.Repeat("a", 43)+".")
			return callback
		}},
		{"a stolen code in the attacker's own flow", http.StatusUnauthorized, 1, func(b *browser) string {
			victim := b.site.browser()
			stolen := victim.approve(victim.begin("/oauth/sign-in"), valid)
			return setQuery(b.approve(b.begin("/oauth/sign-in"), who("2", "", "")), "code", query(stolen, "code"))
		}},
		{"unknown code", http.StatusUnauthorized, 1, func(b *browser) string {
			return setQuery(b.approve(b.begin("/oauth/sign-in"), valid), "code", "x")
		}},
		{"no code", http.StatusUnauthorized, 0, func(b *browser) string {
			return setQuery(b.approve(b.begin("/oauth/sign-in"), valid), "code", "")
		}},
		{"the provider's error", http.StatusUnauthorized, 0, func(b *browser) string {
			return b.approve(b.begin("/oauth/sign-in"), url.Values{"deny": {"yes"}})
		}},
		{"an error beside a code", http.StatusUnauthorized, 0, func(b *browser) string {
			return setQuery(b.approve(b.begin("/oauth/sign-in"), valid), "error", "<script>")
		}},
		{"the provider's error without a state", http.StatusBadRequest, 0, func(b *browser) string {
			b.begin("/oauth/sign-in")
			return b.url + "/oauth/callback?error=access_denied"
		}},
		{"no subject", http.StatusBadGateway, 1, func(b *browser) string {
			return b.approve(b.begin("/oauth/sign-in"), who("", "ada@example.com", "on"))
		}},
		{"a subject that is no key", http.StatusBadRequest, 1, func(b *browser) string {
			return b.approve(b.begin("/oauth/sign-in"), who(strings.Repeat("1", 256), "ada@example.com", "on"))
		}},
		{"no answer about the user", http.StatusBadGateway, 1, func(b *browser) string {
			b.userinfo = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, `{"sub":"1"}`, http.StatusInternalServerError)
			})
			return b.approve(b.begin("/oauth/sign-in"), valid)
		}},
		{"an answer that is not JSON", http.StatusBadGateway, 1, func(b *browser) string {
			b.userinfo = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
			return b.approve(b.begin("/oauth/sign-in"), valid)
		}},
		{"the wrong secret", http.StatusBadGateway, 1, func(b *browser) string {
			b.app.oauth.config.ClientSecret = "wrong"
			return b.approve(b.begin("/oauth/sign-in"), valid)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			b := s.browser()
			equal(t, "sign-up", b.post("/sign-up", form("before@example.com")), http.StatusSeeOther)
			before := b.signedIn().ID
			callback := test.change(b)
			status, location, body := b.do("GET", callback, "cross-site", nil)
			equal(t, "status", status, test.want)
			if location != "" || strings.Contains(body, "<script>") || strings.Contains(body, "code=") {
				t.Errorf("got %q, %q", location, body)
			}
			equal(t, "token requests", s.calls, test.calls)
			equal(t, "signed in", b.signedIn().ID, before)
			equal(t, "accounts", s.users(), 1)
			if b.cookie(flowCookie) != nil {
				t.Error("the state cookie was not cleared")
			}
		})
	}
}

func setQuery(target, name, value string) string {
	u, err := url.Parse(target)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func query(target, name string) string {
	u, err := url.Parse(target)
	if err != nil {
		panic(err)
	}
	return u.Query().Get(name)
}

// TestStateReplay: a callback's URL works once, also for somebody who has kept the cookie.
func TestStateReplay(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	callback := b.approve(b.begin("/oauth/sign-in"), who("1", "ada@example.com", "on"))
	kept := b.cookie(flowCookie).Value
	equal(t, "first", b.follow(callback), http.StatusSeeOther)
	equal(t, "sign-out", b.post("/sign-out", nil), http.StatusSeeOther)

	equal(t, "again, as from the history", b.follow(callback), http.StatusBadRequest)
	equal(t, "token requests", s.calls, 1)
	b.setCookie(flowCookie, kept)
	equal(t, "again, with the cookie", b.follow(callback), http.StatusUnauthorized) // the code was used
	if user := b.user(); user != nil {
		t.Errorf("signed in: %s", user.Email)
	}
}

// TestSessionReplaced: a session that the browser came with, planted perhaps, ends.
func TestSessionReplaced(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	equal(t, "sign-up", b.post("/sign-up", form("planted@example.com")), http.StatusSeeOther)
	planted := b.cookie(httpauth.DefaultCookieName).Value
	equal(t, "sign-in", b.oauth("/oauth/sign-in", who("1", "", "")), http.StatusSeeOther)
	if b.cookie(httpauth.DefaultCookieName).Value == planted {
		t.Error("the token is the same")
	}
	_, err := s.auth.ValidateSession(t.Context(), gormkey.Token(planted))
	equal(t, "the old session", err, gormkey.ErrInvalidSession)
}

// TestNotLinked: the hole that peers have. Where either side has not proven the address, the
// account is not linked, and whoever comes gets one of their own.
func TestNotLinked(t *testing.T) {
	const victim = "kim@example.com"

	t.Run("the attacker was first, unverified", func(t *testing.T) {
		s := newSite(t)
		attacker := s.browser()
		equal(t, "sign-up", attacker.post("/sign-up", form(victim)), http.StatusSeeOther)
		trap := attacker.signedIn()

		b := s.browser()
		equal(t, "sign-in", b.oauth("/oauth/sign-in", who("1", victim, "on")), http.StatusSeeOther)
		owner := b.signedIn()
		if owner.ID == trap.ID {
			t.Fatal("the victim is in the attacker's account")
		}
		if owner.VerifiedEmail == nil || *owner.VerifiedEmail != victim {
			t.Errorf("the victim's address: got %v", owner.VerifiedEmail)
		}
		equal(t, "the attacker's keys", strings.Join(s.keys(trap.ID), " "), "email:"+victim)

		// The mail that the attacker's sign-up sent proves nothing in the victim's hands, and
		// the address is taken now.
		equal(t, "the victim follows the link", b.post("/verify", url.Values{"token": {s.mailed()}}), http.StatusUnprocessableEntity)
		equal(t, "the attacker has the link", attacker.post("/verify", url.Values{"token": {s.mailed()}}), http.StatusConflict)
		if user := attacker.signedIn(); user.VerifiedEmail != nil {
			t.Errorf("the attacker has proven %s", *user.VerifiedEmail)
		}
	})

	for name, email := range map[string]url.Values{
		"the provider has not verified": who("evil", victim, ""),
		"an address that looks alike":   who("evil", "kim@example.com\u200b", "on"),
		"an address that folds to it":   who("evil", "\u212aim@example.com", "on"),
		"no address":                    who("evil", "", "on"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			account := s.verified(victim)
			attacker := s.browser()
			equal(t, "sign-in", attacker.oauth("/oauth/sign-in", email), http.StatusSeeOther)
			user := attacker.signedIn()
			if user.ID == account.ID {
				t.Fatal("the attacker is in the victim's account")
			}
			if user.VerifiedEmail != nil && *user.VerifiedEmail == victim {
				t.Error("the attacker has proven the victim's address")
			}
			equal(t, "the victim's keys", strings.Join(s.keys(account.ID), " "), "email:"+victim)
		})
	}

	for name, answer := range map[string]string{
		"verified as a text":   `{"sub":"evil","email":"kim@example.com","email_verified":"true"}`,
		"verified as a number": `{"sub":"evil","email":"kim@example.com","email_verified":1}`,
		"nothing of verified":  `{"sub":"evil","email":"kim@example.com"}`,
		"verified is null":     `{"sub":"evil","email":"kim@example.com","email_verified":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			account := s.verified(victim)
			s.userinfo = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
			attacker := s.browser()
			equal(t, "sign-in", attacker.oauth("/oauth/sign-in", who("evil", victim, "on")), http.StatusSeeOther)
			if attacker.signedIn().ID == account.ID {
				t.Fatal("the attacker is in the victim's account")
			}
		})
	}

	t.Run("the address has another subject at the provider by now", func(t *testing.T) {
		s := newSite(t)
		account := s.verified(victim)
		b := s.browser()
		equal(t, "sign-in", b.oauth("/oauth/sign-in", who("1", victim, "on")), http.StatusSeeOther)
		equal(t, "linked to", b.signedIn().ID, account.ID)
		successor := s.browser()
		equal(t, "sign-in", successor.oauth("/oauth/sign-in", who("2", victim, "on")), http.StatusSeeOther)
		if user := successor.signedIn(); user.ID == account.ID || user.VerifiedEmail != nil {
			t.Errorf("got %s with %v", user.ID, user.VerifiedEmail)
		}
	})
}

func TestLinkedWhereBothAreProven(t *testing.T) {
	s := newSite(t)
	account := s.verified("ada@example.com")
	b := s.browser()
	equal(t, "sign-in", b.oauth("/oauth/sign-in", who("1", "Ada@Example.com", "on")), http.StatusSeeOther)
	equal(t, "linked to", b.signedIn().ID, account.ID)
	equal(t, "keys", strings.Join(s.keys(account.ID), " "), s.provider+":1 email:ada@example.com")
	equal(t, "accounts", s.users(), 1)
	equal(t, "by password still", s.browser().post("/sign-in", form("ada@example.com")), http.StatusSeeOther)
}

func TestLinkWhenSignedIn(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	equal(t, "link without a session", b.post("/oauth/link", nil), http.StatusUnauthorized)
	equal(t, "sign-up", b.post("/sign-up", form("ada@example.com")), http.StatusSeeOther)
	ada, token := b.signedIn(), b.cookie(httpauth.DefaultCookieName).Value

	// Whatever the addresses: whoever is signed in says that both are theirs.
	equal(t, "link", b.oauth("/oauth/link", who("1", "other@example.net", "")), http.StatusSeeOther)
	equal(t, "keys", strings.Join(s.keys(ada.ID), " "), s.provider+":1 email:ada@example.com")
	equal(t, "the session", b.cookie(httpauth.DefaultCookieName).Value, token)
	equal(t, "twice", b.oauth("/oauth/link", who("1", "", "")), http.StatusSeeOther)

	other := s.browser()
	equal(t, "sign-in", other.oauth("/oauth/sign-in", who("1", "", "")), http.StatusSeeOther)
	equal(t, "signed in", other.signedIn().ID, ada.ID)

	// A key that is somebody else's stays theirs.
	eve := s.browser()
	equal(t, "sign-up", eve.post("/sign-up", form("eve@example.com")), http.StatusSeeOther)
	equal(t, "link another's", eve.oauth("/oauth/link", who("1", "", "")), http.StatusConflict)
	equal(t, "keys", strings.Join(s.keys(eve.signedIn().ID), " "), "email:eve@example.com")
	equal(t, "accounts", s.users(), 2)
}

// TestLinkIsBoundToItsSession: who signed out, or in as somebody else, meanwhile links nothing.
func TestLinkIsBoundToItsSession(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	equal(t, "sign-up", b.post("/sign-up", form("ada@example.com")), http.StatusSeeOther)
	ada := b.signedIn()
	callback := b.approve(b.begin("/oauth/link"), who("1", "", ""))
	equal(t, "sign-out", b.post("/sign-out", nil), http.StatusSeeOther)
	equal(t, "signed out", b.follow(callback), http.StatusUnauthorized)

	equal(t, "sign-in", b.post("/sign-in", form("ada@example.com")), http.StatusSeeOther)
	callback = b.approve(b.begin("/oauth/link"), who("1", "", ""))
	equal(t, "sign-up", b.post("/sign-up", form("bob@example.com")), http.StatusSeeOther)
	equal(t, "as somebody else", b.follow(callback), http.StatusBadRequest)

	for _, account := range []*Account{ada, b.signedIn()} {
		equal(t, "keys", len(s.keys(account.ID)), 1)
	}
	equal(t, "accounts", s.users(), 2)
}

// TestProviderOf: subjects of two issuers are never one key's.
func TestProviderOf(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://accounts.google.com":         "accounts.google.com",
		"https://login.example.com/realms/a":  "login.example.com_realms_a",
		"https://login.example.com/realms/b/": "login.example.com_realms_b",
		"http://127.0.0.1:8081":               "127.0.0.1-8081",
	} {
		equal(t, issuer, providerOf(issuer), want)
	}
}

// TestProvider: the provider that the example brings along refuses what a good one refuses, so
// that the tests above prove something.
func TestProvider(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	ask := b.begin("/oauth/sign-in")
	for name, value := range map[string]string{
		"client_id": "other", "redirect_uri": s.url + "/elsewhere", "response_type": "token", "state": "",
		"code_challenge": "", "code_challenge_method": "plain",
	} {
		status, location, _ := b.do("POST", setQuery(ask, name, value), "same-origin", who("1", "", ""))
		if status != http.StatusBadRequest || location != "" {
			t.Errorf("%s: got %d %q", name, status, location)
		}
	}
	if _, err := newOAuth(t.Context(), client{issuer: "http://" + strings.TrimPrefix(s.url, "https://")}, s.db, s.auth, s.web); err == nil {
		t.Error("no provider there: got no error")
	}
	issuer, _, _ := strings.Cut(ask, "/authorize")
	if _, err := newOAuth(t.Context(), client{issuer: issuer + "/"}, s.db, s.auth, s.web); err == nil {
		t.Error("another issuer's name: got no error")
	}
}

func TestPage(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	status, _, body := b.do("GET", s.url+"/", "none", nil)
	equal(t, "status", status, http.StatusOK)
	if !strings.Contains(body, `action="/oauth/sign-in"`) {
		t.Errorf("got %s", body)
	}
	equal(t, "sign-in", b.oauth("/oauth/sign-in", who("1", "<i>@example.com", "")), http.StatusSeeOther)
	_, _, body = b.do("GET", s.url+"/", "none", nil)
	if !strings.Contains(body, "&lt;i&gt;@example.com, which is not proven") || !strings.Contains(body, s.provider+":1") {
		t.Errorf("got %s", body)
	}
}
