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

// cascade deletes the sessions and keys of the users that a statement is about to
// delete. It locks those users first, and then lets the statement delete them by their
// ids: its own conditions may hold for others by then, or no longer for these.
func (b *binding) cascade(tx *gorm.DB) {
	stmt := tx.Statement
	if tx.Error != nil || tx.DryRun || stmt.SQL.Len() > 0 || !b.is(statement.TargetTable(stmt), b.user.Table) {
		return
	}
	if _, ok := tx.Get(trustedSetting); ok {
		return
	}
	if b.softDeletes(tx) {
		return // which keeps the row, so a foreign key would not act
	}
	query, conditions := usersToDelete(tx, b.userID.DBName)
	if !conditions && !tx.AllowGlobalUpdate {
		return // GORM answers ErrMissingWhereClause
	}
	g := new(guarded)
	if !b.begin(tx, g) {
		return
	}
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

// softDeletes reports whether the statement's model turns a delete into an update, by
// letting GORM build one.
func (b *binding) softDeletes(tx *gorm.DB) bool {
	s := tx.Statement.Schema
	if s == nil || len(s.DeleteClauses) == 0 || tx.Statement.Unscoped {
		return false
	}
	trial := tx.Session(&gorm.Session{NewDB: true, DryRun: true, SkipHooks: true, Logger: logger.Discard}).
		Where("1 = 0").Delete(reflect.New(s.ModelType).Interface())
	return !strings.HasPrefix(trial.Statement.SQL.String(), "DELETE")
}

// usersToDelete returns a statement that selects the rows that a delete statement would delete,
// and whether that has conditions at all. It mirrors GORM's own delete, and so passes
// none of the application's Query callbacks, which a delete does not pass either.
func usersToDelete(tx *gorm.DB, id string) (query *gorm.DB, conditions bool) {
	stmt := tx.Statement
	column := clause.Column{Name: id} // alone: a delete may name its table in ways that GORM cannot quote
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
		if stmt.ReflectValue.CanAddr() && stmt.Dest != stmt.Model && stmt.Model != nil {
			addIDs(reflect.ValueOf(stmt.Model))
		}
	}
	if _, ordered := query.Statement.Clauses["ORDER BY"]; !ordered { // so that two deletes do not wait for each other
		query.Statement.AddClause(clause.OrderBy{Columns: []clause.OrderByColumn{{Column: column}}})
	}
	query.Statement.AddClause(clause.Locking{Strength: "UPDATE"})
	return query, conditions
}

// lockUsersToDelete reads and locks the users that query selects.
func (b *binding) lockUsersToDelete(tx, query *gorm.DB) (ids []string, err error) {
	if err := b.checkIsolation(tx); err != nil {
		return nil, err
	}
	if err := b.lockWrites(engine.Fresh(tx)); err != nil {
		return nil, err
	}
	query.Statement.ConnPool = tx.Statement.ConnPool
	query.Statement.Build("SELECT", "FROM", "WHERE", "ORDER BY", "LIMIT", "FOR")
	if query.Error != nil {
		return nil, query.Error
	}
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

// deleteOwnedRows deletes the children of the users, and users beyond what the statement
// can name, and narrows the statement to the rest.
func (b *binding) deleteOwnedRows(tx *gorm.DB, g *guarded, ids []string) error {
	stmt := tx.Statement
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
			if result.RowsAffected != int64(len(part)) {
				return fmt.Errorf("gormkey: %d of %d users in %s were deleted, so nothing was: a trigger kept the others", result.RowsAffected, len(part), b.user.Table)
			}
			g.before += result.RowsAffected
			continue
		}
		delete(stmt.Clauses, "ORDER BY")
		delete(stmt.Clauses, "LIMIT")
		stmt.Clauses["WHERE"] = clause.Clause{Name: "WHERE", Expression: clause.Where{Exprs: []clause.Expression{b.among(clause.Column{Name: b.userID.DBName}, part)}}}
		g.users = part
		return nil
	}
}

// among is the condition that a column holds one of the ids.
func (b *binding) among(c clause.Column, ids []string) clause.Expression {
	return b.engine.Among(c, ids)
}

// checkIsolation refuses a transaction in which the delete would not see the keys and
// sessions that were committed while it waited for the user's lock. GORM's own, around one
// statement, is put at READ COMMITTED, if no hook has read in it.
func (b *binding) checkIsolation(tx *gorm.DB) error {
	if b.foreignKeys {
		return nil
	}
	level, err := b.engine.Snapshot(engine.Fresh(tx))
	if err != nil || level == "" {
		return err
	}
	_, started := tx.InstanceGet("gorm:started_transaction")
	if started && engine.Fresh(tx).Exec("SET TRANSACTION ISOLATION LEVEL READ COMMITTED").Error == nil {
		return nil
	}
	return &UsageError{"tx", "is at " + strings.ToUpper(level) + ", which does not show what other transactions committed meanwhile: to delete a user without foreign keys, begin it with sql.LevelReadCommitted, or call DeleteUser outside it"}
}

// checkGone looks for users that a delete left behind. The number of rows does not tell:
// with RETURNING it is that of the structs.
func (b *binding) checkGone(tx *gorm.DB, users []string) error {
	var left []string
	id := clause.Column{Name: b.userID.DBName}
	err := engine.Fresh(tx).Raw("SELECT ? FROM ? WHERE ?", id, clause.Table{Name: b.user.Table}, b.among(id, users)).Scan(&left).Error
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("gormkey: %d of %d users in %s were not deleted, so nothing was: a trigger or another Delete callback kept them", len(left), len(users), b.user.Table)
	}
	return err
}
