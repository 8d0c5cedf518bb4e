package gormkey

import (
	"reflect"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// vitessLimit is how many rows one statement deletes on Vitess, which refuses more than
// 10,000.
const vitessLimit = 5000

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
	if !b.vitess {
		return run(0)
	}
	total := int64(0)
	for {
		result := run(vitessLimit)
		total += result.RowsAffected
		if result.Error != nil || result.RowsAffected < vitessLimit {
			result.RowsAffected = total
			return result
		}
	}
}

// newID is the value that an UPDATE sets an id to. Vitess leaves the lookup vindex as it
// is where the new id equals the old one in the collation of the connection, which knows
// no letter case and no accents; bytes it compares as bytes.
func (b *binding) newID(id string) any {
	if !b.vitess {
		return id
	}
	return clause.Expr{SQL: "CAST(? AS BINARY)", Vars: []any{id}}
}

// withoutValues returns a copy of a MySQL error that Vitess wrote, less its text: it
// quotes the statement with every value, hashes and ids among them.
func withoutValues(err error) error {
	for e := err; e != nil; {
		v := reflect.ValueOf(e)
		if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct && v.Elem().Type().Name() == "MySQLError" {
			message := v.Elem().FieldByName("Message")
			if !message.IsValid() || message.Kind() != reflect.String || !strings.Contains(message.String(), vitessMarker) {
				return err
			}
			safe := reflect.New(v.Elem().Type())
			safe.Elem().Set(v.Elem())
			text, _, _ := strings.Cut(message.String(), " desc = ")
			text, _, _ = strings.Cut(text, vitessMarker)
			safe.Elem().FieldByName("Message").SetString(text + " (the rest holds values)")
			return safe.Interface().(error)
		}
		unwrapper, ok := e.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		e = unwrapper.Unwrap()
	}
	return err
}

// vitessMarker stands before the statement and its values.
const vitessMarker = " (CallerID: "
