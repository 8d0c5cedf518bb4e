package gormkey

import (
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// registerColumns watches the statements by which GORM's migrator gives the plugin's own
// columns another type: it does so whatever they hold, and whatever points at them.
func (p *PluginOf[U, K, S]) registerColumns(db *gorm.DB, b *binding) error {
	if b.dialect == "sqlite" || p.opts.lucia {
		return nil
	}
	alterations := b.alterations()
	return db.Callback().Raw().Before("gorm:raw").Register(p.Name()+":columns", func(tx *gorm.DB) {
		if c, ok := alterations[tx.Statement.SQL.String()]; ok && tx.Error == nil && !tx.DryRun {
			p.guardColumn(tx, b, c)
		}
	})
}

// alterations returns the migrator's statements, and the columns that they change.
func (b *binding) alterations() map[string]ownColumn {
	statements := map[string]ownColumn{}
	for _, s := range append([]*schema.Schema{b.user}, b.owned...) {
		for _, c := range b.columns {
			f := s.FieldsByDBName[c.name]
			if f == nil || c.table != s.Table {
				continue
			}
			table, column, migrator := b.db.Statement.Quote(s.Table), b.db.Statement.Quote(c.name), b.db.Migrator()
			sqlType := b.db.Dialector.DataTypeOf(f)
			statements[fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s::%s", table, column, sqlType, column, sqlType)] = c
			statements[fmt.Sprintf("ALTER TABLE %s MODIFY COLUMN %s %s", table, column, migrator.FullDataTypeOf(f).SQL)] = c
		}
	}
	return statements
}

// guardColumn lets a statement pass that makes a column wider which nothing points at, takes
// its effect from one that is not needed, and refuses others.
func (p *PluginOf[U, K, S]) guardColumn(tx *gorm.DB, b *binding, c ownColumn) {
	there, err := readOwn(fresh(tx), b.columns)
	if err != nil {
		_ = tx.AddError(err)
		return
	}
	dialect := tx.Name()
	_, exporting := tx.Get(exportSetting)
	for _, other := range there {
		if other.table != c.table || other.name != c.name {
			continue
		}
		switch how := other.fit(dialect); {
		case other.refuses(dialect):
			_ = tx.AddError(other.refused(dialect, &p.opts, there))
		case how == narrower && other.isID && !exporting: // else it stands in the list already
			_ = tx.AddError(fmt.Errorf("%w: %s.%s is %s, narrower than %s: run Plugin.AutoMigrate, which makes what points at it wider too", ErrColumn, c.table, c.name, other.found.Type, c.sqlType))
		case how == narrower && !other.isID, how == otherType: // GORM's migrator may
		default:
			tx.Statement.SQL.Reset()
			tx.Statement.SQL.WriteString(noStatement)
			tx.Statement.Vars = nil
		}
	}
}

// noStatement is sent in place of one that has nothing to do.
const noStatement = "SELECT 1"
