package tables

import (
	"errors"
	"fmt"
)

// Errors to compare with errors.Is. Each is wrapped by every error of the type of its name.
var (
	ErrOrphans   = errors.New("gormkey: keys or sessions without a user")              // by [OrphanError]
	ErrInexactID = errors.New("gormkey: id column compares inexactly")                 // by [InexactIDError]
	ErrColumn    = errors.New("gormkey: column has another type than the options say") // by [ColumnError]
	ErrMismatch  = errors.New("gormkey: user_id has another type than the user's id")  // by [MismatchError]
)

// InexactIDError names an id column of a MySQL-family table that matches other
// people's ids: it ignores case, accents, trailing blanks or invalid bytes.
type InexactIDError struct {
	Table, Column, Type string
	// Statement makes the column exact. Where foreign keys point at the column, drop
	// them first and add them again after.
	Statement string
}

// Error says which column it is and what to do.
func (e *InexactIDError) Error() string {
	return fmt.Sprintf("gormkey: %s.%s is %s, which matches ids that differ in case, accents or trailing blanks; run %q (without the foreign keys at the column: add them again after), or accept it with WithInsecureInexactIDs",
		e.Table, e.Column, e.Type, e.Statement)
}

// Unwrap returns [ErrInexactID].
func (e *InexactIDError) Unwrap() error { return ErrInexactID }

// ColumnError refuses a column of the plugin's tables whose values a migration would cut or
// change: a column of users' ids that is wider than the options say, or a column of another type.
// A second program with other options meets it.
type ColumnError struct {
	Table, Column string
	Type          string // the column's
	Wanted        string // what the options say
	Wider         bool   // the column is wider, so that what it holds would be cut
	// Option is the option that fits the ids, such as "WithUserIDLength(36)", or the option to leave
	// out. It is "" if only a statement can change the column.
	Option string
	// Statement gives the column its type. It is "" if an option is enough, and on SQLite, where
	// the table has to be rebuilt. Restore first the values that an earlier program has cut. If
	// there is an Option too, both are needed: no option takes the type that the column has now.
	Statement string
}

// Error says which column it is and what to do.
func (e *ColumnError) Error() string {
	text := fmt.Sprintf("gormkey: %s.%s is %s, and by the options it is %s", e.Table, e.Column, e.Type, e.Wanted)
	if e.Wider {
		text += ", which would cut its ids"
	}
	switch {
	case e.Option != "" && e.Statement != "":
		return fmt.Sprintf("%s: give %s, and run %q (without the foreign keys at the column: add them again after)", text, e.Option, e.Statement)
	case e.Option != "":
		return text + ": give " + e.Option
	case e.Statement != "":
		return fmt.Sprintf("%s: change it by %q", text, e.Statement)
	}
	return text + ": make the table again with this type"
}

// Unwrap returns [ErrColumn].
func (e *ColumnError) Unwrap() error { return ErrColumn }

// MismatchError refuses to delete rows, to widen a column or to add a foreign key where
// user_id and the user's id have different types or widths: rows whose user_id was cut look
// as if they had no user.
type MismatchError struct {
	Table, Column, Type string // of the column of users' ids, user_id in our tables
	UserTable, UserType string // of the user's id
	// Cut is how many rows of the table have a user_id that is the beginning of a user's
	// id, and as long as the narrower column; -1 if they were not counted.
	Cut int64
}

// Error says which columns they are and what to do.
func (e *MismatchError) Error() string {
	text := fmt.Sprintf("gormkey: %s.%s is %s and %s.id is %s", e.Table, e.Column, e.Type, e.UserTable, e.UserType)
	if e.Cut > 0 {
		return fmt.Sprintf("%s, and %d rows look cut: write the whole id of their user into them, from a backup or by docs/migrations.md", text, e.Cut)
	}
	return text + ", so that rows of existing users may look as if they had none: give both one type, and restore what was cut, before anything is deleted"
}

// Unwrap returns [ErrMismatch].
func (e *MismatchError) Unwrap() error { return ErrMismatch }

// OrphanError refuses to add a foreign key to a table whose rows would violate it.
type OrphanError struct {
	Table string
	Count int64 // rows whose user_id names no user
}

// Error says how many there are and what to do.
func (e *OrphanError) Error() string {
	return fmt.Sprintf("gormkey: %s has %d rows without a user, so its foreign key cannot be added; delete them with Repository.Repair, or leave the key out with WithoutForeignKeys", e.Table, e.Count)
}

// Unwrap returns [ErrOrphans].
func (e *OrphanError) Unwrap() error { return ErrOrphans }
