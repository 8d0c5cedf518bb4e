package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
	"github.com/gormkey/gormkey/throttle"
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
	auth := app.Install(t, db, app.New(gormkey.WithPlanetScale()))
	ada := &app.Account{Email: "ada@example.com"}
	app.Must(t, auth.CreateUser(ctx, ada, app.Email("ada@example.com")))
	old := "ada@example.com"
	for _, id := range []string{"Ada@example.com", "ada@example.com", "adá@example.com", "ada@example.com", "bob@example.com"} {
		if err := auth.RenameKey(ctx, ada.ID, gormkey.KeyID{Provider: "email", ID: old}, id); err != nil {
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

// device is a session with a column of the application's.
type device struct {
	gormkey.Session[app.Account]
	Name string `gorm:"size:64"`
}

// TestVitessLockOrder: every write to a session locks its row before its entry in the
// lookup vindex, as a delete by the user does. In the other order the two wait for each
// other over two servers, until Vitess ends one after 30 seconds.
func TestVitessLockOrder(t *testing.T) {
	db := openSharded(t)
	clock := gormkeytest.NewClock()
	plugin := gormkey.NewOf[app.Account, gormkey.Key[app.Account], device](
		gormkey.WithPlanetScale(), gormkey.WithClock(clock.Now), gormkey.WithPasswordHasher(gormkeytest.FastHasher()), gormkey.WithSessionFacts())
	app.Must(t, db.Use(plugin))
	app.Must(t, plugin.AutoMigrate(db))
	settle(t, db, factsQuery)
	auth, err := plugin.Repository()
	app.Must(t, err)
	for name, verb := range map[string]func(ctx context.Context, s *device) error{
		"SignOut": func(ctx context.Context, s *device) error { return auth.SignOut(ctx, s.Token) },
		"EndSessionOfAnyone": func(ctx context.Context, s *device) error {
			return auth.EndSessionOfAnyone(ctx, s.ID)
		},
		"UpdateSessionAttributes": func(ctx context.Context, s *device) error {
			_, err := auth.UpdateSessionAttributes(ctx, s.ID, map[string]any{"Name": "phone"})
			return err
		},
		"ValidateSession": func(ctx context.Context, s *device) error {
			clock.Advance(gormkeytest.ActivePeriod + time.Second)
			_, err := auth.ValidateSession(ctx, s.Token)
			return err
		},
		"Reauthenticate": func(ctx context.Context, s *device) error {
			_, err := auth.Reauthenticate(ctx, s.Token, app.Email(s.UserID))
			return err
		},
		"As": func(ctx context.Context, s *device) error {
			_, err := auth.As(s, time.Minute).UpdateUserAttributes(ctx, s.UserID, map[string]any{"Email": "new-" + s.UserID})
			return err
		},
		"As, EndSession": func(ctx context.Context, s *device) error {
			return auth.As(s, time.Minute).EndSession(ctx, s.UserID, s.ID)
		},
		"DeleteExpired": func(ctx context.Context, s *device) error {
			clock.Advance(100 * gormkeytest.ActivePeriod)
			_, err := auth.DeleteExpired(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			ada := &app.Account{Email: name}
			app.Must(t, auth.CreateUser(ctx, ada))
			_, err := auth.AddKey(ctx, ada.ID, app.Email(ada.ID))
			app.Must(t, err)
			session, err := auth.SignIn(ctx, app.Email(ada.ID))
			app.Must(t, err)
			tx := db.WithContext(ctx).Begin()
			defer tx.Rollback()
			var id string
			app.Must(t, tx.Raw("SELECT id FROM user_session WHERE user_id = ? FOR UPDATE", ada.ID).Scan(&id).Error)
			ended := make(chan error, 1)
			go func() { ended <- verb(ctx, session) }()
			waitForLock(t, db)
			if err := tx.Exec("DELETE FROM user_session WHERE user_id = ?", ada.ID).Error; err != nil {
				t.Errorf("a delete of the user's sessions: %v", err)
			}
			tx.Commit()
			if err := <-ended; err != nil && !errors.Is(err, gormkey.ErrInvalidSession) {
				t.Errorf("got %v, want nil or %v", err, gormkey.ErrInvalidSession)
			}
		})
	}
}

// waitForLock returns when a transaction of the sharded keyspace waits for a lock.
func waitForLock(t *testing.T, db *gorm.DB) {
	t.Helper()
	for range 50 {
		time.Sleep(200 * time.Millisecond) // MySQL refreshes innodb_trx only after nobody has read it for 100 ms
		var n int64
		app.Must(t, db.Raw("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'").Scan(&n).Error)
		if n > 0 {
			return
		}
	}
	t.Fatal("nothing waits for a lock")
}

// clinger gives itself a session when it is to be deleted.
type clinger struct {
	gormkey.User
	Email string `gorm:"size:255"`
}

func (c *clinger) BeforeDelete(tx *gorm.DB) error {
	if c.Email != "clings" {
		return nil
	}
	return tx.Create(&gormkey.Session[clinger]{ID: "late", UserID: c.ID}).Error
}

// TestVitessDeleteUserHook: a consistent lookup vindex cannot delete in the transaction that
// created, and would wait for itself.
func TestVitessDeleteUserHook(t *testing.T) {
	ctx := t.Context()
	db := openSharded(t)
	plugin := gormkey.New[clinger](gormkey.WithPlanetScale(), gormkey.WithPasswordHasher(gormkeytest.FastHasher()))
	app.Must(t, db.Use(plugin))
	app.Must(t, plugin.AutoMigrate(db))
	auth, err := gormkey.From[clinger](db)
	app.Must(t, err)
	for _, email := range []string{"clings", "goes"} {
		u := &clinger{Email: email}
		app.Must(t, auth.CreateUser(ctx, u, app.Email(email)))
		_, err := auth.SignIn(ctx, app.Email(email))
		app.Must(t, err)
		begun := time.Now()
		err = auth.DeleteUser(ctx, u.ID)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: took %v", email, took)
		}
		if email == "goes" {
			app.Must(t, err)
			continue
		}
		var refused *gormkey.UsageError
		if !errors.As(err, &refused) || refused.Argument != "user" {
			t.Errorf("%s: got %v, want a UsageError", email, err)
		}
		sessions, err := auth.UserSessions(ctx, u.ID)
		app.Must(t, err)
		keys, err := auth.UserKeys(ctx, u.ID)
		app.Must(t, err)
		if len(sessions) != 1 || len(keys) != 1 {
			t.Errorf("%s: after the refusal got %d sessions and %d keys, want 1 of each", email, len(sessions), len(keys))
		}
	}
}

// TestVitessLockWait: what waits for a lock that no database sees to be its own ends with
// ErrBusy, and after as long as the DSN says.
func TestVitessLockWait(t *testing.T) {
	ctx := t.Context()
	openSharded(t)
	for parameter, code := range map[string]string{"innodb_lock_wait_timeout": "1205", "query_timeout": "3024"} {
		value := map[string]string{"innodb_lock_wait_timeout": "1", "query_timeout": "1000"}[parameter]
		db := open(t, mysql.Open(mysqlDSN(t, vitessServer, "gks", parameter, value)), &gorm.Config{})
		auth := app.Install(t, db, app.New(gormkey.WithPlanetScale()))
		begun := time.Now()
		err := db.Transaction(func(tx *gorm.DB) error {
			user := &app.Account{Email: parameter}
			app.Must(t, auth.With(tx).CreateUser(ctx, user, app.Email(parameter)))
			return auth.With(tx).DeleteUser(ctx, user.ID)
		})
		var failed *gormkey.DatabaseError
		switch {
		case !errors.As(err, &failed) || failed.Code != code || strings.Contains(err.Error(), parameter):
			t.Errorf("%s: got %v, want code %s", parameter, err, code)
		case errors.Is(err, gormkey.ErrBusy) != (code == "3024") || gormkey.Retryable(err) != (code == "1205"):
			t.Errorf("%s: got busy %v, retryable %v", parameter, errors.Is(err, gormkey.ErrBusy), gormkey.Retryable(err))
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: took %v", parameter, took)
		}
		if _, err := auth.SignIn(ctx, app.Email(parameter)); !errors.Is(err, gormkey.ErrInvalidCredentials) {
			t.Errorf("%s: sign-in: got %v, want %v", parameter, err, gormkey.ErrInvalidCredentials)
		}
	}
}

// TestVitessTokensAndThrottle: their tables have vindexes in the VSchema too.
func TestVitessTokensAndThrottle(t *testing.T) {
	ctx := t.Context()
	db := openSharded(t)
	clock := gormkeytest.NewClock()
	auth := app.Install(t, db, app.New(gormkey.WithPlanetScale(), gormkey.WithOneTimeTokens(), gormkey.WithClock(clock.Now)))
	limits, err := throttle.New(db, throttle.WithClock(clock.Now))
	app.Must(t, err)
	app.Must(t, limits.AutoMigrate())
	for i := range 8 { // on either shard
		name := fmt.Sprintf("%d@example.com", i)
		user := &app.Account{Email: name}
		app.Must(t, auth.CreateUser(ctx, user, app.Email(name)))
		reset, err := auth.IssueToken(ctx, user.ID, gormkey.PurposeResetPassword, "email:"+name, time.Hour)
		app.Must(t, err)
		link, err := auth.IssueToken(ctx, user.ID, gormkey.PurposeMagicLink, "", time.Hour)
		app.Must(t, err)
		_, err = auth.SignInWithToken(ctx, link)
		app.Must(t, err)
		if _, err := auth.SignInWithToken(ctx, link); !errors.Is(err, gormkey.ErrInvalidToken) {
			t.Errorf("a used token: got %v, want %v", err, gormkey.ErrInvalidToken)
		}
		_, err = auth.ResetPassword(ctx, reset, "another long password")
		app.Must(t, err)
		_, err = auth.IssueToken(ctx, user.ID, gormkey.PurposeVerifyEmail, name, time.Hour)
		app.Must(t, err)
		signIn := func(c gormkey.Credentials) error {
			return limits.Do(ctx, "email:"+name, throttle.Client{}, func() error { _, err := auth.SignIn(ctx, c); return err })
		}
		for range 5 {
			if err := signIn(app.Email(name)); !errors.Is(err, gormkey.ErrInvalidCredentials) {
				t.Errorf("a guess: got %v, want %v", err, gormkey.ErrInvalidCredentials)
			}
		}
		var full *throttle.Error
		if err := signIn(app.Email(name)); !errors.As(err, &full) {
			t.Errorf("the sixth: got %v, want a throttle.Error", err)
		}
	}
	clock.Advance(365 * 24 * time.Hour)
	if n, err := auth.DeleteExpired(ctx); err != nil || n != 8 {
		t.Errorf("DeleteExpired: got %d, %v, want 8", n, err)
	}
	var deleted int64
	err = tracked(func() (err error) { deleted, err = limits.DeleteExpired(ctx); return err })
	if err != nil || deleted != 8 {
		t.Errorf("DeleteExpired: got %d, %v, want 8", deleted, err)
	}
}

// TestVitessRefusesSaves: what vtgate does not take of GORM, as docs/planetscale.md says.
func TestVitessRefusesSaves(t *testing.T) {
	ctx := t.Context()
	db := openSharded(t)
	auth := app.Install(t, db, app.New(gormkey.WithPlanetScale()))
	ada := &app.Account{Email: "ada@example.com"}
	app.Must(t, auth.CreateUser(ctx, ada, app.Email(ada.Email)))
	key, err := auth.GetKey(ctx, gormkey.KeyID{Provider: "email", ID: ada.Email})
	app.Must(t, err)
	for name, err := range map[string]error{
		"Save of a key":       db.Save(key).Error,
		"DoNothing of a key":  db.Clauses(clause.OnConflict{DoNothing: true}).Create(key).Error,
		"DoNothing of a user": db.Clauses(clause.OnConflict{DoNothing: true}).Create(ada).Error,
	} {
		if err == nil || !strings.Contains(err.Error(), "VT12001") {
			t.Errorf("%s: got %v, want VT12001", name, err)
		}
	}
	app.Must(t, db.Save(ada).Error)
}
