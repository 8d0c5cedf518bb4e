package engine

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// Types is what an engine knows of the types of columns.
type Types interface {
	// ParseType reads a type as an application writes it, or as the catalog does.
	ParseType(sqlType string) Type
	// Compare tells how a column of the type found fits the type wanted.
	Compare(found, wanted Type) Fit
	// GORMType writes a type so that GORM's migrator finds it unchanged in the catalog. It
	// compares by prefixes of names, and by widths.
	GORMType(sqlType string) ColumnType
	// TextType is the type of a column of texts of up to size characters, or of ids of up to
	// size bytes.
	TextType(size int, isID bool) string
	// IDType is the type of an id of up to size bytes, in GORM's form.
	IDType(size int) ColumnType
	// LooseTypes reports whether a column takes values of any type and any length, so that
	// widths mean nothing.
	LooseTypes() bool
	// WantsExactIDs reports whether a column of ids may compare inexactly, and must not.
	WantsExactIDs() bool
	// CheckIDType refuses a type by which different ids may be equal.
	CheckIDType(sqlType string) error
	// ExactType returns a type in which the ids of a column stay as they are and compare as
	// bytes, where no option takes the column's own; "" for any other column.
	ExactType(found Column) string
	// HoldsMillis reports whether a column of the type holds 64-bit integers.
	HoldsMillis(sqlType string) bool
}

// Tables is what an engine knows of tables: how to read them, how they may be named, and
// how their columns are changed.
type Tables interface {
	// Columns reads the columns of a table, none if there is no such table.
	Columns(db *gorm.DB, table string) (map[string]Column, error)
	// Table reads the catalog's entry of a table, with the foreign keys from its column owner
	// to the table users. It asks with the application's session, and so sees the same tables.
	Table(db *gorm.DB, table, owner, users string) (Table, error)

	// TableFault says why GORM's migrator would not read back a table's name, "" if it would.
	TableFault(name string) string
	// NameFault says why the database, or GORM, does not keep the name of a table, an index or
	// a constraint as it is, "" if both do.
	NameFault(name string) string

	// ChangeType is a statement that gives a column of the library's tables another type, ""
	// if there is none.
	ChangeType(table, column, sqlType string, nullable bool) string
	// ExactAction says how to make a column of ids of the type compare exactly.
	ExactAction(table, column, sqlType string) string
	// AlterColumn is the statement by which GORM's migrator changes a column to the type of
	// its field, "" if there is none.
	AlterColumn(db *gorm.DB, table string, f *schema.Field) string

	// Widening plans how columns of ids are made wider, in this order, each after the columns
	// that refer to it by foreign keys, in whatever table.
	Widening(tx *gorm.DB, changes []Change) (Widening, error)
	// Widen sends the statements of a plan.
	Widen(tx *gorm.DB, w Widening) error
	// FinishWidening completes a plan whose process ended before it did. It reports whether
	// there was one.
	FinishWidening(tx *gorm.DB) (finished bool, err error)

	// Record returns the statements that a migration would send, and changes nothing.
	Record(db *gorm.DB, migrate func(*gorm.DB) error) ([]string, error)
	// Register adds the callbacks by which GORM's migrator fits the database and loses no rows
	// of the tables. The callbacks' names begin with name.
	Register(db *gorm.DB, name string, tables []string) error
}

// Table is what the catalog holds of a table.
type Table struct {
	Exists      bool
	Columns     map[string]Column
	Leading     map[string]bool // columns that an index begins with
	ForeignKeys []string        // constraints by which the owner refers to the users' table
}

// Column is what the catalog holds of a column.
type Column struct {
	SQLType string // with its collation, where it matters
	Exact   bool   // it compares byte by byte, or holds no texts
	Type    Type
}

// Fresh returns a handle for a statement of the library in the transaction of tx. It carries
// nothing of the application's statement, and runs none of its hooks.
func Fresh(tx *gorm.DB) *gorm.DB { return tx.Session(&gorm.Session{NewDB: true, SkipHooks: true}) }

// BareTable returns a table's name without its schema.
func BareTable(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// quoteName quotes the parts of a name and doubles a quote inside, so a name can never end its
// quotation.
func quoteName(mark string, parts ...string) string {
	quoted := make([]string, len(parts))
	for i, part := range parts {
		quoted[i] = mark + strings.ReplaceAll(part, mark, mark+mark) + mark
	}
	return strings.Join(quoted, ".")
}

// quoteTable quotes a table's name, which may have a schema.
func quoteTable(mark, table string) string { return quoteName(mark, strings.Split(table, ".")...) }

// Unquoted returns the name at the start of an SQL text, without its quotes and without
// PostgreSQL's ONLY: for `"shop"."auth_user" AS u` it is shop.auth_user.
func Unquoted(sql string) string {
	sql = strings.TrimSpace(sql)
	if first, rest, ok := strings.Cut(sql, " "); ok && strings.EqualFold(first, "only") {
		sql = strings.TrimSpace(rest)
	}
	name := strings.Builder{}
	var quote rune
	for _, c := range sql {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '`' || c == '"'):
			quote = c
		case quote == 0 && unicode.IsSpace(c):
			return name.String()
		default:
			name.WriteRune(c)
		}
	}
	return name.String()
}

// encodingFault finds a name that GORM, which shortens long names by bytes, has cut inside a
// character.
func encodingFault(name string) string {
	if utf8.ValidString(name) {
		return ""
	}
	return "is no valid UTF-8, since GORM shortens it by bytes"
}
