package gormkeytest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/throttle"
)

// mistakeCases are what new users do, with the text that tells them what to do instead.
var mistakeCases = []testCase{
	{"mistake/no tables yet", mistakeNoTables},
	{"mistake/a column is not migrated", mistakeNoColumn},
	{"mistake/a type that has no plugin", mistakeOtherType},
	{"mistake/a second plugin for a type", mistakeTwoPlugins},
	{"mistake/a hash given as a password", mistakeHash},
	{"mistake/other names of tables later", mistakeOldNames},
	{"mistake/no table of the throttle", mistakeNoThrottle},
}

// wantText asserts what an error says.
func wantText(s *suite, what string, err error, texts ...string) {
	s.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			s.Errorf("%s: got error %v, want %q in it", what, err, text)
		}
	}
}

func mistakeNoTables(s *suite) {
	db := s.newDB(s.T)
	must(s, db.Use(newAccounts(s, gormkey.WithPasswordHasher(FastHasher()))))
	auth, err := from(db)
	must(s, err)
	ctx := s.Context()
	want := func(table string) []string {
		return []string{"the table " + table + " does not exist: run plugin.AutoMigrate, or your migrations"}
	}
	wantText(s, "CreateUser", auth.CreateUser(ctx, &account{Email: "ada@example.com"}, email("ada@example.com")), "the table ", " does not exist: run plugin.AutoMigrate, or your migrations")
	_, err = auth.SignIn(ctx, email("ada@example.com"))
	wantText(s, "SignIn", err, want("user_key")...)
	_, err = auth.ValidateSession(ctx, newToken())
	wantText(s, "ValidateSession", err, "the table ", " does not exist: run plugin.AutoMigrate, or your migrations")
	_, err = auth.GetUser(ctx, "nobody")
	wantText(s, "GetUser", err, want("auth_user")...)
	_, err = auth.UserSessions(ctx, "nobody")
	wantText(s, "UserSessions", err, "the table ", " does not exist: run plugin.AutoMigrate, or your migrations")
	equal(s, "table", db.Migrator().HasTable("auth_user"), false)
}

func mistakeNoColumn(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	db := s.again(f.db)
	must(s, db.Use(newAccounts(s, gormkey.WithAbsoluteLifetime(90*24*time.Hour))))
	auth, err := from(db)
	must(s, err)
	_, err = auth.OpenSession(s.Context(), ada.ID)
	wantText(s, "OpenSession", err, "the column absolute_expires does not exist: run plugin.AutoMigrate, or your migrations")
	_, err = auth.UserSessions(s.Context(), ada.ID)
	wantText(s, "UserSessions", err, "the column absolute_expires does not exist: run plugin.AutoMigrate, or your migrations")
	equal(s, "sessions", count(s, f.db, "user_session"), 0)
}

func mistakeOtherType(s *suite) {
	f := s.accounts()
	_, err := gormkey.From[admin](f.db)
	wantErr(s, "another struct", err, gormkey.ErrNotRegistered)
	wantText(s, "another struct", err, "gormkeytest.admin is no user type of this database, which has plugins for gormkeytest.account")
	_, err = gormkey.From[*account](f.db)
	wantErr(s, "a pointer", err, gormkey.ErrNotRegistered)
	wantText(s, "a pointer", err, "*gormkeytest.account is no user type of this database, which has plugins for gormkeytest.account")
	_, err = gormkey.From[account](f.db)
	wantErr(s, "other keys and sessions", err, gormkey.ErrNotRegistered)
	wantText(s, "other keys and sessions", err, "use FromOf with its types, or its Repository method")
	_, err = gormkey.From[account](s.again(f.db))
	wantErr(s, "no plugin", err, gormkey.ErrNotRegistered)
	wantText(s, "no plugin", err, "call db.Use right after gorm.Open, and look at its error")
}

func mistakeTwoPlugins(s *suite) {
	f := s.accounts()
	err := f.db.Use(newAccounts(s))
	wantText(s, "a second plugin", err, "the database has a plugin for this user type already; get its operations with its Repository method or with gormkey.From")
	err = f.db.Use(gormkey.New[account](s.options...))
	wantText(s, "with other sessions", err, "the database has a plugin for this user type already")
	ada := signUp(s, f, "ada") // by the first, which works on
	must(s, f.db.Transaction(func(tx *gorm.DB) error {
		_, err := f.With(tx).GetUser(s.Context(), ada.ID)
		return err
	}))
	must(s, f.plugin.AutoMigrate(f.db))
}

// mistakeHash: such a password would be hashed again, and nobody could sign in with it.
func mistakeHash(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	before := rows(s, f.db)
	for name, hash := range map[string]string{
		"bcrypt":   "$2a$10$" + strings.Repeat("x", 53),
		"argon2id": "$argon2id$v=19$m=19456,t=2,p=1$" + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43),
	} {
		c := gormkey.Credentials{Provider: "email", ID: "bob@example.com", Password: hash}
		for call, err := range map[string]error{
			"CreateUser":     f.CreateUser(ctx, &account{Email: "bob@example.com"}, c),
			"AddKey":         second(f.AddKey(ctx, ada.ID, c)),
			"ChangePassword": second(f.ChangePassword(ctx, email(ada.Email), hash, "")),
		} {
			wantErr(s, name+", "+call, err, gormkey.ErrInvalidArgument)
			wantText(s, name+", "+call, err, "looks like a password hash, not like a password", "gormkey.Imported")
		}
	}
	equal(s, "rows", rows(s, f.db), before)
	_, err := f.SignIn(ctx, email(ada.Email)) // whose password is what it was
	must(s, err)
}

// mistakeOldNames: new tables are made, empty, and nobody can sign in.
func mistakeOldNames(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	names := gormkey.WithTableNames(gormkey.TableNames{User: "people", Key: "people_keys", Session: "people_sessions"})
	migrate := func(db *gorm.DB, plugin gorm.Plugin, autoMigrate func(*gorm.DB, ...any) error) string {
		s.Helper()
		log := new(warnings)
		db.Logger = log
		must(s, db.Use(plugin))
		must(s, autoMigrate(db))
		return strings.Join(log.texts, "\n")
	}
	db := s.again(f.db)
	plugin := newAccounts(s, names)
	got := migrate(db, plugin, plugin.AutoMigrate)
	if want := "AutoMigrate makes the table people_keys, and there is user_key: if you have changed the tables' names, nobody can sign in until you rename the old tables in Plugin.Migrate"; !strings.Contains(got, want) {
		s.Errorf("got the warnings %q, want %q", got, want)
	}
	db = s.again(f.db)
	plugin = newAccounts(s, names)
	equal(s, "warnings of a second run", migrate(db, plugin, plugin.AutoMigrate), "")
	_, err := f.SignIn(s.Context(), email(ada.Email)) // under the old names
	must(s, err)
}

// warnings is a logger that keeps the warnings.
type warnings struct{ texts []string }

func (w *warnings) LogMode(logger.LogLevel) logger.Interface { return w }
func (w *warnings) Info(context.Context, string, ...any)     {}
func (w *warnings) Error(context.Context, string, ...any)    {}
func (w *warnings) Warn(_ context.Context, format string, args ...any) {
	w.texts = append(w.texts, fmt.Sprintf(format, args...))
}
func (w *warnings) Trace(context.Context, time.Time, func() (string, int64), error) {}

func mistakeNoThrottle(s *suite) {
	limits, err := throttle.New(s.newDB(s.T))
	must(s, err)
	err = limits.Do(s.Context(), "email:ada@example.com", throttle.Client{}, func() error {
		s.Error("the attempt was called")
		return nil
	})
	wantText(s, "Do", err, "throttle: the table auth_throttle does not exist: run Throttle.AutoMigrate")
}
