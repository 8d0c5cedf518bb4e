package password

import (
	"database/sql/driver"
	"fmt"
	"log/slog"
)

// Hash is a password hash in the form in which its hasher made it, at most 255 bytes. Printing,
// logging or encoding it, or a struct that has it in an exported field, shows "[redacted]".
type Hash string

var (
	_ fmt.Formatter  = Hash("")
	_ slog.LogValuer = Hash("")
	_ driver.Valuer  = Hash("")
)

const redacted = "[redacted]"

// Value returns the hash for the database. Without it a driver that asks for a
// fmt.Stringer first, as pgx does, would store "[redacted]".
func (h Hash) Value() (driver.Value, error) { return string(h), nil }

// Format writes "[redacted]" for every verb.
func (h Hash) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String returns "[redacted]".
func (h Hash) String() string { return redacted }

// LogValue returns "[redacted]".
func (h Hash) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (h Hash) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary returns "[redacted]".
func (h Hash) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }
