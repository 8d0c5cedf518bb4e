package random_test

import (
	"regexp"
	"testing"

	"github.com/gormkey/gormkey/internal/random"
)

// TestR01TokenRandomness draws a million tokens: none twice, none malformed, and at
// each position each character as often as the others. The bound on χ² with 35 degrees
// of freedom is its 99.9999th percentile, so that 40 positions do not fail by chance.
func TestR01TokenRandomness(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	form := regexp.MustCompile(`^[a-z0-9]{40}$`)
	seen := make(map[string]struct{}, n)
	var counts [40][256]int
	for range n {
		token := random.String(40)
		if _, twice := seen[token]; twice {
			t.Fatal("a token came twice")
		}
		seen[token] = struct{}{}
		if !form.MatchString(token) {
			t.Fatal("a token is not 40 of a–z, 0–9")
		}
		for i := range 40 {
			counts[i][token[i]]++
		}
	}
	want := float64(n) / 36
	for i, count := range counts {
		chi := 0.0
		for _, c := range "abcdefghijklmnopqrstuvwxyz1234567890" {
			d := float64(count[c]) - want
			chi += d * d / want
		}
		if chi > 92 {
			t.Errorf("position %d: χ² is %.1f", i, chi)
		}
	}
}
