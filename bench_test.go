package gormkey_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
)

// The benchmarks run beside what the same work costs by hand. Both take turns within
// one run, since a loaded machine moves by more from run to run than they differ:
// "x-hand" is the median of the ratios of the turns. integration/ has the same for
// database servers.
//
//	go test -run '^$' -bench . -benchtime 2s -count 3
//	GORMKEY_BENCH_LARGE=1 go test -run '^$' -bench Flat -benchtime 2s

// Profile is the user of the benchmarks: five columns, with a time and a nullable one.
type Profile struct {
	gormkey.User
	Email     string `gorm:"size:255;uniqueIndex"`
	Name      string
	CreatedAt time.Time
	Age       *int
}

// benchTable is a database full of sessions.
type benchTable struct {
	ctx    context.Context
	db     *gorm.DB
	auth   *gormkey.Repository[Profile]
	tokens []gormkey.Token // of at most 100,000 of the sessions, and their ids
	ids    []string
	users  int
	// Prepared by hand on the same pool.
	lookup, insert, renew *sql.Stmt
}

// benchActive ends the active period of the sessions in a table.
var benchActive = time.Now().Add(12 * time.Hour)

// newBenchTable fills a SQLite file with so many sessions, and a tenth as many users.
func newBenchTable(b *testing.B, sessions int, config *gorm.Config, opts ...gormkey.Option) *benchTable {
	b.Helper()
	t := &benchTable{ctx: b.Context(), db: newDBWith(b, config), users: sessions / 10}
	plugin := gormkey.New[Profile](opts...)
	must(b, t.db.Use(plugin))
	must(b, plugin.AutoMigrate(t.db))
	var err error
	t.auth, err = plugin.Repository()
	must(b, err)
	pool, err := t.db.DB()
	must(b, err)
	t.fill(b, pool, sessions)
	prepare := func(query string) *sql.Stmt {
		stmt, err := pool.PrepareContext(t.ctx, query)
		must(b, err)
		b.Cleanup(func() { _ = stmt.Close() })
		return stmt
	}
	t.lookup = prepare("SELECT s.id, s.user_id, s.active_expires, s.idle_expires, u.id, u.email, u.name, u.created_at, u.age " +
		"FROM user_session s INNER JOIN auth_user u ON u.id = s.user_id WHERE s.id = ?")
	t.insert = prepare("INSERT INTO user_session (id, user_id, active_expires, idle_expires) VALUES (?, ?, ?, ?)")
	t.renew = prepare("UPDATE user_session SET active_expires = ?, idle_expires = ? WHERE id = ? AND idle_expires >= ? AND idle_expires < ?")
	return t
}

func (t *benchTable) fill(b *testing.B, pool *sql.DB, sessions int) {
	b.Helper()
	tx, err := pool.BeginTx(t.ctx, nil)
	must(b, err)
	insert := func(n int, into string, row func(i int) string) {
		const batch = 500
		for i := 0; i < n; i += batch {
			rows := make([]string, min(batch, n-i))
			for j := range rows {
				rows[j] = row(i + j)
			}
			_, err := tx.ExecContext(t.ctx, "INSERT INTO "+into+" VALUES "+strings.Join(rows, ","))
			must(b, err)
		}
	}
	insert(t.users, "auth_user (id, email, name, created_at, age)", func(i int) string {
		age := "NULL"
		if i%2 == 0 {
			age = strconv.Itoa(20 + i%60)
		}
		return fmt.Sprintf("('%s', 'user%d@example.com', 'User Number %d', '2026-01-02 03:04:05', %s)", benchUserID(i), i, i, age)
	})
	active := benchActive.UnixMilli()
	idle := active + authtest.IdlePeriod.Milliseconds()
	insert(sessions, "user_session (id, user_id, active_expires, idle_expires)", func(i int) string {
		token := gormkey.Token(rand.Text() + rand.Text())
		id := string(token.ID())
		if i%max(1, sessions/100_000) == 0 {
			t.tokens, t.ids = append(t.tokens, token), append(t.ids, id)
		}
		return fmt.Sprintf("('%s', '%s', %d, %d)", id, benchUserID(i%t.users), active, idle)
	})
	must(b, tx.Commit())
}

func benchUserID(i int) string { return fmt.Sprintf("user%011d", i) }

// validate checks a random session.
func (t *benchTable) validate() error {
	session, err := t.auth.ValidateSession(t.ctx, t.tokens[mathrand.N(len(t.tokens))])
	if err == nil && session.User.Name == "" {
		err = errors.New("the session has no user")
	}
	return err
}

// validateByHand does no less than an application must.
func (t *benchTable) validateByHand() error {
	session, err := t.load(t.ids[mathrand.N(len(t.ids))])
	if err == nil && (session.State(time.Now()) != gormkey.StateActive || session.User.Name == "") {
		err = errors.New("the session is not active")
	}
	return err
}

func (t *benchTable) load(id string) (*gormkey.Session[Profile], error) {
	u := new(Profile)
	s := &gormkey.Session[Profile]{User: u}
	return s, t.lookup.QueryRowContext(t.ctx, id).Scan(&s.ID, &s.UserID, (*int64)(&s.ActiveExpires), (*int64)(&s.IdleExpires),
		&u.ID, &u.Email, &u.Name, &u.CreatedAt, &u.Age)
}

// statements reports how many statements work sends.
func (t *benchTable) statements(b *testing.B, work func(*gormkey.Repository[Profile]) error) {
	b.Helper()
	counter := &statementCounter{Interface: logger.Discard}
	auth, err := gormkey.From[Profile](t.db.Session(&gorm.Session{Logger: counter}))
	must(b, err)
	must(b, work(auth))
	b.ReportMetric(float64(counter.n), "stmts/op")
}

type statementCounter struct {
	logger.Interface
	n int
}

// Trace counts.
func (c *statementCounter) Trace(context.Context, time.Time, func() (string, int64), error) { c.n++ }

// against times work, whose time and allocations are the benchmark's, and peer in turns.
func against(b *testing.B, peerName string, work, peer func() error) {
	b.Helper()
	const turn = 50
	run := func(op func() error) {
		if err := op(); err != nil {
			b.Fatal(err)
		}
	}
	for range turn {
		run(work)
		run(peer)
	}
	b.ReportAllocs()
	var ratios []float64
	n, start := 0, time.Now()
	for b.Loop() {
		if n++; n > turn {
			ours := time.Since(start)
			b.StopTimer()
			start = time.Now()
			for range turn {
				run(peer)
			}
			ratios = append(ratios, float64(ours)/float64(time.Since(start)))
			b.StartTimer()
			n, start = 1, time.Now()
		}
		run(work)
	}
	if len(ratios) > 0 {
		b.ReportMetric(median(ratios), "x-"+peerName)
	}
}

func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkValidateSession: one statement, at most twice the time of the same join by
// hand with PrepareStmt, at most 90 allocations.
func BenchmarkValidateSession(b *testing.B) {
	for _, prepare := range []bool{true, false} {
		b.Run(fmt.Sprintf("sqlite/PrepareStmt=%v", prepare), func(b *testing.B) {
			t := newBenchTable(b, 100_000, &gorm.Config{PrepareStmt: prepare})
			against(b, "hand", t.validate, t.validateByHand)
			t.statements(b, func(auth *gormkey.Repository[Profile]) error {
				_, err := auth.ValidateSession(t.ctx, t.tokens[0])
				return err
			})
		})
	}
}

// BenchmarkValidateSessionFacts compares a table that has the columns of WithSessionFacts with one that has
// not. A check is one statement, takes at most 1.03 times as long, and makes at most three allocations more
// than the driver makes for the columns.
func BenchmarkValidateSessionFacts(b *testing.B) {
	for _, prepare := range []bool{true, false} {
		b.Run(fmt.Sprintf("sqlite/PrepareStmt=%v", prepare), func(b *testing.B) {
			without := newBenchTable(b, 10_000, &gorm.Config{PrepareStmt: prepare})
			with := newBenchTable(b, 10_000, &gorm.Config{PrepareStmt: prepare}, gormkey.WithSessionFacts())
			last := newBenchTable(b, 10_000, &gorm.Config{PrepareStmt: prepare}) // the later a table is made, the faster it is
			must(b, with.db.Exec("UPDATE user_session SET opened_at = ?, authenticated_at = ?, methods = 'pwd'", time.Now().UnixMilli(), time.Now().UnixMilli()).Error)
			for _, t := range []*benchTable{without, with, last} { // else one of them is read out of its log
				must(b, t.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)").Error)
			}
			turn := 0
			against(b, "without", with.validate, func() error {
				if turn++; turn/50%2 == 0 {
					return without.validate()
				}
				return last.validate()
			})
			with.statements(b, func(auth *gormkey.Repository[Profile]) error {
				_, err := auth.ValidateSession(with.ctx, with.tokens[0])
				return err
			})
			// The driver's own share is that of the same columns by hand.
			more := "SELECT s.id, s.user_id, s.active_expires, s.idle_expires%s FROM user_session s WHERE s.id = ?"
			driver := with.allocs(b, fmt.Sprintf(more, ", s.opened_at, s.authenticated_at, s.factor_at, s.methods, s.remembered")) - with.allocs(b, fmt.Sprintf(more, ""))
			ours := testing.AllocsPerRun(500, func() { must(b, with.validate()) }) - testing.AllocsPerRun(500, func() { must(b, without.validate()) })
			b.ReportMetric(ours, "more-allocs/op")
			b.ReportMetric(driver, "drivers-allocs/op")
		})
	}
}

// allocs returns the allocations of a query by hand, whatever columns it has.
func (t *benchTable) allocs(b *testing.B, query string) float64 {
	b.Helper()
	pool, err := t.db.DB()
	must(b, err)
	stmt, err := pool.PrepareContext(t.ctx, query)
	must(b, err)
	defer func() { _ = stmt.Close() }()
	return testing.AllocsPerRun(500, func() {
		rows, err := stmt.QueryContext(t.ctx, t.ids[0])
		must(b, err)
		for rows.Next() {
			var id, userID, methods sql.RawBytes
			var n [6]sql.NullInt64
			dest := []any{&id, &userID, &n[0], &n[1], &n[2], &n[3], &n[4], &methods, &n[5]}
			columns, err := rows.Columns()
			must(b, err)
			must(b, rows.Scan(dest[:len(columns)]...))
		}
		must(b, rows.Close())
	})
}

// BenchmarkMalformedToken: no statement, under 2 µs.
func BenchmarkMalformedToken(b *testing.B) {
	t := newBenchTable(b, 100, &gorm.Config{})
	for _, c := range []struct {
		name  string
		token gormkey.Token
	}{{"short", "abc"}, {"last character", gormkey.Token(strings.Repeat("a", 39) + "'")}} {
		b.Run(c.name, func(b *testing.B) {
			validate := func(auth *gormkey.Repository[Profile]) error {
				if _, err := auth.ValidateSession(t.ctx, c.token); !errors.Is(err, gormkey.ErrInvalidSession) {
					return fmt.Errorf("got error %w, want %w", err, gormkey.ErrInvalidSession)
				}
				return nil
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := validate(t.auth); err != nil {
					b.Fatal(err)
				}
			}
			t.statements(b, validate)
		})
	}
}

// onSQLiteSyncs runs a benchmark of writes as SQLite is set up by default, where the
// disk decides, and without waiting for the disk, where the code does.
func onSQLiteSyncs(b *testing.B, run func(b *testing.B, t *benchTable), opts ...gormkey.Option) {
	for _, level := range []string{"FULL", "OFF"} {
		b.Run("sqlite/synchronous="+level, func(b *testing.B) {
			t := newBenchTable(b, 100_000, &gorm.Config{PrepareStmt: true}, opts...)
			pool, err := t.db.DB()
			must(b, err)
			pool.SetMaxOpenConns(1)
			must(b, t.db.Exec("PRAGMA synchronous = "+level).Error)
			run(b, t)
		})
	}
}

// BenchmarkOpenSession is compared with a plain INSERT, which unlike it accepts a session for a
// user who is soft-deleted.
func BenchmarkOpenSession(b *testing.B) {
	onSQLiteSyncs(b, func(b *testing.B, t *benchTable) {
		user := func() string { return benchUserID(mathrand.N(t.users)) }
		against(b, "hand", func() error {
			_, err := t.auth.OpenSession(t.ctx, user())
			return err
		}, func() error {
			active := time.Now().Add(authtest.ActivePeriod).UnixMilli()
			_, err := t.insert.ExecContext(t.ctx, gormkey.Token(rand.Text()).ID(), user(), active, active+authtest.IdlePeriod.Milliseconds())
			return err
		})
		t.statements(b, func(auth *gormkey.Repository[Profile]) error {
			_, err := auth.OpenSession(t.ctx, user())
			return err
		})
	})
}

// BenchmarkRenewSession stands beside the join and a guarded UPDATE. The active period
// is a millisecond and the clock turns by two each time, so that every session is idle.
func BenchmarkRenewSession(b *testing.B) {
	const active, idle = time.Millisecond, 1000 * 24 * time.Hour
	clock := benchActive
	now := func() time.Time { return clock }
	onSQLiteSyncs(b, func(b *testing.B, t *benchTable) {
		next := func() int {
			clock = clock.Add(2 * active)
			return mathrand.N(len(t.tokens))
		}
		renew := func(auth *gormkey.Repository[Profile]) error {
			session, err := auth.ValidateSession(t.ctx, t.tokens[next()])
			if err == nil && !session.Fresh {
				err = errors.New("the session was not renewed")
			}
			return err
		}
		against(b, "hand", func() error { return renew(t.auth) }, func() error {
			session, err := t.load(t.ids[next()])
			if err != nil {
				return err
			}
			ends := clock.Add(active).UnixMilli()
			result, err := t.renew.ExecContext(t.ctx, ends, ends+idle.Milliseconds(), session.ID, clock.UnixMilli(), ends+idle.Milliseconds())
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n != 1 {
				return errors.Join(errors.New("the session was not renewed by hand"), err)
			}
			return nil
		})
		t.statements(b, renew)
	}, gormkey.WithClock(now), gormkey.WithSessionPeriods(active, idle))
}

// BenchmarkFlat: the time of a check with a million sessions, and a hundred thousand
// users, over that with a thousand ("x-small"): no more than the join by hand's. On
// SQLite that is more than 1.3, since a million rows do not fit into its page cache.
func BenchmarkFlat(b *testing.B) {
	if os.Getenv("GORMKEY_BENCH_LARGE") != "1" {
		b.Skip("fills a table with a million rows; set GORMKEY_BENCH_LARGE=1")
	}
	small := newBenchTable(b, 1_000, &gorm.Config{PrepareStmt: true})
	large := newBenchTable(b, 1_000_000, &gorm.Config{PrepareStmt: true})
	for _, id := range large.ids { // the first reading of a page is the disk's time
		_, err := large.load(id)
		must(b, err)
	}
	b.Run("sqlite/gormkey", func(b *testing.B) { against(b, "small", large.validate, small.validate) })
	b.Run("sqlite/hand", func(b *testing.B) { against(b, "small", large.validateByHand, small.validateByHand) })
}
