package httpauth_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
)

// handlers are what may be done to a header. Of some it is known what they decide.
func handlers(t *testing.T) map[string]struct {
	h   http.Handler
	own string // their own Cache-Control
} {
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "page.txt"), []byte("a page"), 0o600))
	files := http.FileServer(http.Dir(folder))
	asked := func(target string, headers ...string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context())
			r.URL = &url.URL{Path: target}
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			files.ServeHTTP(w, r)
		})
	}
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		_, _ = io.WriteString(w, "a page of another server")
	}))
	t.Cleanup(behind.Close)
	other, err := url.Parse(behind.URL)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(other)
	type handler = struct {
		h   http.Handler
		own string
	}
	of := func(f func(w http.ResponseWriter)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { f(w) })
	}
	return map[string]handler{
		"nothing":               {of(func(http.ResponseWriter) {}), ""},
		"a file":                {asked("/page.txt"), ""},
		"no such file":          {asked("/missing"), ""},
		"no such range":         {asked("/page.txt", "Range", "bytes=9999-"), ""},
		"a file that has moved": {asked("/index.html"), ""},
		"http.Error":            {of(func(w http.ResponseWriter) { http.Error(w, "no", http.StatusTeapot) }), ""},
		"deleted":               {of(func(w http.ResponseWriter) { w.Header().Del("Cache-Control"); _, _ = w.Write([]byte("x")) }), ""},
		"deleted, nothing sent": {of(func(w http.ResponseWriter) { w.Header().Del("Cache-Control") }), ""},
		"deleted, status": {of(func(w http.ResponseWriter) {
			w.Header().Del("Cache-Control")
			w.WriteHeader(http.StatusNoContent)
		}), ""},
		"emptied": {of(func(w http.ResponseWriter) { w.Header()["Cache-Control"] = nil; _, _ = w.Write([]byte("x")) }), ""},
		"deleted, WriteString": {of(func(w http.ResponseWriter) {
			w.Header().Del("Cache-Control")
			_, _ = io.WriteString(w, "x")
		}), ""},
		"deleted, io.Copy": {of(func(w http.ResponseWriter) {
			w.Header().Del("Cache-Control")
			_, _ = io.Copy(w, io.LimitReader(strings.NewReader("x"), 1))
		}), ""},
		"deleted, Flush": {of(func(w http.ResponseWriter) { w.Header().Del("Cache-Control"); w.(http.Flusher).Flush() }), ""},
		"deleted, ResponseController": {of(func(w http.ResponseWriter) {
			w.Header().Del("Cache-Control")
			must(t, http.NewResponseController(w).Flush())
		}), ""},
		"deleted after early hints": {of(func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Cache-Control")
			w.WriteHeader(http.StatusOK)
		}), ""},
		"replaced": {of(func(w http.ResponseWriter) { w.Header().Set("Cache-Control", "public, max-age=60") }), "public, max-age=60"},
		"replaced, sent": {of(func(w http.ResponseWriter) {
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = w.Write([]byte("x"))
		}), "max-age=60"},
		"added":     {of(func(w http.ResponseWriter) { w.Header().Add("Cache-Control", "private") }), "no-store|private"},
		"a timeout": {http.TimeoutHandler(asked("/missing"), time.Hour, ""), ""},
		"a proxy":   {proxy, "no-store|public, max-age=60"},
		"a panic": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Del("Cache-Control")
			panic(http.ErrAbortHandler)
		}), ""},
	}
}

// recovering answers a panic, as many an outer middleware does.
func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// TestR13WhateverTheHandlerDoes: an answer with our cookie is no-store, and one for a user is
// unless the handler itself has decided. Over a connection and without.
func TestR13WhateverTheHandlerDoes(t *testing.T) {
	s := newSite(t)
	account := s.signUp("ada")
	open := func() gormkey.Token {
		opened, err := s.auth.OpenSession(t.Context(), account.ID)
		must(t, err)
		return opened.Token
	}
	signIn := func(next http.Handler) http.Handler { // as a handler that opens a session and goes on
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := s.web.OpenSession(w, r, account.ID)
			must(t, err)
			next.ServeHTTP(w, r)
		})
	}
	signOut := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			must(t, s.web.SignOut(w, r))
			next.ServeHTTP(w, r)
		})
	}
	validate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := s.web.Validate(w, r)
			must(t, err)
			next.ServeHTTP(w, r)
		})
	}
	for name, test := range handlers(t) {
		undecided := "no-store"
		if test.own != "" {
			undecided = test.own
		}
		for what, c := range map[string]struct {
			h       http.Handler
			renewed bool
			cookies int
			cache   string
		}{
			"RequireUser, renewed":           {s.web.RequireUser(test.h), true, 1, "no-store"},
			"OptionalUser, renewed":          {s.web.OptionalUser(test.h), true, 1, "no-store"},
			"nested, renewed":                {s.web.OptionalUser(s.web.RequireUser(test.h)), true, 1, "no-store"},
			"inside of RequireBearer":        {s.web.RequireBearer(s.web.RequireUser(test.h)), true, 1, "no-store"},
			"Validate in one, renewed":       {s.web.RequireBearer(validate(test.h)), true, 1, "no-store"},
			"opened":                         {s.web.OptionalUser(signIn(test.h)), false, 1, "no-store"},
			"ended":                          {s.web.OptionalUser(signOut(test.h)), false, 1, "no-store"},
			"RequireUser":                    {s.web.RequireUser(test.h), false, 0, undecided},
			"OptionalUser":                   {s.web.OptionalUser(test.h), false, 0, undecided},
			"RequireBearer":                  {s.web.RequireBearer(test.h), false, 0, undecided},
			"RequireBearer in RequireUser":   {s.web.RequireUser(s.web.RequireBearer(test.h)), false, 0, undecided},
			"http.StripPrefix between them":  {s.web.OptionalUser(http.StripPrefix("", s.web.RequireUser(test.h))), true, 1, "no-store"},
			"http.TimeoutHandler in between": {s.web.RequireUser(http.TimeoutHandler(test.h, time.Hour, "")), true, 1, "no-store"},
		} {
			if what == "http.TimeoutHandler in between" && (name == "deleted, Flush" || name == "deleted, ResponseController") {
				continue // it has none
			}
			h := recovering(c.h)
			for _, connected := range []bool{false, true} {
				token, program := open(), open()
				if c.renewed {
					s.clock.Advance(authtest.ActivePeriod + time.Millisecond)
				}
				headers := []string{"Cookie", cookie(token), "Authorization", bearer(program), "Sec-Fetch-Site", "same-origin"}
				var header http.Header
				if connected {
					server := httptest.NewServer(h)
					r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
					must(t, err)
					for i := 0; i < len(headers); i += 2 {
						r.Header.Set(headers[i], headers[i+1])
					}
					answer, err := server.Client().Transport.RoundTrip(r)
					must(t, err)
					must(t, answer.Body.Close())
					server.Close()
					header = answer.Header
				} else {
					w := serve(h, request("GET", "/", headers...))
					header = w.Result().Header
				}
				what := fmt.Sprintf("%s, %s, connected %t", what, name, connected)
				equal(t, what+": number of Set-Cookie", len(header["Set-Cookie"]), c.cookies)
				equal(t, what+": Cache-Control", strings.Join(header["Cache-Control"], "|"), c.cache)
			}
		}
	}
}

// These stand for the ResponseWriters that there are.
type (
	bare     struct{ http.ResponseWriter }
	flushing struct {
		http.ResponseWriter
		http.Flusher
	}
	hijacking struct {
		http.ResponseWriter
		hijacker
	}
	flushingHijacking struct {
		http.ResponseWriter
		http.Flusher
		hijacker
	}
	likeHTTP1 struct {
		http.ResponseWriter
		http.Flusher
		hijacker
		notifier
	}
	likeHTTP2 struct {
		http.ResponseWriter
		http.Flusher
		notifier
	}
	hijacker struct{}
	notifier struct{}
)

var errHijacked = errors.New("hijacked")

func (hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errHijacked }
func (notifier) CloseNotify() <-chan bool                     { return nil }

// TestWriterHasTheSameMethods as the one that it stands before, no fewer and no more.
func TestWriterHasTheSameMethods(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	recorder := httptest.NewRecorder()
	for _, under := range []http.ResponseWriter{
		bare{recorder}, recorder, flushing{recorder, recorder}, hijacking{recorder, hijacker{}}, flushingHijacking{recorder, recorder, hijacker{}},
		likeHTTP1{recorder, recorder, hijacker{}, notifier{}}, likeHTTP2{recorder, recorder, notifier{}},
	} {
		what := fmt.Sprintf("over a %T", under)
		called := false
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			called = true
			_, was := under.(http.Flusher)
			_, is := w.(http.Flusher)
			equal(t, what+": is an http.Flusher", is, was)
			wantFlush := error(http.ErrNotSupported)
			if was {
				wantFlush = nil
			}
			wantErr(t, what+": ResponseController.Flush", http.NewResponseController(w).Flush(), wantFlush)
			_, was = under.(http.Hijacker)
			hijacks, is := w.(http.Hijacker)
			equal(t, what+": is an http.Hijacker", is, was)
			wantHijack := error(http.ErrNotSupported)
			if was {
				wantHijack = errHijacked
				_, _, err := hijacks.Hijack()
				wantErr(t, what+": Hijack", err, errHijacked)
			}
			_, _, err := http.NewResponseController(w).Hijack()
			wantErr(t, what+": ResponseController.Hijack", err, wantHijack)
			_, was = under.(interface{ CloseNotify() <-chan bool })
			_, is = w.(interface{ CloseNotify() <-chan bool })
			equal(t, what+": has CloseNotify", is, was)
		})
		s.web.OptionalUser(s.web.RequireUser(h)).ServeHTTP(under, request("GET", "/", "Cookie", cookie(token)))
		equal(t, what+": the handler was called", called, true)
	}
}

// TestWriterOfServers: over a connection too, handlers find the methods of net/http's own.
func TestWriterOfServers(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	methods := func(w http.ResponseWriter) string {
		_, flushes := w.(http.Flusher)
		_, hijacks := w.(http.Hijacker)
		_, pushes := w.(http.Pusher)
		_, notifies := w.(interface{ CloseNotify() <-chan bool })
		_, strings := w.(io.StringWriter)
		deadline := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
		return fmt.Sprintf("flushes %t, hijacks %t, pushes %t, notifies %t, strings %t, deadline %v", flushes, hijacks, pushes, notifies, strings, deadline)
	}
	var found string
	inner := s.web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { found = methods(w) }))
	for _, version := range []int{1, 2} {
		var want string
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			want = methods(w)
			inner.ServeHTTP(w, r)
		}))
		server.EnableHTTP2 = version == 2
		server.StartTLS()
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
		must(t, err)
		r.Header.Set("Cookie", cookie(token))
		answer, err := server.Client().Do(r)
		must(t, err)
		must(t, answer.Body.Close())
		server.Close()
		equal(t, "version", answer.ProtoMajor, version)
		equal(t, fmt.Sprintf("HTTP/%d", version), found, want)
	}
}

// reading is a ResponseWriter that takes a file by itself.
type reading struct {
	*httptest.ResponseRecorder
	from io.Reader
}

func (r *reading) ReadFrom(from io.Reader) (int64, error) {
	r.from = from
	return io.Copy(r.ResponseRecorder, from)
}

// TestWriterLetsFilesThrough to the ReadFrom of net/http, which copies nothing.
func TestWriterLetsFilesThrough(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, bytes.Repeat([]byte("x"), 100_000), 0o600))
	w := &reading{ResponseRecorder: httptest.NewRecorder()}
	s.web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })).
		ServeHTTP(w, request("GET", "/", "Cookie", cookie(token)))
	limited, ok := w.from.(*io.LimitedReader)
	if !ok {
		t.Fatalf("got a %T to read from, want the file's", w.from)
	}
	if _, ok := limited.R.(*os.File); !ok {
		t.Errorf("got a %T to read from, want the file", limited.R)
	}
	equal(t, "bytes", w.Body.Len(), 100_000)
}
