package libsql_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey/libsql"
)

const canary = "eyJhbGciOiJFZERTQSJ9.canary.canary"

func TestDSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"libsql://db.example":                                    "",
		"libsql://db.example?authToken=" + canary:                "",
		"libsql://db.example?tls=1&jwt=" + canary:                "",
		"libsql://127.0.0.1:8080?tls=0&auth_token=" + canary:     "",
		"https://db.example/path":                                "",
		"wss://db.example?tls=1":                                 "",
		"ws://127.0.0.1:8080?tls=0":                              "",
		"http://127.0.0.1:8080":                                  "",
		"":                                                       "begins with none of",
		"file:" + canary:                                         "begins with none of",
		"libsql://db.example:" + canary:                          "no URL",
		"libsql://?authToken=" + canary:                          "no host",
		"libsql://user:" + canary + "@db.example":                "has a user",
		"libsql://db.example?" + canary:                          "a parameter that is none of",
		"libsql://db.example?jwt=x&authToken=" + canary:          "more than one token",
		"libsql://db.example?authToken=" + canary + "&authToken": "more than one token",
		"libsql://db.example?authToken=" + canary + "%0a":        "a character",
		"libsql://db.example?tls=2&authToken=" + canary:          "neither 0 nor 1",
		"libsql://db.example?tls=0&authToken=" + canary:          "wants a port",
		"https://db.example?tls=0&authToken=" + canary:           "contradicts",
		"ws://db.example?tls=1&authToken=" + canary:              "contradicts",
	} {
		_, err := libsql.NewConnector(libsql.Config{DSN: dsn})
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: got %v", dsn, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: got %v, want %q", dsn, err, want)
		case want != "" && strings.Contains(err.Error(), "canary"):
			t.Errorf("%q: the error shows the token: %v", dsn, err)
		}
		if _, opened := gorm.Open(libsql.Open(dsn), &gorm.Config{Logger: logger.Discard}); want != "" && fmt.Sprint(opened) != fmt.Sprint(err) {
			t.Errorf("%q: gorm.Open: got %v, want %v", dsn, opened, err)
		}
	}
	if _, err := libsql.NewConnector(libsql.Config{DSN: "libsql://db.example?jwt=x", AuthToken: canary}); err == nil || !strings.Contains(err.Error(), "more than one token") {
		t.Errorf("a token twice: got %v", err)
	}
}

// TestTokenIsHidden: in whatever is printed, and in what a server that throws the token
// back says.
func TestTokenIsHidden(t *testing.T) {
	config := libsql.Config{DSN: "http://127.0.0.1:1?authToken=" + canary}
	withToken := libsql.Config{DSN: "http://127.0.0.1:1", AuthToken: canary}
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{config, &config, withToken, libsql.New(config), libsql.New(withToken)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		log.Info("opened", "with", v)
	}
	var sent string
	f := newFake(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		sent = r.Header.Get("Authorization")
		http.Error(w, `{"error":"bad `+sent+`"}`, http.StatusUnauthorized)
	})
	_, err := gorm.Open(libsql.New(libsql.Config{DSN: f.URL, AuthToken: canary}), &gorm.Config{Logger: logger.New(slogWriter{&out}, logger.Config{LogLevel: logger.Info})})
	var refused *libsql.Error
	if !errors.As(err, &refused) || refused.ExtendedCode != 23 || sent != "Bearer "+canary {
		t.Errorf("a refused token: got %#v, with %q sent", err, sent)
	}
	fmt.Fprintf(&out, "%v %+v %#v", err, err, refused)
	if out.Len() < 200 || strings.Contains(out.String(), "canary") {
		t.Errorf("shown:\n%s", &out)
	}
}

type slogWriter struct{ io.Writer }

func (w slogWriter) Printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// TestErrors: the codes of the server's texts, and what GORM makes of them.
func TestErrors(t *testing.T) {
	var message string
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request, query string) {
		if strings.HasPrefix(query, "INSERT") {
			answer(w, `{"type":"error","error":{"message":"`+message+`","code":"SQLITE"}}`)
			return
		}
		answer(w, ok)
	})
	db := f.open(t)
	translating := f.open(t)
	translating.TranslateError = true
	for _, c := range []struct {
		message string
		code    int
		gorm    error
	}{
		{"SQLite error: UNIQUE constraint failed: auth_user.id", 2067, gorm.ErrDuplicatedKey},
		{"SQLite error: FOREIGN KEY constraint failed", 787, gorm.ErrForeignKeyViolated},
		{"SQLite error: CHECK constraint failed: age", 275, gorm.ErrCheckConstraintViolated},
		{"SQLite error: NOT NULL constraint failed: t.a", 1299, nil},
		{"SQLite error: database is locked", 5, nil},
		{"SQLite error: database table is locked: t", 6, nil},
		{"Transaction timed out", 773, nil},
		{"SQLite error: no such table: t", 1, nil},
	} {
		message = c.message
		err := db.Exec("INSERT INTO t VALUES ('canary', ?)", "canary").Error
		var e *libsql.Error
		if !errors.As(err, &e) || e.ExtendedCode != c.code || e.Message != c.message || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %#v, want code %d", c.message, err, c.code)
		}
		if err := translating.Exec("INSERT INTO t VALUES (1)").Error; c.gorm != nil && !errors.Is(err, c.gorm) {
			t.Errorf("%s: got %v, want %v", c.message, err, c.gorm)
		}
	}
}

// TestNoServer: the network's own error stays behind ours.
func TestNoServer(t *testing.T) {
	for _, scheme := range []string{"http", "ws"} {
		_, err := gorm.Open(libsql.Open(scheme+"://127.0.0.1:1?authToken="+canary), &gorm.Config{Logger: logger.Discard})
		if !errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("%s: got %v, want %v", scheme, err, syscall.ECONNREFUSED)
		}
	}
}
