package gormkey

import "github.com/gormkey/gormkey/internal/random"

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

const (
	tokenLength  = 40
	userIDLength = 15
)

func newToken() Token { return Token(random.String(tokenLength)) }
