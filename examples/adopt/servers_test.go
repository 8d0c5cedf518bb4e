package main

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/libtnb/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// engine is a database on which the example is run.
type engine struct {
	name, idType string
	// open returns a dialect on an empty database, or skips the test.
	open func(t testing.TB) gorm.Dialector
}

var engines = []engine{
	{"sqlite", "integer", func(t testing.TB) gorm.Dialector { return sqlite.Open(sqliteDSN(t.TempDir())) }},
	{"postgresql", "bigint", newPostgres},
	{"mariadb", "bigint unsigned", newMariaDB},
}

func newPostgres(t testing.TB) gorm.Dialector {
	dsn := cmp.Or(os.Getenv("GORMKEY_POSTGRES_DSN"), "host=127.0.0.1 port=5432 user=postgres sslmode=disable")
	return postgres.Open(dsn + " dbname=" + newDatabase(t, postgres.Open(dsn), "postgres", dsn, " WITH (FORCE)"))
}

func newMariaDB(t testing.TB) gorm.Dialector {
	dsn := cmp.Or(os.Getenv("GORMKEY_MARIADB_DSN"), "root@tcp(127.0.0.1:3306)/")
	config, err := mysqldriver.ParseDSN(dsn)
	must(t, err)
	config.DBName, config.ParseTime = newDatabase(t, mysql.Open(dsn), "mariadb", dsn, ""), true
	config.Params = map[string]string{"charset": "utf8mb4"}
	return mysql.Open(config.FormatDSN())
}

// newDatabase makes a database for the test. A server that is not there skips it, or fails it with
// GORMKEY_REQUIRE_ENGINES=1; one whose DSN is "none" always skips it.
func newDatabase(t testing.TB, server gorm.Dialector, name, dsn, force string) string {
	t.Helper()
	if dsn == "none" {
		t.Skipf("%s is switched off", name)
	}
	admin, err := gorm.Open(server, &gorm.Config{Logger: logger.Discard})
	if err != nil && os.Getenv("GORMKEY_REQUIRE_ENGINES") != "1" {
		t.Skipf("no server (%v); start it: .ci/engines %s", err, name)
	}
	must(t, err)
	database := "adopt_" + strings.ToLower(rand.Text())
	must(t, admin.Exec("CREATE DATABASE "+database).Error)
	t.Cleanup(func() {
		if err := admin.Exec("DROP DATABASE " + database + force).Error; err != nil {
			t.Error(err)
		}
		closeDB(t, admin)
	})
	return database
}

// connect opens a handle of its own, as another program does.
func connect(t testing.TB, dialector gorm.Dialector) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	must(t, err)
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

func closeDB(t testing.TB, db *gorm.DB) {
	pool, err := db.DB()
	must(t, err)
	must(t, pool.Close())
}

// rows returns the rows of some tables as text.
func rows(t testing.TB, db *gorm.DB, tables ...string) string {
	t.Helper()
	var text strings.Builder
	for _, table := range tables {
		var all []map[string]any
		must(t, db.Session(&gorm.Session{NewDB: true}).Table(table).Order("id").Find(&all).Error)
		fmt.Fprintln(&text, table, all)
	}
	return text.String()
}
