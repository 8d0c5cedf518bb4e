package libsql_test

import (
	"bytes"
	"crypto/sha1"
	"database/sql/driver"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
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
	for _, c := range []libsql.Config{config, withToken} {
		over := c
		over.DSN = strings.Replace(c.DSN, "http", "ws", 1)
		conn, err := connector(t, c).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []any{c, &c, libsql.New(c), *libsql.New(c).(*libsql.Dialector), connector(t, c), connector(t, over), conn} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
				fmt.Fprintf(&out, "%T "+verb+"\n", v, v)
			}
			slog.New(slog.NewTextHandler(&out, nil)).Info("opened", "with", v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("opened", "with", v)
			text, err := json.Marshal(v)
			if err != nil {
				t.Errorf("%T: json.Marshal: %v", v, err)
			}
			out.Write(append(text, '\n'))
		}
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
	shown := strings.ToLower(out.String())
	if len(shown) < 200 || strings.Contains(shown, "canary") || strings.Contains(shown, fmt.Sprintf("%x", "canary")) {
		t.Errorf("shown:\n%s", shown)
	}
}

func connector(t *testing.T, config libsql.Config) driver.Connector {
	t.Helper()
	c, err := libsql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
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

// TestDialError: it keeps the network's error, unless that has the token.
func TestDialError(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	quoting := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no route for " + canary)}
	for _, c := range []struct {
		err  error
		want string
		kept bool
	}{
		{refused, "libsql: connect: dial tcp: connection refused", true},
		{fmt.Errorf("Get %q: %w", "http://db.example?jwt="+canary, refused), "libsql: connect: dial tcp: connection refused", true},
		{quoting, "libsql: connect: dial tcp: no route for …", false},
		{fmt.Errorf("with %s: %w", canary, quoting), "libsql: connect: with …: dial tcp: no route for …", false},
		{errors.New("bad " + canary + ", " + canary), "libsql: connect: bad …, …", false},
	} {
		err := libsql.DialError(c.err, canary)
		var network *net.OpError
		if err.Error() != c.want || errors.As(err, &network) != c.kept || strings.Contains(fmt.Sprintf("%+v %#v", err, err), "canary") {
			t.Errorf("%v: got %#v, want %q", c.err, err, c.want)
		}
	}
	if err := libsql.DialError(refused, ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("without a token: got %v", err)
	}
}

// TestHandshake: over WebSocket a server refuses the token, and throws it back.
func TestHandshake(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		key := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, 4.2.2
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Protocol: hrana1\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(key[:]))
		message := `{"type":"hello_error","error":{"message":"bad ` + canary + `"}}`
		_, _ = fmt.Fprintf(conn, "\x81%c%s\x88\x00", len(message), message) // a text shorter than 126, and a close
		_, _ = io.Copy(io.Discard, conn)
	}))
	t.Cleanup(s.Close)
	_, err := gorm.Open(libsql.New(libsql.Config{DSN: strings.Replace(s.URL, "http", "ws", 1), AuthToken: canary}), &gorm.Config{Logger: logger.Discard})
	if want := "libsql: connect: handshake error: bad …"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
