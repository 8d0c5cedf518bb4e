package gormkey

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/statement"
	"github.com/gormkey/gormkey/tables"
)

// registerCallbacks adds what runs inside GORM for the application's calls and ours.
func (p *PluginOf[U, K, S]) registerCallbacks(db *gorm.DB, b *binding) error {
	if db.Callback().Create().Get(p.Name()+":ids") != nil {
		return nil
	}
	if err := b.engine.Register(db, p.Name(), b.allTables()); err != nil {
		return err
	}
	if err := p.registerColumns(db, b); err != nil {
		return err
	}
	// Right before the INSERT: after the application's BeforeCreate, which may set an
	// id of its own. A promoted BeforeCreate would be hidden by the application's.
	if err := db.Callback().Create().Before("gorm:create").Register(p.Name()+":ids", func(tx *gorm.DB) { p.completeIDs(tx, b) }); err != nil {
		return err
	}
	if err := errors.Join(registerFailures(db, p.Name(), b), registerValues(db, p.Name(), b)); err != nil {
		return err
	}
	return p.registerIntegrity(db, b)
}

// failedSetting marks a statement whose error is the database's answer to it, and not a
// hook's or callback's before or after it.
const failedSetting = "gormkey:failed"

// registerFailures marks the statements on the plugin's tables that fail. They run before
// the hooks that come after a statement, and one that was never built was not sent.
func registerFailures(db *gorm.DB, name string, b *binding) error {
	note := func(tx *gorm.DB) {
		s := tx.Statement.Schema
		if tx.Error != nil && tx.Statement.SQL.Len() > 0 && s != nil && (s == b.user || slices.Contains(b.children(), s)) {
			tx.InstanceSet(failedSetting, true)
		}
	}
	return errors.Join(
		db.Callback().Create().Before("gorm:save_after_associations").Register(name+":failed", note),
		db.Callback().Update().Before("gorm:save_after_associations").Register(name+":failed", note),
	)
}

// completeIDs fills the ids of new users and refuses ids that an engine would cut,
// fold or misread.
func (p *PluginOf[U, K, S]) completeIDs(tx *gorm.DB, b *binding) {
	s := tx.Statement.Schema
	if tx.Error != nil || s == nil {
		return
	}
	var check func(id string, row statement.Row) error
	switch s {
	case b.user:
		check = func(id string, row statement.Row) error {
			if id != "" {
				return cmp.Or(p.opts.checkUserID(id), b.checkWidth(id))
			}
			id = p.opts.newUserID()
			if err := cmp.Or(p.opts.checkUserID(id), b.checkWidth(id)); err != nil {
				return fmt.Errorf("gormkey: WithUserIDGenerator: %w", err)
			}
			return row.Set("id", id)
		}
	case b.key, b.baseKey:
		check = func(id string, _ statement.Row) error { return checkText("key id", id, keyIDSize) }
	case b.session, b.baseSession:
		check = func(id string, _ statement.Row) error { return checkText("session id", id, sessionIDSize) }
	case b.token: // s is not nil
		check = func(id string, _ statement.Row) error { return checkText("token id", id, tokenIDSize) }
	default:
		return
	}
	statement.EachRow(tx.Statement, func(row statement.Row) {
		value := row.Get("id")
		if id, ok := value.(string); ok || value == nil {
			_ = tx.AddError(check(id, row))
		}
	})
}

var tableDDL = regexp.MustCompile(`(?i)^\s*(create|alter)\s+table\b`)

// refuse makes GORM's migrator refuse the tables of a plugin that was refused itself:
// it would build them with integer or inexact ids and without cascade. A later db.Use
// that succeeds lifts it.
func (p *PluginOf[U, K, S]) refuse(db *gorm.DB, cause error) {
	name := p.Name() + ":refused"
	if db.Callback().Raw().Get(name) != nil {
		return
	}
	tables := p.tableNames(db)
	_ = db.Callback().Raw().Before("gorm:raw").Register(name, func(tx *gorm.DB) {
		if tx.Error != nil || pluginFor[U](tx) != nil {
			return
		}
		sql := tx.Statement.SQL.String()
		if !tableDDL.MatchString(sql) || slices.Contains(remedies(cause), sql) {
			return
		}
		for _, table := range tables {
			// GORM changes a table of SQLite by making another and renaming it.
			if strings.Contains(sql, tx.Statement.Quote(table)+" ") || strings.Contains(sql, tx.Statement.Quote(table+"__temp")+" ") {
				_ = tx.AddError(&refusedError{cause})
				return
			}
		}
	})
}

// remedies returns the statements that an error tells people to run.
func remedies(err error) (statements []string) {
	switch e := err.(type) {
	case *tables.InexactIDError:
		return []string{e.Statement}
	case *tables.ColumnError:
		return []string{e.Statement}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			statements = append(statements, remedies(one)...)
		}
	case interface{ Unwrap() error }:
		return remedies(e.Unwrap())
	}
	return statements
}

// tableNames returns the tables that the models would have, as far as they parse.
func (p *PluginOf[U, K, S]) tableNames(db *gorm.DB) (tables []string) {
	options := p.opts.tables
	for _, t := range []string{options.User, options.Key, options.Session, options.Token} {
		if t != "" {
			tables = append(tables, t)
		}
	}
	for _, t := range []string{defaultUserTable, defaultKeyTable, defaultSessionTable, defaultTokenTable} {
		tables = append(tables, db.NamingStrategy.JoinTableName(t))
	}
	if own, ok := any(new(U)).(schema.Tabler); ok {
		tables = append(tables, own.TableName())
	}
	return tables
}

// refusedError is both ErrNotRegistered and why.
type refusedError struct{ cause error }

func (e *refusedError) Error() string   { return ErrNotRegistered.Error() + ": " + e.cause.Error() }
func (e *refusedError) Unwrap() []error { return []error{ErrNotRegistered, e.cause} }

// harmlessCallbacks are GORM's own Query callbacks, dbresolver's and those that trace:
// they do not change which rows a query returns.
var harmlessCallbacks = []string{
	"gorm:query", "gorm:preload", "gorm:after_query", "gorm:db_resolver",
	"otel:before:select", "otel:after:select", "otel:before:query", "otel:after:query",
}

// foreignQueryCallbacks tells whether the application registered Query callbacks of its
// own, such as a tenant filter. GORM offers no list, so the names are read where it
// keeps them; a GORM that keeps them elsewhere counts as one with such callbacks.
func foreignQueryCallbacks(db *gorm.DB) bool {
	list := reflect.ValueOf(db.Callback().Query()).Elem().FieldByName("callbacks")
	if !list.IsValid() || list.Kind() != reflect.Slice {
		return true
	}
	for i := range list.Len() {
		callback := reflect.Indirect(list.Index(i))
		name, replaced := callback.FieldByName("name"), callback.FieldByName("replace")
		if !name.IsValid() || !replaced.IsValid() || replaced.Bool() {
			return true
		}
		own := strings.HasPrefix(name.String(), "gormkey:") && strings.HasSuffix(name.String(), queryCallback)
		if !own && !slices.Contains(harmlessCallbacks, name.String()) {
			return true
		}
	}
	return false
}

// plainQueries reports whether GORM's queries of a model are the same for every call
// and read all of its columns: its only own condition is GORM's soft delete, and no
// column is computed or write-only.
func plainQueries(s *schema.Schema) bool {
	for _, c := range s.QueryClauses {
		if _, ok := c.(gorm.SoftDeleteQueryClause); !ok {
			return false
		}
	}
	for _, name := range s.DBNames {
		if f := s.FieldsByDBName[name]; !f.Readable || f.IgnoreMigration {
			return false
		}
	}
	return true
}
