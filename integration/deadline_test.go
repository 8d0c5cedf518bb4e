package integration_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// A deadline that falls anywhere in an operation, on a pool and on one connection,
// leaves no half of it behind and no connection in use.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		maxConnections int
	}{{"pool", 0}, {"one connection", 1}} {
		t.Run(c.name, func(t *testing.T) {
			onServers(t, func(t *testing.T, newDB gormkeytest.NewDB) {
				db := newDB(t)
				pool(t, db).SetMaxOpenConns(c.maxConnections)
				sweepDeadlines(t, app.Install(t, db, app.New()))
				awaitIdle(t, func() int { return pool(t, db).Stats().InUse })

				var halves int64
				app.Must(t, db.Raw("SELECT (SELECT count(*) FROM auth_user WHERE id NOT IN (SELECT user_id FROM user_key)) + "+
					"(SELECT count(*) FROM user_key WHERE user_id NOT IN (SELECT id FROM auth_user)) + "+
					"(SELECT count(*) FROM user_session WHERE user_id NOT IN (SELECT id FROM auth_user))").Scan(&halves).Error)
				if halves != 0 {
					t.Errorf("users without a key, keys and sessions without a user: got %d, want 0", halves)
				}
			})
		})
	}
}

// sweepDeadlines runs each operation with deadlines of 0 to 3 ms.
func sweepDeadlines(t *testing.T, auth *gormkey.Repository[app.Account]) {
	ended := 0
	for after := time.Duration(0); after <= 3*time.Millisecond; after += 20 * time.Microsecond {
		address := fmt.Sprintf("%d@example.com", after)
		given := &app.Account{Email: "given" + address}
		app.Must(t, auth.CreateUser(t.Context(), given, app.Email(given.Email)))
		for name, run := range map[string]func(context.Context) error{
			"create user": func(ctx context.Context) error {
				return auth.CreateUser(ctx, &app.Account{Email: address}, app.Email(address))
			},
			"sign in": func(ctx context.Context) error {
				_, err := auth.SignIn(ctx, app.Email(given.Email))
				return err
			},
		} {
			ended += runUntil(t, name, after, run)
		}
		ended += runUntil(t, "delete user", after, func(ctx context.Context) error { return auth.DeleteUser(ctx, given.ID) })
	}
	if ended == 0 {
		t.Error("no operation was ended by its deadline")
	}
}

// runUntil checks the error of an operation that has a deadline, and returns 1 if the
// deadline ended it.
func runUntil(t *testing.T, name string, after time.Duration, run func(context.Context) error) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	err := run(ctx)
	switch {
	case err == nil:
		return 0
	case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, gormkey.ErrOutcomeUnknown):
		t.Errorf("%s with a deadline after %v: got error %v, want %v or %v", name, after, err, context.DeadlineExceeded, gormkey.ErrOutcomeUnknown)
	}
	return 1
}

// awaitIdle waits for database/sql to roll back, which it does in the background.
func awaitIdle(t *testing.T, inUse func() int) {
	t.Helper()
	for until := time.Now().Add(5 * time.Second); inUse() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Errorf("connections in use: got %d, want 0", inUse())
			return
		}
	}
}
