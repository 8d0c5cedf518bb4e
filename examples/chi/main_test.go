package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gormkey/gormkey/httpauth"
)

const password = "correct horse battery staple"

// serve starts the example over TLS, as in production, and returns its URL and a client that
// trusts it.
func serve(t *testing.T) (string, *http.Client) {
	t.Helper()
	auth, err := open()
	if err != nil {
		t.Fatal(err)
	}
	router, err := routes(auth)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(router)
	t.Cleanup(server.Close)
	return server.URL, server.Client()
}

// browser sends what a browser sends from a page of the site, and keeps the session's cookie.
type browser struct {
	t      *testing.T
	client *http.Client
	site   string
	cookie *http.Cookie
}

// do sends a request and checks the answer's status. Header is lines of "Name: value", in
// place of the browser's own; a name may come twice.
func (b *browser) do(method, path string, form url.Values, want int, header ...string) (*http.Response, string) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.site+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	if b.cookie != nil {
		request.AddCookie(&http.Cookie{Name: b.cookie.Name, Value: b.cookie.Value})
	}
	for _, line := range header {
		name, _, _ := strings.Cut(line, ":")
		request.Header.Del(name)
	}
	for _, line := range header {
		if name, value, ok := strings.Cut(line, ": "); ok {
			request.Header.Add(name, value)
		}
	}
	response, err := b.client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if response.StatusCode != want {
		b.t.Fatalf("%s %s: got %d %q, want %d", method, path, response.StatusCode, body, want)
	}
	for _, cookie := range response.Cookies() {
		if cookie.Name != httpauth.DefaultCookieName {
			continue
		}
		if b.cookie = cookie; cookie.Value == "" {
			b.cookie = nil
		}
	}
	return response, string(body)
}

func form(email, password string) url.Values {
	return url.Values{"email": {email}, "password": {password}}
}

func TestServer(t *testing.T) {
	site, client := serve(t)
	ada := &browser{t: t, client: client, site: site}
	anybody := &browser{t: t, client: client, site: site}

	// Sign up, which signs in.
	response, _ := ada.do("POST", "/sign-up", form(" Ada@Example.com ", password), http.StatusNoContent)
	checkCookie(t, response)
	if _, body := ada.do("GET", "/account", nil, http.StatusOK); body != "ada@example.com\n" {
		t.Errorf("account: got %q", body)
	}
	anybody.do("POST", "/sign-up", form("ada@example.com", password), http.StatusConflict)
	anybody.do("POST", "/sign-up", form("bob@example.com", "short"), http.StatusBadRequest)

	// Sign in: the session that the browser came with ends.
	old := *ada
	response, _ = ada.do("POST", "/sign-in", form("ada@example.com", password), http.StatusNoContent)
	checkCookie(t, response)
	old.do("GET", "/account", nil, http.StatusUnauthorized)
	for _, wrong := range []url.Values{form("ada@example.com", "incorrect horse"), form("nobody@example.com", password)} {
		response, _ = anybody.do("POST", "/sign-in", wrong, http.StatusUnauthorized)
		if len(response.Cookies()) > 0 {
			t.Errorf("a failed sign-in: got the cookies %v", response.Cookies())
		}
	}

	// The protected route, with and without a session: nothing behind a refusal runs.
	response, _ = ada.do("GET", "/account", nil, http.StatusOK)
	checkPrivate(t, response, "Cookie")
	response, body := anybody.do("GET", "/account", nil, http.StatusUnauthorized)
	checkPrivate(t, response, "Cookie")
	if body != "Unauthorized\n" {
		t.Errorf("anonymous: got %q", body)
	}

	// Bearer: a token in the header, and never the cookie.
	response, body = anybody.do("GET", "/api/account", nil, http.StatusOK, "Authorization: Bearer "+ada.cookie.Value)
	checkPrivate(t, response, "Authorization")
	if body != "ada@example.com\n" || len(response.Cookies()) > 0 {
		t.Errorf("bearer: got %q, cookies %v", body, response.Cookies())
	}
	response, body = ada.do("GET", "/api/account", nil, http.StatusUnauthorized)
	if body != "Unauthorized\n" || response.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("the cookie alone: got %q, WWW-Authenticate %q", body, response.Header.Get("WWW-Authenticate"))
	}
	anybody.do("GET", "/account", nil, http.StatusUnauthorized, "Authorization: Bearer "+ada.cookie.Value)

	// Another site's forms do nothing, whoever is signed in.
	for _, path := range []string{"/sign-up", "/sign-in", "/sign-out"} {
		for _, header := range [][]string{
			{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"},
			{"Sec-Fetch-Site:", "Origin: https://evil.example"},
			{"Sec-Fetch-Site:", "Origin: " + strings.Replace(site, "https:", "http:", 1)},
			{"Sec-Fetch-Site:", "Origin: https://evil.example", "Origin: " + site},
			{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin"},
			{"Sec-Fetch-Site:"},
		} {
			response, _ = ada.do("POST", path, form("eve@example.com", password), http.StatusForbidden, header...)
			if len(response.Cookies()) > 0 {
				t.Errorf("%s from another site: got the cookies %v", path, response.Cookies())
			}
		}
	}
	anybody.do("POST", "/sign-in", form("eve@example.com", password), http.StatusUnauthorized) // no account was made
	ada.do("GET", "/account", nil, http.StatusOK)

	// An old browser says only which origin it is on: the host and TLS must be right.
	ada.do("POST", "/sign-in", form("ada@example.com", password), http.StatusNoContent, "Sec-Fetch-Site:", "Origin: "+site)

	// An Authorization that came twice is nobody's, and so are cookies of two sessions.
	anybody.do("GET", "/api/account", nil, http.StatusUnauthorized, "Authorization: Bearer x", "Authorization: Bearer "+ada.cookie.Value)
	name, phone := ada.cookie.Name+"=", &browser{t: t, client: client, site: site}
	phone.do("POST", "/sign-in", form("ada@example.com", password), http.StatusNoContent)
	anybody.do("GET", "/account", nil, http.StatusOK, "Cookie: "+name+ada.cookie.Value)
	anybody.do("GET", "/account", nil, http.StatusOK, "Cookie: "+name+"x; "+name+ada.cookie.Value)
	anybody.do("GET", "/account", nil, http.StatusUnauthorized, "Cookie: "+name+phone.cookie.Value+"; "+name+ada.cookie.Value)

	// Sign out: the cookie is cleared, and the session is gone for whoever kept the token.
	old = *ada
	response, _ = ada.do("POST", "/sign-out", nil, http.StatusNoContent)
	if ada.cookie != nil {
		t.Errorf("signing out: got the cookies %v", response.Cookies())
	}
	response, _ = old.do("GET", "/account", nil, http.StatusUnauthorized)
	if len(response.Cookies()) > 0 { // the browser may have a new one by now
		t.Errorf("a dead session: got the cookies %v", response.Header["Set-Cookie"])
	}
}

// checkCookie checks the attributes of the session's cookie.
func checkCookie(t *testing.T, response *http.Response) {
	t.Helper()
	cookies := response.Cookies()
	i := slices.IndexFunc(cookies, func(c *http.Cookie) bool { return c.Name == "__Host-auth_session" })
	if i < 0 {
		t.Fatalf("got the cookies %v", response.Header["Set-Cookie"])
	}
	c := cookies[i]
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Expires.IsZero() {
		t.Errorf("got the cookie %v", response.Header["Set-Cookie"][i])
	}
	if response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("with a cookie: got Cache-Control %q", response.Header["Cache-Control"])
	}
}

// checkPrivate checks that no cache keeps an answer for others.
func checkPrivate(t *testing.T, response *http.Response, vary string) {
	t.Helper()
	if got := response.Header["Cache-Control"]; !slices.Equal(got, []string{"no-store"}) {
		t.Errorf("got Cache-Control %q", got)
	}
	if got := response.Header["Vary"]; !slices.Equal(got, []string{vary}) {
		t.Errorf("got Vary %q, want %q", got, vary)
	}
}
