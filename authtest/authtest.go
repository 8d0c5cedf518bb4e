// Package authtest helps to test an application that uses gormkey: a clock that the test moves, and
// a hasher that takes no time.
package authtest

import (
	"sync"
	"time"

	"github.com/gormkey/gormkey/password"
)

// The periods of a plugin without gormkey.WithSessionPeriods. They are Lucia's, written out
// again here, so that a change of gormkey's defaults is seen.
const (
	ActivePeriod = 24 * time.Hour
	IdlePeriod   = 14 * 24 * time.Hour
)

// Clock is a clock that stands still until it is moved. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at 2023-11-14 22:13:20 UTC, 1700000000000 in
// Unix milliseconds.
func NewClock() *Clock { return NewClockAt(time.UnixMilli(1_700_000_000_000)) }

// NewClockAt returns a clock that stands at a time. Tests with a cookie jar want the present, since
// a jar drops the cookies of sessions that have ended by the machine's clock.
func NewClockAt(t time.Time) *Clock { return &Clock{now: t} }

// Now returns the clock's time; give it to gormkey.WithClock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock, forward or back.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// FastHasher returns a hasher for tests: real Argon2id, at settings that take
// microseconds.
func FastHasher() password.Hasher { return password.Argon2id{Memory: 64, Iterations: 1} }
