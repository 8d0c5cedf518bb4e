package gormkeytest

import (
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

var nameCases = []testCase{
	{"names/tables that the database and GORM read back", namesTables},
	{"names/tables that they do not are refused", namesRefused},
	{"names/columns outside ASCII keep their values", namesColumns},
}

// named and renamed are one user model before and after a release that makes GORM rebuild
// its table on SQLite, as it does the keys'.
type named struct {
	gormkey.User
	Email string `gorm:"size:64"`
	Age   int
}

type namedKey struct {
	gormkey.Key[named]
	Note string `gorm:"size:16"`
}

type renamed struct {
	gormkey.User
	Email string `gorm:"size:64;unique"`
	Age   int    `gorm:"check:age >= 0"`
	Nick  string `gorm:"size:32"`
}

type renamedKey struct {
	gormkey.Key[renamed]
	Note string `gorm:"size:16;check:note <> 'x'"`
}

// grown is renamed where a table cannot be rebuilt.
type grown struct {
	gormkey.User
	Email string `gorm:"size:64"`
	Age   int
	Nick  string `gorm:"size:32"`
}

func namesTables(s *suite) {
	db := s.newDB(s.T) // of all, since some engines have few
	names := []string{"people", "Persons", "the-people", "_people", "people_", "p1", "select"}
	if db.Name() != "sqlite" {
		names = append(names, "the$people", "people-", "użytkownik", "人", strings.Repeat("p", 62), strings.Repeat("P", 58))
	}
	for _, name := range names {
		tables := gormkey.WithTableNames(gormkey.TableNames{User: name, Key: name + "k", Session: name + "s"})
		f := openOf[named, namedKey, gormkey.Session[named]](s, s.again(db), tables)
		ctx := s.Context()
		u := &named{Email: "u@example.com", Age: 7}
		must(s, f.CreateUser(ctx, u, email("u@example.com")))
		session, err := f.SignIn(ctx, email("u@example.com"))
		must(s, err)
		record := recordDDL(f.db)
		must(s, f.plugin.AutoMigrate(f.db))
		equalLists(s, name+": DDL of the second run", record.taken(), nil)
		rest(s, f.db)
		if s.batches {
			nextRelease[grown, gormkey.Key[grown]](s, f.db, name, session.Token, tables)
			continue
		}
		nextRelease[renamed, renamedKey](s, f.db, name, session.Token, tables)
	}
}

// nextRelease migrates the tables to another user model, twice.
func nextRelease[U, K any, PU gormkey.UserModel[U], PK gormkey.KeyModel[U, K]](s *suite, db *gorm.DB, name string, token gormkey.Token, opts ...gormkey.Option) {
	s.Helper()
	next := s.again(db)
	record := recordDDL(next)
	plugin := gormkey.NewOf[U, K, gormkey.Session[U], PU, PK](append(append(slices.Clone(s.options), opts...), gormkey.WithClock(NewClock().Now))...)
	must(s, next.Use(plugin))
	must(s, plugin.AutoMigrate(next))
	record.taken()
	must(s, plugin.AutoMigrate(next))
	equalLists(s, name+": DDL after the change", record.taken(), nil)
	auth, err := plugin.Repository()
	must(s, err)
	_, err = auth.ValidateSession(s.Context(), token)
	must(s, err)
	_, err = auth.GetKey(s.Context(), keyID("email", "u@example.com"))
	must(s, err)
	findings, err := auth.Audit(s.Context())
	must(s, err)
	equalLists(s, name+": findings", problems(findings), nil)
	rest(s, next)
}

// rest gives the connections of handles back, since a server has so many.
func rest(s *suite, handles ...*gorm.DB) {
	s.Helper()
	for _, db := range handles {
		pool, err := db.DB()
		must(s, err)
		pool.SetMaxIdleConns(0)
	}
}

func namesRefused(s *suite) {
	db := s.newDB(s.T)
	refused := map[string]string{ // the session's table, and what the message must say
		"sqlite": "żyt użytkownik uż 人 the$people people$ people- main.people",
		// One that is cut in the middle of a name, and one that is cut inside a letter.
		"postgres": strings.Repeat("ż", 31) + " " + strings.Repeat("p", 40) + strings.Repeat("ż", 11),
		"mysql":    "p𐐷 " + strings.Repeat("p", 41) + strings.Repeat("ż", 11),
	}
	for _, name := range strings.Fields(refused[db.Name()]) {
		plugin := newPlugin[named](s, gormkey.WithTableNames(gormkey.TableNames{Session: name}))
		if err := db.Use(plugin); err == nil || !strings.Contains(err.Error(), name) && !strings.Contains(err.Error(), "UTF-8") || !strings.Contains(err.Error(), "WithTableNames") {
			s.Errorf("table %q: got %v", name, err)
		}
		wantErr(s, "AutoMigrate after it", plugin.AutoMigrate(db), gormkey.ErrNotRegistered)
	}
	must(s, db.Use(newPlugin[named](s))) // nothing was left behind
	tables, err := db.Migrator().GetTables()
	must(s, err)
	for _, table := range tables {
		if !strings.HasPrefix(table, "sqlite_") && !strings.HasPrefix(table, "_cf_") {
			s.Errorf("got the table %q, want none", table)
		}
	}
	if db.Name() != "sqlite" {
		return
	}
	if err := s.newDB(s.T).Use(newPlugin[umlaut](s)); err == nil || !strings.Contains(err.Error(), "leute") {
		s.Errorf("a TableName outside ASCII: got %v", err)
	}
}

// umlaut is a user whose table and columns have letters outside ASCII.
type umlaut struct {
	gormkey.User
	Email string
}

func (umlaut) TableName() string { return "gäste_leute" }

// foreign has columns whose names GORM's rebuild on SQLite reads as others, or not at all.
type foreign struct {
	gormkey.User
	Ärger   string `gorm:"size:32"`
	Größe   int
	Gr      int
	First   string `gorm:"size:32"`
	Given   string `gorm:"size:32;column:first-name"`
	Surname string `gorm:"size:32;column:last name"`
}

func (foreign) TableName() string { return "guests" }

// foreigner is foreign with a constraint more.
type foreigner struct {
	gormkey.User
	Ärger   string `gorm:"size:32"`
	Größe   int
	Gr      int    `gorm:"check:gr >= 0"`
	First   string `gorm:"size:32"`
	Given   string `gorm:"size:32;column:first-name"`
	Surname string `gorm:"size:32;column:last name"`
}

func (foreigner) TableName() string { return "guests" }

func namesColumns(s *suite) {
	f := open[foreign](s, s.newDB(s.T))
	u := &foreign{Ärger: "none", Größe: 180, Gr: 2, First: "f", Given: "g", Surname: "s"}
	must(s, f.CreateUser(s.Context(), u, email("u@example.com")))
	next := s.again(f.db)
	plugin := newPlugin[foreigner](s)
	must(s, next.Use(plugin))
	must(s, plugin.AutoMigrate(next))
	auth, err := gormkey.From[foreigner](next)
	must(s, err)
	got, err := auth.GetUser(s.Context(), u.ID)
	must(s, err)
	equal(s, "the user after a release", *got, foreigner{User: u.User, Ärger: "none", Größe: 180, Gr: 2, First: "f", Given: "g", Surname: "s"})
	_, err = auth.GetKey(s.Context(), keyID("email", "u@example.com"))
	must(s, err)
}
