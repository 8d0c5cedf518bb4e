package password

import (
	"slices"

	"golang.org/x/text/unicode/norm"
)

// normalize returns s, valid UTF-8, in NFKC (UAX #15), so that the same password typed on two
// keyboards is the same text, and the same as in other languages. It uses the tables of x/text.
// The NFKC of x/text itself differs from the standard in two ways: it puts U+034F after 30
// combining marks (the stream-safe form), and it composes across some vowel signs.
func normalize(s string) string {
	if isASCII(s) {
		return s
	}
	return compose(decompose(s))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func class(r rune) uint8 { return norm.NFKD.PropertiesString(string(r)).CCC() }

// decompose returns the compatibility decomposition of s in canonical order, taken
// character by character.
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
			if pair, ok := composePair(out[starter], r); ok {
				out[starter] = pair
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

// composePair returns the character into which two compose, if there is one. The composition of
// x/text looks only at the low 16 bits of each, so the result is checked by decomposing it.
func composePair(a, b rune) (rune, bool) {
	pair := []rune(norm.NFC.String(string([]rune{a, b})))
	if len(pair) != 1 || norm.NFD.String(string(pair)) != norm.NFD.String(string(a))+norm.NFD.String(string(b)) {
		return 0, false
	}
	return pair[0], true
}
