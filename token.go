package gormkey

import (
	"crypto/rand"
	"crypto/sha256"
	"database/sql/driver"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Token is a session's secret as the client keeps it: 40 characters of a–z and 0–9,
// 206.8 bits from crypto/rand (OWASP ASVS 7.2.3 asks for 128). The database holds its
// SHA-256. Convert it to a string to send it. Printing, logging or encoding a Token, or
// a struct that has it in an exported field, shows "[redacted]"; it cannot be bound to a
// statement.
type Token string

var (
	_ fmt.Formatter  = Token("")
	_ slog.LogValuer = Token("")
	_ driver.Valuer  = Token("")
)

// SessionID is the id of a session as its row has it, 1 to 128 bytes. It is a type of its own
// so that a [Token] is not taken for an id.
//
// Printing, logging or encoding an id, or a struct that has it in an exported field, shows
// the SHA-256 of the session's token, 64 hexadecimal digits. That is the id itself, except with
// [WithLuciaV2], whose rows hold the token. [RepositoryOf.EndSession],
// [RepositoryOf.EndOtherSessions] and [RepositoryOf.ChangePassword] also take the text that
// is shown, so a page may list it and send it back.
//
// The key of a map is an exception: encoding/json writes a key of this type as it is.
type SessionID string

var (
	_ fmt.Formatter  = SessionID("")
	_ slog.LogValuer = SessionID("")
	_ driver.Valuer  = SessionID("")
)

// String returns the SHA-256 of the session's token in hexadecimal, and "" for no id.
func (id SessionID) String() string {
	if id == "" || isHashedID(string(id)) {
		return string(id)
	}
	return Token(id).hash()
}

// Format writes what String returns.
func (id SessionID) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), id.String())
}

// LogValue returns what String returns.
func (id SessionID) LogValue() slog.Value { return slog.StringValue(id.String()) }

// MarshalText returns what String returns.
func (id SessionID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalBinary returns what String returns.
func (id SessionID) MarshalBinary() ([]byte, error) { return id.MarshalText() }

// UnmarshalText sets the id to what MarshalText wrote.
func (id *SessionID) UnmarshalText(text []byte) error { *id = SessionID(text); return nil }

// UnmarshalBinary sets the id to what MarshalBinary wrote.
func (id *SessionID) UnmarshalBinary(data []byte) error { return id.UnmarshalText(data) }

// Value returns the id for the database, as the row has it.
func (id SessionID) Value() (driver.Value, error) { return string(id), nil }

func (id SessionID) check() error { return checkText("session id", string(id), sessionIDSize) }

// ID returns the SHA-256 of the token in hexadecimal. It is the id of the token's session,
// except with [WithLuciaV2], and what that id shows when it is printed.
func (t Token) ID() SessionID { return SessionID(t.hash()) }

// hash is called for each session check, so it keeps what it can off the heap: a well-formed
// token fits into the array, and package hex would make the text twice.
func (t Token) hash() string {
	var short [sessionIDSize]byte
	var token []byte
	if len(t) <= len(short) {
		token = short[:copy(short[:], t)]
	} else {
		token = []byte(t)
	}
	const digits = "0123456789abcdef"
	var text [2 * sha256.Size]byte
	for i, b := range sha256.Sum256(token) {
		text[2*i], text[2*i+1] = digits[b>>4], digits[b&15]
	}
	return string(text[:])
}

// Format writes "[redacted]" for every verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String returns "[redacted]".
func (t Token) String() string { return redacted }

// LogValue returns "[redacted]".
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary returns "[redacted]".
func (t Token) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }

// Value refuses: a token never becomes a bind value, which loggers would print.
func (t Token) Value() (driver.Value, error) {
	return nil, &UsageError{"token", "is a secret and cannot be bound to a statement; use its ID method"}
}

// wellFormed reports whether t can be a token: 22 to 127 characters of A–Z, a–z,
// 0–9, "_" and "-". Anything else is refused without a statement.
func (t Token) wellFormed() bool {
	if len(t) < 22 || len(t) > 127 {
		return false
	}
	for i := range len(t) {
		switch c := t[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', 'A' <= c && c <= 'Z', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// alphabet is Lucia's: 36 characters, the digits in the order 1…9, 0.
const alphabet = "abcdefghijklmnopqrstuvwxyz1234567890"

const (
	tokenLength  = 40
	userIDLength = 15
)

// randomString returns n characters of the alphabet, each equally likely: bytes past
// the last multiple of 36 are thrown away. crypto/rand never returns an error.
func randomString(n int) string {
	const limit = 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var buf [64]byte
	for {
		_, _ = rand.Read(buf[:])
		for _, b := range buf {
			if int(b) >= limit {
				continue
			}
			if out = append(out, alphabet[int(b)%len(alphabet)]); len(out) == n {
				return string(out)
			}
		}
	}
}

func newToken() Token { return Token(randomString(tokenLength)) }
