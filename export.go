package gormkey

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// SQL returns the statements that make the plugin's tables, and those of more models of
// the application, in the dialect of db, and the statements that drop them, for a
// migration tool where the program has no right to DDL. It sends nothing: db may be
// opened on [Offline].
func (p *PluginOf[U, K, S]) SQL(db *gorm.DB, more ...any) (up, down []string, err error) {
	_, db, err = p.migrationHandle(db)
	if err != nil {
		return nil, nil, err
	}
	up, err = recordExecs(db, nil, func(tx *gorm.DB) error { return tx.AutoMigrate(append(p.Models(), more...)...) })
	if err != nil {
		return nil, nil, err
	}
	for _, statement := range slices.Backward(up) {
		if table, ok := strings.CutPrefix(statement, "CREATE TABLE "); ok {
			table, _, _ = strings.Cut(table, " (")
			down = append(down, "DROP TABLE "+table)
		}
	}
	return up, down, nil
}

// PendingSQL returns the statements that [PluginOf.AutoMigrate] would send to db as it is,
// none if it is up to date, and sends none of them: what a new version of this library
// or of the application's models wants of a live database. It reads the catalog. Errors
// are those of AutoMigrate. Run them on one connection, in [PluginOf.Migrate] say: on SQLite
// they may begin and end with a pragma, which holds for its connection. On MySQL and
// MariaDB, those that widen ids drop foreign keys and add them again: let nobody write
// meanwhile.
func (p *PluginOf[U, K, S]) PendingSQL(db *gorm.DB, more ...any) ([]string, error) {
	b, db, err := p.migrationHandle(db)
	if err != nil {
		return nil, err
	}
	var widened widening
	migrate := func(tx *gorm.DB) error {
		var err error
		if widened, err = b.prepare(tx, &p.opts); err != nil {
			return err
		}
		return tx.AutoMigrate(append(p.Models(), more...)...)
	}
	if b.dialect == "sqlite" && !b.engine.Batches() { // which rebuilds no table
		return b.pendingByUndo(db, migrate)
	}
	statements, err := recordExecs(db, db.Statement.ConnPool, migrate)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{} // an index of a new column is asked for twice, since the first time was not sent
	return slices.DeleteFunc(statements, func(s string) bool {
		twice := seen[s]
		seen[s] = true
		return twice || widened.covers(b.dialect, s)
	}), nil
}

// covers tells whether GORM's migrator sent a statement for a column that is wider by then.
func (w widening) covers(dialect, statement string) bool {
	return !slices.Contains(w.statements, statement) && slices.ContainsFunc(w.columns, func(p place) bool {
		table, column := p.table(dialect), quoteName(dialect, p.Column)
		return strings.HasPrefix(statement, "ALTER TABLE "+table+" ALTER COLUMN "+column+" TYPE ") ||
			strings.HasPrefix(statement, "ALTER TABLE "+table+" MODIFY COLUMN "+column+" ")
	})
}

// errUndo rolls back what was done to see what would be.
var errUndo = errors.New("gormkey: undo")

// pendingByUndo migrates in a transaction that it rolls back: a table that is rebuilt twice is
// rebuilt from what the first time left, so the statements have to be sent.
func (b *binding) pendingByUndo(db *gorm.DB, migrate func(tx *gorm.DB) error) ([]string, error) {
	var statements []string
	err := b.engine.Migrate(db, func(tx *gorm.DB) error {
		pool := &execRecorder{ConnPool: tx.Statement.ConnPool, explain: tx.Explain, send: true}
		tx = tx.Session(&gorm.Session{NewDB: true, Logger: logger.Discard}).Set(exportSetting, true).Session(&gorm.Session{})
		tx.Config.ConnPool, tx.Statement.ConnPool = pool, pool
		if err := migrate(tx); err != nil {
			return err
		}
		statements = pool.statements
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		return nil, err
	}
	drops := func(s string) bool { return strings.HasPrefix(s, "DROP TABLE") }
	if slices.ContainsFunc(statements, drops) { // see guardRebuild; inside a transaction the pragma does nothing
		statements = append(append([]string{"PRAGMA foreign_keys = OFF"}, statements...), "PRAGMA foreign_keys = ON")
	}
	return statements, nil
}

// recordExecs runs work on a handle whose statements are written down. Queries go to
// source, nowhere if it is nil.
func recordExecs(db *gorm.DB, source gorm.ConnPool, work func(tx *gorm.DB) error) ([]string, error) {
	if source == nil {
		offline := Offline()
		defer func() { _ = offline.Close() }()
		source = offline
	}
	pool := &execRecorder{ConnPool: source, explain: db.Explain}
	db = db.Session(&gorm.Session{NewDB: true, Logger: logger.Discard}).Set(exportSetting, true).Session(&gorm.Session{})
	db.Config.ConnPool, db.Statement.ConnPool = pool, pool
	err := work(db)
	return pool.statements, err
}

// execRecorder is a pool and a transaction that writes statements down.
type execRecorder struct {
	gorm.ConnPool
	explain    func(sql string, vars ...any) string
	send       bool // the statements too
	statements []string
}

var (
	_ gorm.ConnPoolBeginner = (*execRecorder)(nil)
	_ gorm.TxCommitter      = (*execRecorder)(nil)
)

// ExecContext writes a statement down. Savepoints and pragmas are the migrator's own, and
// what has nothing to do is none.
func (r *execRecorder) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if r.send {
		if result, err := r.ConnPool.ExecContext(ctx, query, args...); err != nil {
			return result, err
		}
	}
	if len(args) > 0 {
		query = r.explain(query, args...)
	}
	for _, verb := range []string{"SAVEPOINT", "ROLLBACK TO", "RELEASE", "PRAGMA", noStatement} {
		if strings.HasPrefix(strings.ToUpper(query), verb) {
			return driver.RowsAffected(0), nil
		}
	}
	r.statements = append(r.statements, query)
	return driver.RowsAffected(0), nil
}

// BeginTx returns the recorder itself, since it has nothing to commit.
func (r *execRecorder) BeginTx(context.Context, *sql.TxOptions) (gorm.ConnPool, error) {
	return r, nil
}

// Commit does nothing.
func (r *execRecorder) Commit() error { return nil }

// Rollback does nothing.
func (r *execRecorder) Rollback() error { return nil }
