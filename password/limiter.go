package password

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"
)

// ErrBusy: the limiter's queue is full, or the wait in it took too long.
var ErrBusy = errors.New("password: too many passwords are being hashed")

// Limiter bounds how many hashes run at once. A hash takes tens of milliseconds and tens of
// megabytes: 512 at once took 16 GiB, and two at a time took 132 MiB, in the same time. Callers
// are admitted in the order in which they come. It is safe for concurrent use.
type Limiter struct {
	places  chan struct{}
	queue   int64
	wait    time.Duration
	waiting atomic.Int64
	dead    deadMemory
}

// NewLimiter returns a limiter that runs places hashes at once. At most queue further callers
// wait, each for at most wait. Zero or less means the default: GOMAXPROCS places, 16 callers in
// the queue for each place, 5 seconds.
func NewLimiter(places, queue int, wait time.Duration) *Limiter {
	if places <= 0 {
		places = runtime.GOMAXPROCS(0)
	}
	if queue <= 0 {
		queue = 16 * places
	}
	if wait <= 0 {
		wait = 5 * time.Second
	}
	return &Limiter{places: make(chan struct{}, places), queue: int64(queue), wait: wait}
}

// Do calls work when it is admitted. It returns work's error, [ErrBusy], or ctx.Err()
// if ctx ended before a place was free. Work that has begun is not interrupted.
func (l *Limiter) Do(ctx context.Context, work func() error) error {
	if err := l.acquire(ctx); err != nil {
		return err
	}
	defer func() {
		l.dead.hashed(cap(l.places))
		<-l.places
	}()
	return work()
}

// Running returns how many hashes run now.
func (l *Limiter) Running() int { return len(l.places) }

// Waiting returns how many callers wait for a place now.
func (l *Limiter) Waiting() int { return int(l.waiting.Load()) }

func (l *Limiter) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A channel admits its blocked senders in the order in which they came. A new caller must not
	// overtake them, so it takes a free place only if nobody waits.
	if l.waiting.Load() == 0 {
		select {
		case l.places <- struct{}{}:
			return nil
		default:
		}
	}
	if l.waiting.Add(1) > l.queue {
		l.waiting.Add(-1)
		return ErrBusy
	}
	defer l.waiting.Add(-1)
	timer := time.NewTimer(l.wait)
	defer timer.Stop()
	select {
	case l.places <- struct{}{}:
		return nil
	case <-timer.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}
