package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Lucia makes and verifies the hashes of Lucia v2,
//
//	s2:<salt>:<key>
//
// of 148 bytes. They are scrypt with N = 16384, r = 16, p = 1 (32 MiB) of the password in NFKC,
// with the 16 characters of the salt as they are, and 64 bytes of key in lower-case hexadecimal.
// It also verifies the older form without "s2:", which has r = 8.
//
// That is less than OWASP asks of scrypt (N = 131072): use it while a Lucia signs the same people
// in, and [Argon2id] after that. As in JavaScript, bytes that are not valid UTF-8 count as
// U+FFFD, and an empty password can be hashed. As in every scrypt, NULs at the end of a password
// count for nothing.
type Lucia struct{}

var _ Hasher = Lucia{}

const (
	luciaN        = 16384
	luciaR        = 16
	luciaLegacyR  = 8
	luciaSaltSize = 16
	luciaKeySize  = 64
	luciaAlphabet = "abcdefghijklmnopqrstuvwxyz1234567890"
)

// CheckPassword refuses a password over [MaxLength] bytes, and nothing else.
func (Lucia) CheckPassword(password string) error {
	if len(password) > MaxLength {
		return fmt.Errorf("%w: over %d bytes", ErrTooLong, MaxLength)
	}
	return nil
}

// Hash returns the hash of password. Error: [ErrTooLong].
func (l Lucia) Hash(password string) (string, error) {
	if err := l.CheckPassword(password); err != nil {
		return "", err
	}
	salt := luciaSalt()
	return "s2:" + salt + ":" + hex.EncodeToString(luciaKey(password, salt, luciaR)), nil
}

// Verify reports whether hash was made of password. Errors: [ErrFormat], [ErrTooLong].
func (l Lucia) Verify(password, hash string) (bool, error) {
	salt, key, r, err := parseLucia(hash)
	if err != nil {
		return false, err
	}
	if err := l.CheckPassword(password); err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(luciaKey(password, salt, r), key) == 1, nil
}

// CheckHash returns [ErrFormat] for a hash that Verify cannot read. It does no work.
func (Lucia) CheckHash(hash string) error {
	_, _, _, err := parseLucia(hash)
	return err
}

// Outdated reports whether hash is of another format or of the older form.
func (Lucia) Outdated(hash string) bool {
	_, _, r, err := parseLucia(hash)
	return err != nil || r < luciaR
}

func luciaSalt() string {
	salt := make([]byte, 0, luciaSaltSize)
	for b := make([]byte, 1); len(salt) < luciaSaltSize; {
		_, _ = rand.Read(b)
		if b[0] < 252 { // the largest multiple of 36
			salt = append(salt, luciaAlphabet[b[0]%36])
		}
	}
	return string(salt)
}

func luciaKey(password, salt string, r int) []byte {
	return scryptKey(normalize(wellFormed(password)), []byte(salt), luciaN, r, 1, luciaKeySize)
}

// parseLucia returns salt, key and block size. Lucia compares hexadecimal texts, so it never
// accepts upper case.
func parseLucia(hash string) (salt string, key []byte, r int, err error) {
	if len(hash) > maxHash {
		return "", nil, 0, ErrFormat
	}
	parts := strings.Split(hash, ":")
	r = luciaLegacyR
	if len(parts) == 3 && parts[0] == "s2" {
		parts, r = parts[1:], luciaR
	}
	if len(parts) != 2 || len(parts[1]) != 2*luciaKeySize || strings.HasPrefix(hash, "$2a") || strings.ToLower(parts[1]) != parts[1] {
		return "", nil, 0, ErrFormat
	}
	if key, err = hex.DecodeString(parts[1]); err != nil {
		return "", nil, 0, ErrFormat
	}
	return parts[0], key, r, nil
}

// wellFormed puts U+FFFD in place of each maximal part of s that is not UTF-8, as a decoder of
// the WHATWG Encoding Standard does, and so Node.
func wellFormed(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var out strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			size = truncated(s)
		}
		out.WriteRune(r)
		s = s[size:]
	}
	return out.String()
}

// truncated returns how many bytes of an ill-formed start could begin a character
// (Unicode 16.0, table 3-7), 1 at least.
func truncated(s string) int {
	low, high, length := byte(0x80), byte(0xbf), 0
	switch first := s[0]; {
	case first >= 0xc2 && first <= 0xdf:
		length = 2
	case first >= 0xe0 && first <= 0xef:
		length = 3
		if first == 0xe0 {
			low = 0xa0
		} else if first == 0xed {
			high = 0x9f
		}
	case first >= 0xf0 && first <= 0xf4:
		length = 4
		if first == 0xf0 {
			low = 0x90
		} else if first == 0xf4 {
			high = 0x8f
		}
	}
	n := 1
	for n < length && n < len(s) && s[n] >= low && s[n] <= high {
		n++
		low, high = 0x80, 0xbf
	}
	return n
}
