package gormkey

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// RepositoryOf runs the auth operations of one user type on one handle. Its type arguments are the
// pointers to the application's structs for users, keys and sessions, for example
// RepositoryOf[*Account, *Key[Account], *Device]. Get it from [PluginOf.Repository] or [From]. It
// is safe for concurrent use as far as its handle is: a transaction belongs to one goroutine.
//
// On a root handle, each operation that writes more than one row has a transaction of its own, at
// READ COMMITTED. After a deadlock or a busy database it runs again, five times at most. In a
// transaction of yours it runs inside a savepoint and is never repeated. After a deadlock there,
// end the transaction: MySQL has undone all of it.
//
// An operation that names a key or a session, or ends the sessions of a user, acts on the row by
// its id alone: a soft delete or a tenant filter of the user model does not stop it. Operations
// that read a user, open a session or add a key obey such filters.
//
// If dbresolver splits reads from writes, then all reads go to the primary. Statements are logged
// without their values.
type RepositoryOf[U, K, S any] struct {
	plugin *PluginOf[U, K, S]
	b      *binding
	opts   *options
	db     *gorm.DB
	app    handleSettings
	acting *acting // the session that has to allow it, nil for none: see As
	err    error
}

// Repository is a [RepositoryOf] whose keys and sessions have no columns of the application's
// own.
type Repository[U any] = RepositoryOf[*U, *Key[U], *Session[U]]

// handleSettings are the settings of the application's handle that differ in the library's. Hooks
// get a handle with the application's.
type handleSettings struct {
	logger                                                                        logger.Interface
	translateError, skipDefaultTransaction, disableNestedTransaction, queryFields bool
}

// newRepository keeps the handle's settings for the application's hooks, and sets its own: errors
// of the driver as they are, no transactions that GORM adds, and a log without values.
func newRepository[U, K, S any](p *PluginOf[U, K, S], b *binding, db *gorm.DB) *RepositoryOf[U, K, S] {
	r := &RepositoryOf[U, K, S]{plugin: p, b: b, opts: &p.opts, err: checkHandle(db)}
	if r.err != nil {
		return r
	}
	r.app = handleSettings{db.Logger, db.TranslateError, db.SkipDefaultTransaction, db.DisableNestedTransaction, db.QueryFields}
	// Clauses returns the handle as the next call would see it: with the settings of db.Set, which
	// may name a tenant, and without the conditions from before a NewDB session.
	r.db = db.Clauses().Session(&gorm.Session{Context: db.Statement.Context, Logger: quietLogger{db.Logger}})
	r.db.Config.TranslateError = false        // it would replace the driver's error
	r.db.Config.SkipDefaultTransaction = true // the operations begin their own
	r.db.Config.DisableNestedTransaction = false
	if b.plainColumns {
		r.db.Config.QueryFields = true // a column added meanwhile changes no prepared statement's result
	}
	return r
}

// With returns the repository for tx: a transaction, or another session of the same database. It
// returns no error by itself. If the handle cannot be used, as for [From], then every operation
// returns the error.
func (r *RepositoryOf[U, K, S]) With(tx *gorm.DB) *RepositoryOf[U, K, S] {
	if tx == nil || tx.Config == nil || tx.Statement == nil {
		return &RepositoryOf[U, K, S]{plugin: r.plugin, b: r.b, opts: r.opts, err: &UsageError{"tx", "is nil or not opened by gorm.Open"}}
	}
	if p := pluginFor(tx, r.plugin.userType()); p != nil && p != gorm.Plugin(r.plugin) || schemaCache(tx) != r.b.cache {
		return &RepositoryOf[U, K, S]{plugin: r.plugin, b: r.b, opts: r.opts, err: &UsageError{"tx", "is of another database"}}
	}
	bound := newRepository(r.plugin, r.b, tx)
	if bound.acting = r.acting; r.acting != nil && bound.err == nil {
		bound.err = r.acting.err
	}
	return bound
}

// checkHandle refuses a handle whose state would be ignored or would falsify an answer. In DryRun
// mode every session check would pass.
func checkHandle(db *gorm.DB) error {
	stmt := db.Clauses().Statement // as the next call would see it, which after NewDB is empty
	scopes := reflect.ValueOf(stmt).Elem().FieldByName("scopes")
	switch {
	case db.Error != nil:
		return fmt.Errorf("gormkey: the handle carries an error: %w", db.Error)
	case db.DryRun:
		return &UsageError{"db", "is in DryRun mode, in which a session check would pass"}
	case len(stmt.Clauses) > 0, len(stmt.Joins) > 0, len(stmt.Preloads) > 0, len(stmt.Selects) > 0, len(stmt.Omits) > 0,
		stmt.Table != "", stmt.TableExpr != nil, stmt.Model != nil, stmt.SQL.Len() > 0, stmt.Distinct, stmt.Unscoped,
		scopes.IsValid() && scopes.Len() > 0:
		return &UsageError{"db", "carries conditions, which the operations would ignore; pass the handle before Where, Model, Unscoped and the like, or a Session with NewDB"}
	}
	return nil
}

// SessionOf returns the library's part of a session, whichever columns of its own S has: code that
// is generic over S reads the id, the token and the owner there.
func (r *RepositoryOf[U, K, S]) SessionOf(session S) *SessionOf[U] { return r.sessionOf(session) }

// userOf, keyOf and sessionOf return the library's part of a struct of the application.
func (r *RepositoryOf[U, K, S]) userOf(u U) *User { return r.plugin.users.base(u) }

func (r *RepositoryOf[U, K, S]) keyOf(k K) *KeyOf[U] { return r.plugin.keys.base(k) }

func (r *RepositoryOf[U, K, S]) sessionOf(s S) *SessionOf[U] { return r.plugin.sessions.base(s) }

// userIs, idIs and ownerIs are the conditions of all statements. A caller's string is always a
// value in them: GORM takes a bare string for SQL, and drops a condition whose struct field is
// empty, which would match all rows.
func (b *binding) userIs(id string) clause.Expression { return b.sameBytes(b.userID.DBName, id) }

func (b *binding) idIs(id string) clause.Expression { return b.sameBytes("id", id) }

func (b *binding) ownerIs(id string) clause.Expression { return b.sameBytes("user_id", id) }

// sameBytes compares an id column byte by byte, whatever the engine needs for that.
func (b *binding) sameBytes(name, id string) clause.Expression {
	return b.engine.SameBytes(clause.Column{Table: clause.CurrentTable, Name: name}, id)
}

// column is a plain comparison, for columns that hold no ids from outside.
func column(name string, value any) clause.Expression {
	return clause.Eq{Column: clause.Column{Table: clause.CurrentTable, Name: name}, Value: value}
}

// checkUserID also asks for the width that the column has now, since it may still wait for a
// migration.
func (r *RepositoryOf[U, K, S]) checkUserID(id string) error {
	if err := r.opts.checkUserID(id); err != nil {
		return err
	}
	return r.b.checkWidth(id)
}

// find reads at most one row into dest and reports whether there was one. It does not use First,
// which logs a miss as an error, together with the value that it looked for.
func find(db *gorm.DB, dest any, conditions ...clause.Expression) (bool, error) {
	for _, c := range conditions {
		db = db.Where(c)
	}
	tx := db.Limit(1).Find(dest)
	return tx.RowsAffected > 0, tx.Error
}

// attributes checks the names of columns to update: those of the model, by their name in Go or in
// the database, without the reserved ones. It returns them by their name in the database. Names
// often come from a request, and an unknown one must not become part of a statement.
func attributes(ctx context.Context, s *schema.Schema, values map[string]any, reserved ...string) (map[string]any, error) {
	out := make(map[string]any, len(values))
	for name, value := range values {
		f, ok := s.FieldsByDBName[name]
		if !ok {
			f = s.FieldsByName[name]
		}
		switch {
		case f == nil || f.DBName == "" || !f.Updatable:
			return nil, &ArgumentError{"attributes", fmt.Sprintf("%.64q is no column of %s", name, s.Name)}
		case f.PrimaryKey:
			return nil, &ArgumentError{"attributes", fmt.Sprintf("%q is reserved", f.DBName)}
		}
		for _, r := range reserved {
			if f.DBName == r {
				return nil, &ArgumentError{"attributes", fmt.Sprintf("%q is reserved", r)}
			}
		}
		if _, twice := out[f.DBName]; twice {
			return nil, &ArgumentError{"attributes", fmt.Sprintf("%q is named twice", f.DBName)}
		}
		out[f.DBName] = serialized(ctx, f, value)
	}
	return out, nil
}

// serialized returns the form in which GORM stores a value in a column with a serializer, such as
// JSON. For an update from a map GORM would give the value to the driver as it is. An SQL
// expression, or a text that is serialized already, stays.
func serialized(ctx context.Context, f *schema.Field, value any) any {
	t := reflect.TypeOf(value)
	if f.Serializer == nil || t == nil || !t.AssignableTo(f.FieldType) && !t.AssignableTo(f.IndirectFieldType) {
		return value
	}
	row := reflect.New(f.Schema.ModelType).Elem()
	if err := f.Set(ctx, row, value); err != nil {
		return value // the statement then refuses it
	}
	encoded, _ := f.ValueOf(ctx, row)
	return encoded
}

// quietLogger keeps bound values, and the database's own texts, which may quote them, out of the
// log. GORM's default logger prints both.
type quietLogger struct{ logger.Interface }

var _ gorm.ParamsFilter = quietLogger{}

// ParamsFilter drops the values.
func (l quietLogger) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) {
	return sql, nil
}

// LogMode keeps the wrapper.
func (l quietLogger) LogMode(level logger.LogLevel) logger.Interface {
	return quietLogger{l.Interface.LogMode(level)}
}

// Trace drops the text of a database's error and keeps its code. A duplicate is not logged as an
// error: it is an answer to the caller.
func (l quietLogger) Trace(ctx context.Context, begin time.Time, fc func() (string, int64), err error) {
	if engine.IsDuplicate(err) {
		err = nil
	}
	if code := engine.Code(err); code != "" {
		err = fmt.Errorf("database error %s", code)
	}
	l.Interface.Trace(ctx, begin, fc, err)
}
