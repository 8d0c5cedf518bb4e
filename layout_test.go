package gormkey_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dialectName finds a decision by a database's name.
var dialectName = regexp.MustCompile(`dialect|\.vitess\b|"(?:sqlite|mysql|postgres)"`)

// bySchema are the files that read and write the schema, which still ask for a name. What
// operations do differently is in internal/engine.
var bySchema = []string{
	"alter.go", "audit.go", "callbacks.go", "catalog.go", "check.go", "columns.go", "errors.go", "export.go", "idtype.go", "names.go", "offline.go",
	"options.go", "schema.go", "widen.go", "widen_mysql.go",
}

// TestDialects: no operation asks which database it is on.
func TestDialects(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || slices.Contains(bySchema, name) {
			continue
		}
		seen++
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			code, _, _ := strings.Cut(line, "//")
			if found := dialectName.FindString(code); found != "" {
				t.Errorf("%s:%d: %s; what databases do differently belongs in internal/engine", name, i+1, found)
			}
		}
	}
	if seen < 30 {
		t.Errorf("%d files were read", seen)
	}
}
