package gormkey

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gormkey/gormkey/internal/engine"
)

// gormWords are GORM's own names for types, which GORM would replace by a type of the database.
var gormWords = []string{"bool", "uint", "float", "string", "time", "bytes"}

// errNoInteger: MySQL takes the text "1abc" for the number 1, so the sessions of user "1abc"
// would be those of user 1.
var errNoInteger = &ArgumentError{"user id", "is no integer that the column holds, in its shortest form"}

// numericForm is the form in which databases return a number without decimals.
var numericForm = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

// checkHeld refuses an id that a column of the type would cut, pad, or take for another id. "007"
// in a bigint comes back as "7": the database would find the row, and the library, which compares
// the ids again, would not.
func checkHeld(t engine.Type, id string) error {
	switch {
	case t.Family == "uuid" && !uuidForm.MatchString(id):
		return &ArgumentError{"user id", "is no uuid in lower case"}
	case t.Family == "integer":
		if n, err := strconv.ParseInt(id, 10, t.Width); err != nil || strconv.FormatInt(n, 10) != id {
			return errNoInteger
		}
	case t.Family == "unsigned":
		if n, err := strconv.ParseUint(id, 10, t.Width); err != nil || strconv.FormatUint(n, 10) != id {
			return errNoInteger
		}
	case t.Family == "numeric":
		digits := strings.TrimPrefix(id, "-")
		if !numericForm.MatchString(id) || t.Width > 0 && len(digits) > t.Width {
			return errNoInteger
		}
	case t.IsText() && t.Width > 0:
		return checkLength(t, id)
	}
	return nil
}

// checkLength compares the length of an id with the width of its column, in the unit in which the
// column counts: characters of a varchar, bytes of a varbinary.
func checkLength(t engine.Type, id string) error {
	length, unit := len(id), "bytes"
	if t.Family == "text" {
		length, unit = utf8.RuneCountInString(id), "characters"
	}
	switch {
	case length > t.Width:
		return &ArgumentError{"user id", fmt.Sprintf("is %d %s long, over %d", length, unit, t.Width)}
	case t.Padded && length < t.Width:
		return &ArgumentError{"user id", fmt.Sprintf("is %d %s long, which a column of %d fills up", length, unit, t.Width)}
	}
	return nil
}
