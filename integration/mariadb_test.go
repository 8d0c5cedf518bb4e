package integration_test

import (
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

func TestMariaDB(t *testing.T) { mariadbServer.run(t, mariadbServer.open) }

func TestMariaDBPrepareStmt(t *testing.T) {
	mariadbServer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, mysql.Open(mariadbServer.newDSN(t)), &gorm.Config{PrepareStmt: true})
	})
}

// Without strict mode the server cuts a value that is too long, and says so only in a
// warning. Without sql_quote_show_create it shows names as they are.
func TestMariaDBNotStrict(t *testing.T) {
	mariadbServer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, mysql.Open(mariadbServer.newDSN(t, "sql_mode", "''", "sql_quote_show_create", "0")), &gorm.Config{})
	})
}

func TestMariaDBWithoutForeignKeys(t *testing.T) {
	mariadbServer.run(t, mariadbServer.open, gormkeytest.WithoutForeignKeys())
}

func TestMariaDBReference(t *testing.T) { app.RunReference(t, mariadbServer.open) }
