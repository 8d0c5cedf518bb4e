package authtype

import (
	"errors"
	"strings"
)

// KeyID names a key: a provider, and the user's id there.
type KeyID struct {
	// Provider is 1–64 bytes of A–Z, a–z, 0–9, ".", "_" and "-": "email", "github".
	Provider string
	// ID is the user's id at the provider: at least 1 byte, and at most 255 together
	// with the provider and a colon. It is compared byte by byte: give an email
	// address to gormkey.FoldEmail first.
	ID string
}

// String returns provider + ":" + id, as a key's row has it, and "" for the zero KeyID.
func (k KeyID) String() string {
	if k == (KeyID{}) {
		return ""
	}
	return k.Provider + ":" + k.ID
}

// MarshalText returns what String returns.
func (k KeyID) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText sets k to what MarshalText wrote. It wants both parts, and leaves their bounds
// to the operations.
func (k *KeyID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*k = KeyID{}
		return nil
	}
	provider, id, found := strings.Cut(string(text), ":")
	if !found || provider == "" || id == "" {
		return errors.New("gormkey: key id: is no provider, colon and id")
	}
	*k = KeyID{provider, id}
	return nil
}
