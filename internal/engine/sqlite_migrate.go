package engine

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// Migrate runs on one connection, with foreign keys unenforced, in a transaction that holds the
// write lock from its start. The order matters: inside a transaction the pragma does nothing, so
// it is set before. The pragma belongs to the connection, so it is restored before the connection
// goes back to the pool.
//
// Foreign keys have to be off because GORM changes some columns by making a new table and
// dropping the old one, and the drop would cascade to every key and session.
func (sqlite) Migrate(db *gorm.DB, migrate func(*gorm.DB) error) error {
	return db.Connection(func(conn *gorm.DB) (err error) {
		ctx := conn.Statement.Context
		sqlConn, ok := conn.Statement.ConnPool.(*sql.Conn)
		if !ok {
			return fmt.Errorf("gormkey: AutoMigrate wants a *sql.Conn, got %T", conn.Statement.ConnPool)
		}
		var enforced bool
		if err := sqlConn.QueryRowContext(ctx, "PRAGMA foreign_keys").Scan(&enforced); err != nil {
			return err
		}
		if enforced {
			if _, err := sqlConn.ExecContext(ctx, "PRAGMA foreign_keys = OFF"); err != nil {
				return err
			}
			defer func() { err = restoreForeignKeys(ctx, sqlConn, err) }()
		}
		tx, err := beginImmediate(ctx, sqlConn)
		if err != nil {
			return err
		}
		done := false
		defer func() { // also after a panic
			if !done {
				_ = tx.Rollback()
			}
		}()
		conn.Statement.ConnPool = tx
		if err := migrate(Clean(conn)); err != nil {
			return err
		}
		if err := untilFree(ctx, tx.Commit); err != nil {
			return err
		}
		done = true
		return nil
	})
}

func (sqlite) MigratesInTransaction() bool { return false }

// errUndo rolls back what was done to see what would be.
var errUndo = errors.New("gormkey: undo")

// Record migrates in a transaction that it rolls back. The statements really have to run: if a
// table is rebuilt twice, the second rebuild starts from the result of the first.
func (s sqlite) Record(db *gorm.DB, migrate func(*gorm.DB) error) (statements []string, err error) {
	err = s.Migrate(db, func(tx *gorm.DB) error {
		r := &recorder{ConnPool: tx.Statement.ConnPool, explain: tx.Explain, send: true}
		if statements, err = record(tx, r, migrate); err != nil {
			return err
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		return nil, err
	}
	drops := func(s string) bool { return strings.HasPrefix(s, "DROP TABLE") }
	if slices.ContainsFunc(statements, drops) { // see refuseLoss; inside a transaction the pragma does nothing
		statements = append(append([]string{"PRAGMA foreign_keys = OFF"}, statements...), "PRAGMA foreign_keys = ON")
	}
	return statements, nil
}

// DropForeignKey is empty: a table is made again without it.
func (sqlite) DropForeignKey() string { return "" }

// restoreForeignKeys turns enforcement on again. If that fails, the connection is thrown away:
// the application must not get one on which a deleted user's sessions stay.
func restoreForeignKeys(ctx context.Context, conn *sql.Conn, err error) error {
	if _, restore := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA foreign_keys = ON"); restore != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		if err == nil {
			err = restore
		}
	}
	return err
}

// immediateTx is a transaction that has SQLite's write lock from its start, whether the DSN has
// _txlock=immediate or not. It has GORM's interface of a transaction, so GORM nests in it by
// savepoints.
type immediateTx struct {
	*sql.Conn
	ctx context.Context
}

var _ gorm.TxCommitter = (*immediateTx)(nil)

// beginImmediate begins one. COMMIT and ROLLBACK get a context that does not end, or a cancelled
// request would leave the connection inside the transaction.
func beginImmediate(ctx context.Context, conn *sql.Conn) (*immediateTx, error) {
	err := untilFree(ctx, func() error {
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
	if err != nil {
		return nil, err
	}
	return &immediateTx{conn, context.WithoutCancel(ctx)}, nil
}

// untilFree repeats a statement that a busy database refuses, for a minute at most. The busy
// timeout of the DSN may be 0.
func untilFree(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(migrateLockWait)
	for {
		err := try()
		if err == nil || !IsRetryable(err) || time.Now().After(deadline) {
			return err
		}
		if err := Pause(ctx, RetryLongest); err != nil {
			return err
		}
	}
}

// Commit commits.
func (t *immediateTx) Commit() error {
	_, err := t.ExecContext(t.ctx, "COMMIT")
	return err
}

// Rollback rolls back; a connection on which that fails is not used again.
func (t *immediateTx) Rollback() error {
	_, err := t.ExecContext(t.ctx, "ROLLBACK")
	if err != nil {
		_ = t.Raw(func(any) error { return driver.ErrBadConn })
	}
	return err
}
