package password

import "errors"

// Any makes hashes of one format and verifies those of every format that this package knows: its
// own hasher's, [Argon2id], [Bcrypt], [Scrypt], [Lucia], and PBKDF2 with SHA-256 or SHA-512 in
// the forms of PHC, passlib and Django. A hash of another format than its hasher's is outdated,
// so that a sign-in replaces it.
type Any struct {
	Hasher // what makes hashes; Argon2id{} if it is nil
}

var _ Hasher = Any{}

func (a Any) made() Hasher {
	if a.Hasher == nil {
		return Argon2id{}
	}
	return a.Hasher
}

// Validate reports settings of its hasher that are out of bounds.
func (a Any) Validate() error {
	if v, ok := a.made().(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// Hash returns a hash that its hasher makes.
func (a Any) Hash(password string) (string, error) { return a.made().Hash(password) }

// Outdated is its hasher's answer.
func (a Any) Outdated(hash string) bool { return a.made().Outdated(hash) }

// Dummy does the work of a failed Verify of its hasher, for a key that does not exist.
func (a Any) Dummy(password string) error { return dummy(a.made(), password) }

func dummy(h Hasher, password string) error {
	if d, ok := h.(interface{ Dummy(string) error }); ok {
		return d.Dummy(password)
	}
	_, err := h.Hash(password)
	return err
}

// CheckPassword is its hasher's, and [Check] if that has none.
func (a Any) CheckPassword(password string) error {
	if c, ok := a.made().(interface{ CheckPassword(string) error }); ok {
		return c.CheckPassword(password)
	}
	return Check(password)
}

// Verify reports whether hash was made of password. It returns [ErrFormat], without any work, for
// a hash of an unknown format and for one that asks for more work than is accepted.
func (a Any) Verify(password, hash string) (bool, error) {
	ok, err := a.made().Verify(password, hash)
	if !errors.Is(err, ErrFormat) {
		return ok, err
	}
	for _, known := range knownFormats {
		if known.CheckHash(hash) == nil {
			return known.Verify(password, hash)
		}
	}
	if h, err := parsePBKDF2(hash); err == nil {
		return h.verify(password)
	}
	return false, ErrFormat
}

// CheckHash returns [ErrFormat] for a hash that Verify cannot read. It does no work.
func (a Any) CheckHash(hash string) error {
	if c, ok := a.made().(interface{ CheckHash(string) error }); ok {
		if err := c.CheckHash(hash); !errors.Is(err, ErrFormat) {
			return err
		}
	}
	for _, known := range knownFormats {
		if known.CheckHash(hash) == nil {
			return nil
		}
	}
	_, err := parsePBKDF2(hash)
	return err
}

// readable is a format that recognises its own hashes.
type readable interface {
	Hasher
	CheckHash(hash string) error
}

var knownFormats = []readable{Argon2id{}, Bcrypt{}, Scrypt{}, Lucia{}}
