package d1

import "strings"

// kind says what a statement's text does.
type kind int

const (
	other      kind = iota // DDL and the rest: may write, and changes() says nothing about it
	read                   // changes nothing
	change                 // INSERT, UPDATE, DELETE, REPLACE
	begin                  // BEGIN, COMMIT, END, ROLLBACK
	savepoint              // SAVEPOINT name
	release                // RELEASE [SAVEPOINT] name
	rollbackTo             // ROLLBACK [TRANSACTION] TO [SAVEPOINT] name
	unenforce              // PRAGMA foreign_keys = OFF, which D1 takes and ignores
)

// text is what has to be known about a statement.
type text struct {
	kind      kind
	inserts   bool // last_insert_rowid() is the statement's
	returning bool
	several   bool   // there is more than one statement
	savepoint string // in lower case
}

// readPragmas change nothing, with an argument too.
var readPragmas = map[string]bool{
	"table_info": true, "table_xinfo": true, "table_list": true, "index_list": true, "index_info": true, "index_xinfo": true,
	"foreign_key_list": true, "foreign_key_check": true, "quick_check": true,
}

var on = map[string]bool{"ON": true, "1": true, "TRUE": true, "YES": true}

// classify reads a statement. What it does not know may write.
func classify(sql string) text {
	tokens := scan(sql)
	var t text
	if len(tokens) == 0 {
		return t
	}
	first := tokens[0].word
	for i, token := range tokens {
		if token.word == ";" && i+1 < len(tokens) && (first != "CREATE" || !creates(tokens, "TRIGGER")) {
			t.several = true
		}
	}
	verb := first
	if first == "WITH" {
		for _, token := range tokens[1:] {
			if isVerb(token.word) && token.depth == 0 {
				verb = token.word
				break
			}
		}
	}
	switch verb {
	case "SELECT", "VALUES", "EXPLAIN":
		t.kind = read
	case "PRAGMA":
		switch {
		case isReadPragma(tokens):
			t.kind = read
		case len(tokens) > 3 && tokens[1].word == "FOREIGN_KEYS" && !on[tokens[3].word]:
			t.kind = unenforce
		}
	case "INSERT", "REPLACE", "UPDATE", "DELETE":
		t.kind, t.inserts = change, verb == "INSERT" || verb == "REPLACE"
		for _, token := range tokens {
			t.returning = t.returning || token.word == "RETURNING" && token.depth == 0
		}
	case "BEGIN", "COMMIT", "END":
		t.kind = begin
	case "SAVEPOINT":
		t.kind, t.savepoint = savepoint, name(tokens[1:])
	case "RELEASE":
		t.kind, t.savepoint = release, name(skip(tokens[1:], "SAVEPOINT"))
	case "ROLLBACK":
		t.kind = begin
		if rest := skip(tokens[1:], "TRANSACTION"); len(rest) > 0 && rest[0].word == "TO" {
			t.kind, t.savepoint = rollbackTo, name(skip(rest[1:], "SAVEPOINT"))
		}
	}
	return t
}

func isVerb(word string) bool {
	switch word {
	case "SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE":
		return true
	}
	return false
}

// creates tells whether one of the words between CREATE and a name is what.
func creates(tokens []token, what string) bool {
	for _, t := range tokens[1:min(3, len(tokens))] {
		if t.word == what {
			return true
		}
	}
	return false
}

func isReadPragma(tokens []token) bool {
	if len(tokens) < 2 {
		return false
	}
	for _, t := range tokens {
		if t.word == "=" {
			return false
		}
	}
	pragma := strings.ToLower(tokens[1].word)
	return readPragmas[pragma] || pragma == "foreign_keys" && len(tokens) == 2
}

func skip(tokens []token, word string) []token {
	if len(tokens) > 0 && tokens[0].word == word {
		return tokens[1:]
	}
	return tokens
}

func name(tokens []token) string {
	if len(tokens) == 0 {
		return ""
	}
	return strings.ToLower(strings.Trim(tokens[0].raw, "\"`[]'"))
}

// token is a word in upper case, a character, or "" for what is quoted.
type token struct {
	word, raw string
	depth     int // of parentheses
}

// scan splits SQL as SQLite does, without comments and blanks.
func scan(sql string) (tokens []token) {
	depth := 0
	for i := 0; i < len(sql); {
		start := i
		switch c := sql[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
			continue
		case strings.HasPrefix(sql[i:], "--"):
			i = after(sql, i, "\n")
			continue
		case strings.HasPrefix(sql[i:], "/*"):
			i = after(sql, i+2, "*/")
			continue
		case c == '\'' || c == '"' || c == '`':
			// A doubled quote reads as two quoted texts, side by side.
			i = after(sql, i+1, string(c))
			tokens = append(tokens, token{"", sql[start:i], depth})
			continue
		case c == '[':
			i = after(sql, i+1, "]")
			tokens = append(tokens, token{"", sql[start:i], depth})
			continue
		case inWord(c):
			for i < len(sql) && inWord(sql[i]) {
				i++
			}
			tokens = append(tokens, token{strings.ToUpper(sql[start:i]), sql[start:i], depth})
			continue
		case c == '(':
			depth++
		case c == ')':
			depth--
		}
		i++
		tokens = append(tokens, token{sql[start:i], sql[start:i], depth})
	}
	return tokens
}

// after returns the index behind the next end, or the text's.
func after(sql string, from int, end string) int {
	if n := strings.Index(sql[min(from, len(sql)):], end); n >= 0 {
		return from + n + len(end)
	}
	return len(sql)
}

func inWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
