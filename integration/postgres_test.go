package integration_test

import (
	"testing"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

func TestPostgres(t *testing.T) { postgresServer.run(t, openPostgres) }

// lib/pq reports errors by a type of its own.
func TestPostgresLibPQ(t *testing.T) {
	postgresServer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, postgres.New(postgres.Config{DriverName: "postgres", DSN: newPostgres(t)}), &gorm.Config{})
	})
}

func TestPostgresPrepareStmt(t *testing.T) {
	postgresServer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, postgres.Open(newPostgres(t)), &gorm.Config{PrepareStmt: true})
	})
}

func TestPostgresWithoutForeignKeys(t *testing.T) {
	postgresServer.run(t, openPostgres, gormkeytest.WithoutForeignKeys())
}

func TestPostgresReference(t *testing.T) { app.RunReference(t, openPostgres) }

func openPostgres(t testing.TB) *gorm.DB {
	return open(t, postgres.Open(newPostgres(t)), &gorm.Config{})
}
