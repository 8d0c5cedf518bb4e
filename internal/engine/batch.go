package engine

import (
	"errors"
	"regexp"

	"gorm.io/gorm"
)

// batch is Cloudflare D1: SQLite whose transactions are lists of statements that are sent when
// they are committed. Either the whole list is done or nothing. So on such a database an
// operation first reads, outside the batch, and then lists its writes behind a requirement that
// what it read still holds. If it does not hold, nothing is done and the operation starts again.
//
// The embedded sqlite answers everything else. A method belongs here if a transaction that cannot
// read makes a difference.
type batch struct{ sqlite }

// batcher is a dialector whose transactions are batches.
type batcher interface {
	// Require returns a statement that makes a batch fail, and its error say why, unless the
	// condition holds at its place in the list.
	Require(condition, why string) string
}

func (b batch) Ask(*gorm.DB, Settings) (Engine, error)  { return b, nil }
func (batch) LockWrites(*gorm.DB, string, string) error { return nil } // what is read is outside the batch
func (batch) MostIDs() int                              { return 90 }  // D1 takes 100 parameters
func (batch) MayNotEnforce() bool                       { return false }
func (batch) Enforces(*gorm.DB) (bool, error)           { return true, nil }
func (batch) Batches() bool                             { return true }
func (batch) LostCommit(err error) bool                 { return IsConnectionLost(err) }
func (batch) Pending(result *gorm.DB) bool              { return result.RowsAffected < 0 }

func (batch) Require(tx *gorm.DB, otherwise, condition string, vars ...any) error {
	return tx.Exec(tx.Dialector.(batcher).Require(condition, otherwise), vars...).Error
}

// Unmet returns the reason of the requirement that ended a batch, if one did.
func Unmet(err error) (why string, ok bool) {
	var u interface{ Unmet() (why string, ok bool) }
	if !errors.As(err, &u) {
		return "", false
	}
	return u.Unmet()
}

// Record: no table is rebuilt, so that nothing has to be undone.
func (batch) Record(db *gorm.DB, migrate func(*gorm.DB) error) ([]string, error) {
	return recordOnce(db, migrate)
}

// Register adds nothing: D1's dialect refuses to rebuild a table, so no rows can be lost by it.
func (batch) Register(*gorm.DB, string, []string) error { return nil }

// Migrate runs a migration while other processes may run the same one, since D1 has no lock to
// take. If another process has made a table first, the migration runs again, finds the table and
// goes on from there.
func (batch) Migrate(db *gorm.DB, migrate func(*gorm.DB) error) error {
	for try := 1; ; try++ {
		err := migrate(Clean(db))
		if err == nil || try == MaxTries || !madeAlready.MatchString(err.Error()) {
			return err
		}
		if err := Pause(db.Statement.Context, RetryLongest); err != nil {
			return err
		}
	}
}

// madeAlready finds the errors for a table, an index or a column that is there already.
var madeAlready = regexp.MustCompile(`already exists|duplicate column name`)
