package gormkey

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// lookup reads one key or session by its id, joined with its user. GORM builds the
// statement once, with its quoting, placeholders and soft-delete condition; after that
// only the id changes. That is two thirds of the time of building it for each call.
type lookup struct {
	sql     string
	vars    []any
	ids     []int // where the id stands in vars
	columns []lookupColumn
	user    *schema.Field // the relation
	dest    *schema.Schema
}

type lookupColumn struct {
	field  *schema.Field
	ofUser bool
}

// idProbe stands for the id while GORM builds the statement. No valid id holds a NUL.
const idProbe = "\x00id"

// loadWithUser reads the row with the id, and its user, into dest, a pointer to one of
// the plugin's children, and reports whether there is such a row with a user that the
// application's own queries would find. Dest is zero when it returns false or an error.
// The caller runs afterFind, which at a sign-in must wait for the password.
func (r *RepositoryOf[U, K, S]) loadWithUser(db *gorm.DB, id string, dest any) (found bool, err error) {
	v := reflect.ValueOf(dest).Elem()
	v.SetZero()
	defer func() {
		if !found || err != nil {
			v.SetZero()
			found = false
		}
	}()
	l, err := r.lookup(db, v.Type())
	if err != nil {
		return false, err
	}
	if l.sql == "" {
		err = r.read(db, func() error { found, err = r.loadInTwo(db, id, l, v); return err })
		return found, err
	}
	user := new(U)
	err = r.read(db, func() error {
		found, err = l.load(db, r.b.plans.comment(), id, v, reflect.ValueOf(user).Elem())
		return err
	})
	if err != nil || !found {
		return false, err
	}
	l.user.ReflectValueOf(db.Statement.Context, v).Set(reflect.ValueOf(user))
	return true, nil
}

// loadInTwo is the way for an application with Query callbacks of its own, a tenant
// filter say: the user is read by the application's model alone, so that the callback
// sees that model, which it would not in a join, and sees it on every call.
func (r *RepositoryOf[U, K, S]) loadInTwo(db *gorm.DB, id string, l *lookup, v reflect.Value) (bool, error) {
	db = db.Session(&gorm.Session{SkipHooks: true})
	found, err := find(db, v.Addr().Interface(), r.b.idIs(id))
	if err != nil || !found {
		return false, err
	}
	userID, _ := l.dest.FieldsByDBName["user_id"].ValueOf(db.Statement.Context, v)
	user := new(U)
	found, err = find(db, user, r.b.userIs(userID.(string)))
	if err != nil || !found || r.userOf(user).ID != userID {
		return false, err
	}
	l.user.ReflectValueOf(db.Statement.Context, v).Set(reflect.ValueOf(user))
	return true, nil
}

// afterFind runs the AfterFind hooks that a query by GORM would have run, on the user
// and on dest.
func (r *RepositoryOf[U, K, S]) afterFind(db *gorm.DB, dest any, user *U) error {
	if db.Statement.SkipHooks {
		return nil
	}
	for _, value := range []any{user, dest} {
		if hook, ok := value.(callbacks.AfterFindInterface); ok {
			tx := db.Session(&gorm.Session{NewDB: true})
			if err := hook.AfterFind(tx); err != nil {
				return err
			}
			if tx.Error != nil {
				return tx.Error
			}
		}
	}
	return nil
}

// lookup returns the compiled lookup for a destination type, or one without SQL where
// the statement may differ from call to call.
func (r *RepositoryOf[U, K, S]) lookup(db *gorm.DB, t reflect.Type) (*lookup, error) {
	foreign := foreignQueryCallbacks(db)
	known := &r.b.lookups
	if foreign {
		known = &r.b.uncompiled
	}
	if l, ok := known.Load(t); ok {
		return l.(*lookup), nil
	}
	l, err := r.b.compile(t, foreign)
	if err != nil {
		return nil, err
	}
	stored, _ := known.LoadOrStore(t, l)
	return stored.(*lookup), nil
}

// compile lets GORM build the statement in a dry run and notes where the id stands in it. A model
// whose queries may differ from call to call gets no statement.
func (b *binding) compile(t reflect.Type, foreign bool) (*lookup, error) {
	var dest *schema.Schema
	for _, s := range b.children() {
		if s.ModelType == t {
			dest = s
		}
	}
	rel := dest.Relationships.Relations["User"]
	l := &lookup{dest: dest, user: rel.Field}
	if foreign || !plainQueries(dest) || !plainQueries(b.user) {
		return l, nil
	}
	// InnerJoins: the left join of Joins returns the session of a soft-deleted user.
	tx := b.db.Session(&gorm.Session{NewDB: true, DryRun: true, Logger: logger.Discard}).
		InnerJoins("User").Where(b.idIs(idProbe)).Limit(1).Find(reflect.New(t).Interface())
	if tx.Error != nil {
		return nil, fmt.Errorf("gormkey: building the lookup of %v: %w", t, tx.Error)
	}
	l.sql, l.vars = tx.Statement.SQL.String(), tx.Statement.Vars
	for i, v := range l.vars {
		if v == idProbe {
			l.ids = append(l.ids, i)
		}
	}
	selected, ok := tx.Statement.Clauses["SELECT"].Expression.(clause.Select)
	for _, c := range selected.Columns {
		column := lookupColumn{field: dest.FieldsByDBName[c.Name]}
		if c.Table == rel.Name {
			column = lookupColumn{field: b.user.FieldsByDBName[c.Name], ofUser: true}
		}
		ok = ok && column.field != nil
		l.columns = append(l.columns, column)
	}
	if !ok || len(l.ids) == 0 {
		l.sql = ""
	}
	return l, nil
}

// load runs the statement and scans its row as GORM scans, through the fields' pools.
func (l *lookup) load(db *gorm.DB, comment, id string, dest, user reflect.Value) (found bool, err error) {
	vars := make([]any, len(l.vars))
	copy(vars, l.vars)
	for _, i := range l.ids {
		vars[i] = id
	}
	tx := db.Clauses() // a statement of its own; db.Raw would copy the SQL byte by byte
	tx.Statement.SQL.WriteString(l.sql)
	tx.Statement.SQL.WriteString(comment)
	tx.Statement.Vars = vars
	rows, err := tx.Rows() // never Row, which panics on a cancelled context with PrepareStmt
	if err != nil {
		return false, err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	if !rows.Next() {
		return false, rows.Err()
	}
	return true, withoutValue(l.scan(db.Statement.Context, rows, dest, user), true)
}

// scan takes its buffers from the fields' pools, as GORM does, and gives them back whatever
// happens.
func (l *lookup) scan(ctx context.Context, rows *sql.Rows, dest, user reflect.Value) error {
	values := make([]any, len(l.columns))
	for i, c := range l.columns {
		values[i] = c.field.NewValuePool.Get()
	}
	defer func() {
		for i, c := range l.columns {
			c.field.NewValuePool.Put(values[i])
		}
	}()
	if err := rows.Scan(values...); err != nil {
		return err
	}
	for i, c := range l.columns {
		target := dest
		if c.ofUser {
			target = user
		}
		if err := c.field.Set(ctx, target, values[i]); err != nil {
			return err
		}
	}
	return nil
}
