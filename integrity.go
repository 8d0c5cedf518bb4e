package gormkey

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// Where the database does not keep keys and sessions whole, these callbacks do, for the
// application's own GORM calls: without foreign keys, and on a SQLite connection that
// does not enforce them. The repository's operations are whole by themselves.

// statementLimit is how many ids one statement names: below every engine's number of
// parameters.
const statementLimit = 5000

// wholeSetting marks a statement of the repository, which needs no callback.
const wholeSetting = "gormkey:whole"

func whole(tx *gorm.DB) *gorm.DB { return tx.Set(wholeSetting, true) }

func (p *Plugin[U]) registerIntegrity(db *gorm.DB, b *binding) error {
	if b.foreignKeys && b.dialect != "sqlite" {
		return nil
	}
	name := p.Name()
	// Next to the statement itself: after the application's hooks, whose conditions count
	// too. After("gorm:delete") would run after the commit.
	return errors.Join(
		db.Callback().Create().Before("gorm:create").Register(name+":owners", func(tx *gorm.DB) { b.checkOwners(tx) }),
		db.Callback().Create().Before("gorm:save_after_associations").Register(name+":created", func(tx *gorm.DB) { b.finish(tx) }),
		db.Callback().Delete().Before("gorm:delete").Register(name+":cascade", func(tx *gorm.DB) { b.cascade(tx) }),
		db.Callback().Delete().Before("gorm:after_delete").Register(name+":deleted", func(tx *gorm.DB) { b.finish(tx) }),
	)
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
	if _, ok := tx.Statement.ConnPool.(gorm.TxCommitter); !ok {
		var options []*sql.TxOptions
		if b.dialect != "sqlite" {
			options = append(options, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		}
		own := tx.Begin(options...)
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
	if !b.foreignKeys {
		return true
	}
	var enforced bool // by this connection
	if err := fresh(tx).Raw("PRAGMA foreign_keys").Scan(&enforced).Error; err != nil {
		_ = tx.AddError(err)
	}
	return tx.Error == nil && !enforced
}

// fresh returns a handle for a statement of ours in the transaction of tx.
func fresh(tx *gorm.DB) *gorm.DB { return tx.Session(&gorm.Session{NewDB: true, SkipHooks: true}) }

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
		undo := fresh(tx)
		undo.Error = nil // with which GORM would send nothing
		if err := undo.RollbackTo(savepointName).Error; err != nil {
			_ = tx.AddError(err)
		}
	case g.savepoint:
		_ = tx.AddError(fresh(tx).Exec("RELEASE SAVEPOINT " + savepointName).Error)
	}
}

// checkGone looks for users that a delete left behind. The number of rows does not tell:
// with RETURNING it is that of the structs.
func (b *binding) checkGone(tx *gorm.DB, users []string) error {
	var left []string
	id := clause.Column{Name: b.userID.DBName}
	err := fresh(tx).Raw("SELECT ? FROM ? WHERE ?", id, clause.Table{Name: b.user.Table}, b.among(id, users)).Scan(&left).Error
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("gormkey: %d of %d users in %s were not deleted, so nothing was: a trigger or another Delete callback kept them", len(left), len(users), b.user.Table)
	}
	return err
}

// is reports whether a name that a statement has is the table's.
func (b *binding) is(name, table string) bool {
	if name == table || b.dialect == "sqlite" && strings.EqualFold(name, table) {
		return true
	}
	// The schema or database that unqualified names are in, written out.
	schemaName, bare, qualified := strings.Cut(name, ".")
	return qualified && !strings.Contains(table, ".") && schemaName == b.home && b.is(bare, table)
}

// checkOwners refuses keys and sessions of users who are not there, and holds those who
// are against a delete until the transaction ends. A soft-deleted user is there, as for
// a foreign key.
func (b *binding) checkOwners(tx *gorm.DB) {
	stmt := tx.Statement
	if tx.Error != nil || tx.DryRun || stmt.SQL.Len() > 0 {
		return
	}
	if table := targetTable(stmt); !b.is(table, b.key.Table) && !b.is(table, b.session.Table) {
		return
	}
	if _, ok := tx.Get(wholeSetting); ok {
		return
	}
	ids, missing := b.owners(stmt)
	if !b.begin(tx, &guarded{}) {
		return
	}
	if !missing {
		var err error
		if missing, err = b.lacks(fresh(tx), ids); err != nil {
			_ = tx.AddError(err)
		}
	}
	if missing && tx.Error == nil {
		_ = tx.AddError(fmt.Errorf("gormkey: %s.user_id names no user: %w", targetTable(stmt), gorm.ErrForeignKeyViolated))
	}
}

// owners returns the user ids that a statement would write, texts and SQL expressions,
// and whether a row has none.
func (b *binding) owners(stmt *gorm.Statement) (ids []any, missing bool) {
	seen := map[string]bool{}
	add := func(value any) {
		switch id := b.ownerValue(value).(type) {
		case nil:
			missing = true
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
	eachRow(stmt, func(row insertedRow) {
		rows++
		values := row.all("user_id")
		if len(values) == 0 {
			missing = true
		}
		for _, value := range values {
			add(value)
		}
	})
	if conflict, ok := stmt.Clauses["ON CONFLICT"].Expression.(clause.OnConflict); ok {
		for _, update := range conflict.DoUpdates {
			if _, proposed := update.Value.(clause.Column); update.Column.Name == "user_id" && !proposed {
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
		if b.dialect == "sqlite" {
			return nil // a blob, which equals no text
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

// lacks reports whether one of the ids, texts or expressions, is no user's, and share-locks
// the users that there are.
func (b *binding) lacks(tx *gorm.DB, ids []any) (bool, error) {
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
		err := tx.Raw("SELECT ? FROM ? WHERE ? "+condition+" ORDER BY ?"+b.shareLock(), id, table, id, value, id).Scan(&found).Error
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

// shareLock is the clause that holds read rows of the users against a delete.
func (b *binding) shareLock() string {
	switch b.dialect {
	case "mysql":
		return " LOCK IN SHARE MODE"
	case "postgres":
		return " FOR KEY SHARE"
	}
	return ""
}

// cascade deletes the sessions and keys of the users that a statement is about to
// delete. It locks those users first, and then lets the statement delete them by their
// ids: its own conditions may hold for others by then, or no longer for these.
func (b *binding) cascade(tx *gorm.DB) {
	stmt := tx.Statement
	if tx.Error != nil || tx.DryRun || stmt.SQL.Len() > 0 || !b.is(targetTable(stmt), b.user.Table) {
		return
	}
	if _, ok := tx.Get(wholeSetting); ok {
		return
	}
	if b.softDeletes(tx) {
		return // which keeps the row, so a foreign key would not act
	}
	query, conditions := doomed(tx, b.userID.DBName)
	if !conditions && !tx.AllowGlobalUpdate {
		return // GORM answers ErrMissingWhereClause
	}
	g := new(guarded)
	if !b.begin(tx, g) {
		return
	}
	if _, started := tx.InstanceGet("gorm:started_transaction"); g.pool == nil && !started {
		if err := fresh(tx).SavePoint(savepointName).Error; err != nil {
			_ = tx.AddError(err)
			return
		}
		g.savepoint = true
	}
	ids, err := b.lockDoomed(tx, query)
	if err == nil {
		err = b.deleteDoomed(tx, g, ids)
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

// doomed returns a statement that selects the rows that a delete statement would delete,
// and whether that has conditions at all. It mirrors GORM's own delete, and so passes
// none of the application's Query callbacks, which a delete does not pass either.
func doomed(tx *gorm.DB, id string) (query *gorm.DB, conditions bool) {
	stmt := tx.Statement
	column := clause.Column{Table: clause.CurrentTable, Name: id}
	query = fresh(tx).Clauses(clause.Select{Columns: []clause.Column{column}}, clause.From{})
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

// lockDoomed reads and locks the users that query selects.
func (b *binding) lockDoomed(tx, query *gorm.DB) (ids []string, err error) {
	if err := b.checkIsolation(tx); err != nil {
		return nil, err
	}
	if err := b.lockWrites(fresh(tx)); err != nil {
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

// deleteDoomed deletes the children of the users, and users beyond what the statement
// can name, and narrows the statement to the rest.
func (b *binding) deleteDoomed(tx *gorm.DB, g *guarded, ids []string) error {
	stmt := tx.Statement
	if _, returning := stmt.Clauses["RETURNING"]; returning && len(ids) > statementLimit {
		return fmt.Errorf("gormkey: %d users in one DELETE … RETURNING, over the %d of one statement; delete them in parts", len(ids), statementLimit)
	}
	for {
		part := ids[:min(len(ids), statementLimit)]
		ids = ids[len(part):]
		if len(part) > 0 {
			for _, child := range []*schema.Schema{b.session, b.key} {
				result := b.deleteAll(func(limit int) *gorm.DB {
					query, vars := "DELETE FROM ? WHERE ?", []any{clause.Table{Name: child.Table}, b.among(clause.Column{Name: "user_id"}, part)}
					if limit > 0 {
						query += fmt.Sprintf(" LIMIT %d", limit)
					}
					return fresh(tx).Exec(query, vars...)
				})
				if result.Error != nil {
					return result.Error
				}
			}
		}
		if len(ids) > 0 {
			result := fresh(tx).Exec("DELETE FROM ? WHERE ?", clause.Table{Name: b.user.Table}, b.among(clause.Column{Name: b.userID.DBName}, part))
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
		stmt.Clauses["WHERE"] = clause.Clause{Name: "WHERE", Expression: clause.Where{Exprs: []clause.Expression{b.among(clause.Column{Table: clause.CurrentTable, Name: b.userID.DBName}, part)}}}
		g.users = part
		return nil
	}
}

// among is the condition that a column holds one of the ids.
func (b *binding) among(c clause.Column, ids []string) clause.Expression {
	if len(ids) == 0 {
		return clause.Expr{SQL: "1 = 0"}
	}
	if !b.inexact {
		return clause.Expr{SQL: "? IN ?", Vars: []any{c, ids}}
	}
	same := make([]clause.Expression, len(ids))
	for i, id := range ids {
		same[i] = clause.Expr{SQL: "(? = ? AND CAST(CONVERT(? USING utf8mb4) AS BINARY) = CAST(CONVERT(? USING utf8mb4) AS BINARY))", Vars: []any{c, id, c, id}}
	}
	return clause.Or(same...)
}

// checkIsolation refuses a transaction of PostgreSQL in which the delete would not see
// the keys and sessions that were committed while it waited for the user's lock. GORM's
// own, around one statement, is put at READ COMMITTED, if no hook has read in it.
func (b *binding) checkIsolation(tx *gorm.DB) error {
	if b.foreignKeys || b.dialect != "postgres" {
		return nil
	}
	var level string
	if err := fresh(tx).Raw("SHOW transaction_isolation").Scan(&level).Error; err != nil {
		return err
	}
	if level == "read committed" || level == "read uncommitted" {
		return nil
	}
	_, started := tx.InstanceGet("gorm:started_transaction")
	if started && fresh(tx).Exec("SET TRANSACTION ISOLATION LEVEL READ COMMITTED").Error == nil {
		return nil
	}
	return &IsolationError{level}
}
