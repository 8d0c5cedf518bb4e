package integration_test

import (
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

func TestMySQL(t *testing.T) { mysqlServer.run(t, openMySQL) }

// TestMySQLSettings has the settings of a connection that change what a statement says,
// what comes back, or how many rows it counts.
func TestMySQLSettings(t *testing.T) {
	mysqlServer.run(t, func(t testing.TB) *gorm.DB {
		dsn := newMySQL(t, "interpolateParams", "true", "clientFoundRows", "true",
			"loc", "America/St_Johns", "time_zone", "'+05:45'", "sql_auto_is_null", "1", "sql_require_primary_key", "1", "sql_mode", "'TRADITIONAL,ANSI,NO_BACKSLASH_ESCAPES'")
		return open(t, mysql.Open(dsn), &gorm.Config{})
	})
}

// TestMySQLParseTime: the library's own columns have no times. A server may want a primary
// key of every table.
func TestMySQLParseTime(t *testing.T) {
	onEach(t, mysqlServers, func(t *testing.T, s *server) {
		parameters := []string{"parseTime", "false"}
		if s == mysqlServer {
			parameters = append(parameters, "sql_require_primary_key", "1")
		}
		db := open(t, mysql.Open(s.newDSN(t, parameters...)), &gorm.Config{})
		app.Flow(t, app.Install(t, db, app.New(gormkey.WithOneTimeTokens())))
	})
}

func TestMySQLWithoutForeignKeys(t *testing.T) {
	mysqlServer.run(t, openMySQL, gormkeytest.WithoutForeignKeys())
}

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
		return open(t, mysql.Open(newMySQL(t, "transaction_isolation", "'SERIALIZABLE'")), &gorm.Config{})
	})
}

func TestMySQLReference(t *testing.T) { app.RunReference(t, openMySQL) }
