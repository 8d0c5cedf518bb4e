// Package docs_test compiles and runs what the pages of docs show.
package docs_test

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docPages are the pages whose blocks of Go are compiled together, and run where
// testdata/docs has a check for the page.
func docPages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("docs/guides/*.md")
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 10 {
		t.Errorf("got %d guides", len(pages))
	}
	reference, err := filepath.Glob("docs/reference/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(pages, reference, []string{
		"README.md", "docs/sqlite.md", "docs/migrations.md", "docs/passwords.md", "docs/http.md",
		"docs/operations.md", "docs/upgrading.md", "docs/troubleshooting.md",
	})
}

func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil { // the pages are the root's
		panic(err)
	}
	os.Exit(m.Run())
}

// TestDocPages makes a module of the pages, a package a page. The blocks of a page are its
// files. Another is testdata/docs/<page>.go, which declares the names that the blocks leave out,
// and has a function Check that proves the page's claims. One go test builds and runs all of
// it; the programs that end are run one by one.
func TestDocPages(t *testing.T) {
	m := &docModule{T: t, root: t.TempDir()}
	m.goMod()
	m.copy("testdata/docs/kit/kit.go", "kit/kit.go")
	for _, page := range docPages(t) {
		m.page(page)
	}
	m.checks()
	if out, err := m.goCommand("test", "-count=1", "-vet=off", "-timeout=5m", "./..."); err != nil {
		t.Errorf("go test: %v\n%s", err, out)
	}
	for _, program := range m.programs {
		out, err := m.goCommand("run", "./"+program)
		if err != nil || !strings.Contains(out, "ada@example.com is signed in") {
			t.Errorf("%s: %v\n%s", program, err, out)
		}
	}
	if len(m.programs) == 0 {
		t.Error("docs/sqlite.md has no program")
	}
}

// docModule is a module in a temporary folder.
type docModule struct {
	*testing.T
	root     string
	checked  []string // the pages that have a Check
	programs []string // the folders of programs that end
}

// goMod has the requirements of this module, and this module from its folder.
func (m *docModule) goMod() {
	m.Helper()
	here, err := os.Getwd()
	if err != nil {
		m.Fatal(err)
	}
	text, err := os.ReadFile("go.mod")
	if err != nil {
		m.Fatal(err)
	}
	text = bytes.Replace(text, []byte("module github.com/gormkey/gormkey"), []byte("module docs"), 1)
	m.write("go.mod", fmt.Sprintf("%s\nrequire github.com/gormkey/gormkey v0.0.0\n\nreplace github.com/gormkey/gormkey => %s\n", text, here))
	m.copy("go.sum", "go.sum")
}

func (m *docModule) write(name, text string) {
	m.Helper()
	path := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.Fatal(err)
	}
}

func (m *docModule) copy(from, to string) {
	m.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		m.Fatal(err)
	}
	m.write(to, string(text))
}

func (m *docModule) goCommand(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = m.root
	cmd.Env = append(os.Environ(), "DATABASE_FILE="+filepath.Join(m.TempDir(), "app.db"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// page makes a package of a page.
func (m *docModule) page(file string) {
	m.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		m.Fatal(err)
	}
	name := strings.TrimSuffix(filepath.Base(file), ".md")
	blocks := 0 // that belong to no program
	for i, source := range docBlocks(file, string(text)) {
		if strings.HasPrefix(source, "package main\n") && !strings.Contains(source, "ListenAndServe") {
			m.programs = append(m.programs, fmt.Sprintf("programs/%s%d", name, i))
			m.write(m.programs[len(m.programs)-1]+"/main.go", source)
			continue
		}
		source, err := asFile(source)
		if err != nil {
			m.Errorf("%s: block %d: %v", file, i+1, err)
			continue
		}
		blocks++
		m.write(fmt.Sprintf("pages/%s/block%d.go", name, i+1), source)
	}
	check := "testdata/docs/" + name + ".go"
	if text, err := os.ReadFile(check); err == nil {
		m.write("pages/"+name+"/check.go", string(text))
		more, err := filepath.Glob("testdata/docs/" + name + "_*.go") // of a check that is long
		if err != nil {
			m.Fatal(err)
		}
		for _, file := range more {
			m.copy(file, "pages/"+name+"/"+filepath.Base(file))
		}
		if bytes.Contains(text, []byte("\nfunc Check(t *testing.T)")) {
			m.checked = append(m.checked, name)
		} else {
			m.Errorf("%s has no Check", check)
		}
		return
	}
	if strings.HasPrefix(file, "docs/guides/") && blocks > 0 {
		m.Errorf("%s: there is no %s", file, check)
	}
	m.copy("testdata/docs/common.go", "pages/"+name+"/check.go")
}

// taskRow is a row of README's table: a task, its lines of code, and the guide.
var taskRow = regexp.MustCompile("(?m)^\\| [^|]+ \\| (`.+`) \\| .+ \\|$")

// docBlocks returns the blocks of Go of a page. Of README it returns the code in the table of tasks,
// since TestREADME runs its program.
func docBlocks(file, text string) (blocks []string) {
	if file == "README.md" {
		for _, row := range taskRow.FindAllStringSubmatch(text, -1) {
			blocks = append(blocks, strings.ReplaceAll(strings.Trim(row[1], "`"), "`<br>`", "\n")+"\n")
		}
		return blocks
	}
	for _, block := range docBlock.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, block[1])
	}
	return blocks
}

// checks writes the test that runs the checks of all pages.
func (m *docModule) checks() {
	imports, calls := "", ""
	for i, name := range m.checked {
		imports += fmt.Sprintf("\tp%d %q\n", i, "docs/pages/"+name)
		calls += fmt.Sprintf("\tt.Run(%q, func(t *testing.T) { t.Parallel(); p%d.Check(t) })\n", name, i)
	}
	m.write("checks/checks_test.go", "package checks\n\nimport (\n\t\"testing\"\n\n"+imports+")\n\nfunc TestPages(t *testing.T) {\n"+calls+"}\n")
}

// docImports are the packages that a block may use without saying so.
var docImports = []string{
	"context", "database/sql", "encoding/json", "errors", "fmt", "log", "log/slog", "net/http", "net/http/httptest", "net/netip", "os", "strings", "sync", "testing", "time",
	"gorm.io/gorm", "gorm.io/gorm/clause", "github.com/libtnb/sqlite", "github.com/gormkey/gormkey", "github.com/gormkey/gormkey/event",
	"github.com/gormkey/gormkey/authtest", "github.com/gormkey/gormkey/httpauth", "github.com/gormkey/gormkey/password",
	"github.com/gormkey/gormkey/throttle",
}

var (
	docBlock      = regexp.MustCompile("(?s)```go\n(.*?)```")
	declaredNames = regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) :=`)
)

// asFile makes a file of a block: a program whose package is the page's, declarations, or
// statements, which stand in a function.
func asFile(source string) (string, error) {
	if body, ok := strings.CutPrefix(source, "package main\n"); ok {
		return "package page\n" + body, nil
	}
	body := source
	if _, err := parser.ParseFile(token.NewFileSet(), "", "package page\n"+body, 0); err != nil {
		var names []string
		for _, m := range declaredNames.FindAllStringSubmatch(source, -1) {
			names = append(names, strings.Split(m[1], ", ")...)
		}
		slices.Sort(names)
		body = "func _() {\n" + source + "\tuse(" + strings.Join(slices.Compact(names), ", ") + ")\n}\n"
	}
	header := "package page\n\nimport (\n"
	for _, path := range docImports {
		if regexp.MustCompile(`\b` + filepath.Base(path) + `\.[A-Z]`).MatchString(body) {
			header += fmt.Sprintf("\t%q\n", path)
		}
	}
	whole := header + ")\n\n" + body
	_, err := parser.ParseFile(token.NewFileSet(), "", whole, 0)
	return whole, err
}
