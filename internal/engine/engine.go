package engine

import (
	"database/sql"
	"fmt"
	"regexp"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Engine is a database as the operations see it: each method is one thing that databases do
// differently. An operation asks for what it means, a lock on the rows that it reads for
// example, and never for the database's name. Each engine has a file of its own here.
type Engine interface {
	Types
	Tables

	// Ask returns the engine with what only the database can tell. It refuses a server, or a
	// setting, under which the operations cannot keep their promises.
	Ask(db *gorm.DB, s Settings) (Engine, error)

	// Transactions and locks.

	// TxOptions asks for READ COMMITTED, under which a statement sees what was committed
	// while it waited for a lock. It is empty where there is one level only.
	TxOptions() []*sql.TxOptions
	// RowLocks reports whether rows can be locked. If they cannot, the engine has one writer,
	// and LockWrites makes a transaction that writer.
	RowLocks() bool
	// LockWrites takes the lock of the one writer. Call it before a transaction reads, since
	// one that reads first cannot always write later. The table and its column are any that
	// are there. It does nothing where rows can be locked.
	LockWrites(tx *gorm.DB, table, column string) error
	// ForUpdate makes the next read lock its rows, and see them as they are now whatever the
	// transaction's level is.
	ForUpdate(tx *gorm.DB) *gorm.DB
	// ReadLatest makes the next read see what was committed while a lock was waited for, also
	// where a transaction of the caller's has a snapshot.
	ReadLatest(tx *gorm.DB) *gorm.DB
	// LockForUpdate is what ForUpdate adds, for a SELECT that is written out.
	LockForUpdate() string
	// ShareLock holds the rows that the SELECT of an INSERT … SELECT reads against deletion,
	// and those of the second table, if it reads one, also against a change.
	ShareLock(tables ...string) clause.Interface
	// ShareRows is the same for a SELECT from one table that is written out.
	ShareRows() string
	// JoinInOrder is an inner join that reads, and locks, its left table first.
	JoinInOrder() string
	// Snapshot returns the level of a transaction whose statements do not see what was
	// committed while they waited for a lock, "" for any other.
	Snapshot(tx *gorm.DB) (level string, err error)
	// HidesRows reports whether a row may be read that an UPDATE, a DELETE or a locking read
	// does not find, for which the engine has no error.
	HidesRows() bool
	// RowSecurity reports whether that was so for one of the tables when the engine was opened.
	RowSecurity() bool

	// Comparing.

	// SameBytes is the condition that a column holds an id, byte for byte.
	SameBytes(column clause.Column, id string) clause.Expression
	// Among is the condition that a column holds one of some ids, byte for byte.
	Among(column clause.Column, ids []string) clause.Expression
	// SameColumns is the condition that two columns hold the same id, byte for byte. Columns are
	// alike if their types are of one family.
	SameColumns(a, b clause.Column, alike bool) clause.Expression
	// Text is a column as a text whose length is counted in the units of its width.
	Text(column clause.Column) clause.Expression
	// Number is a column as a number. A column of SQLite may hold a number as a text or a
	// blob, which it takes for greater than any number.
	Number(column clause.Column) clause.Expression
	// SameTable reports whether two names without a schema are one table's.
	SameTable(a, b string) bool
	// BytesAreText reports whether a column of texts takes bytes for a text.
	BytesAreText() bool

	// Shards.

	// Sharded reports whether rows may be on several servers, where one is found by its user's
	// id. By another id alone the lookup vindex is read, and locked, before the row.
	Sharded() bool
	// DeletesNewRows reports whether a transaction can delete a row of the table that it made.
	DeletesNewRows(tx *gorm.DB, table string) (bool, error)
	// NewID is the value to which an UPDATE sets an id.
	NewID(id string) any

	// Deleting.

	// MostDeleted is how many rows one statement deletes at most, 0 for any number.
	MostDeleted() int
	// MostIDs is how many ids one statement names at most.
	MostIDs() int
	// DeletesByQuery reports whether one statement deletes what a subquery with a LIMIT finds.
	DeletesByQuery() bool
	// DeletesWithLimit reports whether a DELETE may have an ORDER BY and a LIMIT.
	DeletesWithLimit() bool
	// InsertUnlessThere is the verb of an INSERT, and the words after it, that leaves a row that
	// is there, and counts it as no row.
	InsertUnlessThere() (verb, suffix string)

	// Foreign keys.

	// MayNotEnforce reports whether a connection may be one that does not enforce foreign
	// keys, which Enforces then tells.
	MayNotEnforce() bool
	// Enforces reports whether the connection of tx enforces foreign keys.
	Enforces(tx *gorm.DB) (bool, error)
	// CurrentSchema is the schema or database of names that are written without one, "" if it is not
	// known.
	CurrentSchema(db *gorm.DB) (string, error)

	// Migrations.

	// Migrate runs a migration while no other process runs one.
	Migrate(db *gorm.DB, migrate func(*gorm.DB) error) error
	// MigratesInTransaction reports whether Migrate is one transaction, and may be part of a
	// caller's.
	MigratesInTransaction() bool
	// DropForeignKey is the verb of an ALTER TABLE, "" if there is none.
	DropForeignKey() string

	// Batches: see batch.go.

	// Batches reports whether a transaction is a list of statements that is sent as a whole
	// when it is committed.
	Batches() bool
	// LostCommit reports whether an error of a commit that has no code leaves open what the
	// database did.
	LostCommit(err error) bool
	// Pending reports whether a statement waits in a batch, so that it is not known what it
	// changes.
	Pending(result *gorm.DB) bool
	// Require makes a batch fail unless a condition holds at this place in its list; otherwise
	// says why. It does nothing where a transaction can look for itself.
	Require(tx *gorm.DB, otherwise, condition string, vars ...any) error
}

// Settings are what the options say of a database.
type Settings struct {
	// InexactIDs: id columns may match more than equal bytes.
	InexactIDs bool
	// Vitess: the server is one.
	Vitess bool
	// Unknown: a server that is not known to keep its locks is accepted.
	Unknown bool
	// Tables are those of the operations, which need not be there.
	Tables []string
}

// Of returns the engine of db. It sends nothing; see Engine.Ask.
func Of(db *gorm.DB, s Settings) (Engine, error) {
	if s.Vitess && db.Name() != "mysql" {
		return nil, fmt.Errorf("WithPlanetScale: the dialect is %q, not mysql; WithoutForeignKeys serves every dialect", db.Name())
	}
	switch db.Name() {
	case "sqlite":
		if _, ok := db.Dialector.(batcher); ok {
			return batch{}, nil
		}
		return sqlite{}, nil
	case "postgres":
		return postgres{}, nil
	case "mysql":
		if s.Vitess {
			return vitess{mysql{inexact: s.InexactIDs}}, nil
		}
		return mysql{inexact: s.InexactIDs}, nil
	}
	return nil, fmt.Errorf("the dialect is %q; mysql, postgres and sqlite are known", db.Name())
}

// rowLocks is common to the servers, PostgreSQL and MySQL with its family. Each of them embeds
// it, and overrides a method if it differs.
type rowLocks struct{}

func (rowLocks) TxOptions() []*sql.TxOptions {
	return []*sql.TxOptions{{Isolation: sql.LevelReadCommitted}}
}

func (rowLocks) RowLocks() bool                            { return true }
func (rowLocks) LockWrites(*gorm.DB, string, string) error { return nil }
func (rowLocks) LockForUpdate() string                     { return " FOR UPDATE" }

func (rowLocks) ForUpdate(tx *gorm.DB) *gorm.DB {
	return tx.Clauses(clause.Locking{Strength: "UPDATE"})
}

func (rowLocks) Number(column clause.Column) clause.Expression {
	return clause.Expr{SQL: "?", Vars: []any{column}}
}

func (rowLocks) SameTable(a, b string) bool               { return a == b }
func (rowLocks) BytesAreText() bool                       { return true }
func (rowLocks) MostDeleted() int                         { return 0 }
func (rowLocks) MostIDs() int                             { return mostIDs }
func (rowLocks) DeletesWithLimit() bool                   { return false }
func (rowLocks) InsertUnlessThere() (verb, suffix string) { return "INSERT", " ON CONFLICT DO NOTHING" }
func (rowLocks) DeletesByQuery() bool                     { return false }
func (rowLocks) MayNotEnforce() bool                      { return false }
func (rowLocks) Enforces(*gorm.DB) (bool, error)          { return true, nil }
func (rowLocks) Snapshot(*gorm.DB) (string, error)        { return "", nil }
func (rowLocks) JoinInOrder() string                      { return "INNER JOIN" }
func (rowLocks) RowSecurity() bool                        { return false }
func (rowLocks) HidesRows() bool                          { return false }
func (rowLocks) ReadLatest(tx *gorm.DB) *gorm.DB          { return tx }

func (rowLocks) LooseTypes() bool                      { return false }
func (rowLocks) CheckIDType(string) error              { return nil }
func (rowLocks) ExactType(Column) string               { return "" }
func (rowLocks) HoldsMillis(sqlType string) bool       { return wideInteger.MatchString(sqlType) }
func (rowLocks) TableFault(string) string              { return "" }
func (rowLocks) FinishWidening(*gorm.DB) (bool, error) { return false, nil }

func (rowLocks) Record(db *gorm.DB, migrate func(*gorm.DB) error) ([]string, error) {
	return recordOnce(db, migrate)
}

func (rowLocks) Register(*gorm.DB, string, []string) error { return nil }

var wideInteger = regexp.MustCompile(`(?i)^(bigint|int8)\b`)

// mostIDs is below every server's number of parameters.
const mostIDs = 5000

// transactions is common to all engines that are one server and can see what their statements
// changed: all but Vitess on shards, and D1.
type transactions struct{}

func (transactions) Sharded() bool                                  { return false }
func (transactions) DeletesNewRows(*gorm.DB, string) (bool, error)  { return true, nil }
func (transactions) NewID(id string) any                            { return id }
func (transactions) Batches() bool                                  { return false }
func (transactions) LostCommit(error) bool                          { return true }
func (transactions) Pending(*gorm.DB) bool                          { return false }
func (transactions) Require(*gorm.DB, string, string, ...any) error { return nil }

// sameBytes compares a column as it is declared. That is byte by byte for every table that the
// library has made.
func sameBytes(column clause.Column, id string) clause.Expression {
	return clause.Eq{Column: column, Value: id}
}

// among compares a column with several ids. No ids match nothing: "IN ()" is a syntax error on
// some engines, and a condition that was left out would match every row.
func among(column clause.Column, ids []string) clause.Expression {
	if len(ids) == 0 {
		return clause.Expr{SQL: "1 = 0"}
	}
	return clause.Expr{SQL: "? IN ?", Vars: []any{column, ids}}
}

// sameColumns compares two columns as they are declared.
func sameColumns(a, b clause.Column) clause.Expression {
	return clause.Expr{SQL: "? = ?", Vars: []any{a, b}}
}

// inTransaction reports whether tx is inside a transaction, the library's or the application's.
func inTransaction(tx *gorm.DB) bool {
	_, ok := tx.Statement.ConnPool.(gorm.TxCommitter)
	return ok
}

// shareLock is a clause with the words of a lock. GORM's own locking clause cannot write two
// locks of different strength, nor MySQL's LOCK IN SHARE MODE.
type shareLock struct {
	sql  string
	vars []any
}

// Name returns the name of GORM's locking clause.
func (shareLock) Name() string { return "FOR" }

// Build does nothing: MergeClause sets the expression.
func (shareLock) Build(clause.Builder) {}

// MergeClause writes the words of the database.
func (l shareLock) MergeClause(c *clause.Clause) {
	if c.Name = ""; l.sql != "" {
		c.Expression = clause.Expr{SQL: l.sql, Vars: l.vars}
	}
}
