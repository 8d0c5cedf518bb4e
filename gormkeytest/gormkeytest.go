// Package gormkeytest is gormkey's contract as tests: what every database, driver and
// DSN must answer. gormkey runs it on the engines that it supports; run it on yours:
//
//	func TestContract(t *testing.T) {
//		gormkeytest.Run(t, func(t testing.TB) *gorm.DB {
//			// open an empty database, and drop it in t.Cleanup
//		})
//	}
//
// It needs nothing but the standard library, gorm and gormkey.
package gormkeytest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/password"
)

// NewDB opens an empty database of the test's own, with foreign keys enforced unless the
// settings say otherwise, that is closed and removed when t ends. The handle has no plugin yet.
type NewDB func(t testing.TB) *gorm.DB

// Run runs the contract, each case on a database of its own. Races run at a size that
// takes seconds; -short makes them smaller, and GORMKEY_FULL=1 as large as a thousand
// deletes against two thousand creates.
func Run(t *testing.T, newDB NewDB, settings ...Setting) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, newDB: newDB, declared: true, enforced: true}
			for _, setting := range settings {
				setting(s)
			}
			if why := noBatch[c.name]; s.batches && why != "" {
				t.Skip(why)
			}
			c.run(s)
		})
	}
}

// Setting says in which mode [Run] runs the contract, and what it finds there.
type Setting func(*suite)

// WithoutForeignKeys runs the contract with gormkey.WithoutForeignKeys.
func WithoutForeignKeys() Setting {
	return func(s *suite) {
		s.declared, s.options = false, append(s.options, gormkey.WithoutForeignKeys())
	}
}

// PlanetScale runs the contract with gormkey.WithPlanetScale, on a Vitess that refuses
// foreign keys.
func PlanetScale() Setting {
	return func(s *suite) {
		s.declared, s.enforced, s.vitess, s.options = false, false, true, append(s.options, gormkey.WithPlanetScale())
	}
}

// Unenforced says that the connections are of a SQLite whose PRAGMA foreign_keys is off.
func Unenforced() Setting { return func(s *suite) { s.enforced = false } }

type testCase struct {
	name string
	run  func(s *suite)
}

// cases is filled by each file of this package with the cases of its noun.
var cases = concat(pluginCases, nameCases, idTypeCases, relationCases, columnCases, widenCases, embedCases, migrateCases, userCases, keyCases, sessionCases, signInCases, hookCases, inputCases, securityCases, statementCases, integrityCases, schemaCases, auditCases, luciaCases, raceCases, passwordRaceCases, betweenCases, destCases, sameCases, saveCases, luciaFaultCases, faultCases, transactionCases, batchCases, throttleCases, tokenCases, ownedCases, mistakeCases, factCases, asCases, afterCommitCases, suspensionCases, eventLogCases)

func concat(lists ...[]testCase) (all []testCase) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// The names of package authtest that the contract uses most.
const (
	ActivePeriod = authtest.ActivePeriod
	IdlePeriod   = authtest.IdlePeriod
)

// Clock is [authtest.Clock].
type Clock = authtest.Clock

// NewClock is [authtest.NewClock].
func NewClock() *Clock { return authtest.NewClock() }

// FastHasher is [authtest.FastHasher].
func FastHasher() password.Hasher { return authtest.FastHasher() }

// suite is what a case works with.
type suite struct {
	*testing.T
	newDB    NewDB
	options  []gormkey.Option // of every plugin
	declared bool             // the plugin's tables have foreign keys
	enforced bool             // the database obeys those that there are
	batches  bool             // its transactions are batches
	vitess   bool             // the database is one
}

// refusesForeignKeys tells whether the engine takes none at all.
func (s *suite) refusesForeignKeys() bool { return !s.declared && !s.enforced }

// newPlugin returns a plugin with the run's options and more.
func newPlugin[U any, P gormkey.UserModel[U]](s *suite, opts ...gormkey.Option) *gormkey.Plugin[U] {
	return gormkey.New[U, P](append(slices.Clone(s.options), opts...)...)
}

// account is the cases' user.
type account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
	Name  string `gorm:"size:255"`
	Role  string `gorm:"size:32;not null;default:member"`
}

// device is the cases' session, with columns of its own.
type device struct {
	gormkey.Session[account]
	Country   string `gorm:"size:2;not null;default:XX"`
	UserAgent string `gorm:"size:255"`
}

// login is the cases' key, with columns of its own.
type login struct {
	gormkey.Key[account]
	Label    string  `gorm:"size:64"`
	Verified *string `gorm:"size:64;uniqueIndex"`
}

// fixtureOf is a migrated database with the operations on it.
type fixtureOf[U, K, S any] struct {
	*gormkey.RepositoryOf[U, K, S]
	db     *gorm.DB
	plugin *gormkey.PluginOf[U, K, S]
	clock  *Clock
}

type (
	fixture[U any] = fixtureOf[*U, *gormkey.Key[U], *gormkey.Session[U]]
	accounts       = fixtureOf[*account, *login, *device]
	accountsAuth   = gormkey.RepositoryOf[*account, *login, *device]
)

// accounts opens a database for account, login and device.
func (s *suite) accounts(opts ...gormkey.Option) *accounts {
	s.Helper()
	return openAccounts(s, s.newDB(s.T), opts...)
}

func openAccounts(s *suite, db *gorm.DB, opts ...gormkey.Option) *accounts {
	s.Helper()
	return openOf[account, login, device](s, db, opts...)
}

// newAccounts returns a plugin with the run's options and more.
func newAccounts(s *suite, opts ...gormkey.Option) *gormkey.PluginOf[*account, *login, *device] {
	return gormkey.NewOf[account, login, device](append(slices.Clone(s.options), opts...)...)
}

func from(db *gorm.DB) (*accountsAuth, error) { return gormkey.FromOf[account, login, device](db) }

func open[U any, P gormkey.UserModel[U]](s *suite, db *gorm.DB, opts ...gormkey.Option) *fixture[U] {
	s.Helper()
	return openOf[U, gormkey.Key[U], gormkey.Session[U], P](s, db, opts...)
}

func openOf[U, K, S any, PU gormkey.UserModel[U], PK gormkey.KeyModel[U, K], PS gormkey.SessionModel[U, S]](s *suite, db *gorm.DB, opts ...gormkey.Option) *fixtureOf[*U, *K, *S] {
	s.Helper()
	clock := NewClock()
	opts = append([]gormkey.Option{gormkey.WithClock(clock.Now), gormkey.WithPasswordHasher(FastHasher())}, opts...)
	plugin := gormkey.NewOf[U, K, S, PU, PK, PS](append(slices.Clone(s.options), opts...)...)
	must(s, db.Use(plugin))
	must(s, plugin.AutoMigrate(db))
	auth, err := gormkey.FromOf[U, K, S](db)
	must(s, err)
	return &fixtureOf[*U, *K, *S]{auth, db, plugin, clock}
}

// again opens the same database once more, as another process would, without a plugin.
func (s *suite) again(db *gorm.DB) *gorm.DB {
	s.Helper()
	other, err := gorm.Open(db.Dialector, &gorm.Config{Logger: logger.Discard})
	must(s, err)
	pool, err := other.DB()
	must(s, err)
	if first, _ := db.DB(); first != pool {
		s.Cleanup(func() { _ = pool.Close() })
	}
	return other
}

const goodPassword = "correct horse battery staple"

func email(id string) gormkey.Credentials {
	return gormkey.Credentials{Provider: "email", ID: id, Password: goodPassword}
}

// as returns what makes a new struct like another, for the calls that make one.
func as[T any](like T) func(*T) { return func(t *T) { *t = like } }

func keyID(provider, id string) gormkey.KeyID { return gormkey.KeyID{Provider: provider, ID: id} }

// signUp creates an account that has the key email:<name>@example.com.
func signUp[K, S any](s *suite, f *fixtureOf[*account, K, S], name string) *account {
	s.Helper()
	a := &account{Email: name + "@example.com", Name: name}
	must(s, f.CreateUser(s.Context(), a, email(a.Email)))
	return a
}

func must(s *suite, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("unexpected error: %v", err)
	}
}

// wantErr stops the case unless err is want.
func wantErr(s *suite, what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}

func equal[T comparable](s *suite, what string, got, want T) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// count returns the number of rows of a table.
func count(s *suite, db *gorm.DB, table string, where ...any) int64 {
	s.Helper()
	var n int64
	q := db.Session(&gorm.Session{NewDB: true, Context: context.WithoutCancel(s.Context())}).Table(table)
	if len(where) > 0 {
		q = q.Where(where[0], where[1:]...)
	}
	must(s, q.Count(&n).Error)
	return n
}

// rows returns the numbers of users, keys and sessions in the default tables.
func rows(s *suite, db *gorm.DB) [3]int64 {
	s.Helper()
	return [3]int64{count(s, db, "auth_user"), count(s, db, "user_key"), count(s, db, "user_session")}
}

// orphans returns the number of keys and sessions without a user.
func orphans(s *suite, db *gorm.DB) int64 {
	s.Helper()
	return count(s, db, "user_key", "user_id NOT IN (SELECT id FROM auth_user)") +
		count(s, db, "user_session", "user_id NOT IN (SELECT id FROM auth_user)")
}

func isErr(err, want error) bool { return errors.Is(err, want) }
