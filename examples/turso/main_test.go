package main

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey/libsql"
)

// TestRun runs the example on the server of .ci/engines, both ways.
func TestRun(t *testing.T) {
	const server = "localhost:15380"
	conn, err := net.DialTimeout("tcp", server, 5*time.Second)
	if err != nil {
		if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no server (%v); start it: .ci/engines libsql", err)
	}
	_ = conn.Close()
	for _, scheme := range []string{"ws", "http", "ws"} { // it leaves nothing that is in its own way
		var out strings.Builder
		if err := run(t.Context(), libsql.Config{DSN: scheme + "://" + server}, &out); err != nil {
			t.Fatalf("%s: %v\n%s", scheme, err, &out)
		}
		if !strings.Contains(out.String(), "ada@turso.example is signed in") || !strings.HasSuffix(out.String(), "\n0 findings\n") {
			t.Errorf("%s: got\n%s", scheme, &out)
		}
	}
}
