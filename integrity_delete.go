package gormkey

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/internal/statement"
)

// cascade deletes the keys and sessions of the users whom a statement of the application is about
// to delete, as ON DELETE CASCADE would. It works in four steps:
//
//  1. turn the statement's conditions into a SELECT of user ids;
//  2. lock these users, so that no session is added to them;
//  3. delete what belongs to them;
//  4. let the statement delete exactly these ids.
//
// Step 4 is needed because the conditions may match other users by then: a condition that reads
// the sessions, for example, matches nobody once step 3 has deleted them.
func (b *binding) cascade(tx *gorm.DB) {
	stmt := tx.Statement
	if tx.Error != nil || tx.DryRun || stmt.SQL.Len() > 0 || !b.is(statement.TargetTable(stmt), b.user.Table) {
		return
	}
	if _, ok := tx.Get(trustedSetting); ok {
		return
	}
	if b.softDeletes(tx) {
		return // the row stays, so a foreign key would not act either
	}
	query, conditions := usersToDelete(tx, b.userID.DBName)
	if !conditions && !tx.AllowGlobalUpdate {
		return // GORM itself answers with ErrMissingWhereClause
	}
	g := new(guarded)
	if !b.begin(tx, g) {
		return
	}
	// In the application's own transaction a savepoint makes steps 3 and 4 one unit: the
	// application may ignore the error of the delete and commit the rest.
	if _, started := tx.InstanceGet("gorm:started_transaction"); g.pool == nil && !started {
		if err := engine.Fresh(tx).SavePoint(savepointName).Error; err != nil {
			_ = tx.AddError(err)
			return
		}
		g.savepoint = true
	}
	ids, err := b.lockUsersToDelete(tx, query)
	if err == nil {
		err = b.checkEmptied(tx, ids)
	}
	if err == nil {
		err = b.deleteOwnedRows(tx, g, ids)
	}
	_ = tx.AddError(err)
}

// softDeletes reports whether the statement's model turns a delete into an update. A model may do
// so by gorm.DeletedAt or by a type of its own, so GORM builds such a delete in a dry run, and
// its first word tells. The condition 1 = 0 is there because GORM refuses a delete without any.
func (b *binding) softDeletes(tx *gorm.DB) bool {
	s := tx.Statement.Schema
	if s == nil || len(s.DeleteClauses) == 0 || tx.Statement.Unscoped {
		return false
	}
	trial := tx.Session(&gorm.Session{NewDB: true, DryRun: true, SkipHooks: true, Logger: logger.Discard}).
		Where("1 = 0").Delete(reflect.New(s.ModelType).Interface())
	return !strings.HasPrefix(trial.Statement.SQL.String(), "DELETE")
}

// usersToDelete returns a statement that selects the users whom a delete statement would delete,
// and whether the delete has conditions at all. It copies the clauses as GORM's own delete
// callback (gorm.io/gorm/callbacks.Delete) puts them together: the Where conditions, the model's
// DeleteClauses, and the primary keys of the struct or slice that was given.
//
// It does not go through GORM's Query callbacks, because a delete does not either. A tenant
// filter that is a Query callback would hide users here whom the delete then finds.
func usersToDelete(tx *gorm.DB, id string) (query *gorm.DB, conditions bool) {
	stmt := tx.Statement
	column := clause.Column{Name: id} // without its table, whose name may be in a form that GORM cannot quote
	query = engine.Fresh(tx).Clauses(clause.Select{Columns: []clause.Column{column}}, clause.From{})
	query.Statement.Schema, query.Statement.Model = stmt.Schema, stmt.Model
	query.Statement.Table, query.Statement.TableExpr, query.Statement.Unscoped = stmt.Table, stmt.TableExpr, stmt.Unscoped
	for _, name := range []string{"FROM", "WHERE", "ORDER BY", "LIMIT"} {
		if c, ok := stmt.Clauses[name]; ok && c.Expression != nil && slices.Contains(stmt.BuildClauses, name) {
			query.Statement.Clauses[name] = c
			conditions = conditions || name == "WHERE"
		}
	}
	if stmt.Schema != nil {
		for _, c := range stmt.Schema.DeleteClauses {
			query.Statement.AddClause(c)
		}
		addIDs := func(v reflect.Value) {
			_, values := schema.GetIdentityFieldValuesMap(stmt.Context, v, stmt.Schema.PrimaryFields)
			column, in := schema.ToQueryValues(stmt.Table, stmt.Schema.PrimaryFieldDBNames, values)
			if len(in) > 0 {
				query.Statement.AddClause(clause.Where{Exprs: []clause.Expression{clause.IN{Column: column, Values: in}}})
				conditions = true
			}
		}
		addIDs(stmt.ReflectValue)
		// In db.Model(&ada).Delete(&Account{}) the id is in the model and not in the value to
		// delete.
		if stmt.ReflectValue.CanAddr() && stmt.Dest != stmt.Model && stmt.Model != nil {
			addIDs(reflect.ValueOf(stmt.Model))
		}
	}
	if _, ordered := query.Statement.Clauses["ORDER BY"]; !ordered { // so that two deletes take their locks in one order
		query.Statement.AddClause(clause.OrderBy{Columns: []clause.OrderByColumn{{Column: column}}})
	}
	query.Statement.AddClause(clause.Locking{Strength: "UPDATE"})
	return query, conditions
}

// lockUsersToDelete reads and locks the users whom query selects. On SQLite it first makes the
// transaction the one that writes, since a transaction that has read before cannot always write
// later.
func (b *binding) lockUsersToDelete(tx, query *gorm.DB) (ids []string, err error) {
	if err := b.checkIsolation(tx); err != nil {
		return nil, err
	}
	if err := b.lockWrites(engine.Fresh(tx)); err != nil {
		return nil, err
	}
	// The query was built before begin may have put the statement into a transaction of ours.
	query.Statement.ConnPool = tx.Statement.ConnPool
	query.Statement.Build("SELECT", "FROM", "WHERE", "ORDER BY", "LIMIT", "FOR")
	if query.Error != nil {
		return nil, query.Error
	}
	// The SQL is complete. Without a schema GORM scans the bare ids and runs no hooks of the
	// model.
	query.Statement.Schema, query.Statement.Model = nil, nil
	rows, err := query.Rows()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// deleteOwnedRows deletes what belongs to the users, and narrows the statement to their ids. A
// statement names statementLimit ids at most. If there are more users, this function deletes the
// first ones itself, in parts, and the statement deletes the rest.
func (b *binding) deleteOwnedRows(tx *gorm.DB, g *guarded, ids []string) error {
	stmt := tx.Statement
	// The rows of the first parts could not be returned to the caller.
	if _, returning := stmt.Clauses["RETURNING"]; returning && len(ids) > statementLimit {
		return fmt.Errorf("gormkey: %d users in one DELETE … RETURNING, over the %d of one statement; delete them in parts", len(ids), statementLimit)
	}
	for {
		part := ids[:min(len(ids), statementLimit)]
		ids = ids[len(part):]
		if err := b.release(tx, b.owned, part); err != nil {
			return err
		}
		if len(ids) > 0 {
			result := engine.Fresh(tx).Exec("DELETE FROM ? WHERE ?", clause.Table{Name: b.user.Table}, b.among(clause.Column{Name: b.userID.DBName}, part))
			if result.Error != nil {
				return result.Error
			}
			// The users are locked, so only a trigger can have kept one. Its keys and sessions
			// are gone already, so everything is rolled back.
			if result.RowsAffected != int64(len(part)) {
				return fmt.Errorf("gormkey: %d of %d users in %s were deleted, so nothing was: a trigger kept the others", result.RowsAffected, len(part), b.user.Table)
			}
			g.before += result.RowsAffected
			continue
		}
		// ORDER BY and LIMIT have chosen the ids already.
		delete(stmt.Clauses, "ORDER BY")
		delete(stmt.Clauses, "LIMIT")
		stmt.Clauses["WHERE"] = clause.Clause{Name: "WHERE", Expression: clause.Where{Exprs: []clause.Expression{b.among(clause.Column{Name: b.userID.DBName}, part)}}}
		g.users = part
		return nil
	}
}

// among is the condition that a column holds one of the ids, byte for byte.
func (b *binding) among(c clause.Column, ids []string) clause.Expression {
	return b.engine.Among(c, ids)
}

// checkIsolation refuses a transaction at REPEATABLE READ or above on PostgreSQL. The delete
// waits for the user's lock while another transaction adds a session. At these levels it then
// does not see the new session, and leaves it without a user. The transaction that GORM begins
// around one statement can still be set to READ COMMITTED, as long as no hook has read in it.
// That of the application cannot.
func (b *binding) checkIsolation(tx *gorm.DB) error {
	if b.foreignKeys {
		return nil // the database's own cascade sees every row
	}
	return b.refuseSnapshot(tx, "to delete a user without foreign keys")
}

// refuseSnapshot refuses such a transaction for what is to be done in it.
func (b *binding) refuseSnapshot(tx *gorm.DB, what string) error {
	level, err := b.engine.Snapshot(engine.Fresh(tx))
	if err != nil || level == "" {
		return err
	}
	_, started := tx.InstanceGet("gorm:started_transaction")
	if started && engine.Fresh(tx).Exec("SET TRANSACTION ISOLATION LEVEL READ COMMITTED").Error == nil {
		return nil
	}
	return &UsageError{"tx", "is at " + strings.ToUpper(level) + ", which does not show what other transactions committed meanwhile: " + what + ", begin it with sql.LevelReadCommitted, or call the operation outside it"}
}

// checkGone looks for users whom a delete left behind: a BEFORE DELETE trigger may keep a row,
// and another Delete callback may change the statement. The number of affected rows does not
// tell, since with RETURNING GORM counts the structs that were filled.
func (b *binding) checkGone(tx *gorm.DB, users []string) error {
	var left []string
	id := clause.Column{Name: b.userID.DBName}
	err := engine.Fresh(tx).Raw("SELECT ? FROM ? WHERE ?", id, clause.Table{Name: b.user.Table}, b.among(id, users)).Scan(&left).Error
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("gormkey: %d of %d users in %s were not deleted, so nothing was: a trigger or another Delete callback kept them", len(left), len(users), b.user.Table)
	}
	return err
}
