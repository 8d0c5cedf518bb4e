package lucia_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

var guideBlock = regexp.MustCompile("(?s)```(go|sql)\n(.*?)```")

// The guide is followed word for word, on a database that Lucia filled.
func TestInteropGuide(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/from-lucia.md")
	must(t, err)
	blocks := guideBlock.FindAllStringSubmatch(string(guide), -1)
	if len(blocks) < 2 || !strings.HasPrefix(blocks[0][2], "package main") || blocks[1][1] != "sql" {
		t.Fatal("the guide does not begin with a program and the indexes")
	}
	program, indexes := blocks[0][2], blocks[1][2]

	s := engines[0]
	file := filepath.Join(t.TempDir(), "app.db")
	db := database{opened(t, "sqlite", "file:"+file+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)"), "sqlite:" + file}
	for _, statement := range s.ddl() {
		run(t, db.DB, statement)
	}
	lucia := luciaSide{startNode(t, "--dsn", db.url, "--tables", s.flag())}
	key := newLogin("pa55word")
	id := created(t, lucia, key)
	var tokens []string
	for range 5 {
		session, err := lucia.createSession(id, "NO")
		must(t, err)
		tokens = append(tokens, session.ID)
	}
	p := &pair{schema: s, db: db}
	p.age(t, tokens[1], 25*60*minute)

	// Side by side, before the indexes and after.
	before := runProgram(t, program, file, tokens[0])
	if !strings.HasSuffix(before, "\nada is signed in\n") || strings.Count(before, "\n") != 1+strings.Count(indexes, ";") {
		t.Errorf("before the indexes it printed %q", before)
	}
	for _, statement := range strings.Split(strings.TrimSpace(indexes), "\n") {
		run(t, db.DB, statement)
	}
	equal(t, "after the indexes", runProgram(t, program, file, tokens[1]), "ada is signed in\n")
	equal(t, "with another token", runProgram(t, program, file, strings.Repeat("x", 40)), "not signed in\n")
	for _, token := range tokens {
		_, err := lucia.validate(token)
		must(t, err)
	}
	_, err = lucia.useKey(*key)
	must(t, err)

	// The cut-over: new sessions are hashed, then the old ones.
	hashed := strings.Replace(program, "gormkey.WithLuciaV2(),", "gormkey.WithLuciaV2(), gormkey.WithHashedTokens(),", 1)
	equal(t, "with WithHashedTokens", runProgram(t, hashed, file, tokens[0]), "ada is signed in\n")
	_, auth := openGormkey(t, s, db, gormkey.WithHashedTokens(), gormkey.WithPasswordHasher(password.Argon2id{}))
	signedIn, err := auth.SignIn(t.Context(), key.credentials())
	must(t, err)
	replaced, err := auth.HashStoredTokens(t.Context(), gormkey.WithBatchSize(2))
	must(t, err)
	equal(t, "replaced", replaced, int64(len(tokens)))
	tokens = append(tokens, string(signedIn.Token))
	equal(t, "after HashStoredTokens", runProgram(t, hashed, file, tokens[1]), "ada is signed in\n")
	for _, token := range tokens {
		session, err := auth.ValidateSession(t.Context(), gormkey.Token(token))
		must(t, err)
		equal(t, "user", session.User.Username, "ada")
		_, err = lucia.validate(token)
		wantError(t, "Lucia, after the cut-over", err, errNoSession)
	}
	equal(t, "tokens in the table", p.rows(t, "user_session", "LENGTH(id) <> 64"), 0)
	stored, err := auth.GetKey(t.Context(), gormkey.KeyID{Provider: "email", ID: key.id})
	must(t, err)
	equal(t, "the better hash", strings.HasPrefix(string(*stored.HashedPassword), "$argon2id$"), true)

	// Without WithLuciaV2 the hashed sessions go on.
	without := strings.Replace(program, "gormkey.WithLuciaV2(),", "", 1)
	if out := runProgram(t, without, file, tokens[2]); !strings.HasSuffix(out, "ada is signed in\n") {
		t.Errorf("without WithLuciaV2 it printed %q", out)
	}
}

// runProgram runs a program of the guide in the root module.
func runProgram(t *testing.T, source, databaseFile, sessionID string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "main.go")
	must(t, os.WriteFile(path, []byte(source), 0o600))
	command := exec.CommandContext(t.Context(), "go", "run", path)
	command.Dir = "../.."
	command.Env = append(os.Environ(), "DATABASE_FILE="+databaseFile, "SESSION_ID="+sessionID)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}
