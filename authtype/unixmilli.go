package authtype

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// UnixMilli is a moment in milliseconds since 1970-01-01 UTC, stored as an integer
// as Lucia stores it. It is read from whatever a SQLite column may hold for such a
// number: INTEGER, REAL, and TEXT or BLOB of digits.
type UnixMilli int64

var (
	_ sql.Scanner   = (*UnixMilli)(nil)
	_ driver.Valuer = UnixMilli(0)
)

// maxMilli is 9999-12-31T23:59:59.999Z: a later moment is not a time in
// milliseconds but a mistaken unit, and must not keep a session alive for ever.
const maxMilli = 253402300799999

// Time returns the moment as a time in UTC.
func (m UnixMilli) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// Value returns the moment as an int64.
func (m UnixMilli) Value() (driver.Value, error) { return int64(m), nil }

// Scan reads a moment. NULL reads as zero. What is no whole number of milliseconds
// between the years 1970 and 9999 is an error that wraps [ErrInvalidExpiry].
func (m *UnixMilli) Scan(src any) error {
	var (
		n   int64
		err error
	)
	switch v := src.(type) {
	case nil:
	case int64:
		n = v
	case uint64: // MySQL's BIGINT UNSIGNED by the text protocol
		n = int64(min(v, maxMilli+1))
	case float64:
		n, err = wholeMilli(v)
	case []byte:
		n, err = parseMilli(string(v))
	case string:
		n, err = parseMilli(v)
	default:
		err = fmt.Errorf("%w: stored as %T", ErrInvalidExpiry, src)
	}
	if err != nil {
		return err
	}
	if n < 0 || n > maxMilli {
		return fmt.Errorf("%w: outside the years 1970 to 9999", ErrInvalidExpiry)
	}
	*m = UnixMilli(n)
	return nil
}

// wholeMilli refuses what is no whole number of milliseconds, or beyond every date.
func wholeMilli(f float64) (int64, error) {
	if f != math.Trunc(f) || math.Abs(f) > maxMilli { // NaN fails the first comparison
		return 0, fmt.Errorf("%w: no whole number of milliseconds", ErrInvalidExpiry)
	}
	return int64(f), nil
}

// parseMilli reads digits, with or without the ".0" that a JavaScript number keeps
// in a TEXT column.
func parseMilli(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSuffix(s, ".0"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: no digits", ErrInvalidExpiry)
	}
	return n, nil
}
