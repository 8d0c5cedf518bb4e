// Package sqlite_modernc_test runs the contract on modernc.org/sqlite behind gorm.io/driver/sqlite. The module's
// own tests run it behind github.com/libtnb/sqlite.
package sqlite_modernc_test

import (
	"path/filepath"
	"strings"
	"testing"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite"

	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

const options = "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"

func TestContract(t *testing.T) { gormkeytest.Run(t, newDB) }

// TestContractUnenforced runs it with the constraints declared, and the pragma off.
func TestContractUnenforced(t *testing.T) {
	off := strings.Replace(options, "foreign_keys(1)", "foreign_keys(0)", 1)
	gormkeytest.Run(t, func(t testing.TB) *gorm.DB { return open(t, off) }, gormkeytest.Unenforced())
}

func newDB(t testing.TB) *gorm.DB { return open(t, options) }

func open(t testing.TB, options string) *gorm.DB {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "test.db") + options
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: dsn}), &gorm.Config{Logger: logger.Discard})
	app.Must(t, err)
	pool, err := db.DB()
	app.Must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	return db
}
