package pwned_test

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gormkey/gormkey/password"
	"github.com/gormkey/gormkey/password/pwned"
)

const typed = "a walrus in a tea cup"

// digits are the hash of typed, as the API writes it.
var digits = fmt.Sprintf("%X", sha1.Sum([]byte(typed)))

// answer writes a list that has typed so many times, between others.
func answer(w io.Writer, times int) {
	fmt.Fprintf(w, "%s:3\r\n%s:%d\r\n%s:0\r\n", strings.Repeat("0", 35), digits[5:], times, strings.Repeat("F", 35))
}

// server returns a policy that asks a server with the handler.
func server(t *testing.T, handler http.HandlerFunc, options ...pwned.Option) func(string) error {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return pwned.NotPwned(s.Client(), append([]pwned.Option{pwned.WithURL(s.URL)}, options...)...)
}

// TestR122Request: five digits are all that leaves the process.
func TestR122Request(t *testing.T) {
	var requests []*http.Request
	policy := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body) > 0 {
			t.Errorf("the request has a body of %d bytes", len(body))
		}
		requests = append(requests, r)
		answer(w, 2)
	})
	if err := policy(typed); err != pwned.ErrPwned {
		t.Errorf("got %v", err)
	}
	if len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
	r := requests[0]
	if r.Method != http.MethodGet || r.RequestURI != "/range/"+digits[:5] || r.Header.Get("Add-Padding") != "true" {
		t.Errorf("got %s %s, Add-Padding: %q", r.Method, r.RequestURI, r.Header.Get("Add-Padding"))
	}
	for name, values := range r.Header {
		if strings.Contains(strings.ToUpper(fmt.Sprint(values)), digits[5:10]) || strings.Contains(fmt.Sprint(values), typed) {
			t.Errorf("%s: %q", name, values)
		}
	}
	for _, odd := range []string{strings.Repeat("x", password.MaxLength+1), "\xff"} {
		if err := policy(odd); err != nil || len(requests) != 1 {
			t.Errorf("what no hasher takes: got %v after %d requests", err, len(requests))
		}
	}
}

// TestR122Answers: each answer, if the policy fails open and closed.
func TestR122Answers(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    error
		failure string // of the lookup; "" if there is none
	}{
		{"hit", func(w http.ResponseWriter, _ *http.Request) { answer(w, 1) }, pwned.ErrPwned, ""},
		{"padding", func(w http.ResponseWriter, _ *http.Request) { answer(w, 0) }, nil, ""},
		{"miss", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%s:7", strings.Repeat("A", 35)) }, nil, ""},
		{"small letters", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%s:7\n", strings.ToLower(digits[5:])) }, pwned.ErrPwned, ""},
		{"status 500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); answer(w, 1) }, nil, "has the status 500"},
		{"status 429", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, nil, "has the status 429"},
		{"empty", func(http.ResponseWriter, *http.Request) {}, nil, "is empty"},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>sign in to the network</html>") }, nil, "no list of hashes"},
		{"a count that is none", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%s:-1\n", digits[5:]) }, nil, "no list of hashes"},
		{"whole hashes", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%s:1\n", digits) }, nil, "no list of hashes"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			answer(w, 0)
		}, nil, "unexpected EOF"},
		{"no connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, "EOF"},
		{"too many redirects", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, nil, "too many redirects"},
		{"a redirect that is none", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://%%%"+digits[:5])
			w.WriteHeader(302)
		}, nil, "the request failed"},
		{"a redirect to itself", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "" {
				http.Redirect(w, r, r.URL.Path+"?mirror=2", http.StatusFound)
				return
			}
			answer(w, 1)
		}, pwned.ErrPwned, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, closed := range []bool{false, true} {
				var failures []error
				options := []pwned.Option{pwned.OnFailure(func(err error) { failures = append(failures, err) })}
				want := c.want
				if closed {
					options = append(options, pwned.FailClosed())
					if c.failure != "" {
						want = pwned.ErrUnavailable
					}
				}
				if err := server(t, c.handler, options...)(typed); !errors.Is(err, want) {
					t.Errorf("closed %v: got %v, want %v", closed, err, want)
				}
				if got := fmt.Sprint(failures); (len(failures) > 0) != (c.failure != "") || !strings.Contains(got, c.failure) || strings.Contains(got, digits[:5]) {
					t.Errorf("failures: got %v, want %q", got, c.failure)
				}
			}
		})
	}
}

// TestR122Hang: a server that does not answer is a failure, and so is one that stops in the middle.
// The client's shorter timeout ends the wait here, so that the test is quick.
func TestR122Hang(t *testing.T) {
	gone := make(chan struct{})
	defer close(gone)
	for name, handler := range map[string]http.HandlerFunc{
		"no answer": func(http.ResponseWriter, *http.Request) { <-gone },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 0)
			w.(http.Flusher).Flush()
			<-gone
		},
	} {
		s := httptest.NewServer(handler) // not closed: that waits for its handlers
		var failure error
		policy := pwned.NotPwned(&http.Client{Timeout: 20 * time.Millisecond}, pwned.WithURL(s.URL), pwned.OnFailure(func(err error) { failure = err }))
		if err := policy(typed); err != nil || failure == nil {
			t.Errorf("%s: got %v, failure %v", name, err, failure)
		}
	}
}

// deadline is a transport that tells the deadline of its request.
type deadline struct{ left time.Duration }

func (d *deadline) RoundTrip(r *http.Request) (*http.Response, error) {
	at, ok := r.Context().Deadline()
	if !ok {
		return nil, errors.New("no deadline")
	}
	d.left = time.Until(at)
	return nil, context.DeadlineExceeded
}

// TestR122Deadline: the lookup as a whole has two seconds.
func TestR122Deadline(t *testing.T) {
	var transport deadline
	var failure error
	policy := pwned.NotPwned(&http.Client{Transport: &transport}, pwned.OnFailure(func(err error) { failure = err }))
	if err := policy(typed); err != nil || !errors.Is(failure, context.DeadlineExceeded) {
		t.Errorf("got %v, failure %v", err, failure)
	}
	if transport.left <= time.Second || transport.left > 2*time.Second {
		t.Errorf("the deadline is in %v", transport.left)
	}
}

// TestR122Endless: of an answer of 100 MiB little more than 1 MiB is read.
func TestR122Endless(t *testing.T) {
	for name, chunk := range map[string]string{"lines": strings.Repeat(strings.Repeat("A", 35)+":1\n", 1<<10), "one line": strings.Repeat("A", 32<<10)} {
		var read counter
		var failure error
		client := &http.Client{Transport: &read}
		read.chunk = chunk
		policy := pwned.NotPwned(client, pwned.OnFailure(func(err error) { failure = err }))
		if err := policy(typed); err != nil || failure == nil {
			t.Errorf("%s: got %v, failure %v", name, err, failure)
		}
		if got := read.bytes.Load(); got > 1<<20+64<<10 {
			t.Errorf("%s: %d bytes were read", name, got)
		}
	}
}

// counter is a transport whose answer has 100 MiB, and counts what is read of it.
type counter struct {
	chunk string
	bytes atomic.Int64
	at    int
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: io.NopCloser(io.LimitReader(c, 100<<20)), Request: r, Header: http.Header{}}, nil
}

func (c *counter) Read(p []byte) (int, error) {
	n := copy(p, c.chunk[c.at:])
	c.at = (c.at + n) % len(c.chunk)
	c.bytes.Add(int64(n))
	return n, nil
}

// TestR122Redirect: another server is not asked, be it another host, port or scheme.
func TestR122Redirect(t *testing.T) {
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); answer(w, 0) }))
	defer elsewhere.Close()
	_, port, err := net.SplitHostPort(elsewhere.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{elsewhere.URL, "http://localhost:" + port, "//" + elsewhere.Listener.Addr().String()} {
		var failure error
		policy := server(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to+r.URL.Path, http.StatusTemporaryRedirect)
		},
			pwned.FailClosed(), pwned.OnFailure(func(err error) { failure = err }))
		if err := policy(typed); err != pwned.ErrUnavailable || failure == nil || asked.Load() != 0 {
			t.Errorf("%s: got %v, failure %v, asked %d times", to, err, failure, asked.Load())
		}
	}
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer secure.Close()
	if err := pwned.NotPwned(secure.Client(), pwned.WithURL(secure.URL), pwned.FailClosed())(typed); err != pwned.ErrUnavailable {
		t.Errorf("from https to http: got %v", err)
	}
}

// TestR122Client: the client that is given stays as it is, and its cookies are not sent.
func TestR122Client(t *testing.T) {
	client := &http.Client{Jar: jar{t}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, 1) }))
	defer s.Close()
	if err := pwned.NotPwned(client, pwned.WithURL(s.URL+"/"))(typed); err != pwned.ErrPwned {
		t.Errorf("got %v", err)
	}
	if client.CheckRedirect != nil || client.Jar == nil {
		t.Error("the client was changed")
	}
	for name, make := range map[string]func(){
		"no scheme":      func() { pwned.NotPwned(nil, pwned.WithURL("example.com")) },
		"another scheme": func() { pwned.NotPwned(nil, pwned.WithURL("file:///etc")) },
		"a query":        func() { pwned.NotPwned(nil, pwned.WithURL("https://example.com/?a")) },
		"nil":            func() { pwned.NotPwned(nil, pwned.OnFailure(nil)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			make()
		}()
	}
}

// jar must not be opened.
type jar struct{ *testing.T }

func (j jar) SetCookies(*url.URL, []*http.Cookie) { j.Error("cookies were kept") }

func (j jar) Cookies(*url.URL) []*http.Cookie {
	j.Error("cookies were sent")
	return nil
}
