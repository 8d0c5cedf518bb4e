package gormkey

import (
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/tables"
)

// ownColumn is a column of the plugin's tables that holds ids, or texts whose length matters to
// the library.
type ownColumn struct {
	table, name string
	ofUser      bool          // it holds users' ids
	isID        bool          // it is compared, so that it has to compare bytes
	wanted      engine.Column // as it should be
	found       engine.Column
}

// ownColumns returns the columns of the registered models. They are named here, and not read out
// of GORM's schemas, because they are checked before GORM's cache holds the models.
func ownColumns(e engine.Engine, opts *options, models []model) (columns []ownColumn) {
	// An error shows the type in the words of the options. The parsed form is for comparisons.
	add := func(table, name, sqlType string, isID, ofUser bool) {
		wanted := engine.Column{SQLType: sqlType, Type: e.ParseType(sqlType)}
		columns = append(columns, ownColumn{table: table, name: name, wanted: wanted, isID: isID, ofUser: ofUser})
	}
	userID := e.TextType(opts.userIDLength, true)
	if opts.userIDType != "" {
		userID = string(e.GORMType(opts.userIDType).Name)
	}
	added := opts.added()
	for _, m := range registered(models) {
		switch m.option {
		case ownedOption:
		case "User":
			add(m.table, "id", userID, true, true)
		case "Key":
			add(m.table, "id", e.TextType(keyIDSize, true), true, false)
			add(m.table, "user_id", userID, true, true)
			add(m.table, "hashed_password", e.TextType(hashSize, false), false, false)
		case "Session":
			add(m.table, "id", e.TextType(sessionIDSize, true), true, false)
			add(m.table, "user_id", userID, true, true)
		default:
			if added[m.option].owned {
				add(m.table, "user_id", userID, true, true)
			}
			for _, c := range added[m.option].texts {
				add(m.table, c.column, e.TextType(c.size, c.isID), c.isID, false)
			}
		}
	}
	return columns
}

// catalog reads the columns of each table once.
type catalog struct {
	engine engine.Engine
	db     *gorm.DB
	tables map[string]map[string]engine.Column
}

// newCatalog returns a catalog that has read nothing yet. Make a new one after a migration: an
// old one does not see what has changed.
func newCatalog(e engine.Engine, db *gorm.DB) *catalog {
	return &catalog{engine: e, db: db, tables: map[string]map[string]engine.Column{}}
}

// columns returns the columns of a table, none if it is not there.
func (c *catalog) columns(table string) (map[string]engine.Column, error) {
	if columns, ok := c.tables[table]; ok {
		return columns, nil
	}
	columns, err := c.engine.Columns(c.db, table)
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", table, err)
	}
	c.tables[table] = columns
	return columns, nil
}

// find returns those of the columns that are there, as they were found.
func (c *catalog) find(wanted []ownColumn) (there []ownColumn, err error) {
	for _, own := range wanted {
		columns, err := c.columns(own.table)
		if err != nil {
			return nil, err
		}
		if found, ok := columns[own.name]; ok {
			own.found = found
			there = append(there, own)
		}
	}
	return there, nil
}

// checkColumns compares the columns that are there with those that the options want. It returns
// those that are narrower, and refuses what a migration would cut or misread. Lucia's tables are
// left as they are.
func (b *binding) checkColumns(c *catalog, opts *options) (narrow []ownColumn, err error) {
	if opts.lucia {
		return nil, nil
	}
	there, err := c.find(b.columns)
	if err != nil {
		return nil, err
	}
	var errs []error
	// A column may be wrong in two ways. If it is too wide, or filled up, then making it exact
	// would cut its ids, so that is reported first.
	for _, c := range there {
		how := c.fit(b.engine)
		switch {
		case (how == engine.Wider || c.found.Type.Padded) && c.refuses(b.engine):
			errs = append(errs, c.refused(b.engine, opts, there))
		case c.inexact(b.engine, opts):
			errs = append(errs, &tables.InexactIDError{Table: c.table, Column: c.name, Type: c.found.SQLType, Statement: c.statement(b.engine)})
		case c.refuses(b.engine):
			errs = append(errs, c.refused(b.engine, opts, there))
		case how == engine.Narrower:
			narrow = append(narrow, c)
		}
	}
	return narrow, errors.Join(errs...)
}

// inexact reports whether a column of ids may take different ids for equal, and nobody wanted
// that. If the application chose the type of users' ids, then it also chose how they compare;
// only for a type that compares bytes does the column have to do so.
func (c ownColumn) inexact(e engine.Engine, opts *options) bool {
	chosen := c.ofUser && opts.userIDType != "" && (c.wanted.Type.Family != "bytes" || c.wanted.Type.Padded)
	return e.WantsExactIDs() && c.isID && !c.found.Exact && !chosen
}

// refused says how the options and a column fit together again: by an option that makes users'
// ids what they are, or by a statement that gives the column the type of the others.
//
// The option has to fit all columns of users' ids. If the user's own id has another type, it is
// the option for that type; if all are texts, it is the option for the widest column. If the
// user's id fits already, no option helps, and the statement is shown. Ids in a type that no
// option takes want an option and a statement.
func (c ownColumn) refused(e engine.Engine, opts *options, there []ownColumn) error {
	refusal := &tables.ColumnError{Table: c.table, Column: c.name, Type: c.found.SQLType, Wanted: c.wanted.SQLType, Wider: c.fit(e) == engine.Wider}
	model, usersFit := c, false
	for _, other := range there {
		switch {
		case !c.ofUser || !other.ofUser:
		case other.name == "id" && other.fit(e) == engine.OtherType:
			model = other
		case other.name == "id" && !refusal.Wider:
			usersFit = true
		case e.Compare(other.found.Type, model.found.Type) == engine.Wider:
			model = other
		}
	}
	if c.ofUser && !usersFit {
		refusal.Option = optionFor(e, model.found)
	}
	if exact := e.ExactType(model.found); exact != "" && c.ofUser && !usersFit {
		refusal.Option = optionFor(e, engine.Column{SQLType: exact, Exact: true, Type: e.ParseType(exact)})
		refusal.Statement = e.ChangeType(c.table, c.name, exact, false)
	} else if refusal.Option == "" {
		refusal.Statement = c.statement(e)
	}
	return refusal
}

// refuses reports whether a migration would cut the values of the column, or turn them into
// something else. A wider column that holds no ids of users is no danger and stays as it is: see
// guardColumn.
func (c ownColumn) refuses(e engine.Engine) bool {
	switch c.fit(e) {
	case engine.Wider:
		return c.ofUser
	case engine.OtherType:
		return c.ofUser || !c.isID && c.noText(e)
	}
	return false
}

// noText reports whether a column for texts of the library has a type that holds none, such as
// integer. Types that an application made itself, such as a domain of PostgreSQL, are given the
// benefit of the doubt.
func (c ownColumn) noText(e engine.Engine) bool {
	others := []string{"bytes", "integer", "unsigned", "numeric", "uuid"}
	return !e.LooseTypes() && c.fit(e) == engine.OtherType && slices.Contains(others, c.found.Type.Family)
}

// fit tells how the column that is there fits the wanted one.
func (c ownColumn) fit(e engine.Engine) engine.Fit { return e.Compare(c.found.Type, c.wanted.Type) }

// statement gives a column its type; it is "" if the engine has no such statement.
// hashed_password is the one nullable column: a key of a user who signs in by another service has
// no password.
func (c ownColumn) statement(e engine.Engine) string {
	return e.ChangeType(c.table, c.name, c.wanted.SQLType, c.name == "hashed_password")
}

// optionFor returns the option that makes user ids what a column is, such as
// "WithUserIDLength(36)". It is "" for a text that compares inexactly, which no option should
// keep.
func optionFor(e engine.Engine, found engine.Column) string {
	t := found.Type
	ours := e.ParseType(e.TextType(t.Width, true)) // what WithUserIDLength makes
	switch {
	case e.WantsExactIDs() && t.Family == "text" && !found.Exact:
		return ""
	case !t.TakesText(1) || e.Compare(t, ours) != engine.Fits:
	case e.LooseTypes() || t.Width == userIDLength:
		return "neither WithUserIDType nor WithUserIDLength"
	case t.Width >= 8 && t.Width <= 255:
		return fmt.Sprintf("WithUserIDLength(%d)", t.Width)
	}
	return fmt.Sprintf("WithUserIDType(%q)", found.SQLType)
}

// narrowest returns the type that bounds users' ids until the columns are widened, nil if none is
// narrow.
func narrowest(narrow []ownColumn) *engine.Type {
	var least *engine.Type
	for _, c := range narrow {
		if t := c.found.Type; c.ofUser && (least == nil || t.Width < least.Width) {
			least = &t
		}
	}
	return least
}

// checkWidth refuses a user's id that a narrow column would cut before a migration has widened
// it.
func (b *binding) checkWidth(id string) error {
	t := b.narrow.Load()
	if t == nil {
		return nil
	}
	var argument *ArgumentError
	if err := checkHeld(*t, id); errors.As(err, &argument) {
		return &ArgumentError{argument.Argument, argument.Reason + " as long as Plugin.AutoMigrate has not widened the column"}
	}
	return nil
}

// sameTypes is asked before rows are taken for orphans. If a table's column of users' ids and the
// user's id have different types or widths, rows may look as if they had no user, and it returns
// a [tables.MismatchError].
func (b *binding) sameTypes(o owned, columns, users map[string]engine.Column) error {
	child, ok := columns[o.owner]
	user, exists := users[b.userID.DBName]
	if !ok || !exists || b.engine.Compare(child.Type, user.Type) == engine.Fits {
		return nil
	}
	return &tables.MismatchError{Table: o.Table, Column: o.owner, Type: child.SQLType, UserTable: b.user.Table, UserType: user.SQLType, Cut: -1}
}
