package gormkey_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// engineName finds a decision by a database's name.
	engineName = regexp.MustCompile(`dialect|\.vitess\b|"(?:sqlite|mysql|postgres)"`)
	// engineWords are SQL that one database has alone.
	engineWords = regexp.MustCompile(`(?i)pragma[ _]|sqlite_master|\bpg_|information_schema|"show |utf8mb4|::text`)
	// engineFile is a file about one database.
	engineFile = regexp.MustCompile(`sqlite|mysql|mariadb|postgres|vitess|planetscale|libsql|d1|tidb`)
)

// TestDialects: no file of the root knows which database it is on.
func TestDialects(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if engineFile.MatchString(name) {
			t.Errorf("%s: what databases do differently belongs in internal/engine", name)
		}
		seen++
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			code, _, _ := strings.Cut(line, "//")
			for _, pattern := range []*regexp.Regexp{engineName, engineWords} {
				if found := pattern.FindString(code); found != "" {
					t.Errorf("%s:%d: %s; what databases do differently belongs in internal/engine", name, i+1, found)
				}
			}
		}
	}
	if seen < 30 {
		t.Errorf("%d files were read", seen)
	}
}
