package d1

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
)

const tooFewRows = "d1: too few rows"

// Require returns a statement that makes a batch fail, with [ErrTooFewRows] and nothing
// done, if the INSERT, UPDATE or DELETE right before it changed fewer rows, not counting
// those of cascades and triggers. It is what takes the place of looking at RowsAffected
// in a transaction:
//
//	tx.Exec("UPDATE account SET balance = balance - ? WHERE id = ? AND balance >= ?", …)
//	tx.Exec(d1.Require(1))
//
// It works by reading a JSON path that is none, whose text SQLite puts into the error.
func Require(rows int) string {
	return require(fmt.Sprintf("changes() >= %d", rows), tooFewRows)
}

func require(condition, message string) string {
	return "SELECT CASE WHEN " + condition + " THEN 1 ELSE json_extract('{}', '" + strings.ReplaceAll(message, "'", "''") + "') END"
}

// Statement is one of a [Batch].
type Statement struct {
	SQL  string
	Args []any // as for database/sql: also driver.Valuer, time.Time and nil; 100 at most
	// Rows is the number of rows that it has to change, cascades and triggers not
	// counted; otherwise the whole batch is undone with [ErrTooFewRows].
	Rows int
}

// Result is what a statement of a [Batch] did.
type Result struct {
	RowsAffected int64 // not counting cascades and triggers; 0 unless it was INSERT, UPDATE or DELETE
	LastInsertID int64 // the last row's, 0 unless it was an INSERT that inserted
	Columns      []string
	Rows         [][]any // of a SELECT, PRAGMA or RETURNING: int64, float64, string, []byte, time.Time or nil
}

// Batch runs statements in order as one transaction: all of them, or none and an error.
// It may read too: a SELECT sees what the statements before it wrote, and nobody writes
// between them. The error is that of the statement which failed, without its number; for
// [ErrOutcomeUnknown], all or none of it has been done. The pool has to be of this package:
// for GORM it is that of db.DB(). No statements are no error.
//
// A row that cannot be read exactly is [ErrIntegerRange] after the batch was done.
func Batch(ctx context.Context, db *sql.DB, statements []Statement) ([]Result, error) {
	list, own, err := batch(statements)
	if err != nil {
		return nil, err
	}
	pool, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = pool.Close() }()
	var outcomes []outcome
	err = pool.Raw(func(driverConn any) error {
		c, ok := driverConn.(*conn)
		if !ok {
			return fmt.Errorf("%w: a pool of %T", ErrConfig, driverConn)
		}
		outcomes, err = c.client.run(ctx, list)
		return err
	})
	if err != nil {
		return nil, err
	}
	results := make([]Result, 0, len(statements))
	for _, i := range own {
		o := outcomes[i]
		values, err := o.values()
		if err != nil {
			return nil, err
		}
		r := Result{RowsAffected: o.changed, LastInsertID: o.insertID, Columns: o.columns}
		for _, row := range values {
			r.Rows = append(r.Rows, anys(row))
		}
		results = append(results, r)
	}
	return results, nil
}

// batch converts statements, with those that [Statement.Rows] adds, and returns the
// indexes of the caller's own.
func batch(statements []Statement) (list []statement, own []int, err error) {
	for i, s := range statements {
		args, err := namedValues(s.Args)
		if err != nil {
			return nil, nil, fmt.Errorf("%w (statement %d)", err, i+1)
		}
		one, err := prepare(s.SQL, args)
		if err == nil && (one.kind == savepoint || one.kind == release || one.kind == rollbackTo) {
			err = fmt.Errorf("%w: a batch has no savepoints", ErrTransaction)
		}
		if err == nil && s.Rows > 0 && one.kind != change {
			err = fmt.Errorf("%w: Rows is for INSERT, UPDATE and DELETE", ErrParameter)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w (statement %d)", err, i+1)
		}
		own = append(own, len(list))
		list = append(list, one)
		if s.Rows > 0 {
			list = append(list, newStatement(Require(s.Rows), text{kind: read}, nil))
		}
	}
	return list, own, nil
}

// namedValues converts as database/sql does, which Raw goes around.
func namedValues(args []any) ([]driver.NamedValue, error) {
	values := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		if named, ok := arg.(sql.NamedArg); ok {
			return nil, fmt.Errorf("%w: %q is named; D1 has ? and ?1 alone", ErrParameter, named.Name)
		}
		v, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return nil, fmt.Errorf("%w: parameter %d is a %T", ErrParameter, i+1, arg)
		}
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return values, nil
}

func anys(row []driver.Value) []any {
	values := make([]any, len(row))
	for i, v := range row {
		values[i] = v
	}
	return values
}
