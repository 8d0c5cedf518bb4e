package httpauth_test

import (
	"net/netip"
	"testing"

	"github.com/gormkey/gormkey/httpauth"
)

func TestClientAddress(t *testing.T) {
	s := newSite(t)
	prefixes := func(texts ...string) (all []netip.Prefix) {
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	none, private := prefixes(), prefixes("10.0.0.0/8", "fd00::/8")
	for _, test := range []struct {
		name      string
		proxies   []netip.Prefix
		remote    string
		forwarded []string
		want      string
	}{
		{"the connection's", none, "203.0.113.7:50000", nil, "203.0.113.7"},
		{"no proxy is trusted", none, "203.0.113.7:50000", []string{"6.6.6.6"}, "203.0.113.7"},
		{"no proxy is trusted, loopback", none, "127.0.0.1:50000", []string{"6.6.6.6"}, "127.0.0.1"},
		{"not by a proxy", private, "203.0.113.7:50000", []string{"6.6.6.6"}, "203.0.113.7"},
		{"by a proxy", private, "10.0.0.1:50000", []string{"203.0.113.7"}, "203.0.113.7"},
		{"by a proxy that says nothing", private, "10.0.0.1:50000", nil, "10.0.0.1"},
		{"empty", private, "10.0.0.1:50000", []string{""}, "10.0.0.1"},
		{"spoofed", private, "10.0.0.1:50000", []string{"6.6.6.6, 203.0.113.7"}, "203.0.113.7"},
		{"spoofed as a proxy", private, "10.0.0.1:50000", []string{"10.6.6.6, 203.0.113.7"}, "203.0.113.7"},
		{"spoofed by garbage", private, "10.0.0.1:50000", []string{`"', <x>, 203.0.113.7`}, "203.0.113.7"},
		{"a chain", private, "10.0.0.1:50000", []string{"203.0.113.7, 10.0.0.3, 10.0.0.2"}, "203.0.113.7"},
		{"a chain, spoofed", private, "10.0.0.1:50000", []string{"6.6.6.6, 203.0.113.7, 10.0.0.3,10.0.0.2"}, "203.0.113.7"},
		{"a chain with a stranger", private, "10.0.0.1:50000", []string{"203.0.113.7, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"several headers", private, "10.0.0.1:50000", []string{"6.6.6.6", "203.0.113.7", "10.0.0.2"}, "203.0.113.7"},
		{"several headers, one empty", private, "10.0.0.1:50000", []string{"203.0.113.7", "", "10.0.0.2"}, "203.0.113.7"},
		{"proxies alone", private, "10.0.0.1:50000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"unknown", private, "10.0.0.1:50000", []string{"unknown"}, "10.0.0.1"},
		{"unknown behind a spoofed one", private, "10.0.0.1:50000", []string{"6.6.6.6, unknown"}, "10.0.0.1"},
		{"unknown before a proxy", private, "10.0.0.1:50000", []string{"6.6.6.6, _hidden, 10.0.0.2"}, "10.0.0.2"},
		{"a comma too many", private, "10.0.0.1:50000", []string{"203.0.113.7,"}, "10.0.0.1"},
		{"a comma before", private, "10.0.0.1:50000", []string{",203.0.113.7"}, "203.0.113.7"},
		{"blanks", private, "10.0.0.1:50000", []string{" \t203.0.113.7 "}, "203.0.113.7"},
		{"a port", private, "10.0.0.1:50000", []string{"203.0.113.7:4711"}, "203.0.113.7"},
		{"IPv6", private, "10.0.0.1:50000", []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 in brackets", private, "10.0.0.1:50000", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"IPv6 with a port", private, "10.0.0.1:50000", []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{"IPv6 proxy", private, "[fd00::1]:50000", []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 connection", none, "[2001:db8::7]:50000", nil, "2001:db8::7"},
		{"a zone", none, "[fe80::7%eth0]:50000", nil, "fe80::7"},
		{"a proxy with a zone", prefixes("fe80::/10"), "[fe80::1%eth0]:50000", []string{"203.0.113.7"}, "203.0.113.7"},
		{"IPv4 in IPv6", none, "[::ffff:203.0.113.7]:50000", nil, "203.0.113.7"},
		{"a proxy of IPv4 in IPv6", private, "[::ffff:10.0.0.1]:50000", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"a single proxy", prefixes("10.0.0.1/32"), "10.0.0.2:50000", []string{"6.6.6.6"}, "10.0.0.2"},
		{"a prefix that is not masked", prefixes("10.1.2.3/8"), "10.0.0.1:50000", []string{"203.0.113.7"}, "203.0.113.7"},
		{"a prefix of IPv4 in IPv6", prefixes("::ffff:10.0.0.0/104"), "10.0.0.1:50000", []string{"203.0.113.7"}, "203.0.113.7"},
		{"everybody is trusted", prefixes("0.0.0.0/0", "::/0"), "10.0.0.1:50000", []string{"203.0.113.7, 198.51.100.1"}, "203.0.113.7"},
		{"a Unix socket", none, "@", nil, "invalid IP"},
		{"a Unix socket's path", private, "/run/app.sock", []string{"6.6.6.6"}, "invalid IP"},
		{"no address", private, "", []string{"6.6.6.6"}, "invalid IP"},
		{"no port", none, "203.0.113.7", nil, "203.0.113.7"},
		{"a name", none, "localhost:80", nil, "invalid IP"},
		{"four parts and a name", private, "10.0.0.1:50000", []string{"203.0.113.7.example"}, "10.0.0.1"},
		{"octal", private, "10.0.0.1:50000", []string{"010.0.0.1"}, "10.0.0.1"},
		{"a NUL", private, "10.0.0.1:50000", []string{"203.0.113.7\x00"}, "10.0.0.1"},
	} {
		web := s.with(httpauth.TrustedProxies(test.proxies...))
		r := request("GET", "/", "Forwarded", "for=6.6.6.6", "X-Real-IP", "6.6.6.6", "True-Client-IP", "6.6.6.6", "CF-Connecting-IP", "6.6.6.6")
		r.RemoteAddr, r.Header["X-Forwarded-For"] = test.remote, test.forwarded
		equal(t, test.name, web.ClientAddress(r).String(), test.want)
	}
}
