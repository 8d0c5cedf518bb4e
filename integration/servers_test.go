// Package integration_test runs gormkey's contract on database servers, and tests what
// only a server shows. A server that is not there skips its tests, or fails them with
// GORMKEY_REQUIRE_ENGINES=1; one whose DSN is "none" always skips them. Each test has
// databases of its own.
package integration_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

var (
	postgresServer   = newServer("postgres", "pgx", "GORMKEY_POSTGRES_DSN", "host=127.0.0.1 port=5432 user=postgres sslmode=disable")
	postgres18Server = newServer("postgres18", "pgx", "GORMKEY_POSTGRES18_DSN", "host=127.0.0.1 port=15432 user=postgres sslmode=disable")
	mariadbServer    = newServer("mariadb", "mysql", "GORMKEY_MARIADB_DSN", "root@tcp(127.0.0.1:3306)/")
	mysqlServer      = newServer("mysql", "mysql", "GORMKEY_MYSQL_DSN", "root@tcp(127.0.0.1:15307)/")
	// pgBouncer stands in front of postgresServer, in transaction mode.
	pgBouncer = newServer("pgbouncer", "postgres", "GORMKEY_PGBOUNCER_DSN", "host=127.0.0.1 port=6432 user=postgres sslmode=disable")
	// vitessServer has the keyspaces of integration/vitess.
	vitessServer = newServer("vitess", "mysql", "GORMKEY_VITESS_DSN", "root@tcp(127.0.0.1:15306)/")
)

// mysqlServers are what docs/mysql.md is about.
var mysqlServers = []*server{mariadbServer, mysqlServer}

// The driver would log each connection that a test cuts.
func init() { _ = mysqldriver.SetLogger(&mysqldriver.NopLogger{}) }

// server is a database server with the right to make databases.
type server struct {
	name, driver, dsn string
	connect           sync.Once
	admin             *sql.DB
	err               error

	mu    sync.Mutex
	empty []string // databases of a PostgreSQL that no test has now
}

func newServer(name, driver, variable, dsn string) *server {
	return &server{name: name, driver: driver, dsn: cmp.Or(os.Getenv(variable), dsn)}
}

// connected returns a pool of the server, or skips the test.
func (s *server) connected(t testing.TB) *sql.DB {
	t.Helper()
	if s.dsn == "none" {
		t.Skipf("%s is switched off", s.name)
	}
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
	missing("no server (%s); start it: .ci/engines %s, or see compose.yaml", strings.Join(strings.Fields(s.err.Error()), " "), s.name)
	return nil
}

// run runs the contract on the server, or skips it as one. It is parallel to the other
// runs, since a test mostly waits for its database.
func (s *server) run(t *testing.T, newDB gormkeytest.NewDB, settings ...gormkeytest.Setting) {
	t.Parallel()
	s.connected(t)
	gormkeytest.Run(t, newDB, settings...)
}

// onEach runs a test on each of the servers.
func onEach(t *testing.T, servers []*server, run func(t *testing.T, s *server)) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			s.connected(t)
			run(t, s)
		})
	}
}

// exec runs a statement as the administrator.
func (s *server) exec(t testing.TB, query string) {
	t.Helper()
	if _, err := s.connected(t).ExecContext(context.WithoutCancel(t.Context()), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// newDatabase gives the test an empty database and returns its name. PostgreSQL takes
// longer to make a database than for all that a test does there: it is emptied, and used
// again, until TestMain drops it.
func (s *server) newDatabase(t testing.TB) string {
	t.Helper()
	if s.driver == "mysql" {
		name := newName()
		s.exec(t, "CREATE DATABASE "+name)
		t.Cleanup(func() { s.exec(t, "DROP DATABASE "+name) })
		return name
	}
	s.connected(t)
	name := s.takeEmpty()
	if name == "" {
		name = newName()
		s.exec(t, "CREATE DATABASE "+name)
	}
	t.Cleanup(func() {
		if err := s.clear(name); err != nil { // somebody holds a lock there
			t.Logf("dropping a database, since it cannot be cleared: %v", err)
			s.exec(t, "DROP DATABASE "+name+" WITH (FORCE)")
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.empty = append(s.empty, name)
	})
	return name
}

func newName() string { return "gormkey_" + strings.ToLower(rand.Text()) }

// takeEmpty returns the name of an empty database, or "" if there is none.
func (s *server) takeEmpty() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.empty) - 1
	if last < 0 {
		return ""
	}
	name := s.empty[last]
	s.empty = s.empty[:last]
	return name
}

// clear makes a database of PostgreSQL what a new one is.
func (s *server) clear(database string) error {
	db, err := sql.Open(s.driver, postgresDSN(s.dsn, "dbname", database, "lock_timeout", "10s"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(context.Background(), `DO $$
		DECLARE name text;
		BEGIN
			FOR name IN SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema' LOOP
				EXECUTE format('DROP SCHEMA %I CASCADE', name);
			END LOOP;
			CREATE SCHEMA public AUTHORIZATION pg_database_owner;
			GRANT USAGE ON SCHEMA public TO PUBLIC;
		END $$`)
	return err
}

func TestMain(m *testing.M) {
	status := m.Run()
	for _, s := range []*server{postgresServer, postgres18Server} {
		for _, name := range s.empty {
			if _, err := s.admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
				fmt.Fprintf(os.Stderr, "dropping a database of %s: %v\n", s.name, err)
				status = 1
			}
		}
	}
	os.Exit(status)
}

// newDSN gives the test an empty database and returns its DSN, with more settings, pairs
// of name and value.
func (s *server) newDSN(t testing.TB, settings ...string) string {
	t.Helper()
	if s.driver == "mysql" {
		return mysqlDSN(t, s, s.newDatabase(t), settings...)
	}
	return postgresDSN(postgresDSN(s.dsn, "dbname", s.newDatabase(t)), settings...)
}

// open opens an empty database by the usual driver and settings.
func (s *server) open(t testing.TB) *gorm.DB {
	t.Helper()
	return open(t, s.dialector(s.newDSN(t)), &gorm.Config{})
}

func newPostgres(t testing.TB) string { return postgresServer.newDSN(t) }

func openPostgres(t testing.TB) *gorm.DB { return postgresServer.open(t) }

func newMySQL(t testing.TB, parameters ...string) string { return mysqlServer.newDSN(t, parameters...) }

func openMySQL(t testing.TB) *gorm.DB { return mysqlServer.open(t) }

// dialector returns GORM's usual driver for the server.
func (s *server) dialector(dsn string) gorm.Dialector {
	if s.driver == "mysql" {
		return mysql.Open(dsn)
	}
	return postgres.Open(dsn)
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

// mysqlDSN sets parameters, pairs of name and value, and the database. The DSN lacks
// clientFoundRows, so that an UPDATE that changes nothing reports no rows: MySQL's own
// way, and the harder one.
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

// open opens a handle that is closed when t ends. Its pool is bounded, since a server has
// a hundred connections for all tests that run at once, and a case may do 64 things. It
// keeps the connections that it has, since to make one costs more than a test does there.
func open(t testing.TB, dialector gorm.Dialector, config *gorm.Config) *gorm.DB {
	t.Helper()
	if config.Logger == nil {
		config.Logger = logger.Discard
	}
	db, err := gorm.Open(dialector, config)
	app.Must(t, err)
	pool(t, db).SetMaxOpenConns(16)
	pool(t, db).SetMaxIdleConns(16)
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
