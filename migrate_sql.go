package gormkey

import (
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/internal/engine"
)

// SQL returns the statements that make the plugin's tables, and those of more models of the
// application, in the dialect of db (up), and the statements that drop them (down). They are for
// a migration tool, where the program itself has no right to DDL. It sends nothing: db may be
// opened on [Offline].
func (p *PluginOf[U, K, S]) SQL(db *gorm.DB, more ...any) (up, down []string, err error) {
	_, db, err = p.migrationHandle(db)
	if err != nil {
		return nil, nil, err
	}
	up, err = engine.RecordOffline(db, func(tx *gorm.DB) error { return tx.AutoMigrate(append(p.Models(), more...)...) })
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

// PendingSQL returns the statements that [PluginOf.AutoMigrate] would send to db as it is now,
// none if db is up to date, and sends none of them. So it shows what a new version of this
// library, or of your models, needs on a live database. It reads the catalog. Errors are those of
// AutoMigrate.
//
// Run the statements on one connection, for example in [PluginOf.Migrate]: on SQLite they may
// begin and end with a pragma, which holds for its connection only. On MySQL and MariaDB the
// statements that widen ids drop foreign keys and add them again: let nobody write meanwhile.
func (p *PluginOf[U, K, S]) PendingSQL(db *gorm.DB, more ...any) ([]string, error) {
	b, db, err := p.migrationHandle(db)
	if err != nil {
		return nil, err
	}
	var widened engine.Widening
	statements, err := b.engine.Record(db, func(tx *gorm.DB) error {
		var err error
		if widened, err = b.prepare(tx, &p.opts); err != nil {
			return err
		}
		return tx.AutoMigrate(append(p.Models(), more...)...)
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(statements, widened.Covers), nil
}
