package gormkey

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"
)

// databaseCode returns the code that the database gave err, or "": the five characters
// of an SQLSTATE, MySQL's number, or SQLite's extended result code. The drivers are
// told apart by the shape of their errors, so that none of them is linked.
func databaseCode(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := err.(interface{ SQLState() string }); ok { // pgx, lib/pq
		return e.SQLState()
	}
	v := reflect.ValueOf(err)
	if n, ok := errorNumber(v, "Number"); ok && reflect.Indirect(v).Type().Name() == "MySQLError" {
		return strconv.FormatInt(n, 10)
	}
	if n, ok := errorNumber(v, "ExtendedCode"); ok && n != 0 { // mattn, ncruces, d1
		return strconv.FormatInt(n, 10)
	}
	if n, ok := errorNumber(v, "Code"); ok && strings.Contains(reflect.Indirect(v).Type().PkgPath(), "sqlite") { // modernc, glebarez
		return strconv.FormatInt(n, 10)
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if code := databaseCode(e); code != "" {
				return code
			}
		}
		return ""
	}
	return databaseCode(errors.Unwrap(err))
}

// errorNumber returns the integer that an error has as a method or a field.
func errorNumber(err reflect.Value, name string) (int64, bool) {
	if m := err.MethodByName(name); m.IsValid() {
		if t := m.Type(); t.NumIn() != 0 || t.NumOut() != 1 {
			return 0, false
		}
		return integer(m.Call(nil)[0])
	}
	if v := reflect.Indirect(err); v.Kind() == reflect.Struct {
		return integer(v.FieldByName(name))
	}
	return 0, false
}

func integer(v reflect.Value) (int64, bool) {
	switch {
	case !v.IsValid():
		return 0, false
	case v.CanInt():
		return v.Int(), true
	case v.CanUint():
		return int64(v.Uint()), true
	default:
		return 0, false
	}
}

var (
	duplicateCodes  = []string{"23505", "1062", "1586", "1555", "2067", "2579"}
	foreignKeyCodes = []string{"23503", "1216", "1217", "1451", "1452", "787"}
	// A deadlock, a lost serialization race or a lock that was not had in time: the
	// transaction is undone and may run again.
	retryCodes = []string{"40001", "40P01", "55P03", "1213", "1205", "1020"}
)

// A driver of SQLite may give no code. A text is looked at only then: it may hold values
// of the application, which could say anything.
var (
	duplicateText  = regexp.MustCompile(`(?m)(?:^|: )UNIQUE constraint failed: \S+\.\S+`)
	foreignKeyText = regexp.MustCompile(`(?m)(?:^|: )FOREIGN KEY constraint failed`)
)

func isDuplicate(err error) bool {
	if code := databaseCode(err); code != "" || err == nil {
		return slices.Contains(duplicateCodes, code)
	}
	return errors.Is(err, gorm.ErrDuplicatedKey) || duplicateText.MatchString(err.Error())
}

func isForeignKey(err error) bool {
	if code := databaseCode(err); code != "" || err == nil {
		return slices.Contains(foreignKeyCodes, code)
	}
	return errors.Is(err, gorm.ErrForeignKeyViolated) || foreignKeyText.MatchString(err.Error())
}

// says reports whether err, or one that it wraps, has exactly this text: it is how errors
// are told that another package does not export.
func says(err error, text string) bool {
	if err == nil {
		return false
	}
	if err.Error() == text {
		return true
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return says(e, text) })
	}
	return says(errors.Unwrap(err), text)
}

// Retryable reports whether the database ended a transaction, or refused a statement, for
// what goes by: a deadlock, a lost serialization race, a lock that was not had in time, a
// busy SQLite. Nothing of it was done, and the whole may run again. The repository's own
// transactions do so by themselves.
func Retryable(err error) bool {
	code := databaseCode(err)
	if slices.Contains(retryCodes, code) {
		return true
	}
	n, _ := strconv.Atoi(code)
	return len(code) < 4 && (n&0xff == 5 || n&0xff == 6) // SQLITE_BUSY and SQLITE_LOCKED, with their extended forms
}

// readOnlyCodes are answers to a write that the database, or this role, does not take: it is
// read-only or full, or the right to UPDATE was not granted. The short ones are SQLite's.
var readOnlyCodes = []string{
	"25006", "42501", "53100", "1290", "1836", "1792", "1142", "1143", "1021", "8", "264", "520", "776", "13",
}

func isReadOnly(err error) bool { return slices.Contains(readOnlyCodes, databaseCode(err)) }

// report turns what a statement returned into what the caller of op gets. Errors that
// came from the application's own hooks pass with their text.
func report(ctx context.Context, op string, err error) error {
	var (
		argument *ArgumentError
		database *DatabaseError
	)
	switch {
	case err == nil:
		return nil
	case isOurs(err) || errors.As(err, &argument) || errors.As(err, &database):
		return err
	case ctx.Err() != nil && (databaseCode(err) != "" || errors.Is(err, sql.ErrTxDone) || !errors.Is(err, ctx.Err())):
		// Each driver says it in its own words: code 57014, a bad connection, a timeout.
		return fmt.Errorf("gormkey: %s: %w", op, ctx.Err())
	case pastDeadline(ctx) && errors.Is(err, os.ErrDeadlineExceeded):
		// A dialer has the context's deadline for its own, and its timer may ring first.
		return fmt.Errorf("gormkey: %s: %w", op, context.DeadlineExceeded)
	case databaseCode(err) == "" && says(err, "sql: database is closed"):
		return &ArgumentError{"db", "is closed"}
	}
	if code := databaseCode(err); code != "" {
		return &DatabaseError{Op: op, Code: code, err: withoutValues(err)}
	}
	return fmt.Errorf("gormkey: %s: %w", op, err)
}

func pastDeadline(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// isOurs reports whether err is a decision that is reported as it is.
func isOurs(err error) bool {
	for _, sentinel := range []error{
		ErrInvalidCredentials, ErrInvalidSession, ErrInvalidToken, ErrInvalidKey, ErrInvalidPassword, ErrInvalidUser, ErrDuplicateKey, ErrDuplicateUser,
		ErrDuplicateSession, ErrDuplicateAttribute, errDuplicate, ErrLastKey, ErrBusy, ErrOutcomeUnknown, ErrDryRun, ErrNotRegistered, ErrIsolation, ErrRights, ErrRolledBack, errChanged, errAbsent,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// commitError tells a refused commit from one whose answer was lost.
func commitError(err error) error {
	switch {
	case says(err, "commit unexpectedly resulted in rollback"), // pgx
		says(err, "pq: could not complete operation in a failed transaction"), says(err, "pq: Could not complete operation in a failed transaction"):
		return fmt.Errorf("%w: %w", ErrRolledBack, err)
	case databaseCode(err) != "", errors.Is(err, sql.ErrTxDone):
		return err
	case err == context.Canceled || err == context.DeadlineExceeded: // as database/sql returns it before it asks the driver
		return err
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
}

// isConnectionLost reports whether the answer to a statement may have been lost.
func isConnectionLost(err error) bool {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var network *net.OpError
	return errors.As(err, &network) && network.Op != "dial" || says(err, "invalid connection") // go-sql-driver/mysql
}
