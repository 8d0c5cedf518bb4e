package d1_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/d1"
)

func TestParseDSN(t *testing.T) {
	c, err := d1.ParseDSN("d1://acc0/data-base?endpoint=http%3A%2F%2F127.0.0.1%3A1%2Fv4&timeout=5s")
	if err != nil || c.Account != "acc0" || c.Database != "data-base" || c.Endpoint != "http://127.0.0.1:1/v4" || c.Timeout != 5*time.Second || c.Token != "" {
		t.Errorf("got %v %q %v, %v", c, c.Endpoint, c.Timeout, err)
	}
	for _, dsn := range []string{
		"", "d1:acc/db", "sqlite://acc/db", "d1://canary@acc/db", "d1://user:canary@acc/db", "d1://acc/db?token=canary", "d1://acc/db?api_token=canary",
		"d1://acc/db?timeout=0s", "d1://acc/db?timeout=soon", "d1://acc/db?color=canary", "d1://acc/db?timeout=1s&timeout=2s", "d1://acc/db#canary",
		"d1://acc/db?%zzcanary", "d1://acc canary/db", "d1://acc/db?a;canary",
	} {
		_, err := d1.ParseDSN(dsn)
		if !errors.Is(err, d1.ErrConfig) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", dsn, err)
		}
		if _, err := gorm.Open(d1.Open(dsn), &gorm.Config{}); !errors.Is(err, d1.ErrConfig) {
			t.Errorf("%q: gorm.Open: %v", dsn, err)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	t.Setenv(d1.TokenVariable, "")
	valid := d1.Config{Account: "a", Database: "b", Token: "canary"}
	for name, change := range map[string]func(*d1.Config){
		"no account":        func(c *d1.Config) { c.Account = "" },
		"path in account":   func(c *d1.Config) { c.Account = "../x" },
		"long database":     func(c *d1.Config) { c.Database = strings.Repeat("x", 65) },
		"no token":          func(c *d1.Config) { c.Token = "" },
		"line in token":     func(c *d1.Config) { c.Token = "canary\r\nHost: x" },
		"endpoint":          func(c *d1.Config) { c.Endpoint = "ftp://x" },
		"user in endpoint":  func(c *d1.Config) { c.Endpoint = "https://canary@x/" },
		"query in endpoint": func(c *d1.Config) { c.Endpoint = "https://x/?canary" },
		"timeout":           func(c *d1.Config) { c.Timeout = -1 },
	} {
		c := valid
		change(&c)
		pool := d1.OpenDB(c)
		if err := pool.Ping(); !errors.Is(err, d1.ErrConfig) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := gorm.Open(d1.New(c), &gorm.Config{}); !errors.Is(err, d1.ErrConfig) {
			t.Errorf("%s: gorm.Open: %v", name, err)
		}
		_ = pool.Close()
	}
}

// TestTokenIsHidden: in whatever is printed, logged or marshalled.
func TestTokenIsHidden(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, read) }))
	defer s.Close()
	t.Setenv(d1.TokenVariable, canary)
	config := d1.Config{Account: "a", Database: "b", Token: canary, Endpoint: s.URL, HTTPClient: s.Client()}
	db, err := gorm.Open(d1.New(config), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	for name, v := range map[string]any{
		"Config": config, "*Config": &config, "Config without a client": d1.Config{Account: "a", Database: "b", Token: canary},
		"New": d1.New(config), "Open": d1.Open("d1://a/b"), "connection": connection(t, pool),
		"DB": db, "Dialector": db.Dialector, "pool": pool, "connector": d1.NewConnector(config),
	} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("opened", "with", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("opened", "with", v)
		text, err := json.Marshal(v)
		if err != nil && v != any(db) { // which has functions
			t.Errorf("%s: json.Marshal: %v", name, err)
		}
		out.Write(text)
		shown := strings.ToLower(out.String())
		if len(shown) < 100 || strings.Contains(shown, canary) || strings.Contains(shown, fmt.Sprintf("%x", canary)) {
			t.Errorf("%s shows:\n%s", name, shown)
		}
	}
}

func connection(t *testing.T, pool *sql.DB) (c any) {
	t.Helper()
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.Raw(func(driverConn any) error { c = driverConn; return nil })
	return c
}
