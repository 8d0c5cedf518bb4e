package password

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

const (
	defaultMinLength = 8   // characters; OWASP ASVS 6.2.1, which strongly recommends 15
	nistMinLength    = 15  // characters, where a password is the only factor; NIST SP 800-63B-4 § 3.1.1.2
	nistMFAMinLength = 8   // characters, where a second factor is mandatory; the same
	nistMaxLength    = 128 // characters; the same asks for 64 or more
)

// Default returns the policy of gormkey: at least 8 characters (OWASP ASVS 6.2.1), and
// [NotCommon] with words. ASVS strongly recommends 15, for which there is [NIST]. Errors:
// [ErrTooShort], [ErrCommon].
func Default(words ...string) func(password string) error {
	return All(MinLength(defaultMinLength), NotCommon(words...))
}

// NIST returns the policy of NIST SP 800-63B-4 § 3.1.1.2 for a password that is the only factor: at
// least 15 characters, at most 128 (the standard asks for 64 or more), [NotCommon] with words, and
// no rule about kinds of characters. A character is a Unicode code point of the password as it is
// typed. Errors: [ErrTooShort], [ErrTooLong], [ErrCommon].
//
// With [Bcrypt] a password of over 72 bytes is refused all the same, so NIST's 64 characters are
// accepted in ASCII alone.
func NIST(words ...string) func(password string) error {
	return All(MinLength(nistMinLength), atMost(nistMaxLength), NotCommon(words...))
}

// NISTWithMFA returns the policy of [NIST] with at least 8 characters in place of 15. The standard
// allows it only if nobody can sign in with the password alone: a second factor has to be
// mandatory for all users, also for those who have not enrolled one yet. Nothing in this package
// can check that.
func NISTWithMFA(words ...string) func(password string) error {
	return All(MinLength(nistMFAMinLength), atMost(nistMaxLength), NotCommon(words...))
}

// All returns a policy that asks each of checks in their order, and returns the first error. So
// put a check that asks a server at the end. Without checks it accepts everything. A nil check
// panics here, and not at the first sign-up.
func All(checks ...func(password string) error) func(password string) error {
	checks = slices.Clone(checks)
	for i, check := range checks {
		if check == nil {
			panic(fmt.Sprintf("password: All: check %d is nil", i+1))
		}
	}
	return func(password string) error {
		for _, check := range checks {
			if err := check(password); err != nil {
				return err
			}
		}
		return nil
	}
}

// MinLength returns a policy that asks for at least n characters (code points, as NIST SP 800-63B-4
// § 3.1.1.2 counts), or gives [ErrTooShort]. OWASP ASVS 6.2.1 asks for 8 and strongly recommends
// 15; NIST asks for 15 where the password is the only factor. See [Default] and [NIST].
func MinLength(n int) func(password string) error {
	return func(password string) error {
		if utf8.RuneCountInString(password) < n {
			return fmt.Errorf("%w: at least %d characters are needed", ErrTooShort, n)
		}
		return nil
	}
}

// atMost returns a policy that refuses more than n characters.
func atMost(n int) func(password string) error {
	return func(password string) error {
		if utf8.RuneCountInString(password) > n {
			return fmt.Errorf("%w: at most %d characters are accepted", ErrTooLong, n)
		}
		return nil
	}
}
