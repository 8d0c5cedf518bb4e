package password

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
	"strings"
)

// pbkdf2Hash is a parsed hash of PBKDF2 (RFC 8018) with HMAC-SHA-256 or HMAC-SHA-512, in
// one of the forms
//
//	$pbkdf2-sha256$i=600000,l=32$<salt>$<key>   PHC; "l" may be left out
//	$pbkdf2-sha256$600000$<salt>$<key>          passlib, with "." for "+"
//	pbkdf2_sha256$600000$<salt>$<key>           Django
//
// This package makes no such hashes: PBKDF2 takes next to no memory, so an attacker's hardware
// tries it fastest of all.
type pbkdf2Hash struct {
	newHash    func() hash.Hash
	iterations uint64
	salt, key  []byte
}

// maxPBKDF2 bounds stored iterations, for all blocks of the key together: about two
// seconds.
const maxPBKDF2 = 5_000_000

func (h *pbkdf2Hash) verify(password string) (bool, error) {
	return verifyForms(password, func(form string) bool {
		key, err := pbkdf2.Key(h.newHash, form, h.salt, int(h.iterations), len(h.key))
		if err != nil {
			panic(fmt.Sprintf("password: PBKDF2: %v", err)) // settings that were checked, or FIPS mode
		}
		return subtle.ConstantTimeCompare(key, h.key) == 1
	})
}

func parsePBKDF2(stored string) (*pbkdf2Hash, error) {
	if len(stored) > maxHash {
		return nil, ErrFormat
	}
	parts := strings.Split(stored, "$")
	django := len(parts) == 4 && strings.HasPrefix(parts[0], "pbkdf2_")
	if !django {
		if len(parts) != 5 || parts[0] != "" || !strings.HasPrefix(parts[1], "pbkdf2-") {
			return nil, ErrFormat
		}
		parts = parts[1:]
	}
	h := new(pbkdf2Hash)
	switch parts[0][len("pbkdf2-"):] {
	case "sha256":
		h.newHash = sha256.New
	case "sha512":
		h.newHash = sha512.New
	default:
		return nil, ErrFormat
	}
	var err error
	if django {
		h.salt = []byte(parts[2])
		if h.iterations, err = parseNumber(parts[1]); err == nil {
			h.key, err = djangoKey(parts[2], parts[3])
		}
	} else {
		err = h.parsePHC(parts)
	}
	if err != nil {
		return nil, ErrFormat
	}
	size := h.newHash().Size()
	blocks := uint64(len(h.key)+size-1) / uint64(size)
	if h.iterations < 1 || h.iterations*blocks > maxPBKDF2 {
		return nil, ErrFormat
	}
	return h, nil
}

func (h *pbkdf2Hash) parsePHC(parts []string) (err error) {
	settings, length, hasLength := strings.Cut(parts[1], ",l=")
	digits, isPHC := strings.CutPrefix(settings, "i=")
	if h.iterations, err = parseNumber(digits); err != nil {
		return err
	}
	salt, key := parts[2], parts[3]
	if !isPHC {
		if hasLength {
			return ErrFormat
		}
		salt, key = strings.ReplaceAll(salt, ".", "+"), strings.ReplaceAll(key, ".", "+")
	}
	if h.salt, h.key, err = phcSaltAndKey(salt, key); err != nil || !hasLength {
		return err
	}
	if n, err := parseNumber(length); err != nil || n != uint64(len(h.key)) {
		return ErrFormat
	}
	return nil
}
