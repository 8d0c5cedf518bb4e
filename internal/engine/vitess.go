package engine

import (
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// vitess is MySQL with Vitess in front of it, such as PlanetScale.
type vitess struct{ mysql }

func (v vitess) Ask(db *gorm.DB, s Settings) (Engine, error) { return v, checkMySQL(db, s) }

// MostDeleted: Vitess refuses a statement that touches over 10,000 rows.
func (vitess) MostDeleted() int { return 5000 }
func (vitess) Sharded() bool    { return true }

// DeletesNewRows: a consistent lookup vindex creates its rows in one transaction of the lookup
// keyspace and deletes them in another, so that the second would wait for the first until it
// is killed.
func (vitess) DeletesNewRows(tx *gorm.DB, table string) (bool, error) {
	var vindexes []struct{ Type string }
	err := Fresh(tx).Raw("SHOW VSCHEMA VINDEXES ON ?", clause.Table{Name: table}).Scan(&vindexes).Error
	for _, v := range vindexes {
		if strings.HasPrefix(v.Type, "consistent_lookup") {
			return false, err
		}
	}
	return true, err
}

// NewID is sent as bytes. Vitess leaves the lookup vindex as it is if the new id equals the old
// one in the collation of the connection, which knows no letter case and no accents; bytes it
// compares as bytes.
func (vitess) NewID(id string) any {
	return clause.Expr{SQL: "CAST(? AS BINARY)", Vars: []any{id}}
}

// Widening: no column refers to another by a foreign key.
func (v vitess) Widening(tx *gorm.DB, changes []Change) (w Widening, err error) {
	columns, err := withReferring(v, changes, nil)
	if err != nil {
		return w, err
	}
	err = w.planMySQL(Fresh(tx), columns)
	return w, err
}

// FinishWidening finds nothing, since a widening drops no foreign keys.
func (vitess) FinishWidening(*gorm.DB) (bool, error) { return false, nil }

// Register makes GORM fit Vitess, which has no foreign keys, and shows the names of the
// databases below it in information_schema (vitess#7687). GORM's migrator looks there for
// the one that it is in.
func (vitess) Register(db *gorm.DB, name string, _ []string) error {
	db.Config.DisableForeignKeyConstraintWhenMigrating = true
	return db.Callback().Row().Before("gorm:row").Register(name+":database", func(tx *gorm.DB) {
		if tx.Error == nil && strings.HasPrefix(tx.Statement.SQL.String(), currentDatabaseQuery) {
			tx.Statement.SQL.Reset()
			tx.Statement.SQL.WriteString("SELECT DATABASE()")
			tx.Statement.Vars = nil
		}
	})
}

// currentDatabaseQuery is how gorm.io/driver/mysql asks.
const currentDatabaseQuery = "SELECT SCHEMA_NAME from Information_schema.SCHEMATA where SCHEMA_NAME LIKE"
