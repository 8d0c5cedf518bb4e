package libsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/libsql"
)

// TestRoundTrips counts those of each operation, BEGIN and COMMIT included.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		name := newDatabase(t)
		db := open(t, scheme, name, &gorm.Config{})
		pool(t, db).SetMaxOpenConns(1)
		auth, ctx := install(t, db), t.Context()
		ada := &Account{Email: "ada@example.com"}
		var session *gormkey.Session[Account]
		for _, c := range []struct {
			verb string
			want int64
			call func() error
		}{
			{"CreateUser with a key", 4, func() error { return auth.CreateUser(ctx, ada, login(ada.Email)) }},
			{"SignIn", 2, func() (err error) { session, err = auth.SignIn(ctx, login(ada.Email)); return err }},
			{"ValidateSession", 1, func() error { _, err := auth.ValidateSession(ctx, session.Token); return err }},
			{"GetUser", 1, func() error { _, err := auth.GetUser(ctx, ada.ID); return err }},
			{"SignOut", 1, func() error { return auth.SignOut(ctx, session.Token) }},
			{"DeleteUser", 6, func() error { return auth.DeleteUser(ctx, ada.ID) }},
		} {
			sent := func() int64 {
				if scheme == "http" {
					return wireOf(name).requests.Load()
				}
				return wireOf(name).trips.Load()
			}
			before := sent()
			must(t, c.call())
			got := sent() - before
			if got != c.want {
				t.Errorf("%s: %s: got %d round trips, want %d", scheme, c.verb, got, c.want)
			}
		}
	}
}

// TestTimes: a time comes back as it went, over either way, also one that SQL made.
func TestTimes(t *testing.T) {
	t.Parallel()
	name := newDatabase(t)
	install(t, open(t, "ws", name, &gorm.Config{}))
	for i, scheme := range schemes {
		db := open(t, scheme, name, &gorm.Config{})
		seen := time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.FixedZone("", 3600))
		id := fmt.Sprintf("user-%d-abcdefg", i)
		must(t, db.Create(&Account{User: gormkey.User{ID: id}, Email: id, CreatedAt: seen, Seen: &seen}).Error)
		for _, back := range schemes {
			var a Account
			must(t, open(t, back, name, &gorm.Config{}).First(&a, "id = ?", id).Error)
			if !a.CreatedAt.Equal(seen) || a.Seen == nil || !a.Seen.Equal(seen) {
				t.Errorf("%s, %s: got %v and %v, want %v", scheme, back, a.CreatedAt, a.Seen, seen)
			}
		}
		var a Account
		must(t, db.Exec("UPDATE auth_user SET seen = CURRENT_TIMESTAMP, created_at = NULL WHERE id = ?", id).Error)
		must(t, db.First(&a, "id = ?", id).Error)
		if a.Seen == nil || time.Since(*a.Seen).Abs() > time.Hour || !a.CreatedAt.IsZero() {
			t.Errorf("%s: got %v and %v", scheme, a.Seen, a.CreatedAt)
		}
	}
}

// TestReadThenWrite: transactions that read before they write wait for each other.
func TestReadThenWrite(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		db := open(t, scheme, newDatabase(t), &gorm.Config{})
		must(t, db.Exec("CREATE TABLE counter (n integer)").Error)
		must(t, db.Exec("INSERT INTO counter VALUES (0)").Error)
		const writers, rounds = 8, 10
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range rounds {
					err := db.Transaction(func(tx *gorm.DB) error {
						var n int
						if err := tx.Raw("SELECT n FROM counter").Scan(&n).Error; err != nil {
							return err
						}
						return tx.Exec("UPDATE counter SET n = ?", n+1).Error
					})
					if err != nil {
						t.Errorf("%s: %v", scheme, err)
					}
				}
			})
		}
		wg.Wait()
		var n int
		if must(t, db.Raw("SELECT n FROM counter").Scan(&n).Error); n != writers*rounds {
			t.Errorf("%s: got %d, want %d", scheme, n, writers*rounds)
		}
	}
}

// TestLostAnswer: the server has run a statement, and the connection ends before its
// answer. What may have written is not sent again.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	name := newDatabase(t)
	p := newProxy(t, name)
	db := openChecked(t, "ws", name, -1)
	must(t, db.Exec("CREATE TABLE t (a text)").Error)
	for _, c := range []struct {
		name string
		lost bool
		run  func(db *gorm.DB, a string) error
	}{
		{"a write", true, func(db *gorm.DB, a string) error {
			p.lose()
			return db.Exec("INSERT INTO t VALUES (?)", a).Error
		}},
		{"a write that returns rows", true, func(db *gorm.DB, a string) error {
			p.lose()
			return db.Raw("INSERT INTO t VALUES (?) RETURNING a", a).Scan(&a).Error
		}},
		{"a COMMIT", true, func(db *gorm.DB, a string) error {
			return db.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Exec("INSERT INTO t VALUES (?)", a).Error)
				p.lose()
				return nil
			})
		}},
		{"a BEGIN", false, func(db *gorm.DB, a string) error {
			p.lose()
			return db.Transaction(func(tx *gorm.DB) error { return tx.Exec("INSERT INTO t VALUES (?)", a).Error })
		}},
		{"a SELECT", false, func(db *gorm.DB, a string) error {
			must(t, db.Exec("INSERT INTO t VALUES (?)", a).Error)
			p.lose()
			var n int
			err := db.Raw("SELECT count(*) FROM t WHERE a = ?", a).Scan(&n).Error
			if n != 1 {
				t.Errorf("a SELECT: got %d", n)
			}
			return err
		}},
	} {
		before := p.connections()
		err := c.run(db, c.name)
		var lost *libsql.LostError
		if c.lost && (!errors.As(err, &lost) || !errors.Is(err, io.ErrUnexpectedEOF)) || !c.lost && err != nil {
			t.Errorf("%s: got %T %v", c.name, err, err)
		}
		var n int
		must(t, db.Raw("SELECT count(*) FROM t WHERE a = ?", c.name).Scan(&n).Error)
		if n != 1 {
			t.Errorf("%s: it was done %d times", c.name, n)
		}
		if got := p.connections() - before; got != 1 {
			t.Errorf("%s: got %d new connections, want 1", c.name, got)
		}
	}
}

// TestIdleConnection: the server has closed one that lay idle, of which the client knows
// nothing. A write is not what finds out: its answer would be lost.
func TestIdleConnection(t *testing.T) {
	t.Parallel()
	name := newDatabase(t)
	p := newProxy(t, name)
	db := openChecked(t, "ws", name, time.Nanosecond)
	must(t, db.Exec("CREATE TABLE t (a integer)").Error)
	for i := range 5 {
		before := p.connections()
		p.cut()
		if err := db.Exec("INSERT INTO t VALUES (?)", i).Error; err != nil {
			t.Errorf("write %d: %v", i, err)
		}
		var n int
		must(t, db.Raw("SELECT count(*) FROM t WHERE a = ?", i).Scan(&n).Error)
		if n != 1 {
			t.Errorf("write %d: it was done %d times", i, n)
		}
		if got := p.connections() - before; got != 1 {
			t.Errorf("write %d: got %d new connections, want 1", i, got)
		}
	}
}

// openChecked is open with an IdleCheck.
func openChecked(t *testing.T, scheme, name string, idleCheck time.Duration) *gorm.DB {
	t.Helper()
	connector, err := libsql.NewConnector(libsql.Config{DSN: dsn(scheme, name), IdleCheck: idleCheck})
	must(t, err)
	p := sql.OpenDB(connector)
	t.Cleanup(func() { _ = p.Close() })
	db, err := gorm.Open(libsql.New(libsql.Config{Conn: p}), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	return db
}

// TestCutConnections: connections that lay idle and are gone. What was sent on one is
// run again only if it cannot have written.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		name := newDatabase(t)
		db := openChecked(t, scheme, name, time.Nanosecond)
		auth, ctx := install(t, db), t.Context()
		ada := &Account{Email: "ada@example.com"}
		must(t, auth.CreateUser(ctx, ada, login(ada.Email)))
		session, err := auth.SignIn(ctx, login(ada.Email))
		must(t, err)
		for i := range 3 {
			wireOf(name).cut()
			if _, err := auth.ValidateSession(ctx, session.Token); err != nil {
				t.Errorf("%s: ValidateSession: %v", scheme, err)
			}
			wireOf(name).cut()
			if _, err := auth.OpenSession(ctx, ada.ID); err != nil {
				t.Errorf("%s: OpenSession: %v", scheme, err)
			}
			wireOf(name).cut()
			if err := auth.CreateUser(ctx, &Account{Email: fmt.Sprint(i)}, login(fmt.Sprint(i))); err != nil {
				t.Errorf("%s: CreateUser: %v", scheme, err)
			}
		}
		// In a transaction: it is undone, and nothing after it commits by itself.
		err = db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(&Account{Email: "first"}).Error)
			wireOf(name).cut()
			_ = tx.Create(&Account{Email: "second"})
			return nil
		})
		var n int64
		must(t, db.Model(&Account{}).Where("email IN ?", []string{"first", "second"}).Count(&n).Error)
		var refused *libsql.Error
		if scheme == "ws" && (!errors.As(err, &refused) || refused.ExtendedCode != 773 || n != 0) {
			t.Errorf("%s: a cut transaction: got %v and %d rows", scheme, err, n)
		}
		if scheme == "http" && (err == nil) != (n == 2) { // one stream over several connections
			t.Errorf("%s: a cut transaction: got %v and %d rows", scheme, err, n)
		}
	}
}

// TestOldTransaction: the server ends one that holds the lock for over five seconds while
// another waits for it, and what was left of it does not commit by itself.
func TestOldTransaction(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the server's five seconds")
	}
	needServer(t)
	t.Parallel()
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			db := open(t, scheme, newDatabase(t), &gorm.Config{})
			must(t, db.Exec("CREATE TABLE t (a integer)").Error)
			err := db.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Exec("INSERT INTO t VALUES (1)").Error)
				must(t, db.Transaction(func(other *gorm.DB) error { return other.Exec("INSERT INTO t VALUES (2)").Error }))
				_ = tx.Exec("INSERT INTO t VALUES (3)")
				return nil
			})
			var refused *libsql.Error
			var left []int
			must(t, db.Raw("SELECT a FROM t").Scan(&left).Error)
			if !errors.As(err, &refused) || refused.ExtendedCode != 773 || len(left) != 1 || left[0] != 2 {
				t.Errorf("got %v and rows %v, want code 773 and row 2", err, left)
			}
		})
	}
}

// TestLeftBegin: a BEGIN that nobody ended is not the next one's to use the connection.
func TestLeftBegin(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		db := open(t, scheme, newDatabase(t), &gorm.Config{})
		must(t, db.Exec("CREATE TABLE t (a integer)").Error)
		must(t, db.Connection(func(conn *gorm.DB) error {
			must(t, conn.Exec("BEGIN IMMEDIATE").Error)
			return conn.Exec("INSERT INTO t VALUES (1)").Error
		}))
		must(t, db.Exec("INSERT INTO t VALUES (2)").Error)
		var left []int
		must(t, db.Raw("SELECT a FROM t").Scan(&left).Error)
		if len(left) != 1 || left[0] != 2 {
			t.Errorf("%s: got rows %v, want 2 alone", scheme, left)
		}
	}
}

// TestCancelledBegin: whoever gives up waiting for the lock leaves it to others.
func TestCancelledBegin(t *testing.T) {
	t.Parallel()
	for _, scheme := range schemes {
		db := open(t, scheme, newDatabase(t), &gorm.Config{})
		must(t, db.Exec("CREATE TABLE t (a integer)").Error)
		must(t, db.Transaction(func(tx *gorm.DB) error {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			err := db.WithContext(ctx).Transaction(func(other *gorm.DB) error { return nil })
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got %v", scheme, err)
			}
			return tx.Exec("INSERT INTO t VALUES (1)").Error
		}))
		start := time.Now()
		must(t, db.Exec("INSERT INTO t VALUES (2)").Error)
		if waited := time.Since(start); waited > 4*time.Second { // five, for a lock that nobody wants
			t.Errorf("%s: the next writer waited %v", scheme, waited)
		}
	}
}
