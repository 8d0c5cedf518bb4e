package integration_test

import (
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
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// The benchmarks of ../bench_test.go on database servers, which explains them.
//
//	go test -run '^$' -bench . -benchtime 2s -count 3
//	GORMKEY_BENCH_LARGE=1 go test -run '^$' -bench Flat -benchtime 2s

// benchEngines are the servers and drivers of the benchmarks.
var benchEngines = []struct {
	name    string
	open    func(b *testing.B) gorm.Dialector
	analyze string
	dollar  bool // how a statement by hand names its values
}{
	{"postgres-pgx", func(b *testing.B) gorm.Dialector { return postgres.Open(newPostgres(b)) }, "ANALYZE", true},
	{"postgres-pq", func(b *testing.B) gorm.Dialector {
		return postgres.New(postgres.Config{DriverName: "postgres", DSN: newPostgres(b)})
	}, "ANALYZE", true},
	{"mariadb", func(b *testing.B) gorm.Dialector { return mysql.Open(mariadbServer.newDSN(b)) }, "ANALYZE TABLE auth_user, user_session", false},
}

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

// onEngines runs a benchmark on a database of each engine with so many sessions.
func onEngines(b *testing.B, sessions int, prepare []bool, run func(b *testing.B, t *benchTable), opts ...gormkey.Option) {
	for i := range benchEngines {
		for _, p := range prepare {
			b.Run(fmt.Sprintf("%s/PrepareStmt=%v", benchEngines[i].name, p), func(b *testing.B) {
				run(b, newBenchTable(b, i, sessions, p, opts...))
			})
		}
	}
}

// newBenchTable fills a database with so many sessions, and a tenth as many users.
func newBenchTable(b *testing.B, engine, sessions int, prepareStmt bool, opts ...gormkey.Option) *benchTable {
	b.Helper()
	e := benchEngines[engine]
	t := &benchTable{ctx: b.Context(), db: open(b, e.open(b), &gorm.Config{PrepareStmt: prepareStmt}), users: sessions / 10}
	plugin := gormkey.New[Profile](opts...)
	app.Must(b, t.db.Use(plugin))
	app.Must(b, plugin.AutoMigrate(t.db))
	var err error
	t.auth, err = gormkey.From[Profile](t.db)
	app.Must(b, err)
	p := pool(b, t.db)
	p.SetMaxIdleConns(16)
	t.fill(b, p, sessions)
	_, err = p.ExecContext(t.ctx, e.analyze)
	app.Must(b, err)
	prepare := func(query string) *sql.Stmt {
		for i := 1; e.dollar && strings.Contains(query, "?"); i++ {
			query = strings.Replace(query, "?", "$"+strconv.Itoa(i), 1)
		}
		stmt, err := p.PrepareContext(t.ctx, query)
		app.Must(b, err)
		b.Cleanup(func() { _ = stmt.Close() })
		return stmt
	}
	t.lookup = prepare("SELECT s.id, s.user_id, s.active_expires, s.idle_expires, u.id, u.email, u.name, u.created_at, u.age " +
		"FROM user_session s INNER JOIN auth_user u ON u.id = s.user_id WHERE s.id = ?")
	t.insert = prepare("INSERT INTO user_session (id, user_id, active_expires, idle_expires) VALUES (?, ?, ?, ?)")
	t.renew = prepare("UPDATE user_session SET active_expires = ?, idle_expires = ? WHERE id = ? AND idle_expires >= ? AND idle_expires < ?")
	return t
}

func (t *benchTable) fill(b *testing.B, p *sql.DB, sessions int) {
	b.Helper()
	tx, err := p.BeginTx(t.ctx, nil)
	app.Must(b, err)
	insert := func(n int, into string, row func(i int) string) {
		const batch = 500
		for i := 0; i < n; i += batch {
			rows := make([]string, min(batch, n-i))
			for j := range rows {
				rows[j] = row(i + j)
			}
			_, err := tx.ExecContext(t.ctx, "INSERT INTO "+into+" VALUES "+strings.Join(rows, ","))
			app.Must(b, err)
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
	idle := active + gormkeytest.IdlePeriod.Milliseconds()
	insert(sessions, "user_session (id, user_id, active_expires, idle_expires)", func(i int) string {
		token := gormkey.Token(rand.Text() + rand.Text())
		id := string(token.ID())
		if i%max(1, sessions/100_000) == 0 {
			t.tokens, t.ids = append(t.tokens, token), append(t.ids, id)
		}
		return fmt.Sprintf("('%s', '%s', %d, %d)", id, benchUserID(i%t.users), active, idle)
	})
	app.Must(b, tx.Commit())
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
	app.Must(b, err)
	app.Must(b, work(auth))
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
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "x-"+peerName)
	}
}

// BenchmarkValidateSession: one statement, on PostgreSQL at most 1.4 times the time of
// the same join by hand with PrepareStmt, at most 90 allocations.
func BenchmarkValidateSession(b *testing.B) {
	onEngines(b, 100_000, []bool{true, false}, func(b *testing.B, t *benchTable) {
		against(b, "hand", t.validate, t.validateByHand)
		t.statements(b, func(auth *gormkey.Repository[Profile]) error {
			_, err := auth.ValidateSession(t.ctx, t.tokens[0])
			return err
		})
	})
}

// BenchmarkValidateSessionParallel runs eight callers for each processor. All of them
// check by the library for a while, then by hand, and so on; "ns/op" is the library's.
func BenchmarkValidateSessionParallel(b *testing.B) {
	const turn = 20 * time.Millisecond
	onEngines(b, 100_000, []bool{true}, func(b *testing.B, t *benchTable) {
		var done [2]atomic.Int64
		ways := []func() error{t.validate, t.validateByHand}
		b.SetParallelism(8)
		b.ResetTimer()
		start := time.Now()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				way := time.Since(start) / turn % 2
				if err := ways[way](); err != nil {
					b.Error(err)
					return
				}
				done[way].Add(1)
			}
		})
		if ours, byHand := float64(done[0].Load()), float64(done[1].Load()); b.Elapsed() > 10*turn {
			b.ReportMetric(float64(b.Elapsed())/2/ours, "ns/op")
			b.ReportMetric(byHand/ours, "x-hand")
		}
	})
}

// BenchmarkCreateSession stands beside a plain INSERT, which unlike it takes a session
// for a user who is soft-deleted.
func BenchmarkCreateSession(b *testing.B) {
	onEngines(b, 100_000, []bool{true}, func(b *testing.B, t *benchTable) {
		user := func() string { return benchUserID(mathrand.N(t.users)) }
		against(b, "hand", func() error {
			_, err := t.auth.OpenSession(t.ctx, user())
			return err
		}, func() error {
			active := time.Now().Add(gormkeytest.ActivePeriod).UnixMilli()
			_, err := t.insert.ExecContext(t.ctx, gormkey.Token(rand.Text()).ID(), user(), active, active+gormkeytest.IdlePeriod.Milliseconds())
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
	onEngines(b, 100_000, []bool{true}, func(b *testing.B, t *benchTable) {
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
// users, over that with a thousand ("x-small"): at most 1.3 on PostgreSQL, elsewhere no
// more than the join by hand's.
func BenchmarkFlat(b *testing.B) {
	if os.Getenv("GORMKEY_BENCH_LARGE") != "1" {
		b.Skip("fills tables with a million rows; set GORMKEY_BENCH_LARGE=1")
	}
	for i, e := range benchEngines {
		b.Run(e.name, func(b *testing.B) {
			small := newBenchTable(b, i, 1_000, true)
			large := newBenchTable(b, i, 1_000_000, true)
			b.Run("gormkey", func(b *testing.B) { against(b, "small", large.validate, small.validate) })
			b.Run("hand", func(b *testing.B) { against(b, "small", large.validateByHand, small.validateByHand) })
		})
	}
}
