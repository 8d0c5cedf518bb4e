package d1_test

import (
	"os"
	osexec "os/exec"
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

// TestDocs runs the program of docs/guides/command.md with the lines of docs/d1.md in place of
// those that open its database.
func TestDocs(t *testing.T) {
	t.Parallel()
	c := newDatabase(t)
	imports, open, ok := strings.Cut(block(t, "d1.md", "import"), "\n)\n")
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
	cmd := osexec.Command("go", "run", path)
	cmd.Env = append(os.Environ(), "D1_DATABASE="+c.String()+"?endpoint="+c.Endpoint, "CLOUDFLARE_API_TOKEN="+c.Token)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ada@example.com is signed in") {
		t.Errorf("got %v\n%s", err, out)
	}
}
