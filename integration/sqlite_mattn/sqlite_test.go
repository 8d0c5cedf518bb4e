// Package sqlite_mattn_test runs the contract on mattn/go-sqlite3, GORM's own choice, which needs cgo.
package sqlite_mattn_test

import (
	"path/filepath"
	"testing"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

const options = "?_foreign_keys=on&_busy_timeout=5000&_journal_mode=WAL&_txlock=immediate"

func TestContract(t *testing.T) { gormkeytest.Run(t, newDB) }
func TestContractWithoutForeignKeys(t *testing.T) {
	gormkeytest.Run(t, newDB, gormkeytest.WithoutForeignKeys())
}
func TestReference(t *testing.T) { app.RunReference(t, newDB) }

func newDB(t testing.TB) *gorm.DB {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "test.db") + options
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Discard})
	app.Must(t, err)
	pool, err := db.DB()
	app.Must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	return db
}
