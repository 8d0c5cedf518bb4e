package d1_test

import (
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/gormkey/gormkey/d1"
)

func TestTransaction(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER)", "INSERT INTO t VALUES ('a', 1)")
	tx, err := pool.Begin()
	must(t, err)
	var n int
	must(t, tx.QueryRow("SELECT n FROM t WHERE id = 'a'").Scan(&n)) // nothing was added yet
	first, err := tx.Exec("UPDATE t SET n = n + 1")
	must(t, err)
	second, err := tx.Exec("INSERT INTO t VALUES (?, ?), (?, ?)", "b", 2, "c", 3)
	must(t, err)
	if affected, err := first.RowsAffected(); !errors.Is(err, d1.ErrPending) || affected != -1 {
		t.Errorf("before Commit: %d, %v", affected, err)
	}
	if err := tx.QueryRow("SELECT n FROM t").Scan(&n); !errors.Is(err, d1.ErrReadAfterWrite) {
		t.Errorf("read after write: %v", err)
	}
	if err := tx.QueryRow("INSERT INTO t VALUES ('z', 0) RETURNING n").Scan(&n); !errors.Is(err, d1.ErrReturning) {
		t.Errorf("RETURNING: %v", err)
	}
	if got := count(t, pool, "SELECT sum(n) FROM t"); got != 1 {
		t.Errorf("before Commit others see %d", got)
	}
	must(t, tx.Commit())
	for i, r := range []sql.Result{first, second} {
		if affected, err := r.RowsAffected(); err != nil || affected != int64(i+1) {
			t.Errorf("statement %d after Commit: %d, %v", i+1, affected, err)
		}
	}
	if got := count(t, pool, "SELECT sum(n) FROM t"); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
}

// RETURNING is refused as the first statement too: it would be sent at once, and stay.
func TestTransactionReturningFirst(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "CREATE TABLE t (id TEXT PRIMARY KEY)")
	for _, query := range []string{"INSERT INTO t VALUES ('a') RETURNING id", "WITH x AS (SELECT 'a') INSERT INTO t SELECT * FROM x RETURNING id", "INSERT INTO t VALUES ('a')"} {
		tx, err := pool.Begin()
		must(t, err)
		if rows, err := tx.Query(query); !errors.Is(err, d1.ErrReturning) {
			t.Errorf("%s: %v", query, err)
			_ = rows.Close()
		}
		must(t, tx.Rollback())
	}
	if n := count(t, pool, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows stayed", n)
	}
}

func TestTransactionFails(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "CREATE TABLE t (id TEXT PRIMARY KEY)", "INSERT INTO t VALUES ('a')")
	tx, err := pool.Begin()
	must(t, err)
	r, err := tx.Exec("INSERT INTO t VALUES ('b')")
	must(t, err)
	_, err = tx.Exec("INSERT INTO t VALUES ('a')") // the last statement fails
	must(t, err)
	var e *d1.Error
	if err := tx.Commit(); !errors.As(err, &e) || e.ExtendedCode != 1555 {
		t.Errorf("Commit: %v", err)
	}
	if affected, err := r.RowsAffected(); !errors.As(err, &e) || affected != -1 {
		t.Errorf("after a failed Commit: %d, %v", affected, err)
	}
	tx, err = pool.Begin()
	must(t, err)
	r, err = tx.Exec("INSERT INTO t VALUES ('c')")
	must(t, err)
	must(t, tx.Rollback())
	if _, err := r.RowsAffected(); !errors.Is(err, sql.ErrTxDone) {
		t.Errorf("after Rollback: %v", err)
	}
	if n := count(t, pool, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestSavepoints(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "CREATE TABLE t (id TEXT PRIMARY KEY)")
	tx, err := pool.Begin()
	must(t, err)
	for _, s := range []string{
		"INSERT INTO t VALUES ('a')",
		"SAVEPOINT one", "INSERT INTO t VALUES ('b')",
		`SAVEPOINT "Two"`, "INSERT INTO t VALUES ('c')",
		"ROLLBACK TO SAVEPOINT two", "INSERT INTO t VALUES ('d')",
		"RELEASE one", "SAVEPOINT one", "INSERT INTO t VALUES ('e')", "ROLLBACK TRANSACTION TO one", "ROLLBACK TO one",
	} {
		if _, err := tx.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if _, err := tx.Exec("ROLLBACK TO two"); !errors.Is(err, d1.ErrTransaction) {
		t.Errorf("a savepoint that is gone: %v", err)
	}
	must(t, tx.Commit())
	var ids string
	must(t, pool.QueryRow("SELECT group_concat(id, '') FROM (SELECT id FROM t ORDER BY id)").Scan(&ids))
	if ids != "abd" {
		t.Errorf("got %q", ids)
	}
	// Back at an empty list there is nothing that a query would miss.
	tx, err = pool.Begin()
	must(t, err)
	for _, s := range []string{"SAVEPOINT a", "DELETE FROM t", "ROLLBACK TO a"} {
		_, err := tx.Exec(s)
		must(t, err)
	}
	must(t, tx.QueryRow("SELECT id FROM t").Scan(&ids))
	must(t, tx.Commit())
}

func TestTransactionOptions(t *testing.T) {
	pool := newPool(t)
	for _, o := range []sql.TxOptions{{Isolation: sql.LevelSerializable}, {Isolation: sql.LevelReadCommitted}, {ReadOnly: true}} {
		if _, err := pool.BeginTx(t.Context(), &o); !errors.Is(err, d1.ErrTransaction) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestBatch(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER)")
	results, err := d1.Batch(t.Context(), pool, []d1.Statement{
		{SQL: "INSERT INTO t VALUES (?, ?), (?, ?)", Args: []any{"a", 1, "b", 2}, Rows: 2},
		{SQL: "UPDATE t SET n = n + 1 WHERE n > ? RETURNING id, n", Args: []any{1}},
		{SQL: "SELECT count(*), sum(n) FROM t"},
	})
	must(t, err)
	if got := fmt.Sprint(results); got != "[{2 2 [] []} {1 0 [id n] [[b 3]]} {0 0 [count(*) sum(n)] [[2 4]]}]" {
		t.Errorf("got %s", got)
	}
	for name, test := range map[string]struct {
		last d1.Statement
		want error
	}{
		"too few rows": {d1.Statement{SQL: "UPDATE t SET n = 0 WHERE id = 'nobody'", Rows: 1}, d1.ErrTooFewRows},
		"duplicate":    {d1.Statement{SQL: "INSERT INTO t VALUES ('a', 1)"}, nil},
	} {
		_, err := d1.Batch(t.Context(), pool, []d1.Statement{{SQL: "INSERT INTO t VALUES ('c', 3)"}, test.last})
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if n := count(t, pool, "SELECT count(*) FROM t"); n != 2 {
			t.Errorf("%s: %d rows, want 2", name, n)
		}
	}
	tx, err := pool.Begin()
	must(t, err)
	for _, s := range []string{"DELETE FROM t", "DELETE FROM t", d1.Require(1)} {
		_, err = tx.Exec(s)
		must(t, err)
	}
	if err := tx.Commit(); !errors.Is(err, d1.ErrTooFewRows) {
		t.Errorf("Require in a transaction: %v", err)
	}
	if n := count(t, pool, "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

// Of eight users who take one key, one gets it, and the others leave nothing behind.
func TestRace(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "CREATE TABLE users (id TEXT PRIMARY KEY)", "CREATE TABLE keys (id TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES users)")
	for round := range 20 {
		errs := make([]error, 8)
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() {
				user := fmt.Sprintf("%d-%d", round, i)
				_, errs[i] = d1.Batch(t.Context(), pool, []d1.Statement{
					{SQL: "INSERT INTO users VALUES (?)", Args: []any{user}},
					{SQL: "INSERT INTO keys VALUES (?, ?)", Args: []any{round, user}},
				})
			})
		}
		wait.Wait()
		winners := 0
		for _, err := range errs {
			var e *d1.Error
			if err == nil {
				winners++
			} else if !errors.As(err, &e) || e.ExtendedCode != 1555 {
				t.Error(err)
			}
		}
		if users := count(t, pool, "SELECT count(*) FROM users"); winners != 1 || users != round+1 {
			t.Fatalf("round %d: %d winners, %d users", round, winners, users)
		}
	}
}
