package d1

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

var (
	// ErrOutcomeUnknown: a write may or may not have been done, as its answer was lost.
	// An error that is it is io.ErrUnexpectedEOF too.
	ErrOutcomeUnknown = errors.New("d1: the outcome of a write is unknown")
	// ErrReadAfterWrite: a query in a transaction that has statements to send already.
	ErrReadAfterWrite = errors.New("d1: a transaction is sent at Commit, so no query can be answered after its first write")
	// ErrReturning: a write that returns rows, in a transaction.
	ErrReturning = errors.New("d1: a transaction is sent at Commit, so no write can return rows in it; give ids and defaults yourself")
	// ErrPending: how many rows a statement changed, before its transaction is committed.
	ErrPending = errors.New("d1: a transaction is sent at Commit, so what its statements change is not known before")
	// ErrTooFewRows: a statement changed fewer rows than [Require] or [Statement.Rows]
	// asks for, or a row that gormkey had read was changed meanwhile, and the batch was
	// undone.
	ErrTooFewRows = errors.New("d1: a statement changed too few rows, and the batch was undone")
	// ErrTransaction: BEGIN and its like as statements, options of Begin that D1 cannot
	// keep, or a savepoint that is not there.
	ErrTransaction = errors.New("d1: transactions are batches")
	// ErrSeveralStatements: one text with more than one statement.
	ErrSeveralStatements = errors.New("d1: one text has one statement; use Batch")
	// ErrTooManyParameters: more than 100 for one statement.
	ErrTooManyParameters = errors.New("d1: a statement has 100 parameters at most")
	// ErrIntegerRange: an integer beyond ±(2⁵³-1), as a parameter or in a row.
	ErrIntegerRange = errors.New("d1: an integer beyond ±(2⁵³-1) may lose digits")
	// ErrParameter: a parameter of no type that D1 takes.
	ErrParameter = errors.New("d1: a parameter cannot be sent")
	// ErrTableRebuild: a change that GORM makes on SQLite by rebuilding the table.
	ErrTableRebuild = errors.New("d1: GORM would rebuild the table, which D1 cannot do without losing rows that point at it; use SQL of your own")
	// ErrForeignKeys: PRAGMA foreign_keys = OFF.
	ErrForeignKeys = errors.New("d1: foreign keys are enforced always; the pragma would change nothing")
	// ErrConfig: a DSN or Config that is not valid.
	ErrConfig = errors.New("d1: invalid configuration")
)

// Error is what D1 answered instead of doing a statement or batch; nothing of it was
// done.
type Error struct {
	Status       int    // of HTTP
	APICode      int    // Cloudflare's, 7500 for what SQLite refused
	ExtendedCode int    // SQLite's extended result code, such as 1555 or 787; 0 if it was not SQLite
	Message      string // D1's
}

// Error returns D1's message.
func (e *Error) Error() string {
	return fmt.Sprintf("d1: %s (HTTP %d, code %d)", e.Message, e.Status, e.APICode)
}

// Is tells that a batch ended at a statement of [Require], or at one of gormkey's.
func (e *Error) Is(target error) bool {
	return target == ErrTooFewRows && strings.Contains(e.Message, tooFewRows)
}

// Unmet returns why a statement of the dialector's Require, which gormkey adds to its
// batches, ended one.
func (e *Error) Unmet() (why string, ok bool) {
	_, why, ok = strings.Cut(e.Message, tooFewRows+": ")
	why, _, _ = strings.Cut(why, "'")
	return why, ok
}

// outcomeError is a write whose answer was lost.
type outcomeError struct{ cause error }

func (e *outcomeError) Error() string { return ErrOutcomeUnknown.Error() + ": " + e.cause.Error() }

// Unwrap has io.ErrUnexpectedEOF for callers that know the drivers of databases with
// connections, where a lost answer is that.
func (e *outcomeError) Unwrap() []error {
	return []error{ErrOutcomeUnknown, io.ErrUnexpectedEOF, e.cause}
}

const (
	codeCheck      = 275
	codeForeignKey = 787
	codeNotNull    = 1299
	codePrimaryKey = 1555
	codeUnique     = 2067
)

// sqliteCodes are the names that D1 writes at the end of a message.
var sqliteCodes = map[string]int{
	"SQLITE_ERROR": 1, "SQLITE_INTERNAL": 2, "SQLITE_PERM": 3, "SQLITE_ABORT": 4, "SQLITE_BUSY": 5, "SQLITE_LOCKED": 6,
	"SQLITE_NOMEM": 7, "SQLITE_READONLY": 8, "SQLITE_INTERRUPT": 9, "SQLITE_IOERR": 10, "SQLITE_CORRUPT": 11,
	"SQLITE_NOTFOUND": 12, "SQLITE_FULL": 13, "SQLITE_CANTOPEN": 14, "SQLITE_SCHEMA": 17, "SQLITE_TOOBIG": 18,
	"SQLITE_CONSTRAINT": 19, "SQLITE_MISMATCH": 20, "SQLITE_MISUSE": 21, "SQLITE_AUTH": 23, "SQLITE_RANGE": 25,
	"SQLITE_CONSTRAINT_CHECK": codeCheck, "SQLITE_CONSTRAINT_COMMITHOOK": 531, "SQLITE_CONSTRAINT_FOREIGNKEY": codeForeignKey,
	"SQLITE_CONSTRAINT_FUNCTION": 1043, "SQLITE_CONSTRAINT_NOTNULL": codeNotNull, "SQLITE_CONSTRAINT_PRIMARYKEY": codePrimaryKey,
	"SQLITE_CONSTRAINT_TRIGGER": 1811, "SQLITE_CONSTRAINT_UNIQUE": codeUnique, "SQLITE_CONSTRAINT_VTAB": 2323,
	"SQLITE_CONSTRAINT_ROWID": 2579, "SQLITE_CONSTRAINT_PINNED": 2835, "SQLITE_CONSTRAINT_DATATYPE": 3091,
}

// constraints are those whose message says more than a bare SQLITE_CONSTRAINT after it.
var constraints = []struct {
	text string
	code int
}{
	{"UNIQUE constraint failed", codeUnique},
	{"FOREIGN KEY constraint failed", codeForeignKey},
	{"NOT NULL constraint failed", codeNotNull},
	{"CHECK constraint failed", codeCheck},
}

var sqliteCode = regexp.MustCompile(`: (SQLITE_[A-Z_]+)(?: \(extended: (SQLITE_[A-Z_]+)\))?$`)

// extendedCode reads SQLite's code out of a message, 0 if there is none.
func extendedCode(message string) int {
	m := sqliteCode.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	if code, ok := sqliteCodes[m[2]]; ok {
		return code
	}
	code, ok := sqliteCodes[m[1]]
	if !ok {
		code = 1
	}
	if code == sqliteCodes["SQLITE_CONSTRAINT"] {
		for _, c := range constraints {
			if strings.Contains(message, c.text) {
				return c.code
			}
		}
	}
	return code
}
