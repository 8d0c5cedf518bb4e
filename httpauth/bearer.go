package httpauth

import (
	"net/http"
	"strings"

	"github.com/gormkey/gormkey"
)

// bearerToken returns the token of "Authorization: Bearer <token>", or "" if there is none. The
// scheme is compared without case, and the token must stand alone after it (RFC 9110, 11.4; RFC
// 6750, 2.1). A repeated header counts as none.
func bearerToken(r *http.Request) gormkey.Token {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return ""
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || strings.ContainsAny(token, " \t,") {
		return ""
	}
	return gormkey.Token(token)
}
