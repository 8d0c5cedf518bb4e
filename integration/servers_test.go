// Package integration_test runs gormkey's contract on database servers, and tests what
// only a server shows. A server that is not there skips its tests, or fails them with
// GORMKEY_REQUIRE_ENGINES=1. Each test makes databases of its own and drops them.
package integration_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

var (
	postgresServer = &server{
		driver: "pgx", start: "docker compose up -d postgres, or .ci/engines postgres",
		dsn: cmp.Or(os.Getenv("GORMKEY_POSTGRES_DSN"), "host=127.0.0.1 port=5432 user=postgres sslmode=disable"),
	}
	// pgBouncer stands in front of postgresServer, in transaction mode.
	pgBouncer = &server{
		driver: "postgres", start: ".ci/engines pgbouncer",
		dsn: cmp.Or(os.Getenv("GORMKEY_PGBOUNCER_DSN"), "host=127.0.0.1 port=6432 user=postgres sslmode=disable"),
	}
	// vitessServer has the keyspaces of integration/vitess.
	vitessServer = &server{
		driver: "mysql", start: ".ci/engines vitess",
		dsn: cmp.Or(os.Getenv("GORMKEY_VITESS_DSN"), "root@tcp(127.0.0.1:15306)/"),
	}
	mysqlServer = &server{
		driver: "mysql", start: "docker compose up -d mysql, or .ci/engines mariadb",
		dsn: cmp.Or(os.Getenv("GORMKEY_MYSQL_DSN"), "root@tcp(127.0.0.1:3306)/"),
	}
)

// The driver would log each connection that a test cuts.
func init() { _ = mysqldriver.SetLogger(&mysqldriver.NopLogger{}) }

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
	if s.err == nil {
		return s.admin
	}
	missing := t.Skipf
	if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
		missing = t.Fatalf
	}
	missing("no server (%s); start it: %s", strings.Join(strings.Fields(s.err.Error()), " "), s.start)
	return nil
}

// run runs the contract on the server, or skips it as one. It is parallel to the other
// runs, since a test mostly waits for its database to be made and dropped.
func (s *server) run(t *testing.T, newDB gormkeytest.NewDB, settings ...gormkeytest.Setting) {
	t.Parallel()
	s.connected(t)
	gormkeytest.Run(t, newDB, settings...)
}

// exec runs a statement as the administrator.
func (s *server) exec(t testing.TB, query string) {
	t.Helper()
	if _, err := s.connected(t).ExecContext(context.WithoutCancel(t.Context()), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// newDatabase makes an empty database for the test and returns its name.
func (s *server) newDatabase(t testing.TB, dropOptions string) string {
	t.Helper()
	name := "gormkey_" + strings.ToLower(rand.Text())
	s.exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.exec(t, "DROP DATABASE "+name+dropOptions) })
	return name
}

// newPostgres makes a database and returns its DSN.
func newPostgres(t testing.TB) string {
	t.Helper()
	return postgresDSN(postgresServer.dsn, "dbname", postgresServer.newDatabase(t, " WITH (FORCE)"))
}

// postgresDSN sets settings, pairs of name and value, in a DSN of either form.
func postgresDSN(dsn string, settings ...string) string {
	u, err := url.Parse(dsn)
	isURL := err == nil && u.Scheme != ""
	for i := 0; i < len(settings); i += 2 {
		if isURL {
			query := u.Query()
			query.Set(settings[i], settings[i+1])
			u.RawQuery = query.Encode()
			dsn = u.String()
		} else {
			dsn += " " + settings[i] + "=" + settings[i+1]
		}
	}
	return dsn
}

// newMySQL makes a database and returns its DSN. The DSN lacks clientFoundRows, so that
// an UPDATE that changes nothing reports no rows: MySQL's own way, and the harder one.
func newMySQL(t testing.TB, parameters ...string) string {
	t.Helper()
	return mysqlDSN(t, mysqlServer, mysqlServer.newDatabase(t, ""), parameters...)
}

// mysqlDSN sets parameters, pairs of name and value, and the database.
func mysqlDSN(t testing.TB, s *server, database string, parameters ...string) string {
	t.Helper()
	config, err := mysqldriver.ParseDSN(s.dsn)
	app.Must(t, err)
	config.DBName, config.ParseTime = database, true
	config.Params = map[string]string{"charset": "utf8mb4"}
	for i := 0; i < len(parameters); i += 2 {
		config.Params[parameters[i]] = parameters[i+1]
	}
	return config.FormatDSN()
}

// open opens a handle that is closed when t ends.
func open(t testing.TB, dialector gorm.Dialector, config *gorm.Config) *gorm.DB {
	t.Helper()
	if config.Logger == nil {
		config.Logger = logger.Discard
	}
	db, err := gorm.Open(dialector, config)
	app.Must(t, err)
	t.Cleanup(func() { _ = pool(t, db).Close() })
	return db
}

// pool returns the connections of a handle.
func pool(t testing.TB, db *gorm.DB) *sql.DB {
	t.Helper()
	p, err := db.DB()
	app.Must(t, err)
	return p
}
