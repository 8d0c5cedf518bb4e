package integration_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// upgradeDSNs returns an empty database of each engine, on which two releases run at the same time.
var upgradeDSNs = map[string]func(t *testing.T) gorm.Dialector{
	"sqlite": func(t *testing.T) gorm.Dialector {
		return sqlite.Open("file:" + filepath.Join(t.TempDir(), "test.db") + "?_foreign_keys=1&_busy_timeout=20000&_journal_mode=WAL&_txlock=immediate")
	},
	"postgres":   func(t *testing.T) gorm.Dialector { return postgresServer.dialector(postgresServer.newDSN(t)) },
	"postgres18": func(t *testing.T) gorm.Dialector { return postgres18Server.dialector(postgres18Server.newDSN(t)) },
	"mariadb":    func(t *testing.T) gorm.Dialector { return mariadbServer.dialector(mariadbServer.newDSN(t)) },
	"mysql":      func(t *testing.T) gorm.Dialector { return mysqlServer.dialector(mysqlServer.newDSN(t)) },
}

// TestUpgradeFacts: processes without WithSessionFacts, as those of an older release are, sign
// people in, renew their sessions and sign them out, while one with it adds the columns. None of
// them notices, and neither release turns the other's sessions away.
func TestUpgradeFacts(t *testing.T) {
	for name, newDialector := range upgradeDSNs {
		t.Run(name, func(t *testing.T) {
			for round := range 3 {
				upgradeFacts(t, newDialector(t), fmt.Sprintf("round %d", round))
			}
		})
	}
}

type upgraded = *gormkey.Repository[app.Account]

func upgradeFacts(t *testing.T, dialector gorm.Dialector, round string) {
	// Each process has a plugin and connections of its own. One keeps prepared statements. The
	// clock of the last is a day ahead, so that it renews what the others open.
	ahead := gormkey.WithClock(func() time.Time { return time.Now().Add(gormkeytest.ActivePeriod + time.Minute) })
	start := func(prepared bool, opts ...gormkey.Option) (*gorm.DB, *gormkey.Plugin[app.Account]) {
		t.Helper()
		db, plugin := open(t, dialector, &gorm.Config{PrepareStmt: prepared}), app.New(opts...)
		app.Must(t, db.Use(plugin))
		return db, plugin
	}
	repository := func(plugin *gormkey.Plugin[app.Account]) upgraded {
		t.Helper()
		auth, err := plugin.Repository()
		app.Must(t, err)
		return auth
	}
	db, first := start(false)
	app.Must(t, first.AutoMigrate(db))
	if db.Migrator().HasColumn("user_session", "authenticated_at") {
		t.Fatal("there are facts without the option")
	}
	_, second := start(true)
	_, third := start(true, ahead)
	old, renewing := []upgraded{repository(first), repository(second)}, repository(third)
	next, plugin := start(true, gormkey.WithSessionFacts())
	auth := repository(plugin)

	const writers = 8
	var kept [writers][]gormkey.Token // of old processes
	var users [writers]*app.Account
	var rounds atomic.Int64
	var migrated atomic.Bool
	var warm, workers sync.WaitGroup
	ctx := context.WithoutCancel(t.Context())
	for i := range writers {
		users[i] = &app.Account{Email: fmt.Sprintf("%d@example.com", i)}
		app.Must(t, old[0].CreateUser(ctx, users[i], app.Email(users[i].Email)))
	}
	warm.Add(writers)
	for i := range writers {
		workers.Go(func() {
			err := oldRound(ctx, old[i%2], renewing, i, &kept[i])
			warm.Done()
			for after := 0; err == nil && after < 10; { // and some time with the columns
				if migrated.Load() {
					after++
				}
				err = oldRound(ctx, old[i%2], renewing, i, &kept[i])
				rounds.Add(1)
			}
			if err != nil {
				t.Errorf("%s: an old process: %v", round, err)
			}
		})
	}
	warm.Wait() // the statements are prepared
	before, begun := rounds.Load(), time.Now()
	err := plugin.AutoMigrate(next)
	took := time.Since(begun)
	during := rounds.Load() - before
	migrated.Store(true)
	var news [writers]*gormkey.Session[app.Account]
	if err == nil {
		for i := range writers { // the new process opens sessions while the old ones do
			workers.Go(func() {
				var err error
				if news[i], err = auth.SignIn(ctx, app.Email(users[i].Email), auth.Remembered(true)); err != nil {
					t.Errorf("%s: the new process: %v", round, err)
				}
			})
		}
	}
	workers.Wait()
	app.Must(t, err)
	if t.Failed() {
		return
	}
	t.Logf("%s: AutoMigrate took %v, with %d rounds of the old processes meanwhile and %d after it", round, took.Round(time.Millisecond), during, rounds.Load()-before-during)

	log := new(app.DDL)
	app.Must(t, plugin.AutoMigrate(next.Session(&gorm.Session{Logger: log})))
	if got := log.Statements(); len(got) > 0 {
		t.Errorf("%s: a second migration: got DDL %q, want none", round, got)
	}
	for i := range writers {
		for _, token := range kept[i] {
			for _, process := range append(old, renewing) {
				_, err := process.ValidateSession(ctx, token)
				app.Must(t, err)
			}
			session, err := auth.ValidateSession(ctx, token)
			app.Must(t, err)
			if session.OpenedAt != 0 || session.AuthenticatedAt != 0 || session.FactorAt != 0 || session.Methods != "" || session.Remembered != nil {
				t.Errorf("%s: an old process's session: got facts %+v, want none", round, session)
			}
			if session.RecentWithin(time.Now(), 24*time.Hour) {
				t.Errorf("%s: an old process's session is recent", round)
			}
			_, err = auth.As(session, 24*time.Hour).UpdateUserAttributes(ctx, session.UserID, map[string]any{"Email": "changed"})
			if recent := auth.CheckRecent(session, 24*time.Hour); !errors.Is(err, gormkey.ErrNotRecent) || !errors.Is(recent, gormkey.ErrNotRecent) {
				t.Errorf("%s: an old process's session: got %v and %v, want %v", round, err, recent, gormkey.ErrNotRecent)
			}
			if user, err := auth.GetUser(ctx, session.UserID); err != nil || user.Email != users[i].Email {
				t.Errorf("%s: after the refusal: got %+v, %v, want %q", round, user, err, users[i].Email)
			}
		}
		app.Must(t, sharedLife(ctx, old[i%2], renewing, auth, kept[i][0], news[i]))
	}
}

// oldRound is what a process without facts does for a person: it keeps a session of every round.
func oldRound(ctx context.Context, old, renewing upgraded, i int, kept *[]gormkey.Token) error {
	login := app.Email(fmt.Sprintf("%d@example.com", i))
	stays, err := old.SignIn(ctx, login)
	if err != nil {
		return fmt.Errorf("SignIn: %w", err)
	}
	ends, err := old.OpenSession(ctx, stays.UserID)
	if err != nil {
		return fmt.Errorf("OpenSession: %w", err)
	}
	if _, err := old.ValidateSession(ctx, ends.Token); err != nil {
		return fmt.Errorf("ValidateSession: %w", err)
	}
	if renewed, err := renewing.ValidateSession(ctx, stays.Token); err != nil || !renewed.Fresh {
		return fmt.Errorf("renewal: %+v, %w", renewed, err)
	}
	if sessions, err := old.UserSessions(ctx, stays.UserID); err != nil || len(sessions) < 2 {
		return fmt.Errorf("UserSessions: %d, %w", len(sessions), err)
	}
	if err := old.SignOut(ctx, ends.Token); err != nil {
		return fmt.Errorf("SignOut: %w", err)
	}
	if _, err := old.ValidateSession(ctx, ends.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		return fmt.Errorf("ValidateSession after the sign-out: %w", err)
	}
	*kept = append(*kept, stays.Token)
	return nil
}

// sharedLife takes a session that an old process opened, and one of the new process, through both.
func sharedLife(ctx context.Context, old, renewing, auth upgraded, token gormkey.Token, opened *gormkey.Session[app.Account]) error {
	if _, err := old.ValidateSession(ctx, opened.Token); err != nil {
		return fmt.Errorf("the new one's session at the old one: %w", err)
	}
	if renewed, err := renewing.ValidateSession(ctx, opened.Token); err != nil || !renewed.Fresh {
		return fmt.Errorf("its renewal by an old one: %+v, %w", renewed, err)
	}
	session, err := auth.ValidateSession(ctx, opened.Token)
	if err != nil {
		return err
	}
	if session.OpenedAt != opened.OpenedAt || session.AuthenticatedAt != opened.AuthenticatedAt || session.Methods != authtype.Methods("pwd") || session.Remembered == nil || !*session.Remembered {
		return fmt.Errorf("after the renewal by an old one: %+v, want the facts of %+v", session, opened)
	}
	again, err := auth.Reauthenticate(ctx, token, app.Email(opened.User.Email))
	if err != nil {
		return fmt.Errorf("Reauthenticate: %w", err)
	}
	if _, err := old.ValidateSession(ctx, again.Token); err != nil {
		return fmt.Errorf("the re-authenticated session at the old one: %w", err)
	}
	if _, err := old.ValidateSession(ctx, token); !errors.Is(err, gormkey.ErrInvalidSession) {
		return fmt.Errorf("its old token at the old one: %w", err)
	}
	if err := auth.As(again, 10*time.Minute).EndSession(ctx, again.UserID, opened.ID); err != nil {
		return fmt.Errorf("EndSession: %w", err)
	}
	if _, err := old.ValidateSession(ctx, opened.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		return fmt.Errorf("what the new one ended, at the old one: %w", err)
	}
	if err := old.SignOut(ctx, again.Token); err != nil {
		return fmt.Errorf("SignOut: %w", err)
	}
	if _, err := auth.ValidateSession(ctx, again.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		return fmt.Errorf("what the old one ended, at the new one: %w", err)
	}
	return nil
}

// TestUpgradeOpenTransaction: a transaction of the application's has read a session when the columns
// are to be added. Session checks then wait with the migration for its end. MySQL and MariaDB end it
// if it goes on to write, since it waits for the migration that waits for it; it may be retried.
func TestUpgradeOpenTransaction(t *testing.T) {
	for name, newDialector := range upgradeDSNs {
		t.Run(name, func(t *testing.T) {
			dialector, ctx := newDialector(t), t.Context()
			db := open(t, dialector, &gorm.Config{})
			old := app.Install(t, db, app.New())
			ada := &app.Account{Email: "ada@example.com"}
			app.Must(t, old.CreateUser(ctx, ada, app.Email(ada.Email)))
			session, err := old.SignIn(ctx, app.Email(ada.Email))
			app.Must(t, err)
			next, plugin := open(t, dialector, &gorm.Config{}), app.New(gormkey.WithSessionFacts())
			app.Must(t, next.Use(plugin))

			migrated, checked := make(chan error, 1), make(chan error, 1)
			tries := 0
			act := func() error {
				return db.Transaction(func(tx *gorm.DB) error {
					if _, err := old.With(tx).ValidateSession(ctx, session.Token); err != nil {
						return err
					}
					if tries++; tries == 1 {
						go func() { migrated <- plugin.AutoMigrate(next) }()
						waiting(t, db, 1)
						go func() { _, err := old.ValidateSession(ctx, session.Token); checked <- err }()
						waiting(t, db, 2)
					}
					_, err := old.With(tx).OpenSession(ctx, ada.ID)
					return err
				})
			}
			err = act()
			for tries < 10 && db.Name() == "mysql" && gormkey.Retryable(err) { // once for each column at most
				err = act()
			}
			app.Must(t, err)
			app.Must(t, <-migrated)
			app.Must(t, <-checked)
			if sessions, err := old.UserSessions(ctx, ada.ID); err != nil || len(sessions) != 2 {
				t.Errorf("got %d sessions, %v, want 2", len(sessions), err)
			}
			t.Logf("%d tries", tries)
		})
	}
}

// waiting returns once so many statements wait for a lock of a table. Nothing tells that on SQLite,
// where the migration gets the time to begin.
func waiting(t *testing.T, db *gorm.DB, want int) {
	t.Helper()
	count := map[string]string{
		"postgres": "SELECT COUNT(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND NOT l.granted",
		"mysql":    "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND state LIKE 'Waiting for table metadata lock%'",
	}[db.Name()]
	if count == "" {
		time.Sleep(100 * time.Millisecond)
		return
	}
	n := 0
	for end := time.Now().Add(30 * time.Second); n < want; time.Sleep(10 * time.Millisecond) {
		app.Must(t, db.Raw(count).Scan(&n).Error)
		if n < want && time.Now().After(end) {
			t.Fatalf("%d statements wait, want %d", n, want)
		}
	}
}
