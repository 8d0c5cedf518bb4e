package otel_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/opentelemetry/tracing"

	"github.com/gormkey/gormkey"
)

// TestMariaDBErrors: the server's own text quotes the value of a duplicate, and the plugin
// copies it, as the page says.
func TestMariaDBErrors(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	db, err := gorm.Open(mysql.Open(newMariaDB(t)), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	plugin := gormkey.New[Account]()
	must(t, db.Use(plugin))
	must(t, db.Use(tracing.NewPlugin(tracing.WithoutQueryVariables(), tracing.WithTracerProvider(provider))))
	must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	must(t, err)

	address := gormkey.FoldEmail("ada@example.com")
	must(t, auth.CreateUser(t.Context(), &Account{Email: address}))
	if where := find(exporter.GetSpans(), address); where != "" {
		t.Errorf("the address is in %s", where)
	}
	if err := auth.CreateUser(t.Context(), &Account{Email: address}); !errors.Is(err, gormkey.ErrDuplicateAttribute) {
		t.Errorf("a second sign-up: got %v", err)
	}
	spans := exporter.GetSpans()
	quoted := 0
	for _, span := range spans {
		if strings.Contains(span.Status.Description, address) {
			quoted++
		}
		for _, a := range span.Attributes {
			if strings.Contains(a.Value.Emit(), address) {
				t.Errorf("the address is in the attribute %s", a.Key)
			}
		}
	}
	if quoted == 0 {
		t.Error("no status quotes the address: the page's warning is out of date")
	}
}

// newMariaDB returns the DSN of a new database. A server that is not there skips the test.
func newMariaDB(t *testing.T) string {
	t.Helper()
	dsn := cmp.Or(os.Getenv("GORMKEY_MARIADB_DSN"), "root@tcp(127.0.0.1:3306)/")
	if dsn == "none" {
		t.Skip("mariadb is switched off")
	}
	admin, err := sql.Open("mysql", dsn)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := admin.PingContext(ctx); err != nil {
		missing := t.Skipf
		if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
			missing = t.Fatalf
		}
		missing("no server (%v)", err)
	}
	name := "gk_" + strings.ToLower(rand.Text())
	_, err = admin.ExecContext(t.Context(), "CREATE DATABASE "+name)
	must(t, err)
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name); err != nil {
			t.Errorf("dropping the database: %v", err)
		}
		_ = admin.Close()
	})
	base, parameters, _ := strings.Cut(dsn, "?")
	return base + name + "?" + parameters
}
