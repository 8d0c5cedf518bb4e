package gormkeytest

import (
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

var idTypeCases = []testCase{
	{"idtype/a type of the database's own, and the second migration", idTypes},
	{"idtype/ids that a type does not hold", idTypeInput},
}

// idTypesOf are types of a user's id in several spellings, by dialect, with an id of each.
var idTypesOf = map[string]map[string]string{
	"postgres": {
		"varchar(36)": wideID, "VARCHAR(36)": wideID, "character varying (36)": wideID, "varchar": wideID, "text": wideID,
		"char(36)": wideID, "character(36)": wideID, `varchar(36) COLLATE "C"`: wideID, `text COLLATE "C"`: wideID, "uuid": wideID, "UUID": wideID,
		"bigint": "4711", "int8": "4711", "int": "4711", "smallint": "4711", "numeric(20)": "4711", "numeric(20, 0)": "4711",
	},
	"mysql": {
		"varbinary(36)": wideID, "VARBINARY(36)": wideID, "varbinary  (36)": wideID, "binary(36)": wideID,
		"bigint": "4711", "BIGINT UNSIGNED": "4711", "int": "4711", "integer": "4711", "dec(20)": "4711",
	},
	"sqlite": {
		"varchar(36)": wideID, "VARCHAR(36)": wideID, "character varying(36)": wideID, "text": wideID, "uuid": wideID,
		"bigint": "4711", "integer": "4711", "numeric(20, 0)": "4711",
	},
}

const wideID = "0195d6f2-7c1e-7a3b-9f55-713058912981"

func idTypes(s *suite) {
	ctx := s.Context()
	for sqlType, id := range idTypesOf[s.newDB(s.T).Name()] {
		opts := []gormkey.Option{
			gormkey.WithUserIDType(sqlType), gormkey.WithUserIDGenerator(func() string { return id }),
			gormkey.WithOneTimeTokens(),
		}
		db := s.newDB(s.T)
		record := recordDDL(db)
		f := openAccounts(s, db, opts...)
		record.taken()
		must(s, f.plugin.AutoMigrate(db))
		equalLists(s, sqlType+": DDL of the second run", record.taken(), nil)
		must(s, f.CreateUser(ctx, &account{Email: "ada@example.com"}, email("ada@example.com")))
		session, err := f.SignIn(ctx, email("ada@example.com"))
		must(s, err)
		equal(s, sqlType+": id", session.UserID, id)
		_, err = f.IssueToken(ctx, id, gormkey.PurposeVerifyEmail, "ada@example.com", time.Hour)
		must(s, err)
		record.taken()
		must(s, f.plugin.AutoMigrate(db)) // with rows, whose values some drivers report as the columns' sizes
		must(s, db.AutoMigrate(f.plugin.Models()...))
		equalLists(s, sqlType+": DDL of the second run with rows", record.taken(), nil)
		other := s.again(db)
		record = recordDDL(other)
		next := newAccounts(s, opts...)
		must(s, other.Use(next))
		pending, err := next.PendingSQL(other)
		must(s, err)
		equalLists(s, sqlType+": pending", pending, nil)
		must(s, next.AutoMigrate(other))
		equalLists(s, sqlType+": DDL of another process", record.taken(), nil)
		findings, err := f.Audit(ctx)
		must(s, err)
		equalLists(s, sqlType+": findings", problems(findings), nil)
		must(s, f.DeleteUser(ctx, id))
		equal(s, sqlType+": rows", rows(s, db), [3]int64{})
	}
}

// idTypeInput: what a column would cut, fill up or take for another is refused before any
// statement, and a generator of such ids by db.Use.
func idTypeInput(s *suite) {
	db := s.newDB(s.T)
	texts := map[string]string{"mysql": "varbinary(36)", "postgres": "varchar(36)", "sqlite": "varchar(36)"}[db.Name()]
	for sqlType, bad := range map[string][]string{
		texts:         {strings.Repeat("x", 37)},
		"bigint":      {"1abc", "+1", "01", "1.0", "abc", "9223372036854775808", "-0"},
		"numeric(18)": {"1abc", "+1", "01", "1.0", "abc", "-0", "NaN", "1e3"},
	} {
		if db.Name() == "sqlite" && sqlType == texts {
			continue // widths mean nothing there
		}
		good := map[bool]string{true: "4711", false: wideID}[sqlType != texts]
		n := 0
		ids := append([]string{good, good}, bad...)
		opts := []gormkey.Option{gormkey.WithUserIDType(sqlType), gormkey.WithUserIDGenerator(func() string { n++; return ids[min(n, len(ids))-1] })}
		f := s.accounts(opts...)
		ctx := s.Context()
		must(s, f.CreateUser(ctx, &account{Email: "ada@example.com"}, email("ada@example.com")))
		_, err := f.OpenSession(ctx, good)
		must(s, err)
		sent := record(f.db)
		recorded, err := from(f.db)
		must(s, err)
		for _, id := range bad {
			sent.reset()
			_, err := recorded.GetUser(ctx, id)
			wantErr(s, fmt.Sprintf("%s: getting %q", sqlType, id), err, gormkey.ErrInvalidArgument)
			_, err = recorded.UserKeys(ctx, id)
			wantErr(s, fmt.Sprintf("%s: the keys of %q", sqlType, id), err, gormkey.ErrInvalidArgument)
			equal(s, fmt.Sprintf("%s: statements for %q", sqlType, id), len(sent.all()), 0)
		}
		for i, id := range bad {
			wantErr(s, fmt.Sprintf("%s: a generated %q", sqlType, id), f.CreateUser(ctx, &account{Email: fmt.Sprint(i)}), gormkey.ErrInvalidArgument)
			wantErr(s, fmt.Sprintf("%s: a given %q", sqlType, id), f.CreateUser(ctx, &account{User: gormkey.User{ID: id}, Email: fmt.Sprint(i)}), gormkey.ErrInvalidArgument)
			wantErr(s, fmt.Sprintf("%s: ending the sessions of %q", sqlType, id), f.EndAllSessions(ctx, id), gormkey.ErrInvalidArgument)
			wantErr(s, fmt.Sprintf("%s: deleting %q", sqlType, id), f.DeleteUser(ctx, id), gormkey.ErrInvalidArgument)
			if err := use[account](gormkey.WithUserIDType(sqlType), gormkey.WithUserIDGenerator(func() string { return id }))(db); err == nil || !strings.Contains(err.Error(), "WithUserIDGenerator") {
				s.Errorf("%s: a generator of %q: got %v", sqlType, id, err)
			}
		}
		equal(s, sqlType+": rows", rows(s, f.db), [3]int64{1, 1, 1})
	}
	for _, sqlType := range []string{"string", "Bytes", "time"} {
		if err := use[account](gormkey.WithUserIDType(sqlType))(db); err == nil || !strings.Contains(err.Error(), "no SQL type") {
			s.Errorf("type %q: got %v", sqlType, err)
		}
	}
	plugin := newAccounts(s, gormkey.WithUserIDType(texts)) // the default generator makes such ids
	must(s, db.Use(plugin))
	must(s, plugin.AutoMigrate(db))
	var made account
	must(s, db.Session(&gorm.Session{}).Create(&made).Error)
	equal(s, "length of a default id", len(made.ID), 15)
}
