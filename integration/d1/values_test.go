package d1_test

import (
	"bytes"
	"database/sql"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey/d1"
)

const maxInteger = 1<<53 - 1

// Every value comes back as it was written.
func TestValues(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "CREATE TABLE v (id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT, b BLOB, d DATETIME, f NUMERIC)")
	at := time.Date(2026, 7, 4, 12, 30, 15, 123456789, time.FixedZone("", 2*3600))
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for i, row := range []struct {
		i sql.NullInt64
		r sql.NullFloat64
		s sql.NullString
		b []byte
		d sql.NullTime
		f sql.NullBool
	}{
		{},
		{i: sql.NullInt64{Int64: maxInteger, Valid: true}, b: []byte{}},
		{i: sql.NullInt64{Int64: -maxInteger, Valid: true}, b: all},
		{i: sql.NullInt64{Int64: 1_700_000_000_000, Valid: true}, f: sql.NullBool{Bool: true, Valid: true}},
		{f: sql.NullBool{Valid: true}, s: sql.NullString{Valid: true}},
		{r: sql.NullFloat64{Float64: 2, Valid: true}, s: sql.NullString{String: "2026-07-04", Valid: true}},
		{r: sql.NullFloat64{Float64: math.Pi, Valid: true}, s: sql.NullString{String: "naïve 日本 \U0001F511 '\"`\\\n\x00end <&>", Valid: true}},
		{r: sql.NullFloat64{Float64: -1e300, Valid: true}, s: sql.NullString{String: "12", Valid: true}},
		{r: sql.NullFloat64{Float64: math.SmallestNonzeroFloat64, Valid: true}, d: sql.NullTime{Time: at, Valid: true}},
		{d: sql.NullTime{Time: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), Valid: true}},
	} {
		_, err := pool.Exec("INSERT INTO v VALUES (?, ?, ?, ?, ?, ?, ?)", i, row.i, row.r, row.s, row.b, row.d, row.f)
		must(t, err)
		got := row
		got.i, got.r, got.s, got.b, got.d, got.f = sql.NullInt64{}, sql.NullFloat64{}, sql.NullString{}, nil, sql.NullTime{}, sql.NullBool{}
		must(t, pool.QueryRow("SELECT i, r, s, b, d, f FROM v WHERE id = ?", i).Scan(&got.i, &got.r, &got.s, &got.b, &got.d, &got.f))
		if got.d.Valid != row.d.Valid || !got.d.Time.Equal(row.d.Time) {
			t.Errorf("time: got %v, want %v", got.d, row.d)
		}
		got.d, row.d = sql.NullTime{}, sql.NullTime{}
		if !reflect.DeepEqual(got, row) {
			t.Errorf("got %+v, want %+v", got, row)
		}
	}
	var storage string
	must(t, pool.QueryRow("SELECT typeof(i) FROM v WHERE id = 1").Scan(&storage))
	if storage != "integer" {
		t.Errorf("an integer column has a %s", storage)
	}
	if n := count(t, pool, "SELECT count(*) FROM v WHERE i = ?", maxInteger); n != 1 {
		t.Errorf("the largest integer was found %d times", n)
	}
}

func TestValuesRefused(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "CREATE TABLE v (i INTEGER)")
	for _, test := range []struct {
		name  string
		value any
		want  error
	}{
		{"2^53", int64(maxInteger + 1), d1.ErrIntegerRange},
		{"-2^53", int64(-maxInteger - 1), d1.ErrIntegerRange},
		{"nanoseconds", time.Now().UnixNano(), d1.ErrIntegerRange},
		{"NaN", math.NaN(), d1.ErrParameter},
		{"infinity", math.Inf(-1), d1.ErrParameter},
		{"not UTF-8", "a\xff", d1.ErrParameter},
		{"named", sql.Named("i", 1), d1.ErrParameter},
	} {
		if _, err := pool.Exec("INSERT INTO v VALUES (?)", test.value); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	// What the engine has and JavaScript has not is refused on its way back.
	for literal, want := range map[string]error{
		"9007199254740991": nil, "-9007199254740991": nil, "9007199254740992": d1.ErrIntegerRange, "9007199254740993": d1.ErrIntegerRange,
		"-9223372036854775808": d1.ErrIntegerRange,
	} {
		var n int64
		if err := pool.QueryRow("SELECT " + literal).Scan(&n); !errors.Is(err, want) {
			t.Errorf("%s: %d, %v", literal, n, err)
		}
	}
	if n := count(t, pool, "SELECT count(*) FROM v"); n != 0 {
		t.Errorf("%d rows were written", n)
	}
}

func TestColumns(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "CREATE TABLE v (b BLOB, a TEXT)", "INSERT INTO v VALUES (x'00ff', 'x')")
	rows, err := pool.Query("SELECT *, a, a AS a FROM v")
	must(t, err)
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	must(t, err)
	if want := []string{"b", "a", "a", "a"}; !reflect.DeepEqual(columns, want) {
		t.Errorf("got %q", columns)
	}
	var b []byte
	var x, y, z string
	if !rows.Next() {
		t.Fatal("no row")
	}
	must(t, rows.Scan(&b, &x, &y, &z))
	if !bytes.Equal(b, []byte{0, 255}) || x+y+z != "xxx" {
		t.Errorf("got %v %q %q %q", b, x, y, z)
	}
	none, err := pool.Query("SELECT a, b FROM v WHERE a IS NULL")
	must(t, err)
	defer func() { _ = none.Close() }()
	if columns, err := none.Columns(); err != nil || strings.Join(columns, " ") != "a b" || none.Next() || none.Err() != nil {
		t.Errorf("%q, %v, %v", columns, err, none.Err())
	}
}

func TestParameterLimit(t *testing.T) {
	pool := newPool(t)
	args := make([]any, 101)
	for i := range args {
		args[i] = i
	}
	var n int
	must(t, pool.QueryRow("SELECT "+strings.Repeat("? + ", 99)+"?", args[:100]...).Scan(&n))
	if n != 4950 {
		t.Errorf("got %d", n)
	}
	if _, err := pool.Exec("SELECT "+strings.Repeat("? + ", 100)+"?", args...); !errors.Is(err, d1.ErrTooManyParameters) {
		t.Error(err)
	}
}

// RowsAffected is the statement's own number, which D1's meta.changes is not.
func TestRowsAffected(t *testing.T) {
	pool := newPool(t)
	exec(t, pool,
		"CREATE TABLE p (id INTEGER PRIMARY KEY, n INTEGER)",
		"CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE CASCADE)",
		"CREATE TRIGGER t AFTER UPDATE ON p BEGIN UPDATE c SET p = p; END")
	for _, test := range []struct {
		sql      string
		affected int64
		id       int64
	}{
		{"INSERT INTO p VALUES (7, 1), (8, 1)", 2, 8},
		{"INSERT INTO c (p) VALUES (7), (7), (7)", 3, 3},
		{"UPDATE p SET n = 2 WHERE id = 7", 1, 0},
		{"UPDATE p SET n = 2 WHERE id = 99", 0, 0},
		{"INSERT OR IGNORE INTO p VALUES (7, 1)", 0, 0},
		{"INSERT INTO p SELECT 9, 9 WHERE 1 = 0", 0, 0},
		{"CREATE INDEX i ON p (n)", 0, 0},
		{"WITH gone AS (SELECT 7 AS id) DELETE FROM p WHERE id IN (SELECT id FROM gone)", 1, 0},
		{"DELETE FROM p", 1, 0},
	} {
		r, err := pool.Exec(test.sql)
		must(t, err)
		affected, _ := r.RowsAffected()
		id, _ := r.LastInsertId()
		if affected != test.affected || id != test.id {
			t.Errorf("%s: %d rows, id %d; want %d, %d", test.sql, affected, id, test.affected, test.id)
		}
	}
}
