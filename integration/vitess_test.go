package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// Vitess cannot make databases: the tests take turns with its keyspaces, which they
// leave empty.
var vitessKeyspaces = make(chan string, 10)

func init() {
	for i := range cap(vitessKeyspaces) {
		vitessKeyspaces <- fmt.Sprintf("gk%d", i)
	}
}

func openVitess(t testing.TB) *gorm.DB {
	t.Helper()
	vitessServer.connected(t)
	keyspace := <-vitessKeyspaces
	t.Cleanup(func() { vitessKeyspaces <- keyspace })
	return openKeyspace(t, keyspace)
}

func openKeyspace(t testing.TB, keyspace string) *gorm.DB {
	t.Helper()
	db := open(t, mysql.Open(mysqlDSN(t, vitessServer, keyspace)), &gorm.Config{})
	t.Cleanup(func() {
		var tables []string
		app.Must(t, db.Raw("SHOW TABLES").Scan(&tables).Error)
		for _, table := range tables {
			app.Must(t, db.Exec("DROP TABLE `"+table+"`").Error)
		}
	})
	return db
}

// TestVitess runs one case at a time, since a case takes several keyspaces.
func TestVitess(t *testing.T) {
	vitessServer.connected(t)
	gormkeytest.Run(t, openVitess, gormkeytest.PlanetScale())
}

// TestVitessSameName: nobody outside knows whether PlanetScale's keyspaces have the names
// of the databases below.
func TestVitessSameName(t *testing.T) {
	vitessServer.connected(t)
	app.Flow(t, app.Install(t, openKeyspace(t, "gkeq"), app.New(gormkey.PlanetScale())))
}

// TestVitessRefusesForeignKeys: what the tests above run on is in the mode that they are for.
func TestVitessRefusesForeignKeys(t *testing.T) {
	db := openVitess(t)
	err := db.Exec("CREATE TABLE child (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES parent (id))").Error
	if err == nil || !strings.Contains(err.Error(), "VT10001") {
		t.Errorf("a FOREIGN KEY: got %v, want VT10001", err)
	}
	plugin := app.New()
	app.Must(t, db.Use(plugin))
	if err := plugin.AutoMigrate(db); err == nil || !strings.Contains(err.Error(), "VT10001") {
		t.Errorf("a plugin with foreign keys: got %v, want VT10001", err)
	}
}
