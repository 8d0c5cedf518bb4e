package gormkey

import (
	"strings"

	"gorm.io/gorm"
)

// prepareVitess makes GORM fit Vitess, which has no foreign keys, and shows the names of
// the databases below it in information_schema (vitess#7687), where GORM's migrator
// looks for the one that it is in.
func (p *Plugin[U]) prepareVitess(db *gorm.DB) error {
	db.Config.DisableForeignKeyConstraintWhenMigrating = true
	return db.Callback().Row().Before("gorm:row").Register(p.Name()+":database", func(tx *gorm.DB) {
		if tx.Error == nil && strings.HasPrefix(tx.Statement.SQL.String(), currentDatabaseQuery) {
			tx.Statement.SQL.Reset()
			tx.Statement.SQL.WriteString("SELECT DATABASE()")
			tx.Statement.Vars = nil
		}
	})
}

// currentDatabaseQuery is how gorm.io/driver/mysql asks.
const currentDatabaseQuery = "SELECT SCHEMA_NAME from Information_schema.SCHEMATA where SCHEMA_NAME LIKE"

// deleteAll runs a delete again until it finds no more rows than one statement may have.
// The query is built anew each time.
func (b *binding) deleteAll(run func(limit int) *gorm.DB) *gorm.DB {
	most := b.engine.MostDeleted()
	if most == 0 {
		return run(0)
	}
	total := int64(0)
	for {
		result := run(most)
		total += result.RowsAffected
		if result.Error != nil || result.RowsAffected < int64(most) {
			result.RowsAffected = total
			return result
		}
	}
}
