package integration_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/integration/internal/app"
)

var update = flag.Bool("update", false, "write testdata/schema anew")

// TestExportedSQL compares the exported schema of each dialect with testdata/schema,
// without a server. That it makes the tables that AutoMigrate makes is in the contract.
func TestExportedSQL(t *testing.T) {
	dialectors := map[string]func() gorm.Dialector{
		"postgres": func() gorm.Dialector { return postgres.New(postgres.Config{Conn: gormkey.Offline()}) },
		"mysql": func() gorm.Dialector {
			return mysql.New(mysql.Config{Conn: gormkey.Offline(), SkipInitializeWithVersion: true})
		},
		"sqlite": func() gorm.Dialector { return sqlite.New(sqlite.Config{Conn: gormkey.Offline()}) },
	}
	variants := map[string][]gormkey.Option{
		"default":              nil,
		"without_foreign_keys": {gormkey.WithoutForeignKeys()},
		"names": {
			gormkey.WithTableNames(gormkey.TableNames{User: "people", Key: "people_keys", Session: "people_sessions"}),
			gormkey.WithUserIDLength(36),
		},
	}
	for dialect, dialector := range dialectors {
		for variant, opts := range variants {
			t.Run(dialect+"/"+variant, func(t *testing.T) {
				db := open(t, dialector(), &gorm.Config{})
				plugin := app.New(opts...)
				app.Must(t, db.Use(plugin))
				up, down, err := plugin.SQL(db)
				app.Must(t, err)
				got := "-- up\n" + strings.Join(up, ";\n") + ";\n-- down\n" + strings.Join(down, ";\n") + ";\n"
				golden := filepath.Join("testdata", "schema", dialect+"_"+variant+".sql")
				if *update {
					app.Must(t, os.WriteFile(golden, []byte(got), 0o644))
				}
				want, err := os.ReadFile(golden)
				app.Must(t, err)
				if got != string(want) {
					t.Errorf("%s: got\n%s\nwant\n%s\nif that is meant, run go test -run ExportedSQL -update", golden, got, want)
				}
			})
		}
	}
}
