package gormkey

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gorm.io/gorm/schema"
)

// idType is the type of a column as far as it matters for ids: what it holds, and how
// much of it.
type idType struct {
	family string // "text", "bytes", "integer", "unsigned", "uuid" or the type's own name; "" for none
	width  int    // characters, bytes or bits; 0 for no bound that matters
	padded bool   // it fills up what is shorter
}

var (
	typeModifier = regexp.MustCompile(`\s+(?:collate|character set|charset|not null|null|default|generated|primary key|unique|check|references|constraint|auto_increment|autoincrement)\b.*$`)
	typeArgument = regexp.MustCompile(`^\d+`)
)

// parseIDType reads a type as an application writes it, or as a catalog does.
func parseIDType(dialect, sqlType string) idType {
	text := typeModifier.ReplaceAllString(strings.ToLower(strings.Join(strings.Fields(sqlType), " ")), "")
	name, rest, _ := strings.Cut(text, "(")
	arguments, after, _ := strings.Cut(rest, ")")
	width, _ := strconv.Atoi(typeArgument.FindString(strings.TrimSpace(arguments)))
	name = strings.TrimSpace(name)
	if dialect == "sqlite" {
		return sqliteType(name)
	}
	if strings.Contains(name+after, "unsigned") {
		return idType{family: "unsigned", width: integerBits[strings.Fields(name)[0]]}
	}
	name = strings.Trim(name[strings.LastIndexByte(name, '.')+1:], `"`) // without its schema
	if bits := integerBits[name]; bits > 0 {
		return idType{family: "integer", width: bits}
	}
	switch name {
	case "varchar", "character varying", "nvarchar":
		return idType{family: "text", width: width}
	case "char", "character", "bpchar":
		if name != "bpchar" {
			width = max(width, 1)
		}
		return idType{family: "text", width: width, padded: dialect == "postgres" && width > 0}
	case "text", "mediumtext", "longtext":
		return idType{family: "text"}
	case "varbinary":
		return idType{family: "bytes", width: width}
	case "binary":
		return idType{family: "bytes", width: max(width, 1), padded: true}
	case "bytea", "blob", "mediumblob", "longblob":
		return idType{family: "bytes"}
	case "numeric", "decimal", "dec", "fixed":
		return idType{family: "numeric", width: width}
	}
	return idType{family: name}
}

// sqliteType returns what a column of SQLite holds, which goes by the letters in the name
// of its type; a width means nothing.
func sqliteType(name string) idType {
	contains := func(part string) bool { return strings.Contains(name, part) }
	switch {
	case contains("int"):
		return idType{family: "integer"}
	case contains("char"), contains("clob"), contains("text"):
		return idType{family: "text"}
	case name == "", contains("blob"): // which converts nothing
		return idType{}
	}
	return idType{family: name}
}

var integerBits = map[string]int{
	"tinyint": 8, "smallint": 16, "int2": 16, "smallserial": 16, "serial2": 16, "mediumint": 24,
	"int": 32, "integer": 32, "int4": 32, "serial": 32, "serial4": 32, "bigint": 64, "int8": 64, "bigserial": 64, "serial8": 64,
}

// fit is how a column that is there fits the type that it should have.
type fit int

const (
	fits     fit = iota
	narrower     // than it should be: it can be widened
	wider        // what it holds could be cut
	otherType
)

// against compares a type that is there with the wanted one. MySQL's texts are told apart
// by their collations, see exactColumn, so that text and bytes are one here.
func (found idType) against(dialect string, wanted idType) fit {
	same := found.family == wanted.family && found.padded == wanted.padded
	if dialect == "mysql" && !found.padded && !wanted.padded {
		texts := []string{"text", "bytes"}
		same = same || slices.Contains(texts, found.family) && slices.Contains(texts, wanted.family)
	}
	switch {
	case found.family == "" || wanted.family == "":
		return fits
	case !same:
		return otherType
	case found.width == wanted.width:
		return fits
	case wanted.width == 0 || found.width > 0 && found.width < wanted.width:
		return narrower
	}
	return wider
}

// check refuses an id that a column of the type would cut, pad, or take for another.
func (t idType) check(id string) error {
	length, unit := len(id), "bytes"
	if t.family == "text" {
		length, unit = utf8.RuneCountInString(id), "characters"
	}
	switch {
	case t.family == "uuid" && !uuidForm.MatchString(id):
		return &ArgumentError{"user id", "is no uuid in lower case"}
	case t.family == "integer":
		if n, err := strconv.ParseInt(id, 10, t.width); err != nil || strconv.FormatInt(n, 10) != id {
			return errNoInteger
		}
	case t.family == "unsigned":
		if n, err := strconv.ParseUint(id, 10, t.width); err != nil || strconv.FormatUint(n, 10) != id {
			return errNoInteger
		}
	case !t.isText() || t.width == 0: // no bound
	case length > t.width:
		return &ArgumentError{"user id", fmt.Sprintf("is %d %s long, over %d", length, unit, t.width)}
	case t.padded && length < t.width:
		return &ArgumentError{"user id", fmt.Sprintf("is %d %s long, which a column of %d fills up", length, unit, t.width)}
	}
	return nil
}

// errNoInteger: MySQL would take "1abc" for 1.
var errNoInteger = &ArgumentError{"user id", "is no integer that the column holds, in its shortest form"}

// isText tells whether a column of the type holds texts or bytes.
func (t idType) isText() bool { return t.family == "text" || t.family == "bytes" }

// takesText tells whether a column of the type holds any text of n characters as it is.
func (t idType) takesText(n int) bool {
	return t.isText() && !t.padded && (t.width == 0 || t.width >= n)
}

// gormWords are types of GORM's own, which it would replace by others.
var gormWords = []string{"bool", "uint", "float", "string", "time", "bytes"}

// gormType returns an SQL type so written that GORM's migrator finds it unchanged in the
// catalog, and the size that goes with it: it compares by prefixes of names, and by
// widths.
func gormType(dialect, sqlType string) (schema.DataType, int) {
	text := strings.Join(strings.Fields(sqlType), " ")
	name, rest, hasArguments := strings.Cut(text, "(")
	arguments, tail, _ := strings.Cut(rest, ")")
	if !hasArguments {
		if i := typeModifier.FindStringIndex(strings.ToLower(text)); i != nil {
			name, tail = text[:i[0]], text[i[0]:]
		}
	}
	name = strings.TrimSpace(name)
	if !strings.Contains(name, `"`) {
		name = strings.ToLower(name)
	}
	if canonical := canonicalTypes[dialect][name]; canonical != "" {
		if canonical == "bpchar" && !hasArguments {
			arguments = "1"
		}
		name = canonical
	} else if name == "int" { // a word of GORM's, for a type by its size
		name = "integer"
	}
	size := 0
	if t := parseIDType(dialect, sqlType); dialect != "sqlite" && t.isText() {
		size = t.width
	}
	arguments = strings.ReplaceAll(arguments, " ", "")
	if dialect == "sqlite" {
		if strings.ContainsAny(name, " ") || strings.Contains(arguments, ",") {
			arguments = "" // which its migrator does not read
		}
		size, _ = strconv.Atoi(arguments)
	}
	if arguments != "" {
		name += "(" + arguments + ")"
	}
	return schema.DataType(strings.TrimSpace(name + strings.TrimRight(tail, " "))), size
}

// canonicalTypes are the names by which a catalog knows types that have several.
var canonicalTypes = map[string]map[string]string{
	"postgres": {"char": "bpchar", "character": "bpchar", "int2": "smallint", "int4": "integer", "int8": "bigint", "dec": "numeric"},
	"mysql":    {"character varying": "varchar", "character": "char", "dec": "decimal", "fixed": "decimal", "numeric": "decimal", "int2": "smallint", "int4": "integer", "int8": "bigint"},
}
