package engine

import (
	"regexp"
	"strconv"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// ParseType returns what a column of SQLite holds. The letters in the name of its type decide
// that, and a width means nothing.
func (sqlite) ParseType(sqlType string) Type {
	name, _, _ := readType(sqlType)
	contains := func(part string) bool { return strings.Contains(name, part) }
	switch {
	case contains("int"):
		return Type{Family: "integer"}
	case contains("char"), contains("clob"), contains("text"):
		return Type{Family: "text"}
	case name == "", contains("blob"): // such a column converts nothing
		return Type{}
	}
	return Type{Family: name}
}

// Compare: since widths are 0, no column is narrower or wider than another.
func (sqlite) Compare(found, wanted Type) Fit { return compare(found, wanted) }

// GORMType leaves out the arguments that GORM's migrator does not read. It takes the size as
// it is written.
func (sqlite) GORMType(sqlType string) ColumnType {
	w := writeType(sqlType)
	if strings.Contains(w.name, " ") || strings.Contains(w.arguments, ",") {
		w.arguments = ""
	}
	size, _ := strconv.Atoi(w.arguments)
	return w.column(size)
}

func (sqlite) TextType(int, bool) string { return "text" }

// IDType has no size. The modernc driver reports one for a table with rows, so that GORM's
// migrator would rebuild the table each time.
func (sqlite) IDType(int) ColumnType { return ColumnType{schema.String, 0} }

// LooseTypes: a type only says into what a value is converted, if it can be.
func (sqlite) LooseTypes() bool { return true }

// WantsExactIDs: columns compare bytes unless they are declared with another collation. Audit
// reports that.
func (sqlite) WantsExactIDs() bool { return false }

func (sqlite) CheckIDType(string) error { return nil }
func (sqlite) ExactType(Column) string  { return "" }

// HoldsMillis: every integer has up to 64 bits, and the letters "int" make a column one.
func (sqlite) HoldsMillis(sqlType string) bool { return strings.Contains(sqlType, "int") }

// Columns takes every column for exact, since only the table's DDL tells; see Table.
func (s sqlite) Columns(db *gorm.DB, table string) (map[string]Column, error) {
	schemaName, bare := sqliteSchema(table)
	var found []struct {
		Name string `gorm:"column:name"`
		Type string `gorm:"column:type"`
	}
	err := Fresh(db).Raw("SELECT name AS name, type AS type FROM pragma_table_info(?, ?)", bare, schemaName).Scan(&found).Error
	columns := map[string]Column{}
	for _, c := range found {
		columns[c.Name] = Column{strings.ToLower(c.Type), true, s.ParseType(c.Type)}
	}
	return columns, err
}

// sqliteSchema returns the database in which a table is, and its name there.
func sqliteSchema(table string) (schemaName, bare string) {
	if bare = BareTable(table); bare != table {
		return strings.TrimSuffix(table, "."+bare), bare
	}
	return "main", bare
}

// Table reads collations in two places, the DDL and the indexes. A primary key has an index too.
func (s sqlite) Table(db *gorm.DB, table, owner, users string) (t Table, err error) {
	if t.Columns, err = s.Columns(db, table); err != nil || len(t.Columns) == 0 {
		return t, err
	}
	t.Exists = true
	db = Fresh(db)
	schemaName, bare := sqliteSchema(table)
	var ddl string
	if err := db.Raw("SELECT COALESCE(sql, '') FROM ?.sqlite_master WHERE type = 'table' AND name = ?", clause.Table{Name: schemaName}, bare).Scan(&ddl).Error; err != nil {
		return t, err
	}
	for name, c := range t.Columns {
		c.Exact = !sqliteCollates(ddl, name)
		t.Columns[name] = c
	}
	if err := t.readSQLiteIndexes(db, bare, schemaName); err != nil {
		return t, err
	}
	// SQLite keeps no names of foreign keys here.
	err = db.Raw(`SELECT id FROM pragma_foreign_key_list(?, ?) WHERE lower("from") = lower(?) AND lower("table") = lower(?)`, bare, schemaName, owner, BareTable(users)).Scan(&t.ForeignKeys).Error
	return t, err
}

// sqliteCollates reports whether a table's DDL gives a column a collation that takes
// different texts for equal.
func sqliteCollates(ddl, column string) bool {
	return regexp.MustCompile("(?i)[(,]\\s*[`\"\\[]?" + regexp.QuoteMeta(column) + "[`\"\\]]?\\s[^,]*\\bcollate\\s+[`\"]?(nocase|rtrim)").MatchString(ddl)
}

// readSQLiteIndexes notes which columns an index begins with. An index may compare a column
// by another collation than the column's.
func (t *Table) readSQLiteIndexes(db *gorm.DB, table, schemaName string) error {
	var indexes []struct {
		Name    string `gorm:"column:name"`
		Coll    string `gorm:"column:coll"`
		Seqno   int    `gorm:"column:seqno"`
		Partial bool   `gorm:"column:partial"`
	}
	err := db.Raw("SELECT x.name AS name, x.coll AS coll, x.seqno AS seqno, l.partial AS partial FROM pragma_index_list(?, ?) l, pragma_index_xinfo(l.name, ?) x WHERE x.key = 1", table, schemaName, schemaName).Scan(&indexes).Error
	if err != nil {
		return err
	}
	t.Leading = map[string]bool{}
	for _, i := range indexes {
		if i.Seqno == 0 && !i.Partial {
			t.Leading[i.Name] = true
		}
		if c, ok := t.Columns[i.Name]; ok && i.Coll != "BINARY" {
			t.Columns[i.Name] = Column{c.SQLType + " collate " + strings.ToLower(i.Coll), false, c.Type}
		}
	}
	return nil
}

// sqliteName matches the names that GORM's migrators find again in a table's DDL: they read
// it by expressions that know these characters and no others.
var sqliteName = regexp.MustCompile(`^\w([\w-]*\w)?$`)

func (sqlite) TableFault(name string) string {
	if sqliteName.MatchString(name) {
		return ""
	}
	return `GORM's migrator for SQLite reads back a table of letters a–z and A–Z, digits, "_" and "-" alone, without a schema, and without "-" at an end`
}

// NameFault: SQLite takes any name.
func (sqlite) NameFault(name string) string { return encodingFault(name) }

// ChangeType: there is no such statement, and the table has to be made again.
func (sqlite) ChangeType(string, string, string, bool) string { return "" }

// ExactAction: a collation cannot be altered.
func (sqlite) ExactAction(string, string, string) string {
	return "make the table again without COLLATE on it"
}

// AlterColumn: GORM's migrator makes the table again; see Register.
func (sqlite) AlterColumn(*gorm.DB, string, *schema.Field) string { return "" }

// Widening: no column is too narrow.
func (sqlite) Widening(*gorm.DB, []Change) (Widening, error) { return Widening{}, nil }
func (sqlite) Widen(*gorm.DB, Widening) error                { return nil }
func (sqlite) FinishWidening(*gorm.DB) (bool, error)         { return false, nil }
