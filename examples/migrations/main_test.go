package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/schema"
	atlas "ariga.io/atlas/sql/sqlite"
	libtnb "github.com/libtnb/sqlite"
	"github.com/pressly/goose/v3"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	_ "modernc.org/sqlite"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T) (*sql.DB, string) {
	t.Helper()
	dsn := "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=foreign_keys(1)"
	db, err := sql.Open("sqlite", dsn)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db, dsn
}

// TestGoose runs what is printed by goose itself, up and down, and uses the tables.
func TestGoose(t *testing.T) {
	folder := t.TempDir()
	file, err := os.Create(filepath.Join(folder, "00001_auth.sql"))
	must(t, err)
	must(t, export(file, "sqlite", "goose"))
	must(t, file.Close())
	db, dsn := open(t)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS(folder))
	must(t, err)
	_, err = provider.Up(t.Context())
	must(t, err)

	orm, err := gorm.Open(libtnb.Open(dsn), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := orm.DB()
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	plugin := gormkey.New[Account]()
	must(t, orm.Use(plugin))
	pending, err := plugin.PendingSQL(orm, &Post{})
	must(t, err)
	if len(pending) > 0 {
		t.Errorf("pending after goose: %q", pending)
	}
	auth, err := plugin.Repository()
	must(t, err)
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse battery staple"}
	must(t, auth.CreateUser(t.Context(), &Account{Email: "ada@example.com"}, login))
	_, err = auth.SignIn(t.Context(), login)
	must(t, err)

	_, err = provider.Down(t.Context())
	must(t, err)
	if orm.Migrator().HasTable("auth_user") {
		t.Error("auth_user is there after goose down")
	}
}

// TestAtlas does what Atlas does with an external schema: it runs the statements on an
// empty database and inspects that. It finds no difference to what AutoMigrate makes.
func TestAtlas(t *testing.T) {
	var text strings.Builder
	must(t, export(&text, "sqlite", "up"))
	db, _ := open(t)
	statements, err := migrate.Stmts(text.String())
	must(t, err)
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement.Text)
		must(t, err)
	}
	migrated, dsn := open(t)
	orm, err := gorm.Open(libtnb.Open(dsn), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := orm.DB()
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	plugin := gormkey.New[Account]()
	must(t, orm.Use(plugin))
	must(t, plugin.AutoMigrate(orm, &Post{}))

	inspect := func(db *sql.DB) (migrate.Driver, *schema.Realm) {
		driver, err := atlas.Open(db)
		must(t, err)
		realm, err := driver.InspectRealm(t.Context(), nil)
		must(t, err)
		return driver, realm
	}
	driver, printed := inspect(db)
	_, want := inspect(migrated)
	if n := len(printed.Schemas[0].Tables); n != 4 {
		t.Errorf("got %d tables, want 4", n)
	}
	changes, err := driver.RealmDiff(printed, want)
	must(t, err)
	if len(changes) > 0 {
		t.Errorf("Atlas finds %d differences: %#v", len(changes), changes)
	}
}

func TestExport(t *testing.T) {
	for _, dialect := range []string{"postgres", "mysql", "sqlite"} {
		for _, format := range []string{"goose", "up", "down"} {
			var text strings.Builder
			must(t, export(&text, dialect, format))
			for _, want := range []string{"auth_user", "user_key", "user_session", "posts"} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("%s, %s: lacks %q", dialect, format, want)
				}
			}
		}
	}
	if err := export(&strings.Builder{}, "oracle", "up"); err == nil {
		t.Error("an unknown dialect: got no error")
	}
}
