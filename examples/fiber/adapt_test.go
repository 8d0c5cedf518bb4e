package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gofiber/fiber/v3"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

type userKey struct{}

// guard refuses every path but /passed….
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Cookie")
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
		if !strings.HasPrefix(r.URL.Path, "/passed") {
			http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, "ada")))
	})
}

// TestWrap checks that what stands behind a refusal does not run, that what stands behind a
// pass runs once, in order and with the context that the middleware gave, that an error of it
// is answered, and that the headers survive each.
func TestWrap(t *testing.T) {
	var ran []string
	note := func(name string) fiber.Handler {
		return func(c fiber.Ctx) error {
			user, _ := c.Context().Value(userKey{}).(string)
			ran = append(ran, name+" "+user)
			return c.Next()
		}
	}
	app := fiber.New()
	app.Use(note("before"), wrap(guard), note("between"))
	app.Post("/passed", note("handler"), func(c fiber.Ctx) error { return c.Status(http.StatusAccepted).SendString("done") })
	app.Post("/passed/error", func(fiber.Ctx) error { return fiber.ErrTeapot })
	app.Post("/refused", note("handler"))
	site, client := listen(t, app)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	for path, want := range map[string]struct {
		status int
		body   string
		ran    []string
	}{
		"/refused":      {http.StatusSeeOther, "", []string{"before "}},
		"/passed":       {http.StatusAccepted, "done", []string{"before ", "between ada", "handler ada"}},
		"/passed/error": {http.StatusTeapot, "I'm a teapot", []string{"before ", "between ada"}},
	} {
		ran = nil
		response, err := client.Post(site+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != want.status || string(body) != want.body || !slices.Equal(ran, want.ran) {
			t.Errorf("%s: got %d %q, %q; want %d %q, %q", path, response.StatusCode, body, ran, want.status, want.body, want.ran)
		}
		if got := response.Header["Vary"]; !slices.Equal(got, []string{"Cookie"}) {
			t.Errorf("%s: got Vary %q", path, got)
		}
		if got := response.Header["Set-Cookie"]; !slices.Equal(got, []string{"a=1", "b=2"}) {
			t.Errorf("%s: got Set-Cookie %q", path, got)
		}
	}
}

// TestRequest checks what net/http's side is told of the connection and the headers.
func TestRequest(t *testing.T) {
	var got *http.Request
	app := fiber.New(fiber.Config{TrustProxy: true, ProxyHeader: "X-Forwarded-For"})
	app.Use(handle(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	site, client := listen(t, app)
	request, err := http.NewRequestWithContext(t.Context(), "PUT", site+"//a%2Fb?q=1%202", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header["X-Forwarded-For"] = []string{"192.0.2.1", "192.0.2.2"}
	request.Header["Cookie"] = []string{"a=1; a=2", "b=3"}
	request.Header.Set("X-Forwarded-Host", "evil.example")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || got == nil {
		t.Fatalf("got %d", response.StatusCode)
	}
	if got.TLS == nil || !got.TLS.HandshakeComplete {
		t.Error("TLS is not known")
	}
	if !strings.HasPrefix(got.RemoteAddr, "127.0.0.1:") {
		t.Errorf("got the address %q", got.RemoteAddr)
	}
	if got.Host != strings.TrimPrefix(site, "https://") {
		t.Errorf("got the host %q, want %s's", got.Host, site)
	}
	if got.Method != "PUT" || got.URL.RequestURI() != "//a%2Fb?q=1%202" || got.URL.Host != "" {
		t.Errorf("got %s %q", got.Method, got.URL)
	}
	if v := got.Header["X-Forwarded-For"]; !slices.Equal(v, request.Header["X-Forwarded-For"]) {
		t.Errorf("got X-Forwarded-For %q", v)
	}
	if v := fmt.Sprint(got.Cookies()); v != "[a=1 a=2 b=3]" {
		t.Errorf("got the cookies %s", v)
	}
	if body, _ := io.ReadAll(got.Body); string(body) != "body" || got.ContentLength != 4 {
		t.Errorf("got the body %q of %d", body, got.ContentLength)
	}
}

// TestNested checks that headers which were set before stay, and that none is doubled.
func TestNested(t *testing.T) {
	auth, err := open()
	if err != nil {
		t.Fatal(err)
	}
	web, err := httpauth.New(auth)
	if err != nil {
		t.Fatal(err)
	}
	app := fiber.New()
	app.Use(func(c fiber.Ctx) error {
		c.Set("Cache-Control", "private")
		c.Set("Vary", "Accept-Encoding")
		c.Set("X-Frame-Options", "DENY")
		return c.Next()
	})
	app.Get("/", wrap(web.OptionalUser), wrap(web.OptionalUser), func(c fiber.Ctx) error {
		if user := web.User(c.Context()); user != nil {
			t.Errorf("got the user %v", user)
		}
		return c.JSON("ok")
	})
	app.Get("/account", wrap(web.OptionalUser), wrap(web.RequireUser), func(fiber.Ctx) error {
		t.Error("got past")
		return nil
	})
	site, client := listen(t, app)
	for path, want := range map[string]int{"/": http.StatusOK, "/account": http.StatusUnauthorized} {
		response, err := client.Get(site + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		h := response.Header
		slices.Sort(h["Vary"]) // fasthttp keeps no order
		if response.StatusCode != want || !slices.Equal(h["Vary"], []string{"Accept-Encoding", "Cookie"}) || len(h["X-Frame-Options"]) != 1 ||
			len(h["Cache-Control"]) != 1 || len(h["Content-Type"]) != 1 {
			t.Errorf("%s: got %d, %v", path, response.StatusCode, h)
		}
	}
}

// TestStream checks that a body is not read for somebody who is refused.
func TestStream(t *testing.T) {
	app := fiber.New(fiber.Config{StreamRequestBody: true, BodyLimit: 1 << 20})
	app.Post("/*", wrap(guard), func(c fiber.Ctx) error {
		n, err := io.Copy(io.Discard, c.Request().BodyStream())
		if err != nil {
			return err
		}
		return c.SendString(fmt.Sprint(n))
	})
	site, client := listen(t, app)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Post(site+"/passed", "", strings.NewReader(strings.Repeat("x", 300_000)))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if string(body) != "300000" {
		t.Errorf("passed: got %d %q", response.StatusCode, body)
	}

	// Refused while most of the body is still on its way, by hand, since a client may find it
	// an error that the server closes before it has sent all. fasthttp reads 8 KiB ahead.
	conn, err := tls.Dial("tcp", strings.TrimPrefix(site, "https://"), client.Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 1<<19, strings.Repeat("x", 8<<10))
	response, err = http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusSeeOther {
		t.Errorf("refused: got %d", response.StatusCode)
	}
}

// TestTokensKept checks that what is kept of a request does not change with the next one,
// whose memory Fiber shares, and that requests at once are not mixed up.
func TestTokensKept(t *testing.T) {
	auth, err := open()
	if err != nil {
		t.Fatal(err)
	}
	web, err := httpauth.New(auth)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	kept := map[string][]*gormkey.Session[Account]{}
	app := fiber.New()
	app.Get("/", wrap(web.RequireBearer), func(c fiber.Ctx) error {
		session := web.Session(c.Context())
		mu.Lock()
		kept[session.User.Email] = append(kept[session.User.Email], session)
		mu.Unlock()
		return c.SendString(session.User.Email)
	})
	site, client := listen(t, app)

	var wg sync.WaitGroup
	tokens := map[string]gormkey.Token{}
	for i := range 4 {
		email := fmt.Sprintf("%c@example.com", 'a'+i)
		account := &Account{Email: email}
		if err := auth.CreateUser(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		session, err := auth.OpenSession(t.Context(), account.ID)
		if err != nil {
			t.Fatal(err)
		}
		tokens[email] = session.Token
	}
	for email, token := range tokens {
		wg.Go(func() {
			for range 25 {
				request, err := http.NewRequestWithContext(t.Context(), "GET", site, nil)
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set("Authorization", "Bearer "+string(token))
				response, err := client.Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if string(body) != email {
					t.Errorf("%s: got %d %q", email, response.StatusCode, body)
				}
			}
		})
	}
	wg.Wait()
	for email, sessions := range kept {
		for _, session := range sessions {
			if session.Token != tokens[email] {
				t.Fatalf("%s: a kept token changed", email)
			}
		}
	}
}
