package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/gormkey/gormkey"
)

// failure is an error as it is answered. Its message has no values.
type failure struct {
	// Code is Lucia's where Lucia has one, or else INVALID_REQUEST, INVALID_ARGUMENT,
	// DATABASE, CANCELED or INTERNAL.
	Code    string `json:"code"`
	Message string `json:"message"`
}

var (
	errDuplicateKey = &failure{"AUTH_DUPLICATE_KEY_ID", "there is a key of this id"}
	errInvalidUser  = &failure{"AUTH_INVALID_USER_ID", "there is no user of this id"}
)

func (f *failure) Error() string { return f.Message }

func invalid(format string, args ...any) *failure {
	return &failure{"INVALID_ARGUMENT", fmt.Sprintf(format, args...)}
}

// describe says what went wrong in a method, without the values that a driver's message
// would have.
func describe(method string, err error) error {
	var (
		known    *failure
		argument *gormkey.ArgumentError
	)
	switch code := databaseCode(err); {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.As(err, &argument):
		return invalid("%s", argument.Error())
	case errors.Is(err, gormkey.ErrInvalidExpiry):
		return &failure{"DATABASE", method + ": the row has an expiry that is no time in milliseconds"}
	case code != "":
		return &failure{"DATABASE", method + ": the database refused the statement, with code " + code}
	default:
		return &failure{"DATABASE", method + ": the database did not answer the statement"}
	}
}

func asFailure(err error) *failure {
	var known *failure
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.Canceled):
		return &failure{"CANCELED", "the input ended first"}
	}
	return &failure{"INTERNAL", "the answer cannot be written"}
}

var (
	duplicateCodes  = []string{"23505", "1062", "1555", "2067"}
	foreignKeyCodes = []string{"23503", "1452", "787"}
)

func isDuplicate(err error) bool  { return slices.Contains(duplicateCodes, databaseCode(err)) }
func isForeignKey(err error) bool { return slices.Contains(foreignKeyCodes, databaseCode(err)) }

// databaseCode returns PostgreSQL's SQLSTATE, MySQL's number or SQLite's extended code,
// or "".
func databaseCode(err error) string {
	var (
		postgresError *pgconn.PgError
		mysqlError    *mysql.MySQLError
		sqliteError   *sqlite.Error
	)
	switch {
	case errors.As(err, &postgresError):
		return postgresError.Code
	case errors.As(err, &mysqlError):
		return strconv.Itoa(int(mysqlError.Number))
	case errors.As(err, &sqliteError):
		return strconv.Itoa(sqliteError.Code())
	}
	return ""
}
