package password

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Pepper hashes HMAC-SHA-256(key, password) instead of the password. The key is kept apart from
// the database, so that nobody can search for passwords in a stolen table alone (NIST
// SP 800-63B-4 § 3.1.1.2). A hash names its key:
//
//	pepper:<id>:<hash>
//
// To rotate keys, add a key, make it Current, and keep the old one as long as hashes name it.
// Those hashes are outdated, so a sign-in replaces them. If you lose a key, the passwords under
// it are lost. Hashes without a pepper verify through [Any], and are outdated too.
type Pepper struct {
	Keys    map[string][]byte // by id, 1–32 bytes of A–Z, a–z, 0–9, "_", "-"; at least 32 bytes each, random
	Current string            // the id of the key for new hashes
	Hasher  Hasher            // what hashes the result; Argon2id{} if it is nil
}

var _ Hasher = Pepper{}

// ErrPepper: the hash names a key that is not among the pepper's.
var ErrPepper = errors.New("password: unknown pepper key")

const (
	pepperPrefix = "pepper:"
	pepperKey    = 32 // bytes, at least
)

var pepperID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

func (p Pepper) inner() Hasher {
	if p.Hasher == nil {
		return Argon2id{}
	}
	return p.Hasher
}

// Format writes the ids of the keys, and not the keys.
func (p Pepper) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{pepper %q, current %q}", slices.Sorted(maps.Keys(p.Keys)), p.Current)
}

// Validate reports a missing current key, keys that are too short, and malformed ids.
func (p Pepper) Validate() error {
	if _, ok := p.Keys[p.Current]; !ok {
		return fmt.Errorf("%w: there is no current key %q", ErrPepper, p.Current)
	}
	for id, key := range p.Keys {
		if !pepperID.MatchString(id) || len(key) < pepperKey {
			return fmt.Errorf("password: the pepper key %q has %d bytes, under %d, or an id that is not 1 to 32 of A–Z, a–z, 0–9, \"_\", \"-\"", id, len(key), pepperKey)
		}
	}
	if v, ok := p.inner().(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// Hash returns the hash of password under the current key.
func (p Pepper) Hash(password string) (string, error) {
	if err := p.Validate(); err != nil {
		return "", err
	}
	key := p.Keys[p.Current]
	if err := Check(password); err != nil {
		return "", err
	}
	hash, err := p.inner().Hash(pepper(key, normalize(password)))
	if err != nil {
		return "", err
	}
	return pepperPrefix + p.Current + ":" + hash, nil
}

// Verify reports whether hash was made of password. Errors: [ErrFormat] for a hash
// without a pepper, [ErrPepper], and those of the inner hasher.
func (p Pepper) Verify(password, hash string) (bool, error) {
	id, hash, err := p.parse(hash)
	if err != nil {
		return false, err
	}
	key, ok := p.Keys[id]
	if !ok {
		return false, ErrPepper
	}
	var failed error
	matches, err := verifyForms(password, func(form string) bool {
		matches, err := p.inner().Verify(pepper(key, form), hash)
		failed = errors.Join(failed, err)
		return matches
	})
	return matches && failed == nil, errors.Join(err, failed)
}

// Dummy does the work of a Verify that fails, for a key that does not exist.
func (p Pepper) Dummy(password string) error {
	var failed error
	err := dummyForms(password, func(form string) { failed = errors.Join(failed, dummy(p.inner(), pepper(p.Keys[p.Current], form))) })
	return errors.Join(err, failed)
}

// CheckHash returns [ErrFormat] or [ErrPepper] for a hash that Verify cannot read.
func (p Pepper) CheckHash(hash string) error {
	id, hash, err := p.parse(hash)
	if err != nil {
		return err
	}
	if _, ok := p.Keys[id]; !ok {
		return ErrPepper
	}
	if c, ok := p.inner().(interface{ CheckHash(string) error }); ok {
		return c.CheckHash(hash)
	}
	return nil
}

// Outdated reports whether hash has another key than the current one, or none, or is
// outdated for the inner hasher.
func (p Pepper) Outdated(hash string) bool {
	id, hash, err := p.parse(hash)
	return err != nil || id != p.Current || p.inner().Outdated(hash)
}

func (Pepper) parse(hash string) (id, inner string, err error) {
	rest, ok := strings.CutPrefix(hash, pepperPrefix)
	id, inner, cut := strings.Cut(rest, ":")
	if !ok || !cut || len(hash) > maxHash || !pepperID.MatchString(id) {
		return "", "", ErrFormat
	}
	return id, inner, nil
}

// pepper returns 43 characters, which every format takes whole.
func pepper(key []byte, form string) string {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(form))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
