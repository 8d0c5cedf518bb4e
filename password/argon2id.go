package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Argon2id is RFC 9106's Argon2id in the PHC string form,
//
//	$argon2id$v=19$m=19456,t=2,p=1$<salt>$<key>
//
// which has 97 bytes at the default settings. A zero field means its default. Verify reads hashes
// of any settings up to 1 GiB of memory and 4 GiB of memory times passes. It also reads Django's
// form, which begins with "argon2$argon2id$".
type Argon2id struct {
	Memory      uint32 // KiB, 8 for each lane to 1 GiB; 19456 by default (19 MiB, OWASP ASVS 5.0 appendix C)
	Iterations  uint32 // passes, 1 or more, with memory times passes up to 4 GiB; 2 by default
	Parallelism uint8  // lanes, 1 to 64; 1 by default
}

var _ Hasher = Argon2id{}

const (
	saltSize = 16
	keySize  = 32

	maxMemory = 1 << 20 // KiB
	maxWork   = 4 << 20 // KiB times passes
	maxLanes  = 64
)

// argon2idHash is a parsed PHC string.
type argon2idHash struct {
	Argon2id
	salt, key []byte
}

func (a Argon2id) withDefaults() Argon2id {
	if a.Memory == 0 {
		a.Memory = 19456
	}
	if a.Iterations == 0 {
		a.Iterations = 2
	}
	if a.Parallelism == 0 {
		a.Parallelism = 1
	}
	return a
}

// Validate reports settings that are out of bounds.
func (a Argon2id) Validate() error { return a.withDefaults().check() }

// Hash returns the PHC string of password under 16 random bytes of salt. Errors:
// [ErrTooLong], [ErrNotUTF8], and settings that are out of bounds.
func (a Argon2id) Hash(password string) (string, error) {
	a = a.withDefaults()
	if err := a.check(); err != nil {
		return "", err
	}
	if err := Check(password); err != nil {
		return "", err
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt)
	key := a.key(normalize(password), salt, keySize)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, a.Memory, a.Iterations, a.Parallelism, b64(salt), b64(key)), nil
}

// Verify reports whether hash was made of password, whatever settings a has. Errors:
// [ErrFormat], [ErrTooLong], [ErrNotUTF8].
func (a Argon2id) Verify(password, hash string) (bool, error) {
	h, err := parseArgon2id(hash)
	if err != nil {
		return false, err
	}
	return verifyForms(password, func(form string) bool {
		key := h.Argon2id.key(form, h.salt, uint32(len(h.key)))
		return subtle.ConstantTimeCompare(key, h.key) == 1
	})
}

// Dummy does the work of a Verify that fails, for a key that does not exist.
func (a Argon2id) Dummy(password string) error {
	a = a.withDefaults()
	return dummyForms(password, func(form string) { a.key(form, make([]byte, saltSize), keySize) })
}

// CheckHash returns [ErrFormat] for a hash that Verify cannot read. It does no work.
func (Argon2id) CheckHash(hash string) error {
	_, err := parseArgon2id(hash)
	return err
}

// Outdated reports whether hash takes less memory, or less memory times passes, than a hash that
// a makes, or has a shorter key or salt.
func (a Argon2id) Outdated(hash string) bool {
	h, err := parseArgon2id(hash)
	a = a.withDefaults()
	return err != nil || h.Memory < a.Memory || h.work() < a.work() || len(h.key) < keySize || len(h.salt) < saltSize
}

// work is what a hash costs, in KiB times passes.
func (a Argon2id) work() uint64 { return uint64(a.Memory) * uint64(a.Iterations) }

func (a Argon2id) key(password string, salt []byte, size uint32) []byte {
	return argon2.IDKey([]byte(password), salt, a.Iterations, a.Memory, a.Parallelism, size)
}

// check holds the bounds of RFC 9106 § 3.1, and the package's own.
func (a Argon2id) check() error {
	switch {
	case a.Parallelism < 1 || a.Parallelism > maxLanes,
		a.Iterations < 1,
		a.Memory < 8*uint32(a.Parallelism) || a.Memory > maxMemory,
		a.work() > maxWork:
		return fmt.Errorf("password: Argon2id of %d KiB, %d passes, %d lanes is out of bounds (8 KiB a lane to 1 GiB, memory times passes to 4 GiB, 1 to 64 lanes)", a.Memory, a.Iterations, a.Parallelism)
	}
	return nil
}

func parseArgon2id(hash string) (*argon2idHash, error) {
	if len(hash) > maxHash {
		return nil, ErrFormat
	}
	// Django puts its own name before it.
	parts := strings.Split(strings.TrimPrefix(hash, "argon2"), "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return nil, ErrFormat
	}
	h := new(argon2idHash)
	if err := h.parseSettings(parts[3]); err != nil {
		return nil, err
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return nil, ErrFormat
	}
	if h.key, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(h.key) < 16 || len(h.key) > 128 {
		return nil, ErrFormat
	}
	return h, nil
}

func (h *argon2idHash) parseSettings(s string) error {
	settings := strings.Split(s, ",")
	if len(settings) != 3 {
		return ErrFormat
	}
	var n [3]uint64
	for i, prefix := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(settings[i], prefix)
		if !ok {
			return ErrFormat
		}
		var err error
		if n[i], err = strconv.ParseUint(digits, 10, []int{32, 32, 8}[i]); err != nil {
			return ErrFormat
		}
	}
	h.Argon2id = Argon2id{Memory: uint32(n[0]), Iterations: uint32(n[1]), Parallelism: uint8(n[2])}
	if h.check() != nil {
		return ErrFormat
	}
	return nil
}
