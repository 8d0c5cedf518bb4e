package d1

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxParameters = 100
	maxInteger    = 1<<53 - 1 // above, two integers may be one JavaScript number
	timeLayout    = "2006-01-02 15:04:05.999999999-07:00"
)

// parameters converts what database/sql passes to what D1's JSON has. An error names the
// place, never the value.
func parameters(args []driver.NamedValue) ([]any, error) {
	if len(args) > maxParameters {
		return nil, fmt.Errorf("%w, not %d", ErrTooManyParameters, len(args))
	}
	params := make([]any, len(args))
	for i, arg := range args {
		if arg.Name != "" {
			return nil, fmt.Errorf("%w: %q is named; D1 has ? and ?1 alone", ErrParameter, arg.Name)
		}
		p, err := parameter(arg.Value)
		if err != nil {
			return nil, fmt.Errorf("%w (parameter %d)", err, i+1)
		}
		params[i] = p
	}
	return params, nil
}

func parameter(value driver.Value) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case int64:
		if v > maxInteger || v < -maxInteger {
			return nil, ErrIntegerRange
		}
		return v, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%w: it is not a finite number", ErrParameter)
		}
		return v, nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case []byte:
		if v == nil {
			return nil, nil
		}
		blob := make([]int, len(v)) // encoding/json would write base64
		for i, b := range v {
			blob[i] = int(b)
		}
		return blob, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%w: a text has to be UTF-8", ErrParameter)
		}
		return v, nil
	case time.Time:
		return v.UTC().Format(timeLayout), nil
	}
	return nil, fmt.Errorf("%w: it is a %T", ErrParameter, value)
}

// column converts a value of a row to what database/sql takes.
func column(value any) (driver.Value, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case json.Number:
		return number(string(v))
	case string:
		if t, ok := timestamp(v); ok {
			return t, nil
		}
		return v, nil
	case bool: // not seen from D1
		return v, nil
	case []any:
		blob := make([]byte, len(v))
		for i, n := range v {
			digits, _ := n.(json.Number)
			b, err := strconv.ParseUint(string(digits), 10, 8)
			if err != nil {
				return nil, fmt.Errorf("d1: a blob that is not one of bytes")
			}
			blob[i] = byte(b)
		}
		return blob, nil
	}
	return nil, fmt.Errorf("d1: a %T in a row", value)
}

func number(digits string) (driver.Value, error) {
	if strings.ContainsAny(digits, ".eE") {
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return nil, fmt.Errorf("d1: a number that is not one: %w", err)
		}
		return f, nil
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > maxInteger || n < -maxInteger {
		return nil, ErrIntegerRange
	}
	return n, nil
}

// timestamp reads a text of exactly the form that a time is written in, so that it can be
// written back as it was.
func timestamp(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02 15:04:05-07:00") || len(s) > len(timeLayout) || s[4] != '-' || s[10] != ' ' {
		return time.Time{}, false
	}
	t, err := time.Parse(timeLayout, s)
	if err != nil || t.Format(timeLayout) != s {
		return time.Time{}, false
	}
	if _, offset := t.Zone(); offset == 0 {
		t = t.UTC()
	}
	return t, true
}
