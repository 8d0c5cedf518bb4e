package gormkey

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/internal/statement"
)

// Where the database does not keep keys and sessions whole, these callbacks do, for the
// application's own GORM calls: without foreign keys, and on a SQLite connection that
// does not enforce them. The repository's operations are whole by themselves.

// statementLimit is how many ids one statement names: below every engine's number of
// parameters.
const statementLimit = 5000

// trustedSetting marks a statement of the repository, which needs no callback.
const trustedSetting = "gormkey:trusted"

func trusted(tx *gorm.DB) *gorm.DB { return tx.Set(trustedSetting, true) }

// registerIntegrity registers what stands in for foreign keys only where they may be missing,
// and the check of Save everywhere.
func (p *PluginOf[U, K, S]) registerIntegrity(db *gorm.DB, b *binding) error {
	name := p.Name()
	create, update, remove := db.Callback().Create(), db.Callback().Update(), db.Callback().Delete()
	// Next to the statement itself: after the application's hooks, whose conditions count
	// too. After("gorm:delete") would run after the commit.
	var errs []error
	if !b.foreignKeys || b.engine.MayNotEnforce() {
		errs = append(errs,
			create.Before("gorm:create").Register(name+":owners", func(tx *gorm.DB) { b.checkOwners(tx) }),
			remove.Before("gorm:delete").Register(name+":cascade", func(tx *gorm.DB) { b.cascade(tx) }),
			remove.Before("gorm:after_delete").Register(name+":deleted", func(tx *gorm.DB) { b.finish(tx) }),
		)
	}
	return errors.Join(append(errs,
		update.Before("gorm:save_after_associations").Register(name+":updating", b.markUpdate),
		create.Before("gorm:create").Register(name+":saves", b.checkSave),
		create.Before("gorm:save_after_associations").Register(name+":created", func(tx *gorm.DB) { b.finish(tx) }),
	)...)
}

// guarded is what one statement of the application has going on around it.
type guarded struct {
	pool      gorm.ConnPool // the handle's, if the transaction is ours, since the application turned GORM's off
	savepoint bool          // in the application's transaction
	users     []string      // that the statement itself is to delete
	before    int64         // users that were deleted before it
}

const savepointName = "gormkey_cascade"

func (b *binding) setting() string { return "gormkey:guarded:" + b.user.Table }

// begin makes sure that a statement is in a transaction, and reports whether it is for
// us to keep it whole.
func (b *binding) begin(tx *gorm.DB, g *guarded) bool {
	if !b.enter(tx, g) {
		return false
	}
	if !b.foreignKeys {
		return true
	}
	enforced, err := b.engine.Enforces(engine.Fresh(tx))
	_ = tx.AddError(err)
	return tx.Error == nil && !enforced
}

// enter makes sure that a statement is in a transaction, unless its pool has none, which
// is false.
func (b *binding) enter(tx *gorm.DB, g *guarded) bool {
	if v, _ := tx.InstanceGet(b.setting()); v != nil { // for another check of the same statement
		if before, ok := v.(*guarded); ok && before != nil {
			return true
		}
	}
	if _, ok := tx.Statement.ConnPool.(gorm.TxCommitter); !ok {
		own := tx.Begin(b.engine.TxOptions()...)
		if own.Error == gorm.ErrInvalidTransaction && b.foreignKeys {
			return false // a pool without transactions, as GORM lets pass
		}
		if own.Error != nil {
			_ = tx.AddError(own.Error)
			return false
		}
		g.pool, tx.Statement.ConnPool = tx.Statement.ConnPool, own.Statement.ConnPool
	}
	tx.InstanceSet(b.setting(), g)
	return true
}

// unprepared returns a handle that sends its statements as they are, where MySQL refuses
// to prepare them.
func unprepared(tx *gorm.DB) *gorm.DB {
	if prepared, ok := tx.Statement.ConnPool.(*gorm.PreparedStmtTX); ok {
		tx.Statement.ConnPool = prepared.Tx
	}
	return tx
}

// finish ends what begin began.
func (b *binding) finish(tx *gorm.DB) {
	v, _ := tx.InstanceGet(b.setting())
	g, ok := v.(*guarded)
	if !ok {
		return
	}
	tx.InstanceSet(b.setting(), nil)
	if tx.Error == nil && len(g.users) > 0 && tx.RowsAffected != int64(len(g.users)) {
		_ = tx.AddError(b.checkGone(tx, g.users))
	}
	if tx.RowsAffected += g.before; tx.Error != nil {
		tx.RowsAffected = 0
	}
	if tx.Statement.Result != nil {
		tx.Statement.Result.RowsAffected = tx.RowsAffected
	}
	switch {
	case g.pool != nil:
		if tx.Error != nil {
			tx.Rollback()
		} else {
			tx.Commit()
		}
		tx.Statement.ConnPool = g.pool
	case g.savepoint && tx.Error != nil:
		undo := engine.Fresh(tx)
		undo.Error = nil // with which GORM would send nothing
		if err := undo.RollbackTo(savepointName).Error; err != nil {
			_ = tx.AddError(err)
		}
	case g.savepoint:
		_ = tx.AddError(unprepared(engine.Fresh(tx)).Exec("RELEASE SAVEPOINT " + savepointName).Error)
	}
}

// is reports whether a name that a statement has is the table's.
func (b *binding) is(name, table string) bool {
	if b.engine.SameTable(name, table) {
		return true
	}
	// The schema or database that unqualified names are in, written out.
	schemaName, bare, qualified := strings.Cut(name, ".")
	return qualified && !strings.Contains(table, ".") && schemaName == b.currentSchema && b.is(bare, table)
}

// checkOwners refuses keys and sessions of users who are not there, and holds those who
// are against a delete until the transaction ends. A soft-deleted user is there, as for
// a foreign key.
func (b *binding) checkOwners(tx *gorm.DB) {
	stmt := tx.Statement
	if tx.Error != nil || tx.DryRun || stmt.SQL.Len() > 0 {
		return
	}
	if _, ok := tx.Get(trustedSetting); ok {
		return
	}
	table := statement.TargetTable(stmt)
	for _, o := range b.owned {
		if tx.Error == nil && b.is(table, o.Table) {
			b.checkOwnersOf(tx, o)
		}
	}
}

// checkOwnersOf checks the owners that a statement names in one column. A table that belongs
// to users by several columns is checked for each of them.
func (b *binding) checkOwnersOf(tx *gorm.DB, o owned) {
	ids, missing := b.owners(tx.Statement, o)
	if !b.begin(tx, &guarded{}) {
		return
	}
	if !missing && len(ids) > 0 {
		var err error
		if missing, err = b.missingOwners(engine.Fresh(tx), ids); err != nil {
			_ = tx.AddError(err)
		}
	}
	if missing && tx.Error == nil {
		_ = tx.AddError(fmt.Errorf("gormkey: %s.%s names no user: %w", statement.TargetTable(tx.Statement), o.owner, gorm.ErrForeignKeyViolated))
	}
}

// owners returns the user ids that a statement would write, texts and SQL expressions,
// and whether a row that has to have one has none.
func (b *binding) owners(stmt *gorm.Statement, o owned) (ids []any, missing bool) {
	seen := map[string]bool{}
	add := func(value any) {
		switch id := b.ownerValue(value).(type) {
		case nil:
			missing = missing || !o.nullable()
		case string:
			if id == "" {
				missing = true
			} else if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		default:
			ids = append(ids, id)
		}
	}
	rows := 0
	statement.EachRow(stmt, func(row statement.Row) {
		rows++
		values := row.All(o.owner)
		if len(values) == 0 {
			missing = missing || !o.nullable()
		}
		for _, value := range values {
			add(value)
		}
	})
	if conflict, ok := stmt.Clauses["ON CONFLICT"].Expression.(clause.OnConflict); ok {
		for _, update := range conflict.DoUpdates {
			if _, proposed := update.Value.(clause.Column); update.Column.Name == o.owner && !proposed {
				add(update.Value)
			}
		}
	}
	return ids, missing || rows == 0 // rows of a type that cannot be read have none to show
}

// ownerValue returns a user id as text, nil for none, or what the database is to make of
// it.
func (b *binding) ownerValue(value any) any {
	rv := reflect.ValueOf(value)
	if value == nil || rv.Kind() == reflect.Pointer && rv.IsNil() {
		return nil
	}
	if v, ok := value.(driver.Valuer); ok {
		if value, err := v.Value(); err == nil {
			return b.ownerValue(value)
		}
	}
	switch v := value.(type) {
	case string, clause.Expression, *gorm.DB:
		return v
	case []byte:
		if !b.engine.BytesAreText() {
			return nil
		}
		return string(v)
	}
	switch rv.Kind() {
	case reflect.Pointer:
		return b.ownerValue(rv.Elem().Interface())
	case reflect.String:
		return rv.String()
	}
	return clause.Expr{SQL: "?", Vars: []any{value}}
}

// missingOwners reports whether one of the ids, texts or expressions, is no user's, and share-locks
// the users that there are.
func (b *binding) missingOwners(tx *gorm.DB, ids []any) (bool, error) {
	if err := b.lockWrites(tx); err != nil {
		return false, err
	}
	var texts []string
	var expressions []any
	for _, id := range ids {
		if text, ok := id.(string); ok {
			texts = append(texts, text)
		} else {
			expressions = append(expressions, id)
		}
	}
	id, table := clause.Column{Name: b.userID.DBName}, clause.Table{Name: b.user.Table}
	read := func(condition string, value any) (map[string]bool, error) {
		var found []string
		// In the order of the ids, so that two batches do not wait for each other.
		err := tx.Raw("SELECT ? FROM ? WHERE ? "+condition+" ORDER BY ?"+b.engine.ShareRows(), id, table, id, value, id).Scan(&found).Error
		set := make(map[string]bool, len(found))
		for _, one := range found {
			set[b.folded(one)] = true
		}
		return set, err
	}
	for len(texts) > 0 {
		part := texts[:min(len(texts), statementLimit)]
		texts = texts[len(part):]
		found, err := read("IN ?", part)
		if err != nil {
			return false, err
		}
		for _, one := range part { // byte by byte, whatever the column's collation
			if !found[b.folded(one)] {
				return true, nil
			}
		}
	}
	for _, expression := range expressions {
		found, err := read("= (?)", expression)
		if err != nil || len(found) == 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// folded is an id as it is compared: one of a type of the database's own, uuid say, may
// come back in another letter case.
func (b *binding) folded(id string) string {
	if b.ownType {
		return strings.ToLower(id)
	}
	return id
}
