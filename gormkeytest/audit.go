package gormkeytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/tables"
)

var auditCases = []testCase{
	{"audit/nothing is wrong", auditClean},
	{"audit/orphans, and their repair", auditOrphans},
	{"audit/indexes, columns and tables", auditSchema},
	{"audit/naming strategies", auditNaming},
}

func auditClean(s *suite) {
	f := s.accounts(gormkey.WithAbsoluteLifetime(30 * 24 * time.Hour))
	ada := signUp(s, f, "ada")
	_, err := f.OpenSession(s.Context(), ada.ID)
	must(s, err)
	findings, err := f.Audit(s.Context())
	must(s, err)
	equalLists(s, "findings", problems(findings), nil)
	n, err := f.Repair(s.Context())
	must(s, err)
	equal(s, "repaired", n, 0)
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 1})
}

func auditOrphans(s *suite) {
	if s.declared && s.enforced {
		s.Skip("the database lets none in")
	}
	f := open[owned](s, s.newDB(s.T))
	addPeople(s, f)
	for i := range 25 {
		must(s, f.db.Exec("INSERT INTO user_session (id, user_id, active_expires, idle_expires) VALUES (?, 'gone', 1, 1)", fmt.Sprintf("o%02d", i)).Error)
	}
	must(s, f.db.Exec("INSERT INTO user_key (id, user_id) VALUES ('', 'gone')").Error)
	findings, err := f.Audit(s.Context())
	must(s, err)
	equalLists(s, "findings", problems(findings), []string{"orphans user_key.user_id 1", "orphans user_session.user_id 25"})
	var progress []int64
	n, err := f.Repair(s.Context(), gormkey.WithBatchSize(10), gormkey.WithProgress(func(n int64) error {
		progress = append(progress, n)
		return nil
	}))
	must(s, err)
	equal(s, "repaired", n, 26)
	equal(s, "progress", fmt.Sprint(progress), "[10 20 25 26]")
	equal(s, "rows", rows(s, f.db), [3]int64{4, 4, 4})
	_, err = f.Repair(s.Context(), gormkey.WithBatchSize(0))
	wantErr(s, "batch of none", err, gormkey.ErrUsage)
}

func auditSchema(s *suite) {
	f := open[owned](s, s.newDB(s.T))
	ctx := s.Context()
	must(s, f.db.Migrator().DropIndex(&ownedSession{}, "idx_user_session_idle_expires"))
	must(s, f.db.Exec("ALTER TABLE user_key DROP COLUMN hashed_password").Error)
	findings, err := f.Audit(ctx)
	must(s, err)
	equalLists(s, "findings", problems(findings), []string{"missing column user_key.hashed_password", "missing index user_session.idle_expires"})
	must(s, f.plugin.AutoMigrate(f.db))
	findings, err = f.Audit(ctx)
	must(s, err)
	equalLists(s, "after AutoMigrate", problems(findings), nil)

	must(s, f.db.Exec("DROP TABLE user_session").Error)
	narrow := map[string]string{"sqlite": "blob", "postgres": "integer", "mysql": "int"}[f.db.Name()]
	must(s, f.db.Exec("CREATE TABLE user_session (id varchar(128) PRIMARY KEY, user_id varchar(15) NOT NULL, active_expires bigint NOT NULL, idle_expires "+narrow+" NOT NULL)").Error)
	findings, err = f.Audit(ctx)
	must(s, err)
	want := []string{"missing index user_session.user_id", "missing index user_session.idle_expires", "wrong expiry type user_session.idle_expires"}
	if s.declared {
		want = append(want, "foreign key missing user_session.user_id")
	}
	if f.db.Name() == "mysql" {
		want = append(want, "inexact id user_session.id", "inexact id user_session.user_id")
	}
	equalLists(s, "a table of somebody else's", problems(findings), want)
	must(s, f.db.Exec("DROP TABLE user_session").Error)
	findings, err = f.Audit(ctx)
	must(s, err)
	equalLists(s, "no table", problems(findings), []string{"missing table user_session"})
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := f.Audit(cancelled); err == nil {
		s.Error("Audit on a cancelled context: got no error")
	}
}

// shouting is an application's namer: it writes column names in upper case.
type shouting struct{ schema.NamingStrategy }

func (n shouting) ColumnName(table, column string) string {
	return strings.ToUpper(n.NamingStrategy.ColumnName(table, column))
}

// auditNaming: the catalog is read alike under every strategy by which the application
// names its own columns.
func auditNaming(s *suite) {
	ctx := s.Context()
	for name, namer := range map[string]schema.Namer{
		"NoLowerCase":   schema.NamingStrategy{NoLowerCase: true, IdentifierMaxLength: 63},
		"NameReplacer":  schema.NamingStrategy{NameReplacer: strings.NewReplacer("Name", "Label", "Type", "Kind", "Field", "Place", "SQL", "Text", "Co", "Ko"), IdentifierMaxLength: 63},
		"prefix":        schema.NamingStrategy{TablePrefix: "app_", SingularTable: true, IdentifierMaxLength: 63},
		"of the app":    shouting{schema.NamingStrategy{IdentifierMaxLength: 63}},
		"of the app, 2": &shouting{schema.NamingStrategy{NoLowerCase: true, IdentifierMaxLength: 63}},
	} {
		db := s.newDB(s.T)
		db.Config.NamingStrategy = namer
		db.Config.QueryFields = true
		record := recordDDL(db)
		f := openAccounts(s, db, gormkey.WithOneTimeTokens())
		record.taken()
		must(s, f.plugin.AutoMigrate(db))
		equalLists(s, name+": DDL of the second run", record.taken(), nil)
		ada := signUp(s, f, "ada")
		_, err := f.OpenSession(ctx, ada.ID)
		must(s, err)
		findings, err := f.Audit(ctx)
		must(s, err)
		equalLists(s, name+": findings", problems(findings), nil)
		pending, err := f.plugin.PendingSQL(db)
		must(s, err)
		equalLists(s, name+": pending", pending, nil)
		if s.declared && s.enforced {
			continue
		}
		stmt := &gorm.Statement{DB: db}
		must(s, stmt.Parse(&login{}))
		keys := stmt.Schema.Table
		must(s, db.Exec("INSERT INTO "+keys+" (id, user_id) VALUES ('email:gone', 'gone')").Error)
		findings, err = f.Audit(ctx)
		must(s, err)
		equalLists(s, name+": findings with an orphan", problems(findings), []string{"orphans " + keys + ".user_id 1"})
		n, err := f.Repair(ctx)
		must(s, err)
		equal(s, name+": repaired", n, 1)
	}
}

// withoutPragma leaves out what Unenforced finds by its nature.
func withoutPragma(findings []tables.Finding) []tables.Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f tables.Finding) bool { return f.Problem == tables.ProblemForeignKeysUnenforced })
}

// problems returns the findings as text, without what to do.
func problems(findings []tables.Finding) (list []string) {
	for _, f := range withoutPragma(findings) {
		text := string(f.Problem) + " " + f.Table
		if f.Column != "" {
			text += "." + f.Column
		}
		if f.Count > 0 {
			text += fmt.Sprintf(" %d", f.Count)
		}
		list = append(list, text)
		if f.Action == "" || !strings.Contains(f.String(), f.Table) {
			list = append(list, "unhelpful: "+f.String())
		}
	}
	return list
}

func equalLists(s *suite, what string, got, want []string) {
	s.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.Errorf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}
