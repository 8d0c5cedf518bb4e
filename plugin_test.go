package gormkey_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/internal/random"
)

// sqliteOptions is what a SQLite database of an application needs; see docs/sqlite.md.
const sqliteOptions = "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"

func newDB(t testing.TB) *gorm.DB { return newDBWith(t, &gorm.Config{}) }

func newDBWith(t testing.TB, config *gorm.Config) *gorm.DB {
	t.Helper()
	return openSQLite(t, sqlite.Open(sqliteDSN(t)), config)
}

func sqliteDSN(t testing.TB) string {
	return "file:" + filepath.Join(t.TempDir(), "test.db") + sqliteOptions
}

func openSQLite(t testing.TB, dialector gorm.Dialector, config *gorm.Config) *gorm.DB {
	t.Helper()
	config.Logger = logger.Discard
	db, err := gorm.Open(dialector, config)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return db
}

func TestContract(t *testing.T) {
	t.Parallel()
	gormkeytest.Run(t, newDB)
}

// TestContractWithoutForeignKeys runs it in the mode that keeps keys and sessions whole
// without them.
func TestContractWithoutForeignKeys(t *testing.T) {
	t.Parallel()
	gormkeytest.Run(t, newDB, gormkeytest.WithoutForeignKeys())
}

type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

// register opens an empty database for Account.
func register(t testing.TB, opts ...gormkey.Option) (*gorm.DB, *gormkey.Repository[Account]) {
	t.Helper()
	db := newDB(t)
	opts = append([]gormkey.Option{gormkey.WithPasswordHasher(authtest.FastHasher())}, opts...)
	plugin := gormkey.New[Account](opts...)
	if err := db.Use(plugin); err != nil {
		t.Fatal(err)
	}
	if err := plugin.AutoMigrate(db); err != nil {
		t.Fatal(err)
	}
	auth, err := gormkey.From[Account](db)
	if err != nil {
		t.Fatal(err)
	}
	return db, auth
}

// TestGORMInternals pins what we read of GORM without being offered it. If it fails
// after an upgrade, the plugin still works, slower and with fewer checks.
func TestGORMInternals(t *testing.T) {
	db, auth := register(t)
	if !compiled(t, db, auth) {
		t.Error("GORM keeps its callbacks elsewhere: session checks build their statement each time")
	}
	noop := func(*gorm.DB) {}
	if err := db.Callback().Query().After("gorm:query").Register("otel:after:select", noop); err != nil {
		t.Fatal(err)
	}
	if !compiled(t, db, auth) {
		t.Error("a tracing callback counts as one of the application")
	}
	if err := db.Callback().Query().Before("gorm:query").Register("app:tenant", noop); err != nil {
		t.Fatal(err)
	}
	if compiled(t, db, auth) {
		t.Error("a Query callback of the application is not seen")
	}
	replaced, auth2 := register(t)
	if err := replaced.Callback().Query().Replace("gorm:query", noop); err != nil {
		t.Fatal(err)
	}
	if compiled(t, replaced, auth2) {
		t.Error("a replaced Query callback is not seen")
	}
}

// compiled reports whether a session check sends its compiled statement, which passes GORM's
// callbacks of Row and not those of Query.
func compiled(t *testing.T, db *gorm.DB, auth *gormkey.Repository[Account]) bool {
	t.Helper()
	rows := 0
	name := fmt.Sprint("test:", random.String(8))
	if err := db.Callback().Row().Register(name, func(*gorm.DB) { rows++ }); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Callback().Row().Remove(name) }()
	if _, err := auth.ValidateSession(t.Context(), gormkey.Token(random.String(40))); !errors.Is(err, gormkey.ErrInvalidSession) {
		t.Fatal(err)
	}
	return rows > 0
}

// TestConfigPlugins registers the plugin in gorm.Config instead of by db.Use.
func TestConfigPlugins(t *testing.T) {
	plugin := gormkey.New[Account]()
	db := newDBWith(t, &gorm.Config{Plugins: map[string]gorm.Plugin{"mine": plugin}})
	if err := plugin.AutoMigrate(db); err != nil {
		t.Fatal(err)
	}
	auth, err := gormkey.From[Account](db)
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.CreateUser(t.Context(), &Account{Email: "ada@example.com"}); err != nil {
		t.Fatal(err)
	}
	if err := plugin.Initialize(db); err != nil { // as dbresolver does for each replica
		t.Errorf("a second Initialize for the same database: %v", err)
	}
}

// TestExpiryStorageClasses reads and renews what other programs left in SQLite columns.
func TestExpiryStorageClasses(t *testing.T) {
	clock := authtest.NewClock()
	now := clock.Now().UnixMilli()
	for name, literal := range map[string]string{
		"INTEGER": "%d", "REAL": "%d.0", "TEXT": "'%d'", "TEXT of a JavaScript number": "'%d.0'", "BLOB of digits": "CAST('%d' AS BLOB)",
	} {
		for _, columnType := range []string{"bigint", "blob"} {
			db, auth := register(t, gormkey.WithClock(clock.Now))
			if columnType == "blob" { // keeps the class that it is given, as in a schema made by Drizzle
				for _, sql := range []string{
					"DROP TABLE user_session",
					"CREATE TABLE user_session (id text PRIMARY KEY, user_id text NOT NULL REFERENCES auth_user (id), active_expires blob NOT NULL, idle_expires blob NOT NULL)",
				} {
					if err := db.Exec(sql).Error; err != nil {
						t.Fatal(err)
					}
				}
			}
			user := &Account{Email: "ada@example.com"}
			if err := auth.CreateUser(t.Context(), user); err != nil {
				t.Fatal(err)
			}
			token := gormkey.Token(random.String(40))
			value := func(ms int64) string { return fmt.Sprintf(literal, ms) }
			insert := fmt.Sprintf("INSERT INTO user_session (id, user_id, active_expires, idle_expires) VALUES ('%s', '%s', %s, %s)", token.ID(), user.ID, value(now-1), value(now+1000))
			if err := db.Exec(insert).Error; err != nil {
				t.Fatal(err)
			}
			got, err := auth.ValidateSession(t.Context(), token)
			if err != nil || !got.Fresh {
				t.Errorf("%s in a %s column: got %+v, %v, want a renewed session", name, columnType, got, err)
				continue
			}
			var class string
			if err := db.Raw("SELECT typeof(idle_expires) FROM user_session").Scan(&class).Error; err != nil || class != "integer" {
				t.Errorf("%s in a %s column: renewed as %q, %v, want an integer", name, columnType, class, err)
			}
		}
	}
}

// TestSQLiteWithoutTxLock: transactions of the repository begin with a write, so that a
// DSN without _txlock=immediate works too.
func TestSQLiteWithoutTxLock(t *testing.T) {
	dsn := strings.TrimSuffix(sqliteDSN(t), "&_txlock=immediate")
	db := openSQLite(t, sqlite.Open(dsn), &gorm.Config{})
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(authtest.FastHasher()))
	if err := db.Use(plugin); err != nil {
		t.Fatal(err)
	}
	if err := plugin.AutoMigrate(db); err != nil {
		t.Fatal(err)
	}
	auth, err := gormkey.From[Account](db)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 15 {
				name := fmt.Sprintf("%d-%d", worker, i)
				login := gormkey.Credentials{Provider: "email", ID: name, Password: "correct horse"}
				user := &Account{Email: name}
				if err := auth.CreateUser(t.Context(), user, login); err != nil {
					t.Error("CreateUser:", err)
				}
				if _, err := auth.ChangePassword(t.Context(), login, "another horse", ""); err != nil {
					t.Error("ChangePassword:", err)
				}
				if err := auth.RemoveKey(t.Context(), user.ID, login.KeyID(), gormkey.AllowLastKey()); err != nil {
					t.Error("RemoveKey:", err)
				}
				if err := auth.DeleteUser(t.Context(), user.ID); err != nil {
					t.Error("DeleteUser:", err)
				}
			}
		})
	}
	wg.Wait()
}

// TestDatabaseErrorCodes: a driver's error is told by its shape, and an application's
// error of a similar shape is not taken for one.
func TestDatabaseErrorCodes(t *testing.T) {
	db, _ := register(t)
	n := 0
	create := func() error {
		n++
		return db.Create(&Account{User: gormkey.User{ID: "one"}, Email: fmt.Sprint(n)}).Error
	}
	if err := create(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""}, {"plain", errors.New("x"), ""}, {"modernc, primary key", create(), "1555"}, {"wrapped", fmt.Errorf("a: %w", create()), "1555"},
		{"joined", errors.Join(errors.New("first"), create()), "1555"}, {"MySQL's shape", &MySQLError{1062}, "1062"},
		{"an application's error with a code", &appError{5}, ""}, {"an application's error with a number", &numbered{5}, ""},
	} {
		if got := engine.Code(c.err); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

type MySQLError struct{ Number uint16 }

func (*MySQLError) Error() string { return "" }

type appError struct{ Code int }

func (*appError) Error() string { return "" }

type numbered struct{ Number uint16 }

func (*numbered) Error() string { return "" }

// sqliteCode has the shape of mattn's and ncruces' errors.
type sqliteCode struct{ ExtendedCode int }

func (sqliteCode) Error() string { return "" }

type sqlState string

func (sqlState) Error() string      { return "" }
func (s sqlState) SQLState() string { return string(s) }

func TestR35RetryableCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{sqliteCode{5}, true}, {sqliteCode{6}, true}, {sqliteCode{261}, true}, {sqliteCode{517}, true}, {sqliteCode{262}, true},
		{sqliteCode{1555}, false}, {sqliteCode{2067}, false}, {sqliteCode{787}, false}, {sqliteCode{13}, false}, {sqliteCode{1}, false},
		{sqlState("40001"), true}, {sqlState("40P01"), true}, {sqlState("55P03"), true}, {sqlState("23505"), false}, {sqlState("57014"), false},
		{&MySQLError{1213}, true}, {&MySQLError{1205}, true}, {&MySQLError{1020}, true}, {&MySQLError{1062}, false}, {&MySQLError{1045}, false},
		{errors.New("x"), false}, {nil, false},
	} {
		if got := gormkey.Retryable(c.err); got != c.want {
			t.Errorf("%#v: got %v, want %v", c.err, got, c.want)
		}
	}
}

func TestFoldEmail(t *testing.T) {
	for given, want := range map[string]string{
		"Ada@Example.COM":          "ada@example.com",
		" ada@example.com\t\n":     "ada@example.com",
		"ÅSA@exämple.com":          "åsa@exämple.com",
		"A\u030asa@example.com":    "åsa@example.com",          // NFC
		"\u212aen@example.com":     "\u212aen@example.com",     // the Kelvin sign is no k
		"\u0130brahim@example.com": "\u0130brahim@example.com", // nor is İ an i
		"ΑΒΓ@example.com":          "αβγ@example.com",
		"":                         "",
		"no address":               "no address",
	} {
		got := gormkey.FoldEmail(given)
		if got != want {
			t.Errorf("%+q: got %+q, want %+q", given, got, want)
		}
		if again := gormkey.FoldEmail(got); again != got {
			t.Errorf("%+q: folded twice it is %+q, not %+q", given, again, got)
		}
	}
}

// TestCompilerSaysEmbed: a struct without the library's does not compile, and the message says
// which one to embed.
func TestCompilerSaysEmbed(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"gormkey.New[Plain]()": "missing method mustEmbedUser",
		"gormkey.NewOf[Account, Plain, gormkey.Session[Account]]()": "missing method mustEmbedKey",
		"gormkey.NewOf[Account, gormkey.Key[Account], Plain]()":     "missing method mustEmbedSession",
	} {
		file := filepath.Join(t.TempDir(), "main.go")
		program := "package main\n\nimport \"github.com/gormkey/gormkey\"\n\ntype Plain struct{ Name string }\n\ntype Account struct{ gormkey.User }\n\nvar _ = " + source + "\n\nfunc main() {}\n"
		if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("go", "vet", file).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: got %v, want %q in %s", source, err, want, out)
		}
	}
}
