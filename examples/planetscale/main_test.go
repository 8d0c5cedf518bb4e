package main

import (
	"cmp"
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRun runs the example on the Vitess of .ci/engines, or on another DSN.
func TestRun(t *testing.T) {
	dsn := cmp.Or(os.Getenv("GORMKEY_PLANETSCALE_DSN"), "root@tcp(127.0.0.1:15306)/gkeq?parseTime=true")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.PingContext(ctx); err != nil {
		if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no server (%v); start it: .ci/engines vitess", err)
	}
	t.Cleanup(func() {
		for _, table := range []string{"user_session", "user_key", "auth_user"} {
			if _, err := db.Exec("DROP TABLE " + table); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 { // it leaves nothing that is in its own way
		var out strings.Builder
		if err := run(ctx, dsn, &out); err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
		if !strings.Contains(out.String(), "ada@planetscale.example is signed in") || !strings.HasSuffix(out.String(), "\n0 findings\n") {
			t.Errorf("got\n%s", &out)
		}
	}
}
