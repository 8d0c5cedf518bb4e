// Package tables holds what gormkey says of the tables in a database: what an audit finds in
// them, and the errors that refuse to use or to change them. It is data alone; the plugin's and
// the repository's methods return it.
package tables

import (
	"fmt"
)

// Problem is what a [Finding] is about.
type Problem string

// The problems that the repository's Audit finds.
const (
	ProblemMissingTable  Problem = "missing table"
	ProblemMissingColumn Problem = "missing column"
	// ProblemMissingIndex: a delete or a cleanup reads the whole table.
	ProblemMissingIndex Problem = "missing index"
	// ProblemInexactID: an id column matches ids that differ in case, accents or blanks, so a
	// statement may find another person's row.
	ProblemInexactID Problem = "inexact id"
	// ProblemWrongExpiryType: an expiry column cannot hold 64-bit milliseconds, or compares
	// them as text.
	ProblemWrongExpiryType Problem = "wrong expiry type"
	// ProblemNarrowColumn: a column is narrower than the library, or the options, fill it. Until
	// it is widened, longer users' ids are refused.
	ProblemNarrowColumn Problem = "narrow column"
	// ProblemWrongColumnType: a column has a type that a migration would cut or misread; see
	// [ColumnError].
	ProblemWrongColumnType Problem = "wrong column type"
	// ProblemCutIDs: rows whose user_id an earlier program has cut; see [MismatchError].
	ProblemCutIDs Problem = "cut ids"
	// ProblemOrphans: keys or sessions without a user.
	ProblemOrphans Problem = "orphans"
	// ProblemForeignKeyMissing: the plugin has foreign keys on, and the table has none.
	ProblemForeignKeyMissing Problem = "foreign key missing"
	// ProblemForeignKeyPresent: the plugin has them off, and the table has one.
	ProblemForeignKeyPresent Problem = "foreign key present"
	// ProblemForeignKeysUnenforced: the connection's PRAGMA foreign_keys is off. The plugin's
	// callbacks stand in for it.
	ProblemForeignKeysUnenforced Problem = "foreign keys unenforced"
)

// Finding is one thing that the repository's Audit found.
type Finding struct {
	Problem Problem
	Table   string
	Column  string // "" where it is about the table
	Count   int64  // rows, of Orphans and CutIDs
	Found   string // what is there: a type, or a constraint's name
	Action  string // what to do: a call, or a statement to run
}

// String returns the finding in one line.
func (f Finding) String() string {
	name := f.Table
	if f.Column != "" {
		name += "." + f.Column
	}
	text := fmt.Sprintf("%s: %s", name, f.Problem)
	switch {
	case f.Count > 0:
		text += fmt.Sprintf(" (%d)", f.Count)
	case f.Found != "":
		text += fmt.Sprintf(" (%s)", f.Found)
	}
	return text + ": " + f.Action
}
