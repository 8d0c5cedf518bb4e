package lucia_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// history is what was done at once to many registers, each of which holds a value: the
// owner of a key, say, with absent for none. Each operation lies somewhere in its span.
// It is checked at the end, when all spans are known.
type history struct {
	start time.Time

	mu     sync.Mutex
	writes map[string][]write
	parts  map[string]map[string]bool // registers whose writes are also those of another
	seen   []observation
}

// absent is the value of what is not there; every register begins with it.
const absent = ""

type span struct{ from, to time.Duration }

// write is one that was acknowledged, if it is sure, or else one that may have happened.
type write struct {
	span
	value string
	sure  bool
	over  string // the only value that it replaces, if not any: a deleted user, among the owners
}

// observation is that of a value, or of any other; or else of something else.
type observation struct {
	span
	register, value string
	other           bool
	or              *observation
	by              string
}

func newHistory() *history {
	return &history{start: time.Now(), writes: map[string][]write{}, parts: map[string]map[string]bool{}}
}

// during runs an operation and returns its span.
func (h *history) during(operation func()) span {
	from := time.Since(h.start)
	operation()
	return span{from, time.Since(h.start)}
}

func (h *history) wrote(register string, w write) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes[register] = append(h.writes[register], w)
}

// isPart says that what is written to a register of many is written to this one.
func (h *history) isPart(register, of string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.parts[register] == nil {
		h.parts[register] = map[string]bool{}
	}
	h.parts[register][of] = true
}

func (h *history) saw(o observation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, o)
}

// check reports each observation of a value that no write can have left: one that was
// never written when it was seen, or that an acknowledged write had replaced by then.
func (h *history) check(t testing.TB) (observations int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.seen {
		if !h.explains(o) {
			t.Errorf("%s saw %s %q (any other: %t) between %v and %v, after %s", o.by, o.register, o.value, o.other, o.from, o.to, h.describe(o.register))
		}
	}
	return len(h.seen)
}

func (h *history) writesTo(register string) []write {
	writes := append([]write{{value: absent, sure: true}}, h.writes[register]...)
	for of := range h.parts[register] {
		writes = append(writes, h.writes[of]...)
	}
	return writes
}

func (h *history) explains(o observation) bool {
	if o.or != nil && h.explains(*o.or) {
		return true
	}
	writes := h.writesTo(o.register)
	for _, w := range writes {
		if w.from < o.to && (w.value == o.value) != o.other && !replaced(w, writes, o) {
			return true
		}
	}
	return false
}

func replaced(w write, writes []write, o observation) bool {
	for _, next := range writes {
		if next.sure && w.to < next.from && next.to < o.from && (next.over == "" || next.over == w.value) {
			return true
		}
	}
	return false
}

func (h *history) describe(register string) string {
	var lines []string
	for _, w := range h.writesTo(register) {
		lines = append(lines, fmt.Sprintf("%q (sure: %t, over %q) between %v and %v", w.value, w.sure, w.over, w.from, w.to))
	}
	return strings.Join(lines, "; ")
}

// The history itself finds what it is for.
func TestInteropHistory(t *testing.T) {
	at := func(from, to time.Duration) span { return span{from, to} }
	created, deleted := write{at(10, 20), "ada", true, ""}, write{at(30, 40), absent, true, ""}
	unsure := deleted
	unsure.sure = false
	eves := deleted
	eves.over = "eve"
	for name, c := range map[string]struct {
		writes []write
		value  string
		other  bool
		seen   span
		want   bool
	}{
		"a create":                        {[]write{created}, "ada", false, at(25, 26), true},
		"a create, lost":                  {[]write{created}, absent, false, at(25, 26), false},
		"a create under way":              {[]write{created}, absent, false, at(15, 26), true},
		"before a create":                 {[]write{created}, "ada", false, at(5, 9), false},
		"a delete":                        {[]write{created, deleted}, absent, false, at(50, 51), true},
		"a delete, undone":                {[]write{created, deleted}, "ada", false, at(50, 51), false},
		"a delete under way":              {[]write{created, deleted}, "ada", false, at(35, 51), true},
		"a delete that may have happened": {[]write{created, unsure}, "ada", false, at(50, 51), true},
		"a delete of another's":           {[]write{created, eves}, "ada", false, at(50, 51), true},
		"another value":                   {[]write{created}, "ada", true, at(25, 26), false},
		"another value, or none yet":      {[]write{created}, "ada", true, at(15, 26), true},
	} {
		h := newHistory()
		h.writes["x"] = c.writes
		equal(t, name, h.explains(observation{span: c.seen, register: "x", value: c.value, other: c.other}), c.want)
	}
}
