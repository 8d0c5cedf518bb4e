package gormkey

import (
	"reflect"
	"strings"
	"unicode"

	"gorm.io/gorm"
)

// insertedRow is one row of an INSERT, a struct or a map, as callbacks see it.
type insertedRow struct {
	stmt   *gorm.Statement
	value  reflect.Value // of a struct
	values map[string]any
}

// eachRow calls visit for every row that a statement is about to insert.
func eachRow(stmt *gorm.Statement, visit func(insertedRow)) {
	switch dest := stmt.Dest.(type) {
	case map[string]any:
		visit(insertedRow{stmt: stmt, values: dest})
		return
	case *map[string]any:
		visit(insertedRow{stmt: stmt, values: *dest})
		return
	case []map[string]any:
		for _, m := range dest {
			visit(insertedRow{stmt: stmt, values: m})
		}
		return
	case *[]map[string]any:
		for _, m := range *dest {
			visit(insertedRow{stmt: stmt, values: m})
		}
		return
	}
	if stmt.Schema == nil {
		return
	}
	visitStruct := func(v reflect.Value) {
		if v = reflect.Indirect(v); v.Kind() == reflect.Struct && v.Type() == stmt.Schema.ModelType {
			visit(insertedRow{stmt: stmt, value: v})
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

// get returns the value of a column, nil for none.
func (r insertedRow) get(column string) any {
	if r.values != nil {
		return r.values[r.key(column)]
	}
	f := r.stmt.Schema.FieldsByDBName[column]
	if f == nil {
		return nil
	}
	value, _ := f.ValueOf(r.stmt.Context, r.value)
	return value
}

// set writes the value of a column that the row's model has.
func (r insertedRow) set(column string, value any) error {
	if r.values != nil {
		r.values[r.key(column)] = value
		return nil
	}
	return r.stmt.Schema.FieldsByDBName[column].Set(r.stmt.Context, r.value, value)
}

// key returns the name that a map gives a column: the database's or Go's.
func (r insertedRow) key(column string) string {
	if _, ok := r.values[column]; ok || r.stmt.Schema == nil {
		return column
	}
	for k := range r.values {
		if f := r.stmt.Schema.LookUpField(k); f != nil && f.DBName == column {
			return k
		}
	}
	return column
}

// targets reports whether a statement's table is the given one, whatever model it has
// and under whatever alias.
func targets(stmt *gorm.Statement, table string) bool {
	return targetTable(stmt) == table
}

func targetTable(stmt *gorm.Statement) string {
	if stmt.TableExpr == nil {
		if stmt.Table == "" && stmt.Schema != nil {
			return stmt.Schema.Table
		}
		return stmt.Table
	}
	if len(stmt.TableExpr.Vars) > 0 {
		return "" // a subquery
	}
	return unquotedName(stmt.TableExpr.SQL)
}

// unquotedName returns the name at the start of an SQL text, without its quotes.
func unquotedName(sql string) string {
	name := strings.Builder{}
	var quote rune
	for _, c := range strings.TrimSpace(sql) {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '`' || c == '"'):
			quote = c
		case quote == 0 && unicode.IsSpace(c):
			return name.String()
		default:
			name.WriteRune(c)
		}
	}
	return name.String()
}
