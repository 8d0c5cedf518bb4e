package password_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gormkey/gormkey/password"
)

// scattered returns n characters that are on no list and in no row. They begin with the given one,
// so that texts of one, two, three and four bytes a character can be had.
func scattered(first string, n int) string {
	var b strings.Builder
	state := uint32(n)
	for i := range n {
		state = state*1664525 + 1013904223
		b.WriteRune([]rune(first)[0] + rune(i%2)*3 + rune(state>>30))
	}
	return b.String()
}

// TestR120Lengths: a row on each side of each bound, of characters of one to four bytes.
func TestR120Lengths(t *testing.T) {
	for _, c := range []struct {
		name              string
		policy            func(string) error
		shortest, longest int
	}{
		{"NIST", password.NIST(), 15, 128}, {"NISTWithMFA", password.NISTWithMFA(), 8, 128}, {"Default", password.Default(), 8, 0},
	} {
		for _, first := range []string{"c", "ж", "語", "𝌆"} {
			for n, want := range map[int]error{
				c.shortest - 1: password.ErrTooShort, c.shortest: nil, 64: nil, c.longest: nil, c.longest + 1: password.ErrTooLong,
			} {
				if c.longest == 0 && n < c.shortest-1 {
					want = password.ErrTooShort // n is 0 or 1
				}
				typed := scattered(first, n)
				if err := c.policy(typed); !errors.Is(err, want) {
					t.Errorf("%s: %d of %q: got %v, want %v", c.name, n, first, err, want)
				}
			}
		}
	}
}

// TestR120NoComposition: no kind of character is asked for, and none is refused.
func TestR120NoComposition(t *testing.T) {
	for _, typed := range []string{"lettersinsmallcase", "830917462058134", "two words and two more", "LETTERSWITHOUTSMALL", "......a......b.", "¿¡«»§¶†‡•…‰€£¥¤", "пароль без заглавных"} {
		if err := password.NIST()(typed); err != nil {
			t.Errorf("%q: got %v", typed, err)
		}
	}
}

// TestR120Reasons: what the visitor is told.
func TestR120Reasons(t *testing.T) {
	policy := password.NIST("Acme")
	for typed, want := range map[string]string{
		"short":                        "password: too short: at least 15 characters are needed",
		strings.Repeat("k3#vQz!p", 17): "password: too long: at most 128 characters are accepted",
		"1qaz2wsx3edc4rfv":             "password: too common: it is on a list of passwords that are guessed first",
		"sunshineSUNSHINE":             "password: too common: it is a short text repeated, or a row of neighbouring keys, letters or digits",
		"Acme / acme / ACME":           "password: too common: it is little more than a name that everybody tries",
	} {
		if err := policy(typed); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", typed, err, want)
		}
	}
}

func TestAll(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	checks := []func(string) error{func(string) error { return nil }, func(string) error { return first }, func(string) error { return second }}
	policy := password.All(checks...)
	checks[1] = nil
	if err := policy("x"); err != first {
		t.Errorf("got %v", err)
	}
	if err := password.All()("x"); err != nil {
		t.Errorf("without checks: got %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a nil check: no panic")
		}
	}()
	password.All(nil)
}
