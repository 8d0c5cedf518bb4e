package gormkey

import (
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/password"
)

// Errors that a caller decides on. Compare with errors.Is. AUTH_… is Lucia's code for the same.
var (
	// ErrInvalidCredentials: a [RepositoryOf.SignIn], [RepositoryOf.UseKey] or
	// [RepositoryOf.ChangePassword] failed, whatever the reason. The reason goes to the hook of
	// [event.SignInFailed]. It may be shown to anybody.
	ErrInvalidCredentials = errors.New("gormkey: invalid credentials")
	// ErrInvalidSession: there is no such session, it is dead, or its user is gone, soft-deleted
	// or not of the caller's tenant. AUTH_INVALID_SESSION_ID.
	ErrInvalidSession = errors.New("gormkey: invalid session")
	// ErrNotRecent: the user showed too long ago who they are, or not by their password. Ask for it
	// by [RepositoryOf.Reauthenticate], and try again. See [RepositoryOf.As].
	ErrNotRecent = errors.New("gormkey: the user has to re-authenticate")
	// ErrSuspended: the user is kept out. Every such error is a [SuspendedError], which says until
	// when. See [RepositoryOf.Suspend].
	ErrSuspended = errors.New("gormkey: the user is suspended")
	// ErrKeyNotFound: there is no such key. AUTH_INVALID_KEY_ID.
	ErrKeyNotFound = errors.New("gormkey: key not found")
	// ErrInvalidPassword: the key has another password, or none. Hooks get it, and callers of
	// [RepositoryOf.ShareKey]. AUTH_INVALID_PASSWORD.
	ErrInvalidPassword = errors.New("gormkey: invalid password")
	// ErrInvalidToken: the one-time token is unknown, used, expired, voided by a later one, or of
	// another purpose. Let the user ask for a new one.
	ErrInvalidToken = errors.New("gormkey: invalid one-time token")
	// ErrUserNotFound: there is no such user. AUTH_INVALID_USER_ID.
	ErrUserNotFound = errors.New("gormkey: user not found")
	// ErrDuplicateKey: somebody has this provider and id already. AUTH_DUPLICATE_KEY_ID.
	ErrDuplicateKey = errors.New("gormkey: duplicate key")
	// ErrDuplicateUser: somebody has the user id that the application gave.
	ErrDuplicateUser = errors.New("gormkey: duplicate user id")
	// ErrDuplicateSession: the token that the application gave is in use.
	ErrDuplicateSession = errors.New("gormkey: duplicate session")
	// ErrDuplicateAttribute: a unique column of the application's own, such as an email address,
	// has this value already.
	ErrDuplicateAttribute = errors.New("gormkey: duplicate attribute")
	// ErrLastKey: the user would be left without a way to sign in; see [AllowLastKey].
	ErrLastKey = errors.New("gormkey: last key of the user")
	// ErrInvalidExpiry: a stored expiry is no time in milliseconds. The check of such a session
	// returns ErrInvalidSession; a list with it returns this error.
	ErrInvalidExpiry = authtype.ErrInvalidExpiry
	// ErrInvalidArgument is wrapped by every [ArgumentError].
	ErrInvalidArgument = errors.New("gormkey: invalid argument")
	// ErrUsage is wrapped by every [UsageError].
	ErrUsage = errors.New("gormkey: wrong use of the library")
	// ErrBusy: too many passwords are being hashed; or, on a database without transactions, other
	// calls changed the same rows five times over; or Vitess ended a statement that waited too
	// long. Nothing was written. Answer 503 and let the client try again.
	ErrBusy = password.ErrBusy
	// ErrOutcomeUnknown: the connection was lost while the database committed, so the change is
	// either done completely or not at all. Read again before you repeat it. (If the context ends
	// during an operation of one statement, the same is unknown, and the error is the context's.)
	ErrOutcomeUnknown = errors.New("gormkey: outcome unknown")
	// ErrRights: PostgreSQL's row level security lets the database's role read a row that it may
	// not lock, change or delete, so the operation was not done. The users' table needs a policy
	// FOR UPDATE that lets the user's row pass. The tables of keys, sessions and tokens need one
	// FOR ALL.
	ErrRights = errors.New("gormkey: row level security lets the role read a row and not lock or change it: give the role a policy for it")
	// ErrRolledBack: a statement in the transaction failed and its error was ignored, most likely
	// by a hook, so PostgreSQL rolled everything back. Nothing was done. Return the errors of a
	// hook's statements, or run those that may fail in tx.Transaction, which is a savepoint.
	ErrRolledBack = errors.New("gormkey: rolled back after a statement whose error was ignored")
	// ErrNotRegistered: the handle's database has no plugin for this user type, or db.Use refused
	// it. Call db.Use(gormkey.New[…]()) right after gorm.Open, and look at its error.
	ErrNotRegistered = errors.New("gormkey: plugin not registered")
)

// ArgumentError says that an input was refused before any statement was sent. A visitor may have
// typed it, and both fields may be shown to the visitor: answer 400.
type ArgumentError struct {
	Argument string // the field, such as "password"
	Reason   string // what is wrong with it and which bound there is, without its value
}

// Error returns "gormkey: " + argument + ": " + reason.
func (e *ArgumentError) Error() string { return "gormkey: " + e.Argument + ": " + e.Reason }

// Unwrap returns [ErrInvalidArgument].
func (e *ArgumentError) Unwrap() error { return ErrInvalidArgument }

// UsageError says that the program called an operation in a way that cannot work, before any
// statement was sent. This is a programming error: no input of a visitor changes it, so fix your
// code.
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
	Op   string // the operation, such as "create user"
	Code string // SQLSTATE, MySQL's number, or SQLite's extended code
	err  error

	missing, name string // "table", "column" or "schema", and its name
}

// Error returns the operation, the code, and which table or column is missing.
func (e *DatabaseError) Error() string {
	if e.missing != "" {
		cure := "run plugin.AutoMigrate, or your migrations"
		if e.missing == "schema" {
			cure = "create it"
		}
		return fmt.Sprintf("gormkey: %s: the %s %s does not exist: %s (database error %s)", e.Op, e.missing, e.name, cure, e.Code)
	}
	return fmt.Sprintf("gormkey: %s: database error %s", e.Op, e.Code)
}

// Unwrap returns the driver's error.
func (e *DatabaseError) Unwrap() error { return e.err }

// Is reports a violated foreign key as [gorm.ErrForeignKeyViolated], whether the application has
// set TranslateError or not: a user to whom a table of the application refers cannot be deleted.
// It reports a statement that waited so long that Vitess ended it as [ErrBusy].
func (e *DatabaseError) Is(target error) bool {
	return target == gorm.ErrForeignKeyViolated && engine.IsForeignKey(e.err) || target == ErrBusy && engine.IsKilled(e.err)
}
