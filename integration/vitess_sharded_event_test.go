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

// TestVitessEvents: suspensions and events are on the shard of their user, so that they commit with
// what they are about.
func TestVitessEvents(t *testing.T) {
	ctx, db, clock := t.Context(), openSharded(t), gormkeytest.NewClock()
	auth := app.Install(t, db, app.New(gormkey.WithPlanetScale(), gormkey.WithSuspension(), gormkey.WithEventDelivery(), gormkey.WithOneTimeTokens(), gormkey.WithClock(clock.Now)))
	settle(t, db, "SELECT id FROM auth_event ORDER BY id")
	settle(t, db, "SELECT id FROM user_suspension ORDER BY id")
	const users, each = 8, 7
	var ids []string
	for i := range users { // on either shard
		login := app.Email(fmt.Sprintf("%d@example.com", i))
		account := &app.Account{Email: login.ID}
		app.Must(t, auth.CreateUser(ctx, account, login))
		ids = append(ids, account.ID)
		session, err := auth.SignIn(ctx, login)
		app.Must(t, err)
		app.Must(t, auth.Suspend(ctx, account.ID, time.Time{}, "spam", "root"))
		if _, err := auth.ValidateSession(ctx, session.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
			t.Errorf("%d: a session of before: got %v", i, err)
		}
		if _, err := auth.SignIn(ctx, login); !errors.Is(err, gormkey.ErrSuspended) {
			t.Errorf("%d: a sign-in: got %v", i, err)
		}
		app.Must(t, auth.Unsuspend(ctx, account.ID, "root"))
	}
	last, n := map[string]string{}, 0
	for {
		delivered, err := auth.DeliverEvents(ctx, 20, func(_ context.Context, e *gormkey.LoggedEvent[app.Account]) error {
			if e.ID <= last[e.UserID] {
				t.Errorf("%s came after %s", e.ID, last[e.UserID])
			}
			last[e.UserID] = e.ID
			return nil
		})
		app.Must(t, err)
		if n += delivered; delivered == 0 {
			break
		}
	}
	if n != users*each {
		t.Errorf("%d events were delivered, want %d", n, users*each)
	}
	for _, id := range ids[:2] {
		app.Must(t, auth.DeleteUser(ctx, id))
		changed, err := auth.AnonymizeUser(ctx, id)
		app.Must(t, err)
		if changed != each+1 {
			t.Errorf("%d events were anonymized, want %d", changed, each+1)
		}
	}
	clock.Advance(time.Hour)
	purged, err := auth.PurgeEvents(ctx, clock.Now())
	app.Must(t, err)
	if purged != users*each+2 {
		t.Errorf("%d events were purged, want %d", purged, users*each+2)
	}
}
