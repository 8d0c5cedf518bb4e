package authtype

import (
	"crypto/sha256"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
)

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

// ID returns the SHA-256 of the token in hexadecimal. It is the id of the token's session,
// except on Lucia's tables, and what that id shows when it is printed.
func (t Token) ID() SessionID {
	// It is called for each session check, so it keeps what it can off the heap: a well-formed
	// token fits into the array, and package hex would make the text twice.
	var short [128]byte
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
	return SessionID(text[:])
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

var errBound = errors.New("gormkey: token: is a secret and cannot be bound to a statement; use its ID method")

// Value refuses: a token never becomes a bind value, which loggers would print.
func (t Token) Value() (driver.Value, error) {
	return nil, errBound
}
