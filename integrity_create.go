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

// These callbacks stand in for foreign keys where the database has none: with
// [WithoutForeignKeys], and on a SQLite connection whose PRAGMA foreign_keys is off. They act on
// the application's own GORM calls, such as db.Create of a session or db.Delete of a user. The
// repository's operations do not need them: each takes the locks of lock.go and checks the owner
// in its own statement.
//
// They see what goes through GORM's Create and Delete. They do not see raw SQL, or an update of
// user_id.

// statementLimit is how many ids one statement names. It is below the number of parameters that
// any of the engines takes, so a delete of 20,000 users becomes four statements and no error.
const statementLimit = 5000

// trustedSetting marks a statement of the repository, which has checked its owner already.
// Without the mark each sign-in would send the SELECT of checkOwners too.
const trustedSetting = "gormkey:trusted"

// trusted returns a handle whose statements pass the checks of this file and of
// integrity_delete.go.
func trusted(tx *gorm.DB) *gorm.DB { return tx.Set(trustedSetting, true) }

// registerIntegrity registers the callbacks that stand in for foreign keys, but only where
// foreign keys may be missing. The check of Save is registered everywhere: an ended session that
// Save inserts again has a user who is there, so a foreign key lets it pass.
func (p *PluginOf[U, K, S]) registerIntegrity(db *gorm.DB, b *binding) error {
	name := p.Name()
	create, update, remove := db.Callback().Create(), db.Callback().Update(), db.Callback().Delete()
	// The checks run right before the statement and after the application's hooks, because a hook
	// may change the owner of a row or add a condition. finish runs right after the statement.
	// After("gorm:delete") sounds right for that and is wrong: it would run after the commit,
	// when nothing can be undone.
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

// guarded is the state of one statement of the application while the checks around it run. It
// lives in the statement's instance settings, so statements that run at the same time do not
// share it.
type guarded struct {
	pool      gorm.ConnPool // the handle's, if the transaction is ours, since the application turned GORM's off
	savepoint bool          // in the application's transaction
	users     []string      // that the statement itself is to delete
	before    int64         // users that were deleted before it
}

// savepointName is the savepoint around a delete in the transaction of the application.
const savepointName = "gormkey_cascade"

// setting names the place of guarded by the users' table: two plugins on one database, for users
// and for admins, may both watch the same statement.
func (b *binding) setting() string { return "gormkey:guarded:" + b.user.Table }

// begin makes sure that a statement is in a transaction, and reports whether the checks have to
// act. Without foreign keys they always do. With them it depends on the connection, since each
// connection of SQLite has its own PRAGMA foreign_keys. The pragma cannot change inside a
// transaction, so the answer holds until the statement ends.
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

// enter makes sure that a statement is in a transaction: the lock on the owner has to last until
// the row is committed. The application may have turned off GORM's own transaction around each
// write (SkipDefaultTransaction); then enter begins one and finish commits it. It returns false
// if the pool has no transactions, and after an error.
func (b *binding) enter(tx *gorm.DB, g *guarded) bool {
	if v, _ := tx.InstanceGet(b.setting()); v != nil { // for another check of the same statement
		// The check of owners and the check of Save may both watch one INSERT.
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

// unprepared returns a handle that does not prepare its statements. With GORM's PrepareStmt every
// statement is prepared, and MySQL refuses to prepare RELEASE SAVEPOINT (error 1295).
func unprepared(tx *gorm.DB) *gorm.DB {
	if prepared, ok := tx.Statement.ConnPool.(*gorm.PreparedStmtTX); ok {
		tx.Statement.ConnPool = prepared.Tx
	}
	return tx
}

// finish ends the transaction or the savepoint of enter, and corrects the number of rows that the
// caller sees: it includes the users whom deleteOwnedRows deleted before the statement, and it is
// 0 after an error, because everything is rolled back. It runs before the application's After
// hooks, as a statement without a transaction would be committed before them.
func (b *binding) finish(tx *gorm.DB) {
	v, _ := tx.InstanceGet(b.setting())
	g, ok := v.(*guarded)
	if !ok {
		return
	}
	tx.InstanceSet(b.setting(), nil)
	// The keys and sessions of these users are deleted already. If a user is still there, the
	// transaction must not commit.
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
	// The caller's transaction goes on after the error, so the deleted keys and sessions have to
	// come back.
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

// is reports whether a statement's table is one of ours. Applications write table names in many
// ways: "auth_user", "main.auth_user", "shop.auth_user", and on SQLite in any letter case.
func (b *binding) is(name, table string) bool {
	if b.engine.SameTable(name, table) {
		return true
	}
	// A qualified name is ours too if its schema is the one in which unqualified names are looked
	// up.
	schemaName, bare, qualified := strings.Cut(name, ".")
	return qualified && !strings.Contains(table, ".") && schemaName == b.currentSchema && b.is(bare, table)
}

// checkOwners refuses rows of users who are not there, and holds the users who are there with a
// share lock until the transaction ends. Without the lock a delete of the user may run between
// this check and the INSERT: in a race of deletes against creates, most creates left an orphan. A
// soft-deleted user counts as there, as for a foreign key.
func (b *binding) checkOwners(tx *gorm.DB) {
	stmt := tx.Statement
	// A statement whose SQL is there already was written by the application, and a dry run sends
	// nothing.
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

// checkOwnersOf checks the owners in one column of a table. A table that refers to users by
// several columns, as an author and an editor, is checked once for each of them.
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

// owners returns the user ids that a statement would write: texts, and SQL expressions such as
// gorm.Expr("LOWER(?)", name). Missing is true if a row that must have an owner has none.
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
	// An upsert writes the owner of a row that is there already. A value like excluded.user_id is
	// the owner that the INSERT proposes, which was checked above.
	if conflict, ok := stmt.Clauses["ON CONFLICT"].Expression.(clause.OnConflict); ok {
		for _, update := range conflict.DoUpdates {
			if _, proposed := update.Value.(clause.Column); update.Column.Name == o.owner && !proposed {
				add(update.Value)
			}
		}
	}
	return ids, missing || rows == 0 // a row of a type that EachRow cannot read is refused
}

// ownerValue returns a user id as a text, nil for none, or an expression that the database
// evaluates. It follows pointers and driver.Valuer, since a driver does so as well:
// *sql.NullString is an id too.
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
		// On SQLite a BLOB never equals a TEXT, so such an owner is nobody there.
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

// missingOwners reports whether one of the ids, texts or expressions, belongs to no user, and
// share-locks the users who are there.
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
		// Rows are locked in the order of their ids. Two batches that name the same users in
		// different orders would otherwise wait for each other.
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
		// The ids are compared here again. A column whose collation ignores case finds "u0" for
		// "U0", and then the session would belong to nobody by the library's own comparisons.
		for _, one := range part { // byte by byte, whatever the column's collation
			if !found[b.folded(one)] {
				return true, nil
			}
		}
	}
	// Only the database knows the value of an expression, so it is compared there, one at a time.
	for _, expression := range expressions {
		found, err := read("= (?)", expression)
		if err != nil || len(found) == 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// folded is an id in the form in which it is compared. A database's own type may return another
// letter case than it was given: a uuid that was written in upper case comes back in lower case.
func (b *binding) folded(id string) string {
	if b.ownType {
		return strings.ToLower(id)
	}
	return id
}
