package integration_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// TestPostgresRights: a role that may read a user and not lock the row is told so. The right
// password is not called a wrong one, and a deletion that did not happen is an error.
func TestPostgresRights(t *testing.T) {
	postgresServer.connected(t)
	role := "gormkey_" + strings.ToLower(rand.Text())
	postgresServer.exec(t, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() { postgresServer.exec(t, "DROP ROLE "+role) })
	for _, c := range []struct {
		name       string
		statements []string
		setting    []string
		want       error // nil for a database's error with the code
		code       string
		idle       bool // an idle session is renewed
	}{
		{"read-only", nil, []string{"default_transaction_read_only", "on"}, nil, "25006", false},
		{"no right to update users", []string{"GRANT SELECT, INSERT, DELETE ON auth_user TO " + role}, []string{"user", role}, nil, "42501", true},
		{"row level security with a policy to read", []string{
			"GRANT ALL ON auth_user TO " + role, "ALTER TABLE auth_user ENABLE ROW LEVEL SECURITY", "CREATE POLICY readers ON auth_user FOR SELECT USING (true)",
		}, []string{"user", role}, gormkey.ErrRights, "", true},
	} {
		dsn, clock := newPostgres(t), gormkeytest.NewClock()
		admin := open(t, postgres.Open(dsn), &gorm.Config{})
		owner := app.Install(t, admin, app.New(gormkey.WithClock(clock.Now), gormkey.WithOneTimeTokens()))
		ada := &app.Account{Email: "ada@example.com"}
		app.Must(t, owner.CreateUser(t.Context(), ada, login))
		session, err := owner.SignIn(t.Context(), login)
		app.Must(t, err)
		for _, statement := range append(c.statements, "GRANT ALL ON user_key, user_session, user_token TO "+role) {
			app.Must(t, admin.Exec(statement).Error)
		}
		db := open(t, postgres.Open(postgresDSN(dsn, c.setting...)), &gorm.Config{})
		app.Must(t, db.Use(app.New(gormkey.WithClock(clock.Now), gormkey.WithOneTimeTokens())))
		auth, err := gormkey.From[app.Account](db)
		app.Must(t, err)
		for what, call := range map[string]func() error{
			"SignIn":      func() error { _, err := auth.SignIn(t.Context(), login); return err },
			"OpenSession": func() error { _, err := auth.OpenSession(t.Context(), ada.ID); return err },
			"AddKey": func() error {
				_, err := auth.AddKey(t.Context(), ada.ID, gormkey.Proved("github", "1"))
				return err
			},
			"IssueToken": func() error {
				_, err := auth.IssueToken(t.Context(), ada.ID, gormkey.PurposeMagicLink, "", 1e9)
				return err
			},
			"ChangePassword": func() error {
				_, err := auth.ChangePassword(t.Context(), login, login.Password, "")
				return err
			},
			"RemoveKey": func() error {
				return auth.RemoveKey(t.Context(), ada.ID, login.KeyID(), gormkey.AllowLastKey())
			},
			"DeleteUser": func() error { return auth.DeleteUser(t.Context(), ada.ID) },
		} {
			err := call()
			var database *gormkey.DatabaseError
			switch {
			case c.want != nil && !errors.Is(err, c.want):
				t.Errorf("%s: %s: got error %v, want %v", c.name, what, err, c.want)
			case c.want == nil && (!errors.As(err, &database) || database.Code != c.code):
				t.Errorf("%s: %s: got error %v, want code %s", c.name, what, err, c.code)
			}
		}
		// What is not there is not there, whatever the rights.
		if c.want != nil {
			if _, err := auth.OpenSession(t.Context(), "nobody-at-all"); !errors.Is(err, gormkey.ErrUserNotFound) {
				t.Errorf("%s: a session for nobody: got error %v, want %v", c.name, err, gormkey.ErrUserNotFound)
			}
			app.Must(t, auth.DeleteUser(t.Context(), "nobody-at-all"))
		}
		clock.Advance(gormkeytest.ActivePeriod + 1e9)
		got, err := auth.ValidateSession(t.Context(), session.Token)
		if err != nil || got.Fresh != c.idle {
			t.Errorf("%s: an idle session: got %+v, %v, want it valid, renewed %v", c.name, got, err, c.idle)
		}
		_, err = owner.SignIn(t.Context(), login)
		app.Must(t, err)
	}
}

// TestPostgresRightsToDelete: where a role may read a session, a key or a token and neither
// change nor delete it, an operation that would have to says so. It never reports a session as
// ended that goes on.
func TestPostgresRightsToDelete(t *testing.T) {
	postgresServer.connected(t)
	role := "gormkey_" + strings.ToLower(rand.Text())
	postgresServer.exec(t, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() { postgresServer.exec(t, "DROP ROLE "+role) })
	dsn, clock := newPostgres(t), gormkeytest.NewClock()
	admin := open(t, postgres.Open(dsn), &gorm.Config{})
	owner := app.Install(t, admin, app.New(gormkey.WithClock(clock.Now), gormkey.WithOneTimeTokens()))
	ada := &app.Account{Email: "ada@example.com"}
	second := gormkey.Credentials{Provider: "username", ID: "ada", Password: login.Password}
	app.Must(t, owner.CreateUser(t.Context(), ada, login, second))
	session, err := owner.SignIn(t.Context(), login)
	app.Must(t, err)
	reset, err := owner.IssueToken(t.Context(), ada.ID, gormkey.PurposeResetPassword, login.Provider+":"+login.ID, time.Hour)
	app.Must(t, err)
	app.Must(t, admin.Exec("GRANT ALL ON auth_user, user_key, user_session, user_token TO "+role).Error)
	for _, table := range []string{"user_key", "user_session", "user_token"} {
		for _, statement := range []string{
			"ALTER TABLE " + table + " ENABLE ROW LEVEL SECURITY",
			"CREATE POLICY readers ON " + table + " FOR SELECT USING (true)",
			"CREATE POLICY writers ON " + table + " FOR INSERT WITH CHECK (true)",
		} {
			app.Must(t, admin.Exec(statement).Error)
		}
	}
	var reader *gormkey.Repository[app.Account]
	for name, opts := range map[string][]gormkey.Option{
		"without hooks": nil, "with a hook": {gormkey.WithHook(func(*gorm.DB, event.Event) error { return nil })},
	} {
		db := open(t, postgres.Open(postgresDSN(dsn, "user", role)), &gorm.Config{})
		app.Must(t, db.Use(app.New(append(opts, gormkey.WithClock(clock.Now), gormkey.WithOneTimeTokens())...)))
		auth, err := gormkey.From[app.Account](db)
		app.Must(t, err)
		ctx := t.Context()
		for what, call := range map[string]func() error{
			"SignOut":            func() error { return auth.SignOut(ctx, session.Token) },
			"EndSessionOfAnyone": func() error { return auth.EndSessionOfAnyone(ctx, session.ID) },
			"EndSession":         func() error { return auth.EndSession(ctx, ada.ID, session.ID) },
			"EndOtherSessions":   func() error { return auth.EndOtherSessions(ctx, ada.ID, "another") },
			"EndAllSessions":     func() error { return auth.EndAllSessions(ctx, ada.ID) },
			"SignIn, replacing":  func() error { _, err := auth.SignIn(ctx, login, auth.Replacing(session.Token)); return err },
			"RemoveKey": func() error {
				return auth.RemoveKey(ctx, ada.ID, login.KeyID())
			},
			"RenameKey": func() error {
				return auth.RenameKey(ctx, ada.ID, login.KeyID(), "new")
			},
			"OverwritePassword": func() error { _, err := auth.OverwritePassword(ctx, login, ""); return err },
			"ChangePassword":    func() error { _, err := auth.ChangePassword(ctx, login, login.Password, ""); return err },
			"ResetPassword":     func() error { _, err := auth.ResetPassword(ctx, reset, login.Password); return err },
			"UseToken":          func() error { _, err := auth.UseToken(ctx, gormkey.PurposeResetPassword, reset, nil); return err },
		} {
			if err := call(); !errors.Is(err, gormkey.ErrRights) {
				t.Errorf("%s: %s: got error %v, want %v", name, what, err, gormkey.ErrRights)
			}
		}
		app.Must(t, auth.EndSessionOfAnyone(ctx, "not there"))
		_, err = auth.ValidateSession(ctx, session.Token)
		app.Must(t, err)
		reader = auth
	}
	var sessions, keys, tokens int64
	app.Must(t, admin.Table("user_session").Count(&sessions).Error)
	app.Must(t, admin.Table("user_key").Count(&keys).Error)
	app.Must(t, admin.Table("user_token").Count(&tokens).Error)
	if sessions != 1 || keys != 2 || tokens != 1 {
		t.Errorf("got %d sessions, %d keys, %d tokens, want 1, 2, 1", sessions, keys, tokens)
	}
	clock.Advance(gormkeytest.ActivePeriod + 1e9)
	if got, err := reader.ValidateSession(t.Context(), session.Token); err != nil || got.Fresh {
		t.Errorf("an idle session: got %v, %v, want it valid and not renewed", got, err)
	}
	if got, err := owner.ValidateSession(t.Context(), session.Token); err != nil || !got.Fresh {
		t.Errorf("an idle session, for the owner of the tables: got %v, %v, want it renewed", got, err)
	}
}
