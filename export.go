package gormkey

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// SQL returns the statements that make the plugin's tables, and those of more models of
// the application, in the dialect of db, and the statements that drop them, for a
// migration tool where the program has no right to DDL. It sends nothing: db may be
// opened on [Offline].
func (p *Plugin[U]) SQL(db *gorm.DB, more ...any) (up, down []string, err error) {
	b, db, err := p.migrationHandle(db)
	if err != nil {
		return nil, nil, err
	}
	models := append(p.Models(), more...)
	up, err = recordExecs(db, nil, func(tx *gorm.DB) error { return tx.Migrator().CreateTable(models...) })
	if err != nil {
		return nil, nil, err
	}
	for _, model := range slices.Backward(models) {
		stmt := &gorm.Statement{DB: db}
		if err := stmt.Parse(model); err != nil {
			return nil, nil, fmt.Errorf("gormkey: %w", err)
		}
		down = append(down, "DROP TABLE "+b.db.Statement.Quote(stmt.Table))
	}
	return up, down, nil
}

// PendingSQL returns the statements that [Plugin.AutoMigrate] would send to db as it is,
// none if it is up to date, and sends none of them: what a new version of this library
// or of the application's models wants of a live database. It reads the catalog. Errors
// are those of AutoMigrate.
func (p *Plugin[U]) PendingSQL(db *gorm.DB, more ...any) ([]string, error) {
	b, db, err := p.migrationHandle(db)
	if err != nil {
		return nil, err
	}
	if err := b.refuseOrphans(db); err != nil {
		return nil, err
	}
	statements, err := recordExecs(db, db.Statement.ConnPool, func(tx *gorm.DB) error {
		return tx.AutoMigrate(append(p.Models(), more...)...)
	})
	if err != nil {
		return nil, err
	}
	if drop := "DROP TABLE " + b.db.Statement.Quote(b.user.Table); b.dialect == "sqlite" && slices.Contains(statements, drop) {
		// See guardRebuild. The pragma does nothing inside a transaction, nor does the
		// migrator's own.
		statements = slices.DeleteFunc(statements, func(s string) bool { return strings.HasPrefix(s, "PRAGMA foreign_keys") })
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
	statements []string
}

var (
	_ gorm.ConnPoolBeginner = (*execRecorder)(nil)
	_ gorm.TxCommitter      = (*execRecorder)(nil)
)

// ExecContext writes a statement down. Savepoints are the migrator's own.
func (r *execRecorder) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	if len(args) > 0 {
		query = r.explain(query, args...)
	}
	for _, verb := range []string{"SAVEPOINT", "ROLLBACK TO", "RELEASE"} {
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
