package engine

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// droppedTable keeps the changes of the columns, and the foreign keys that are dropped,
// until the foreign keys are there again: these servers have no transactions for DDL, and no
// model may know of them.
const droppedTable = "gormkey_foreign_keys"

// Widening drops the foreign keys at the columns, changes the columns, and adds the foreign keys
// again. MySQL and MariaDB change no column at either end of a foreign key if its type would then
// differ from the other's: MariaDB answers with error 1833.
func (m mysql) Widening(tx *gorm.DB, changes []Change) (w Widening, err error) {
	tx = Fresh(tx)
	columns, err := withReferring(m, changes, func(at place) (found []place, err error) {
		err = tx.Raw(mysqlReferring, at.Schema, at.Table, at.Column).Scan(&found).Error
		return found, err
	})
	if err != nil {
		return w, err
	}
	// A foreign key is found at both of its ends if both of its columns change.
	for _, c := range columns {
		found, err := foreignKeysAt(tx, c)
		if err != nil {
			return w, err
		}
		for _, k := range found {
			if !slices.Contains(w.dropped, k) {
				w.dropped = append(w.dropped, k)
			}
		}
	}
	err = w.planMySQL(tx, columns)
	return w, err
}

// mysqlReferring finds the columns that refer to a column by foreign keys. The name of a database
// is left out where it is the current one.
const mysqlReferring = "SELECT IF(k.TABLE_SCHEMA = DATABASE(), '', k.TABLE_SCHEMA) AS place_schema, k.TABLE_NAME AS place_table, k.COLUMN_NAME AS place_column, " +
	"c.COLUMN_TYPE AS place_type FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.COLUMNS c " +
	"ON c.TABLE_SCHEMA = k.TABLE_SCHEMA AND c.TABLE_NAME = k.TABLE_NAME AND c.COLUMN_NAME = k.COLUMN_NAME " +
	"WHERE k.REFERENCED_TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND k.REFERENCED_TABLE_NAME = ? AND k.REFERENCED_COLUMN_NAME = ? ORDER BY 1, 2, 3"

// tableChanges collects the changes of each table into one statement: every
// statement may copy the table.
type tableChanges struct {
	tables  []string
	changes map[string][]string
}

// add keeps the tables in the order in which they first came, so that a plan is the same each
// time.
func (t *tableChanges) add(table, change string) {
	if t.changes == nil {
		t.changes = map[string][]string{}
	}
	if t.changes[table] == nil {
		t.tables = append(t.tables, table)
	}
	t.changes[table] = append(t.changes[table], change)
}

// planMySQL writes the statements of a widening whose foreign keys are known. Each statement
// commits by itself, so that all foreign keys have to be gone before the first column changes,
// and come back after the last.
func (w *Widening) planMySQL(tx *gorm.DB, columns []place) error {
	var drop, modify, add tableChanges
	for _, k := range w.dropped {
		drop.add(k.Table, "DROP FOREIGN KEY "+quoteName("`", k.Name))
		add.add(k.Table, k.Add)
	}
	for _, c := range columns {
		change, err := modifyMySQL(tx, c)
		if err != nil {
			return err
		}
		table := c.table("`")
		modify.add(table, change)
		w.changed = append(w.changed, foreignKey{Table: table, Add: change})
		w.covered = append(w.covered, mysqlAlter(table, quoteName("`", c.Column)))
	}
	for _, step := range []tableChanges{drop, modify, add} {
		for _, table := range step.tables {
			w.Statements = append(w.Statements, "ALTER TABLE "+table+" "+strings.Join(step.changes[table], ", "))
			if !slices.Contains(w.lock, table) {
				w.lock = append(w.lock, table)
			}
		}
	}
	return nil
}

// foreignKeysAt returns the foreign keys that have a column at either end, as the table's own
// statement declares them: with their names, their actions, and all of their columns.
func foreignKeysAt(tx *gorm.DB, c place) (keys []foreignKey, err error) {
	var found []place // of constraints
	if err := tx.Raw("SELECT DISTINCT IF(TABLE_SCHEMA = DATABASE(), '', TABLE_SCHEMA) AS place_schema, TABLE_NAME AS place_table, CONSTRAINT_NAME AS place_column "+
		"FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL AND "+
		"(TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND TABLE_NAME = ? AND COLUMN_NAME = ? OR "+
		"REFERENCED_TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND REFERENCED_TABLE_NAME = ? AND REFERENCED_COLUMN_NAME = ?) ORDER BY 1, 2, 3",
		c.Schema, c.Table, c.Column, c.Schema, c.Table, c.Column).Scan(&found).Error; err != nil {
		return nil, err
	}
	for _, at := range found {
		table := at.table("`")
		created, err := showCreate(tx, table)
		if err != nil {
			return nil, err
		}
		for _, m := range mysqlConstraint.FindAllStringSubmatch(created, -1) {
			if unquoteMySQL(m[2]) == at.Column {
				keys = append(keys, foreignKey{table, at.Column, "ADD " + m[1]})
			}
		}
	}
	return keys, nil
}

// modifyMySQL returns the change that makes a column wider and keeps the rest of its
// declaration. A text stays one, and bytes stay bytes.
func modifyMySQL(tx *gorm.DB, c place) (string, error) {
	created, err := showCreate(tx, c.table("`"))
	if err != nil {
		return "", err
	}
	for _, m := range mysqlColumn.FindAllStringSubmatch(created, -1) {
		if unquoteMySQL(m[1]) != c.Column {
			continue
		}
		sqlType, wanted := m[2], c.wanted.Type
		if !wanted.IsText() {
			sqlType, _, _ = strings.Cut(plainType(c.wanted.SQLType), " ")
		} else if wanted.Width > 0 {
			sqlType += fmt.Sprintf("(%d)", wanted.Width)
		}
		return fmt.Sprintf("MODIFY %s %s%s", quoteName("`", c.Column), sqlType, m[3]), nil
	}
	return "", fmt.Errorf("gormkey: SHOW CREATE TABLE of %s does not show the column %s", c.Table, c.Column)
}

// Widen locks the tables for writing by others while they have no foreign keys: a session of a
// user who is being deleted would otherwise get in. It writes down what it drops before it does
// so, and deletes its notes at the end. If a statement fails, the locks are given back and the
// notes stay for FinishWidening.
func (mysql) Widen(tx *gorm.DB, w Widening) error {
	if len(w.dropped) == 0 || Exporting(tx) {
		return w.send(tx)
	}
	if err := w.remember(tx); err != nil {
		return err
	}
	if err := tx.Exec("LOCK TABLES " + strings.Join(w.lock, " WRITE, ") + " WRITE").Error; err != nil {
		return err
	}
	err := w.send(tx)
	// The locks belong to the connection, which goes back to the pool. So they are given back
	// even if the context has ended. If that fails, the connection is thrown away, and the server
	// frees them.
	background := tx.WithContext(context.WithoutCancel(tx.Statement.Context))
	if unlock := background.Exec("UNLOCK TABLES").Error; unlock != nil {
		if conn, ok := tx.Statement.ConnPool.(*sql.Conn); ok {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // so that it is not used again
		}
		err = cmp.Or(err, unlock)
	}
	if err != nil {
		return err
	}
	return tx.Exec("DROP TABLE ?", clause.Table{Name: droppedTable}).Error
}

// remember writes down what has to be done again if the process ends in between: first the
// columns, then the foreign keys. The table has a primary key because a server may demand one
// (error 3750, sql_require_primary_key).
func (w Widening) remember(tx *gorm.DB) error {
	kept := clause.Table{Name: droppedTable}
	if err := tx.Exec("CREATE TABLE ? (id integer NOT NULL PRIMARY KEY, place_table varchar(255) NOT NULL, name varchar(64) NOT NULL, statement text NOT NULL) CHARACTER SET utf8mb4", kept).Error; err != nil {
		return err
	}
	for i, k := range slices.Concat(w.changed, w.dropped) {
		if err := tx.Exec("INSERT INTO ? (id, place_table, name, statement) VALUES (?, ?, ?, ?)", kept, i, k.Table, k.Name, k.Add).Error; err != nil {
			return err
		}
	}
	return nil
}

// FinishWidening changes the columns and adds the foreign keys again, if a process ended after it
// had dropped them. The table with the notes is dropped last, so this may be interrupted as well.
func (m mysql) FinishWidening(tx *gorm.DB) (finished bool, err error) {
	tx = Fresh(tx)
	// Most of the time there is no such table, which Columns does not take for an error.
	columns, err := m.Columns(tx, droppedTable)
	if err != nil || len(columns) == 0 {
		return false, err
	}
	var kept []foreignKey
	if err := tx.Raw("SELECT place_table, name, statement FROM ? ORDER BY id", clause.Table{Name: droppedTable}).Scan(&kept).Error; err != nil {
		return false, err
	}
	statements, err := unfinished(tx, kept)
	if err != nil {
		return false, err
	}
	for _, statement := range statements {
		if err := tx.Exec(statement).Error; err != nil {
			return false, fmt.Errorf("gormkey: completing an interrupted migration of ids by %s: %w", statement, err)
		}
	}
	return true, tx.Exec("DROP TABLE ?", clause.Table{Name: droppedTable}).Error
}

// unfinished returns the statements that complete a widening. If a foreign key is missing, then
// the columns at its ends may differ in type and have to change together. For that the other
// foreign keys are dropped too, and all are added at the end.
func unfinished(tx *gorm.DB, kept []foreignKey) (statements []string, err error) {
	var there, missing, changes []foreignKey
	for _, k := range kept {
		if k.Name == "" {
			changes = append(changes, k)
			continue
		}
		// Only the table itself tells how far the other process came.
		created, err := showCreate(tx, k.Table)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(mysqlConstraint.FindAllStringSubmatch(created, -1), func(m []string) bool { return unquoteMySQL(m[2]) == k.Name }) {
			there = append(there, k)
		} else {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 && len(changes) > 0 {
		for _, k := range there {
			statements = append(statements, "ALTER TABLE "+k.Table+" DROP FOREIGN KEY "+quoteName("`", k.Name))
		}
		missing = slices.Concat(changes, missing, there)
	}
	for _, k := range missing {
		statements = append(statements, "ALTER TABLE "+k.Table+" "+k.Add)
	}
	return statements, nil
}
