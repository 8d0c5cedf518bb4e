package gormkey

import (
	"fmt"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/tables"
)

// registerColumns watches the statements by which GORM's migrator gives the plugin's own columns
// another type. db.AutoMigrate sends them whatever the column holds and whatever refers to it. A
// second program that runs without WithUserIDLength(36) could so cut the owner of every key and
// session on PostgreSQL, without an error.
func (p *PluginOf[U, K, S]) registerColumns(db *gorm.DB, b *binding) error {
	if p.opts.lucia { // Lucia's tables are not altered at all
		return nil
	}
	alterations := b.alterations()
	if len(alterations) == 0 {
		return nil
	}
	// The migrator sends DDL by Exec, which runs the Raw callbacks. The statement is recognised
	// by its whole text, so a statement that the application writes by hand passes.
	return db.Callback().Raw().Before("gorm:raw").Register(p.Name()+":columns", func(tx *gorm.DB) {
		if c, ok := alterations[tx.Statement.SQL.String()]; ok && tx.Error == nil && !tx.DryRun {
			p.guardColumn(tx, b, c)
		}
	})
}

// alterations returns the statements that GORM's migrator would send for each of our columns, and
// the column that each changes. It is empty on SQLite, where the migrator rebuilds the table
// instead; see sqlite_rebuild.go.
func (b *binding) alterations() map[string]ownColumn {
	statements := map[string]ownColumn{}
	for _, s := range b.all() {
		for _, c := range b.columns {
			f := s.FieldsByDBName[c.name]
			if f == nil || c.table != s.Table {
				continue
			}
			if statement := b.engine.AlterColumn(b.db, s.Table, f); statement != "" {
				statements[statement] = c
			}
		}
	}
	return statements
}

// guardColumn decides about one statement of the migrator. It asks for the column as it is now,
// since another process may have changed it after db.Use.
//
//   - A statement that would cut the column or misread it is refused, with the option or the
//     statement to use.
//   - A statement that widens an id is refused in a plain db.AutoMigrate: only
//     [PluginOf.AutoMigrate] widens the columns that refer to it as well.
//   - A statement that widens another text passes.
//   - A statement for a column that fits, or is wider than it has to be, is replaced by one
//     without effect.
func (p *PluginOf[U, K, S]) guardColumn(tx *gorm.DB, b *binding, c ownColumn) {
	there, err := newCatalog(b.engine, tx).find(b.columns)
	if err != nil {
		_ = tx.AddError(err)
		return
	}
	exporting := engine.Exporting(tx)
	for _, other := range there {
		if other.table != c.table || other.name != c.name {
			continue
		}
		switch how := other.fit(b.engine); {
		case other.refuses(b.engine):
			_ = tx.AddError(other.refused(b.engine, &p.opts, there))
		case how == engine.Narrower && other.isID && !exporting: // else it stands in the list already
			_ = tx.AddError(fmt.Errorf("%w: %s.%s is %s, narrower than %s: run Plugin.AutoMigrate, which makes what points at it wider too", tables.ErrColumn, c.table, c.name, other.found.SQLType, c.wanted.SQLType))
		case how == engine.Narrower && !other.isID, how == engine.OtherType: // GORM's migrator may do it
		default:
			tx.Statement.SQL.Reset()
			tx.Statement.SQL.WriteString(engine.NoStatement)
			tx.Statement.Vars = nil
		}
	}
}
