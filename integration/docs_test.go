package integration_test

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// docsBlock finds the code of a page.
var docsBlock = regexp.MustCompile("(?s)```(go|sql)\n(.*?)```")

// TestDocs runs the program of docs/guides/command.md with what the guides put in place of its lines, on their
// engines, each on a database of its own. The guide to SQLite is run by the root module.
func TestDocs(t *testing.T) {
	var program string
	for _, block := range docsBlock.FindAllStringSubmatch(readDocs(t, "../docs/guides/command.md"), -1) {
		if program == "" && strings.HasPrefix(block[2], "package main") {
			program = block[2]
		}
	}
	for _, guide := range []struct {
		file, server string
		programs     int
		newDB        func(t testing.TB) string
	}{
		{"../docs/postgresql.md", "postgres", 3, newPostgres},
		{"../docs/mysql.md", "mariadb", 1, func(t testing.TB) string { return mariadbServer.newDSN(t) }},
		{"../docs/mysql.md", "mysql", 1, func(t testing.TB) string { return newMySQL(t) }},
		{"../docs/planetscale.md", "vitess", 1, func(t testing.TB) string {
			keyspace, _ := takeKeyspace(t)
			return mysqlDSN(t, vitessServer, keyspace)
		}},
	} {
		t.Run(filepath.Base(guide.file)+" on "+guide.server, func(t *testing.T) {
			programs := 0
			for _, block := range docsBlock.FindAllStringSubmatch(readDocs(t, guide.file), -1) {
				if !strings.HasPrefix(block[2], "import") {
					continue
				}
				programs++
				path := filepath.Join(t.TempDir(), "main.go")
				app.Must(t, os.WriteFile(path, []byte(replaced(t, program, block[2])), 0o600))
				cmd := exec.Command("go", "run", path)
				cmd.Env = append(os.Environ(), "DATABASE_URL="+guide.newDB(t))
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), "ada@example.com is signed in") {
					t.Errorf("program %d: got %v\n%s", programs, err, out)
				}
			}
			if programs != guide.programs {
				t.Errorf("it has %d programs, want %d", programs, guide.programs)
			}
		})
	}
}

func readDocs(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	app.Must(t, err)
	return string(text)
}

// Lines of the program of docs/guides/command.md.
var (
	driverLine = regexp.MustCompile(`(?m)^\t"github\.com/libtnb/sqlite".*\n`)
	openLine   = regexp.MustCompile(`(?m)^\tdb, err := gorm\.Open\(.*$`)
	pluginLine = regexp.MustCompile(`(?m)^\tplugin := gormkey\.New.*$`)
	pluginPart = regexp.MustCompile(`(?m)^plugin := .*$`)
)

// replaced returns the program with a guide's import declaration, and with its statements in
// place of those that open the database and make the plugin.
func replaced(t *testing.T, program, lines string) string {
	t.Helper()
	for _, line := range []*regexp.Regexp{driverLine, openLine, pluginLine} {
		if n := len(line.FindAllString(program, -1)); n != 1 {
			t.Fatalf("the program of docs/guides/command.md has %d lines %s, want 1", n, line)
		}
	}
	imports, statements, ok := strings.Cut(lines, "\n)\n")
	if !ok {
		t.Fatalf("no statements after the imports: %s", lines)
	}
	program = driverLine.ReplaceAllString(program, "")
	for path := range strings.Lines(imports) {
		path = strings.TrimSpace(path)
		if strings.HasSuffix(path, `"`) && !strings.Contains(program, "\t"+path+"\n") {
			program = strings.Replace(program, "package main\n", "package main\n\nimport "+path+"\n", 1)
		}
	}
	if plugin := pluginPart.FindString(statements); plugin != "" {
		statements = pluginPart.ReplaceAllString(statements, "")
		program = pluginLine.ReplaceAllLiteralString(program, plugin)
	}
	return openLine.ReplaceAllLiteralString(program, statements)
}

// TestDocsRights runs the statements of docs/operations.md: the role that they give rights to can
// do all that the program does.
func TestDocsRights(t *testing.T) {
	postgresServer.connected(t)
	role := "gormkey_" + strings.ToLower(rand.Text())
	postgresServer.exec(t, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() { postgresServer.exec(t, "DROP ROLE "+role) })
	dsn := newPostgres(t)
	admin := open(t, postgres.Open(dsn), &gorm.Config{})
	app.Install(t, admin, app.New(gormkey.WithOneTimeTokens()))
	ran := 0
	for _, block := range docsBlock.FindAllStringSubmatch(readDocs(t, "../docs/operations.md"), -1) {
		if block[1] == "sql" {
			ran++
			app.Must(t, admin.Exec(strings.Replace(block[2], "TO app;", "TO "+role+";", 1)).Error)
		}
	}
	if ran != 2 {
		t.Errorf("%d statements were run, want 2", ran)
	}
	db := open(t, postgres.Open(postgresDSN(dsn, "user", role)), &gorm.Config{})
	app.Must(t, db.Use(app.New(gormkey.WithOneTimeTokens())))
	auth, err := gormkey.From[app.Account](db)
	app.Must(t, err)
	ada := &app.Account{Email: "ada@example.com"}
	app.Must(t, auth.CreateUser(t.Context(), ada, login))
	token, err := auth.IssueToken(t.Context(), ada.ID, gormkey.PurposeMagicLink, "", time.Hour)
	app.Must(t, err)
	_, err = auth.SignInWithToken(t.Context(), token)
	app.Must(t, err)
	session, err := auth.SignIn(t.Context(), login)
	app.Must(t, err)
	_, err = auth.ValidateSession(t.Context(), session.Token)
	app.Must(t, err)
	_, err = auth.ChangePassword(t.Context(), login, "another good password", session.ID)
	app.Must(t, err)
	app.Must(t, auth.SignOut(t.Context(), session.Token))
	_, err = auth.DeleteExpired(t.Context())
	app.Must(t, err)
	app.Must(t, auth.DeleteUser(t.Context(), ada.ID))
}
