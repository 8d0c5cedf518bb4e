package gormkey_test

import (
	"path/filepath"
	"testing"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite"

	"github.com/gormkey/gormkey/gormkeytest"
)

// sqliteOptions is what a SQLite database of an application needs; see docs/sqlite.md.
const sqliteOptions = "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"

func newDB(t testing.TB) *gorm.DB { return newDBWith(t, &gorm.Config{}) }

func newDBWith(t testing.TB, config *gorm.Config) *gorm.DB {
	t.Helper()
	config.Logger = logger.Discard
	dsn := "file:" + filepath.Join(t.TempDir(), "test.db") + sqliteOptions
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: dsn}), config)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return db
}

func TestContract(t *testing.T) { gormkeytest.Run(t, newDB) }
