package password

import "errors"

// Any makes hashes of one format and verifies those of every format that this package
// knows: what it makes, [Argon2id], [Bcrypt], [Scrypt], [Lucia], and PBKDF2 with SHA-256
// or SHA-512, in the forms of PHC, passlib and Django. A hash of another format than the
// made one is outdated, so that a sign-in replaces it.
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

// Validate reports what the made format reports of its settings.
func (a Any) Validate() error {
	if v, ok := a.made().(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// Hash returns a hash of the made format.
func (a Any) Hash(password string) (string, error) { return a.made().Hash(password) }

// Outdated is the made format's.
func (a Any) Outdated(hash string) bool { return a.made().Outdated(hash) }

// Dummy does the work of a Verify of the made format that fails, for a key that there
// is not.
func (a Any) Dummy(password string) error { return dummy(a.made(), password) }

func dummy(h Hasher, password string) error {
	if d, ok := h.(interface{ Dummy(string) error }); ok {
		return d.Dummy(password)
	}
	_, err := h.Hash(password)
	return err
}

// CheckPassword is the made format's, [Check] if it has none.
func (a Any) CheckPassword(password string) error {
	if c, ok := a.made().(interface{ CheckPassword(string) error }); ok {
		return c.CheckPassword(password)
	}
	return Check(password)
}

// Verify reports whether hash was made of password. A hash that nothing here reads, or
// that asks for more work than is accepted, is [ErrFormat], after no work.
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

// CheckHash reports [ErrFormat] for what Verify cannot read. It does no work.
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

// readable is a format that can tell its hashes.
type readable interface {
	Hasher
	CheckHash(hash string) error
}

var knownFormats = []readable{Argon2id{}, Bcrypt{}, Scrypt{}, Lucia{}}
