package integration_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/integration/internal/app"
	"github.com/gormkey/gormkey/tables"
)

// Tables in a schema of their own, outside the search path, whose name in the second
// case has to be quoted.
func TestPostgresSchema(t *testing.T) {
	for _, schema := range []string{"authz", "Auth-Z"} {
		t.Run(schema, func(t *testing.T) {
			db := openPostgres(t)
			app.Must(t, db.Exec(fmt.Sprintf("CREATE SCHEMA %q", schema)).Error)
			names := gormkey.TableNames{User: schema + ".users", Key: schema + ".keys", Session: schema + ".sessions"}
			plugin := app.New(gormkey.WithTableNames(names))
			app.Flow(t, app.Install(t, db, plugin))

			log := new(app.DDL)
			app.Must(t, plugin.AutoMigrate(db.Session(&gorm.Session{Logger: log})))
			if got := log.Statements(); len(got) > 0 {
				t.Errorf("second migration: got DDL %q, want none", got)
			}
			var outside int64
			app.Must(t, db.Raw("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&outside).Error)
			if outside != 0 {
				t.Errorf("tables in schema public: got %d, want 0", outside)
			}
		})
	}
}

// The user's id by PostgreSQL's own type, and user_id with it.
func TestPostgresUUID(t *testing.T) {
	db := openPostgres(t)
	plugin := app.New(gormkey.WithUserIDType("uuid"), gormkey.WithUserIDGenerator(newUUID))
	auth := app.Install(t, db, plugin)
	app.Flow(t, auth)
	var types []string
	app.Must(t, db.Raw("SELECT DISTINCT data_type FROM information_schema.columns WHERE table_schema = 'public' "+
		"AND (table_name = 'auth_user' AND column_name = 'id' OR column_name = 'user_id')").Scan(&types).Error)
	if len(types) != 1 || types[0] != "uuid" {
		t.Errorf("types of the user's id and user_id: got %q, want uuid", types)
	}
	log := new(app.DDL)
	app.Must(t, plugin.AutoMigrate(db.Session(&gorm.Session{Logger: log})))
	if got := log.Statements(); len(got) > 0 {
		t.Errorf("second migration: got DDL %q, want none", got)
	}
	if _, err := auth.GetUser(t.Context(), newUUID()); !errors.Is(err, gormkey.ErrUserNotFound) {
		t.Errorf("unknown user: got error %v, want %v", err, gormkey.ErrUserNotFound)
	}
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// A type that the catalog knows by another name: a domain, and one in a schema of its own.
func TestPostgresTypesElsewhere(t *testing.T) {
	for sqlType, id := range map[string]string{"public.account_id": newUUID(), "extensions.citext": "an-id-of-any-length-at-all", "account_id": newUUID()} {
		t.Run(sqlType, func(t *testing.T) {
			db := openPostgres(t)
			for _, statement := range []string{"CREATE SCHEMA extensions", "CREATE EXTENSION citext SCHEMA extensions", "CREATE DOMAIN account_id AS varchar(36)"} {
				app.Must(t, db.Exec(statement).Error)
			}
			newPlugin := func() *gormkey.Plugin[app.Account] {
				return app.New(gormkey.WithUserIDType(sqlType), gormkey.WithUserIDGenerator(func() string { return id }))
			}
			plugin := newPlugin()
			app.Flow(t, app.Install(t, db, plugin))
			log := new(app.DDL)
			app.Must(t, plugin.AutoMigrate(db.Session(&gorm.Session{Logger: log})))
			other := open(t, db.Dialector, &gorm.Config{Logger: log})
			next := newPlugin()
			app.Must(t, other.Use(next))
			app.Must(t, next.AutoMigrate(other))
			if got := log.Statements(); len(got) > 0 {
				t.Errorf("later migrations: got DDL %q, want none", got)
			}
			pending, err := next.PendingSQL(other)
			app.Must(t, err)
			if len(pending) > 0 {
				t.Errorf("pending: got %q, want none", pending)
			}
			var column *tables.ColumnError
			if err := open(t, db.Dialector, &gorm.Config{}).Use(app.New()); !errors.As(err, &column) || !strings.Contains(column.Option, "WithUserIDType") {
				t.Errorf("without the option: got %v, want a %T", err, column)
			}
		})
	}
}
