package gormkey

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// Repository runs the auth operations for user type U on one handle. Get it from
// [From]. It is safe for concurrent use as far as its handle is: a transaction belongs
// to one goroutine.
//
// On a root handle each operation that writes more than one row has a transaction of
// its own, at READ COMMITTED, and runs again, five times at most, after a deadlock or a
// busy database. In the caller's transaction it runs inside a savepoint and is never
// repeated; after a deadlock there, end the transaction: MySQL has undone all of it.
//
// An operation that names a key or a session, or ends the sessions of a user, acts on it
// by its id alone: a soft delete or a tenant filter of the user model does not stand in
// its way. Those that read a user, open a session or add a key obey them.
//
// Reads go to the primary where dbresolver splits them. Statements are logged without
// their values.
type Repository[U any] struct {
	plugin *Plugin[U]
	b      *binding
	opts   *options
	db     *gorm.DB
	app    handleSettings
	err    error
}

// handleSettings are those of the application's handle that differ in the library's.
type handleSettings struct {
	logger                                                                        logger.Interface
	translateError, skipDefaultTransaction, disableNestedTransaction, queryFields bool
}

func newRepository[U any](p *Plugin[U], b *binding, db *gorm.DB) *Repository[U] {
	r := &Repository[U]{plugin: p, b: b, opts: &p.opts, err: checkHandle(db)}
	if r.err != nil {
		return r
	}
	r.app = handleSettings{db.Logger, db.TranslateError, db.SkipDefaultTransaction, db.DisableNestedTransaction, db.QueryFields}
	// By Clauses, the statement that the next call would have: without what a NewDB session
	// left behind, and with the handle's settings, which may name a tenant.
	r.db = db.Clauses().Session(&gorm.Session{Context: db.Statement.Context, Logger: quietLogger{db.Logger}})
	r.db.Config.TranslateError = false        // it would replace the driver's error
	r.db.Config.SkipDefaultTransaction = true // the operations begin their own
	r.db.Config.DisableNestedTransaction = false
	if b.plainColumns {
		r.db.Config.QueryFields = true // a column added meanwhile changes no prepared statement's result
	}
	return r
}

// With returns the repository for tx: a transaction, or another session of the same
// database. An error of the handle, as for [From], is returned by every operation.
func (r *Repository[U]) With(tx *gorm.DB) *Repository[U] {
	if tx == nil || tx.Config == nil || tx.Statement == nil {
		return &Repository[U]{plugin: r.plugin, b: r.b, opts: r.opts, err: &ArgumentError{"tx", "is nil or not opened by gorm.Open"}}
	}
	if p, ok := tx.Plugins[r.plugin.Name()]; ok && p != gorm.Plugin(r.plugin) || schemaCache(tx) != r.b.cache {
		return &Repository[U]{plugin: r.plugin, b: r.b, opts: r.opts, err: &ArgumentError{"tx", "is of another database"}}
	}
	return newRepository(r.plugin, r.b, tx)
}

// checkHandle refuses a handle whose state would be ignored or would falsify an answer.
func checkHandle(db *gorm.DB) error {
	stmt := db.Clauses().Statement // as the next call would see it, which after NewDB is empty
	scopes := reflect.ValueOf(stmt).Elem().FieldByName("scopes")
	switch {
	case db.Error != nil:
		return fmt.Errorf("gormkey: the handle carries an error: %w", db.Error)
	case db.DryRun:
		return ErrDryRun
	case len(stmt.Clauses) > 0, len(stmt.Joins) > 0, len(stmt.Preloads) > 0, len(stmt.Selects) > 0, len(stmt.Omits) > 0,
		stmt.Table != "", stmt.TableExpr != nil, stmt.Model != nil, stmt.SQL.Len() > 0, stmt.Distinct, stmt.Unscoped,
		scopes.IsValid() && scopes.Len() > 0:
		return &ArgumentError{"db", "carries conditions, which the operations would ignore; pass the handle before Where, Model, Unscoped and the like, or a Session with NewDB"}
	}
	return nil
}

// session returns a handle for the statements of one operation.
func (r *Repository[U]) session(ctx context.Context) (*gorm.DB, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("gormkey: %w", err)
	}
	db := r.db.Session(&gorm.Session{Context: ctx})
	if _, ok := db.Plugins["gorm:db_resolver"]; ok {
		db = db.Set(engine.WriteSource, struct{}{}).Session(&gorm.Session{})
	}
	return db, nil
}

func (r *Repository[U]) inTransaction() bool {
	_, ok := r.db.Statement.ConnPool.(gorm.TxCommitter)
	return ok
}

// transact runs work in a transaction, or in a savepoint of the caller's. Work must
// leave nothing behind in Go that a second run would trip over.
func (r *Repository[U]) transact(ctx context.Context, op string, work func(tx *gorm.DB) error) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	if r.inTransaction() {
		return callerError(ctx, op, db.Transaction(work))
	}
	return r.retry(ctx, op, func() error {
		committing := false
		err := db.Transaction(func(tx *gorm.DB) error {
			committing = false
			err := work(tx)
			committing = err == nil
			return err
		}, r.b.engine.TxOptions()...)
		switch {
		case err == nil || !committing:
			return err
		case r.b.engine.Batches():
			return r.b.batchError(err)
		}
		return commitError(err)
	})
}

// write runs one statement, which is atomic by itself, without the cost of a
// transaction around it. Where hooks belong to it, it runs in one after all.
func (r *Repository[U]) write(ctx context.Context, op string, hooked bool, work func(tx *gorm.DB) error) error {
	if hooked || len(r.opts.hooks) > 0 || r.err == nil && r.inTransaction() {
		return r.transact(ctx, op, work)
	}
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	return r.retry(ctx, op, func() error {
		err := work(db)
		if err != nil && ctx.Err() == nil && engine.Code(err) == "" && engine.IsConnectionLost(err) {
			return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
		}
		return err
	})
}

// writeAndRead writes and reads back what it wrote, in one transaction. A batch cannot
// read what it writes, so there it reads after it.
func (r *Repository[U]) writeAndRead(ctx context.Context, op string, hooked bool, write, read func(tx *gorm.DB) error) error {
	if r.err == nil && !r.b.engine.Batches() {
		return r.transact(ctx, op, func(tx *gorm.DB) error {
			if err := write(tx); err != nil {
				return err
			}
			return read(tx)
		})
	}
	if r.err == nil && r.inTransaction() {
		return errInBatch
	}
	if err := r.write(ctx, op, hooked, write); err != nil {
		return err
	}
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	err = callerError(ctx, op, read(db))
	if err == nil || isOurs(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err) // written, and not seen
}

// retry repeats a transaction of our own after a deadlock and its like, but not one that
// waited long for a lock already.
func (r *Repository[U]) retry(ctx context.Context, op string, try func() error) error {
	began := time.Now()
	for n := 1; ; n++ {
		err := try()
		stale := errors.Is(err, errStale) // another call came first
		plan := engine.Code(err) == engine.PostgresStalePlan
		if plan {
			r.b.plans.generation.Add(1)
		}
		again := (stale || plan || Retryable(err)) && !errors.Is(err, ErrOutcomeUnknown)
		if err == nil || n == engine.MaxTries || !again || time.Since(began) > engine.RetryWithin {
			if stale {
				err = fmt.Errorf("%w: %w", ErrBusy, err)
			}
			return callerError(ctx, op, err)
		}
		if engine.Pause(ctx, time.Duration(n)*engine.RetryLongest) != nil {
			return callerError(ctx, op, err)
		}
	}
}

// lockUser takes the user's row for update, soft-deleted or not. Every transaction takes
// its locks in the order user, key, session.
func (r *Repository[U]) lockUser(tx *gorm.DB, userID string) error {
	user := func() *gorm.DB {
		return tx.Session(&gorm.Session{SkipHooks: true}).Model(new(U)).Unscoped().Select(r.b.userID.DBName).Where(r.b.userIs(userID))
	}
	var ids []string
	err := r.b.engine.ForUpdate(user()).Scan(&ids).Error
	if err == nil && len(ids) == 0 {
		err = r.checkLockable(user())
	}
	return err
}

// lockOwner takes the user's row before the rows of what belongs to the user, so that
// what two calls do to these happens one after the other. A batch is atomic as it is.
func (r *Repository[U]) lockOwner(tx *gorm.DB, userID string) error {
	if !r.b.engine.RowLocks() {
		return r.b.lockWrites(tx)
	}
	return r.lockUser(tx, userID)
}

// userIs, idIs and ownerIs are the conditions of all statements, so that no caller's
// string is ever one by itself, and an empty id never means "all rows".
func (b *binding) userIs(id string) clause.Expression { return b.sameBytes(b.userID.DBName, id) }

func (b *binding) idIs(id string) clause.Expression { return b.sameBytes("id", id) }

func (b *binding) ownerIs(id string) clause.Expression { return b.sameBytes("user_id", id) }

// sameBytes compares an id column byte by byte.
func (b *binding) sameBytes(name, id string) clause.Expression {
	return b.engine.SameBytes(clause.Column{Table: clause.CurrentTable, Name: name}, id)
}

func column(name string, value any) clause.Expression {
	return clause.Eq{Column: clause.Column{Table: clause.CurrentTable, Name: name}, Value: value}
}

func (r *Repository[U]) checkUserID(id string) error {
	if err := r.opts.checkUserID(id); err != nil {
		return err
	}
	return r.b.checkWidth(id)
}

// emit calls the hooks. Events of one call carry the same time.
func (r *Repository[U]) emit(tx *gorm.DB, events ...Event) error {
	if len(r.opts.hooks) == 0 {
		return nil
	}
	at := r.opts.now()
	for _, e := range events {
		e.At = at
		e.SessionID = SessionID(e.SessionID.String()) // with LuciaV2 the id is the token, which no event holds
		for _, hook := range r.opts.hooks {
			end := r.b.undone.watch(tx)
			err := hook(r.forApplication(tx), e)
			if deadlock := end(); err == nil {
				err = deadlock
			}
			if err != nil {
				return fmt.Errorf("hook of %q: %w", e.Type, err)
			}
		}
	}
	return nil
}

// forApplication returns a handle on the same transaction with the settings that the
// application gave its own.
func (r *Repository[U]) forApplication(tx *gorm.DB) *gorm.DB {
	tx = tx.Session(&gorm.Session{})
	c, app := tx.Config, r.app
	c.Logger, c.TranslateError, c.SkipDefaultTransaction = app.logger, app.translateError, app.skipDefaultTransaction
	c.DisableNestedTransaction, c.QueryFields = app.disableNestedTransaction, app.queryFields
	return tx
}

// find reads at most one row into dest and reports whether there was one. Limit and
// Find, since First logs a miss together with the value it looked for.
func find(db *gorm.DB, dest any, conditions ...clause.Expression) (bool, error) {
	for _, c := range conditions {
		db = db.Where(c)
	}
	tx := db.Limit(1).Find(dest)
	return tx.RowsAffected > 0, tx.Error
}

// attributes checks the names of columns to update: those of the model, by Go or
// database name, less the reserved ones. It returns them by database name.
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

// serialized returns what GORM stores of a value in a column with a serializer: from a map it
// would give the value to the driver as it is. An SQL expression, or a text that is serialized
// already, stays.
func serialized(ctx context.Context, f *schema.Field, value any) any {
	t := reflect.TypeOf(value)
	if f.Serializer == nil || t == nil || !t.AssignableTo(f.FieldType) && !t.AssignableTo(f.IndirectFieldType) {
		return value
	}
	row := reflect.New(f.Schema.ModelType).Elem()
	if err := f.Set(ctx, row, value); err != nil {
		return value // which the statement then refuses
	}
	encoded, _ := f.ValueOf(ctx, row)
	return encoded
}

// quietLogger keeps bound values and the database's own texts, which may quote them,
// out of the log.
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

// Trace drops the text of a database's error. A duplicate is an answer to the caller,
// not an error of the program.
func (l quietLogger) Trace(ctx context.Context, begin time.Time, fc func() (string, int64), err error) {
	if engine.IsDuplicate(err) {
		err = nil
	}
	if code := engine.Code(err); code != "" {
		err = fmt.Errorf("database error %s", code)
	}
	l.Interface.Trace(ctx, begin, fc, err)
}
