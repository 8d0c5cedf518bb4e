package gormkeytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/tables"
)

var columnCases = []testCase{
	{"column/a program with other user ids is refused, and nothing is cut", columnOther},
	{"column/a program with shorter user ids that came first", columnFirst},
	{"column/ids that were cut are no orphans", columnCut},
	{"column/types in which rows look like orphans", columnMismatch},
	{"column/other columns of the library", columnSiblings},
	{"column/a table that Lucia has not takes Lucia's ids", columnLucia},
}

// retype gives a column another type by a statement of the test's own.
func retype(s *suite, db *gorm.DB, table, column, sqlType string) {
	s.Helper()
	statement := map[string]string{
		"postgres": "ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %[2]s::text::%[3]s",
		"mysql":    "ALTER TABLE %s MODIFY %s %s NOT NULL",
	}[db.Name()]
	must(s, db.Exec(fmt.Sprintf(statement, table, column, sqlType)).Error)
}

// idText is the type of an id of n bytes.
func idText(db *gorm.DB, n int) string {
	return fmt.Sprintf(map[string]string{"postgres": "varchar(%d)", "mysql": "varbinary(%d)"}[db.Name()], n)
}

// unbound drops the foreign keys of the plugin's tables, where there are any.
func unbound(s *suite, db *gorm.DB) {
	s.Helper()
	if !s.declared {
		return
	}
	for _, model := range []any{&gormkey.Key[account]{}, &gormkey.Session[account]{}} {
		must(s, db.Migrator().DropConstraint(model, "User"))
	}
}

// owners returns who owns the keys and sessions.
func owners(s *suite, db *gorm.DB) string {
	s.Helper()
	var all []string
	for _, table := range []string{"auth_user", "user_key", "user_session"} {
		column := "user_id"
		if table == "auth_user" {
			column = "id"
		}
		var ids []string
		must(s, db.Session(&gorm.Session{NewDB: true}).Raw("SELECT "+column+" FROM "+table+" ORDER BY id").Scan(&ids).Error)
		all = append(all, ids...)
	}
	return strings.Join(all, " ")
}

// withoutWidths says that an engine has no widths, so that there is nothing to see.
func withoutWidths(s *suite) bool {
	if s.newDB(s.T).Name() == "sqlite" {
		s.Skip("a text has no width")
		return true
	}
	return false
}

func columnOther(s *suite) {
	ctx := s.Context()
	for name, opts := range idOptions(s) {
		if name == "plain" {
			continue
		}
		first := openAccounts(s, s.newDB(s.T), opts...)
		ada := signUp(s, first, "ada")
		_, err := first.OpenSession(ctx, ada.ID)
		must(s, err)
		before, owned := catalog(s, first.db), owners(s, first.db)

		db := s.again(first.db)
		second := newAccounts(s)
		err = db.Use(second)
		if db.Name() == "sqlite" && name != "WithUserIDType" || name == "WithUserIDLength(8)" {
			must(s, err) // shorter ids are kept, or made wider
			continue
		}
		wantErr(s, name+": the second program", err, tables.ErrColumn)
		var column *tables.ColumnError
		option := name
		switch {
		case name == "WithUserIDType" && db.Name() == "mysql":
			option = "WithUserIDLength(36)"
		case name == "WithUserIDType":
			option = `WithUserIDType("uuid")`
		}
		if !errors.As(err, &column) || column.Table != "auth_user" || column.Column != "id" || column.Option != option {
			s.Errorf("%s: got %#v, want an option %s", name, column, option)
		}
		for _, place := range []string{"auth_user.id", "user_key.user_id", "user_session.user_id"} {
			if !strings.Contains(err.Error(), "gormkey: "+place+" is ") || !strings.Contains(err.Error(), "give "+option) {
				s.Errorf("%s: got %v, want %s and %s in it", name, err, place, option)
			}
		}
		wantErr(s, name+": AutoMigrate", second.AutoMigrate(db), gormkey.ErrNotRegistered)
		if err := db.AutoMigrate(second.Models()...); err == nil || !s.batches && !isErr(err, tables.ErrColumn) { // where it rebuilds no table at all
			s.Errorf("%s: plain AutoMigrate: got %v", name, err)
		}
		_, err = from(db)
		wantErr(s, name+": From", err, gormkey.ErrNotRegistered)
		equal(s, name+": catalog", catalog(s, db), before)
		equal(s, name+": owners", owners(s, db), owned)
		must(s, s.again(first.db).Use(newAccounts(s, opts...))) // by the option that was named
	}
}

// columnFirst registers the program with shorter ids before there are any tables.
func columnFirst(s *suite) {
	if withoutWidths(s) {
		return
	}
	db := s.newDB(s.T)
	shorter := newAccounts(s)
	must(s, db.Use(shorter))
	f := openAccounts(s, s.again(db), wideIDs()...)
	ada := signUp(s, f, "ada")
	_, err := f.OpenSession(s.Context(), ada.ID)
	must(s, err)
	before, owned := catalog(s, db), owners(s, db)
	wantErr(s, "AutoMigrate", shorter.AutoMigrate(db), tables.ErrColumn)
	_, err = shorter.PendingSQL(db)
	wantErr(s, "PendingSQL", err, tables.ErrColumn)
	wantErr(s, "plain AutoMigrate", db.AutoMigrate(shorter.Models()...), tables.ErrColumn)
	auth, err := from(db)
	must(s, err)
	findings, err := auth.Audit(s.Context())
	must(s, err)
	equalLists(s, "findings", problems(findings), []string{"wrong column type auth_user.id", "wrong column type user_key.user_id", "wrong column type user_session.user_id"})
	equal(s, "catalog", catalog(s, db), before)
	equal(s, "owners", owners(s, db), owned)
}

func columnCut(s *suite) {
	if withoutWidths(s) {
		return
	}
	ctx := s.Context()
	opts := wideIDs()
	f := openAccounts(s, s.newDB(s.T), opts...)
	ada := signUp(s, f, "ada")
	_, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	unbound(s, f.db)
	must(s, f.db.Exec("UPDATE user_key SET user_id = SUBSTRING(user_id FROM 1 FOR 15)").Error) // as a release before did
	retype(s, f.db, "user_key", "user_id", idText(f.db, 15))
	before, owned := catalog(s, f.db), owners(s, f.db)

	db := s.again(f.db)
	plugin := newAccounts(s, append(wideIDs(), gormkey.WithPasswordHasher(FastHasher()))...)
	must(s, db.Use(plugin))
	auth, err := from(db)
	must(s, err)
	findings, err := auth.Audit(ctx)
	must(s, err)
	want := []string{"cut ids user_key.user_id 1", "narrow column user_key.user_id", "orphans user_key.user_id 1"}
	if s.declared {
		want = append(want, "foreign key missing user_key.user_id", "foreign key missing user_session.user_id")
	}
	equalLists(s, "findings", problems(findings), want)
	for _, finding := range findings {
		if finding.Problem == tables.ProblemOrphans && strings.Contains(finding.Action, "Repair") {
			s.Errorf("got %v", finding)
		}
	}
	var mismatch *tables.MismatchError
	n, err := auth.Repair(ctx)
	wantErr(s, "Repair", err, tables.ErrMismatch)
	equal(s, "repaired", n, 0)
	err = plugin.AutoMigrate(db)
	wantErr(s, "AutoMigrate", err, tables.ErrMismatch)
	if !errors.As(err, &mismatch) || mismatch.Table != "user_key" || mismatch.UserTable != "auth_user" || mismatch.Cut != 1 {
		s.Errorf("AutoMigrate: got %#v", mismatch)
	}
	_, err = plugin.PendingSQL(db)
	wantErr(s, "PendingSQL", err, tables.ErrMismatch)
	equal(s, "catalog", catalog(s, db), before)
	equal(s, "owners", owners(s, db), owned)

	retype(s, db, "user_key", "user_id", idText(db, 36)) // by hand, as docs/migrations.md has it
	must(s, db.Exec("UPDATE user_key SET user_id = (SELECT id FROM auth_user WHERE SUBSTRING(id FROM 1 FOR 15) = user_key.user_id) "+
		"WHERE (SELECT COUNT(*) FROM auth_user WHERE SUBSTRING(id FROM 1 FOR 15) = user_key.user_id) = 1").Error)
	must(s, plugin.AutoMigrate(db))
	findings, err = auth.Audit(ctx)
	must(s, err)
	equalLists(s, "findings after it was restored", problems(findings), nil)
	n, err = auth.Repair(ctx)
	must(s, err)
	equal(s, "repaired", n, 0)
	_, err = auth.SignIn(ctx, email(ada.Email))
	must(s, err)
}

// columnMismatch makes tables in which the types alone keep users and keys apart.
func columnMismatch(s *suite) {
	ctx := s.Context()
	f := openAccounts(s, s.newDB(s.T))
	signUp(s, f, "ada")
	if f.db.Name() == "sqlite" {
		must(s, f.db.Exec("DROP TABLE user_key").Error)
		must(s, f.db.Exec("CREATE TABLE user_key (id text PRIMARY KEY, user_id uuid NOT NULL, hashed_password text)").Error)
	} else {
		unbound(s, f.db)
		must(s, f.db.Exec("DELETE FROM user_key").Error)
		retype(s, f.db, "user_key", "user_id", "bigint")
	}
	must(s, f.db.Exec("INSERT INTO user_key (id, user_id) VALUES ('email:x', '4711')").Error)
	n, err := f.Repair(ctx)
	wantErr(s, "Repair", err, tables.ErrMismatch)
	equal(s, "repaired", n, 0)
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 0})
	findings, err := f.Audit(ctx)
	must(s, err)
	if list := problems(findings); !strings.Contains(strings.Join(list, "\n"), "wrong column type user_key.user_id") {
		s.Errorf("findings: got %q", list)
	}
	wantErr(s, "AutoMigrate", f.plugin.AutoMigrate(f.db), tables.ErrColumn)
	err = s.again(f.db).Use(newAccounts(s))
	var column *tables.ColumnError
	if !errors.As(err, &column) || column.Table != "user_key" || column.Option != "" || f.db.Name() != "sqlite" && column.Statement == "" {
		s.Errorf("Use: got %v", err)
	}
	if f.db.Name() == "sqlite" {
		return
	}
	must(s, f.db.Exec(column.Statement).Error)
	must(s, s.again(f.db).Use(newAccounts(s)))
}

// columnSiblings: what is narrower than the library fills it is widened; what is wider is
// left as it is, since it cuts nothing.
func columnSiblings(s *suite) {
	if withoutWidths(s) {
		return
	}
	ctx := s.Context()
	opts := []gormkey.Option{gormkey.WithOneTimeTokens()}
	f := openOf[account, credit, device](s, s.newDB(s.T), opts...)
	must(s, f.plugin.AutoMigrate(f.db, &creditUse{}))
	fresh := catalog(s, f.db)
	if f.db.Name() == "mysql" {
		must(s, f.db.Exec("ALTER TABLE user_key MODIFY hashed_password varchar(100)").Error)
	} else {
		retype(s, f.db, "user_key", "hashed_password", "varchar(100)")
	}
	retype(s, f.db, "user_token", "payload", "varchar(100)")
	retype(s, f.db, "user_session", "id", idText(f.db, 64))
	if s.enforced {
		must(s, f.db.Migrator().DropConstraint(&credit{}, "Uses"))
	}
	retype(s, f.db, "credit_uses", "credit_id", idText(f.db, 100))
	retype(s, f.db, "user_key", "id", idText(f.db, 100))
	if s.enforced {
		must(s, f.db.Migrator().CreateConstraint(&credit{}, "Uses"))
	}
	findings, err := f.Audit(ctx)
	must(s, err)
	equalLists(s, "findings", problems(findings), []string{"narrow column user_key.hashed_password", "narrow column user_key.id", "narrow column user_session.id", "narrow column user_token.payload"})
	next := s.again(f.db)
	if s.refusesForeignKeys() {
		next.Config.DisableForeignKeyConstraintWhenMigrating = true
	}
	plugin := gormkey.NewOf[account, credit, device](append(slices.Clone(s.options), opts...)...)
	must(s, next.Use(plugin))
	must(s, plugin.AutoMigrate(next, &creditUse{}))
	equal(s, "catalog", catalog(s, next), fresh)

	retype(s, next, "user_token", "payload", "text")
	retype(s, next, "user_session", "id", idText(next, 200))
	hash := "varchar(500)"
	if next.Name() == "mysql" {
		must(s, next.Exec("ALTER TABLE user_key MODIFY hashed_password "+hash).Error)
	} else {
		retype(s, next, "user_key", "hashed_password", hash)
	}
	before := catalog(s, next)
	findings, err = f.Audit(ctx)
	must(s, err)
	equalLists(s, "findings with wider columns", problems(findings), nil)
	pending, err := plugin.PendingSQL(next, &creditUse{})
	must(s, err)
	equalLists(s, "pending with wider columns", pending, nil)
	must(s, plugin.AutoMigrate(next, &creditUse{}))
	must(s, next.AutoMigrate(plugin.Models()...))
	equal(s, "catalog with wider columns", catalog(s, next), before)

	retype(s, next, "user_token", "payload", "bigint") // which a migration would turn into something else
	before = catalog(s, next)
	wantErr(s, "AutoMigrate of another type", plugin.AutoMigrate(next), tables.ErrColumn)
	wantErr(s, "plain AutoMigrate of another type", next.AutoMigrate(plugin.Models()...), tables.ErrColumn)
	var column *tables.ColumnError
	if err := s.again(f.db).Use(newAccounts(s, opts...)); !errors.As(err, &column) || column.Column != "payload" || column.Option != "" || column.Statement == "" {
		s.Errorf("Use: got %v", err)
	}
	equal(s, "catalog with another type", catalog(s, next), before)
	must(s, next.Exec(column.Statement).Error)
	must(s, plugin.AutoMigrate(next, &creditUse{}))
}

func columnLucia(s *suite) {
	db := s.newDB(s.T)
	for _, ddl := range []string{
		"CREATE TABLE auth_user (id varchar(100) NOT NULL PRIMARY KEY, username varchar(31))",
		"CREATE TABLE user_key (id varchar(255) NOT NULL PRIMARY KEY, user_id varchar(100) NOT NULL, hashed_password varchar(255))",
		"CREATE TABLE user_session (id varchar(127) NOT NULL PRIMARY KEY, user_id varchar(100) NOT NULL, active_expires bigint NOT NULL, idle_expires bigint NOT NULL)",
	} {
		must(s, db.Exec(ddl).Error)
	}
	f := open[reader](s, db, gormkey.WithLuciaV2(), gormkey.WithOneTimeTokens())
	u := &reader{User: gormkey.User{ID: strings.Repeat("x", 100)}}
	must(s, f.CreateUser(s.Context(), u, email("u@example.com")))
	token, err := f.IssueToken(s.Context(), u.ID, gormkey.PurposeVerifyEmail, "u@example.com", time.Hour)
	must(s, err)
	used, err := f.GetToken(s.Context(), gormkey.PurposeVerifyEmail, token)
	must(s, err)
	equal(s, "owner", used.UserID, u.ID)
}
