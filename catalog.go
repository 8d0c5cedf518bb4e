package gormkey

import (
	"regexp"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey/internal/engine"
)

// tableInfo is what the database holds of a table.
type tableInfo struct {
	exists      bool
	columns     map[string]columnInfo
	leading     map[string]bool // columns that an index begins with
	foreignKeys []string        // constraints by which user_id points at the users' table
}

type columnInfo struct {
	Type  string // with its collation, where it matters
	exact bool   // compares byte by byte; true for what is no text
	id    idType
}

// readColumns reads a table's columns alone.
func readColumns(db *gorm.DB, table string) (map[string]columnInfo, error) {
	db = db.Session(&gorm.Session{NewDB: true})
	t := tableInfo{columns: map[string]columnInfo{}}
	var err error
	switch db.Name() {
	case "mysql":
		err = t.readMySQLColumns(db, table)
	case "postgres":
		err = t.readPostgresColumns(db, table)
	default:
		err = t.readSQLiteColumns(db, table)
	}
	return t.columns, err
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
		Name      string  `gorm:"column:Field"`
		Type      string  `gorm:"column:Type"`
		Collation *string `gorm:"column:Collation"`
	}
	err := db.Session(&gorm.Session{Logger: logger.Discard}).Raw("SHOW FULL COLUMNS FROM ?", clause.Table{Name: table}).Scan(&columns).Error
	if engine.Code(err) == mysqlNoTable {
		return nil
	}
	for _, c := range columns {
		collation := ""
		if c.Collation != nil {
			collation = *c.Collation
		}
		id := parseIDType("mysql", c.Type)
		t.columns[c.Name] = columnInfo{strings.TrimSpace(c.Type + " " + collation), !id.isText() || exactColumn(c.Type, collation), id}
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
		// A database is written out only where it is another than the table's. Where table
		// names do not mind their letter case, the server may have lowered it.
		database, table := unquoteMySQL(m[2]), unquoteMySQL(m[3])
		if strings.EqualFold(table, bareTable(users)) && (database == "" || strings.EqualFold(database+"."+table, users)) {
			t.foreignKeys = append(t.foreignKeys, unquoteMySQL(m[1]))
		}
	}
	return nil
}

// mysqlName is a name as SHOW CREATE TABLE writes it, which depends on the session's
// sql_mode and sql_quote_show_create. MariaDB leaves the quotes of a table that a foreign
// key refers to out also where they are needed.
const mysqlName = "(`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[^\\s`\".(]+)"

// mysqlForeignKey finds the constraint's name, the other database if there is one, and
// the table.
var mysqlForeignKey = regexp.MustCompile("CONSTRAINT " + mysqlName + " FOREIGN KEY \\([`\"]?user_id[`\"]?\\) REFERENCES (?:" + mysqlName + "\\.)?" + mysqlName)

// unquoteMySQL takes the quotes off a name.
func unquoteMySQL(name string) string {
	if name == "" || name[0] != '`' && name[0] != '"' {
		return name
	}
	quote := name[:1]
	return strings.ReplaceAll(name[1:len(name)-1], quote+quote, quote)
}

func (t *tableInfo) readPostgresColumns(db *gorm.DB, table string) error {
	var columns []struct {
		Name  string `gorm:"column:name"`
		Type  string `gorm:"column:type"`
		Exact bool   `gorm:"column:exact"`
	}
	// A nondeterministic collation and citext take different texts for equal, char(n)
	// those that differ in blanks at the end. Types go by their own names, since
	// format_type writes a schema before those outside the search path.
	err := db.Raw("SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, "+
		"COALESCE(c.collisdeterministic, TRUE) AND COALESCE(b.typname, t.typname) NOT IN ('citext', 'bpchar') AS exact "+
		"FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype "+
		"LEFT JOIN pg_collation c ON c.oid = a.attcollation "+
		"WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped", db.Statement.Quote(table)).Scan(&columns).Error
	for _, c := range columns {
		t.columns[c.Name] = columnInfo{c.Type, c.Exact, parseIDType("postgres", c.Type)}
	}
	return err
}

func (t *tableInfo) readPostgres(db *gorm.DB, table, users string) error {
	if err := t.readPostgresColumns(db, table); err != nil || len(t.columns) == 0 {
		return err
	}
	name, owner := db.Statement.Quote(table), db.Statement.Quote(users)
	var leading []string
	err := db.Raw("SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "+
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

func (t *tableInfo) readSQLiteColumns(db *gorm.DB, table string) error {
	schemaName, bare := sqliteSchema(table)
	var columns []struct {
		Name string `gorm:"column:name"`
		Type string `gorm:"column:type"`
	}
	err := db.Raw("SELECT name AS name, type AS type FROM pragma_table_info(?, ?)", bare, schemaName).Scan(&columns).Error
	for _, c := range columns {
		t.columns[c.Name] = columnInfo{strings.ToLower(c.Type), true, parseIDType("sqlite", c.Type)}
	}
	return err
}

// sqliteSchema returns the database in which a table is, and its name there.
func sqliteSchema(table string) (schemaName, bare string) {
	if bare = bareTable(table); bare != table {
		return strings.TrimSuffix(table, "."+bare), bare
	}
	return "main", bare
}

func (t *tableInfo) readSQLite(db *gorm.DB, table, users string) error {
	if err := t.readSQLiteColumns(db, table); err != nil || len(t.columns) == 0 {
		return err
	}
	schemaName, bare := sqliteSchema(table)
	var ddl string
	if err := db.Raw("SELECT COALESCE(sql, '') FROM ?.sqlite_master WHERE type = 'table' AND name = ?", clause.Table{Name: schemaName}, bare).Scan(&ddl).Error; err != nil {
		return err
	}
	for name, c := range t.columns {
		collate := regexp.MustCompile("(?i)[(,]\\s*[`\"\\[]?" + regexp.QuoteMeta(name) + "[`\"\\]]?\\s[^,]*\\bcollate\\s+[`\"]?(nocase|rtrim)").FindStringSubmatch(ddl)
		c.exact = collate == nil
		t.columns[name] = c
	}
	var indexes []struct {
		Name    string `gorm:"column:name"`
		Coll    string `gorm:"column:coll"`
		Seqno   int    `gorm:"column:seqno"`
		Partial bool   `gorm:"column:partial"`
	}
	err := db.Raw("SELECT x.name AS name, x.coll AS coll, x.seqno AS seqno, l.partial AS partial FROM pragma_index_list(?, ?) l, pragma_index_xinfo(l.name, ?) x WHERE x.key = 1", bare, schemaName, schemaName).Scan(&indexes).Error
	if err != nil {
		return err
	}
	for _, i := range indexes {
		if i.Seqno == 0 && !i.Partial {
			t.leading[i.Name] = true
		}
		if c, ok := t.columns[i.Name]; ok && i.Coll != "BINARY" {
			t.columns[i.Name] = columnInfo{c.Type + " collate " + strings.ToLower(i.Coll), false, c.id}
		}
	}
	var ids []string
	err = db.Raw(`SELECT id FROM pragma_foreign_key_list(?, ?) WHERE "from" = 'user_id' AND lower("table") = lower(?)`, bare, schemaName, bareTable(users)).Scan(&ids).Error
	t.foreignKeys = ids // SQLite does not keep their names here
	return err
}
