package gormkey

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

// work knows how long a failed check of a password takes, so that one against an older,
// weaker hash can be made to take as long: its time would tell that the key exists.
type work struct {
	mu     sync.Mutex
	recent [15]time.Duration // a ring
	n      int
}

// note remembers how long a check with the current settings took.
func (w *work) note(took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recent[w.n%len(w.recent)] = took
	w.n++
}

// usual returns the median of the last checks, 0 if there was none.
func (w *work) usual() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := slices.Clone(w.recent[:min(w.n, len(w.recent))])
	if len(known) == 0 {
		return 0
	}
	slices.Sort(known)
	return known[len(known)/2]
}

// topUp computes until a check that began at start has taken the usual time. It does not
// sleep: beside other work that would look different.
func (w *work) topUp(start time.Time) {
	end := start.Add(w.usual())
	var block [4096]byte
	for time.Now().Before(end) {
		sum := sha256.Sum256(block[:])
		copy(block[:], sum[:])
	}
}
