package httpauth_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

// listen serves a handler on a port of its own.
func listen(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

// TestServerSentEvents: a line that is flushed arrives while the handler still runs.
func TestServerSentEvents(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	read := make(chan struct{}, 1)
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		flusher, ok := w.(http.Flusher)
		if !ok {
			t.Error("the ResponseWriter is no Flusher")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "data: %s\n\n", s.web.User(r.Context()).Email)
		flusher.Flush()
		select {
		case <-read: // by the client, before this returns
		case <-r.Context().Done():
			t.Error("the client went without having read")
		}
	})
	for name, h := range map[string]http.Handler{"RequireUser": s.web.RequireUser(stream), "nested": s.web.OptionalUser(s.web.RequireUser(stream))} {
		server := listen(t, h)
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
		must(t, err)
		r.Header.Set("Cookie", cookie(token))
		answer, err := server.Client().Do(r)
		must(t, err)
		body := bufio.NewReader(answer.Body)
		line, err := body.ReadString('\n')
		must(t, err)
		read <- struct{}{}
		_, err = io.Copy(io.Discard, body) // until the handler has ended
		must(t, err)
		equal(t, name, line, "data: ada@example.com\n")
		equal(t, name+": Cache-Control", answer.Header.Get("Cache-Control"), "no-store")
		_ = answer.Body.Close()
	}
}

// TestWebSocket: the connection can be taken over, by both of net/http's ways.
func TestWebSocket(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	hijack := func(take func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, buffered, err := take(w)
			if err != nil {
				t.Errorf("hijacking: %v", err)
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			_ = buffered.Flush()
			line, _ := buffered.ReadString('\n')
			_, _ = buffered.WriteString(s.web.User(r.Context()).Email + " said " + line)
			_ = buffered.Flush()
		})
	}
	for name, h := range map[string]http.Handler{
		"http.Hijacker": hijack(func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) { return w.(http.Hijacker).Hijack() }),
		"ResponseController": hijack(func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return http.NewResponseController(w).Hijack()
		}),
	} {
		server := listen(t, s.web.RequireUser(h))
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		must(t, err)
		defer func() { _ = conn.Close() }()
		must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %[1]s\r\nOrigin: http://%[1]s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: %s\r\n\r\n",
			server.Listener.Addr(), cookie(token))
		must(t, err)
		from := bufio.NewReader(conn)
		answer, err := http.ReadResponse(from, nil)
		must(t, err)
		equal(t, name+": status", answer.StatusCode, http.StatusSwitchingProtocols)
		_, err = io.WriteString(conn, "hello\n")
		must(t, err)
		line, err := from.ReadString('\n')
		must(t, err)
		equal(t, name, line, "ada@example.com said hello\n")
	}
}

func TestRedirectAnonymous(t *testing.T) {
	s := newSite(t)
	for _, test := range []struct {
		what     string
		path     string
		r        *http.Request
		status   int
		location string
	}{
		{"GET", "/sign-in", request("GET", "/account?tab=1&x=a+b"), 303, "/sign-in?next=%2Faccount%3Ftab%3D1%26x%3Da%2Bb"},
		{"HEAD", "/sign-in", request("HEAD", "/account"), 303, "/sign-in?next=%2Faccount"},
		{"GET of a navigation", "/sign-in", request("GET", "/", "Sec-Fetch-Mode", "navigate"), 303, "/sign-in?next=%2F"},
		{"POST", "/sign-in", post("/account"), 303, "/sign-in"},
		{"DELETE", "/sign-in", request("DELETE", "/account", "Sec-Fetch-Site", "same-origin"), 303, "/sign-in"},
		{"a query already", "/sign-in?lang=no", request("GET", "/account"), 303, "/sign-in?lang=no&next=%2Faccount"},
		{"fetch", "/sign-in", request("GET", "/account", "Sec-Fetch-Mode", "cors"), 401, ""},
		{"fetch of the same origin", "/sign-in", request("GET", "/account", "Sec-Fetch-Mode", "same-origin"), 401, ""},
		{"image", "/sign-in", request("GET", "/account", "Sec-Fetch-Mode", "no-cors"), 401, ""},
		{"WebSocket", "/sign-in", request("GET", "/ws", "Sec-Fetch-Mode", "websocket", "Upgrade", "websocket", "Sec-Fetch-Site", "same-origin"), 401, ""},
		{"WebSocket of an older browser", "/sign-in", request("GET", "/ws", "Upgrade", "websocket", "Origin", "https://example.com"), 401, ""},
		{"cross-origin", "/sign-in", request("POST", "/account"), 403, ""},
		{"encoded", "/sign-in", request("GET", "/a%2Fb%20c"), 303, "/sign-in?next=%2Fa%252Fb%2520c"},
	} {
		web := s.with(httpauth.RedirectAnonymous(test.path))
		w := serve(web.RequireUser(s.who()), test.r)
		equal(t, test.what+": status", w.Code, test.status)
		equal(t, test.what+": Location", w.Header().Get("Location"), test.location)
		bearers := serve(web.RequireBearer(s.who()), test.r)
		equal(t, test.what+", RequireBearer: status", bearers.Code, http.StatusUnauthorized)
	}
}

// TestRedirectStaysHere: whatever path is asked for, next is a path of the site.
func TestRedirectStaysHere(t *testing.T) {
	s := newSite(t)
	web := s.with(httpauth.RedirectAnonymous("/sign-in"))
	h := web.RequireUser(s.who())
	for _, target := range []string{"//evil.com", "//evil.com/", "///evil.com", "/%2Fevil.com", "http://evil.com/x", "/" + strings.Repeat("a", 3000)} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: example.com\r\n\r\n")))
		must(t, err)
		location, err := url.Parse(serve(h, r).Header().Get("Location"))
		must(t, err)
		equal(t, target+": path", location.Path, "/sign-in")
		next := location.Query().Get("next")
		if u, err := url.Parse(next); err != nil || u.Host != "" || strings.HasPrefix(next, "//") {
			t.Errorf("%s: got next %q, want a path of the site or none", target, next)
		}
	}
}

// TestRedirectBehindPrefix: next is what was asked for, wherever the middleware stands.
func TestRedirectBehindPrefix(t *testing.T) {
	s := newSite(t)
	web := s.with(httpauth.RedirectAnonymous("/shop/sign-in"))
	page := web.RequireUser(s.who())
	inner := http.NewServeMux()
	inner.Handle("/orders", page)
	inner.Handle("/de/", http.StripPrefix("/de", inner))
	inner.Handle("/caf%C3%A9", page)
	outer := http.NewServeMux()
	outer.Handle("/shop/", http.StripPrefix("/shop", inner))
	asError := http.StripPrefix("/shop", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { web.Error(w, r, gormkey.ErrInvalidSession) }))
	rewritten := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawQuery = "/elsewhere", ""
		page.ServeHTTP(w, r)
	})
	for _, test := range []struct {
		what   string
		h      http.Handler
		target string
		next   string
	}{
		{"StripPrefix", http.StripPrefix("/shop", page), "/shop/orders?page=2", "/shop/orders?page=2"},
		{"StripPrefix of all", http.StripPrefix("/shop", page), "/shop", "/shop"},
		{"StripPrefix twice", http.StripPrefix("/shop", http.StripPrefix("/de", page)), "/shop/de/orders", "/shop/de/orders"},
		{"a ServeMux in another", outer, "/shop/orders?page=2&q=a+b", "/shop/orders?page=2&q=a+b"},
		{"one in two others", outer, "/shop/de/orders?", "/shop/de/orders?"},
		{"encoded", http.StripPrefix("/shop", page), "/shop/a%2Fb%20c", "/shop/a%2Fb%20c"},
		{"not encoded", http.StripPrefix("/shop", page), "/shop/caf\u00e9", "/shop/caf%C3%A9"},
		{"Error", asError, "/shop/orders", "/shop/orders"},
		{"rewritten", rewritten, "/shop/orders?x", "/shop/orders?x"},
		{"absolute form", http.StripPrefix("/shop", page), "http://example.com/shop/orders?page=2", "/shop/orders?page=2"},
		{"absolute form, another host", http.StripPrefix("/shop", page), "http://evil.com/shop/orders", "/shop/orders"},
		{"absolute form, no path", page, "http://example.com", "/"},
		{"absolute form, two slashes", page, "http://example.com//evil.com", ""},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + test.target + " HTTP/1.1\r\nHost: example.com\r\n\r\n")))
			must(t, err)
			location := "/shop/sign-in"
			if test.next != "" {
				location += "?next=" + url.QueryEscape(test.next)
			}
			w := serve(test.h, r)
			equal(t, test.what+", "+method+": status", w.Code, http.StatusSeeOther)
			equal(t, test.what+", "+method+": Location", w.Header().Get("Location"), location)
		}
	}
	// A request that was made by hand may have no RequestURI.
	r, err := http.NewRequestWithContext(t.Context(), "GET", "https://example.com/orders?page=2", nil)
	must(t, err)
	equal(t, "no RequestURI: Location", serve(page, r).Header().Get("Location"), "/shop/sign-in?next=%2Forders%3Fpage%3D2")
}

func TestWithAnonymous(t *testing.T) {
	s := newSite(t)
	web := s.with(httpauth.WithAnonymous(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "who are you?")
	})))
	for name, h := range map[string]http.Handler{"RequireUser": web.RequireUser(s.who()), "RequireBearer": web.RequireBearer(s.who())} {
		for _, r := range []*http.Request{request("GET", "/"), request("GET", "/", "Cookie", cookie(knownToken), "Authorization", bearer(knownToken))} {
			w := serve(h, r)
			equal(t, name+": status", w.Code, http.StatusTeapot)
			equal(t, name+": body", w.Body.String(), "who are you?")
		}
	}
	equal(t, "cross-origin: status", serve(web.RequireUser(s.who()), request("POST", "/")).Code, http.StatusForbidden)
	w := httptest.NewRecorder()
	web.Error(w, request("GET", "/"), fmt.Errorf("a page: %w", gormkey.ErrInvalidSession))
	equal(t, "Error: status", w.Code, http.StatusTeapot)
}

func TestWithCrossOrigin(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	web := s.with(httpauth.WithCrossOrigin(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })))
	for name, h := range map[string]http.Handler{"RequireUser": web.RequireUser(s.who()), "OptionalUser": web.OptionalUser(s.who())} {
		w := serve(h, request("POST", "/", "Cookie", cookie(token), "Sec-Fetch-Site", "cross-site"))
		equal(t, name+": status", w.Code, http.StatusTeapot)
		equal(t, name+": body", w.Body.String(), "")
		equal(t, name+", nobody on GET: status is the hook's", serve(h, request("GET", "/")).Code == http.StatusTeapot, false)
	}
}

// TestPanicsPass: a handler's panic is the server's, and the next request is as ever.
func TestPanicsPass(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	h := s.web.RequireUser(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	func() {
		defer func() { equal(t, "the panic", recover(), any(http.ErrAbortHandler)) }()
		serve(h, request("GET", "/", "Cookie", cookie(token)))
	}()
	equal(t, "afterwards", serve(s.web.RequireUser(s.who()), request("GET", "/", "Cookie", cookie(token))).Body.String(), "ada@example.com")
}

// TestEndedSession: what another request ended is nobody's in the next.
func TestEndedSession(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	h := s.web.RequireUser(s.who())
	ask := func() int { return serve(h, request("GET", "/", "Cookie", cookie(token))).Code }
	equal(t, "before", ask(), http.StatusOK)
	must(t, s.auth.SignOut(t.Context(), token))
	equal(t, "after", ask(), http.StatusUnauthorized)
}
