package gormkey_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// snippets is a program of the pieces of README that stand inside a function.
const snippets = `package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

type Account struct {
	gormkey.User
	Email string
}

var oldKey, newKey []byte

var _ password.Hasher

type Profile struct{ AccountID string }

var (
	ctx         = context.Background()
	db          *gorm.DB
	plugin      *gormkey.Plugin[Account]
	auth        *gormkey.Repository[Account]
	account     *Account
	login       gormkey.Credentials
	cookieValue string
	_           = errors.Is
	_           = slog.Warn
	_           time.Duration
)

func use(...any) {}

func main() {
`

// TestREADME runs the programs in README.md and docs, and compiles the rest.
func TestREADME(t *testing.T) {
	t.Parallel()
	declared := regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) :=`)
	pieces := snippets
	for _, file := range []string{"README.md", "docs/sqlite.md", "docs/migrations.md", "docs/passwords.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		programs := 0
		for _, block := range goBlock.FindAllStringSubmatch(string(text), -1) {
			source := block[1]
			if strings.HasPrefix(source, "package main") {
				programs++
				if out := goFile(t, "run", source); !strings.Contains(out, "ada@example.com is signed in") {
					t.Errorf("%s: a program printed %q", file, out)
				}
				continue
			}
			var names []string
			for _, m := range declared.FindAllStringSubmatch(source, -1) {
				names = append(names, m[1])
			}
			pieces += "\tfunc() {\n" + source + "\tuse(" + strings.Join(names, ", ") + ")\n}()\n"
		}
		if programs == 0 && (file == "README.md" || file == "docs/sqlite.md") {
			t.Errorf("%s has no program", file)
		}
	}
	goFile(t, "build", pieces+"}\n")
}

// goFile runs or builds a program of one file against this module.
func goFile(t *testing.T, verb, source string) string {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "main.go")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{verb, path}
	if verb == "build" {
		args = []string{verb, "-o", os.DevNull, path}
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "DATABASE_FILE="+filepath.Join(folder, "app.db"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("go %s: %v\n%s\n%s", verb, err, out, source)
	}
	return string(out)
}
