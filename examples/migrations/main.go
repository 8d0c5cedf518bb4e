// Migrations prints the schema of an application as SQL, for a migration tool: where
// the program has no right to DDL, or where changes are reviewed before they run. It
// needs no database.
//
//	go run . -dialect postgres -format goose >migrations/00001_auth.sql
//	go run . -dialect mysql -format up >migrations/000001_auth.up.sql     # golang-migrate
//	go run . -dialect mysql -format down >migrations/000001_auth.down.sql
//
// atlas.hcl uses it as Atlas's source of the schema.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// Account is the application's user.
type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

// Post is a table of the application's own.
type Post struct {
	ID        uint
	AccountID string
	Account   *Account
	Title     string `gorm:"size:255"`
}

func main() {
	dialect := flag.String("dialect", "postgres", "postgres, mysql or sqlite")
	format := flag.String("format", "goose", "goose, up or down")
	flag.Parse()
	if err := export(os.Stdout, *dialect, *format); err != nil {
		log.Fatal(err)
	}
}

// export writes the schema in the dialect, as a migration tool reads it.
func export(w io.Writer, dialect, format string) error {
	dialectors := map[string]gorm.Dialector{
		"postgres": postgres.New(postgres.Config{Conn: gormkey.Offline()}),
		"mysql":    mysql.New(mysql.Config{Conn: gormkey.Offline(), SkipInitializeWithVersion: true}),
		"sqlite":   sqlite.New(sqlite.Config{Conn: gormkey.Offline()}),
	}
	formats := map[string]string{
		"goose": "-- +goose Up\n%[1]s\n-- +goose Down\n%[2]s",
		"up":    "%[1]s",
		"down":  "%[2]s",
	}
	dialector, known := dialectors[dialect]
	text, written := formats[format]
	if !known || !written {
		return fmt.Errorf("dialect %q or format %q is unknown", dialect, format)
	}
	db, err := gorm.Open(dialector)
	if err != nil {
		return err
	}
	// The options of the program that uses the tables; for PlanetScale, its preset.
	plugin := gormkey.New[Account]()
	if err := db.Use(plugin); err != nil {
		return err
	}
	up, down, err := plugin.SQL(db, &Post{})
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(w, strings.ReplaceAll(strings.ReplaceAll(text, "%[1]s", script(up)), "%[2]s", script(down)))
	return err
}

func script(statements []string) string { return strings.Join(statements, ";\n") + ";\n" }
