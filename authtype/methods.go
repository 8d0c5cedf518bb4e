package authtype

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
)

// Method is a way in which somebody has shown who they are.
type Method string

// The methods. There are no others: a word that is none of them counts as nothing.
const (
	MethodPassword      Method = "pwd"        // a password
	MethodMail          Method = "mail"       // a link or a code that was mailed
	MethodFederation    Method = "fed"        // a sign-in at another service, such as GitHub
	MethodFederationMFA Method = "fed-mfa"    // the same, where the service said that it asked for two factors
	MethodOTP           Method = "otp"        // a code of an authenticator (RFC 6238)
	MethodRecovery      Method = "recovery"   // a recovery code
	MethodPasskey       Method = "passkey"    // a passkey
	MethodPasskeyUV     Method = "passkey-uv" // a passkey that verified its user, by a PIN or a fingerprint
	MethodDevice        Method = "device"     // a device that was trusted before
)

// methods are all of them, in the order of their words.
var methods = []Method{
	MethodDevice, MethodFederation, MethodFederationMFA, MethodMail, MethodOTP, MethodPasskey, MethodPasskeyUV,
	MethodPassword, MethodRecovery,
}

// Methods is a set of methods as a column stores it: their words, sorted, with a space between
// two, at most 64 bytes. The empty text is the set without any.
type Methods string

var (
	_ sql.Scanner   = (*Methods)(nil)
	_ driver.Valuer = Methods("")
)

// MethodsOf returns the set of some methods. Unknown ones are left out.
func MethodsOf(list ...Method) Methods { return Methods("").With(list...) }

// With returns the set with more methods in it.
func (m Methods) With(more ...Method) Methods {
	var words []string
	for _, known := range methods {
		if m.Has(known) || slices.Contains(more, known) {
			words = append(words, string(known))
		}
	}
	return Methods(strings.Join(words, " "))
}

// Has reports whether a method is in the set.
func (m Methods) Has(method Method) bool {
	for word := range strings.SplitSeq(string(m), " ") {
		if word == string(method) && word != "" {
			return true
		}
	}
	return false
}

// any reports whether one of some methods is in the set.
func (m Methods) any(list ...Method) bool { return slices.ContainsFunc(list, m.Has) }

// SecondFactor reports whether more than one factor was shown: a code, a passkey that verified
// its user, or a password and a passkey. Mail, another service and a trusted device add nothing
// (NIST SP 800-63B-4, 3.1.3.1 and 5.1).
func (m Methods) SecondFactor() bool {
	return m.any(MethodOTP, MethodRecovery, MethodPasskeyUV) || m.Has(MethodPassword) && m.Has(MethodPasskey)
}

// AAL2 reports whether the methods reach NIST's authentication assurance level 2 (SP 800-63B-4,
// 2.2): a passkey that verified its user, or a password together with a code or a passkey.
func (m Methods) AAL2() bool {
	return m.Has(MethodPasskeyUV) || m.Has(MethodPassword) && m.any(MethodOTP, MethodRecovery, MethodPasskey)
}

// AMR returns the values of the claim "amr" (RFC 8176, 2), sorted. A passkey is "swk", since
// nobody has said that its key is in hardware. Mail, recovery codes, other services and trusted
// devices have no registered value, and are left out.
func (m Methods) AMR() (values []string) {
	if m.Has(MethodOTP) {
		values = append(values, "otp")
	}
	if m.Has(MethodPassword) {
		values = append(values, "pwd")
	}
	if m.any(MethodPasskey, MethodPasskeyUV) {
		values = append(values, "swk")
	}
	if m.Has(MethodPasskeyUV) {
		values = append(values, "user")
	}
	if m.AAL2() {
		values = append(values, "mfa")
	}
	slices.Sort(values)
	return values
}

// Value returns the text.
func (m Methods) Value() (driver.Value, error) { return string(m), nil }

// Scan reads a set. NULL reads as the empty one, and words that are no methods are left out.
func (m *Methods) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*m = ""
	case string:
		*m = Methods(v).known()
	case []byte:
		*m = Methods(v).known()
	default:
		return fmt.Errorf("methods are stored as %T", src)
	}
	return nil
}

// known returns the set in its form, without a copy if it has that already.
func (m Methods) known() Methods {
	switch m {
	case "", Methods(MethodPassword), Methods(MethodMail), Methods(MethodFederation):
		return m
	}
	return m.With()
}
