package integration_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
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
			"SignIn":        func() error { _, err := auth.SignIn(t.Context(), login); return err },
			"CreateSession": func() error { _, err := auth.CreateSession(t.Context(), ada.ID); return err },
			"CreateKey": func() error {
				_, err := auth.CreateKey(t.Context(), ada.ID, gormkey.Credentials{Provider: "github", ID: "1", NoPassword: true})
				return err
			},
			"IssueToken": func() error {
				_, err := auth.IssueToken(t.Context(), ada.ID, gormkey.MagicLink, "", 1e9)
				return err
			},
			"ChangePassword": func() error { _, err := auth.ChangePassword(t.Context(), login, ""); return err },
			"DeleteKey": func() error {
				return auth.DeleteKey(t.Context(), login.Provider, login.ID, gormkey.AllowLastKey())
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
			if _, err := auth.CreateSession(t.Context(), "nobody-at-all"); !errors.Is(err, gormkey.ErrInvalidUser) {
				t.Errorf("%s: a session for nobody: got error %v, want %v", c.name, err, gormkey.ErrInvalidUser)
			}
			app.Must(t, auth.DeleteUser(t.Context(), "nobody-at-all"))
		}
		clock.Advance(gormkey.DefaultActivePeriod + 1e9)
		got, err := auth.ValidateSession(t.Context(), session.Token)
		if err != nil || got.Fresh != c.idle {
			t.Errorf("%s: an idle session: got %+v, %v, want it valid, renewed %v", c.name, got, err, c.idle)
		}
		_, err = owner.SignIn(t.Context(), login)
		app.Must(t, err)
	}
}
