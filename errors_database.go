package gormkey

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gormkey/gormkey/internal/engine"
)

// Retryable reports whether err is transient (a deadlock, a serialization failure, a lock
// timeout, a busy SQLite), so that the whole transaction can be retried. The repository's own
// transactions do so by themselves.
func Retryable(err error) bool { return engine.IsRetryable(err) }

// callerError turns the error of a statement into the error that the caller of op gets: a
// decision of the library as it is, the context's error if the context has ended, and a
// [DatabaseError] if the database gave a code. Errors of the application's own hooks keep their
// text.
func callerError(ctx context.Context, op string, err error) error {
	var (
		argument *ArgumentError
		usage    *UsageError
		owned    *restrictedError
		database *DatabaseError
	)
	switch {
	case err == nil:
		return nil
	case isOurs(err) || errors.As(err, &argument) || errors.As(err, &usage) || errors.As(err, &owned) || errors.As(err, &database):
		return err
	case ctx.Err() != nil && (engine.Code(err) != "" || errors.Is(err, sql.ErrTxDone) || !errors.Is(err, ctx.Err())):
		// Each driver reports it differently: code 57014, a bad connection, a timeout.
		return fmt.Errorf("gormkey: %s: %w", op, ctx.Err())
	case pastDeadline(ctx) && errors.Is(err, os.ErrDeadlineExceeded):
		// A dialer has the context's deadline for its own, and its timer may ring first.
		return fmt.Errorf("gormkey: %s: %w", op, context.DeadlineExceeded)
	case engine.Code(err) == "" && engine.Says(err, "sql: database is closed"):
		return &UsageError{"db", "is closed"}
	}
	if code := engine.Code(err); code != "" {
		what, name := engine.Missing(err) // before the statement is cut out, as Vitess has both in one text
		return &DatabaseError{Op: op, Code: code, err: engine.WithoutStatement(err), missing: what, name: name}
	}
	return fmt.Errorf("gormkey: %s: %w", op, err)
}

// pastDeadline asks the clock. A dialer has the same deadline as ctx and a timer of its own,
// which may ring first; ctx.Err() is still nil then.
func pastDeadline(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// isOurs reports whether err is a decision of the library, which the caller gets as it is.
func isOurs(err error) bool {
	for _, sentinel := range []error{
		ErrInvalidCredentials, ErrInvalidSession, ErrInvalidToken, ErrKeyNotFound, ErrInvalidPassword, ErrUserNotFound, ErrDuplicateKey, ErrDuplicateUser,
		ErrDuplicateSession, ErrDuplicateAttribute, errDuplicate, ErrLastKey, ErrNotRecent, ErrSuspended, ErrBusy, ErrOutcomeUnknown, ErrNotRegistered, ErrRights, ErrRolledBack, errChanged, errAbsent,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}
