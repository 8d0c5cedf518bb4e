package httpauth_test

import (
	"net/http"
	"testing"

	"github.com/gormkey/gormkey/httpauth"
)

// originForms are texts in the place of an Origin, each with the Host that a lenient parser
// would find in it.
var originForms = []struct {
	origin, host string
	browser      bool // a browser sends it
}{
	{"https://app.example", "app.example", true},
	{"https://app.example:8443", "app.example:8443", true},
	{"https://app.example:0", "app.example:0", true},
	{"https://app.example:65535", "app.example:65535", true},
	{"https://app.example.", "app.example.", true}, // another origin than without the dot
	{"https://my_app.internal", "my_app.internal", true},
	{"https://xn--bcher-kva.example", "xn--bcher-kva.example", true},
	{"https://192.0.2.1", "192.0.2.1", true},
	{"https://[2001:db8::1]:8443", "[2001:db8::1]:8443", true},
	{"https://[::ffff:c000:201]", "[::ffff:c000:201]", true},
	{"https://1password.example", "1password.example", true},

	{"https://evil@app.example", "app.example", false},
	{"https://evil:secret@app.example", "app.example", false},
	{"https://@app.example", "app.example", false},
	{"https://app.example/", "app.example", false},
	{"https://app.example/x", "app.example", false},
	{"https://app.example?x", "app.example", false},
	{"https://app.example?", "app.example", false},
	{"https://app.example#x", "app.example", false},
	{"https://app.example#", "app.example", false},
	{"HTTPS://app.example", "app.example", false},
	{"Https://app.example", "app.example", false},
	{"https://APP.example", "APP.example", false},
	{"https://app.example.", "app.example", false},
	{"https://app.example..", "app.example..", false},
	{"https://.app.example", ".app.example", false},
	{"https://app..example", "app..example", false},
	{"https://app.example:443", "app.example:443", false},
	{"https://app.example:443", "app.example", false},
	{"http://localhost:80", "localhost:80", false},
	{"http://localhost:80", "localhost", false},
	{"https://app.example:", "app.example:", false},
	{"https://app.example:08443", "app.example:08443", false},
	{"https://app.example:+8443", "app.example:+8443", false},
	{"https://app.example:65536", "app.example:65536", false},
	{"https://app.example:a", "app.example:a", false},
	{"https://app.example:8443:8443", "app.example:8443:8443", false},
	{" https://app.example", "app.example", false},
	{"https://app.example ", "app.example", false},
	{"\thttps://app.example", "app.example", false},
	{"https://app.example\r", "app.example", false},
	{"https://app.example https://app.example", "app.example", false},
	{"https://app.example,https://app.example", "app.example", false},
	{"https://app.example;", "app.example;", false},
	{"https:app.example", "app.example", false},
	{"https:/app.example", "app.example", false},
	{"https:///app.example", "app.example", false},
	{`https:\\app.example`, "app.example", false},
	{"//app.example", "app.example", false},
	{"app.example", "app.example", false},
	{"https://app%2eexample", "app.example", false},
	{"https://app%2eexample", "app%2eexample", false},
	{"https://b\u00fccher.example", "b\u00fccher.example", false},
	{"https://app.example\x00", "app.example\x00", false},
	{"https://*", "*", false},
	{"https://127.1", "127.1", false},
	{"https://0x7f.1", "0x7f.1", false},
	{"https://2130706433", "2130706433", false},
	{"https://192.0.2.01", "192.0.2.01", false},
	{"https://192.0.2.256", "192.0.2.256", false},
	{"https://192.0.2.1.", "192.0.2.1.", false},
	{"https://[2001:DB8::1]", "[2001:DB8::1]", false},
	{"https://[2001:db8:0:0:0:0:0:1]", "[2001:db8:0:0:0:0:0:1]", false},
	{"https://[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]", false},
	{"https://[fe80::1%25eth0]", "[fe80::1%eth0]", false},
	{"https://[::1", "[::1", false},
	{"https://::1]", "::1]", false},
	{"https://[192.0.2.1]", "[192.0.2.1]", false},
	{"https://[]", "[]", false},
	{"https://", "", false},
	{"null", "null", false},
	{"NULL", "NULL", false},
	{"ftp://app.example", "app.example", false},
	{"wss://app.example", "app.example", false},
	{"file://app.example", "app.example", false},
}

// TestR14OriginForm: where Origin alone has to prove something, it is taken in no other form
// than browsers send (RFC 6454, 6.2), and an option does not take another either.
func TestR14OriginForm(t *testing.T) {
	s := newSite(t)
	token := s.open("ada")
	for _, test := range originForms {
		for name, r := range map[string]*http.Request{
			"POST":                 request("POST", "/", "Host", test.host),
			"WebSocket":            request("GET", "/", "Host", test.host, "Upgrade", "websocket"),
			"empty Sec-Fetch-Site": request("POST", "/", "Host", test.host, "Sec-Fetch-Site", ""),
		} {
			r.Header["Origin"] = []string{test.origin}
			r.Header.Set("Cookie", cookie(token))
			want := http.StatusForbidden
			if test.browser {
				want = http.StatusOK
			}
			equal(t, name+", Origin "+test.origin+", host "+test.host, serve(s.web.RequireUser(s.who()), r).Code, want)
			r.Header["Sec-Fetch-Site"] = []string{"cross-site"}
			equal(t, name+", cross-site, Origin "+test.origin, serve(s.web.RequireUser(s.who()), r).Code, http.StatusForbidden)
		}
		if test.origin == "https://app.example." { // with one host it is the site's origin, with the other not
			continue
		}
		web, err := httpauth.New(s.auth, httpauth.TrustedOrigins(test.origin))
		equal(t, "TrustedOrigins takes "+test.origin, err == nil, test.browser)
		if err == nil {
			r := request("POST", "/", "Host", "example.com", "Origin", test.origin)
			equal(t, "trusted, Origin "+test.origin, web.CheckOrigin(r) == nil, true)
		}
	}
}
