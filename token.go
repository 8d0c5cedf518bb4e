package gormkey

import (
	"crypto/rand"
)

// wellFormed reports whether t can be a token: 22 to 127 characters of A–Z, a–z, 0–9, "_" and
// "-". Anything else is refused without a statement, so odd bytes of a cookie never reach a
// database.
func wellFormed(t Token) bool {
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

func checkSessionID(id SessionID) error { return checkText("session id", string(id), sessionIDSize) }

// alphabet is Lucia's: 36 characters, the digits in the order 1…9, 0.
const alphabet = "abcdefghijklmnopqrstuvwxyz1234567890"

const (
	tokenLength  = 40
	userIDLength = 15
)

// randomString returns n characters of the alphabet, each equally likely. A byte has 256 values,
// and 256 is no multiple of 36: the bytes from 252 on are thrown away, or the first four
// characters would come more often. crypto/rand never returns an error.
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
