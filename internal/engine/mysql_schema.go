package engine

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// ParseType: a char(n) is read back without the blanks that fill it up.
func (mysql) ParseType(sqlType string) Type {
	t := serverType(sqlType)
	t.Padded = t.Padded && t.Family != "text"
	return t
}

// Compare takes texts and bytes for one, since exactColumn tells them apart.
func (mysql) Compare(found, wanted Type) Fit {
	for _, t := range []*Type{&found, &wanted} {
		if t.Family == "bytes" && !t.Padded {
			t.Family = "text"
		}
	}
	return compare(found, wanted)
}

// GORMType: the catalog has other names for some types than the standard.
func (m mysql) GORMType(sqlType string) ColumnType {
	return writeType(sqlType).serverColumn(m.ParseType(sqlType), mysqlNames)
}

// mysqlNames are the names that SHOW COLUMNS writes.
var mysqlNames = map[string]string{
	"character varying": "varchar", "character": "char", "dec": "decimal", "fixed": "decimal", "numeric": "decimal",
	"int2": "smallint", "int4": "integer", "int8": "bigint",
}

// TextType makes every id VARBINARY, the one type that compares bytes on each version of
// MySQL and MariaDB.
func (m mysql) TextType(size int, isID bool) string {
	if isID && !m.inexact {
		return fmt.Sprintf("varbinary(%d)", size)
	}
	return fmt.Sprintf("varchar(%d)", size)
}

// IDType names VARBINARY, for which GORM has no word of its own.
func (m mysql) IDType(size int) ColumnType {
	if m.inexact {
		return ColumnType{schema.String, size}
	}
	return ColumnType{schema.DataType(m.TextType(size, true)), size}
}

// WantsExactIDs: the default collations of these servers ignore case and accents. With
// WithInsecureInexactIDs the statements compare bytes too, and columns stay as they are.
func (m mysql) WantsExactIDs() bool { return !m.inexact }

// CheckIDType refuses every type with a collation, since one that compares bytes on a server
// may not do so on another. A counter would be written on every column that refers to the id.
func (m mysql) CheckIDType(sqlType string) error {
	if strings.Contains(strings.ToLower(sqlType), "auto_increment") {
		return fmt.Errorf("WithUserIDType: %q has a counter, which the columns that refer to the id cannot have: give the type alone", sqlType)
	}
	if !m.inexact && collatedType.MatchString(sqlType) {
		return fmt.Errorf("WithUserIDType: %q compares inexactly on MySQL and MariaDB; use varbinary(n), or leave it out", sqlType)
	}
	return nil
}

// collatedType matches types that compare by a collation.
var collatedType = regexp.MustCompile(`(?i)char|text|enum|set`)

// ExactType: a char(36) becomes a varbinary(36), whatever the options say, since a shorter one
// would cut it. MariaDB turns the bytes of a binary(16) into a uuid; MySQL has no such type.
func (m mysql) ExactType(found Column) string {
	switch t := found.Type; {
	case t.Family == "text" && !found.Exact && t.Width >= 8 && t.Width <= 255 && !m.inexact:
		return m.TextType(t.Width, true)
	case t.Family == "bytes" && t.Padded && t.Width == 16:
		return "uuid"
	}
	return ""
}

// exactColumn reports whether a column compares bytes without padding. Measured on 24 pairs
// of ids and six invalid tails: of the texts only these collations do, and ascii_bin does not
// on MySQL.
func exactColumn(sqlType, collation string) bool {
	return strings.HasPrefix(strings.ToLower(sqlType), "varbinary") ||
		strings.HasSuffix(collation, "_nopad_bin") && !strings.HasPrefix(collation, "ascii") || collation == "utf8mb4_0900_bin"
}

// mysqlNoTable is ER_NO_SUCH_TABLE.
const mysqlNoTable = "1146"

// Columns asks by SHOW, as the rest does, since Vitess answers that for the database that
// one is in, while its information_schema has other names.
func (m mysql) Columns(db *gorm.DB, table string) (map[string]Column, error) {
	var found []struct {
		Name      string  `gorm:"column:Field"`
		Type      string  `gorm:"column:Type"`
		Collation *string `gorm:"column:Collation"`
	}
	quiet := Fresh(db).Session(&gorm.Session{Logger: logger.Discard})
	err := quiet.Raw("SHOW FULL COLUMNS FROM ?", clause.Table{Name: table}).Scan(&found).Error
	columns := map[string]Column{}
	if Code(err) == mysqlNoTable {
		return columns, nil
	}
	for _, c := range found {
		collation := ""
		if c.Collation != nil {
			collation = *c.Collation
		}
		t := m.ParseType(c.Type)
		columns[c.Name] = Column{strings.TrimSpace(c.Type + " " + collation), !t.IsText() || exactColumn(c.Type, collation), t}
	}
	return columns, err
}

// Table reads foreign keys out of the statement that makes the table, which every one of these
// servers shows.
func (m mysql) Table(db *gorm.DB, table, owner, users string) (t Table, err error) {
	if t.Columns, err = m.Columns(db, table); err != nil || len(t.Columns) == 0 {
		return t, err
	}
	t.Exists = true
	var indexes []struct {
		Seq    int    `gorm:"column:Seq_in_index"`
		Column string `gorm:"column:Column_name"`
	}
	if err := Fresh(db).Raw("SHOW INDEX FROM ?", clause.Table{Name: table}).Scan(&indexes).Error; err != nil {
		return t, err
	}
	t.Leading = map[string]bool{}
	for _, i := range indexes {
		if i.Seq == 1 {
			t.Leading[i.Column] = true
		}
	}
	created, err := showCreate(db, db.Statement.Quote(table))
	if err != nil {
		return t, err
	}
	t.ForeignKeys = mysqlOwnerKeys(created, owner, users)
	return t, nil
}

// mysqlOwnerKeys returns the constraints by which the owner refers to the table of users.
func mysqlOwnerKeys(created, owner, users string) (names []string) {
	for _, m := range mysqlForeignKey.FindAllStringSubmatch(created, -1) {
		// A database is written out only where it is another than the table's. Where table
		// names do not mind their letter case, the server may have lowered it.
		column, database, table := unquoteMySQL(m[2]), unquoteMySQL(m[3]), unquoteMySQL(m[4])
		if column == owner && strings.EqualFold(table, BareTable(users)) && (database == "" || strings.EqualFold(database+"."+table, users)) {
			names = append(names, unquoteMySQL(m[1]))
		}
	}
	return names
}

// showCreate returns the statement that makes a table, whose name is quoted.
func showCreate(tx *gorm.DB, table string) (string, error) {
	var created struct {
		SQL string `gorm:"column:Create Table"`
	}
	err := Fresh(tx).Raw("SHOW CREATE TABLE " + table).Scan(&created).Error
	return created.SQL, err
}

// mysqlName is a name as SHOW CREATE TABLE writes it, which depends on the session's
// sql_mode and sql_quote_show_create. MariaDB leaves out the quotes of a table that a foreign
// key refers to, also where they are needed.
const mysqlName = "(`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[^\\s`\".(]+)"

var (
	// mysqlForeignKey finds the constraint's name, its column, the other database if there is
	// one, and the table.
	mysqlForeignKey = regexp.MustCompile("CONSTRAINT " + mysqlName + " FOREIGN KEY \\(" + mysqlName + "\\) REFERENCES (?:" + mysqlName + "\\.)?" + mysqlName)
	// mysqlColumn finds a column's name, its type and what follows the type's width.
	mysqlColumn = regexp.MustCompile("(?m)^\\s+" + mysqlName + " (\\w+)(?:\\([\\d,]+\\))?(.*?),?$")
	// mysqlConstraint finds a foreign key and its name.
	mysqlConstraint = regexp.MustCompile("(?m)^\\s+(CONSTRAINT " + mysqlName + " FOREIGN KEY .*?),?$")
)

// unquoteMySQL takes the quotes off a name.
func unquoteMySQL(name string) string {
	if name == "" || name[0] != '`' && name[0] != '"' {
		return name
	}
	quote := name[:1]
	return strings.ReplaceAll(name[1:len(name)-1], quote+quote, quote)
}

// NameFault: names are stored in utf8mb3, which ends at U+FFFF.
func (mysql) NameFault(name string) string {
	if n := utf8.RuneCountInString(name); n > 64 {
		return fmt.Sprintf("has %d characters, and MySQL takes 64", n)
	}
	if fault := encodingFault(name); fault != "" {
		return fault
	}
	if strings.ContainsFunc(name, func(c rune) bool { return c > 0xffff }) {
		return "has a character beyond U+FFFF, which MySQL does not take in a name"
	}
	return ""
}

// ChangeType says again whether the column may be NULL, since MODIFY forgets it.
func (mysql) ChangeType(table, column, sqlType string, nullable bool) string {
	statement := fmt.Sprintf("ALTER TABLE %s MODIFY %s %s", quoteTable("`", table), quoteName("`", column), sqlType)
	if !nullable {
		statement += " NOT NULL"
	}
	return statement
}

// ExactAction is the statement of an InexactIDError.
func (m mysql) ExactAction(table, column, sqlType string) string {
	return "run " + m.ChangeType(table, column, sqlType, false)
}

// AlterColumn is in the words of GORM's migrator, which declares the whole column again.
func (mysql) AlterColumn(db *gorm.DB, table string, f *schema.Field) string {
	return mysqlAlter(db.Statement.Quote(table), db.Statement.Quote(f.DBName)) + db.Migrator().FullDataTypeOf(f).SQL
}

// mysqlAlter begins GORM's statement that changes a column's type; the names are quoted.
func mysqlAlter(table, column string) string {
	return fmt.Sprintf("ALTER TABLE %s MODIFY COLUMN %s ", table, column)
}
