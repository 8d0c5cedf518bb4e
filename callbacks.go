package gormkey

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// registerCallbacks adds what runs inside GORM for the application's calls and ours.
func (p *Plugin[U]) registerCallbacks(db *gorm.DB, b *binding) error {
	// Right before the INSERT: after the application's BeforeCreate, which may set an
	// id of its own. A promoted BeforeCreate would be lost beside the application's.
	return db.Callback().Create().Before("gorm:create").Register(p.Name()+":ids", func(tx *gorm.DB) { p.completeIDs(tx, b) })
}

// completeIDs fills the ids of new users and refuses ids that an engine would cut,
// fold or misread.
func (p *Plugin[U]) completeIDs(tx *gorm.DB, b *binding) {
	s := tx.Statement.Schema
	if tx.Error != nil || s == nil {
		return
	}
	switch s {
	case b.user:
		p.eachRow(tx, func(id string, set func(string)) error {
			if id == "" {
				set(p.opts.newUserID())
				return nil
			}
			return checkText("user id", id, p.opts.maxUserID())
		})
	case b.key, b.baseKey:
		p.eachRow(tx, func(id string, _ func(string)) error { return checkText("key id", id, keyIDSize) })
	case b.session, b.baseSession:
		p.eachRow(tx, func(id string, _ func(string)) error { return checkText("session id", id, sessionIDSize) })
	}
}

// eachRow calls check with the id of every row of an INSERT, struct or map.
func (p *Plugin[U]) eachRow(tx *gorm.DB, check func(id string, set func(string)) error) {
	stmt := tx.Statement
	f := stmt.Schema.PrioritizedPrimaryField
	one := func(v reflect.Value) {
		if v = reflect.Indirect(v); v.Kind() != reflect.Struct || v.Type() != stmt.Schema.ModelType {
			return
		}
		id, _ := f.ValueOf(stmt.Context, v)
		text, _ := id.(string)
		_ = tx.AddError(check(text, func(id string) { _ = tx.AddError(f.Set(stmt.Context, v, id)) }))
	}
	oneMap := func(m map[string]any) {
		name := f.DBName
		for k := range m {
			if stmt.Schema.LookUpField(k) == f {
				name = k
			}
		}
		if id, ok := m[name].(string); ok || m[name] == nil {
			_ = tx.AddError(check(id, func(id string) { m[name] = id }))
		}
	}
	switch dest := stmt.Dest.(type) {
	case map[string]any:
		oneMap(dest)
	case *map[string]any:
		oneMap(*dest)
	case []map[string]any:
		for _, m := range dest {
			oneMap(m)
		}
	case *[]map[string]any:
		for _, m := range *dest {
			oneMap(m)
		}
	default:
		switch rv := stmt.ReflectValue; rv.Kind() {
		case reflect.Struct:
			one(rv)
		case reflect.Slice, reflect.Array:
			for i := range rv.Len() {
				one(rv.Index(i))
			}
		}
	}
}

var tableDDL = regexp.MustCompile(`(?i)^\s*(create|alter)\s+table\b`)

// refuse makes GORM's migrator refuse the tables of a plugin that was refused itself:
// it would build them with integer or inexact ids and without cascade. A later db.Use
// that succeeds lifts it.
func (p *Plugin[U]) refuse(db *gorm.DB, cause error) {
	name := p.Name() + ":refused"
	if db.Callback().Raw().Get(name) != nil {
		return
	}
	tables := p.opts.tables
	for _, t := range []struct {
		table *string
		dflt  string
	}{{&tables.User, DefaultUserTable}, {&tables.Key, DefaultKeyTable}, {&tables.Session, DefaultSessionTable}} {
		if *t.table == "" {
			*t.table = db.NamingStrategy.JoinTableName(t.dflt)
		}
	}
	_ = db.Callback().Raw().Before("gorm:raw").Register(name, func(tx *gorm.DB) {
		if _, ok := tx.Plugins[p.Name()]; ok || tx.Error != nil {
			return
		}
		sql := tx.Statement.SQL.String()
		if !tableDDL.MatchString(sql) {
			return
		}
		for _, table := range []string{tables.User, tables.Key, tables.Session} {
			if strings.Contains(sql, tx.Statement.Quote(table)+" ") {
				_ = tx.AddError(&refusedError{cause})
				return
			}
		}
	})
}

// refusedError is both ErrNotRegistered and why.
type refusedError struct{ cause error }

func (e *refusedError) Error() string   { return ErrNotRegistered.Error() + ": " + e.cause.Error() }
func (e *refusedError) Unwrap() []error { return []error{ErrNotRegistered, e.cause} }

// callbackCheck tells whether the application registered Query callbacks of its own,
// such as a tenant filter. GORM offers no list, so the names are read where it keeps
// them; a GORM that keeps them elsewhere counts as one with such callbacks.
type callbackCheck struct{ seen atomic.Int64 } // number of callbacks + 1, negative if some are foreign

// harmlessCallbacks do not change which rows a query returns.
var harmlessCallbacks = []string{"gorm:", "otel:", "gormkey:"}

func (c *callbackCheck) foreign(db *gorm.DB) bool {
	list := reflect.ValueOf(db.Callback().Query()).Elem().FieldByName("callbacks")
	if !list.IsValid() || list.Kind() != reflect.Slice {
		return true
	}
	n := int64(list.Len()) + 1
	switch c.seen.Load() {
	case n:
		return false
	case -n:
		return true
	}
	foreign := false
	for i := range list.Len() {
		callback := reflect.Indirect(list.Index(i))
		name := callback.FieldByName("name")
		replaced := callback.FieldByName("replace")
		if !name.IsValid() || !replaced.IsValid() || replaced.Bool() ||
			!slices.ContainsFunc(harmlessCallbacks, func(prefix string) bool { return strings.HasPrefix(name.String(), prefix) }) {
			foreign = true
			break
		}
	}
	if foreign {
		n = -n
	}
	c.seen.Store(n)
	return foreign
}

// onlySoftDelete reports whether a model's own query conditions are GORM's soft delete,
// which is the same for every call.
func onlySoftDelete(s *schema.Schema) bool {
	for _, c := range s.QueryClauses {
		if _, ok := c.(gorm.SoftDeleteQueryClause); !ok {
			return false
		}
	}
	return true
}
