package engine

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// Change is a column of the library's tables that is to be made wider. A column whose foreign
// key points at it has to become as wide.
type Change struct {
	Table, Column string
	Found, Wanted Column
	Referred      bool // columns of other tables may refer to it
}

// Widening is a plan by which columns become wider.
type Widening struct {
	Statements []string
	covered    []string     // the beginnings of what GORM's migrator would send for the same columns
	lock       []string     // tables into which nobody may write meanwhile
	dropped    []foreignKey // that the statements drop and add again
	changed    []foreignKey // the changes of columns in between
}

// foreignKey is a constraint that has to be dropped while a column at one of its ends
// changes. Without a name it is the change of a column.
type foreignKey struct {
	Table string `gorm:"column:place_table"` // its own, quoted
	Name  string `gorm:"column:name"`
	Add   string `gorm:"column:statement"` // adds it again, as it was
}

// Covers reports whether a statement of GORM's migrator changes a column that is wide enough
// once the plan is carried out.
func (w Widening) Covers(statement string) bool {
	return !slices.Contains(w.Statements, statement) &&
		slices.ContainsFunc(w.covered, func(beginning string) bool { return strings.HasPrefix(statement, beginning) })
}

// send sends the statements, and names the one that failed.
func (w Widening) send(tx *gorm.DB) error {
	for _, statement := range w.Statements {
		if err := tx.Exec(statement).Error; err != nil {
			return fmt.Errorf("gormkey: columns are too narrow for the options, and %q failed: %w", statement, err)
		}
	}
	return nil
}

// place is a column of any table: of the library, or of the application if it refers to one of
// the library.
type place struct {
	Schema string `gorm:"column:place_schema"` // "" where the table is found without
	Table  string `gorm:"column:place_table"`
	Column string `gorm:"column:place_column"`
	Type   string `gorm:"column:place_type"`
	wanted Column
}

// table returns the table's name, quoted.
func (p place) table(mark string) string {
	if p.Schema == "" {
		return quoteName(mark, p.Table)
	}
	return quoteName(mark, p.Schema, p.Table)
}

// is reports whether two places are one column.
func (p place) is(other place) bool {
	return p.Schema == other.Schema && p.Table == other.Table && p.Column == other.Column
}

// place returns where the column is. The name of its table may have a schema.
func (c Change) place() place {
	p := place{Table: BareTable(c.Table), Column: c.Column, Type: c.Found.SQLType, wanted: c.Wanted}
	p.Schema = strings.TrimSuffix(strings.TrimSuffix(c.Table, p.Table), ".")
	return p
}

// finder returns the columns of all tables that refer to a column by a foreign key.
type finder func(at place) ([]place, error)

// withReferring returns the columns of the changes, each after the columns that refer to it. If
// the process ends in between, the ids are still narrow, and the next migration sees that it has
// to go on. Without find, nothing refers to a column.
func withReferring(types Types, changes []Change, find finder) (all []place, err error) {
	for _, c := range changes {
		places := []place{c.place()}
		if c.Referred && find != nil {
			if places, err = referring(types, c, find); err != nil {
				return nil, err
			}
		}
		for _, p := range places {
			if !slices.ContainsFunc(all, p.is) {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// referring returns the columns that refer to an id, also through other tables, and that are
// narrower than the id is to be: a profile may refer to the user by its own primary key, and a
// picture to the profile. The id itself comes last.
func referring(types Types, id Change, find finder) (places []place, err error) {
	wanted := id.Wanted
	wanted.SQLType = plainType(wanted.SQLType)
	self := id.place()
	seen := []place{self}
	for next := seen; len(next) > 0; next = next[1:] {
		found, err := find(next[0])
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			if slices.ContainsFunc(seen, p.is) {
				continue
			}
			seen, next = append(seen, p), append(next, p)
			if types.Compare(types.ParseType(p.Type), wanted.Type) == Narrower {
				p.wanted = wanted
				places = append(places, p)
			}
		}
	}
	return append(places, self), nil
}
