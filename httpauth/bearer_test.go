package httpauth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
)

func TestR17BearerGrammar(t *testing.T) {
	s := newSite(t)
	token := string(s.open("ada"))
	h := s.web.RequireBearer(s.who())
	for _, test := range []struct {
		header    string
		signsIn   bool
		statement bool
	}{
		{"Bearer " + token, true, true},
		{"bearer " + token, true, true},
		{"BEARER " + token, true, true},
		{"bEaReR   " + token, true, true},
		{"Bearer " + string(knownToken), false, true},
		{"Bearer " + strings.ToUpper(token), false, true},
		{"Bearer " + token[:39], false, true},
		{"Bearer", false, false},
		{"Bearer ", false, false},
		{"Bearer" + token, false, false},
		{"Bearer\t" + token, false, false},
		{"Bearer \t" + token, false, false},
		{"Bearer " + token + " ", false, false},
		{"Bearer " + token + " x", false, false},
		{"Bearer " + token + ",", false, false},
		{"Bearer " + token + ", Bearer " + token, false, false},
		{"Bearer " + token + "\t", false, false},
		{" Bearer " + token, false, false},
		{"Bearer\u00a0" + token, false, false},
		{"Bearer \"" + token + "\"", false, false},
		{"Bearer token=" + token, false, false},
		{"Bearer " + token + "=", false, false},
		{"Bearer " + token + "\x00", false, false},
		{"Bearer \xff" + token, false, false},
		{"Bearer %" + token, false, false},
		{"Bearer: " + token, false, false},
		{"Basic " + token, false, false},
		{"Token " + token, false, false},
		{token, false, false},
		{"", false, false},
	} {
		s.wire.taken()
		w := serve(h, request("GET", "/", "Authorization", test.header))
		want, status := "Unauthorized\n", http.StatusUnauthorized
		if test.signsIn {
			want, status = "ada@example.com", http.StatusOK
		}
		equal(t, test.header, w.Body.String(), want)
		equal(t, test.header+": status", w.Code, status)
		equal(t, test.header+": sends a statement", len(s.wire.taken()) > 0, test.statement)
	}
	for what, values := range map[string][]string{
		"repeated": {bearer(gormkey.Token(token)), bearer(gormkey.Token(token))}, "beside another": {bearer(gormkey.Token(token)), "Basic eDp5"}, "after an empty one": {"", bearer(gormkey.Token(token))},
	} {
		r := request("GET", "/")
		r.Header["Authorization"] = values
		equal(t, what, serve(h, r).Code, http.StatusUnauthorized)
	}
	// It is read of no other header, and of no cookie.
	for _, name := range []string{"Proxy-Authorization", "X-Authorization", "Cookie", "X-Auth-Token"} {
		equal(t, name, serve(h, request("GET", "/", name, bearer(gormkey.Token(token)))).Code, http.StatusUnauthorized)
	}
	equal(t, "the cookie", serve(h, request("GET", "/", "Cookie", cookie(gormkey.Token(token)))).Code, http.StatusUnauthorized)
}

// TestBearerChallenge: RFC 6750, 3: an error code only for a request that tried.
func TestBearerChallenge(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	h := s.web.RequireBearer(s.who())
	for _, test := range []struct {
		what, header, want string
		down               bool
		status             int
	}{
		{"none", "", "Bearer", false, 401},
		{"unknown", bearer(knownToken), `Bearer error="invalid_token"`, false, 401},
		{"malformed", "Bearer x y", `Bearer error="invalid_token"`, false, 401},
		{"good", bearer(token), "", false, 200},
		{"the database fails", bearer(token), "", true, 503},
	} {
		r := request("GET", "/")
		if test.header != "" {
			r.Header.Set("Authorization", test.header)
		}
		if test.down {
			s.wire.breaks("")
		}
		w := serve(h, r)
		s.wire.breaks("-")
		equal(t, test.what+": status", w.Code, test.status)
		equal(t, test.what+": WWW-Authenticate", strings.Join(w.Header()["Www-Authenticate"], "|"), test.want)
	}
}
