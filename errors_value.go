package gormkey

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/internal/engine"
)

// valueError is an error that arose between GORM and the database, and for which no database gave
// a code: a value that a driver cannot encode, or that does not fit a Go field. The texts of such
// errors quote the value. This one says where the value was, and not what it is. The error itself
// is found by errors.As.
type valueError struct{ cause error }

// Error returns the part of the text that is known to hold no value: "field Age: the value does
// not fit".
func (e *valueError) Error() string {
	text := e.cause.Error()
	if place := valuePlace.FindString(text); place != "" {
		return place + ": the value does not fit"
	}
	if field := valueField.FindStringSubmatch(text); field != nil {
		return "field " + field[1] + ": the value does not fit"
	}
	return fmt.Sprintf("a value could not be sent or read (%T)", e.cause)
}

// Unwrap returns the error with its text.
func (e *valueError) Unwrap() error { return e.cause }

var (
	// database/sql, pgx
	valuePlace = regexp.MustCompile(`^(?:sql: Scan error on column index [0-9]+, name "[^"]{0,64}"|sql: converting argument \$[0-9]+ type|can't scan into dest\[[0-9]+\]|failed to encode args\[[0-9]+\])`)
	// gorm.io/gorm/schema
	valueField = regexp.MustCompile(`^failed to set value .* to field ([A-Za-z0-9_]{1,64})$`)
)

// withoutValue returns an error whose text holds no value of the application. It returns err
// itself if that is known of err. An error that arose while a row was read (reading) may come
// from a Scanner of the application, in words of its own, so its text is always hidden. An error
// of a statement that was sent quotes a value if it holds one.
func withoutValue(err error, reading bool) error {
	var (
		known   *valueError
		network *net.OpError
		ours    *ArgumentError
	)
	switch {
	case err == nil, engine.Code(err) != "", errors.As(err, &known), errors.As(err, &network), errors.As(err, &ours),
		engine.Says(err, "sql: database is closed"), engine.Says(err, "invalid connection"):
		return err
	}
	for _, harmless := range harmlessErrors {
		if errors.Is(err, harmless) {
			return err
		}
	}
	if reading && !isOurs(err) || quotesValue.MatchString(err.Error()) {
		return &valueError{err}
	}
	return err
}

// quotesValue finds a quotation mark, and the words with which database/sql, pgx and GORM begin
// errors about a value.
var quotesValue = regexp.MustCompile("[\"'`]|^(?:sql: (?:Scan error|converting)|failed to (?:encode|set)|unable to encode|can't scan|cannot (?:scan|convert|encode))")

// harmlessErrors have fixed texts.
var harmlessErrors = []error{
	context.Canceled, context.DeadlineExceeded, driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF,
	sql.ErrConnDone, sql.ErrNoRows, sql.ErrTxDone,
	gorm.ErrRecordNotFound, gorm.ErrInvalidTransaction, gorm.ErrMissingWhereClause, gorm.ErrUnsupportedRelation, gorm.ErrPrimaryKeyRequired,
	gorm.ErrModelValueRequired, gorm.ErrInvalidData, gorm.ErrInvalidField, gorm.ErrEmptySlice, gorm.ErrInvalidDB, gorm.ErrInvalidValue,
	gorm.ErrDuplicatedKey, gorm.ErrForeignKeyViolated,
}

// registerValues keeps the application's values out of the errors of the repository's statements,
// before GORM logs them. The application's own statements keep theirs. The same callback notes
// the deadlocks of both, for undone.
func registerValues(db *gorm.DB, name string, b *binding) error {
	hide := func(tx *gorm.DB) {
		b.undone.note(tx)
		// If no SQL was built, the error is the application's own.
		if _, ours := tx.Logger.(quietLogger); ours && tx.Error != nil && tx.Statement.SQL.Len() > 0 {
			tx.Error = withoutValue(tx.Error, tx.RowsAffected > 0)
		}
	}
	on := db.Callback()
	return errors.Join(
		on.Create().Before("gorm:save_after_associations").Register(name+":values", hide),
		on.Update().Before("gorm:save_after_associations").Register(name+":values", hide),
		on.Delete().Before("gorm:after_delete").Register(name+":values", hide),
		on.Query().Before("gorm:preload").Register(name+queryCallback, hide),
		on.Query().Before("gorm:query").Register(name+":plan"+queryCallback, b.plans.beforeQuery),
		on.Row().After("gorm:row").Register(name+":values", hide),
		on.Raw().After("gorm:raw").Register(name+":values", hide),
	)
}

// queryCallback ends the name of the plugin's own Query callbacks. They change no query, so
// foreignQueryCallbacks does not count them.
const queryCallback = ":values"
