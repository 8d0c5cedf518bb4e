package integration_test

import (
	"errors"
	"fmt"
	"testing"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// openSharded returns a handle on the sharded keyspace. A table that was dropped leaves its
// entries in the lookup tables, which then make vtgate keep others.
func openSharded(t *testing.T) *gorm.DB {
	t.Helper()
	db := openKeyspace(t, "gks")
	app.Must(t, db.Exec("DELETE FROM gks_lookup.user_key_id").Error)
	app.Must(t, db.Exec("DELETE FROM gks_lookup.user_session_id").Error)
	return db
}

// inLookup tells whether the lookup vindex of the keys has an id.
func inLookup(t *testing.T, db *gorm.DB, id string) bool {
	t.Helper()
	var n int64
	app.Must(t, db.Raw("SELECT COUNT(*) FROM gks_lookup.user_key_id WHERE id = ?", id).Scan(&n).Error)
	return n == 1
}

// TestVitessRenameKey: vtgate compares the old id and the new in the collation of the
// connection, by default one without letter case and accents, and leaves its lookup vindex
// as it is if they are equal.
func TestVitessRenameKey(t *testing.T) {
	ctx := t.Context()
	db := openSharded(t)
	auth := app.Install(t, db, app.New(gormkey.PlanetScale()))
	ada := &app.Account{Email: "ada@example.com"}
	app.Must(t, auth.CreateUser(ctx, ada, app.Email("ada@example.com")))
	old := "ada@example.com"
	for _, id := range []string{"Ada@example.com", "ada@example.com", "adá@example.com", "ada@example.com", "bob@example.com"} {
		if err := auth.RenameKey(ctx, ada.ID, "email", old, id); err != nil {
			t.Fatalf("%s to %s: %v", old, id, err)
		}
		if _, err := auth.SignIn(ctx, app.Email(id)); err != nil {
			t.Errorf("%s to %s: sign-in: %v", old, id, err)
		}
		if inLookup(t, db, "email:"+old) || !inLookup(t, db, "email:"+id) {
			t.Errorf("%s to %s: the lookup vindex has the old id or lacks the new one", old, id)
		}
		for i := range 4 { // on either shard
			if err := auth.CreateUser(ctx, &app.Account{Email: fmt.Sprint(i, id)}, app.Email(id)); !errors.Is(err, gormkey.ErrDuplicateKey) {
				t.Errorf("%s to %s: another user with it: got %v, want %v", old, id, err, gormkey.ErrDuplicateKey)
			}
		}
		old = id
	}
	app.Must(t, auth.DeleteUser(ctx, ada.ID))
	app.Must(t, auth.CreateUser(ctx, &app.Account{Email: "new"}, app.Email(old)))
}
