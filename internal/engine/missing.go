package engine

import (
	"regexp"
	"slices"
)

// missing are the ways in which databases say that a table, a column or a schema is not there. A
// text is looked at only with its code, since other texts may hold values of the application.
// SQLite has one code for all its errors of logic, so there the text must also begin so.
var missing = []struct {
	what  string
	codes []string
	text  *regexp.Regexp // its last group that is not empty is the name
}{
	{"table", []string{"42P01", "1146"}, regexp.MustCompile(`relation "([^"]+)" does not exist|(?i:table) '?(?:[^'.\s]+\.)?([^'.\s]+)'? (?:doesn't exist|does not exist|not found)`)},
	{"column", []string{"42703", "1054"}, regexp.MustCompile(`column "?(?:[^".\s]+\.)?([^".\s]+)"? (?:of relation \S+ )?does not exist|(?i:unknown column) '(?:[^'.]+\.)*([^'.]+)'|column '(?:[^'.]+\.)*([^'.]+)' not found`)},
	{"schema", []string{"3F000", "1049"}, regexp.MustCompile(`schema "([^"]+)" does not exist|(?i:unknown database) '([^']+)'`)},
	{"table", []string{"", "1"}, regexp.MustCompile(`(?m)(?:^|: )no such table: (?:\w+\.)?(\w+)`)},
	{"column", []string{"", "1"}, regexp.MustCompile(`(?m)(?:^|: )(?:no such column: (?:"?\w+"?\.)*"?(\w+)|table \S+ has no column named (\w+))`)},
}

// Missing returns what the database did not find, a "table", "column" or "schema", and its
// name. What is "" for any other error; the name may be "" where the server speaks another
// language than English.
func Missing(err error) (what, name string) {
	if err == nil {
		return "", ""
	}
	code := Code(err)
	for _, m := range missing {
		if !slices.Contains(m.codes, code) {
			continue
		}
		groups := m.text.FindStringSubmatch(err.Error())
		if groups == nil && (code == "" || code == "1") {
			continue
		}
		for _, group := range groups[min(1, len(groups)):] {
			if group != "" {
				name = group
			}
		}
		return m.what, name
	}
	return "", ""
}
