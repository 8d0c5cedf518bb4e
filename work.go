package gormkey

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

// work knows how long failed checks of a password take, so that all can be made to take
// as long: the time of one against an older hash would tell that the key exists.
type work struct{ today, older durations }

// ended notes how long a failed check took that began at start, and goes on computing
// until it has taken what the slower of today's and of the older hashes usually take. It
// does not sleep: beside other work that would look different.
func (w *work) ended(kind *durations, start time.Time) {
	kind.note(time.Since(start))
	end := start.Add(max(w.today.median(), w.older.median()))
	var block [4096]byte
	for time.Now().Before(end) {
		sum := sha256.Sum256(block[:])
		copy(block[:], sum[:])
	}
}

// durations are the last of their kind.
type durations struct {
	mu     sync.Mutex
	recent [15]time.Duration // a ring
	n      int
}

func (d *durations) note(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recent[d.n%len(d.recent)] = took
	d.n++
}

// median returns 0 if there was none.
func (d *durations) median() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := slices.Clone(d.recent[:min(d.n, len(d.recent))])
	if len(known) == 0 {
		return 0
	}
	slices.Sort(known)
	return known[len(known)/2]
}
