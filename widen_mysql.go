package gormkey

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// foreignKey is a constraint that MySQL and MariaDB want dropped while a column at one of
// its ends changes. Without a name it is the change of a column.
type foreignKey struct {
	Table string `gorm:"column:place_table"` // its own, quoted
	Name  string `gorm:"column:name"`
	Add   string `gorm:"column:statement"` // adds it again, as it was
}

// droppedTable keeps the changes of the columns, and the foreign keys that are dropped,
// until these are there again: these servers have no transactions for DDL, and no model may
// know of them.
const droppedTable = "gormkey_foreign_keys"

// widenMySQL completes a widening: foreign keys at the columns are dropped, the columns are
// changed, and the foreign keys are added again.
func (b *binding) widenMySQL(tx *gorm.DB, w *widening) error {
	tx = tx.Session(&gorm.Session{NewDB: true})
	for _, p := range w.columns {
		if b.vitess {
			break
		}
		found, err := b.foreignKeysAt(tx, p)
		if err != nil {
			return err
		}
		for _, k := range found {
			if !slices.Contains(w.dropped, k) {
				w.dropped = append(w.dropped, k)
			}
		}
	}
	byTable := map[string][]string{}
	var tables []string
	add := func(table, change string) {
		if byTable[table] == nil {
			tables = append(tables, table)
		}
		byTable[table] = append(byTable[table], change)
	}
	send := func() {
		for _, table := range tables {
			w.statements = append(w.statements, "ALTER TABLE "+table+" "+strings.Join(byTable[table], ", "))
			if !slices.Contains(w.lock, table) {
				w.lock = append(w.lock, table)
			}
		}
		clear(byTable)
		tables = nil
	}
	for _, k := range w.dropped {
		add(k.Table, "DROP FOREIGN KEY "+quoteName("mysql", k.Name))
	}
	send()
	for _, p := range w.columns {
		change, err := b.modifyMySQL(tx, p)
		if err != nil {
			return err
		}
		add(p.table(b.dialect), change)
		w.changed = append(w.changed, foreignKey{Table: p.table(b.dialect), Add: change})
	}
	send()
	for _, k := range w.dropped {
		add(k.Table, k.Add)
	}
	send()
	return nil
}

// foreignKeysAt returns the foreign keys that have a column at either end.
func (b *binding) foreignKeysAt(tx *gorm.DB, p place) (keys []foreignKey, err error) {
	var found []place
	if err := tx.Raw("SELECT DISTINCT IF(TABLE_SCHEMA = DATABASE(), '', TABLE_SCHEMA) AS place_schema, TABLE_NAME AS place_table, CONSTRAINT_NAME AS place_column "+
		"FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL AND "+
		"(TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND TABLE_NAME = ? AND COLUMN_NAME = ? OR "+
		"REFERENCED_TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND REFERENCED_TABLE_NAME = ? AND REFERENCED_COLUMN_NAME = ?) ORDER BY 1, 2, 3",
		p.Schema, p.Table, p.Column, p.Schema, p.Table, p.Column).Scan(&found).Error; err != nil {
		return nil, err
	}
	for _, at := range found {
		table := at.table(b.dialect)
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

func showCreate(tx *gorm.DB, table string) (string, error) {
	var created struct {
		SQL string `gorm:"column:Create Table"`
	}
	err := tx.Raw("SHOW CREATE TABLE " + table).Scan(&created).Error
	return created.SQL, err
}

var (
	// mysqlColumn finds a column's name, its type and what follows the type's width.
	mysqlColumn = regexp.MustCompile("(?m)^\\s+" + mysqlName + " (\\w+)(?:\\([\\d,]+\\))?(.*?),?$")
	// mysqlConstraint finds a foreign key and its name.
	mysqlConstraint = regexp.MustCompile("(?m)^\\s+(CONSTRAINT " + mysqlName + " FOREIGN KEY .*?),?$")
)

// modifyMySQL returns the change that makes a column wider and leaves what else is declared
// of it as it is.
func (b *binding) modifyMySQL(tx *gorm.DB, p place) (string, error) {
	created, err := showCreate(tx, p.table(b.dialect))
	if err != nil {
		return "", err
	}
	for _, m := range mysqlColumn.FindAllStringSubmatch(created, -1) {
		if unquoteMySQL(m[1]) != p.Column {
			continue
		}
		sqlType, wanted := m[2], p.target.wanted // a text stays what it is
		if !wanted.isText() {
			sqlType, _, _ = strings.Cut(plainType(p.target.sqlType), " ")
		} else if wanted.width > 0 {
			sqlType += fmt.Sprintf("(%d)", wanted.width)
		}
		return fmt.Sprintf("MODIFY %s %s%s", quoteName("mysql", p.Column), sqlType, m[3]), nil
	}
	return "", fmt.Errorf("gormkey: SHOW CREATE TABLE of %s does not show the column %s", p.Table, p.Column)
}

// withoutForeignKeys does the work while nobody writes into the tables, and remembers what
// it drops until it is there again.
func (b *binding) withoutForeignKeys(tx *gorm.DB, w widening, work func() error) error {
	if _, exporting := tx.Get(exportSetting); exporting {
		return work()
	}
	kept := clause.Table{Name: droppedTable}
	if err := tx.Exec("CREATE TABLE ? (id integer NOT NULL PRIMARY KEY, place_table varchar(255) NOT NULL, name varchar(64) NOT NULL, statement text NOT NULL) CHARACTER SET utf8mb4", kept).Error; err != nil {
		return err
	}
	for i, k := range slices.Concat(w.changed, w.dropped) {
		if err := tx.Exec("INSERT INTO ? (id, place_table, name, statement) VALUES (?, ?, ?, ?)", kept, i, k.Table, k.Name, k.Add).Error; err != nil {
			return err
		}
	}
	if err := tx.Exec("LOCK TABLES " + strings.Join(w.lock, " WRITE, ") + " WRITE").Error; err != nil {
		return err
	}
	err := work()
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
	return tx.Exec("DROP TABLE ?", kept).Error
}

// restoreForeignKeys completes a widening that was interrupted after it had dropped foreign
// keys: it changes the columns and adds the foreign keys again. It tells whether there was
// one.
func (b *binding) restoreForeignKeys(tx *gorm.DB) (restored bool, err error) {
	tx = tx.Session(&gorm.Session{NewDB: true})
	columns, err := readColumns(tx, droppedTable)
	if err != nil || len(columns) == 0 {
		return false, err
	}
	var all []foreignKey
	if err := tx.Raw("SELECT place_table, name, statement FROM ? ORDER BY id", clause.Table{Name: droppedTable}).Scan(&all).Error; err != nil {
		return false, err
	}
	var there, missing, changes []foreignKey
	for _, k := range all {
		if k.Name == "" {
			changes = append(changes, k)
			continue
		}
		created, err := showCreate(tx, k.Table)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(mysqlConstraint.FindAllStringSubmatch(created, -1), func(m []string) bool { return unquoteMySQL(m[2]) == k.Name }) {
			there = append(there, k)
		} else {
			missing = append(missing, k)
		}
	}
	var statements []string
	if len(missing) > 0 && len(changes) > 0 { // columns may differ in type, and change together
		for _, k := range there {
			statements = append(statements, "ALTER TABLE "+k.Table+" DROP FOREIGN KEY "+quoteName("mysql", k.Name))
		}
		missing = slices.Concat(changes, missing, there)
	}
	for _, k := range missing {
		statements = append(statements, "ALTER TABLE "+k.Table+" "+k.Add)
	}
	for _, statement := range statements {
		if err := tx.Exec(statement).Error; err != nil {
			return false, fmt.Errorf("gormkey: completing an interrupted migration of ids by %s: %w", statement, err)
		}
	}
	return true, tx.Exec("DROP TABLE ?", clause.Table{Name: droppedTable}).Error
}
