package gormkeytest

import (
	"context"
	"database/sql"
	"strings"
	"sync"

	"gorm.io/gorm"
)

// recorder stands between GORM and its pool. It keeps every statement with its values,
// and can make the n-th fail.
type recorder struct {
	gorm.ConnPool

	mu         sync.Mutex
	statements []statement
	// inject, if set, is asked before each statement, BEGIN and COMMIT; its error is
	// returned in place of running it.
	inject func(sql string) error
}

type statement struct {
	sql  string
	args []any
}

// record puts a recorder into a handle. Call it before gormkey.From.
func record(db *gorm.DB) *recorder {
	r := &recorder{ConnPool: db.ConnPool}
	db.ConnPool, db.Statement.ConnPool = r, r
	return r
}

// reset forgets the statements.
func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statements = nil
}

// taken returns the statements since the last call, without BEGIN, COMMIT and their like.
func (r *recorder) taken() []statement { return withoutEnds(r.all()) }

func withoutEnds(statements []statement) (out []statement) {
	for _, s := range statements {
		if !strings.HasPrefix(s.sql, "SAVEPOINT") && s.sql != "BEGIN" && s.sql != "COMMIT" && s.sql != "ROLLBACK" {
			out = append(out, s)
		}
	}
	return out
}

// all returns the statements since the last call, BEGIN and COMMIT too.
func (r *recorder) all() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.statements
	r.statements = nil
	return sent
}

func (r *recorder) note(query string, args []any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statements = append(r.statements, statement{query, args})
	if r.inject != nil {
		return r.inject(query)
	}
	return nil
}

// bound stops a case that makes the n-th statement fail and does not come to its end.
func (s *suite) bound(n int) {
	s.Helper()
	if n > 200 {
		s.Fatalf("%d statements were made to fail, and the operation still has more", n)
	}
}

// GetDBConn lets db.DB() reach the pool.
func (r *recorder) GetDBConn() (*sql.DB, error) {
	if pool, ok := r.ConnPool.(*sql.DB); ok {
		return pool, nil
	}
	return r.ConnPool.(gorm.GetDBConnector).GetDBConn()
}

func (r *recorder) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := r.note(query, args); err != nil {
		return nil, err
	}
	return r.ConnPool.ExecContext(ctx, query, args...)
}

func (r *recorder) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := r.note(query, args); err != nil {
		return nil, err
	}
	return r.ConnPool.QueryContext(ctx, query, args...)
}

func (r *recorder) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	_ = r.note(query, args)
	return r.ConnPool.QueryRowContext(ctx, query, args...)
}

// BeginTx begins a transaction that is recorded too.
func (r *recorder) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	if err := r.note("BEGIN", nil); err != nil {
		return nil, err
	}
	switch pool := r.ConnPool.(type) {
	case gorm.TxBeginner:
		tx, err := pool.BeginTx(ctx, opts)
		if err != nil {
			return nil, err
		}
		return &recordedTx{tx, r, tx}, nil
	default:
		tx, err := pool.(gorm.ConnPoolBeginner).BeginTx(ctx, opts)
		if err != nil {
			return nil, err
		}
		return &recordedTx{tx, r, tx.(gorm.TxCommitter)}, nil
	}
}

// recordedTx reports to the recorder that began it.
type recordedTx struct {
	gorm.ConnPool
	parent    *recorder
	committer gorm.TxCommitter
}

var _ gorm.TxCommitter = (*recordedTx)(nil)

func (t *recordedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := t.parent.note(query, args); err != nil {
		return nil, err
	}
	// GORM sends savepoints around its prepared statements, which it does not see in here.
	if prepared, ok := t.ConnPool.(*gorm.PreparedStmtTX); ok && strings.Contains(query, "SAVEPOINT") {
		return prepared.Tx.ExecContext(ctx, query, args...)
	}
	return t.ConnPool.ExecContext(ctx, query, args...)
}

func (t *recordedTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := t.parent.note(query, args); err != nil {
		return nil, err
	}
	return t.ConnPool.QueryContext(ctx, query, args...)
}

func (t *recordedTx) Commit() error {
	if err := t.parent.note("COMMIT", nil); err != nil {
		_ = t.committer.Rollback()
		return err
	}
	return t.committer.Commit()
}

func (t *recordedTx) Rollback() error {
	_ = t.parent.note("ROLLBACK", nil)
	return t.committer.Rollback()
}
