package d1_test

import (
	"context"
	"errors"
	"testing"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/d1"
)

func TestErrors(t *testing.T) {
	pool := newPool(t)
	exec(t, pool,
		"CREATE TABLE p (id TEXT PRIMARY KEY, u TEXT UNIQUE, n TEXT NOT NULL DEFAULT '', k INTEGER CHECK (k > 0))",
		"CREATE TABLE c (p TEXT REFERENCES p)",
		"INSERT INTO p (id, u) VALUES ('a', 'a')")
	for _, test := range []struct {
		sql  string
		code int
	}{
		{"INSERT INTO p (id) VALUES ('a')", 1555},
		{"INSERT INTO p (id, u) VALUES ('b', 'a')", 2067},
		{"INSERT INTO p (id, n) VALUES ('b', NULL)", 1299},
		{"INSERT INTO p (id, k) VALUES ('b', 0)", 275},
		{"INSERT INTO c VALUES ('nobody')", 787},
		{"INSERT INTO nowhere VALUES (1)", 1},
		{"SELEC", 1},
		{"SELECT load_extension('x')", 1},
		{"PRAGMA database_list", 23},
	} {
		_, err := pool.Exec(test.sql)
		var e *d1.Error
		if !errors.As(err, &e) || e.ExtendedCode != test.code || e.Status != 400 || e.APICode != 7500 {
			t.Errorf("%s: %+v", test.sql, err)
		}
	}
	for sql, want := range map[string]error{
		"BEGIN":                     d1.ErrTransaction,
		"COMMIT":                    d1.ErrTransaction,
		"SAVEPOINT a":               d1.ErrTransaction,
		"ROLLBACK":                  d1.ErrTransaction,
		"SELECT 1; SELECT 2":        d1.ErrSeveralStatements,
		"PRAGMA foreign_keys = OFF": d1.ErrForeignKeys,
		"PRAGMA foreign_keys(0)":    d1.ErrForeignKeys,
	} {
		if _, err := pool.Exec(sql); !errors.Is(err, want) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	var version string
	must(t, pool.QueryRow("select sqlite_version()").Scan(&version))
}

// A deferred foreign key that is broken at the end is the batch's error.
func TestDeferredForeignKey(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "CREATE TABLE p (id TEXT PRIMARY KEY)", "CREATE TABLE c (id TEXT PRIMARY KEY, p TEXT REFERENCES p)")
	deferred := d1.Statement{SQL: "PRAGMA defer_foreign_keys = ON"}
	child := d1.Statement{SQL: "INSERT INTO c VALUES ('c', 'p')"}
	_, err := d1.Batch(t.Context(), pool, []d1.Statement{deferred, child})
	var e *d1.Error
	if !errors.As(err, &e) || e.ExtendedCode != 787 {
		t.Errorf("got %v", err)
	}
	if n := count(t, pool, "SELECT count(*) FROM c"); n != 0 {
		t.Errorf("%d children without parents", n)
	}
	_, err = d1.Batch(t.Context(), pool, []d1.Statement{deferred, child, {SQL: "INSERT INTO p VALUES ('p')"}})
	must(t, err)
}

func TestRefusedByTheAPI(t *testing.T) {
	c := newDatabase(t)
	for _, test := range []struct {
		name   string
		change func(*d1.Config)
		status int
	}{
		{"token", func(c *d1.Config) { c.Token = "wrong-token" }, 401},
		{"database", func(c *d1.Config) { c.Database = "nowhere" }, 404},
		{"endpoint", func(c *d1.Config) { c.Endpoint += "/elsewhere" }, 404},
	} {
		wrong := c
		test.change(&wrong)
		pool := d1.OpenDB(wrong)
		var e *d1.Error
		if err := pool.PingContext(context.Background()); !errors.As(err, &e) || e.Status != test.status {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, err := pool.Exec("CREATE TABLE t (id)"); errors.Is(err, d1.ErrOutcomeUnknown) || err == nil {
			t.Errorf("%s: %v", test.name, err)
		}
		must(t, pool.Close())
	}
}

func TestTranslateError(t *testing.T) {
	db := newGORM(t, &gorm.Config{TranslateError: true})
	must(t, db.Exec("CREATE TABLE p (id TEXT PRIMARY KEY, k INTEGER CHECK (k > 0))").Error)
	must(t, db.Exec("CREATE TABLE c (p TEXT REFERENCES p)").Error)
	must(t, db.Exec("INSERT INTO p VALUES ('a', 1)").Error)
	for sql, want := range map[string]error{
		"INSERT INTO p VALUES ('a', 1)": gorm.ErrDuplicatedKey,
		"INSERT INTO c VALUES ('b')":    gorm.ErrForeignKeyViolated,
		"INSERT INTO p VALUES ('b', 0)": gorm.ErrCheckConstraintViolated,
	} {
		if err := db.Exec(sql).Error; !errors.Is(err, want) {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
