package main

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRun runs the example on the engine of .ci/engines d1.
func TestRun(t *testing.T) {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:18787", 5*time.Second)
	if err != nil {
		if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no engine (%v); start it: .ci/engines d1", err)
	}
	_ = conn.Close()
	for range 2 { // it leaves nothing that is in its own way
		var out strings.Builder
		config := local
		config.Database = "gormkey11"
		if err := run(t.Context(), config, &out); err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
		if !strings.Contains(out.String(), "ada@d1.example is signed in") || !strings.HasSuffix(out.String(), "\n0 findings\n") {
			t.Errorf("got\n%s", &out)
		}
	}
}
