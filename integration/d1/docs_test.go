package d1_test

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs runs the program of docs/d1.md.
func TestDocs(t *testing.T) {
	t.Parallel()
	c := newDatabase(t)
	text, err := os.ReadFile("../../docs/d1.md")
	must(t, err)
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(text)
	if program == nil {
		t.Fatal("it has no program")
	}
	path := filepath.Join(t.TempDir(), "main.go")
	must(t, os.WriteFile(path, program[1], 0o600))
	cmd := osexec.Command("go", "run", path)
	cmd.Env = append(os.Environ(), "D1_DATABASE="+c.String()+"?endpoint="+c.Endpoint, "CLOUDFLARE_API_TOKEN="+c.Token)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ada@example.com is signed in") {
		t.Errorf("got %v\n%s", err, out)
	}
}
