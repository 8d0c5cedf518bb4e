package engine

import (
	"regexp"
	"strconv"
	"strings"

	"gorm.io/gorm/schema"
)

// Type is the type of a column as far as it matters for ids: which values it holds, and how long
// they may be. "varchar(15)" is {Family: "text", Width: 15}; PostgreSQL's "bigint" is {Family:
// "integer", Width: 64}.
type Type struct {
	// Family is "text", "bytes", "integer", "unsigned", "numeric", "uuid" or the type's own
	// name. It is empty for a column that keeps any value as it is.
	Family string
	Width  int  // characters, bytes or bits; 0 for no bound that matters
	Padded bool // shorter values are filled up
}

// IsText reports whether a column of the type holds texts or bytes.
func (t Type) IsText() bool { return t.Family == "text" || t.Family == "bytes" }

// TakesText reports whether a column of the type keeps any text of n characters as it is.
func (t Type) TakesText(n int) bool {
	return t.IsText() && !t.Padded && (t.Width == 0 || t.Width >= n)
}

// ColumnType is how GORM writes a type: its name, and the size that goes with it.
type ColumnType struct {
	Name schema.DataType
	Size int
}

// Fit is how a column that is there fits the type that it should have.
type Fit int

// A column is narrower if it can be widened, and wider if a migration could cut its values.
const (
	Fits Fit = iota
	Narrower
	Wider
	OtherType
)

// compare compares two types by their families and widths. A type without a bound is wider
// than any with one.
func compare(found, wanted Type) Fit {
	switch {
	case found.Family == "" || wanted.Family == "":
		return Fits
	case found.Family != wanted.Family || found.Padded != wanted.Padded:
		return OtherType
	case found.Width == wanted.Width:
		return Fits
	case wanted.Width == 0 || found.Width > 0 && found.Width < wanted.Width:
		return Narrower
	}
	return Wider
}

var (
	// typeModifier is what may follow a type in a column's declaration.
	typeModifier = regexp.MustCompile(`(?i)\s+(?:collate|character set|charset|not null|null|default|generated|primary key|unique|check|references|constraint|auto_increment|autoincrement)\b.*$`)
	// typeArgument is the width of a varchar, or the precision of a numeric.
	typeArgument = regexp.MustCompile(`^\d+`)
)

// readType returns the parts of a type that decide what a column holds: its name in lower
// case, its first argument as a number, and the words after its arguments. An application
// and a catalog write types alike.
func readType(sqlType string) (name string, width int, after string) {
	text := typeModifier.ReplaceAllString(strings.ToLower(strings.Join(strings.Fields(sqlType), " ")), "")
	name, rest, _ := strings.Cut(text, "(")
	arguments, after, _ := strings.Cut(rest, ")")
	width, _ = strconv.Atoi(typeArgument.FindString(strings.TrimSpace(arguments)))
	return strings.TrimSpace(name), width, after
}

// serverType returns what a column of a server holds. Servers fill up short values of a
// char(n), and MySQL takes the filling off again; see its ParseType.
func serverType(sqlType string) Type {
	name, width, after := readType(sqlType)
	first, _, _ := strings.Cut(name, " ")
	if strings.Contains(name+after, "unsigned") {
		return Type{Family: "unsigned", Width: integerBits[first]}
	}
	name = strings.Trim(name[strings.LastIndexByte(name, '.')+1:], `"`) // without its schema
	if bits := integerBits[name]; bits > 0 {
		return Type{Family: "integer", Width: bits}
	}
	switch name {
	case "varchar", "character varying", "nvarchar":
		return Type{Family: "text", Width: width}
	case "char", "character":
		return Type{Family: "text", Width: max(width, 1), Padded: true}
	case "bpchar":
		return Type{Family: "text", Width: width, Padded: width > 0}
	case "text", "mediumtext", "longtext":
		return Type{Family: "text"}
	case "varbinary":
		return Type{Family: "bytes", Width: width}
	case "binary":
		return Type{Family: "bytes", Width: max(width, 1), Padded: true}
	case "bytea", "blob", "mediumblob", "longblob":
		return Type{Family: "bytes"}
	case "numeric", "decimal", "dec", "fixed":
		return Type{Family: "numeric", Width: width}
	}
	return Type{Family: name}
}

// integerBits are the sizes of integers by their names.
var integerBits = map[string]int{
	"tinyint": 8, "smallint": 16, "int2": 16, "smallserial": 16, "serial2": 16, "mediumint": 24,
	"int": 32, "integer": 32, "int4": 32, "serial": 32, "serial4": 32, "bigint": 64, "int8": 64, "bigserial": 64, "serial8": 64,
}

// writtenType is a type in the words that GORM's migrators compare with a catalog's.
type writtenType struct {
	name      string // in lower case, unless it is quoted
	arguments string // without blanks
	tail      string // the words after the arguments, as they were written
	bare      bool   // there are no parentheses
}

// writeType takes a type apart as an application writes it.
func writeType(sqlType string) writtenType {
	text := strings.Join(strings.Fields(sqlType), " ")
	name, rest, arguments := strings.Cut(text, "(")
	w := writtenType{name: name, bare: !arguments}
	w.arguments, w.tail, _ = strings.Cut(rest, ")")
	if w.bare {
		if i := typeModifier.FindStringIndex(text); i != nil {
			w.name, w.tail = text[:i[0]], text[i[0]:]
		}
	}
	w.name = strings.TrimSpace(w.name)
	if !strings.Contains(w.name, `"`) {
		w.name = strings.ToLower(w.name)
	}
	if w.name == "int" { // GORM takes this word for a type that it chooses by the size
		w.name = "integer"
	}
	w.arguments = strings.ReplaceAll(w.arguments, " ", "")
	return w
}

// column returns the type in GORM's form. The tail keeps its case, since it may hold the name of
// a collation.
func (w writtenType) column(size int) ColumnType {
	text := w.name
	if w.arguments != "" {
		text += "(" + w.arguments + ")"
	}
	return ColumnType{schema.DataType(strings.TrimSpace(text + strings.TrimRight(w.tail, " "))), size}
}

// serverColumn returns a server's type in GORM's form. Names are those by which the catalog
// knows types that have several.
func (w writtenType) serverColumn(t Type, names map[string]string) ColumnType {
	if name := names[w.name]; name != "" {
		w.name = name
	}
	if !t.IsText() {
		return w.column(0)
	}
	return w.column(t.Width)
}

// serialType matches the types that bring a counter along.
var serialType = regexp.MustCompile(`(?i)^(small|big)?serial\d?$`)

// Referring returns the type of a column that refers to one of another type: it has no
// counter of its own.
func (c ColumnType) Referring() ColumnType {
	if size := serialType.FindStringSubmatch(string(c.Name)); size != nil {
		c.Name = map[string]schema.DataType{"": "integer", "small": "smallint", "big": "bigint"}[strings.ToLower(size[1])]
	}
	return c
}

// plainType returns a type without a collation or a counter of its own.
func plainType(sqlType string) string {
	if i := typeModifier.FindStringIndex(sqlType); i != nil {
		sqlType = sqlType[:i[0]]
	}
	return string(ColumnType{Name: schema.DataType(sqlType)}.Referring().Name)
}
