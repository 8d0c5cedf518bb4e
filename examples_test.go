package gormkey_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples runs every example of this module as a reader would.
func TestExamples(t *testing.T) {
	folders, err := filepath.Glob("examples/*")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, folder := range folders {
		if tests, err := filepath.Glob(filepath.Join(folder, "*_test.go")); err != nil || len(tests) > 0 {
			continue // a server, or a module of its own
		}
		ran++
		t.Run(filepath.Base(folder), func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command("go", "run", "./"+folder).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if lines := strings.Count(string(out), "\n"); lines < 5 {
				t.Errorf("got %d lines:\n%s", lines, out)
			}
		})
	}
	if ran < 2 {
		t.Errorf("ran %d examples, want quickstart and embedding", ran)
	}
}
