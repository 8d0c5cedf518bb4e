package main

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRun runs the example on the server of .ci/engines.
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
	for range 2 { // it leaves nothing that is in its own way
		var out strings.Builder
		if err := run(t.Context(), "http://"+server, "", &out); err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
		if !strings.HasSuffix(out.String(), "signed out there, after a sync\n") {
			t.Errorf("got\n%s", &out)
		}
	}
}
