package integration_test

import (
	"testing"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// A pooler in transaction mode gives each transaction another connection, so nothing
// that lives in a connection may be relied on: no prepared statement, no session lock.
// pgx works behind it in the modes below, which are what docs/postgresql.md tells.

func TestPgBouncerSimpleProtocol(t *testing.T) {
	pgBouncer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, postgres.New(postgres.Config{DSN: newPgBouncer(t), PreferSimpleProtocol: true}), &gorm.Config{})
	})
}

func TestPgBouncerExec(t *testing.T) {
	pgBouncer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, postgres.Open(newPgBouncer(t, "default_query_exec_mode", "exec")), &gorm.Config{})
	})
}

func TestPgBouncerCacheDescribe(t *testing.T) {
	pgBouncer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, postgres.Open(newPgBouncer(t, "default_query_exec_mode", "cache_describe")), &gorm.Config{})
	})
}

// newPgBouncer makes a database on the server behind the pooler and returns its DSN
// through it.
func newPgBouncer(t testing.TB, settings ...string) string {
	t.Helper()
	dsn := postgresDSN(pgBouncer.dsn, "dbname", postgresServer.newDatabase(t))
	return postgresDSN(dsn, settings...)
}
