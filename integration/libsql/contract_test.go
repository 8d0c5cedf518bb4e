package libsql_test

import (
	"testing"

	"github.com/gormkey/gormkey/gormkeytest"
)

func TestWebSocket(t *testing.T) {
	needServer(t)
	t.Parallel()
	gormkeytest.Run(t, newDB("ws"))
}

func TestHTTP(t *testing.T) {
	needServer(t)
	t.Parallel()
	gormkeytest.Run(t, newDB("http"))
}

func TestWithoutForeignKeys(t *testing.T) {
	needServer(t)
	t.Parallel()
	gormkeytest.Run(t, newDB("ws"), gormkeytest.WithoutForeignKeys())
}
