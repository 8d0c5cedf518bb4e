package libsql_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block returns the first block of Go of a page that begins with a word.
func block(t *testing.T, page, word string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	must(t, err)
	found := regexp.MustCompile("(?s)```go\n(" + word + ".*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatalf("docs/%s has no block that begins with %s", page, word)
	}
	return string(found[1])
}

// TestDocs runs the program of docs/guides/command.md with the lines of docs/turso.md in place of
// those that open its database.
func TestDocs(t *testing.T) {
	t.Parallel()
	imports, open, ok := strings.Cut(block(t, "turso.md", "import"), "\n)\n")
	if !ok {
		t.Fatal("no statements after the imports")
	}
	program := block(t, "guides/command.md", "package main")
	for line, with := range map[string]string{
		`(?m)^package main$`:                            "package main\n\n" + imports + "\n)",
		`(?m)^\t"github\.com/libtnb/sqlite".*\n`:        "",
		`(?m)^\tdb, err := gorm\.Open\(sqlite\.Open.*$`: open,
	} {
		pattern := regexp.MustCompile(line)
		if n := len(pattern.FindAllString(program, -1)); n != 1 {
			t.Fatalf("the program of docs/guides/command.md has %d lines %s, want 1", n, line)
		}
		program = pattern.ReplaceAllLiteralString(program, with)
	}
	path := filepath.Join(t.TempDir(), "main.go")
	must(t, os.WriteFile(path, []byte(program), 0o600))
	cmd := exec.Command("go", "run", path)
	// The server finds a database by the path, too, which a program without this package's
	// transport can reach.
	cmd.Env = append(os.Environ(), "DATABASE_URL=http://"+strings.Replace(server, "127.0.0.1", "localhost", 1)+"/dev/"+newDatabase(t), "TURSO_AUTH_TOKEN=")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ada@example.com is signed in") {
		t.Errorf("got %v\n%s", err, out)
	}
}
