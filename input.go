package gormkey

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Credentials name a key, with its password or explicitly without one. Neither the
// password nor NoPassword is read from or written to JSON.
type Credentials struct {
	// Provider is 1–64 bytes of A–Z, a–z, 0–9, ".", "_" and "-": "email", "github".
	Provider string
	// ID is the user's id at the provider: at least 1 byte, and at most 255 together
	// with the provider and a colon. It is compared byte by byte: lower-case an email
	// address before it comes here.
	ID string
	// Password is required unless NoPassword is set: at most 4096 bytes of valid
	// UTF-8, taken whole and compared in Unicode form NFKC.
	Password string `json:"-"`
	// NoPassword makes or uses a key without a password. Set it only where the
	// application has proved the identity itself, as after an OAuth callback; never
	// from a request.
	NoPassword bool `json:"-"`
	// PasswordHash, instead of a password, stores a hash that another system made, as it
	// is: of a format that [password.Any] or the plugin's hasher reads. It is for calls
	// that store credentials, never for a sign-in.
	PasswordHash HashedPassword `json:"-"`
}

// Format writes the credentials without the password.
func (c Credentials) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{%s %s %s}", c.Provider, c.ID, redacted)
}

// keyID checks provider and id and returns the key's id.
func keyID(provider, id string) (string, error) {
	if len(provider) < 1 || len(provider) > 64 {
		return "", &ArgumentError{"provider", fmt.Sprintf("is %d bytes long, outside 1 to 64", len(provider))}
	}
	for i := range len(provider) {
		switch c := provider[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', 'A' <= c && c <= 'Z', c == '_', c == '-', c == '.':
		default:
			return "", &ArgumentError{"provider", fmt.Sprintf("holds a byte other than A–Z, a–z, 0–9, \".\", \"_\", \"-\" at %d", i)}
		}
	}
	return provider + ":" + id, checkText("id", id, keyIDSize-len(provider)-1)
}

// checkText refuses what some engine would cut, fold, refuse or mix up: an empty text,
// one past limit bytes, NUL, invalid UTF-8, and blanks at either end.
func checkText(argument, s string, limit int) error {
	switch {
	case s == "":
		return &ArgumentError{argument, "is empty"}
	case len(s) > limit:
		return &ArgumentError{argument, fmt.Sprintf("is %d bytes long, over %d", len(s), limit)}
	case !utf8.ValidString(s):
		return &ArgumentError{argument, "is not valid UTF-8"}
	case strings.ContainsRune(s, 0):
		return &ArgumentError{argument, "holds a NUL"}
	case strings.TrimSpace(s) != s:
		return &ArgumentError{argument, "begins or ends with a blank"}
	}
	return nil
}

// checkContext lets nobody pass the nil context on which database/sql would panic.
func checkContext(ctx context.Context) error {
	if ctx == nil {
		return &ArgumentError{"ctx", "is nil"}
	}
	return nil
}

// checkNewPassword is for passwords that will be stored: what was typed at a sign-in
// is not asked to be strong.
func (o *options) checkNewPassword(c Credentials) error {
	if c.PasswordHash != "" {
		return o.checkPasswordHash(c)
	}
	if c.NoPassword {
		return checkNoPassword(c)
	}
	if err := o.checkPassword(c.Password); err != nil {
		return err
	}
	if err := o.passwordPolicy(c.Password); err != nil {
		return fmt.Errorf("%w: %w", &ArgumentError{"password", "is refused by the policy"}, err)
	}
	if c.Password == "" {
		return &ArgumentError{"password", "is empty; set NoPassword for a key without one"}
	}
	return nil
}

func (o *options) checkPasswordHash(c Credentials) error {
	if c.Password != "" || c.NoPassword {
		return &ArgumentError{"password", "is given, or NoPassword is set, beside PasswordHash"}
	}
	if err := checkText("password hash", string(c.PasswordHash), hashSize); err != nil {
		return err
	}
	if err := o.hasher.CheckHash(string(c.PasswordHash)); err != nil {
		return fmt.Errorf("%w: %w", &ArgumentError{"password hash", "cannot be verified"}, err)
	}
	return nil
}

func checkNoPassword(c Credentials) error {
	if c.Password != "" {
		return &ArgumentError{"password", "is given though NoPassword is set"}
	}
	return nil
}

func (o *options) checkPassword(s string) error {
	if err := o.hasher.CheckPassword(s); err != nil {
		return fmt.Errorf("%w: %w", &ArgumentError{"password", "cannot be hashed"}, err)
	}
	return nil
}
