package gormkey_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/tables"
	"github.com/gormkey/gormkey/throttle"
)

// parseFolder returns the files of a package, without its tests.
func parseFolder(t *testing.T, folder string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	must(t, err)
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		must(t, err)
		files = append(files, file)
	}
	if len(files) == 0 {
		t.Fatalf("%s has no Go files", folder)
	}
	return files
}

// names of the exported functions, variables, constants and types of a package.
func names(t *testing.T, folder string) (all []string) {
	t.Helper()
	for _, file := range parseFolder(t, folder) {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					all = append(all, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							all = append(all, name.Name)
						}
					case *ast.TypeSpec:
						all = append(all, spec.Name.Name)
					}
				}
			}
		}
	}
	return slices.DeleteFunc(all, func(name string) bool { return !ast.IsExported(name) })
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// checkNames compares the names that a page has with those of packages. A name has its package
// before it, or none if that is the first folder. Those that must be there match wanted.
func checkNames(t *testing.T, page, pattern string, wanted func(name string) bool, folders ...string) {
	t.Helper()
	text := readPage(t, page)
	there, seen := map[string]bool{}, map[string]bool{}
	for i, folder := range folders {
		for _, name := range names(t, folder) {
			if i > 0 {
				name = filepath.Base(folder) + "." + name
			}
			there[name] = true
		}
	}
	for _, name := range regexp.MustCompile(`\b(?:[a-z0-9]+\.)?`+pattern+`\b`).FindAllString(text, -1) {
		name = strings.TrimPrefix(name, "gormkey.")
		seen[name] = true
		if !there[name] {
			t.Errorf("%s names %s, which does not exist", page, name)
		}
	}
	found := 0
	for name := range there {
		if !wanted(name) {
			continue
		}
		found++
		if !seen[name] {
			t.Errorf("%s does not name %s", page, name)
		}
	}
	if found < 6 {
		t.Errorf("only %d names were looked for in %s", found, page)
	}
}

func TestReferenceOptions(t *testing.T) {
	t.Parallel()
	option := regexp.MustCompile(`^With[A-Z]`)
	checkNames(t, "docs/reference/options.md", `With[A-Z]\w*`, option.MatchString, ".", "httpauth", "throttle")
}

func TestReferenceErrors(t *testing.T) {
	t.Parallel()
	sentinel := regexp.MustCompile(`^(tables\.)?Err[A-Z]`)
	checkNames(t, "docs/reference/errors.md", `Err[A-Z]\w*`, sentinel.MatchString, ".", "tables", "httpauth", "throttle")
}

func TestReferenceEvents(t *testing.T) {
	t.Parallel()
	constant := regexp.MustCompile(`^event\.[A-Z]`)
	types := []string{"event.Event", "event.Hook", "event.Type"}
	checkNames(t, "docs/reference/events.md", `event\.[A-Z]\w*`, func(name string) bool {
		return constant.MatchString(name) && !slices.Contains(types, name)
	}, ".", "event")
}

// statuses are the errors of docs/reference/errors.md.
var statuses = map[string]error{
	"ErrInvalidArgument": gormkey.ErrInvalidArgument, "ErrInvalidCredentials": gormkey.ErrInvalidCredentials,
	"ErrInvalidSession": gormkey.ErrInvalidSession, "ErrInvalidToken": gormkey.ErrInvalidToken, "ErrNotRecent": gormkey.ErrNotRecent, "ErrSuspended": gormkey.ErrSuspended,
	"ErrUserNotFound": gormkey.ErrUserNotFound, "ErrKeyNotFound": gormkey.ErrKeyNotFound,
	"ErrInvalidPassword": gormkey.ErrInvalidPassword, "ErrDuplicateKey": gormkey.ErrDuplicateKey,
	"ErrDuplicateUser": gormkey.ErrDuplicateUser, "ErrDuplicateSession": gormkey.ErrDuplicateSession,
	"ErrDuplicateAttribute": gormkey.ErrDuplicateAttribute, "ErrLastKey": gormkey.ErrLastKey,
	"httpauth.ErrCrossOrigin": httpauth.ErrCrossOrigin, "throttle.ErrTooMany": throttle.ErrTooMany,
	"ErrBusy": gormkey.ErrBusy, "ErrOutcomeUnknown": gormkey.ErrOutcomeUnknown,
	"ErrRights": gormkey.ErrRights, "ErrRolledBack": gormkey.ErrRolledBack, "ErrInvalidExpiry": gormkey.ErrInvalidExpiry,
	"tables.ErrColumn": tables.ErrColumn, "tables.ErrInexactID": tables.ErrInexactID,
	"tables.ErrMismatch": tables.ErrMismatch, "tables.ErrOrphans": tables.ErrOrphans,
	"ErrUsage": gormkey.ErrUsage, "ErrNotRegistered": gormkey.ErrNotRegistered,
}

// TestReferenceStatuses: each error's status and its name in JSON are those of httpauth.
func TestReferenceStatuses(t *testing.T) {
	t.Parallel()
	_, auth := register(t)
	web, err := httpauth.New(auth, httpauth.WithUnavailable(func(w http.ResponseWriter, _ *http.Request, _ error) {
		w.WriteHeader(http.StatusServiceUnavailable) // without a line in the log
		_, _ = w.Write([]byte(`{"error":"unavailable"}`))
	}))
	must(t, err)
	row := regexp.MustCompile("(?m)^\\| `([a-z.]*Err\\w+)` \\|.*\\| (\\d+) \\| `(\\w+)` \\|$")
	rows := row.FindAllStringSubmatch(readPage(t, "docs/reference/errors.md"), -1)
	if len(rows) != len(statuses) {
		t.Errorf("the page has %d errors in its tables, and the test %d", len(rows), len(statuses))
	}
	for _, cells := range rows {
		err, known := statuses[cells[1]]
		if !known {
			t.Errorf("the test does not know %s", cells[1])
			continue
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", "application/json")
		w := httptest.NewRecorder()
		web.Error(w, r, err)
		var body struct{ Error string }
		must(t, json.Unmarshal(w.Body.Bytes(), &body))
		if status := strconv.Itoa(w.Code); status != cells[2] || body.Error != cells[3] {
			t.Errorf("%s: the page says %s %s, and httpauth %s %s", cells[1], cells[2], cells[3], status, body.Error)
		}
	}
}

// literals returns the texts in a folder's Go files, each with what is added to it.
func literals(t *testing.T, folder string) (texts []string) {
	t.Helper()
	var fold func(e ast.Expr) (string, bool)
	fold = func(e ast.Expr) (string, bool) {
		switch e := e.(type) {
		case *ast.BasicLit:
			text, err := strconv.Unquote(e.Value)
			return text, err == nil && e.Kind == token.STRING
		case *ast.BinaryExpr:
			left, isText := fold(e.X)
			right, isTextToo := fold(e.Y)
			return left + right, isText && isTextToo && e.Op == token.ADD
		}
		return "", false
	}
	for _, file := range parseFolder(t, folder) {
		ast.Inspect(file, func(n ast.Node) bool {
			e, isExpr := n.(ast.Expr)
			if !isExpr {
				return true
			}
			text, isText := fold(e)
			if isText {
				texts = append(texts, text)
			}
			return !isText
		})
	}
	return texts
}

// elsewhere are headings of docs/troubleshooting.md whose texts others write.
var elsewhere = []string{
	"missing method mustEmbedUser", "mustEmbedKey", "mustEmbedSession", // the compiler
	"contains null values", // PostgreSQL
	":memory:",
}

// TestTroubleshooting: each text in the page's headings is one of the library's. Its parts, between
// the places that differ, are looked for in the strings of the source.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, folder := range []string{".", "authtype", "tables", "internal/engine", "internal/statement", "password", "throttle", "httpauth"} {
		texts = append(texts, literals(t, folder)...)
	}
	holds := func(part string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, part) })
	}
	code := regexp.MustCompile("`([^`]+)`")
	checked := 0
	for line := range strings.Lines(readPage(t, "docs/troubleshooting.md")) {
		if !strings.HasPrefix(line, "### ") {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(line, -1) {
			if slices.Contains(elsewhere, m[1]) {
				continue
			}
			checked++
			if number, text, _ := strings.Cut(m[1], " "); len(number) == 3 && strings.Trim(number, "0123456789") == "" {
				if status, _ := strconv.Atoi(number); http.StatusText(status) != text {
					t.Errorf("%q is no status", m[1])
				}
				continue
			}
			for part := range strings.SplitSeq(m[1], "…") {
				if part = strings.Trim(part, " :;,"); !holds(part) {
					t.Errorf("no text of the library has %q, of the heading %q", part, m[1])
				}
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d texts were looked for", checked)
	}
}

// TestEverybodysSessions does what docs/operations.md says for a restored backup.
func TestEverybodysSessions(t *testing.T) {
	t.Parallel()
	db, auth := register(t, gormkey.WithOneTimeTokens())
	login := gormkey.Credentials{Provider: "email", ID: gormkey.FoldEmail("ada@example.com"), Password: "correct horse battery staple"}
	ada := &Account{}
	must(t, auth.CreateUser(t.Context(), ada, login))
	session, err := auth.SignIn(t.Context(), login)
	must(t, err)
	link, err := auth.IssueToken(t.Context(), ada.ID, gormkey.PurposeMagicLink, "", time.Hour)
	must(t, err)
	must(t, db.Where("1 = 1").Delete(&gormkey.Session[Account]{}).Error)
	must(t, db.Where("1 = 1").Delete(&gormkey.OneTimeToken[Account]{}).Error)
	if _, err := auth.ValidateSession(t.Context(), session.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		t.Errorf("a session: got %v", err)
	}
	if _, err := auth.SignInWithToken(t.Context(), link); !errors.Is(err, gormkey.ErrInvalidToken) {
		t.Errorf("a link: got %v", err)
	}
	if _, err := auth.SignIn(t.Context(), login); err != nil {
		t.Errorf("a new sign-in: %v", err)
	}
}
