package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Scrypt is RFC 7914's scrypt in the PHC string form,
//
//	$scrypt$ln=17,r=8,p=1$<salt>$<key>
//
// A zero field means its default. Verify reads that form and Django's,
// "scrypt$<N>$<salt>$<r>$<p>$<key>", of any settings up to 1 GiB of memory and four times that of
// work. As in every scrypt, NULs at the end of a password count for nothing.
type Scrypt struct {
	LogN uint8  // log2 of the cost N, 14 to 20; 17 by default (128 MiB at r = 8, OWASP)
	R    uint32 // block size, 8 by default
	P    uint32 // parallelism, 1 by default
}

var _ Hasher = Scrypt{}

// Bounds of stored settings, in units of 128 bytes.
const (
	maxScryptBlocks = 1 << 23 // N times r: 1 GiB
	maxScryptWork   = 1 << 25 // times p
	maxScryptLanes  = 1 << 16 // r times p: 8 MiB
)

// scryptHash is a parsed hash.
type scryptHash struct {
	n, r, p   uint64
	salt, key []byte
}

func (s Scrypt) withDefaults() Scrypt {
	if s.LogN == 0 {
		s.LogN = 17
	}
	if s.R == 0 {
		s.R = 8
	}
	if s.P == 0 {
		s.P = 1
	}
	return s
}

// Validate reports settings that are out of bounds.
func (s Scrypt) Validate() error {
	s = s.withDefaults()
	h := scryptHash{n: 1 << s.LogN, r: uint64(s.R), p: uint64(s.P)}
	if s.LogN < 14 || s.LogN > 20 || h.check() != nil {
		return fmt.Errorf("password: scrypt of ln=%d, r=%d, p=%d is out of bounds (ln 14 to 20, N times r to 1 GiB, times p to 4 GiB)", s.LogN, s.R, s.P)
	}
	return nil
}

// Hash returns the PHC string of password under 16 random bytes of salt. Errors:
// [ErrTooLong], [ErrNotUTF8], and settings that are out of bounds.
func (s Scrypt) Hash(password string) (string, error) {
	s = s.withDefaults()
	if err := s.Validate(); err != nil {
		return "", err
	}
	if err := Check(password); err != nil {
		return "", err
	}
	h := scryptHash{n: 1 << s.LogN, r: uint64(s.R), p: uint64(s.P), salt: make([]byte, saltSize)}
	_, _ = rand.Read(h.salt)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", s.LogN, s.R, s.P, b64(h.salt), b64(h.derive(normalize(password), keySize))), nil
}

// Verify reports whether hash was made of password, whatever settings s has. Errors:
// [ErrFormat], [ErrTooLong], [ErrNotUTF8].
func (s Scrypt) Verify(password, hash string) (bool, error) {
	h, err := parseScrypt(hash)
	if err != nil {
		return false, err
	}
	return verifyForms(password, func(form string) bool {
		return subtle.ConstantTimeCompare(h.derive(form, len(h.key)), h.key) == 1
	})
}

// Dummy does the work of a Verify that fails, for a key that does not exist.
func (s Scrypt) Dummy(password string) error {
	s = s.withDefaults()
	h := scryptHash{n: 1 << s.LogN, r: uint64(s.R), p: uint64(s.P), salt: make([]byte, saltSize)}
	return dummyForms(password, func(form string) { h.derive(form, keySize) })
}

// CheckHash returns [ErrFormat] for a hash that Verify cannot read. It does no work.
func (Scrypt) CheckHash(hash string) error {
	_, err := parseScrypt(hash)
	return err
}

// Outdated reports whether hash is of another format, takes less memory or work than a hash that
// s makes, or has a shorter key or salt.
func (s Scrypt) Outdated(hash string) bool {
	h, err := parseScrypt(hash)
	s = s.withDefaults()
	blocks := uint64(s.R) << s.LogN
	return err != nil || h.n*h.r < blocks || h.n*h.r*h.p < blocks*uint64(s.P) || len(h.key) < keySize || len(h.salt) < saltSize
}

// derive is called with settings that were checked.
func (h *scryptHash) derive(password string, size int) []byte {
	return scryptKey(password, h.salt, int(h.n), int(h.r), int(h.p), size)
}

// check holds the bounds of RFC 7914 and ours, before any work.
func (h *scryptHash) check() error {
	if h.n < 2 || bits.OnesCount64(h.n) != 1 || h.r < 1 || h.p < 1 ||
		h.n > maxScryptBlocks || h.r > maxScryptBlocks || h.n*h.r > maxScryptBlocks || h.p > maxScryptWork || h.n*h.r*h.p > maxScryptWork || h.r*h.p > maxScryptLanes {
		return ErrFormat
	}
	return nil
}

func parseScrypt(hash string) (*scryptHash, error) {
	if len(hash) > maxHash {
		return nil, ErrFormat
	}
	parts := strings.Split(hash, "$")
	h := new(scryptHash)
	var err error
	switch {
	case len(parts) == 5 && parts[0] == "" && parts[1] == "scrypt":
		var settings [3]uint64
		if settings, err = phcSettings(parts[2], "ln=", "r=", "p="); err == nil && settings[0] > 30 {
			err = ErrFormat
		}
		if err == nil {
			h.n, h.r, h.p = 1<<settings[0], settings[1], settings[2]
			h.salt, h.key, err = phcSaltAndKey(parts[3], parts[4])
		}
	case len(parts) == 6 && parts[0] == "scrypt":
		h.salt = []byte(parts[2])
		for i, part := range []string{parts[1], parts[3], parts[4]} {
			if *[]*uint64{&h.n, &h.r, &h.p}[i], err = parseNumber(part); err != nil {
				return nil, err
			}
		}
		h.key, err = djangoKey(parts[2], parts[5])
	default:
		err = ErrFormat
	}
	if err == nil {
		err = h.check()
	}
	if err != nil {
		return nil, ErrFormat
	}
	return h, nil
}

// phcSettings parses "ln=17,r=8,p=1" and its like.
func phcSettings(s string, prefixes ...string) (n [3]uint64, err error) {
	settings := strings.Split(s, ",")
	if len(settings) != len(prefixes) {
		return n, ErrFormat
	}
	for i, prefix := range prefixes {
		digits, ok := strings.CutPrefix(settings[i], prefix)
		if !ok {
			return n, ErrFormat
		}
		if n[i], err = parseNumber(digits); err != nil {
			return n, err
		}
	}
	return n, nil
}

// parseNumber parses up to ten decimal digits.
func parseNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || s[0] == '+' || s[0] == '-' {
		return 0, ErrFormat
	}
	return n, nil
}

// phcSaltAndKey decodes the last two parts of a PHC string.
func phcSaltAndKey(salt, key string) ([]byte, []byte, error) {
	s, err := base64.RawStdEncoding.Strict().DecodeString(salt)
	if err != nil || len(s) < 1 || len(s) > 128 {
		return nil, nil, ErrFormat
	}
	k, err := base64.RawStdEncoding.Strict().DecodeString(key)
	if err != nil || len(k) < 16 || len(k) > 128 {
		return nil, nil, ErrFormat
	}
	return s, k, nil
}

// djangoKey decodes the key of a Django hash, whose salt is used as it is written.
func djangoKey(salt, key string) ([]byte, error) {
	k, err := base64.StdEncoding.Strict().DecodeString(key)
	if err != nil || salt == "" || len(salt) > 128 || len(k) < 16 || len(k) > 128 {
		return nil, ErrFormat
	}
	return k, nil
}
