// Package kit has a database, a mailbox and a browser for the checks of the pages.
package kit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/password"
)

// Password is good enough for the policy.
const Password = "correct horse battery staple"

// DSN names a new SQLite file.
func DSN(t *testing.T) string {
	return "file:" + filepath.Join(t.TempDir(), "app.db") + "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"
}

// DB opens an empty database that is closed when t ends.
func DB(t *testing.T) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(sqlite.Open(DSN(t)), &gorm.Config{Logger: logger.Discard})
	Must(t, err)
	Close(t, db)
	return db
}

// Close closes a database when t ends.
func Close(t *testing.T, db *gorm.DB) {
	t.Helper()
	pool, err := db.DB()
	Must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
}

// Must ends the test at an error.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Equal compares.
func Equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// Is compares an error by errors.Is.
func Is(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// Mails keeps the mails that a page sends.
type Mails struct {
	t    *testing.T
	mu   sync.Mutex
	sent [][3]string
	came chan struct{}
}

// NewMails returns an empty mailbox.
func NewMails(t *testing.T) *Mails { return &Mails{t: t, came: make(chan struct{}, 100)} }

// Send keeps one.
func (m *Mails) Send(to, subject, text string) error {
	m.mu.Lock()
	m.sent = append(m.sent, [3]string{to, subject, text})
	m.mu.Unlock()
	m.came <- struct{}{}
	return nil
}

// Next waits for a mail and returns the one that was sent last, with the token in its link.
func (m *Mails) Next() (to, token string) {
	m.t.Helper()
	select {
	case <-m.came:
	case <-time.After(20 * time.Second):
		m.t.Fatal("no mail came")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.sent[len(m.sent)-1]
	_, token, _ = strings.Cut(last[2], "token=")
	return last[0], strings.TrimSpace(token)
}

// Sent returns how many there were.
func (m *Mails) Sent() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sent)
}

// Browser is a client that keeps cookies and says where its requests come from.
type Browser struct {
	t      *testing.T
	client *http.Client
	base   string
	site   string
	header map[string]string
}

// Serve starts a server, and returns a browser on one of its pages.
func Serve(t *testing.T, h http.Handler) *Browser {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	b := &Browser{t: t, client: server.Client(), base: server.URL, site: "same-origin"}
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b.Another()
}

// Another returns another browser, without cookies.
func (b *Browser) Another() *Browser {
	jar, err := cookiejar.New(nil)
	Must(b.t, err)
	client := *b.client
	client.Jar = jar
	other := *b
	other.client = &client
	return &other
}

// With returns the same browser, sending headers of its own in place of Sec-Fetch-Site.
func (b *Browser) With(pairs ...string) *Browser {
	other := *b
	other.site, other.header = "", map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		other.header[pairs[i]] = pairs[i+1]
	}
	return &other
}

// Base is the server's URL.
func (b *Browser) Base() string { return b.base }

// Cookies returns the browser's.
func (b *Browser) Cookies() []*http.Cookie {
	u, err := url.Parse(b.base)
	Must(b.t, err)
	return b.client.Jar.Cookies(u)
}

// Get asks for a page and returns the status and the body.
func (b *Browser) Get(path string) (int, string) {
	status, _, body := b.do(http.MethodGet, path, "", nil)
	return status, body
}

// Post sends a form, given as pairs, and returns the status and the body.
func (b *Browser) Post(path string, pairs ...string) (int, string) {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	status, _, body := b.do(http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	return status, body
}

// JSON sends a value and reads the answer into another, unless that is nil.
func (b *Browser) JSON(method, path string, value, into any) (status int) {
	text, err := json.Marshal(value)
	Must(b.t, err)
	status, _, body := b.do(method, path, "application/json", bytes.NewReader(text))
	if into != nil {
		if err := json.Unmarshal([]byte(body), into); err != nil {
			b.t.Errorf("%s %s: %d %q: %v", method, path, status, body, err)
		}
	}
	return status
}

// Header asks, and returns the status and the header of the answer.
func (b *Browser) Header(method, path string) (int, http.Header) {
	status, header, _ := b.do(method, path, "", nil)
	return status, header
}

func (b *Browser) do(method, path, contentType string, body io.Reader) (int, http.Header, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, body)
	Must(b.t, err)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if b.site != "" {
		r.Header.Set("Sec-Fetch-Site", b.site)
	}
	for name, value := range b.header {
		r.Header.Set(name, value)
	}
	response, err := b.client.Do(r)
	Must(b.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	Must(b.t, err)
	return response.StatusCode, response.Header, strings.TrimSpace(string(text))
}

// NewClock returns a clock that stands at the present, so that a cookie jar keeps the cookies.
func NewClock() *authtest.Clock { return authtest.NewClockAt(time.Now()) }

// FastHasher takes microseconds.
func FastHasher() password.Hasher { return authtest.FastHasher() }
