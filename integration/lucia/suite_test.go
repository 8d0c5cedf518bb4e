package lucia_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/gormkey/gormkey"
)

// The suite has 27 tests, and 2 for adapters that have getSessionAndUser.
const suiteTests = 27 + 2

// Lucia's own suite passes on gormkey's models, on every schema that Lucia documents.
func TestSuite(t *testing.T) {
	for _, s := range schemas {
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()
			r := runSuite(t, s, "--adapter", "bridge", "--bridge", bridgePath)
			if r.err != nil || len(r.failed) > 0 || len(r.passed) != suiteTests || !strings.Contains(r.output, "Adapter passed 29 tests") {
				t.Errorf("%d tests passed, not %d; %v\n%s", len(r.passed), suiteTests, r.err, r.output)
			}
		})
	}
}

// Lucia's official adapter does not pass on MariaDB: it looks for the key table's name in
// the message of a duplicate, which MariaDB does not write there. With a key table called
// "key" it does pass, as the message says "for key", so it is not the harness that fails.
func TestSuiteOfficialAdapter(t *testing.T) {
	mysql2 := schemas[8]
	for _, test := range []struct {
		keyTable string
		passed   int
		failed   []string
	}{
		{"user_key", 4, []string{"Throws DUPLICATE_KEY_ID on duplicate key id"}},
		{"key", suiteTests, nil},
	} {
		t.Run(test.keyTable, func(t *testing.T) {
			t.Parallel()
			s := mysql2
			s.tables = gormkey.TableNames{User: "auth_user", Key: test.keyTable, Session: "user_session"}
			version := ""
			must(t, mariadbServer.connected(t).QueryRowContext(t.Context(), "SELECT VERSION()").Scan(&version))
			if !strings.Contains(version, "MariaDB") {
				t.Skip("MySQL writes the table's name; this is about MariaDB")
			}
			r := runSuite(t, s, "--adapter", "mysql2")
			if len(r.passed) != test.passed || strings.Join(r.failed, "\n") != strings.Join(test.failed, "\n") || (r.err == nil) != (test.failed == nil) {
				t.Errorf("%d tests passed, not %d, and %q failed, not %q; %v\n%s", len(r.passed), test.passed, r.failed, test.failed, r.err, r.output)
			}
			if test.failed != nil && !strings.Contains(r.output, "for key 'PRIMARY'") {
				t.Errorf("it failed for another reason:\n%s", r.output)
			}
		})
	}
}

// result is what a run of the suite printed.
type result struct {
	output         string
	passed, failed []string // tests
	err            error
}

var (
	color = regexp.MustCompile("\x1b\\[[0-9;]*m")
	line  = regexp.MustCompile(`(?m)^\s*([✓✗]) (.+?)\s*$`)
)

// runSuite runs the harness on a new database with a schema's tables.
func runSuite(t *testing.T, s schema, args ...string) result {
	t.Helper()
	db := s.newDatabase(t)
	node := installHarness(t)
	command := exec.CommandContext(t.Context(), node, append([]string{"run.js", "--dsn", db.url, "--tables", s.flag()}, args...)...)
	command.Dir = "adapter-test"
	output, err := command.CombinedOutput()
	r := result{output: color.ReplaceAllString(string(output), ""), err: err}
	for _, match := range line.FindAllStringSubmatch(r.output, -1) {
		if match[1] == "✓" {
			r.passed = append(r.passed, match[2])
		} else {
			r.failed = append(r.failed, match[2])
		}
	}
	return r
}

var npmCI sync.Once

// installHarness returns Node after it installed the harness's packages, if they are
// not there as the lock file has them.
func installHarness(t *testing.T) (node string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "no node; install Node 20 or later")
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		missing(t, "no npm; install Node 20 or later")
	}
	npmCI.Do(func() {
		if installed() {
			return
		}
		// No package has a script that is wanted: what is native comes as a binary.
		command := exec.Command(npm, "ci", "--ignore-scripts")
		command.Dir = "adapter-test"
		if output, err := command.CombinedOutput(); err != nil {
			t.Logf("npm ci: %v\n%s", err, output)
		}
	})
	if !installed() {
		missing(t, "npm ci in integration/lucia/adapter-test failed; it needs the npm registry once")
	}
	return node
}

// installed compares with the file that npm writes when it is done.
func installed() bool {
	done, err := os.Stat(filepath.Join("adapter-test", "node_modules", ".package-lock.json"))
	if err != nil {
		return false
	}
	lock, err := os.Stat(filepath.Join("adapter-test", "package-lock.json"))
	return err == nil && !lock.ModTime().After(done.ModTime())
}
