package gormkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/gormkey/gormkey/password"
)

// ParseKeyID reads the text that String writes: provider + ":" + id, as in
// "email:ada@example.com". Anything else is an [ArgumentError].
func ParseKeyID(text string) (KeyID, error) {
	provider, id, _ := strings.Cut(text, ":")
	k := KeyID{Provider: provider, ID: id}
	return k, checkKeyID(k)
}

// FoldEmail returns the form in which an email address is kept and compared, so that "Ada@…" and
// "ada@…" are one account: without blanks around it, in Unicode form NFC, in lower case. Use it
// wherever an address becomes the id of a key or a column, and send mail to the address that it
// returns.
//
// RFC 5321 section 2.4 lets a mail server tell "Ada" from "ada"; no large provider does, and
// people do not. A character outside ASCII never becomes an ASCII character (the Kelvin sign does
// not become "k"): otherwise one person would get the link that was meant for another. FoldEmail
// does not check that the text is an address: only a mail that arrives proves that.
func FoldEmail(address string) string {
	address = strings.TrimSpace(address)
	if !strings.ContainsFunc(address, composesToASCII) {
		address = norm.NFC.String(address)
	}
	return strings.Map(func(r rune) rune {
		if lower := unicode.ToLower(r); r < utf8.RuneSelf || lower >= utf8.RuneSelf {
			return lower
		}
		return r
	}, address)
}

// composesToASCII reports whether NFC turns r into an ASCII character, as it does with the Kelvin
// sign.
func composesToASCII(r rune) bool {
	return r >= utf8.RuneSelf && norm.NFC.String(string(r))[0] < utf8.RuneSelf
}

// Credentials name a key, and hold its password. Those of [Proved] and [Imported] have none. The
// password is neither read from JSON nor written to it. No decoder of forms or JSON can make
// credentials that need no password, since only these two functions set the fields for that.
type Credentials struct {
	Provider string // of a KeyID
	ID       string // of a KeyID
	// Password is at most 4096 bytes of valid UTF-8, taken whole and compared in Unicode
	// form NFKC.
	Password string `json:"-"`

	proved bool
	hash   password.Hash
}

// Proved returns credentials without a password, for a user whose identity the application has
// proved by itself, as after an OAuth callback. They sign in as the owner of any key that has no
// password. Never make them of values in a request.
func Proved(provider, id string) Credentials {
	return Credentials{Provider: provider, ID: id, proved: true}
}

// Imported returns credentials with a password hash that another system made. The hash is stored
// as it is, and must be of a format that [password.Any] or the plugin's hasher reads. Such
// credentials are for CreateUser, AddKey and OverwritePassword, and sign nobody in.
func Imported(provider, id string, hash password.Hash) Credentials {
	return Credentials{Provider: provider, ID: id, hash: hash}
}

// KeyID returns the key that the credentials name.
func (c Credentials) KeyID() KeyID { return KeyID{Provider: c.Provider, ID: c.ID} }

// Proved reports whether [Proved] made these credentials. They hold no password that somebody
// could guess, so an attempt with them need not be throttled.
func (c Credentials) Proved() bool { return c.proved }

// Format writes the credentials without the password.
func (c Credentials) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{%s %s %s}", c.Provider, c.ID, "[redacted]")
}

// checkKeyID refuses a provider and an id that cannot be a key's. The provider has no colon, so
// the text form has one meaning.
func checkKeyID(k KeyID) error {
	if len(k.Provider) < 1 || len(k.Provider) > 64 {
		return &ArgumentError{"provider", fmt.Sprintf("is %d bytes long, outside 1 to 64", len(k.Provider))}
	}
	for i := range len(k.Provider) {
		switch c := k.Provider[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', 'A' <= c && c <= 'Z', c == '_', c == '-', c == '.':
		default:
			return &ArgumentError{"provider", fmt.Sprintf("holds a byte other than A–Z, a–z, 0–9, \".\", \"_\", \"-\" at %d", i)}
		}
	}
	return checkText("id", k.ID, keyIDSize-len(k.Provider)-1)
}

// checkText refuses a text that some engine would cut, fold, refuse or mix up: an empty text, one
// over limit bytes, NUL, invalid UTF-8, and blanks at either end. Outside strict mode MySQL cuts
// a long text silently, PostgreSQL refuses NUL even in a SELECT, and SQLite checks nothing.
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

// checkContext refuses the nil context, on which database/sql would panic.
func checkContext(ctx context.Context) error {
	if ctx == nil {
		return &UsageError{"ctx", "is nil"}
	}
	return nil
}

// checkNew refuses credentials that must not be stored. The policy is asked here only: at a
// sign-in an old password that a newer policy would refuse still has to work.
func (o *options) checkNew(c Credentials) error {
	if err := checkKeyID(c.KeyID()); err != nil {
		return err
	}
	switch {
	case (c.hash != "" || c.proved) && c.Password != "":
		return &UsageError{"password", "was given to credentials of Proved or Imported, which have none"}
	case c.hash != "":
		return o.checkImported(c.hash)
	case c.proved:
		return nil
	}
	return o.checkNewPassword("password", c.Password)
}

// checkNewPassword also asks the policy. It gets the name of the argument, since a form may have
// the old password next to the new one.
func (o *options) checkNewPassword(argument, text string) error {
	if err := o.hasher.CheckPassword(text); err != nil {
		return refusedPassword(argument, err)
	}
	if err := (password.Any{}).CheckHash(text); !errors.Is(err, password.ErrFormat) {
		return &ArgumentError{argument, "looks like a password hash, not like a password: a hash that another system made is stored by gormkey.Imported"}
	}
	if err := o.passwordPolicy(text); err != nil {
		return refusedPassword(argument, err)
	}
	if text == "" {
		return &ArgumentError{argument, "is empty"}
	}
	return nil
}

// checkImported refuses a hash that nothing here can verify. Its owner could never sign in, and
// nobody would notice before that.
func (o *options) checkImported(hash password.Hash) error {
	if err := checkText("password hash", string(hash), hashSize); err != nil {
		return err
	}
	if err := o.hasher.CheckHash(string(hash)); err != nil {
		return &sentinelError{&ArgumentError{"password hash", "cannot be verified"}, err}
	}
	return nil
}

// checkPassword asks the hasher, whose format may take less than others. Bcrypt takes no NUL, for
// example.
func (o *options) checkPassword(s string) error {
	if err := o.hasher.CheckPassword(s); err != nil {
		return refusedPassword("password", err)
	}
	return nil
}

// refusedPassword is an [ArgumentError] with the reason that a hasher or a policy gave.
func refusedPassword(argument string, err error) error {
	return &sentinelError{&ArgumentError{argument, strings.TrimPrefix(err.Error(), "password: ")}, err}
}
