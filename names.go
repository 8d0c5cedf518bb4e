package gormkey

import (
	"fmt"

	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// checkNames refuses a table whose name the database, or GORM's migrator, would not read back as
// it is. The same goes for the names that GORM derives from it for indexes and constraints:
// PostgreSQL cuts them at 63 bytes, and two that are then equal become one index, without an
// error.
func checkNames(e engine.Engine, s *schema.Schema) error {
	if fault := e.TableFault(s.Table); fault != "" {
		return fmt.Errorf("the table of %v is %q: %s; give it another name by WithTableNames", s.ModelType, s.Table, fault)
	}
	check := func(what, name string) error {
		if fault := e.NameFault(name); fault != "" {
			return fmt.Errorf("%s %q of %v %s: give the table a shorter name by WithTableNames, or that index or constraint one of its own in its tag", what, name, s.ModelType, fault)
		}
		return nil
	}
	if err := check("the table", engine.BareTable(s.Table)); err != nil {
		return err
	}
	for _, index := range s.ParseIndexes() {
		if err := check("the index", index.Name); err != nil {
			return err
		}
	}
	for _, name := range constraintNames(s) {
		if err := check("the constraint", name); err != nil {
			return err
		}
	}
	return nil
}

// constraintNames returns the names of a table's constraints: unique, check and foreign keys. The
// constraint of a has-many relation is in the other table, and is left out.
func constraintNames(s *schema.Schema) (names []string) {
	for name := range s.ParseUniqueConstraints() {
		names = append(names, name)
	}
	for name := range s.ParseCheckConstraints() {
		names = append(names, name)
	}
	for _, rel := range s.Relationships.Relations {
		if c := rel.ParseConstraint(); c != nil && c.Schema == s {
			names = append(names, c.Name)
		}
	}
	return names
}
