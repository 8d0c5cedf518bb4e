// Package sqlite_ncruces_test runs the contract on ncruces/go-sqlite3, which needs no cgo.
package sqlite_ncruces_test

import (
	"path/filepath"
	"testing"

	_ "github.com/ncruces/go-sqlite3/embed"
	"github.com/ncruces/go-sqlite3/gormlite"
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
	db, err := gorm.Open(gormlite.Open(dsn), &gorm.Config{Logger: logger.Discard})
	app.Must(t, err)
	pool, err := db.DB()
	app.Must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	return db
}
