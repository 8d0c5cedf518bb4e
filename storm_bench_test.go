package gormkey_test

import (
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

// BenchmarkSignInStorm: 512 sign-ins at once on hashes of Lucia's, at 32 MiB each and two
// places. Memory above rest stays within 2 · 2 · 32 + 16 MiB, who does not get a place
// within the wait limit gets ErrBusy, and the check of a session takes, at its 99th
// percentile, at most three times what it takes at rest.
func BenchmarkSignInStorm(b *testing.B) {
	const places, callers, wait = 2, 512, 5 * time.Second
	t := newBenchTable(b, 1000, &gorm.Config{PrepareStmt: true}, gormkey.WithPasswordHasher(password.Lucia{}),
		gormkey.WithPasswordLimiter(password.NewLimiter(places, 0, wait)))
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse"}
	_, err := t.auth.AddKey(t.ctx, benchUserID(0), login)
	must(b, err)
	checks := func(until func() bool) (took []time.Duration) {
		for !until() {
			start := time.Now()
			must(b, t.validate())
			took = append(took, time.Since(start))
			time.Sleep(time.Millisecond) // as requests come, not as fast as they can
		}
		slices.Sort(took)
		return took
	}
	p99 := func(took []time.Duration) float64 { return float64(took[len(took)*99/100]) }
	for b.Loop() {
		end := time.Now().Add(wait)
		idle := checks(func() bool { return time.Now().After(end) })
		debug.FreeOSMemory()
		rest := resetPeakMemory(b)
		var (
			wg           sync.WaitGroup
			running      atomic.Int64
			served, busy atomic.Int64
			longest      atomic.Int64
		)
		running.Store(callers)
		for range callers {
			wg.Go(func() {
				defer running.Add(-1)
				start := time.Now()
				_, err := t.auth.SignIn(t.ctx, login)
				switch {
				case err == nil:
					served.Add(1)
				case errors.Is(err, gormkey.ErrBusy):
					busy.Add(1)
					longest.Store(max(longest.Load(), int64(time.Since(start))))
				default:
					b.Error(err)
				}
			})
		}
		storm := checks(func() bool { return running.Load() == 0 })
		wg.Wait()
		b.ReportMetric(float64(memory(b, "VmHWM:")-rest)/(1<<20), "MiB")
		b.ReportMetric(float64(memory(b, "VmHWM:")-rest)/(1<<20)/(2*places*32+16), "x-limit")
		b.ReportMetric(p99(storm)/p99(idle), "x-idle-p99")
		b.ReportMetric(float64(served.Load()), "served")
		b.ReportMetric(float64(busy.Load()), "busy")
		b.ReportMetric(float64(longest.Load())/float64(wait), "x-wait")
	}
}
