package password_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/gormkey/gormkey/password"
	"github.com/gormkey/gormkey/password/internal/common"
)

// commonWords are entries of the list that can be shown.
func commonWords(t testing.TB) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/common.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(data))
}

// refused counts how many of words a policy refuses as common, and reports the others.
func refused(t *testing.T, policy func(string) error, words []string) (count int) {
	t.Helper()
	for _, word := range words {
		if err := policy(word); errors.Is(err, password.ErrCommon) {
			count++
		} else {
			t.Errorf("%q: got %v", word, err)
		}
	}
	return count
}

// TestR121Listed: 3000 passwords that match the policy are refused, at both minimums that the
// library offers. At 15 they are words of the list that are typed twice or three times, and rows
// of keys: most of the list's own entries of that length are kept as hashes only.
func TestR121Listed(t *testing.T) {
	words := commonWords(t)
	if got := refused(t, password.Default(), words); got < 3000 {
		t.Errorf("at 8 characters: %d of %d are refused", got, len(words))
	}
	var long []string
	for _, word := range words {
		for len(word) < 15 {
			word += word
		}
		long = append(long, word)
	}
	if got := refused(t, password.NIST(), long); got < 3000 {
		t.Errorf("at 15 characters, repeated: %d of %d are refused", got, len(long))
	}
	rows := rowsOfKeys()
	if got := refused(t, password.NIST(), rows); got < 3000 {
		t.Errorf("at 15 characters, rows: %d of %d are refused", got, len(rows))
	}
}

// rowsOfKeys returns passwords of 15 characters or more that are three or four rows.
func rowsOfKeys() (passwords []string) {
	rows := []string{"qwerty", "12345", "asdfg", "zxcvbn", "54321", "aaaaa", "abcde", "00000", "1qaz", "zaq1", "2wsx", "poiuy", "!@#$%", "lkjhg", "99999", "edcba", "7ujm", "jklmn"}
	for _, a := range rows {
		for _, b := range rows {
			for _, c := range rows {
				if p := a + b + c; len(p) >= 15 {
					passwords = append(passwords, p)
				}
			}
		}
	}
	return passwords
}

// TestR121Counts: the list has at least 3000 entries for every minimum from 6 to 15, and is small.
func TestR121Counts(t *testing.T) {
	for n := 6; n <= 15; n++ {
		if got := common.CountAtLeast(n); got < 3000 {
			t.Errorf("%d entries of %d characters or more", got, n)
		}
	}
	if got := common.CountAtLeast(8); got < 10000 {
		t.Errorf("%d entries of 8 characters or more", got)
	}
	if got := common.Size(); got > 200<<10 || got != common.Count()*common.RecordSize {
		t.Errorf("the list takes %d bytes", got)
	}
}

func TestR121NotCommon(t *testing.T) {
	policy := password.NotCommon("Acme Notes", "Ada.Lovelace@example.com", "Ångström", "al", "\xff")
	for _, c := range []struct {
		typed string
		ok    bool
	}{
		{"sunshine", false}, {"SunShine", false}, {"ｓｕｎｓｈｉｎｅ", false}, {"sun\u017fhine", false}, {"sunshine ", true}, {"my sunshine is you", true}, {"sunshine-walrus", true},
		{"dragondragon", false}, {"DragondRagon", false}, {"passwordpassword", false}, {"xk29fqxk29fq", false}, {"xk29fq7pxk29fq7p", true}, {"xk29fq7xk29fq7", false}, {"abcabcab", false},
		{"sunshinesunshinesun", false}, {"日本日本日本日本", false}, {"日本語を話す人日本語を話す人", false}, {"日本語を話します日本語を話します", true}, {"ababababb", true},
		{"qwertyuiop", false}, {"1qaz2wsx3edc4rfv", false}, {"1q2w3e4r5t6y7u8i", false}, {"112233445566778", false}, {"777888999000", false}, {"abcdefghijklmno", false}, {"onmlkjihgfedcba", false},
		{"123456789012345", false}, {"987654321098765", false}, {"qwertzuiopasdfgh", false}, {"azertyuiopqsdfgh", false}, {"!@#$%^&*()1234567890", false}, {"147258369147258", false},
		{"qwertyuiopx1", true}, {"abxcdxefxghx", true}, {"1q2w3e4r5t6z", false}, {"1q2w3e4r5t6x", true}, {"90901234567x", true},
		{"acme2024!", false}, {"AcmeNotes", false}, {"notes-acme-123", false}, {"ada lovelace", false}, {"Lovelace1815", false}, {"acmepassword", false}, {"acme#83920174", true}, {"acme#8392017", true},
		{"acme#839201", false}, {"acmeabc12", false}, {"acmewxyk", true}, {"A\u030angstro\u0308m99", false}, {"lovelace is my hero", true}, {"almost a1", true}, {"al1234x!", true},
		{"", true}, {"a", true}, {"ab", true}, {"\xff\xff\xff\xff\xff\xff\xff\xff", true}, {strings.Repeat("a", 4096), false}, {strings.Repeat("a", 4097), true},
		{"correct horse battery staple", true}, {"\u1e9e\u1e9e\u1e9e\u1e9eSunshine", true},
	} {
		err := policy(c.typed)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, password.ErrCommon) {
			t.Errorf("%.60q: got %v", c.typed, err)
		}
		if err != nil && len(c.typed) > 3 && strings.Contains(err.Error(), c.typed) {
			t.Errorf("%v quotes the password", err)
		}
	}
	if err := password.NotCommon()("acme2024!"); err != nil {
		t.Errorf("without words: got %v", err)
	}
}

// TestFoldNormal: what NotCommon takes for normalized, the hash does too.
func TestFoldNormal(t *testing.T) {
	normal := 0
	for _, v := range nfkcVectors(t) {
		for _, s := range v {
			if norm.NFKC.IsNormalString(s) {
				normal++
				if got := password.Normalize(s); got != s {
					t.Errorf("%+q: got %+q", s, got)
				}
			}
		}
	}
	if normal < 200 {
		t.Errorf("%d texts are normal", normal)
	}
}

func BenchmarkNotCommon(b *testing.B) {
	policy := password.NotCommon("Acme Notes", "ada@example.com")
	for name, typed := range map[string]string{
		"8": "k3#vQz!p", "listed": "sunshine", "28": "correct horse battery staple", "128": strings.Repeat("0 k3#vQz", 15) + "12345678",
		"28 not ASCII": "zażółć gęślą jaźń na zawsze!", "28 not in NFKC": "za\u017c\u00f3\u0142c\u0301 g\u0119\u015bl\u0105 ja\u017a\u0144 na zawsze!", "4096, the slowest": strings.Repeat("a", 4095) + "b", "4096, not in NFKC": strings.Repeat("\ufdfa\u0301\u0316", 585) + "b",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = policy(typed)
			}
		})
	}
}

func FuzzNotCommon(f *testing.F) {
	f.Add("1q2w3e4r", "acme")
	f.Add("ſunſhineſunſhine", "K")
	f.Fuzz(func(t *testing.T, typed, word string) {
		policy := password.NotCommon(word)
		if err := policy(typed); err != nil && !errors.Is(err, password.ErrCommon) {
			t.Errorf("%q: got %v", typed, err)
		}
	})
}
