package httpauth_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/httpauth"
)

// Account is the tests' user.
type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

type session = gormkey.Session[Account]

const (
	goodPassword = "correct horse battery staple"
	cookieName   = httpauth.DefaultCookieName
)

// site is a database with the request side of it.
type site struct {
	testing.TB
	db    *gorm.DB
	wire  *wire
	auth  *gormkey.Repository[Account]
	clock *authtest.Clock
	web   *httpauth.Auth[Account, session]
}

func newSite(t testing.TB, opts ...httpauth.Option) *site {
	t.Helper()
	return newSiteOf(t, nil, opts...)
}

// newSiteOf is newSite with options of the plugin.
func newSiteOf(t testing.TB, plugin []gormkey.Option, opts ...httpauth.Option) *site {
	t.Helper()
	s := &site{TB: t, clock: authtest.NewClock()}
	s.db, s.wire = openDB(t)
	s.auth = register(t, s.db, append([]gormkey.Option{gormkey.WithClock(s.clock.Now)}, plugin...)...)
	s.web = s.with(opts...)
	return s
}

// openDB opens an empty database.
func openDB(t testing.TB) (*gorm.DB, *wire) {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)" +
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate"
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	w := &wire{ConnPool: pool, pool: pool}
	db.ConnPool, db.Statement.ConnPool = w, w
	return db, w
}

func register(t testing.TB, db *gorm.DB, opts ...gormkey.Option) *gormkey.Repository[Account] {
	t.Helper()
	plugin := gormkey.New[Account](append([]gormkey.Option{gormkey.WithPasswordHasher(authtest.FastHasher())}, opts...)...)
	must(t, db.Use(plugin))
	must(t, plugin.AutoMigrate(db))
	auth, err := gormkey.From[Account](db)
	must(t, err)
	return auth
}

// with returns another request side of the same database.
func (s *site) with(opts ...httpauth.Option) *httpauth.Auth[Account, session] {
	s.Helper()
	web, err := httpauth.New(s.auth, opts...)
	must(s, err)
	return web
}

func credentials(name string) gormkey.Credentials {
	return gormkey.Credentials{Provider: "email", ID: name + "@example.com", Password: goodPassword}
}

func (s *site) signUp(name string) *Account {
	s.Helper()
	account := &Account{Email: name + "@example.com"}
	must(s, s.auth.CreateUser(context.Background(), account, credentials(name)))
	return account
}

// open signs a user up and returns the token of a session.
func (s *site) open(name string) gormkey.Token {
	s.Helper()
	opened, err := s.auth.OpenSession(context.Background(), s.signUp(name).ID)
	must(s, err)
	return opened.Token
}

// alive tells whether the session of a token is there.
func (s *site) alive(token gormkey.Token) bool {
	s.Helper()
	_, err := s.auth.GetSession(context.Background(), token)
	if err != nil && !errors.Is(err, gormkey.ErrInvalidSession) {
		s.Fatal(err)
	}
	return err == nil
}

// sessions returns how many there are.
func (s *site) sessions() (n int64) {
	s.Helper()
	must(s, s.db.Session(&gorm.Session{NewDB: true}).Table("user_session").Count(&n).Error)
	return n
}

// who is a page that says who is signed in.
func (s *site) who() http.Handler { return who(s.web) }

func who(web *httpauth.Auth[Account, session]) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if u := web.User(r.Context()); u != nil {
			name = u.Email
		}
		_, _ = io.WriteString(w, name)
	})
}

// request returns one for a path of https://example.com behind a proxy, with headers as
// pairs of name and value; "Host" is not a header of its own.
func request(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Method = method
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// post returns one that comes from a page of the site.
func post(target string, headers ...string) *http.Request {
	return request(http.MethodPost, target, append(headers, "Sec-Fetch-Site", "same-origin")...)
}

func cookie(token gormkey.Token) string { return cookieName + "=" + string(token) }

func bearer(token gormkey.Token) string { return "Bearer " + string(token) }

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// setCookies returns the lines that set a cookie of a name.
func setCookies(w http.ResponseWriter, name string) []string {
	return slices.DeleteFunc(slices.Clone(w.Header()["Set-Cookie"]), func(line string) bool { return !strings.HasPrefix(line, name+"=") })
}

// noCookie wants a response to leave the session's cookie alone.
func noCookie(t testing.TB, what string, w http.ResponseWriter) {
	t.Helper()
	if got := setCookies(w, cookieName); len(got) > 0 {
		t.Errorf("%s: got Set-Cookie %q, want none", what, got)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// wire stands between GORM and the pool, counts the statements, and fails them on demand.
type wire struct {
	gorm.ConnPool
	pool *sql.DB

	mu   sync.Mutex
	sent []string
	fail func(sql string) error
}

var errDown = errors.New("the database is down")

// breaks makes every statement that has a text fail with errDown; "-" mends it.
func (w *wire) breaks(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = func(sql string) error {
		if strings.Contains(sql, text) {
			return errDown
		}
		return nil
	}
	if text == "-" {
		w.fail = nil
	}
}

// taken returns the statements since the last call.
func (w *wire) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := w.sent
	w.sent = nil
	return sent
}

func (w *wire) note(sql string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, sql)
	if w.fail != nil {
		return w.fail(sql)
	}
	return nil
}

// GetDBConn lets db.DB() reach the pool.
func (w *wire) GetDBConn() (*sql.DB, error) { return w.pool, nil }

func (w *wire) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := w.note(query); err != nil {
		return nil, err
	}
	return w.ConnPool.ExecContext(ctx, query, args...)
}

func (w *wire) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := w.note(query); err != nil {
		return nil, err
	}
	return w.ConnPool.QueryContext(ctx, query, args...)
}

// BeginTx begins a transaction on the same wire.
func (w *wire) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	if err := w.note("BEGIN"); err != nil {
		return nil, err
	}
	tx, err := w.pool.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &wiredTx{Tx: tx, wire: w}, nil
}

type wiredTx struct {
	*sql.Tx
	wire *wire
}

func (t *wiredTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := t.wire.note(query); err != nil {
		return nil, err
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

func (t *wiredTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := t.wire.note(query); err != nil {
		return nil, err
	}
	return t.Tx.QueryContext(ctx, query, args...)
}
