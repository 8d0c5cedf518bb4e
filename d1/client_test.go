package d1_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gormkey/gormkey/d1"
)

const (
	canary = "canary-token-0123456789"
	one    = `{"success":true,"results":{"columns":["n"],"rows":[[1]]},"meta":{"last_row_id":7}}`
	none   = `{"success":true,"results":{"columns":[],"rows":[]},"meta":{"last_row_id":7}}`
	read   = `{"success":true,"errors":[],"result":[` + one + `]}`
	wrote  = `{"success":true,"errors":[],"result":[` + none + `,` + one + `]}`
)

// server answers the n-th request, from 1, by a handler, and counts them.
func server(t *testing.T, handler func(w http.ResponseWriter, n int)) (*sql.DB, *atomic.Int32) {
	t.Helper()
	var requests atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("Authorization") != "Bearer "+canary || r.URL.Path != "/accounts/a/d1/database/b/raw" {
			t.Errorf("%s with %q", r.URL, r.Header.Get("Authorization"))
		}
		handler(w, int(requests.Add(1)))
	}))
	t.Cleanup(s.Close)
	return open(t, d1.Config{Endpoint: s.URL}), &requests
}

func open(t *testing.T, c d1.Config) *sql.DB {
	t.Helper()
	c.Account, c.Database, c.Token = "a", "b", canary
	pool := d1.OpenDB(c)
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func fail(status int, code int, message string) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"success":false,"errors":[{"code":%d,"message":%q}],"result":[]}`, code, message)
	}
}

func say(body string) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) { _, _ = io.WriteString(w, body) }
}

// cut sends the beginning of an answer and breaks the connection.
func cut(body string) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
		_, _ = io.WriteString(w, body)
	}
}

func drop(http.ResponseWriter, int) { panic(http.ErrAbortHandler) }

// What a fault means depends on whether something may have been written.
func TestFaults(t *testing.T) {
	const constraint = "UNIQUE constraint failed: t.id: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)"
	for _, test := range []struct {
		name        string
		fault       func(http.ResponseWriter, int)
		reads       int // requests that a read takes in all
		writes      int
		unknown     bool // the outcome of a write
		recoverable bool // the second answer is a good one, for both
	}{
		{"constraint", fail(400, 7500, constraint), 1, 1, false, false},
		{"constraint as 500", fail(500, 7500, constraint), 1, 1, false, false},
		{"constraint as 200", fail(200, 7500, constraint), 1, 1, false, false},
		{"401", fail(401, 10000, "Authentication error "+canary), 1, 1, false, false},
		{"404", fail(404, 7404, "not found"), 1, 1, false, false},
		{"302", func(w http.ResponseWriter, _ int) { w.Header().Set("Location", "/elsewhere"); w.WriteHeader(302) }, 1, 1, false, false},
		{"307", func(w http.ResponseWriter, _ int) { w.Header().Set("Location", "/elsewhere"); w.WriteHeader(307) }, 1, 1, false, false},
		{"429", fail(429, 7429, "too many requests"), 2, 2, false, true},
		{"500", fail(500, 7500, "internal error"), 2, 1, true, true},
		{"502 without JSON", func(w http.ResponseWriter, _ int) { w.WriteHeader(502); _, _ = io.WriteString(w, "<html>") }, 2, 1, true, true},
		{"503", fail(503, 7500, "unavailable"), 2, 1, true, true},
		{"400 of D1's machinery", fail(400, 7500, "D1_ERROR: Network connection lost."), 2, 1, true, true},
		{"200 of D1's machinery", fail(200, 7500, "internal error"), 2, 1, true, true},
		{"no JSON", say("<html>"), 2, 1, true, true},
		{"half JSON", say(wrote[:40]), 2, 1, true, true},
		{"empty", say(""), 2, 1, true, true},
		{"no results", say(`{"success":true,"result":[]}`), 2, 1, true, true},
		{"a result that failed", say(strings.ReplaceAll(wrote, `{"success":true,"results"`, `{"success":false,"results"`)), 2, 1, true, true},
		{"cut body", cut(wrote[:60]), 2, 1, true, true},
		{"dropped", drop, 2, 1, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool, requests := server(t, func(w http.ResponseWriter, n int) {
				if n == 1 || !test.recoverable {
					test.fault(w, n)
				} else if test.writes > 1 {
					_, _ = io.WriteString(w, wrote)
				} else {
					_, _ = io.WriteString(w, read)
				}
			})
			_, err := pool.Exec("INSERT INTO t VALUES (?)", "x")
			if n := int(requests.Load()); n != test.writes {
				t.Errorf("a write took %d requests, want %d", n, test.writes)
			}
			if errors.Is(err, d1.ErrOutcomeUnknown) != test.unknown || errors.Is(err, io.ErrUnexpectedEOF) != test.unknown ||
				errors.Is(err, driver.ErrBadConn) || (err == nil) != (test.writes > 1) {
				t.Errorf("a write: %v", err)
			}
			if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), canary) {
				t.Errorf("the token is in %v", err)
			}
			var e *d1.Error
			if !test.unknown && err != nil && !errors.As(err, &e) || test.unknown && errors.As(err, &e) {
				t.Errorf("a write: %#v", err)
			}
			if test.writes > 1 {
				return // the answers are a write's
			}
			requests.Store(0)
			var n int
			err = pool.QueryRow("SELECT 1").Scan(&n)
			if got := int(requests.Load()); got != test.reads || (err == nil) != test.recoverable || errors.Is(err, d1.ErrOutcomeUnknown) {
				t.Errorf("a read took %d requests, want %d: %v", got, test.reads, err)
			}
		})
	}
}

// A lost answer to Commit is unknown too, and the results say so.
func TestCommitLost(t *testing.T) {
	pool, requests := server(t, drop)
	tx, err := pool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	r, err := tx.Exec("DELETE FROM t")
	if err != nil {
		t.Fatal(err)
	}
	if requests.Load() != 0 {
		t.Error("something was sent before Commit")
	}
	if err := tx.Commit(); !errors.Is(err, d1.ErrOutcomeUnknown) {
		t.Error(err)
	}
	if _, err := r.RowsAffected(); !errors.Is(err, d1.ErrOutcomeUnknown) || requests.Load() != 1 {
		t.Errorf("%d requests, %v", requests.Load(), err)
	}
}

func TestRetryAfter(t *testing.T) {
	busy := func(seconds string, times int) func(w http.ResponseWriter, n int) {
		return func(w http.ResponseWriter, n int) {
			if n <= times {
				w.Header().Set("Retry-After", seconds)
				w.WriteHeader(429)
				return
			}
			_, _ = io.WriteString(w, read)
		}
	}
	pool, requests := server(t, busy("0", 3))
	if err := pool.Ping(); err != nil || requests.Load() != 4 {
		t.Errorf("%d requests: %v", requests.Load(), err)
	}
	pool, requests = server(t, busy("0", 4))
	var e *d1.Error
	if err := pool.Ping(); !errors.As(err, &e) || e.Status != 429 || requests.Load() != 4 {
		t.Errorf("%d requests: %v", requests.Load(), err)
	}
	pool, requests = server(t, busy("3600", 1)) // longer than is waited
	if err := pool.Ping(); !errors.As(err, &e) || requests.Load() != 1 {
		t.Errorf("%d requests: %v", requests.Load(), err)
	}
	pool, requests = server(t, busy("5", 1)) // longer than the context lets it
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := pool.PingContext(ctx); !errors.As(err, &e) || requests.Load() != 1 {
		t.Errorf("%d requests: %v", requests.Load(), err)
	}
}

// No answer comes, and the context or the Timeout ends the request.
func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	var arrived atomic.Pointer[context.CancelFunc] // called when a request has
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if cancel := arrived.Load(); cancel != nil {
			(*cancel)()
		}
		<-release
	}))
	defer s.CloseClientConnections()
	pool := open(t, d1.Config{Endpoint: s.URL, Timeout: 50 * time.Millisecond})
	if _, err := pool.Exec("DELETE FROM t"); !errors.Is(err, d1.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a write: %v", err)
	}
	if err := pool.Ping(); errors.Is(err, d1.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a read: %v", err)
	}
	pool = open(t, d1.Config{Endpoint: s.URL, Timeout: 5 * time.Second})
	for _, test := range []struct {
		name   string
		writes bool
		run    func(ctx context.Context) error
	}{
		{"a write", true, func(ctx context.Context) error {
			_, err := pool.ExecContext(ctx, "DELETE FROM t")
			return err
		}},
		{"a query", false, func(ctx context.Context) error {
			rows, err := pool.QueryContext(ctx, "SELECT 1")
			if err == nil {
				_ = rows.Close()
			}
			return err
		}},
		{"a ping", false, pool.PingContext},
		{"a batch", true, func(ctx context.Context) error {
			_, err := d1.Batch(ctx, pool, []d1.Statement{{SQL: "DELETE FROM t"}})
			return err
		}},
		{"a Commit", true, func(ctx context.Context) error {
			tx, err := pool.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM t"); err != nil {
				return err
			}
			return tx.Commit()
		}},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		arrived.Store(&cancel)
		if err := test.run(ctx); errors.Is(err, d1.ErrOutcomeUnknown) != test.writes || !errors.Is(err, context.Canceled) {
			t.Errorf("%s that was cancelled: %v", test.name, err)
		}
		cancel()
		if err := test.run(ctx); errors.Is(err, d1.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled before it was sent: %v", test.name, err)
		}
	}
}

// Where nobody listens nothing was written, so even a write is repeated.
func TestRefusedConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	var dials atomic.Int32
	pool := open(t, d1.Config{Endpoint: "http://" + address, HTTPClient: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}})
	_, err = pool.Exec("DELETE FROM t")
	var network *net.OpError
	if errors.Is(err, d1.ErrOutcomeUnknown) || !errors.As(err, &network) || network.Op != "dial" || dials.Load() != 4 {
		t.Errorf("%d dials: %v", dials.Load(), err)
	}
}

// A transport of the program's may print the request, and may have sent it.
func TestTransport(t *testing.T) {
	var tries atomic.Int32
	pool := open(t, d1.Config{HTTPClient: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		tries.Add(1)
		return nil, fmt.Errorf("cannot send %v", r.Header)
	})}})
	_, err := pool.Exec("DELETE FROM t")
	if !errors.Is(err, d1.ErrOutcomeUnknown) || tries.Load() != 1 {
		t.Errorf("%d tries: %v", tries.Load(), err)
	}
	if strings.Contains(fmt.Sprintf("%+v %#v", err, err), canary) {
		t.Error(err)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
