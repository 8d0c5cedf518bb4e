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

// registerCallbacks adds what runs inside GORM, for the application's calls and for the library's
// own. It does nothing if db has the callbacks already, since dbresolver runs Initialize again
// for each replica.
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
	// Right before the INSERT, and so after the application's BeforeCreate, which may set an id
	// of its own. A BeforeCreate method of the embedded [User] would not do: Go hides it as soon
	// as the application's model has one, and users without an id were inserted.
	if err := db.Callback().Create().Before("gorm:create").Register(p.Name()+":ids", func(tx *gorm.DB) { p.completeIDs(tx, b) }); err != nil {
		return err
	}
	if err := errors.Join(registerFailures(db, p.Name(), b), registerValues(db, p.Name(), b)); err != nil {
		return err
	}
	return p.registerIntegrity(db, b)
}

// failedSetting marks a statement that the database itself refused. An error without the mark
// came from a hook or a callback. The difference decides what a duplicate means: see duplicateAs.
const failedSetting = "gormkey:failed"

// registerFailures marks the failed statements on the plugin's tables. The callback runs before
// the After hooks, so an error that is there now is the statement's or an earlier hook's. If a
// Before hook failed, GORM built no SQL.
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

// completeIDs gives new users an id, and refuses ids of users, keys, sessions and tokens that
// some engine would cut, fold or misread. It acts on plain GORM creates too, so a row that the
// library would not find again never gets into a table.
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
			// The application's generator was checked once by db.Use; it may still return a bad
			// id later.
			if err := cmp.Or(p.opts.checkUserID(id), b.checkWidth(id)); err != nil {
				return fmt.Errorf("gormkey: WithUserIDGenerator: %w", err)
			}
			return row.Set("id", id)
		}
	case b.key, b.baseKey:
		check = func(id string, _ statement.Row) error { return checkText("key id", id, keyIDSize) }
	case b.session, b.baseSession:
		check = func(id string, _ statement.Row) error { return checkText("session id", id, sessionIDSize) }
	default:
		a := b.addedOf(s)
		if a == nil {
			return
		}
		check = func(id string, _ statement.Row) error {
			return checkText(strings.ToLower(a.field)+" id", id, a.texts[0].size)
		}
	}
	// An id that is neither a text nor missing is an SQL expression, whose value nobody knows
	// here.
	statement.EachRow(tx.Statement, func(row statement.Row) {
		value := row.Get("id")
		if id, ok := value.(string); ok || value == nil {
			_ = tx.AddError(check(id, row))
		}
	})
}

// tableDDL finds the statements that make or change a table. A DROP TABLE may run at any time.
var tableDDL = regexp.MustCompile(`(?i)^\s*(create|alter)\s+table\b`)

// refuse makes GORM's migrator refuse the tables of a plugin that db.Use refused. An application
// that ignores the error of db.Use and migrates would otherwise get tables with integer ids, or
// ids that compare inexactly, and without cascade. A later db.Use that succeeds lifts the
// refusal.
func (p *PluginOf[U, K, S]) refuse(db *gorm.DB, cause error) {
	name := p.Name() + ":refused"
	if db.Callback().Raw().Get(name) != nil {
		return
	}
	tables := p.tableNames(db)
	_ = db.Callback().Raw().Before("gorm:raw").Register(name, func(tx *gorm.DB) {
		if tx.Error != nil || pluginFor(tx, p.userType()) != nil {
			return
		}
		sql := tx.Statement.SQL.String()
		if !tableDDL.MatchString(sql) || slices.Contains(remedies(cause), sql) {
			return
		}
		for _, table := range tables {
			// GORM changes a table of SQLite by making "<table>__temp" and renaming it.
			if strings.Contains(sql, tx.Statement.Quote(table)+" ") || strings.Contains(sql, tx.Statement.Quote(table+"__temp")+" ") {
				_ = tx.AddError(&refusedError{cause})
				return
			}
		}
	})
}

// remedies returns the statements that an error tells people to run. They have to pass although
// the plugin was refused, because running them is how the refusal is cured.
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

// tableNames returns every table that the models might get: the names of the options, the
// defaults, and the user model's own. It cannot ask GORM, since the models may be what was
// refused.
func (p *PluginOf[U, K, S]) tableNames(db *gorm.DB) (tables []string) {
	given := []string{p.opts.tables.User, p.opts.tables.Key, p.opts.tables.Session}
	usual := []string{defaultUserTable, defaultKeyTable, defaultSessionTable}
	for _, a := range p.opts.additions() {
		given, usual = append(given, a.name), append(usual, a.table)
	}
	for _, t := range given {
		if t != "" {
			tables = append(tables, t)
		}
	}
	for _, t := range usual {
		tables = append(tables, db.NamingStrategy.JoinTableName(t))
	}
	if own, ok := any(p.users.make()).(schema.Tabler); ok {
		tables = append(tables, own.TableName())
	}
	return tables
}

// refusedError is both [ErrNotRegistered] and the reason why db.Use refused, for errors.Is and
// errors.As.
type refusedError struct{ cause error }

func (e *refusedError) Error() string   { return ErrNotRegistered.Error() + ": " + e.cause.Error() }
func (e *refusedError) Unwrap() []error { return []error{ErrNotRegistered, e.cause} }

// harmlessCallbacks are Query callbacks that do not change which rows a query returns: GORM's
// own, dbresolver's, and those of the tracing plugin gorm.io/plugin/opentelemetry. With any other
// callback the session check is not compiled.
var harmlessCallbacks = []string{
	"gorm:query", "gorm:preload", "gorm:after_query", "gorm:db_resolver",
	"otel:before:select", "otel:after:select", "otel:before:query", "otel:after:query",
}

// foreignQueryCallbacks reports whether the application registered Query callbacks of its own,
// such as a tenant filter. The compiled session check of session_query.go would not run them: the
// tenant of the first request would be frozen into it, and sessions of other tenants accepted.
// GORM offers no list of callbacks, so the names are read out of its unexported fields. If a
// later GORM keeps them elsewhere, the answer is true: slower, and safe.
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
		// Callbacks of this plugin, or of another plugin of this library on the same database.
		own := strings.HasPrefix(name.String(), "gormkey:") && strings.HasSuffix(name.String(), queryCallback)
		if !own && !slices.Contains(harmlessCallbacks, name.String()) {
			return true
		}
	}
	return false
}

// plainQueries reports whether GORM's queries of a model are the same for every call and read all
// of its columns, so that a statement can be built once. It is false for a model with a condition
// of its own other than GORM's soft delete, and for one with a column that is computed or
// write-only.
func plainQueries(s *schema.Schema) bool {
	for _, c := range s.QueryClauses {
		if _, ok := c.(gorm.SoftDeleteQueryClause); !ok {
			return false
		}
	}
	for _, name := range s.DBNames {
		if f := s.FieldsByDBName[name]; !f.Readable || f.TagSettings["-"] != "" {
			return false
		}
	}
	return true
}
