package libsql

import (
	"context"
	"database/sql/driver"
	"io"
	"reflect"
	"strings"
	"time"
)

// timeLayout is that of the Go drivers of SQLite.
const timeLayout = "2006-01-02 15:04:05.999999999-07:00"

// timeLayouts are those that are read, in columns declared as times.
var timeLayouts = []string{
	timeLayout, "2006-01-02T15:04:05.999999999-07:00", time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
}

// CheckNamedValue makes values what the client sends alike over http and WebSocket: a
// time is a text, a nil slice of bytes NULL.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	value, err := driver.DefaultParameterConverter.ConvertValue(v.Value)
	if err != nil {
		return err
	}
	switch x := value.(type) {
	case time.Time:
		value = x.Format(timeLayout)
	case bool:
		if value = int64(0); x {
			value = int64(1)
		}
	case []byte:
		if x == nil {
			value = nil
		}
	}
	v.Value = value
	return nil
}

// stmt is a statement that the server does not know yet.
type stmt struct {
	c     *conn
	query string
}

var (
	_ driver.StmtExecContext  = stmt{}
	_ driver.StmtQueryContext = stmt{}
)

// Close has nothing to do.
func (s stmt) Close() error { return nil }

// NumInput leaves counting to the server.
func (s stmt) NumInput() int { return -1 }

// Exec is for callers of old.
func (s stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

// Query is for callers of old.
func (s stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

// ExecContext runs it.
func (s stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.c.ExecContext(ctx, s.query, args)
}

// QueryContext runs it.
func (s stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.c.QueryContext(ctx, s.query, args)
}

func named(values []driver.Value) []driver.NamedValue {
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return args
}

// rows reads times from columns that are declared as such.
type rows struct {
	driver.Rows
	times []bool
}

var _ driver.RowsNextResultSet = (*rows)(nil)

func newRows(inner driver.Rows) *rows {
	r := &rows{Rows: inner}
	for i, declared := range declaredTypes(inner) {
		switch strings.ToLower(declared) {
		case "datetime", "timestamp", "date":
			if r.times == nil {
				r.times = make([]bool, len(inner.Columns()))
			}
			r.times[i] = true
		}
	}
	return r
}

// Next reads a row.
func (r *rows) Next(dest []driver.Value) error {
	if err := r.Rows.Next(dest); err != nil || r.times == nil {
		return err
	}
	for i, isTime := range r.times {
		if text, ok := dest[i].(string); ok && isTime {
			dest[i] = parseTime(text)
		}
	}
	return nil
}

// parseTime returns a text that is no time as it is.
func parseTime(text string) driver.Value {
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t
		}
	}
	return text
}

// HasNextResultSet reports whether the client has results of one more statement.
func (r *rows) HasNextResultSet() bool {
	next, ok := r.Rows.(driver.RowsNextResultSet)
	return ok && next.HasNextResultSet()
}

// NextResultSet goes on to it.
func (r *rows) NextResultSet() error {
	r.times = nil
	if next, ok := r.Rows.(driver.RowsNextResultSet); ok {
		return next.NextResultSet()
	}
	return io.EOF
}

// declaredTypes returns the columns' types from the CREATE TABLE. The server sends them;
// over WebSocket the client keeps them to itself, so that a time would stay a text, which
// Scan refuses. Reading them by reflection, this returns none of a client that has
// become another.
func declaredTypes(inner driver.Rows) (types []string) {
	v := reflect.Indirect(reflect.ValueOf(inner))
	if v.Kind() != reflect.Struct {
		return nil
	}
	if res := v.FieldByName("res"); res.Kind() == reflect.Pointer && !res.IsNil() && res.Elem().Kind() == reflect.Struct { // WebSocket
		resp := res.Elem().FieldByName("resp")
		if resp.Kind() != reflect.Map || resp.Type().Key().Kind() != reflect.String {
			return nil
		}
		cols := element(resp.MapIndex(colsKey))
		if cols.Kind() != reflect.Slice {
			return nil
		}
		for i := range cols.Len() {
			declared := reflect.Value{}
			if col := element(cols.Index(i)); col.Kind() == reflect.Map {
				declared = element(col.MapIndex(decltypeKey))
			}
			if types = append(types, ""); declared.Kind() == reflect.String {
				types[i] = declared.String()
			}
		}
		return types
	}
	return nil
}

var colsKey, decltypeKey = reflect.ValueOf("cols"), reflect.ValueOf("decltype")

// element returns what an interface holds.
func element(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Interface {
		return v.Elem()
	}
	return v
}
