package integration_test

import (
	"errors"
	"testing"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/plugin/dbresolver"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// A replica is always behind: here so far that it has no rows at all. Whatever gormkey
// reads must come from the source, or a new session would not work and an ended one
// would.
func TestReplica(t *testing.T) {
	for _, order := range []string{"resolver registered before", "resolver registered after"} {
		t.Run(order, func(t *testing.T) {
			replica := newPostgres(t)
			app.Install(t, open(t, postgres.Open(replica), &gorm.Config{}), app.New())

			db := open(t, postgres.Open(newPostgres(t)), &gorm.Config{})
			plugin := app.New()
			if order == "resolver registered after" {
				app.Must(t, db.Use(plugin))
			}
			splitReads(t, db, replica)
			if order == "resolver registered before" {
				app.Must(t, db.Use(plugin))
			}
			app.Must(t, plugin.AutoMigrate(db))
			auth, err := gormkey.From[app.Account](db)
			app.Must(t, err)

			app.Flow(t, auth)
			bob := &app.Account{Email: "bob@example.com"}
			app.Must(t, auth.CreateUser(t.Context(), bob, app.Email(bob.Email)))
			if err := db.Take(&app.Account{}, "id = ?", bob.ID).Error; !errors.Is(err, gorm.ErrRecordNotFound) {
				t.Errorf("plain read: got error %v, want %v: it did not go to the replica", err, gorm.ErrRecordNotFound)
			}
			app.Must(t, db.Transaction(func(tx *gorm.DB) error {
				_, err := auth.With(tx).GetUser(t.Context(), bob.ID)
				return err
			}))
		})
	}
}

// splitReads makes db read from the database with the DSN replica.
func splitReads(t testing.TB, db *gorm.DB, replica string) {
	t.Helper()
	resolver := dbresolver.Register(dbresolver.Config{Replicas: []gorm.Dialector{postgres.Open(replica)}})
	app.Must(t, db.Use(resolver))
	t.Cleanup(func() {
		_ = resolver.Call(func(p gorm.ConnPool) error {
			if closer, ok := p.(interface{ Close() error }); ok {
				return closer.Close()
			}
			return nil
		})
	})
}
