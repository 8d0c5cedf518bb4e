package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// An application that has a *sql.DB already lends it to GORM and goes on using it.
func TestSharedPool(t *testing.T) {
	onEach(t, []*server{postgresServer, mariadbServer, mysqlServer}, func(t *testing.T, s *server) {
		shared, err := sql.Open(s.driver, s.newDSN(t))
		app.Must(t, err)
		t.Cleanup(func() { _ = shared.Close() })
		dialector := postgres.New(postgres.Config{Conn: shared})
		if s.driver == "mysql" {
			dialector = mysql.New(mysql.Config{Conn: shared})
		}
		auth := app.Install(t, open(t, dialector, &gorm.Config{}), app.New())
		app.Flow(t, auth)

		ada := &app.Account{Email: "ada@example.com"}
		app.Must(t, auth.CreateUser(t.Context(), ada, app.Email(ada.Email)))
		var id string
		app.Must(t, shared.QueryRowContext(t.Context(), "SELECT user_id FROM user_key").Scan(&id))
		if id != ada.ID {
			t.Errorf("owner of the key by plain SQL: got %q, want %q", id, ada.ID)
		}
		if n := shared.Stats().InUse; n != 0 {
			t.Errorf("connections in use: got %d, want 0", n)
		}
	})
}

// onServers runs a test on PostgreSQL, MariaDB and MySQL.
func onServers(t *testing.T, run func(t *testing.T, newDB gormkeytest.NewDB)) {
	onEach(t, []*server{postgresServer, mariadbServer, mysqlServer}, func(t *testing.T, s *server) { run(t, s.open) })
}

// An operation that took a second connection while it held one would wait for itself
// for ever where there is one in all.
func TestOneConnection(t *testing.T) {
	onServers(t, func(t *testing.T, newDB gormkeytest.NewDB) {
		db := newDB(t)
		pool(t, db).SetMaxOpenConns(1)
		auth := app.Install(t, db, app.New())
		app.Flow(t, auth)

		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				a := &app.Account{Email: fmt.Sprintf("%d@example.com", i)}
				if errs[i] = auth.CreateUser(ctx, a, app.Email(a.Email)); errs[i] == nil {
					_, errs[i] = auth.SignIn(ctx, app.Email(a.Email))
				}
			})
		}
		wg.Wait()
		app.Must(t, errors.Join(errs...))
	})
}
