package password_test

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gormkey/gormkey/password"
)

func TestR22LimiterPlacesAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := password.NewLimiter(2, 10, time.Minute)
		release := make(chan struct{})
		var running, most atomic.Int64
		var mu sync.Mutex
		var order []int
		for i := range 12 {
			go func() {
				err := l.Do(t.Context(), func() error {
					most.Store(max(most.Load(), running.Add(1)))
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
					<-release
					running.Add(-1)
					return nil
				})
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
			}()
			synctest.Wait() // so that they come one after the other
		}
		if l.Running() != 2 || l.Waiting() != 10 {
			t.Errorf("got %d running, %d waiting, want 2 and 10", l.Running(), l.Waiting())
		}
		if err := l.Do(t.Context(), func() error { return nil }); !errors.Is(err, password.ErrBusy) {
			t.Errorf("a caller past the queue: got %v, want ErrBusy", err)
		}
		for range 12 {
			release <- struct{}{}
			synctest.Wait()
		}
		if most.Load() != 2 {
			t.Errorf("%d ran at once, want 2", most.Load())
		}
		for i, n := range order {
			if n != i {
				t.Fatalf("admitted in the order %v, want first in, first out", order)
			}
		}
		if l.Running() != 0 || l.Waiting() != 0 {
			t.Errorf("at rest: %d running, %d waiting", l.Running(), l.Waiting())
		}
	})
}

func TestR22LimiterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := password.NewLimiter(1, 5, 5*time.Second)
		release := make(chan struct{})
		go func() { _ = l.Do(t.Context(), func() error { <-release; return nil }) }()
		synctest.Wait()
		begun := time.Now()
		if err := l.Do(t.Context(), func() error { return nil }); !errors.Is(err, password.ErrBusy) || time.Since(begun) != 5*time.Second {
			t.Errorf("the longest wait: got %v after %v, want ErrBusy after 5s", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		if err := l.Do(ctx, func() error { return nil }); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("a context's deadline: got %v after %v, want DeadlineExceeded after 1s", err, time.Since(begun))
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Do(cancelled, func() error { t.Error("work ran"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("an ended context: got %v", err)
		}
		close(release)
		synctest.Wait()
		func() {
			defer func() { _ = recover() }()
			_ = l.Do(t.Context(), func() error { panic("work") })
		}()
		if err := l.Do(t.Context(), func() error { return nil }); err != nil {
			t.Errorf("after a panic: %v", err)
		}
	})
}

// TestR22Memory: 64 passwords at once take the memory of two places.
func TestR22Memory(t *testing.T) {
	const (
		places = 2
		hashMB = 19
	)
	l := password.NewLimiter(places, 64, time.Minute)
	hasher := password.Argon2id{}
	runtime.GC()
	debug.FreeOSMemory()
	var rest, now runtime.MemStats
	runtime.ReadMemStats(&rest)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if err := l.Do(t.Context(), func() error { _, err := hasher.Hash("correct horse"); return err }); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var peak uint64
	for ticker := time.NewTicker(time.Millisecond); ; {
		select {
		case <-ticker.C:
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
			continue
		case <-done:
		}
		break
	}
	above := (int64(peak) - int64(rest.HeapAlloc)) >> 20
	if limit := int64(2*places*hashMB + 16); above > limit {
		t.Errorf("the heap grew by %d MiB, want at most %d", above, limit)
	} else if above < hashMB {
		t.Errorf("the heap grew by %d MiB, less than one hash: the test measures nothing", above)
	}
}
