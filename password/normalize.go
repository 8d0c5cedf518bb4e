package password

import (
	"slices"

	"golang.org/x/text/unicode/norm"
)

// maxRun is the number of combining marks after which x/text puts U+034F into its
// output (UAX #15's stream-safe form). Other languages' NFKC does not.
const maxRun = 30

// normalize returns s, valid UTF-8, in plain NFKC (UAX #15), so that the same password
// typed on two keyboards is the same, and is what other languages' NFKC makes of it.
func normalize(s string) string {
	if !longRun(s) {
		return norm.NFKC.String(s)
	}
	return compose(decompose(s))
}

// longRun reports whether s may hold more than maxRun combining marks in a row.
func longRun(s string) bool {
	run := 0
	for _, r := range s {
		run += marks(r)
		if run > maxRun {
			return true
		}
		if p := norm.NFKD.PropertiesString(string(r)); p.CCC() == 0 && p.Decomposition() == nil {
			run = 0
		}
	}
	return false
}

// marks counts the combining marks that r becomes.
func marks(r rune) (n int) {
	for _, d := range norm.NFKD.String(string(r)) {
		if class(d) != 0 {
			n++
		}
	}
	return n
}

func class(r rune) uint8 { return norm.NFKD.PropertiesString(string(r)).CCC() }

// decompose returns the compatibility decomposition of s in canonical order. Taken
// character by character, no run gets long enough for x/text to break it.
func decompose(s string) []rune {
	var out []rune
	for _, r := range s {
		out = append(out, []rune(norm.NFKD.String(string(r)))...)
	}
	for i := 0; i < len(out); {
		if class(out[i]) == 0 {
			i++
			continue
		}
		end := i + 1
		for end < len(out) && class(out[end]) != 0 {
			end++
		}
		slices.SortStableFunc(out[i:end], func(a, b rune) int { return int(class(a)) - int(class(b)) })
		i = end
	}
	return out
}

// compose applies UAX #15's canonical composition (definition D117 of Unicode § 3.11).
func compose(in []rune) string {
	var (
		out     []rune
		starter = -1  // where the last starter stands in out
		last    uint8 // the class of the character before
		blocked = func(c uint8) bool { return len(out)-1 > starter && (last == 0 || last >= c) }
	)
	for _, r := range in {
		c := class(r)
		if starter >= 0 && !blocked(c) {
			if pair := []rune(norm.NFC.String(string([]rune{out[starter], r}))); len(pair) == 1 {
				out[starter] = pair[0]
				continue
			}
		}
		if c == 0 {
			starter = len(out)
		}
		out = append(out, r)
		last = c
	}
	return string(out)
}
