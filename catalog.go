package gormkey

import (
	"regexp"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// tableInfo is what the database holds of a table.
type tableInfo struct {
	exists      bool
	columns     map[string]columnInfo
	leading     map[string]bool // columns that an index begins with
	foreignKeys []string        // constraints by which user_id points at the users' table
}

type columnInfo struct {
	Type  string
	exact bool // compares byte by byte; true for what is no text
}

// readTable reads the catalog's entry of a table. It asks with the application's
// session, so it sees what the application sees.
func readTable(db *gorm.DB, table, users string) (tableInfo, error) {
	db = db.Session(&gorm.Session{NewDB: true})
	t := tableInfo{columns: map[string]columnInfo{}, leading: map[string]bool{}}
	var err error
	switch db.Name() {
	case "mysql":
		err = t.readMySQL(db, table, users)
	case "postgres":
		err = t.readPostgres(db, table, users)
	default:
		err = t.readSQLite(db, table, users)
	}
	t.exists = len(t.columns) > 0
	return t, err
}

// mysqlNoTable is ER_NO_SUCH_TABLE.
const mysqlNoTable = "1146"

// readMySQLColumns asks by SHOW, as the rest does, since Vitess answers that for the
// database that one is in, while its information_schema has other names.
func (t *tableInfo) readMySQLColumns(db *gorm.DB, table string) error {
	var columns []struct {
		Field, Type string
		Collation   *string
	}
	err := db.Session(&gorm.Session{Logger: logger.Discard}).Raw("SHOW FULL COLUMNS FROM ?", clause.Table{Name: table}).Scan(&columns).Error
	if databaseCode(err) == mysqlNoTable {
		return nil
	}
	for _, c := range columns {
		collation := ""
		if c.Collation != nil {
			collation = *c.Collation
		}
		t.columns[c.Field] = columnInfo{strings.TrimSpace(c.Type + " " + collation), exactColumn(c.Type, collation)}
	}
	return err
}

func (t *tableInfo) readMySQL(db *gorm.DB, table, users string) error {
	if err := t.readMySQLColumns(db, table); err != nil || len(t.columns) == 0 {
		return err
	}
	var indexes []struct {
		Seq    int    `gorm:"column:Seq_in_index"`
		Column string `gorm:"column:Column_name"`
	}
	if err := db.Raw("SHOW INDEX FROM ?", clause.Table{Name: table}).Scan(&indexes).Error; err != nil {
		return err
	}
	for _, i := range indexes {
		if i.Seq == 1 {
			t.leading[i.Column] = true
		}
	}
	var created struct {
		SQL string `gorm:"column:Create Table"`
	}
	if err := db.Raw("SHOW CREATE TABLE ?", clause.Table{Name: table}).Scan(&created).Error; err != nil {
		return err
	}
	for _, m := range mysqlForeignKey.FindAllStringSubmatch(created.SQL, -1) {
		// A database is written out only where it is another than the table's.
		if m[3] == bareTable(users) && (m[2] == "" || m[2] == strings.TrimSuffix(users, "."+m[3])) {
			t.foreignKeys = append(t.foreignKeys, m[1])
		}
	}
	return nil
}

// mysqlForeignKey finds the constraint's name, the other database if there is one, and
// the table.
var mysqlForeignKey = regexp.MustCompile("CONSTRAINT `([^`]+)` FOREIGN KEY \\(`user_id`\\) REFERENCES (?:`([^`]+)`\\.)?`([^`]+)`")

func (t *tableInfo) readPostgres(db *gorm.DB, table, users string) error {
	name, owner := db.Statement.Quote(table), db.Statement.Quote(users)
	var columns []struct {
		Name, Type string
		Exact      bool
	}
	// A nondeterministic collation and citext take different texts for equal, char(n)
	// those that differ in blanks at the end.
	err := db.Raw("SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, "+
		"COALESCE(c.collisdeterministic, TRUE) AND format_type(a.atttypid, NULL) NOT IN ('citext', 'character') AS exact "+
		"FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation "+
		"WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped", name).Scan(&columns).Error
	if err != nil {
		return err
	}
	for _, c := range columns {
		t.columns[c.Name] = columnInfo{c.Type, c.Exact}
	}
	var leading []string
	err = db.Raw("SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "+
		"WHERE i.indrelid = to_regclass(?) AND i.indisvalid AND i.indpred IS NULL", name).Scan(&leading).Error
	if err != nil {
		return err
	}
	for _, c := range leading {
		t.leading[c] = true
	}
	return db.Raw("SELECT c.conname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum] "+
		"WHERE c.contype = 'f' AND c.conrelid = to_regclass(?) AND c.confrelid = to_regclass(?) AND a.attname = 'user_id' ORDER BY 1", name, owner).Scan(&t.foreignKeys).Error
}

func (t *tableInfo) readSQLite(db *gorm.DB, table, users string) error {
	schemaName, bare := "main", bareTable(table)
	if bare != table {
		schemaName = strings.TrimSuffix(table, "."+bare)
	}
	var columns []struct{ Name, Type string }
	if err := db.Raw("SELECT name, type FROM pragma_table_info(?, ?)", bare, schemaName).Scan(&columns).Error; err != nil {
		return err
	}
	var ddl string
	if err := db.Raw("SELECT COALESCE(sql, '') FROM ?.sqlite_master WHERE type = 'table' AND name = ?", clause.Table{Name: schemaName}, bare).Scan(&ddl).Error; err != nil {
		return err
	}
	for _, c := range columns {
		collate := regexp.MustCompile("(?i)[(,]\\s*[`\"\\[]?" + regexp.QuoteMeta(c.Name) + "[`\"\\]]?\\s[^,]*\\bcollate\\s+[`\"]?(nocase|rtrim)").FindStringSubmatch(ddl)
		t.columns[c.Name] = columnInfo{strings.ToLower(c.Type), collate == nil}
	}
	var indexes []struct {
		Name, Coll string
		Seqno      int
		Partial    bool
	}
	err := db.Raw("SELECT x.name, x.coll, x.seqno, l.partial FROM pragma_index_list(?, ?) l, pragma_index_xinfo(l.name, ?) x WHERE x.key = 1", bare, schemaName, schemaName).Scan(&indexes).Error
	if err != nil {
		return err
	}
	for _, i := range indexes {
		if i.Seqno == 0 && !i.Partial {
			t.leading[i.Name] = true
		}
		if c, ok := t.columns[i.Name]; ok && i.Coll != "BINARY" {
			t.columns[i.Name] = columnInfo{c.Type + " collate " + strings.ToLower(i.Coll), false}
		}
	}
	var ids []string
	err = db.Raw(`SELECT id FROM pragma_foreign_key_list(?, ?) WHERE "from" = 'user_id' AND lower("table") = lower(?)`, bare, schemaName, bareTable(users)).Scan(&ids).Error
	t.foreignKeys = ids // SQLite does not keep their names here
	return err
}
