// Package otel_test holds docs/opentelemetry.md to what GORM's plugin for OpenTelemetry does.
package otel_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/libtnb/sqlite"
	_ "go.opentelemetry.io/otel/exporters/stdout/stdouttrace" // in the program of the page
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/opentelemetry/tracing"

	"github.com/gormkey/gormkey"
)

// Account is the user of the tests.
type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

// TestWithoutQueryVariables: no span holds a value.
func TestWithoutQueryVariables(t *testing.T) {
	t.Parallel()
	spans, secrets := traced(t, tracing.WithoutQueryVariables())
	for name, secret := range secrets {
		if where := find(spans, secret); where != "" {
			t.Errorf("%s is in %s", name, where)
		}
	}
	for _, table := range []string{"auth_user", "user_key", "user_session", "user_token"} {
		if find(spans, table) == "" {
			t.Errorf("no span is about %s, so that the test proves nothing", table)
		}
	}
}

// TestDefaults: the page's warning is still true. A token itself never reaches a statement.
func TestDefaults(t *testing.T) {
	t.Parallel()
	spans, secrets := traced(t)
	for name, secret := range secrets {
		where := find(spans, secret)
		if clear := strings.HasPrefix(name, "clear"); clear != (where == "") {
			t.Errorf("%s is in %q", name, where)
		}
	}
}

// traced signs somebody up, in and out, and returns the spans and what must be in none of
// them.
func traced(t *testing.T, opts ...tracing.Option) (tracetest.SpanStubs, map[string]string) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	dsn := "file:" + filepath.Join(t.TempDir(), "app.db") + "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_txlock=immediate"
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	plugin := gormkey.New[Account](gormkey.WithOneTimeTokens())
	must(t, db.Use(plugin))
	must(t, db.Use(tracing.NewPlugin(append(opts, tracing.WithTracerProvider(provider))...)))
	must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	must(t, err)
	exporter.Reset() // of what made the tables
	ctx, request := provider.Tracer("test").Start(t.Context(), "request")
	secrets := follow(ctx, t, auth)
	spans := exporter.GetSpans()
	for _, span := range spans {
		never := strings.HasPrefix(span.Name, "select ") // a part that GORM built, and did not send
		if span.Parent.SpanID() != request.SpanContext().SpanID() && !never {
			t.Errorf("%s is no child of the request's span", span.Name)
		}
	}
	return spans, secrets
}

// follow does what a user does, and returns what must be in no span.
func follow(ctx context.Context, t *testing.T, auth *gormkey.Repository[Account]) map[string]string {
	t.Helper()
	address := gormkey.FoldEmail("ada@example.com")
	login := gormkey.Credentials{Provider: "email", ID: address, Password: "correct horse battery staple"}
	ada := &Account{Email: address}
	must(t, auth.CreateUser(ctx, ada, login))
	if err := auth.CreateUser(ctx, &Account{Email: address}, login); !errors.Is(err, gormkey.ErrDuplicateAttribute) {
		t.Errorf("a second sign-up: got %v", err)
	}
	link, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, address, time.Hour)
	must(t, err)
	_, err = auth.UseToken(ctx, gormkey.PurposeVerifyEmail, link, nil)
	must(t, err)
	session, err := auth.SignIn(ctx, login)
	must(t, err)
	token := session.Token
	_, err = auth.ValidateSession(ctx, token)
	must(t, err)
	must(t, auth.SignOut(ctx, token))
	return map[string]string{
		"the format of a password hash":   "$argon2id$",
		"an address":                      address,
		"the hash of a session's token":   string(token.ID()),
		"the hash of a one-time token":    string(link.ID()),
		"clear text: a session's token":   string(token),
		"clear text: a one-time token":    string(link),
		"clear text: somebody's password": login.Password,
	}
}

// find returns the span and the place that hold a text, "" for none.
func find(spans tracetest.SpanStubs, text string) string {
	for _, span := range spans {
		for _, a := range span.Attributes {
			if strings.Contains(a.Value.Emit(), text) {
				return span.Name + ", attribute " + string(a.Key)
			}
		}
		for _, e := range span.Events {
			for _, a := range e.Attributes {
				if strings.Contains(a.Value.Emit(), text) {
					return span.Name + ", event " + e.Name
				}
			}
		}
		if strings.Contains(span.Name+span.Status.Description, text) {
			return span.Name + ", name or status"
		}
	}
	return ""
}

// TestDocs runs the program of docs/opentelemetry.md.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/opentelemetry.md")
	must(t, err)
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(text)
	if program == nil {
		t.Fatal("it has no program")
	}
	path := filepath.Join(t.TempDir(), "main.go")
	must(t, os.WriteFile(path, program[1], 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "run", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for text, wanted := range map[string]bool{"db.query.text": true, "user_session": true, "ada@example.com": false, "$argon2id$": false} {
		if strings.Contains(string(out), text) != wanted {
			t.Errorf("the output has %q: %v, want %v\n%s", text, !wanted, wanted, out)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
