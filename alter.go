package gormkey

import (
	"fmt"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/tables"
)

// registerColumns watches the statements by which GORM's migrator gives the plugin's own
// columns another type: it does so whatever they hold, and whatever points at them.
func (p *PluginOf[U, K, S]) registerColumns(db *gorm.DB, b *binding) error {
	if p.opts.lucia {
		return nil
	}
	alterations := b.alterations()
	if len(alterations) == 0 {
		return nil
	}
	return db.Callback().Raw().Before("gorm:raw").Register(p.Name()+":columns", func(tx *gorm.DB) {
		if c, ok := alterations[tx.Statement.SQL.String()]; ok && tx.Error == nil && !tx.DryRun {
			p.guardColumn(tx, b, c)
		}
	})
}

// alterations returns the migrator's statements, and the columns that they change.
func (b *binding) alterations() map[string]ownColumn {
	statements := map[string]ownColumn{}
	for _, s := range append(b.ours(), b.user) {
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

// guardColumn lets a statement pass that makes a column wider which nothing points at, takes
// its effect from one that is not needed, and refuses others.
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
		case how == engine.Narrower && !other.isID, how == engine.OtherType: // GORM's migrator may
		default:
			tx.Statement.SQL.Reset()
			tx.Statement.SQL.WriteString(engine.NoStatement)
			tx.Statement.Vars = nil
		}
	}
}
