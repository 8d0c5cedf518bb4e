package authtype

import (
	"crypto/sha256"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"strings"
)

// SessionID is the id of a session as its row has it, 1 to 128 bytes. It is a type of its own
// so that a [Token] is not taken for an id.
//
// Printing, logging or encoding an id, or a struct that has it in an exported field, shows
// the SHA-256 of the session's token, 64 hexadecimal digits. That is the id itself, except with
// Lucia's tables, whose rows hold the token itself. gormkey's
// EndSession, EndOtherSessions and ChangePassword also take the text that
// is shown, so a page may list it and send it back.
//
// The key of a map is an exception: encoding/json writes a key of this type as it is.
type SessionID string

var (
	_ fmt.Formatter  = SessionID("")
	_ slog.LogValuer = SessionID("")
	_ driver.Valuer  = SessionID("")
)

// Hashed reports whether the id has the form of a SHA-256: 64 of 0–9 and a–f.
func (id SessionID) Hashed() bool {
	return len(id) == 2*sha256.Size && strings.Trim(string(id), "0123456789abcdef") == ""
}

// String returns the SHA-256 of the session's token in hexadecimal, and "" for no id.
func (id SessionID) String() string {
	if id == "" || id.Hashed() {
		return string(id)
	}
	return string(Token(id).ID())
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
