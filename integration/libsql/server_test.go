// Package libsql_test runs the contract on a libSQL server, over WebSocket and over
// http, and tests what only such a server shows. Start it by .ci/engines libsql; without
// it the tests are skipped, or fail with GORMKEY_REQUIRE_ENGINES=1. Each makes databases
// of its own, which are namespaces of the server, and drops them.
package libsql_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/libsql"
)

var (
	server = cmp.Or(os.Getenv("GORMKEY_LIBSQL_ADDRESS"), "127.0.0.1:15380")
	admin  = cmp.Or(os.Getenv("GORMKEY_LIBSQL_ADMIN"), "127.0.0.1:15381")
)

// The server takes a database's name from the host's, and no resolver knows those hosts.
func init() {
	transport := http.DefaultTransport.(*http.Transport)
	transport.MaxIdleConnsPerHost = 16 // 2 otherwise, which opens a connection for most requests of a race
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host := strings.TrimSuffix(strings.Split(address, ":")[0], ".localhost")
		if host != strings.Split(address, ":")[0] {
			address = wireOf(host).address()
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return wireOf(host).watch(conn), nil
	}
	http.DefaultTransport = counting{transport}
}

// counting counts the requests over http, less those that only end a stream, for which
// the client does not wait.
type counting struct{ http.RoundTripper }

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.GetBody != nil {
		if body, err := r.GetBody(); err == nil {
			text, _ := io.ReadAll(body)
			if !strings.Contains(string(text), `"type":"close"`) {
				wireOf(strings.TrimSuffix(r.URL.Hostname(), ".localhost")).requests.Add(1)
			}
		}
	}
	return c.RoundTripper.RoundTrip(r)
}

// wires has the [wire] of each database.
var wires sync.Map

// wire is what the connections to a database have in common.
type wire struct {
	trips    atomic.Int64 // over WebSocket
	requests atomic.Int64 // over http
	mu       sync.Mutex
	conns    []*watched
	proxy    string // its address, if there is one
}

// through has new connections go to a proxy.
func (w *wire) through(proxy string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proxy = proxy
}

func (w *wire) address() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cmp.Or(w.proxy, server)
}

func (w *wire) watch(conn net.Conn) net.Conn {
	c := &watched{Conn: conn, wire: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
	return c
}

// cut closes every connection on the client's side, so that nothing can be sent on one.
// For the server's side there is [proxy].
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Conn.Close()
	}
	w.conns = nil
}

// watched counts a round trip when something is sent after something was received.
type watched struct {
	net.Conn
	wire    *wire
	sending atomic.Bool
}

func (c *watched) Write(p []byte) (int, error) {
	if !c.sending.Swap(true) {
		c.wire.trips.Add(1)
	}
	return c.Conn.Write(p)
}

func (c *watched) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.sending.Store(false)
	}
	return n, err
}

// schemes are the ways to a server.
var schemes = []string{"ws", "http"}

// ask sends a request to the admin's interface.
func ask(method, path string) error {
	request, err := http.NewRequest(method, "http://"+admin+path, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return nil
}

// needServer skips the test if there is none.
func needServer(t testing.TB) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", admin, 5*time.Second)
	if err == nil {
		_ = conn.Close()
		return
	}
	missing := t.Skipf
	if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
		missing = t.Fatalf
	}
	missing("no server (%v); start it: .ci/engines libsql", err)
}

// newDatabase makes an empty database, and returns its name.
func newDatabase(t testing.TB) string {
	t.Helper()
	needServer(t)
	name := "gormkey-" + strings.ToLower(rand.Text())
	must(t, ask("POST", "/v1/namespaces/"+name+"/create"))
	t.Cleanup(func() {
		// It fails while the server itself still writes a file there; the next test has
		// another name.
		if err := ask("DELETE", "/v1/namespaces/"+name); err != nil {
			t.Log(err)
		}
		wires.Delete(name)
	})
	return name
}

func dsn(scheme, name string) string { return scheme + "://" + name + ".localhost:15380" }

func wireOf(name string) *wire {
	w, _ := wires.LoadOrStore(name, new(wire))
	return w.(*wire)
}

// open opens a handle that is closed when t ends.
func open(t testing.TB, scheme, name string, config *gorm.Config) *gorm.DB {
	t.Helper()
	if config.Logger == nil {
		config.Logger = logger.Discard
	}
	db, err := gorm.Open(libsql.Open(dsn(scheme, name)), config)
	must(t, err)
	t.Cleanup(func() { _ = pool(t, db).Close() })
	return db
}

func newDB(scheme string) gormkeytest.NewDB {
	return func(t testing.TB) *gorm.DB {
		t.Helper()
		return open(t, scheme, newDatabase(t), &gorm.Config{})
	}
}

func pool(t testing.TB, db *gorm.DB) *sql.DB {
	t.Helper()
	p, err := db.DB()
	must(t, err)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Account is the tests' user.
type Account struct {
	gormkey.User
	Email     string `gorm:"size:255;uniqueIndex"`
	CreatedAt time.Time
	Seen      *time.Time
}

func login(address string) gormkey.Credentials {
	return gormkey.Credentials{Provider: "email", ID: address, Password: "correct horse battery staple"}
}

// install registers and migrates the plugin.
func install(t testing.TB, db *gorm.DB) *gormkey.Repository[Account] {
	t.Helper()
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(gormkeytest.FastHasher()))
	must(t, db.Use(plugin))
	must(t, plugin.AutoMigrate(db))
	auth, err := gormkey.From[Account](db)
	must(t, err)
	return auth
}
