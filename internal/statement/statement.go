// Package statement reads what a GORM statement is about to do, and writes one that GORM has not.
package statement

import (
	"database/sql/driver"
	"reflect"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// Row is one row of an INSERT, a struct or a map, as callbacks see it.
type Row struct {
	stmt   *gorm.Statement
	value  reflect.Value // of a struct
	values map[string]any
}

// EachRow calls visit for every row that a statement is about to insert.
func EachRow(stmt *gorm.Statement, visit func(Row)) {
	switch dest := stmt.Dest.(type) {
	case map[string]any:
		visit(Row{stmt: stmt, values: dest})
		return
	case *map[string]any:
		visit(Row{stmt: stmt, values: *dest})
		return
	case []map[string]any:
		for _, m := range dest {
			visit(Row{stmt: stmt, values: m})
		}
		return
	case *[]map[string]any:
		for _, m := range *dest {
			visit(Row{stmt: stmt, values: m})
		}
		return
	}
	if stmt.Schema == nil {
		return
	}
	visitStruct := func(v reflect.Value) {
		if v = reflect.Indirect(v); v.Kind() != reflect.Struct {
			return
		}
		if v.Type() != stmt.Schema.ModelType && v.Type().ConvertibleTo(stmt.Schema.ModelType) {
			v = v.Convert(stmt.Schema.ModelType) // a copy, which GORM reads alike
		}
		if v.Type() == stmt.Schema.ModelType {
			visit(Row{stmt: stmt, value: v})
		}
	}
	switch rv := stmt.ReflectValue; rv.Kind() {
	case reflect.Struct:
		visitStruct(rv)
	case reflect.Slice, reflect.Array:
		for i := range rv.Len() {
			visitStruct(rv.Index(i))
		}
	}
}

// Get returns the value of a column, nil for none.
func (r Row) Get(column string) any {
	if values := r.All(column); len(values) > 0 {
		return values[0]
	}
	return nil
}

// All returns the values of a column: a map may name it more than once.
func (r Row) All(column string) (values []any) {
	for _, key := range r.keys(column) {
		values = append(values, asText(r.values[key]))
	}
	if r.values == nil {
		if f := r.stmt.Schema.FieldsByDBName[column]; f != nil {
			value, _ := f.ValueOf(r.stmt.Context, r.value)
			values = append(values, asText(value))
		}
	}
	return values
}

// asText returns the text that a driver gets of a value: a pointer, a type of its own or a
// driver.Valuer may be one. It returns any other value as it is.
func asText(value any) any {
	if converted, err := driver.DefaultParameterConverter.ConvertValue(value); err == nil {
		if text, ok := converted.(string); ok {
			return text
		}
	}
	return value
}

// Set writes the value of a column that the row's model has.
func (r Row) Set(column string, value any) error {
	if r.values == nil {
		return r.stmt.Schema.FieldsByDBName[column].Set(r.stmt.Context, r.value, value)
	}
	keys := append(r.keys(column), column)
	r.values[keys[0]] = value
	return nil
}

// keys returns the names that a map gives a column: the database's, in the letter case
// that it may not mind, or Go's.
func (r Row) keys(column string) (keys []string) {
	for k := range r.values {
		if strings.EqualFold(k, column) {
			keys = append(keys, k)
		} else if r.stmt.Schema != nil {
			if f := r.stmt.Schema.LookUpField(k); f != nil && f.DBName == column {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// Touched adds to the columns of an update those by which the application's model tracks
// when a row was changed, as GORM does for its own.
func Touched(tx *gorm.DB, s *schema.Schema, values map[string]any) map[string]any {
	for _, f := range s.Fields {
		if f.AutoUpdateTime == 0 || f.DBName == "" || !f.Updatable {
			continue
		}
		now := tx.NowFunc()
		switch f.AutoUpdateTime {
		case schema.UnixNanosecond:
			values[f.DBName] = now.UnixNano()
		case schema.UnixMillisecond:
			values[f.DBName] = now.UnixMilli()
		case schema.UnixSecond:
			values[f.DBName] = now.Unix()
		default:
			values[f.DBName] = now
		}
	}
	return values
}

// TargetTable returns the name of the table that an INSERT or DELETE changes, whatever
// model it has and under whatever alias.
func TargetTable(stmt *gorm.Statement) string {
	if from, ok := stmt.Clauses["FROM"].Expression.(clause.From); ok && len(from.Tables) > 0 {
		return from.Tables[0].Name
	}
	if insert, ok := stmt.Clauses["INSERT"].Expression.(clause.Insert); ok && insert.Table.Name != "" && insert.Table.Name != clause.CurrentTable {
		return insert.Table.Name
	}
	switch e := stmt.TableExpr; {
	case e == nil && stmt.Table == "" && stmt.Schema != nil:
		return stmt.Schema.Table
	case e == nil:
		return stmt.Table
	case len(e.Vars) == 0:
		return engine.Unquoted(e.SQL)
	case e.SQL == "?":
		table, _ := e.Vars[0].(clause.Table)
		return table.Name
	}
	return "" // a subquery
}
