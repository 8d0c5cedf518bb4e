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

	"github.com/gormkey/gormkey/authtype"
)

// lookup reads one key, session or one-time token by its id, joined with its user. GORM builds
// the statement once, with its quoting, its placeholders and its condition for soft deletes.
// After that only the id changes. Such a lookup takes two thirds of the time of one that is built
// for each call.
type lookup struct {
	sql     string
	vars    []any
	ids     []int // where the id stands in vars
	columns []lookupColumn
	user    *schema.Field // the relation
	dest    *schema.Schema
}

// lookupColumn says where a value of the row goes: into the row's own struct, or into its user.
type lookupColumn struct {
	field  *schema.Field
	ofUser bool
	// own is true for a column of the library, which is read straight into its field. GORM reads
	// into a buffer first, since it has to turn NULL and other types into the application's. That
	// takes two more allocations.
	own bool
}

// ownFields are the columns of the library with the types of their fields. A field of the
// application of the same name has another type, or is read the same way.
var ownFields = map[string]reflect.Type{
	"active_expires": reflect.TypeFor[UnixMilli](), "idle_expires": reflect.TypeFor[UnixMilli](), "absolute_expires": reflect.TypeFor[UnixMilli](),
	"opened_at": reflect.TypeFor[UnixMilli](), "authenticated_at": reflect.TypeFor[UnixMilli](), "factor_at": reflect.TypeFor[UnixMilli](),
	"methods": reflect.TypeFor[authtype.Methods](), "remembered": reflect.TypeFor[*bool](), "expires": reflect.TypeFor[UnixMilli](),
}

// idProbe stands for the id while GORM builds the statement, to find the place of the id among
// the bind values. It cannot be a real id, since no valid id holds a NUL.
const idProbe = "\x00id"

// loadWithUser reads the row with the id, and its user, into dest, a pointer to a struct of the
// plugin. It reports whether there is such a row with a user whom the application's own queries
// would find: a soft-deleted user, or one of another tenant, has no valid session. If it returns
// false or an error, dest is zero, so no half of a row is ever taken for a session.
//
// It runs no AfterFind hooks. The caller does by afterFind, after it knows that the row counts:
// at a sign-in that is after the password was verified.
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
	user := r.plugin.users.make()
	err = r.read(db, func() error {
		found, err = l.load(db, r.b.plans.comment(), id, v, reflect.ValueOf(user).Elem())
		return err
	})
	// The ids are compared again in Go: the database may compare those of Lucia's tables inexactly.
	if err != nil || !found || r.userOf(user).ID != l.owner(db.Statement.Context, v) {
		return false, err
	}
	l.user.ReflectValueOf(db.Statement.Context, v).Set(reflect.ValueOf(user))
	return true, nil
}

// loadInTwo reads the row and then its user, for an application with Query callbacks of its own.
// A tenant filter adds its condition to queries of the user model. In a join it would see the
// model of the session only, so the user is read by a query of its own, each time.
func (r *RepositoryOf[U, K, S]) loadInTwo(db *gorm.DB, id string, l *lookup, v reflect.Value) (bool, error) {
	db = db.Session(&gorm.Session{SkipHooks: true})
	found, err := find(db, v.Addr().Interface(), r.b.idIs(id))
	if err != nil || !found {
		return false, err
	}
	userID, _ := l.dest.FieldsByDBName["user_id"].ValueOf(db.Statement.Context, v)
	user := r.plugin.users.make()
	found, err = find(db, user, r.b.userIs(userID.(string)))
	if err != nil || !found || r.userOf(user).ID != userID {
		return false, err
	}
	l.user.ReflectValueOf(db.Statement.Context, v).Set(reflect.ValueOf(user))
	return true, nil
}

// afterFind runs the AfterFind hooks that a query by GORM would have run: those of the user, and
// those of dest.
func (r *RepositoryOf[U, K, S]) afterFind(db *gorm.DB, dest any, user U) error {
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

// lookup returns the compiled lookup for a type, or one without SQL if the statement may differ
// from call to call. Callbacks are asked for each time, since the application may register one
// later. So there are two maps, and a lookup that was compiled before is not used once there is
// such a callback.
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

// compile lets GORM build the statement in a dry run, and notes where the id is among the bind
// values. A model whose queries may differ from call to call gets no statement.
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
	// InnerJoins and not Joins: the LEFT JOIN of Joins returns the session of a soft-deleted
	// user, with a nil user.
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
		if own, ok := ownFields[c.Name]; ok && column.field != nil {
			column.own = column.field.FieldType == own && column.field.Serializer == nil
		}
		if c.Table == rel.Name {
			column = lookupColumn{field: b.user.FieldsByDBName[c.Name], ofUser: true}
		}
		ok = ok && column.field != nil
		l.columns = append(l.columns, column)
	}
	// A later GORM may build the statement in another way. Then it is built for each call.
	if !ok || len(l.ids) == 0 {
		l.sql = ""
	}
	return l, nil
}

// owner is the user_id of a row.
func (l *lookup) owner(ctx context.Context, v reflect.Value) string {
	return l.dest.FieldsByDBName["user_id"].ReflectValueOf(ctx, v).String()
}

// load runs the statement and scans its row as GORM does.
func (l *lookup) load(db *gorm.DB, comment, id string, dest, user reflect.Value) (found bool, err error) {
	vars := make([]any, len(l.vars))
	copy(vars, l.vars)
	for _, i := range l.ids {
		vars[i] = id
	}
	// Clauses makes a new statement. Raw would do so too, and copy the SQL byte by byte.
	tx := db.Clauses()
	tx.Statement.SQL.WriteString(l.sql)
	tx.Statement.SQL.WriteString(comment)
	tx.Statement.Vars = vars
	rows, err := tx.Rows() // never Row: with PrepareStmt it panics if the context was cancelled
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
// happens, so that a lookup allocates none.
func (l *lookup) scan(ctx context.Context, rows *sql.Rows, dest, user reflect.Value) error {
	values := make([]any, len(l.columns))
	for i, c := range l.columns {
		if c.own {
			values[i] = c.field.ReflectValueOf(ctx, dest).Addr().Interface()
			continue
		}
		values[i] = c.field.NewValuePool.Get()
	}
	defer func() {
		for i, c := range l.columns {
			if !c.own {
				c.field.NewValuePool.Put(values[i])
			}
		}
	}()
	if err := rows.Scan(values...); err != nil {
		return err
	}
	for i, c := range l.columns {
		if c.own {
			continue
		}
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
