package gormkey

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"gorm.io/gorm/schema"
)

// sqliteName matches the names that GORM's migrators for SQLite find again in a table's
// DDL: they read it by expressions that know these characters and no others.
var sqliteName = regexp.MustCompile(`^\w([\w-]*\w)?$`)

// checkNames refuses a table whose name, or what GORM derives from it for an index or a
// constraint, the database or its migrator would not know again. The schema has the table.
func checkNames(dialect string, s *schema.Schema) error {
	if dialect == "sqlite" && !sqliteName.MatchString(s.Table) {
		return fmt.Errorf("the table of %v is %q: GORM's migrator for SQLite reads back a table of letters a–z and A–Z, digits, \"_\" and \"-\" alone, without a schema, and without \"-\" at an end; give it another name by WithTableNames", s.ModelType, s.Table)
	}
	if err := checkName(dialect, "the table", bareTable(s.Table), s); err != nil {
		return err
	}
	for _, index := range s.ParseIndexes() {
		if err := checkName(dialect, "the index", index.Name, s); err != nil {
			return err
		}
	}
	for name := range s.ParseUniqueConstraints() {
		if err := checkName(dialect, "the constraint", name, s); err != nil {
			return err
		}
	}
	for name := range s.ParseCheckConstraints() {
		if err := checkName(dialect, "the constraint", name, s); err != nil {
			return err
		}
	}
	for _, rel := range s.Relationships.Relations {
		if c := rel.ParseConstraint(); c != nil && c.Schema == s {
			if err := checkName(dialect, "the constraint", c.Name, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkName refuses a name that the database cuts, so that two may become one, or that it
// does not take. GORM shortens what has too many characters, but PostgreSQL counts bytes.
func checkName(dialect, what, name string, s *schema.Schema) error {
	const advice = "give the table a shorter name by WithTableNames, or that index or constraint one of its own in its tag"
	switch {
	case dialect == "postgres" && len(name) > 63:
		return fmt.Errorf("%s %q of %v has %d bytes, and PostgreSQL cuts a name at 63: %s", what, name, s.ModelType, len(name), advice)
	case dialect == "mysql" && utf8.RuneCountInString(name) > 64:
		return fmt.Errorf("%s %q of %v has %d characters, and MySQL takes 64: %s", what, name, s.ModelType, utf8.RuneCountInString(name), advice)
	case !utf8.ValidString(name): // GORM cut it inside a character
		return fmt.Errorf("%s %q of %v is no valid UTF-8, since GORM shortens it by bytes: %s", what, name, s.ModelType, advice)
	case dialect == "mysql" && strings.ContainsFunc(name, func(c rune) bool { return c > 0xffff }):
		return fmt.Errorf("%s %q of %v has a character beyond U+FFFF, which MySQL does not take in a name: %s", what, name, s.ModelType, advice)
	}
	return nil
}
