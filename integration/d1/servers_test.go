// Package d1_test runs the package d1 on D1's engine, workerd, behind the API of worker/.
// Where it is not there the tests are skipped, or fail with GORMKEY_REQUIRE_ENGINES=1.
package d1_test

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey/d1"
)

const databases = 12

var (
	endpoint = cmp.Or(os.Getenv("GORMKEY_D1_ENDPOINT"), "http://127.0.0.1:18787/client/v4")
	free     = make(chan string, databases) // the names that no test has
	reached  = sync.OnceValue(func() error {
		for i := range databases {
			free <- fmt.Sprintf("gormkey%d", i)
		}
		pool := d1.OpenDB(config("gormkey0"))
		defer func() { _ = pool.Close() }()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return pool.PingContext(ctx)
	})
)

func config(database string) d1.Config {
	return d1.Config{Account: "test", Database: database, Token: "gormkey-test", Endpoint: endpoint}
}

// newDatabase takes an empty database until t ends.
func newDatabase(t testing.TB) d1.Config {
	t.Helper()
	if err := reached(); err != nil {
		missing := t.Skipf
		if os.Getenv("GORMKEY_REQUIRE_ENGINES") == "1" {
			missing = t.Fatalf
		}
		missing("no D1 (%v); start it: integration/d1/start.sh", err)
	}
	name := <-free
	t.Cleanup(func() { free <- name })
	c := config(name)
	pool := d1.OpenDB(c)
	defer func() { _ = pool.Close() }()
	must(t, dropAll(pool))
	return c
}

// dropAll drops tables until none is left, the youngest first: where rows go with those of
// a table, what these point at has to be there.
func dropAll(pool *sql.DB) error {
	ctx := context.Background()
	for range 100 {
		results, err := d1.Batch(ctx, pool, []d1.Statement{{
			SQL: `SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '\_cf\_%' ESCAPE '\' ORDER BY rowid DESC`,
		}})
		if err != nil || len(results[0].Rows) == 0 {
			return err
		}
		drops := []d1.Statement{{SQL: "PRAGMA defer_foreign_keys = ON"}}
		for _, row := range results[0].Rows {
			drops = append(drops, d1.Statement{SQL: fmt.Sprintf(`DROP %s IF EXISTS "%s"`, row[0], strings.ReplaceAll(row[1].(string), `"`, `""`))})
		}
		if _, err := d1.Batch(ctx, pool, drops); err != nil {
			return err
		}
	}
	return fmt.Errorf("tables come back")
}

func newPool(t testing.TB) *sql.DB {
	t.Helper()
	pool := d1.OpenDB(newDatabase(t))
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func newGORM(t testing.TB, settings *gorm.Config) *gorm.DB {
	t.Helper()
	if settings.Logger == nil {
		settings.Logger = logger.Discard
	}
	db, err := gorm.Open(d1.New(newDatabase(t)), settings)
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// exec runs statements, one after the other.
func exec(t testing.TB, pool *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := pool.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// count returns the number that a query asks for.
func count(t testing.TB, pool *sql.DB, query string, args ...any) (n int) {
	t.Helper()
	must(t, pool.QueryRow(query, args...).Scan(&n))
	return n
}
