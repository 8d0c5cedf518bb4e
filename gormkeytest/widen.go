package gormkeytest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/tables"
)

var widenCases = []testCase{
	{"widen/longer user ids are one migration", widenAll},
	{"widen/many migrate to longer ids at once", widenAtOnce},
	{"widen/a migration to longer ids that was interrupted", widenInterrupted},
	{"widen/a migration to longer integers that was interrupted", widenIntegersInterrupted},
}

// authors makes the tables of a program with ids of 15 bytes, some of which point at the
// user, with rows in each.
func authors(s *suite, db *gorm.DB) (more []any, ada *author) {
	s.Helper()
	more = []any{&essay{}, &remark{}, &desk{}, &profile{}, &photo{}, &club{}, &picture{}, &letter{}}
	plugin := newPlugin[author](s, gormkey.WithOneTimeTokens(), gormkey.WithPasswordHasher(FastHasher()))
	must(s, db.Use(plugin))
	must(s, plugin.AutoMigrate(db, more...))
	auth, err := gormkey.From[author](db)
	must(s, err)
	ada = &author{Email: "ada@example.com"}
	must(s, auth.CreateUser(s.Context(), ada, email(ada.Email)))
	_, err = auth.SignIn(s.Context(), email(ada.Email))
	must(s, err)
	plain := db.Omit(clause.Associations).Session(&gorm.Session{})
	for _, row := range []any{&essay{ID: 1, AuthorID: ada.ID}, &desk{ID: 1, AuthorID: &ada.ID}, &profile{AuthorID: ada.ID}, &photo{ID: 1, ProfileAuthorID: ada.ID}, &letter{ID: 1, WrittenBy: ada.ID}} {
		must(s, plain.Create(row).Error)
	}
	noted(s, db)
	return more, ada
}

// noted makes a table that points at the user and that only the database knows of, with a
// name, a default and a comment of its own.
func noted(s *suite, db *gorm.DB) {
	s.Helper()
	ddl := map[string]string{
		"postgres": `CREATE TABLE "Notes" ("The author" varchar(15) COLLATE "C" DEFAULT 'x', CONSTRAINT "Whose note" FOREIGN KEY ("The author") REFERENCES auth_user (id) ON DELETE SET NULL)`,
		"mysql":    "CREATE TABLE `Notes` (n int NOT NULL AUTO_INCREMENT PRIMARY KEY, `The author` varbinary(15) DEFAULT 'x' COMMENT 'who, when', CONSTRAINT `Whose note` FOREIGN KEY (`The author`) REFERENCES auth_user (id) ON DELETE SET NULL)",
	}[db.Name()]
	if s.refusesForeignKeys() {
		ddl = "CREATE TABLE `Notes` (n int)"
	}
	if ddl != "" {
		must(s, db.Exec(ddl).Error)
	}
}

// widerProgram opens the tables of authors for a program with ids of 36 bytes.
func widerProgram(s *suite, db *gorm.DB) (*gorm.DB, *gormkey.Plugin[author]) {
	s.Helper()
	next := s.again(db)
	if s.refusesForeignKeys() {
		next.Config.DisableForeignKeyConstraintWhenMigrating = true
	}
	opts := append(wideIDs(), gormkey.WithOneTimeTokens(), gormkey.WithPasswordHasher(FastHasher()))
	plugin := newPlugin[author](s, opts...)
	must(s, next.Use(plugin))
	return next, plugin
}

func widenAll(s *suite) {
	ctx := s.Context()
	for name, update := range map[string]func(p *gormkey.Plugin[author], db *gorm.DB, more []any) error{
		"AutoMigrate": func(p *gormkey.Plugin[author], db *gorm.DB, more []any) error { return p.AutoMigrate(db, more...) },
		"PendingSQL": func(p *gormkey.Plugin[author], db *gorm.DB, more []any) error {
			pending, err := p.PendingSQL(db, more...)
			if err != nil {
				return err
			}
			return errors.Join(p.Migrate(db, func(tx *gorm.DB) error {
				for _, statement := range pending {
					if err := tx.Exec(statement).Error; err != nil {
						return err
					}
				}
				return nil
			}), p.AutoMigrate(db, more...))
		},
	} {
		old := s.newDB(s.T)
		more, ada := authors(s, old)
		before := catalog(s, old)
		db, plugin := widerProgram(s, old)
		auth, err := gormkey.From[author](db)
		must(s, err)
		if db.Name() != "sqlite" {
			err := auth.CreateUser(ctx, &author{Email: "bob@example.com"}, email("bob@example.com"))
			wantErr(s, name+": a user before the migration", err, gormkey.ErrInvalidArgument)
			if err == nil || !strings.Contains(err.Error(), "Plugin.AutoMigrate") {
				s.Errorf("%s: got %v", name, err)
			}
			wantErr(s, name+": the same by plain GORM", db.Create(&author{Email: "bob@example.com"}).Error, gormkey.ErrInvalidArgument)
			equal(s, name+": rows", rows(s, db), [3]int64{1, 1, 1})
			findings, err := auth.Audit(ctx)
			must(s, err)
			equalLists(s, name+": findings before", problems(findings), []string{"narrow column auth_user.id", "narrow column user_key.user_id", "narrow column user_session.user_id", "narrow column user_token.user_id"})
			if err := db.AutoMigrate(plugin.Models()...); !errors.Is(err, tables.ErrColumn) || !strings.Contains(err.Error(), "Plugin.AutoMigrate") {
				s.Errorf("%s: plain AutoMigrate: got %v", name, err)
			}
			equal(s, name+": catalog before", catalog(s, db), before)
		}
		must(s, update(plugin, db, more))
		equal(s, name+": catalog", widened(catalog(s, db)), widened(before))
		equal(s, name+": a width of 15 left", strings.Contains(catalog(s, db), "(15)"), false)
		pending, err := plugin.PendingSQL(db, more...)
		must(s, err)
		equalLists(s, name+": pending after", pending, nil)
		record := recordDDL(db)
		must(s, plugin.AutoMigrate(db, more...))
		equalLists(s, name+": DDL of the second run", record.taken(), nil)
		findings, err := auth.Audit(ctx)
		must(s, err)
		equalLists(s, name+": findings after", problems(findings), nil)

		bob := &author{Email: "bob@example.com"}
		must(s, auth.CreateUser(ctx, bob, email(bob.Email)))
		equal(s, name+": length of a new id", len(bob.ID), 36)
		_, err = auth.SignIn(ctx, email(bob.Email))
		must(s, err)
		_, err = auth.IssueToken(ctx, bob.ID, gormkey.PurposeVerifyEmail, "x", time.Hour)
		must(s, err)
		plain := db.Omit(clause.Associations).Session(&gorm.Session{})
		for _, row := range []any{&essay{ID: 2, AuthorID: bob.ID}, &profile{AuthorID: bob.ID}, &photo{ID: 2, ProfileAuthorID: bob.ID}} {
			must(s, plain.Create(row).Error)
		}
		nobody := unlike(bob.ID)
		if err := plain.Create(&photo{ID: 9, ProfileAuthorID: nobody}).Error; s.enforced && err == nil {
			s.Errorf("%s: a photo of nobody: got no error", name)
		}
		_, err = auth.SignIn(ctx, email(ada.Email))
		must(s, err)
		if s.enforced {
			must(s, auth.DeleteUser(ctx, ada.ID))
			equal(s, name+": photos after a delete", count(s, db, "photos"), 1)
		}
	}
}

func widenAtOnce(s *suite) {
	old := s.newDB(s.T)
	authors(s, old)
	const processes = 4
	errs := make([]error, processes)
	handles, plugins := make([]*gorm.DB, processes), make([]*gormkey.Plugin[author], processes)
	for i := range processes {
		handles[i], plugins[i] = widerProgram(s, old)
	}
	atOnce(repeat(processes, func(i int) { errs[i] = plugins[i].AutoMigrate(handles[i]) })...)
	for i, db := range handles {
		must(s, errs[i])
		auth, err := gormkey.From[author](db)
		must(s, err)
		findings, err := auth.Audit(s.Context())
		must(s, err)
		equalLists(s, "findings", problems(findings), nil)
		bob := &author{User: gormkey.User{ID: wideID[:34] + fmt.Sprintf("%02d", 50+i)}, Email: fmt.Sprint(i)}
		must(s, auth.CreateUser(s.Context(), bob, email(bob.Email)))
	}
	equal(s, "rows", rows(s, old), [3]int64{1 + processes, 1 + processes, 1})
}

var errStopped = errors.New("the process was stopped")

// widenInterrupted stops the migration before each of its statements, as a crash would,
// and then migrates.
func widenInterrupted(s *suite) {
	if !withoutWidths(s) {
		interrupt(s, nil, wideIDs())
	}
}

// widenIntegersInterrupted: a foreign key between an int and a bigint cannot be added.
func widenIntegersInterrupted(s *suite) {
	if withoutWidths(s) {
		return
	}
	ids := 4711
	numbers := func(sqlType string) []gormkey.Option {
		return []gormkey.Option{gormkey.WithUserIDType(sqlType), gormkey.WithUserIDGenerator(func() string { ids++; return fmt.Sprint(ids) })}
	}
	interrupt(s, numbers("int"), numbers("bigint"))
}

func interrupt(s *suite, before, then []gormkey.Option) {
	wide := func(db *gorm.DB) *gormkey.PluginOf[*account, *login, *device] {
		plugin := newAccounts(s, then...)
		must(s, db.Use(plugin))
		return plugin
	}
	wanted := ""
	for after := 0; ; after++ {
		f := s.accounts(before...)
		ada := signUp(s, f, "ada")
		_, err := f.OpenSession(s.Context(), ada.ID)
		must(s, err)
		if before == nil { // with its owner of 15 bytes
			noted(s, f.db)
		}
		if wanted == "" {
			wanted = widened(catalog(s, f.db))
		}

		crashing := s.again(f.db)
		plugin := wide(crashing)
		sent := 0
		must(s, crashing.Callback().Raw().Before("gorm:raw").Register("test:crash", func(tx *gorm.DB) {
			verb, _, _ := strings.Cut(tx.Statement.SQL.String(), " ")
			if slices.Contains([]string{"CREATE", "INSERT", "ALTER", "DROP", "LOCK", "UNLOCK"}, verb) {
				sent++
			}
			if sent > after {
				_ = tx.AddError(errStopped)
			}
		}))
		stopped := plugin.AutoMigrate(crashing)
		pool, err := crashing.DB()
		must(s, err)
		must(s, pool.Close())
		if stopped != nil {
			wantErr(s, "the migration that is stopped", stopped, errStopped)
		}

		db := s.again(f.db)
		must(s, wide(db).AutoMigrate(db))
		if got := widened(catalog(s, db)); got != wanted || narrowID.MatchString(catalog(s, db)) {
			s.Fatalf("catalog after %d statements and a crash: got\n%s\nwant\n%s", after, got, wanted)
		}
		equal(s, "rows", rows(s, db), [3]int64{1, 1, 1})
		rest(s, db, f.db)
		if stopped == nil {
			return
		}
	}
}

// narrowID finds a column of ids before the migration.
var narrowID = regexp.MustCompile(`\(15\)|id["\x60]? (int\b|integer)`)

// widened is a catalog in which ids have 36 bytes, or are big, its lines in order: MySQL shows a
// table's indexes by their age.
func widened(catalog string) string {
	lines := strings.Split(strings.NewReplacer("varbinary(15)", "varbinary(36)", "character varying(15)", "character varying(36)",
		"id` int ", "id` bigint ", "id` int(11) ", "id` bigint(20) ", "id int(11) ", "id bigint(20) ", "id int ", "id bigint ", `id" int `, `id" bigint `, `id" int(11) `, `id" bigint(20) `, "id integer", "id bigint").Replace(catalog), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSuffix(line, ",")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
