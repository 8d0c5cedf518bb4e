package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs runs the programs of the guides against their engines, each on a database of
// its own. The guide to SQLite is run by the root module.
func TestDocs(t *testing.T) {
	block := regexp.MustCompile("(?s)```go\n(package main.*?)```")
	for _, guide := range []struct {
		file, server string
		newDB        func(t testing.TB) string
	}{
		{"../docs/postgresql.md", "postgres", newPostgres},
		{"../docs/mysql.md", "mariadb", func(t testing.TB) string { return mariadbServer.newDSN(t) }},
		{"../docs/mysql.md", "mysql", func(t testing.TB) string { return newMySQL(t) }},
		{"../docs/planetscale.md", "vitess", func(t testing.TB) string {
			keyspace, _ := takeKeyspace(t)
			return mysqlDSN(t, vitessServer, keyspace)
		}},
	} {
		t.Run(filepath.Base(guide.file)+" on "+guide.server, func(t *testing.T) {
			text, err := os.ReadFile(guide.file)
			if err != nil {
				t.Fatal(err)
			}
			programs := block.FindAllStringSubmatch(string(text), -1)
			if len(programs) == 0 {
				t.Error("it has no program")
			}
			for i, program := range programs {
				path := filepath.Join(t.TempDir(), "main.go")
				if err := os.WriteFile(path, []byte(program[1]), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command("go", "run", path)
				cmd.Env = append(os.Environ(), "DATABASE_URL="+guide.newDB(t))
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("program %d: %v\n%s", i+1, err, out)
				}
				if i == 0 && !strings.Contains(string(out), "ada@example.com is signed in") {
					t.Errorf("program 1 printed %q", out)
				}
			}
		})
	}
}
