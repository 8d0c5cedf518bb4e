package engine

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm"
)

// Code returns the code that the database gave err, or "" if it gave none: the five characters of
// an SQLSTATE ("23505"), MySQL's number ("1062"), or SQLite's extended result code ("2067"). The
// drivers are recognised by the shape of their errors, so no driver is linked into a program that
// does not use it.
func Code(err error) string {
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
			if code := Code(e); code != "" {
				return code
			}
		}
		return ""
	}
	return Code(errors.Unwrap(err))
}

// errorNumber returns the integer that an error has as a method or as a field of this name. Some
// drivers have the one and some the other.
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

// integer returns a number of any integer type: the drivers use uint16, int and types of their
// own.
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
	// A deadlock, a lost serialization race, or a lock that was not granted in time. In each case
	// the transaction may run again as a whole.
	retryCodes = []string{"40001", "40P01", "55P03", "1213", "1205", "1020"}
)

// A driver of SQLite may give no code. A text is looked at only then: it may hold values
// of the application, which could say anything.
var (
	duplicateText  = regexp.MustCompile(`(?m)(?:^|: )UNIQUE constraint failed: \S+\.\S+`)
	foreignKeyText = regexp.MustCompile(`(?m)(?:^|: )FOREIGN KEY constraint failed`)
)

// IsDuplicate reports whether err is a violated unique constraint.
func IsDuplicate(err error) bool {
	if code := Code(err); code != "" || err == nil {
		return slices.Contains(duplicateCodes, code)
	}
	return errors.Is(err, gorm.ErrDuplicatedKey) || duplicateText.MatchString(err.Error())
}

// IsForeignKey reports whether err is a violated foreign key.
func IsForeignKey(err error) bool {
	if code := Code(err); code != "" || err == nil {
		return slices.Contains(foreignKeyCodes, code)
	}
	return errors.Is(err, gorm.ErrForeignKeyViolated) || foreignKeyText.MatchString(err.Error())
}

// IsOtherType reports whether a foreign key was refused since its columns differ in type, or
// the change of such a column since it is part of one.
func IsOtherType(err error) bool {
	return slices.Contains([]string{"3780", "1005", "42804", "1832", "1833"}, Code(err))
}

// Says reports whether err, or an error that it wraps, has exactly this text. Some packages do
// not export their errors, so nothing else tells them. A part of a text is never enough: a value
// of the application could hold the same words.
func Says(err error, text string) bool {
	if err == nil {
		return false
	}
	if err.Error() == text {
		return true
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return Says(e, text) })
	}
	return Says(errors.Unwrap(err), text)
}

// IsRetryable reports whether err is transient: a deadlock, a lost serialization race, a lock
// that was not granted in time, or a busy SQLite. Nothing was done, and the whole transaction may
// run again.
func IsRetryable(err error) bool {
	code := Code(err)
	if slices.Contains(retryCodes, code) {
		return true
	}
	n, _ := strconv.Atoi(code)
	return len(code) < 4 && (n&0xff == 5 || n&0xff == 6) // SQLITE_BUSY and SQLITE_LOCKED, with their extended forms
}

// readOnlyCodes are answers to a write that the database, or this role, does not take: it is
// read-only or full, or the right to UPDATE was not granted. The short ones are SQLite's. A
// session check goes on without the renewal then.
var readOnlyCodes = []string{
	"25006", "42501", "53100", "1290", "1836", "1792", "1142", "1143", "1021", "8", "264", "520", "776", "13",
}

// IsReadOnly reports whether the database, or this role, takes no such write.
func IsReadOnly(err error) bool { return slices.Contains(readOnlyCodes, Code(err)) }

// IsRolledBack reports whether a COMMIT became a rollback, because a statement had failed and its
// error was ignored. PostgreSQL then answers COMMIT with "ROLLBACK" and no error, and each driver
// makes an error of its own of that.
func IsRolledBack(err error) bool {
	return Says(err, "commit unexpectedly resulted in rollback") || // pgx
		Says(err, "pq: could not complete operation in a failed transaction") || Says(err, "pq: Could not complete operation in a failed transaction")
}

// IsConnectionLost reports whether the answer to a statement may have been lost. An error of
// dialing is none: then the statement was never sent.
func IsConnectionLost(err error) bool {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var network *net.OpError
	return errors.As(err, &network) && network.Op != "dial" || Says(err, "invalid connection") // go-sql-driver/mysql
}

// IsStalePlan reports whether a prepared statement of PostgreSQL failed because another process
// has changed the type of a column that it returns (0A000, feature_not_supported).
func IsStalePlan(err error) bool { return Code(err) == "0A000" }

// UndoesTransaction reports whether MySQL has undone the whole transaction because of a deadlock
// (1213, ER_LOCK_DEADLOCK). The connection is then outside any transaction, so MySQL commits each
// later statement by itself.
func UndoesTransaction(err error) bool { return Code(err) == "1213" }

// IsKilled reports whether Vitess ended a statement that waited too long, and its transaction
// with it. The codes alone do not tell, since MySQL uses them for a query that somebody killed;
// Vitess names itself in the text.
func IsKilled(err error) bool {
	if code := Code(err); code != "3024" && code != "1317" {
		return false
	}
	v := mysqlError(err)
	return v.IsValid() && strings.Contains(v.FieldByName("Message").String(), "vttablet: ")
}

// WithoutStatement returns a copy of a MySQL error that Vitess wrote, without most of its text.
// Vitess quotes the statement with every bound value, among them hashes and ids, which must not
// get into a log. The copy has the driver's type, so errors.As still finds it.
func WithoutStatement(err error) error {
	v := mysqlError(err)
	if !v.IsValid() || !strings.Contains(v.FieldByName("Message").String(), vitessMarker) {
		return err
	}
	safe := reflect.New(v.Type())
	safe.Elem().Set(v)
	text, _, _ := strings.Cut(v.FieldByName("Message").String(), " desc = ")
	text, _, _ = strings.Cut(text, vitessMarker)
	safe.Elem().FieldByName("Message").SetString(text + " (the rest holds values)")
	return safe.Interface().(error)
}

// mysqlError returns the struct of the driver's error behind err, or an invalid value. It compares
// the name of the type, so that go-sql-driver/mysql is not linked.
func mysqlError(err error) reflect.Value {
	for e := err; e != nil; {
		v := reflect.ValueOf(e)
		if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct && v.Elem().Type().Name() == "MySQLError" {
			if message := v.Elem().FieldByName("Message"); !message.IsValid() || message.Kind() != reflect.String {
				break
			}
			return v.Elem()
		}
		unwrapper, ok := e.(interface{ Unwrap() error })
		if !ok {
			break
		}
		e = unwrapper.Unwrap()
	}
	return reflect.Value{}
}

// vitessMarker stands before the statement and its values.
const vitessMarker = " (CallerID: "
