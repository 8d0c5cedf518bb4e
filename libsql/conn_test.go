package libsql_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey/libsql"
)

// fake is a server of the http protocol that answers as a test wants it to. What only a
// real one shows is in integration/libsql.
type fake struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string
}

// newFake returns a server that hands each statement to react, but GORM's question for
// the version.
func newFake(t *testing.T, react func(w http.ResponseWriter, r *http.Request, query string)) *fake {
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Requests []struct{ Stmt struct{ SQL string } }
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || len(request.Requests) != 1 {
			http.Error(w, "{}", http.StatusTeapot)
			return
		}
		query := request.Requests[0].Stmt.SQL
		if query == "" { // of the stream's end
			answer(w, `{"type":"ok","response":{"type":"close"}}`)
			return
		}
		f.mu.Lock()
		f.sent = append(f.sent, query)
		f.mu.Unlock()
		react(w, r, query)
	}))
	t.Cleanup(f.Close)
	return f
}

const ok = `{"type":"ok","response":{"type":"execute","result":{"cols":[{"name":"1"}],"rows":[[{"type":"text","value":"3.45.1"}]],"affected_row_count":1}}}`

func answer(w http.ResponseWriter, result string) {
	_, _ = io.WriteString(w, `{"baton":"b","results":[`+result+`]}`)
}

// taken returns the statements since the last call.
func (f *fake) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	sent := f.sent
	f.sent = nil
	return sent
}

func (f *fake) open(t *testing.T) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(libsql.Open(f.URL), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	pool, _ := db.DB()
	t.Cleanup(func() { _ = pool.Close() })
	f.taken()
	return db
}

// TestRetries: what is sent again, and what is not, when an answer does not come.
func TestRetries(t *testing.T) {
	cut := func(w http.ResponseWriter) {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
	}
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { http.Error(w, "<html>", code) }
	}
	tooMany, internal, badGateway := status(http.StatusTooManyRequests), status(http.StatusInternalServerError), status(http.StatusBadGateway)
	body := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { _, _ = io.WriteString(w, text) }
	}
	empty, html, list, nothing, foreign := body(""), body("<html>"), body("[]"), body(`{"baton":"b","results":[]}`), body(`{"baton":"b","results":[{"type":"ok"}]}`)
	truncated := func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"baton":"b","results":[`+ok[:60])
	}
	expired := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"message":"The stream has expired","code":"STREAM_EXPIRED"}`)
	}
	const (
		passes = iota
		undone
		unknown
		busy // refused, with SQLite's code for that
	)
	const insert = "INSERT INTO t VALUES (1)"
	begin := []string{"BEGIN IMMEDIATE"}
	inTx := func(db *gorm.DB, query string) error {
		return db.Transaction(func(tx *gorm.DB) error {
			first := tx.Exec(query).Error
			if next := tx.Exec("UPDATE t SET a = 1").Error; first != nil && !errors.Is(next, first) {
				t.Errorf("after %v: got %v, want the same", first, next)
			}
			return nil // a program that looks at no error must not commit half of its work
		})
	}
	alone := func(db *gorm.DB, query string) error { return db.Exec(query).Error }
	type fault struct {
		name   string
		fail   func(w http.ResponseWriter)
		run    func(db *gorm.DB, query string) error
		query  string // of which the first fails
		result int
		sent   []string
	}
	faults := []fault{
		{"cut", cut, alone, "SELECT 7", passes, []string{"SELECT 7", "SELECT 7"}},
		{"cut", cut, alone, insert, unknown, []string{insert}},
		{"cut", cut, alone, "WITH x AS (SELECT 1) DELETE FROM t", unknown, []string{"WITH x AS (SELECT 1) DELETE FROM t"}},
		{"502", badGateway, alone, "SELECT 7", passes, []string{"SELECT 7", "SELECT 7"}},
		{"502", badGateway, alone, insert, unknown, []string{insert}},
		{"expired", expired, alone, insert, passes, []string{insert, insert}},
		{"cut", cut, inTx, "BEGIN IMMEDIATE", passes, nil},
		{"cut", cut, inTx, "SELECT 7", undone, append(begin, "SELECT 7")},
		{"cut", cut, inTx, insert, undone, append(begin, insert)},
		{"expired", expired, inTx, insert, undone, append(begin, insert)},
		{"cut", cut, inTx, "COMMIT", unknown, nil},
		{"502", badGateway, inTx, "COMMIT", unknown, nil},
		{"expired", expired, inTx, "COMMIT", undone, nil},
		{"429", tooMany, alone, "SELECT 7", busy, []string{"SELECT 7"}},
		{"429", tooMany, alone, insert, busy, []string{insert}},
		{"429", tooMany, inTx, insert, busy, append(begin, insert)},
		{"429", tooMany, inTx, "COMMIT", busy, nil},
	}
	for name, fail := range map[string]func(http.ResponseWriter){
		"500": internal, "truncated": truncated, "empty": empty, "HTML": html, "a list": list, "no result": nothing, "another protocol": foreign,
	} {
		faults = append(faults,
			fault{name, fail, alone, "SELECT 7", passes, []string{"SELECT 7", "SELECT 7"}},
			fault{name, fail, alone, insert, unknown, []string{insert}},
			fault{name, fail, inTx, "BEGIN IMMEDIATE", passes, nil},
			fault{name, fail, inTx, insert, undone, append(begin, insert)},
			fault{name, fail, inTx, "COMMIT", unknown, nil},
		)
	}
	for _, c := range faults {
		failed := false
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request, query string) {
			if query == c.query && !failed {
				failed = true
				c.fail(w)
				return
			}
			answer(w, ok)
		})
		query, name := c.query, c.name+", "+c.query
		db := f.open(t)
		if query == "COMMIT" {
			query, c.sent = "SELECT 2", append(begin, "SELECT 2", "UPDATE t SET a = 1", "COMMIT")
		}
		if query == "BEGIN IMMEDIATE" { // in place of the transaction's first statement
			c.sent = []string{"BEGIN IMMEDIATE", "BEGIN IMMEDIATE", "SELECT 2", "UPDATE t SET a = 1", "COMMIT"}
			query = "SELECT 2"
		}
		err := c.run(db, query)
		var refused *libsql.Error
		var lost *libsql.LostError
		switch {
		case c.result == passes && err != nil,
			c.result == undone && (!errors.As(err, &refused) || refused.ExtendedCode != 773),
			c.result == busy && (!errors.As(err, &refused) || refused.ExtendedCode != 5),
			c.result == unknown && (!errors.As(err, &lost) || !errors.Is(err, io.ErrUnexpectedEOF)):
			t.Errorf("%s: got %T %v", name, err, err)
		}
		if sent := f.taken(); !slices.Equal(sent, c.sent) {
			t.Errorf("%s: sent %q, want %q", name, sent, c.sent)
		}
		if err := db.Exec("INSERT INTO t VALUES (2)").Error; err != nil {
			t.Errorf("%s: the next statement: %v", name, err)
		}
	}
}

// TestContexts: a server that does not answer holds nobody longer than the context.
func TestContexts(t *testing.T) {
	stuck := make(chan struct{})
	var cancel context.CancelFunc
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, query string) {
		if query == "SELECT 9" || query == "COMMIT" {
			cancel()
			<-stuck
		}
		answer(w, ok)
	})
	t.Cleanup(func() { close(stuck) }) // before the server waits for its handlers
	db := f.open(t)
	var ctx context.Context
	ctx, cancel = context.WithCancel(t.Context())
	if err := db.WithContext(ctx).Exec("SELECT 9").Error; !errors.Is(err, context.Canceled) {
		t.Errorf("a statement: got %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	err := db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return nil })
	var lost *libsql.LostError
	if !errors.As(err, &lost) || !errors.Is(err, context.Canceled) {
		t.Errorf("a COMMIT: got %v, want a LostError with the context's", err)
	}

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	connector, err := libsql.NewConnector(libsql.Config{DSN: "ws://" + silent.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	t.Cleanup(func() { _ = pool.Close() })
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := pool.PingContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a connection: got %v", err)
	}
}

// TestTransactions: the lock comes first, and what SQLite has not is refused.
func TestTransactions(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, query string) { answer(w, ok) })
	db := f.open(t)
	for _, opts := range []*sql.TxOptions{{}, {Isolation: sql.LevelSerializable}} {
		if err := db.Transaction(func(*gorm.DB) error { return nil }, opts); err != nil {
			t.Errorf("%v: %v", opts, err)
		}
		if sent := strings.Join(f.taken(), "; "); sent != "BEGIN IMMEDIATE; COMMIT" {
			t.Errorf("%v: sent %q", opts, sent)
		}
	}
	for _, opts := range []*sql.TxOptions{{ReadOnly: true}, {Isolation: sql.LevelReadCommitted}} {
		if err := db.Transaction(func(*gorm.DB) error { return nil }, opts); err == nil || len(f.taken()) > 0 {
			t.Errorf("%v: got %v", opts, err)
		}
	}
}
