package password

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/gormkey/gormkey/password/internal/common"
)

// ErrCommon: the password is one of those that are guessed first. See [NotCommon].
var ErrCommon = errors.New("password: too common")

var (
	errListed  = fmt.Errorf("%w: it is on a list of passwords that are guessed first", ErrCommon)
	errPattern = fmt.Errorf("%w: it is a short text repeated, or a row of neighbouring keys, letters or digits", ErrCommon)
	errContext = fmt.Errorf("%w: it is little more than a name that everybody tries", ErrCommon)
)

// NotCommon returns a policy that refuses, with [ErrCommon] and the reason, a password that is
//
//   - on a list of 24,457 common passwords, which has the 10,000 most frequent of 8 characters or
//     more, and the 3,000 most frequent of 6 or more, of 7 or more, and so on up to 15 (OWASP
//     ASVS 6.2.4),
//   - a text repeated, such as "dragondragon", where the text has under 8 characters or is refused
//     itself,
//   - nothing but rows of three or more neighbouring keys, letters or digits, or of one character,
//     such as "1qaz2wsx3edc" and "abcdef123456", or two such rows in turn, such as
//     "1q2w3e4r5t6y",
//   - little more than words that an attacker knows, such as the names of the application and of
//     the user (ASVS 6.2.11): without them, under 8 characters and under 4 letters are left, or
//     what is left is on the list.
//
// It looks at the whole password, as NIST SP 800-63B-4 § 3.1.1.2 asks: a common word inside
// another text is fine. The password is compared without case, and in NFKC up to 512 bytes. Each of
// words is split into its letters and digits, so that an address or a full name can be given as it
// is. Parts of under three characters do not count, and neither does a word that [Check] refuses.
// Names of the user are not known when the plugin is made: call NotCommon(name, address)(password)
// where a user signs up.
//
// It asks for no minimum; see [MinLength] and [All]. A password of ASCII takes a third of a
// microsecond, one of other characters 2, one that is not in NFKC 50, and the slowest of 4096 bytes
// 200. It is safe for concurrent use. The list takes 171,199 bytes of the program and nothing at
// its start. It accepts what [Check] refuses, since no hasher takes that.
func NotCommon(words ...string) func(password string) error {
	parts := contextParts(words)
	return func(password string) error {
		if Check(password) != nil {
			return nil
		}
		s := fold(password)
		switch {
		case common.Contains(s):
			return errListed
		case isContext(s, parts):
			return errContext
		case isPattern(s):
			return errPattern
		}
		return nil
	}
}

// maxNormalized is the longest text that is normalized, in bytes: 128 characters of four. 4096 bytes
// can take 4 ms, and no limiter bounds how many policies run at once.
const maxNormalized = 512

// fold returns a text, valid UTF-8, in NFKC and with Unicode's simple case folding.
func fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	if len(s) <= maxNormalized && !norm.NFKC.IsNormalString(s) {
		s = normalize(s)
	}
	return strings.Map(foldRune, s)
}

// foldRune returns the small letter of a character, the same for all that differ in case alone.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		return unicode.ToLower(r)
	}
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return unicode.ToLower(least)
}

// shortRepeat is the length below which a text that is repeated is refused, whatever it is. No
// policy of this package takes so few characters alone, and the second time adds nothing.
const shortRepeat = 8

func isPattern(s string) bool {
	if unit := repeated(s); unit != "" {
		return utf8.RuneCountInString(unit) < shortRepeat || common.Contains(unit) || isRows(unit)
	}
	return isRows(s)
}

// repeated returns the shortest text that s repeats, twice or more often. The last copy may be cut
// short if there are two whole ones before it. It returns "" if s repeats none.
func repeated(s string) string {
	for n := 1; n <= len(s)/2; n++ {
		if s[n] == s[0] && s[n:] == s[:len(s)-n] {
			return s[:n]
		}
	}
	return ""
}

// leastRow is how many neighbours make a row.
const leastRow = 3

// isRows reports whether s is nothing but rows, one after the other, or two of them in turn.
func isRows(s string) bool {
	covered := 0
	for covered < len(s) {
		n := row(s, covered, 1)
		if n < leastRow {
			break
		}
		covered += n
	}
	if covered == len(s) {
		return covered > 0
	}
	return len(s) >= 2*leastRow && row(s, 0, 2) == (len(s)+1)/2 && row(s, 1, 2) == len(s)/2
}

// row returns how many of the bytes s[start], s[start+step], … from the first on are a row.
func row(s string, start, step int) int {
	longest := 1
	for _, by := range []int{0, 1, -1} {
		i := start + step
		for i < len(s) && follows(s[i-step], s[i], by) {
			i += step
		}
		longest = max(longest, (i-start)/step)
	}
	if start+step >= len(s) || !onKeyboard(s[start], s[start+step]) {
		return longest
	}
	for line := range strings.SplitSeq(keyboard, " ") {
		key := strings.IndexByte(line, s[start])
		if key < 0 {
			continue
		}
		for _, by := range []int{1, -1} {
			i, at := start+step, key+by
			for i < len(s) && at >= 0 && at < len(line) && line[at] == s[i] {
				i, at = i+step, at+by
			}
			longest = max(longest, (i-start)/step)
		}
	}
	return longest
}

// onKeyboard reports whether two keys are next to each other in a line of the keyboard. Few pairs
// of a good password are, and then its lines need not be looked at one by one.
func onKeyboard(a, b byte) bool {
	neighbours.Do(func() {
		for i := 1; i < len(keyboard); i++ {
			if left, right := keyboard[i-1], keyboard[i]; left != ' ' && right != ' ' {
				neighbours.of[left][right], neighbours.of[right][left] = true, true
			}
		}
	})
	return a < utf8.RuneSelf && b < utf8.RuneSelf && neighbours.of[a][b]
}

// neighbours is made of keyboard when it is needed first.
var neighbours struct {
	sync.Once
	of [utf8.RuneSelf][utf8.RuneSelf]bool
}

// follows reports whether b is the letter or digit that is by places behind a. The digits are a
// circle; by 0 any characters follow each other that are the same.
func follows(a, b byte, by int) bool {
	switch {
	case by == 0:
		return a == b
	case '0' <= a && a <= '9':
		return int(b) == '0'+(int(a-'0')+by+10)%10
	case 'a' <= a && a <= 'z':
		return 'a' <= b && b <= 'z' && int(b) == int(a)+by
	}
	return false
}

// keyboard has the rows and columns of keyboards: QWERTY, what QWERTZ and AZERTY have in another
// order, and the columns and diagonals of the block of digits.
const keyboard = "1234567890-= !@#$%^&*()_+ qwertyuiop[]\\ asdfghjkl;' zxcvbnm,./" +
	" qwertzuiop yxcvbnm azertyuiop qsdfghjklm wxcvbn" +
	" 1qaz 2wsx 3edc 4rfv 5tgb 6yhn 7ujm 8ik, 9ol. 0p;/ !qaz @wsx #edc $rfv %tgb ^yhn &ujm" +
	" 147 258 369 159 357"

const (
	leastPart    = 3 // characters of a word that counts
	leastLeft    = 8 // characters that have to be left without the words, or
	leastLetters = 4 // letters
)

// contextParts returns the letters and digits of words, folded, the longest first.
func contextParts(words []string) []string {
	var parts []string
	for _, word := range words {
		if Check(word) != nil {
			continue
		}
		for _, part := range strings.FieldsFunc(fold(word), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if utf8.RuneCountInString(part) >= leastPart {
				parts = append(parts, part)
			}
		}
	}
	slices.SortStableFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(parts)
}

// isContext reports whether s is made of parts and little else.
func isContext(s string, parts []string) bool {
	left := s
	for _, part := range parts {
		left = strings.ReplaceAll(left, part, "")
	}
	if left == s {
		return false
	}
	characters, letters := 0, 0
	for _, r := range left {
		characters++
		if unicode.IsLetter(r) {
			letters++
		}
	}
	return characters < leastLeft && letters < leastLetters || common.Contains(left) || isPattern(left)
}
