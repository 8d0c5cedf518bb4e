package engine

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// exportSetting marks a migration whose statements are written down and not sent.
const exportSetting = "gormkey:export"

// Exporting reports whether the statements of tx are written down.
func Exporting(tx *gorm.DB) bool {
	_, ok := tx.Get(exportSetting)
	return ok
}

// NoStatement is sent in place of a statement that would have nothing to do. A callback cannot
// cancel a statement without an error, and GORM's migrator would stop at an error.
const NoStatement = "SELECT 1"

// RecordOffline returns the statements that work sends to a database in which there is
// nothing, and sends none of them.
func RecordOffline(db *gorm.DB, work func(tx *gorm.DB) error) ([]string, error) {
	offline := Offline()
	defer func() { _ = offline.Close() }()
	return record(db, &recorder{ConnPool: offline, explain: db.Explain}, work)
}

// recordOnce returns the statements that work sends, and sends the queries alone. GORM's
// migrator asks twice for the index of a new column, since the first statement was not sent.
func recordOnce(db *gorm.DB, work func(tx *gorm.DB) error) ([]string, error) {
	statements, err := record(db, &recorder{ConnPool: db.Statement.ConnPool, explain: db.Explain}, work)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(statements, func(s string) bool {
		twice := seen[s]
		seen[s] = true
		return twice
	}), nil
}

// record runs work on a handle whose statements are written down.
func record(db *gorm.DB, r *recorder, work func(tx *gorm.DB) error) ([]string, error) {
	db = db.Session(&gorm.Session{NewDB: true, Logger: logger.Discard}).Set(exportSetting, true).Session(&gorm.Session{})
	db.Config.ConnPool, db.Statement.ConnPool = r, r
	err := work(db)
	return r.statements, err
}

// recorder is a connection pool, and a transaction, that writes statements down. Queries go to
// the pool below it, so the migrator sees the tables that are there.
type recorder struct {
	gorm.ConnPool
	explain    func(sql string, vars ...any) string
	send       bool // statements go to the pool too
	statements []string
}

var (
	_ gorm.ConnPoolBeginner = (*recorder)(nil)
	_ gorm.TxCommitter      = (*recorder)(nil)
)

// ExecContext writes a statement down. Savepoints and pragmas are the migrator's own and are left
// out, as is NoStatement.
func (r *recorder) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if r.send {
		if result, err := r.ConnPool.ExecContext(ctx, query, args...); err != nil {
			return result, err
		}
	}
	if len(args) > 0 {
		query = r.explain(query, args...)
	}
	for _, verb := range []string{"SAVEPOINT", "ROLLBACK TO", "RELEASE", "PRAGMA", NoStatement} {
		if strings.HasPrefix(strings.ToUpper(query), verb) {
			return driver.RowsAffected(0), nil
		}
	}
	r.statements = append(r.statements, query)
	return driver.RowsAffected(0), nil
}

// BeginTx returns the recorder itself, since it has nothing to commit.
func (r *recorder) BeginTx(context.Context, *sql.TxOptions) (gorm.ConnPool, error) { return r, nil }

// Commit does nothing.
func (r *recorder) Commit() error { return nil }

// Rollback does nothing.
func (r *recorder) Rollback() error { return nil }
