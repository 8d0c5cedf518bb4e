package gormkey

import (
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/password"
)

// Errors that a caller decides on. Compare with errors.Is. Lucia's code, where there
// is one, stands behind the name.
var (
	// ErrInvalidCredentials answers every failed [RepositoryOf.SignIn] and
	// [RepositoryOf.UseKey], whatever the reason; the reason goes to the hook of
	// [event.SignInFailed]. Show it to anybody.
	ErrInvalidCredentials = errors.New("gormkey: invalid credentials")
	// ErrInvalidSession: no such session, a dead one, or one whose user is gone,
	// soft-deleted or out of the caller's tenant. AUTH_INVALID_SESSION_ID.
	ErrInvalidSession = errors.New("gormkey: invalid session")
	// ErrKeyNotFound: no such key. AUTH_INVALID_KEY_ID.
	ErrKeyNotFound = errors.New("gormkey: key not found")
	// ErrInvalidPassword: the key has another password, or none. It reaches hooks,
	// and callers of [RepositoryOf.ShareKey]. AUTH_INVALID_PASSWORD.
	ErrInvalidPassword = errors.New("gormkey: invalid password")
	// ErrInvalidToken: no such one-time token: unknown, used, expired, voided by a later
	// one, or of another purpose. Let the user ask for another.
	ErrInvalidToken = errors.New("gormkey: invalid one-time token")
	// ErrUserNotFound: no such user. AUTH_INVALID_USER_ID.
	ErrUserNotFound = errors.New("gormkey: user not found")
	// ErrDuplicateKey: somebody has this provider and id already. AUTH_DUPLICATE_KEY_ID.
	ErrDuplicateKey = errors.New("gormkey: duplicate key")
	// ErrDuplicateUser: the user id given by the application is taken.
	ErrDuplicateUser = errors.New("gormkey: duplicate user id")
	// ErrDuplicateSession: the token given by the application is in use.
	ErrDuplicateSession = errors.New("gormkey: duplicate session")
	// ErrDuplicateAttribute: a unique column of the application's own, an email say,
	// has this value already.
	ErrDuplicateAttribute = errors.New("gormkey: duplicate attribute")
	// ErrLastKey: the user would be left without a way to sign in; see [AllowLastKey].
	ErrLastKey = errors.New("gormkey: last key of the user")
	// ErrInvalidExpiry: a stored expiry is no moment in milliseconds. Validating such
	// a session answers ErrInvalidSession; a list that holds it answers this.
	ErrInvalidExpiry = authtype.ErrInvalidExpiry
	// ErrInvalidArgument is wrapped by every [ArgumentError].
	ErrInvalidArgument = errors.New("gormkey: invalid argument")
	// ErrUsage is wrapped by every [UsageError].
	ErrUsage = errors.New("gormkey: wrong use of the library")
	// ErrBusy: too many passwords are being hashed, or on a database without transactions
	// other calls changed the same rows five times over, or Vitess ended a statement that
	// waited too long; nothing was written. Answer 503 and let the client try again.
	ErrBusy = password.ErrBusy
	// ErrOutcomeUnknown: the connection was lost while the database committed, so the
	// change is either whole or absent. Read again before repeating it. (A context that
	// ends during an operation of one statement leaves the same doubt, and answers with
	// the context's error.)
	ErrOutcomeUnknown = errors.New("gormkey: outcome unknown")
	// ErrRights: PostgreSQL's row level security lets the database's role read a row that it
	// may not lock, change or delete, so the operation was not done. The users' table needs a
	// policy FOR UPDATE that the user's row passes; the tables of keys, sessions and tokens
	// need one for ALL.
	ErrRights = errors.New("gormkey: row level security lets the role read a row and not lock or change it: give the role a policy for it")
	// ErrRolledBack: a statement in the transaction failed and its error was ignored, by a
	// hook most likely, so that PostgreSQL rolled all of it back. Nothing was done. Return
	// the errors of a hook's statements, or run those that may fail in a transaction of
	// tx, which is a savepoint.
	ErrRolledBack = errors.New("gormkey: rolled back after a statement whose error was ignored")
	// ErrNotRegistered: the handle's database has no plugin for this user type, or
	// refused it. Call db.Use(gormkey.New[…]()) right after gorm.Open.
	ErrNotRegistered = errors.New("gormkey: plugin not registered")
)

// ArgumentError says that an input, which a visitor may have typed, was refused before any
// statement was sent. Both fields may be shown to the visitor: answer 400.
type ArgumentError struct {
	Argument string // the field, such as "password"
	Reason   string // what is wrong with it and which bound there is, without its value
}

// Error returns "gormkey: " + argument + ": " + reason.
func (e *ArgumentError) Error() string { return "gormkey: " + e.Argument + ": " + e.Reason }

// Unwrap returns [ErrInvalidArgument].
func (e *ArgumentError) Unwrap() error { return ErrInvalidArgument }

// UsageError says that the program called an operation in a way that cannot work, before any
// statement was sent: no input of a visitor changes that, so fix your code.
type UsageError struct {
	Argument string // the argument, such as "db"
	Reason   string // what is wrong with it, and what to do
}

// Error returns "gormkey: " + argument + ": " + reason.
func (e *UsageError) Error() string { return "gormkey: " + e.Argument + ": " + e.Reason }

// Unwrap returns [ErrUsage].
func (e *UsageError) Unwrap() error { return ErrUsage }

// DatabaseError is an error of the database for which there is no sentinel. Its text
// holds the operation and the database's code, and if a table or a column is not there, its name and
// what to do. The driver's own error, whose text may hold the values of a row, is reached with
// errors.As.
type DatabaseError struct {
	Op   string // the operation, "create user" say
	Code string // SQLSTATE, MySQL's number, or SQLite's extended code
	err  error
}

// Error returns the operation, the code, and which table or column is missing.
func (e *DatabaseError) Error() string {
	if what, name := engine.Missing(e.err); what != "" {
		cure := "run plugin.AutoMigrate, or your migrations"
		if what == "schema" {
			cure = "create it"
		}
		return fmt.Sprintf("gormkey: %s: the %s %s does not exist: %s (database error %s)", e.Op, what, name, cure, e.Code)
	}
	return fmt.Sprintf("gormkey: %s: database error %s", e.Op, e.Code)
}

// Unwrap returns the driver's error.
func (e *DatabaseError) Unwrap() error { return e.err }

// Is reports a violated foreign key as gorm.ErrForeignKeyViolated, whether the
// application has TranslateError set or not: a user whom a table of the application
// still points at cannot be deleted. It reports a statement that Vitess ended since it
// waited too long as [ErrBusy].
func (e *DatabaseError) Is(target error) bool {
	return target == gorm.ErrForeignKeyViolated && engine.IsForeignKey(e.err) || target == ErrBusy && engine.IsKilled(e.err)
}
