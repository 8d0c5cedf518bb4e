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

// snippet makes a program of a piece of README that stands inside a function.
const snippet = `package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

type Account struct {
	gormkey.User
	Email string
}

type Profile struct{ AccountID string }

var (
	ctx         = context.Background()
	db          *gorm.DB
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
	BODY
	use(NAMES)
}
`

// TestREADME runs the programs in README.md and docs/sqlite.md, and compiles the rest.
func TestREADME(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) :=`)
	for _, file := range []string{"README.md", "docs/sqlite.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		blocks := goBlock.FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s has no Go", file)
		}
		for i, block := range blocks {
			source, verb := block[1], "run"
			if !strings.HasPrefix(source, "package main") {
				verb = "build"
				var names []string
				for _, m := range declared.FindAllStringSubmatch(source, -1) {
					names = append(names, m[1])
				}
				source = strings.NewReplacer("BODY", source, "NAMES", strings.Join(names, ", ")).Replace(snippet)
			}
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
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s, block %d: %v\n%s", file, i+1, err, out)
			} else if verb == "run" && !strings.Contains(string(out), "ada@example.com is signed in") {
				t.Errorf("%s, block %d: printed %q", file, i+1, out)
			}
		}
	}
}
