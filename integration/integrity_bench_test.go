package integration_test

import (
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// What it costs to keep keys and sessions whole without foreign keys, beside the foreign
// keys of the same engine, in another database and in turns.
//
//	go test -run '^$' -bench 'DeleteUser|ForeignKeys|Audit' -benchtime 20x
//	GORMKEY_BENCH_LARGE=1 go test -run '^$' -bench Audit -benchtime 3x

// integrityEngine is an engine and driver of the benchmarks below.
type integrityEngine struct {
	name    string
	open    func(b *testing.B) *gorm.DB
	analyze string // "" where there are no statistics
	without gormkey.Option
	none    bool // has no foreign keys to stand beside
}

var integrityEngines = []integrityEngine{
	{name: "postgres-pgx", open: func(b *testing.B) *gorm.DB {
		return open(b, postgres.Open(newPostgres(b)), &gorm.Config{PrepareStmt: true})
	}, analyze: "ANALYZE", without: gormkey.WithoutForeignKeys()},
	{name: "mariadb", open: func(b *testing.B) *gorm.DB {
		return open(b, mysql.Open(mariadbServer.newDSN(b)), &gorm.Config{PrepareStmt: true})
	}, analyze: "ANALYZE TABLE auth_user, user_key, user_session", without: gormkey.WithoutForeignKeys()},
	{name: "sqlite-mattn", open: openBenchSQLite, analyze: "ANALYZE", without: gormkey.WithoutForeignKeys()},
	{name: "vitess", open: func(b *testing.B) *gorm.DB { return openVitess(b) }, without: gormkey.WithPlanetScale(), none: true},
}

// openBenchSQLite does not wait for the disk at each commit, which would hide the rest.
func openBenchSQLite(b *testing.B) *gorm.DB {
	return open(b, sqlite.Open("file:"+filepath.Join(b.TempDir(), "bench.db")+
		"?_foreign_keys=on&_busy_timeout=5000&_journal_mode=WAL&_txlock=immediate&_synchronous=NORMAL"), &gorm.Config{PrepareStmt: true})
}

// onIntegrityEngines runs a benchmark on each engine, or each with foreign keys.
func onIntegrityEngines(b *testing.B, all bool, run func(b *testing.B, e integrityEngine)) {
	for _, e := range integrityEngines {
		if all || !e.none {
			b.Run(e.name, func(b *testing.B) { run(b, e) })
		}
	}
}

// table fills a database with so many sessions, and a tenth as many users.
func (e integrityEngine) table(b *testing.B, sessions int, foreignKeys bool) *benchTable {
	b.Helper()
	t := &benchTable{ctx: b.Context(), db: e.open(b), users: sessions / 10}
	var opts []gormkey.Option
	if !foreignKeys {
		opts = append(opts, e.without)
	}
	plugin := gormkey.New[Profile](opts...)
	app.Must(b, t.db.Use(plugin))
	app.Must(b, plugin.AutoMigrate(t.db))
	var err error
	t.auth, err = gormkey.From[Profile](t.db)
	app.Must(b, err)
	p := pool(b, t.db)
	p.SetMaxIdleConns(16)
	t.fill(b, p, sessions)
	if e.analyze != "" {
		_, err = p.ExecContext(t.ctx, e.analyze)
		app.Must(b, err)
	}
	return t
}

// statementsOn reports how many statements work sends through a handle, BEGIN and COMMIT not counted.
func (t *benchTable) statementsOn(b *testing.B, work func(db *gorm.DB) error) {
	b.Helper()
	counter := &statementCounter{Interface: t.db.Logger}
	app.Must(b, work(t.db.Session(&gorm.Session{Logger: counter})))
	b.ReportMetric(float64(counter.n), "stmts/op")
}

func medianOf(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// leaver is a user to be deleted, with a key and 10,000 sessions. Each turn has another,
// since the dead entries of the one before would stay in its range of the index.
type leaver struct {
	id       string
	sessions []gormkey.Session[Profile]
}

func newLeaver(turn int) leaver {
	l := leaver{fmt.Sprintf("leaver%09d", turn), make([]gormkey.Session[Profile], 10_000)}
	active := gormkey.UnixMilli(benchActive.UnixMilli())
	for i := range l.sessions {
		id := gormkey.Token(fmt.Sprintf("%s%08d", l.id, i)).ID()
		l.sessions[i] = gormkey.Session[Profile]{ID: id, UserID: l.id, ActiveExpires: active, IdleExpires: active + 1}
	}
	return l
}

func (l leaver) join(b *testing.B, t *benchTable) {
	b.Helper()
	app.Must(b, t.db.Create(&Profile{User: gormkey.User{ID: l.id}, Email: l.id, CreatedAt: benchActive}).Error)
	app.Must(b, t.db.Create(&gormkey.Key[Profile]{ID: "email:" + l.id, UserID: l.id}).Error)
	app.Must(b, t.db.CreateInBatches(l.sessions, 1000).Error)
}

// BenchmarkDeleteUser deletes a user with a key and 10,000 sessions, among 50,000 of
// others: at most 2 times the time of one DELETE by hand that cascades over the engine's
// foreign keys. Vitess has none, and stands beside the same statements by hand.
func BenchmarkDeleteUser(b *testing.B) {
	const others = 50_000
	onIntegrityEngines(b, true, func(b *testing.B, e integrityEngine) {
		ours, theirs := e.table(b, others, false), e.table(b, others, !e.none)
		peerName, peer := "cascade", func(id string) error {
			return theirs.db.Exec("DELETE FROM auth_user WHERE id = ?", id).Error
		}
		if e.none {
			peerName, peer = "hand", theirs.deleteByHand
		}
		turn := 0
		for _, way := range []struct {
			name string
			work func(db *gorm.DB, id string) error
		}{
			{"Repository.DeleteUser", func(db *gorm.DB, id string) error {
				auth, err := gormkey.From[Profile](db)
				if err != nil {
					return err
				}
				return auth.DeleteUser(ours.ctx, id)
			}},
			{"db.Delete", func(db *gorm.DB, id string) error { return db.Delete(&Profile{User: gormkey.User{ID: id}}).Error }},
		} {
			b.Run(way.name, func(b *testing.B) {
				var ratios, peers []float64
				for b.Loop() {
					b.StopTimer()
					turn++
					l := newLeaver(turn)
					// Each just before its own delete, so that what the server does behind
					// a delete falls into the next one's rows on both sides.
					l.join(b, theirs)
					start := time.Now()
					app.Must(b, peer(l.id))
					byPeer := time.Since(start)
					l.join(b, ours)
					b.StartTimer()
					start = time.Now()
					err := way.work(ours.db, l.id)
					ratios = append(ratios, float64(time.Since(start))/float64(byPeer))
					peers = append(peers, float64(byPeer))
					app.Must(b, err)
				}
				b.ReportMetric(medianOf(ratios), "x-"+peerName)
				b.ReportMetric(medianOf(peers), "ns-"+peerName)
				turn++
				l := newLeaver(turn)
				l.join(b, ours)
				ours.statementsOn(b, func(db *gorm.DB) error { return way.work(db, l.id) })
				for _, t := range []*benchTable{ours, theirs} {
					var left int64
					if app.Must(b, t.db.Model(&gormkey.Session[Profile]{}).Count(&left).Error); left != others {
						b.Fatalf("%d sessions are left, want %d", left, others)
					}
				}
			})
		}
	})
}

// deleteByHand deletes within Vitess's limit of rows for a statement.
func (t *benchTable) deleteByHand(id string) error {
	return t.db.Transaction(func(tx *gorm.DB) error {
		const limit = 5000
		for n := int64(limit); n == limit; {
			result := tx.Exec(fmt.Sprintf("DELETE FROM user_session WHERE user_id = ? LIMIT %d", limit), id)
			if result.Error != nil {
				return result.Error
			}
			n = result.RowsAffected
		}
		if err := tx.Exec("DELETE FROM user_key WHERE user_id = ?", id).Error; err != nil {
			return err
		}
		return tx.Exec("DELETE FROM auth_user WHERE id = ?", id).Error
	})
}

// BenchmarkCreateSessionForeignKeys: without foreign keys, Repository.OpenSession takes
// at most 1.3 times what it takes with them. A plain Create looks the user up by a
// statement of its own, and has no limit.
func BenchmarkCreateSessionForeignKeys(b *testing.B) {
	onIntegrityEngines(b, false, func(b *testing.B, e integrityEngine) {
		off, on := e.table(b, 50_000, false), e.table(b, 50_000, true)
		n := 0
		for _, way := range []struct {
			name string
			work func(t *benchTable, auth *gormkey.Repository[Profile], db *gorm.DB) error
		}{
			{"Repository.OpenSession", func(t *benchTable, auth *gormkey.Repository[Profile], _ *gorm.DB) error {
				_, err := auth.OpenSession(t.ctx, benchUserID(mathrand.N(t.users)))
				return err
			}},
			{"db.Create", func(t *benchTable, _ *gormkey.Repository[Profile], db *gorm.DB) error {
				n++
				id := gormkey.Token(fmt.Sprintf("plain%019d", n)).ID()
				return db.Create(&gormkey.Session[Profile]{ID: id, UserID: benchUserID(mathrand.N(t.users))}).Error
			}},
		} {
			b.Run(way.name, func(b *testing.B) {
				against(b, "foreign-keys", func() error { return way.work(off, off.auth, off.db) }, func() error { return way.work(on, on.auth, on.db) })
				off.statementsOn(b, func(db *gorm.DB) error {
					auth, err := gormkey.From[Profile](db)
					if err != nil {
						return err
					}
					return way.work(off, auth, db)
				})
			})
		}
	})
}

// BenchmarkAudit: an audit takes no more memory with a million sessions, and a hundred
// thousand users, than with a thousand: "x-small" is the ratio of what they allocate, and
// "KiB-heap" the most that the heap grew in one.
func BenchmarkAudit(b *testing.B) {
	audit := func(b *testing.B, t *benchTable) (allocated, grown float64) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		findings, err := t.auth.Audit(t.ctx)
		runtime.ReadMemStats(&after)
		app.Must(b, err)
		if len(findings) > 0 {
			b.Fatalf("found %v, want nothing", findings)
		}
		return float64(after.TotalAlloc - before.TotalAlloc), float64(after.HeapAlloc) - float64(before.HeapAlloc)
	}
	onIntegrityEngines(b, true, func(b *testing.B, e integrityEngine) {
		sessions := 50_000
		// Vitess ends a transaction, such as the one that fills a table, after 30 seconds.
		if os.Getenv("GORMKEY_BENCH_LARGE") == "1" && e.name != "vitess" {
			sessions = 1_000_000
		}
		for _, foreignKeys := range []bool{false, true} {
			if foreignKeys && e.none {
				continue
			}
			b.Run(fmt.Sprintf("ForeignKeys=%v", foreignKeys), func(b *testing.B) {
				small, large := e.table(b, 1_000, foreignKeys), e.table(b, sessions, foreignKeys)
				audit(b, large) // the first reading of a page is the disk's time
				least := make([]float64, 9)
				for i := range least {
					least[i], _ = audit(b, small)
				}
				var allocated, grown []float64
				for b.Loop() {
					a, g := audit(b, large)
					allocated, grown = append(allocated, a), append(grown, g)
				}
				b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/op")
				b.ReportMetric(medianOf(allocated)/1024, "KiB-allocated")
				b.ReportMetric(medianOf(allocated)/medianOf(least), "x-small")
				b.ReportMetric(slices.Max(grown)/1024, "KiB-heap")
				large.statements(b, func(auth *gormkey.Repository[Profile]) error {
					_, err := auth.Audit(large.ctx)
					return err
				})
			})
		}
	})
}
