package integration_test

import (
	"sync"
	"testing"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

func TestPostgres(t *testing.T) { postgresServer.run(t, openPostgres) }

// lib/pq reports errors by a type of its own.
func TestPostgresLibPQ(t *testing.T) {
	postgresServer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, postgres.New(postgres.Config{DriverName: "postgres", DSN: newPostgres(t)}), &gorm.Config{})
	})
}

func TestPostgresPrepareStmt(t *testing.T) {
	postgresServer.run(t, func(t testing.TB) *gorm.DB {
		return open(t, postgres.Open(newPostgres(t)), &gorm.Config{PrepareStmt: true})
	})
}

func TestPostgresWithoutForeignKeys(t *testing.T) {
	postgresServer.run(t, openPostgres, gormkeytest.WithoutForeignKeys())
}

func TestPostgresReference(t *testing.T) { app.RunReference(t, openPostgres) }

func TestPostgres18(t *testing.T) { postgres18Server.run(t, postgres18Server.open) }

func TestPostgres18WithoutForeignKeys(t *testing.T) {
	postgres18Server.run(t, postgres18Server.open, gormkeytest.WithoutForeignKeys())
}

// TestPostgresStalePlan: another process's release changes the type of a column while this
// one runs. Its prepared statements fail until they are prepared anew.
func TestPostgresStalePlan(t *testing.T) {
	postgresServer.connected(t)
	type Narrow struct {
		gormkey.User
		City string `gorm:"size:40"`
	}
	type Wide struct {
		gormkey.User
		City string `gorm:"size:80"`
	}
	tables := gormkey.WithTableNames(gormkey.TableNames{User: "people"})
	for _, prepared := range []bool{true, false} {
		dsn := newPostgres(t)
		db := open(t, postgres.Open(dsn), &gorm.Config{PrepareStmt: prepared})
		plugin := gormkey.New[Narrow](tables, gormkey.WithPasswordHasher(gormkeytest.FastHasher()))
		app.Must(t, db.Use(plugin))
		app.Must(t, plugin.AutoMigrate(db))
		auth, err := gormkey.From[Narrow](db)
		app.Must(t, err)
		ctx := t.Context()
		ada := &Narrow{City: "Oslo"}
		app.Must(t, auth.CreateUser(ctx, ada, login))
		session, err := auth.SignIn(ctx, login)
		app.Must(t, err)
		use := func() {
			t.Helper()
			// On several connections, each of which has statements of its own.
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for what, call := range map[string]func() error{
						"ValidateSession": func() error { _, err := auth.ValidateSession(ctx, session.Token); return err },
						"SignIn":          func() error { _, err := auth.SignIn(ctx, login); return err },
						"GetUser":         func() error { _, err := auth.GetUser(ctx, ada.ID); return err },
						"UserKeys":        func() error { _, err := auth.UserKeys(ctx, ada.ID); return err },
						"UserSessions":    func() error { _, err := auth.UserSessions(ctx, ada.ID); return err },
						"UpdateUserAttributes": func() error {
							_, err := auth.UpdateUserAttributes(ctx, ada.ID, map[string]any{"City": "Bergen"})
							return err
						},
					} {
						if err := call(); err != nil {
							t.Errorf("PrepareStmt %v: %s: %v", prepared, what, err)
						}
					}
				})
			}
			wg.Wait()
		}
		use()
		other := open(t, postgres.Open(dsn), &gorm.Config{})
		release := gormkey.New[Wide](tables)
		app.Must(t, other.Use(release))
		app.Must(t, release.AutoMigrate(other))
		use()
		app.Must(t, auth.DeleteUser(ctx, ada.ID))
	}
}

func TestPostgres18Reference(t *testing.T) { app.RunReference(t, postgres18Server.open) }
