package integration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// settle waits until vtgate knows what a query names, and goes on knowing it. It hears of DDL up to
// a second late, so it may still have the columns of the test before, or lose these again.
func settle(t *testing.T, db *gorm.DB, query string) {
	t.Helper()
	for begun, known := time.Now(), 0; known < 50; known++ {
		if err := tracked(func() error { return db.Exec(query).Error }); err != nil {
			if known = 0; time.Since(begun) > 30*time.Second {
				t.Fatal(err)
			}
		}
		time.Sleep(25 * time.Millisecond)
	}
}

// factsQuery names a column of facts.
const factsQuery = "SELECT remembered FROM user_session ORDER BY id"

// sessionLookup returns the ids that the lookup vindex of the sessions has.
func sessionLookup(t *testing.T, db *gorm.DB) (ids []string) {
	t.Helper()
	app.Must(t, db.Raw("SELECT id FROM gks_lookup.user_session_id ORDER BY id").Scan(&ids).Error)
	return ids
}

// rows is all that the sharded keyspace has of users, keys, sessions and tokens.
func rows(t *testing.T, db *gorm.DB) string {
	t.Helper()
	var all []string
	for _, table := range []string{"auth_user", "user_key", "user_session", "user_token"} {
		var list []map[string]any
		app.Must(t, tracked(func() error { return db.Table(table).Order("id").Find(&list).Error }))
		all = append(all, fmt.Sprint(list))
	}
	return strings.Join(all, "\n")
}

// TestVitessReauthenticate: a new token is a new id, which is a vindex of the table, on the shard
// of the user. The entry of the old id goes with it.
func TestVitessReauthenticate(t *testing.T) {
	ctx := t.Context()
	db := openSharded(t)
	clock := gormkeytest.NewClock()
	auth := app.Install(t, db, app.New(gormkey.WithPlanetScale(), gormkey.WithSessionFacts(), gormkey.WithOneTimeTokens(), gormkey.WithClock(clock.Now)))
	settle(t, db, factsQuery)
	var kept []string  // ids of sessions
	for i := range 8 { // on either shard
		login := app.Email(fmt.Sprintf("%d@example.com", i))
		app.Must(t, auth.CreateUser(ctx, &app.Account{Email: login.ID}, login))
		old, err := auth.SignIn(ctx, login)
		app.Must(t, err)
		other, err := auth.SignIn(ctx, login)
		app.Must(t, err)
		clock.Advance(time.Hour)

		wrong, nobody := login, app.Email("nobody@example.com")
		wrong.Password = "a wrong password"
		before := rows(t, db)
		for name, c := range map[string]struct {
			token gormkey.Token
			login gormkey.Credentials
			want  error
		}{
			"a wrong password":      {old.Token, wrong, gormkey.ErrInvalidCredentials},
			"nobody's key":          {old.Token, nobody, gormkey.ErrInvalidCredentials},
			"a token of no session": {gormkey.Token(strings.Repeat("x", 40)), login, gormkey.ErrInvalidSession},
		} {
			if _, err := auth.Reauthenticate(ctx, c.token, c.login); !errors.Is(err, c.want) {
				t.Errorf("%d: %s: got %v, want %v", i, name, err, c.want)
			}
		}
		if after := rows(t, db); after != before {
			t.Errorf("%d: after the refusals got %s, want %s", i, after, before)
		}

		errs := make([]error, 8)
		var once sync.Once
		session := old
		var wg sync.WaitGroup
		for n := range errs {
			wg.Go(func() {
				got, err := auth.Reauthenticate(ctx, old.Token, login)
				if errs[n] = err; err == nil {
					once.Do(func() { session = got })
				}
			})
		}
		wg.Wait()
		succeeded := 0
		for _, err := range errs {
			if err == nil {
				succeeded++
			} else if !errors.Is(err, gormkey.ErrInvalidSession) {
				t.Errorf("%d: got %v, want %v", i, err, gormkey.ErrInvalidSession)
			}
		}
		if succeeded != 1 || session.ID == old.ID {
			t.Fatalf("%d: %d of the calls at once succeeded, want 1", i, succeeded)
		}
		kept = append(kept, string(session.ID), string(other.ID))
		slices.Sort(kept)
		if ids := sessionLookup(t, db); !slices.Equal(ids, kept) {
			t.Errorf("%d: the lookup vindex has %q, want %q", i, ids, kept)
		}
		stored, err := auth.ValidateSession(ctx, session.Token)
		app.Must(t, err)
		if stored.ID != session.ID || stored.UserID != old.UserID || stored.OpenedAt != old.OpenedAt || stored.AuthenticatedAt != gormkey.UnixMilli(clock.Now().UnixMilli()) || stored.Methods != "pwd" {
			t.Errorf("%d: got %+v", i, stored)
		}
		if _, err := auth.ValidateSession(ctx, old.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
			t.Errorf("%d: the old token: got %v, want %v", i, err, gormkey.ErrInvalidSession)
		}
		_, err = auth.ValidateSession(ctx, other.Token)
		app.Must(t, err)
	}
}

// ownOperation is what a user does to their own account, by a repository bound to a session.
type ownOperation struct {
	name string
	call func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, other gormkey.SessionID) error
}

var ownOperations = []ownOperation{
	{"AddKey", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, _ gormkey.SessionID) error {
		_, err := own.AddKey(ctx, ada.ID, gormkey.Proved("github", ada.ID))
		return err
	}},
	{"ShareKey", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, _ gormkey.SessionID) error {
		_, err := own.ShareKey(ctx, gormkey.KeyID{Provider: "username", ID: ada.ID}, app.Email(ada.Email).KeyID())
		return err
	}},
	{"RenameKey", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, _ gormkey.SessionID) error {
		return own.RenameKey(ctx, ada.ID, app.Email(ada.Email).KeyID(), "new-"+ada.Email)
	}},
	{"RemoveKey", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, _ gormkey.SessionID) error {
		return own.RemoveKey(ctx, ada.ID, app.Email(ada.Email).KeyID(), gormkey.AllowLastKey())
	}},
	{"ChangePassword", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, other gormkey.SessionID) error {
		_, err := own.ChangePassword(ctx, app.Email(ada.Email), "another long password", other)
		return err
	}},
	{"OverwritePassword", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, other gormkey.SessionID) error {
		changed := app.Email(ada.Email)
		changed.Password = "another long password"
		_, err := own.OverwritePassword(ctx, changed, other)
		return err
	}},
	{"UpdateUserAttributes", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, _ gormkey.SessionID) error {
		_, err := own.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Email": "new-" + ada.Email})
		return err
	}},
	{"IssueToken", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, _ gormkey.SessionID) error {
		_, err := own.IssueToken(ctx, ada.ID, gormkey.PurposeChangeEmail, "new@example.com", time.Hour)
		return err
	}},
	{"DeleteUser", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, _ gormkey.SessionID) error {
		return own.DeleteUser(ctx, ada.ID)
	}},
	{"EndSession", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, other gormkey.SessionID) error {
		return own.EndSession(ctx, ada.ID, other)
	}},
	{"EndOtherSessions", func(ctx context.Context, own *gormkey.Repository[app.Account], ada *app.Account, other gormkey.SessionID) error {
		return own.EndOtherSessions(ctx, ada.ID, other)
	}},
}

// TestVitessAs: each operation of a bound repository, on either shard. A session that is not
// recent, has ended or is of a user on the other shard changes nothing.
func TestVitessAs(t *testing.T) {
	const tenMinutes = 10 * time.Minute
	db := openSharded(t)
	clock := gormkeytest.NewClock()
	auth := app.Install(t, db, app.New(gormkey.WithPlanetScale(), gormkey.WithSessionFacts(), gormkey.WithOneTimeTokens(), gormkey.WithClock(clock.Now)))
	settle(t, db, factsQuery)
	// An operation that waits for itself over two shards would end after 30 seconds.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	signUp := func(name string) *app.Account {
		t.Helper()
		ada := &app.Account{Email: name + "@example.com"}
		app.Must(t, auth.CreateUser(ctx, ada, app.Email(ada.Email)))
		return ada
	}
	signIn := func(ada *app.Account) *gormkey.Session[app.Account] {
		t.Helper()
		session, err := auth.SignIn(ctx, app.Email(ada.Email))
		app.Must(t, err)
		return session
	}
	others := make([]*gormkey.Session[app.Account], 4) // on either shard
	for i := range others {
		others[i] = signIn(signUp(fmt.Sprint("other", i)))
	}
	for _, o := range ownOperations {
		for i := range 4 {
			ada := signUp(fmt.Sprint(o.name, i))
			stale, other := signIn(ada), signIn(ada)
			clock.Advance(tenMinutes + time.Millisecond)
			recent, ended := signIn(ada), signIn(ada)
			app.Must(t, auth.SignOut(ctx, ended.Token))
			forged := *others[i]
			forged.UserID = ada.ID
			before, lookup := rows(t, db), sessionLookup(t, db)
			for name, c := range map[string]struct {
				session *gormkey.Session[app.Account]
				want    error
			}{
				"stale": {stale, gormkey.ErrNotRecent}, "ended": {ended, gormkey.ErrInvalidSession},
				"another user's": {others[i], gormkey.ErrInvalidSession}, "with a forged owner": {&forged, gormkey.ErrInvalidSession},
			} {
				if err := o.call(ctx, auth.As(c.session, tenMinutes), ada, other.ID); !errors.Is(err, c.want) {
					t.Errorf("%s, %s: got %v, want %v", o.name, name, err, c.want)
				}
			}
			if after := rows(t, db); after != before || !slices.Equal(sessionLookup(t, db), lookup) {
				t.Errorf("%s: after the refusals got %s, want %s", o.name, after, before)
			}
			begun := time.Now()
			if err := o.call(ctx, auth.As(recent, tenMinutes), ada, other.ID); err != nil {
				t.Errorf("%s: %v", o.name, err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("%s: took %v", o.name, took)
			}
			if rows(t, db) == before {
				t.Errorf("%s: changed nothing", o.name)
			}
		}
	}
	findings, err := auth.Audit(ctx)
	app.Must(t, err)
	if len(findings) > 0 {
		t.Errorf("audit: got %v, want nothing", findings)
	}
}
