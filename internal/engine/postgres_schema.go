package engine

import (
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// ParseType reads the words of format_type and those of an application; both are SQL's. A char(n)
// comes back with the blanks that fill it up.
func (postgres) ParseType(sqlType string) Type { return serverType(sqlType) }

// Compare needs no exception: each type holds what its name says.
func (postgres) Compare(found, wanted Type) Fit { return compare(found, wanted) }

// GORMType: a char without a width is one character.
func (p postgres) GORMType(sqlType string) ColumnType {
	w := writeType(sqlType)
	if w.bare && postgresNames[w.name] == "bpchar" {
		w.arguments = "1"
	}
	return w.serverColumn(p.ParseType(sqlType), postgresNames)
}

// postgresNames are the names that format_type writes.
var postgresNames = map[string]string{
	"char": "bpchar", "character": "bpchar", "int2": "smallint", "int4": "integer", "int8": "bigint", "dec": "numeric",
}

// TextType is the same for ids, since the default collations compare bytes for equality. A
// varchar counts characters, and those of an id are at most its bytes.
func (postgres) TextType(size int, _ bool) string { return fmt.Sprintf("varchar(%d)", size) }

func (postgres) IDType(size int) ColumnType { return ColumnType{schema.String, size} }

// WantsExactIDs: somebody chose a nondeterministic collation on purpose. Audit reports it.
func (postgres) WantsExactIDs() bool { return false }

// Columns takes the types' own names, since format_type writes a schema before those outside
// the search path. A nondeterministic collation and citext take different texts for equal,
// and char(n) those that differ in blanks at the end.
func (p postgres) Columns(db *gorm.DB, table string) (map[string]Column, error) {
	var found []struct {
		Name  string `gorm:"column:name"`
		Type  string `gorm:"column:type"`
		Exact bool   `gorm:"column:exact"`
	}
	err := Fresh(db).Raw("SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, "+
		"COALESCE(c.collisdeterministic, TRUE) AND COALESCE(b.typname, t.typname) NOT IN ('citext', 'bpchar') AS exact "+
		"FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype "+
		"LEFT JOIN pg_collation c ON c.oid = a.attcollation "+
		"WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped", db.Statement.Quote(table)).Scan(&found).Error
	columns := map[string]Column{}
	for _, c := range found {
		columns[c.Name] = Column{c.Type, c.Exact, p.ParseType(c.Type)}
	}
	return columns, err
}

// Table finds the tables by to_regclass, along the search path, as a statement does that names
// them without a schema. An index that is invalid or partial serves no search for a user's
// rows. Only a foreign key of the owner alone counts.
func (p postgres) Table(db *gorm.DB, table, owner, users string) (t Table, err error) {
	if t.Columns, err = p.Columns(db, table); err != nil || len(t.Columns) == 0 {
		return t, err
	}
	t.Exists = true
	name, referred := db.Statement.Quote(table), db.Statement.Quote(users)
	var leading []string
	err = Fresh(db).Raw("SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "+
		"WHERE i.indrelid = to_regclass(?) AND i.indisvalid AND i.indpred IS NULL", name).Scan(&leading).Error
	if err != nil {
		return t, err
	}
	t.Leading = map[string]bool{}
	for _, c := range leading {
		t.Leading[c] = true
	}
	err = Fresh(db).Raw("SELECT c.conname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum] "+
		"WHERE c.contype = 'f' AND c.conrelid = to_regclass(?) AND c.confrelid = to_regclass(?) AND a.attname = ? ORDER BY 1", name, referred, owner).Scan(&t.ForeignKeys).Error
	return t, err
}

// NameFault: GORM shortens a name that has too many characters, but PostgreSQL counts bytes,
// so that two names may become one.
func (postgres) NameFault(name string) string {
	if len(name) > 63 {
		return fmt.Sprintf("has %d bytes, and PostgreSQL cuts a name at 63", len(name))
	}
	return encodingFault(name)
}

// ChangeType casts the column to text and then to its new type, since every type has both casts.
func (postgres) ChangeType(table, column, sqlType string, _ bool) string {
	column = quoteName(`"`, column)
	return fmt.Sprintf("%s%s USING %s::text::%s", postgresAlter(quoteTable(`"`, table), column), sqlType, column, sqlType)
}

// ExactAction: the column has a nondeterministic collation, or a type that compares so.
func (postgres) ExactAction(string, string, string) string {
	return "change its type to text with a deterministic collation"
}

// AlterColumn has the words of gorm.io/driver/postgres, which casts without going through text.
// The statement has to be the same to the letter, or guardColumn would not recognise it.
func (postgres) AlterColumn(db *gorm.DB, table string, f *schema.Field) string {
	column, sqlType := db.Statement.Quote(f.DBName), db.Dialector.DataTypeOf(f)
	return fmt.Sprintf("%s%s USING %s::%s", postgresAlter(db.Statement.Quote(table), column), sqlType, column, sqlType)
}

// postgresAlter begins a statement that changes a column's type; the names are quoted.
func postgresAlter(table, column string) string {
	return fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE ", table, column)
}

// Widening changes one column a statement. PostgreSQL keeps the foreign keys at both ends.
func (p postgres) Widening(tx *gorm.DB, changes []Change) (w Widening, err error) {
	tx = Fresh(tx)
	columns, err := withReferring(p, changes, func(at place) (found []place, err error) {
		err = tx.Raw(postgresReferring, at.table(`"`), at.Column).Scan(&found).Error
		return found, err
	})
	if err != nil {
		return w, err
	}
	for _, c := range columns {
		alter := postgresAlter(c.table(`"`), quoteName(`"`, c.Column))
		collation, err := p.collation(tx, c)
		if err != nil {
			return w, err
		}
		w.Statements, w.covered = append(w.Statements, alter+c.wanted.SQLType+collation), append(w.covered, alter)
	}
	return w, nil
}

// postgresReferring finds the columns that refer to a column by foreign keys. A table is
// written with its schema if it is not found without.
const postgresReferring = "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE n.nspname END AS place_schema, c.relname AS place_table, a.attname AS place_column, " +
	"format_type(a.atttypid, a.atttypmod) AS place_type FROM pg_constraint k " +
	"CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS pair(child, parent) " +
	"JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = pair.parent " +
	"JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.child " +
	"JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace " +
	"WHERE k.contype = 'f' AND k.conparentid = 0 AND a.attinhcount = 0 AND k.confrelid = to_regclass(?) AND p.attname = ? ORDER BY 1, 2, 3"

// collation returns the words that keep the collation of a column, "" if it is its type's
// own or the type that is wanted has one.
func (postgres) collation(tx *gorm.DB, c place) (string, error) {
	var collation []string
	err := tx.Raw("SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "+
		"JOIN pg_collation l ON l.oid = a.attcollation JOIN pg_namespace n ON n.oid = l.collnamespace "+
		"WHERE a.attrelid = to_regclass(?) AND a.attname = ? AND a.attcollation <> t.typcollation", c.table(`"`), c.Column).Scan(&collation).Error
	if err != nil || len(collation) == 0 || c.wanted.SQLType != plainType(c.wanted.SQLType) {
		return "", err
	}
	return " COLLATE " + collation[0], nil
}

// Widen is part of the migration's transaction, so that nothing is left half done.
func (postgres) Widen(tx *gorm.DB, w Widening) error { return w.send(tx) }
