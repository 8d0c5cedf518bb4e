package libsql_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs runs the program of docs/turso.md.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/turso.md")
	must(t, err)
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(text)
	if program == nil {
		t.Fatal("it has no program")
	}
	path := filepath.Join(t.TempDir(), "main.go")
	must(t, os.WriteFile(path, program[1], 0o600))
	cmd := exec.Command("go", "run", path)
	// The server finds a database by the path, too, which a program without this package's
	// transport can reach.
	cmd.Env = append(os.Environ(), "DATABASE_URL=http://"+strings.Replace(server, "127.0.0.1", "localhost", 1)+"/dev/"+newDatabase(t), "TURSO_AUTH_TOKEN=")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ada@example.com is signed in") {
		t.Errorf("got %v\n%s", err, out)
	}
}
