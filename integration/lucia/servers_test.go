// Package lucia_test holds gormkey against Lucia v2 itself: its documented tables and its
// own adapter suite, through the bridge. A server or Node that is not there skips its
// tests, or fails them with GORMKEY_REQUIRE_ENGINES=1.
package lucia_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

var (
	postgresServer = &server{
		driver: "pgx", start: "docker compose up -d postgres, or .ci/engines postgres",
		dsn: cmp.Or(os.Getenv("GORMKEY_POSTGRES_DSN"), "host=127.0.0.1 port=5432 user=postgres sslmode=disable"),
	}
	mariadbServer = &server{
		driver: "mysql", start: "docker compose up -d mariadb, or .ci/engines mariadb",
		dsn: cmp.Or(os.Getenv("GORMKEY_MARIADB_DSN"), "root@tcp(127.0.0.1:3306)/"),
	}
)

// server is a database server with the right to make databases.
type server struct {
	driver, dsn string
	start       string // what starts it
	connect     sync.Once
	admin       *sql.DB
	err         error
}

// connected returns a pool of the server, or skips the test.
func (s *server) connected(t testing.TB) *sql.DB {
	t.Helper()
	s.connect.Do(func() {
		if s.admin, s.err = sql.Open(s.driver, s.dsn); s.err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.err = s.admin.PingContext(ctx)
	})
	if s.err != nil {
		missing(t, "no server (%s); start it: %s", strings.Join(strings.Fields(s.err.Error()), " "), s.start)
	}
	return s.admin
}

// missing skips a test, or fails it where everything has to be there.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// database is one that a test has for itself.
type database struct {
	*sql.DB
	url string // as the bridge takes it
}

// newDatabase makes an empty database on an engine and drops it after the test.
func newDatabase(t testing.TB, engine string) database {
	t.Helper()
	switch engine {
	case "sqlite":
		path := filepath.Join(t.TempDir(), "lucia's 100%?.db") // a name that a careless DSN misreads
		return database{opened(t, "sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=foreign_keys(1)"), "sqlite:" + path}
	case "postgres":
		name := postgresServer.create(t, " WITH (FORCE)")
		config, err := pgx.ParseConfig(postgresServer.dsn)
		must(t, err)
		u := url.URL{Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Path: "/" + name}
		u.Host, u.RawQuery = config.Host+":"+strconv.Itoa(int(config.Port)), "sslmode=disable"
		return database{opened(t, "pgx", u.String()), u.String()}
	default:
		config, err := mysqldriver.ParseDSN(mariadbServer.dsn)
		must(t, err)
		config.DBName = mariadbServer.create(t, "")
		u := url.URL{Scheme: "mysql", User: url.UserPassword(config.User, config.Passwd), Host: config.Addr, Path: "/" + config.DBName}
		return database{opened(t, "mysql", config.FormatDSN()), u.String()}
	}
}

// create makes a database and returns its name.
func (s *server) create(t testing.TB, dropOptions string) string {
	t.Helper()
	name := "gormkey_" + strings.ToLower(rand.Text())
	run(t, s.connected(t), "CREATE DATABASE "+name)
	t.Cleanup(func() { run(t, s.admin, "DROP DATABASE "+name+dropOptions) })
	return name
}

func opened(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func run(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bridgePath is the bridge, built once for all tests.
var bridgePath string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gormkey-bridge-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bridgePath = filepath.Join(dir, "bridge")
	build := exec.Command("go", "build", "-o", bridgePath, "./bridge")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return 1
	}
	return m.Run()
}
