package gormkey

import (
	"crypto/sha256"
	"slices"
	"strings"
	"sync"
	"time"
)

// work knows how long failed checks of a password take, for each kind of hash that it
// has seen, so that all can be made to take as long as the slowest kind: the time of one
// against an older hash would tell that the key exists.
type work struct {
	mu    sync.Mutex
	kinds map[string]*durations
}

// mostKinds bounds how many are told apart; more share one.
const mostKinds = 32

// ended notes how long a failed check took that began at start, and goes on computing
// until it has taken what the slowest kind takes. It does not sleep: beside other work
// that would look different. A password outside ASCII may be hashed twice, in NFKC and
// as it is, so it is given twice the time, and none is noted of it.
func (w *work) ended(kind, password string, start time.Time) {
	ascii := strings.IndexFunc(password, func(r rune) bool { return r >= 0x80 }) < 0
	if ascii {
		w.note(kind, time.Since(start))
	}
	usual := w.slowest()
	if !ascii {
		usual *= 2
	}
	var block [4096]byte
	for end := start.Add(usual); time.Now().Before(end); {
		sum := sha256.Sum256(block[:])
		copy(block[:], sum[:])
	}
}

func (w *work) note(kind string, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kinds == nil {
		w.kinds = map[string]*durations{}
	}
	if w.kinds[kind] == nil && len(w.kinds) >= mostKinds {
		kind = ""
	}
	if w.kinds[kind] == nil {
		w.kinds[kind] = new(durations)
	}
	w.kinds[kind].note(took)
}

// slowest returns the greatest of the kinds' medians.
func (w *work) slowest() (slowest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.kinds {
		slowest = max(slowest, d.median())
	}
	return slowest
}

// durations are the last of their kind, in a ring.
type durations struct {
	recent [15]time.Duration
	n      int
}

func (d *durations) note(took time.Duration) {
	d.recent[d.n%len(d.recent)] = took
	d.n++
}

func (d *durations) median() time.Duration {
	known := slices.Clone(d.recent[:min(d.n, len(d.recent))])
	slices.Sort(known)
	return known[len(known)/2]
}

// hashKind returns what stands before the salt of a hash: its format and settings.
func hashKind(hash string) string {
	if strings.HasPrefix(hash, "$2") {
		return hash[:min(len(hash), len("$2b$10$"))]
	}
	if parts := strings.Split(hash, "$"); len(parts) > 2 {
		return strings.Join(parts[:len(parts)-2], "$")
	}
	return strings.Repeat(":", strings.Count(hash, ":")) // Lucia's two
}
