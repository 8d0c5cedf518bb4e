package integration_test

import (
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

func TestMySQL(t *testing.T) { mysqlServer.run(t, openMySQL) }

func TestMySQLPrepareStmt(t *testing.T) {
	mysqlServer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, mysql.Open(newMySQL(t)), &gorm.Config{PrepareStmt: true})
	})
}

// Without strict mode the server cuts a value that is too long, and says so only in a
// warning.
func TestMySQLNotStrict(t *testing.T) {
	mysqlServer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, mysql.Open(newMySQL(t, "sql_mode", "''")), &gorm.Config{})
	})
}

func TestMySQLWithoutForeignKeys(t *testing.T) {
	mysqlServer.run(t, openMySQL, gormkeytest.WithoutForeignKeys())
}

func TestMySQLReference(t *testing.T) { app.RunReference(t, openMySQL) }

func openMySQL(t testing.TB) *gorm.DB { return open(t, mysql.Open(newMySQL(t)), &gorm.Config{}) }

// GORM sends savepoints around its prepared statements, and so do we: MySQL prepares none
// (1295), while MariaDB does.
func TestMySQLPrepareStmtWithoutForeignKeys(t *testing.T) {
	mysqlServer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, mysql.Open(newMySQL(t)), &gorm.Config{PrepareStmt: true})
	}, gormkeytest.WithoutForeignKeys())
}

// A server may be at SERIALIZABLE, where a transaction's reads lock. A lock that is not had
// in time is not waited for five times over.
func TestMySQLSerializable(t *testing.T) {
	mysqlServer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, mysql.Open(newMySQL(t, "tx_isolation", "'SERIALIZABLE'")), &gorm.Config{})
	})
}
