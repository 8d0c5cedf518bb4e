// Package sqlite_glebarez_test runs the contract on glebarez/go-sqlite, which needs no cgo. Like mattn's and
// ncruces's it registers a driver name of its own, so each has a package of its own.
package sqlite_glebarez_test

import (
	"path/filepath"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

const options = "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"

func TestContract(t *testing.T)  { gormkeytest.Run(t, newDB) }
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
