// Package password hashes and verifies passwords. It knows no database: gormkey calls
// it, and an application may use it alone.
//
// [Argon2id] is the default; [Bcrypt], [Scrypt] and [Lucia] make hashes that other
// systems read. [Any] makes hashes of one of them and verifies those of all, and of
// PBKDF2. [Pepper] adds a secret that is not in the database. A [Limiter] keeps the
// number of hashes that run at once, and so their memory, within bounds.
//
// A policy is a function that takes a new password and returns nil, or an error that tells why it
// is refused and does not quote it. [Default], [NIST] and [NISTWithMFA] are whole policies;
// [MinLength] and [NotCommon] are parts, which [All] puts together. Package password/pwned has a
// part that looks passwords up in a list of those that leaked.
package password

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Hasher makes and verifies password hashes. It is safe for concurrent use. It may also
// have the methods
//
//	Dummy(password string) error         // the work of a Verify that fails; Hash if missing
//	CheckHash(hash string) error         // ErrFormat for what Verify cannot read, without work
//	CheckPassword(password string) error // instead of Check
//	Validate() error                     // settings out of bounds
type Hasher interface {
	// Hash returns a hash of password under a new salt. It is a text of at most 255 bytes that
	// begins with the name of its format.
	Hash(password string) (string, error)
	// Verify reports whether hash was made of password. It compares in constant time.
	// ErrFormat means that the hash is of another format or out of bounds, and that
	// no work was done.
	Verify(password, hash string) (bool, error)
	// Outdated reports whether hash should be replaced, because it is of another
	// format or weaker than what Hash makes now.
	Outdated(hash string) bool
}

var (
	// ErrFormat: the hash is not of a format that the hasher reads, or asks for more
	// work than it accepts.
	ErrFormat = errors.New("password: unknown hash format")
	// ErrTooLong: the password is over [MaxLength] bytes, or longer than its format can hold or its
	// policy accepts.
	ErrTooLong = errors.New("password: too long")
	// ErrNotUTF8: the password is not valid UTF-8.
	ErrNotUTF8 = errors.New("password: not valid UTF-8")
	// ErrTooShort: the password has fewer characters than [MinLength] asks for.
	ErrTooShort = errors.New("password: too short")
)

// MaxLength is the longest password in bytes before normalization, which can make a text eleven
// times as long. A program that normalizes first can be made to do that work (CVE-2023-46695).
const MaxLength = 4096

// Check refuses a password that cannot be hashed, because it is over [MaxLength] bytes or not
// valid UTF-8. It costs next to nothing.
func Check(password string) error {
	switch {
	case len(password) > MaxLength:
		return fmt.Errorf("%w: over %d bytes", ErrTooLong, MaxLength)
	case !utf8.ValidString(password):
		return ErrNotUTF8
	}
	return nil
}

// maxHash is the longest stored hash that is looked at, in bytes.
const maxHash = 1024

// forms returns the texts as which a typed password may have been hashed: in NFKC, as this
// package hashes it, and, if that differs, as it was typed, as other systems hash it.
func forms(password string) []string {
	normal := normalize(password)
	if normal == password {
		return []string{normal}
	}
	return []string{normal, password}
}

// verifyForms checks a password and tries its forms on a hash.
func verifyForms(password string, matches func(form string) bool) (bool, error) {
	if err := Check(password); err != nil {
		return false, err
	}
	for _, form := range forms(password) {
		if matches(form) {
			return true, nil
		}
	}
	return false, nil
}

// dummyForms does the work of verifyForms where no form matches.
func dummyForms(password string, work func(form string)) error {
	_, err := verifyForms(password, func(form string) bool {
		work(form)
		return false
	})
	return err
}
