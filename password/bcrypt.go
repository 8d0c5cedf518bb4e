package password

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Bcrypt is bcrypt in its usual form of 60 bytes. Hash writes $2a$; Verify reads $2a$, $2b$ and
// $2y$ of cost 4 to 16.
//
// Bcrypt reads 72 bytes of a password, and takes "a" for "a\x00a". Hash refuses a longer password
// with [ErrTooLong], and one with a NUL with [ErrNUL]. Verify answers false for both, after the
// same work. So a hash that another system made of the first 72 bytes of a longer password
// verifies for no password.
type Bcrypt struct {
	Cost int // 10 by default (OWASP's least), 10 to 16
}

var _ Hasher = Bcrypt{}

// ErrNUL: the password holds a NUL, and bcrypt would take another password for it.
var ErrNUL = errors.New("password: bcrypt takes no NUL")

const (
	bcryptLength   = 72
	minBcryptCost  = 10
	maxBcryptCost  = 16
	leastOfBcrypts = 4
)

func (b Bcrypt) withDefaults() Bcrypt {
	if b.Cost == 0 {
		b.Cost = minBcryptCost
	}
	return b
}

// Validate reports a cost that is out of bounds.
func (b Bcrypt) Validate() error {
	if b = b.withDefaults(); b.Cost < minBcryptCost || b.Cost > maxBcryptCost {
		return fmt.Errorf("password: bcrypt of cost %d is out of bounds (%d to %d)", b.Cost, minBcryptCost, maxBcryptCost)
	}
	return nil
}

// Hash returns the hash of password. Errors: [ErrTooLong], [ErrNUL], [ErrNotUTF8], and
// a cost that is out of bounds.
func (b Bcrypt) Hash(password string) (string, error) {
	b = b.withDefaults()
	if err := b.Validate(); err != nil {
		return "", err
	}
	if err := Check(password); err != nil {
		return "", err
	}
	form := normalize(password)
	switch {
	case len(form) > bcryptLength:
		return "", fmt.Errorf("%w: over the %d bytes of bcrypt", ErrTooLong, bcryptLength)
	case strings.ContainsRune(form, 0):
		return "", ErrNUL
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(form), b.Cost)
	return string(hash), err
}

// Verify reports whether hash was made of password, whatever cost b has. Errors:
// [ErrFormat], [ErrTooLong] for over 4096 bytes, [ErrNotUTF8].
func (b Bcrypt) Verify(password, hash string) (bool, error) {
	if _, err := bcryptCost(hash); err != nil {
		return false, err
	}
	return verifyForms(password, func(form string) bool {
		whole := len(form) <= bcryptLength && !strings.ContainsRune(form, 0)
		// Also where the answer is no already, so that it takes as long.
		err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(form[:min(len(form), bcryptLength)]))
		return err == nil && whole
	})
}

// Dummy does the work of a Verify that fails, for a key that does not exist.
func (b Bcrypt) Dummy(password string) error {
	return dummyForms(password, func(form string) {
		_, _ = bcrypt.GenerateFromPassword([]byte(form[:min(len(form), bcryptLength)]), b.withDefaults().Cost)
	})
}

// CheckHash returns [ErrFormat] for a hash that Verify cannot read. It does no work.
func (Bcrypt) CheckHash(hash string) error {
	_, err := bcryptCost(hash)
	return err
}

// Outdated reports whether hash is of another format or of a lower cost than b's.
func (b Bcrypt) Outdated(hash string) bool {
	cost, err := bcryptCost(hash)
	return err != nil || cost < b.withDefaults().Cost
}

// bcryptCost returns the cost of a well-formed hash.
func bcryptCost(hash string) (int, error) {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if len(hash) != 60 || hash[0] != '$' || hash[1] != '2' || !strings.Contains("aby", hash[2:3]) || hash[3] != '$' || hash[6] != '$' ||
		strings.Trim(hash[7:], alphabet) != "" {
		return 0, ErrFormat
	}
	cost, err := strconv.ParseUint(hash[4:6], 10, 8)
	if err != nil || cost < leastOfBcrypts || cost > maxBcryptCost {
		return 0, ErrFormat
	}
	return int(cost), nil
}
