package d1_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/d1"
	"github.com/gormkey/gormkey/gormkeytest"
)

func TestContract(t *testing.T) {
	gormkeytest.Run(t, func(t testing.TB) *gorm.DB { return newGORM(t, &gorm.Config{}) }, gormkeytest.Batches())
}

// counting is a transport that counts requests.
type counting struct{ n atomic.Int64 }

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return http.DefaultTransport.RoundTrip(r)
}

// A request to D1 is what an operation costs there.
func TestRoundTrips(t *testing.T) {
	c := newDatabase(t)
	requests := &counting{}
	c.HTTPClient = &http.Client{Transport: requests}
	db, err := gorm.Open(d1.New(c), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	clock := gormkeytest.NewClock()
	plugin := gormkey.New[account](gormkey.WithPasswordHasher(gormkeytest.FastHasher()), gormkey.WithClock(clock.Now))
	must(t, db.Use(plugin))
	must(t, plugin.AutoMigrate(db))
	auth, err := gormkey.From[account](db)
	must(t, err)
	ctx := t.Context()
	do := func(what string, want int64, call func() error) {
		t.Helper()
		before := requests.n.Load()
		must(t, call())
		if n := requests.n.Load() - before; n != want {
			t.Errorf("%s: %d requests, want %d", what, n, want)
		}
	}
	ada := &account{Email: "ada@example.com"}
	login := gormkey.Credentials{Provider: "email", ID: ada.Email, Password: "correct horse battery staple"}
	other := gormkey.Proved("github", "1")
	var session *gormkey.Session[account]
	do("CreateUser with a key", 1, func() error { return auth.CreateUser(ctx, ada, login) })
	do("GetUser", 1, func() error { _, err := auth.GetUser(ctx, ada.ID); return err })
	do("UpdateUserAttributes", 2, func() error {
		_, err := auth.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Email": "a@example.com"})
		return err
	})
	do("AddKey", 1, func() error { _, err := auth.AddKey(ctx, ada.ID, other); return err })
	do("ShareKey", 2, func() error {
		_, err := auth.ShareKey(ctx, gormkey.KeyID{Provider: "username", ID: "ada"}, gormkey.KeyID{Provider: "email", ID: login.ID})
		return err
	})
	do("OpenSession", 1, func() (err error) { session, err = auth.OpenSession(ctx, ada.ID); return err })
	do("SignIn", 2, func() error { _, err := auth.SignIn(ctx, login); return err })
	do("SignIn, replacing", 2, func() error { _, err := auth.SignIn(ctx, login, auth.Replacing(session.Token)); return err })
	do("OpenSession", 1, func() (err error) { session, err = auth.OpenSession(ctx, ada.ID); return err })
	do("ValidateSession", 1, func() error { _, err := auth.ValidateSession(ctx, session.Token); return err })
	clock.Advance(gormkeytest.ActivePeriod + 1e6)
	do("ValidateSession, renewing", 2, func() error { _, err := auth.ValidateSession(ctx, session.Token); return err })
	do("OverwritePassword", 2, func() error { _, err := auth.OverwritePassword(ctx, login, session.ID); return err })
	do("ChangePassword", 3, func() error { _, err := auth.ChangePassword(ctx, login, login.Password, session.ID); return err })
	do("RemoveKey", 3, func() error { return auth.RemoveKey(ctx, ada.ID, gormkey.KeyID{Provider: "github", ID: "1"}) })
	do("SignOut", 1, func() error { return auth.SignOut(ctx, session.Token) })
	do("DeleteUser", 1, func() error { return auth.DeleteUser(ctx, ada.ID) })
}
