package d1_test

import (
	"strings"
	"testing"

	"github.com/gormkey/gormkey/d1"
)

func TestClassify(t *testing.T) {
	for sql, want := range map[string]d1.Classified{
		"":                                     {Kind: "other"},
		"-- nothing":                           {Kind: "other"},
		"select 1":                             {Kind: "read"},
		" /* c */ SELECT 1 ; ":                 {Kind: "read"},
		"SELECT 1; -- end":                     {Kind: "read"},
		"SELECT 1; SELECT 2":                   {Kind: "read", Several: true},
		"SELECT 1;DROP TABLE t":                {Kind: "read", Several: true},
		"SELECT ';', \";\", `;`, [;] -- ;":     {Kind: "read"},
		"SELECT 'it''s; fine'":                 {Kind: "read"},
		"VALUES (1)":                           {Kind: "read"},
		"EXPLAIN QUERY PLAN DELETE FROM t":     {Kind: "read"},
		"WITH a AS (SELECT 1) SELECT * FROM a": {Kind: "read"},
		"WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a":                    {Kind: "change"},
		"WITH a(b) AS (VALUES (1)) DELETE FROM t WHERE b IN a RETURNING id":     {Kind: "change", Returning: true},
		"INSERT INTO t (returned) VALUES ('RETURNING')":                         {Kind: "change"},
		"insert into t values (1) returning id":                                 {Kind: "change", Returning: true},
		"REPLACE INTO t VALUES (1)":                                             {Kind: "change"},
		"UPDATE t SET a = (SELECT 1)":                                           {Kind: "change"},
		"CREATE TABLE t (a)":                                                    {Kind: "other"},
		"CREATE TRIGGER t AFTER DELETE ON a BEGIN DELETE FROM b; SELECT 1; END": {Kind: "other"},
		"CREATE TEMP TRIGGER t AFTER DELETE ON a BEGIN DELETE FROM b; END":      {Kind: "other"},
		"CREATE TABLE trigger_ (a); DROP TABLE t":                               {Kind: "other", Several: true},
		"PRAGMA table_info(t)":                                                  {Kind: "read"},
		"PRAGMA foreign_keys":                                                   {Kind: "read"},
		"PRAGMA foreign_keys = ON":                                              {Kind: "other"},
		"PRAGMA foreign_keys = 0":                                               {Kind: "unenforce"},
		"pragma foreign_keys(off)":                                              {Kind: "unenforce"},
		"PRAGMA user_version = 1":                                               {Kind: "other"},
		"BEGIN IMMEDIATE":                                                       {Kind: "begin"},
		"END":                                                                   {Kind: "begin"},
		"ROLLBACK":                                                              {Kind: "begin"},
		"rollback transaction to savepoint A":                                   {Kind: "rollback to", Savepoint: "a"},
		"ROLLBACK TO \"sp1\"":                                                   {Kind: "rollback to", Savepoint: "sp1"},
		"SAVEPOINT sp0x1":                                                       {Kind: "savepoint", Savepoint: "sp0x1"},
		"RELEASE SAVEPOINT a":                                                   {Kind: "release", Savepoint: "a"},
		"DROP TABLE t":                                                          {Kind: "other"},
	} {
		if got := d1.Classify(sql); got != want {
			t.Errorf("%s: got %+v, want %+v", sql, got, want)
		}
	}
}

// No text makes the scanner fail, and none hides a second statement behind a blank.
func FuzzClassify(f *testing.F) {
	f.Add("SELECT 'a' -- b\n; DELETE FROM t")
	f.Add("/*")
	f.Add("[")
	f.Fuzz(func(t *testing.T, sql string) {
		before, after := d1.Classify(sql), d1.Classify(" \n\t"+sql)
		if before != after {
			t.Errorf("%q: %+v and %+v", sql, before, after)
		}
		if !strings.ContainsRune(sql, ';') && before.Several {
			t.Errorf("%q: several", sql)
		}
	})
}
