package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

// fuzzToken is ada's, the same in every process, so that a corpus can hold it.
const fuzzToken = gormkey.Token("fuzz0token1fuzz2token3fuzz4token5fuzz6to")

func newFuzzSite(f *testing.F) *site {
	f.Helper()
	s := newSite(f)
	ada := s.signUp("ada")
	_, err := s.auth.OpenSession(f.Context(), ada.ID, func(d *session) { d.Token = fuzzToken })
	must(f, err)
	return s
}

// FuzzCookieHeader: nobody is signed in unless the header holds the token, and whatever
// it holds is answered by 200 or 401.
func FuzzCookieHeader(f *testing.F) {
	s := newFuzzSite(f)
	optional, require := s.web.OptionalUser(s.who()), s.web.RequireUser(s.who())
	for _, seed := range []string{
		"", cookieName, cookie(fuzzToken), cookie(knownToken), "a=b; " + cookie(fuzzToken) + "; c", cookie(fuzzToken) + ";" + cookie(fuzzToken),
		cookie(fuzzToken) + "; " + cookie(knownToken), cookieName + `="` + string(fuzzToken) + `"`, cookieName + `="` + string(fuzzToken),
		cookie("%66" + fuzzToken[1:]), cookie(fuzzToken) + "\x00", "\xff" + cookie(fuzzToken), cookieName + "=\"\"; =; ;;,", "auth_session=" + string(fuzzToken),
		cookie(gormkey.Token(strings.Repeat("a", 5000))), strings.Repeat("a=b;", 4000) + cookie(fuzzToken),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := request("GET", "/")
		r.Header["Cookie"] = []string{header}
		w := serve(optional, r)
		equal(t, "status", w.Code, http.StatusOK)
		signedIn := w.Body.String() == "ada@example.com"
		if signedIn && !strings.Contains(header, string(fuzzToken)) {
			t.Errorf("got ada of the header %q, want nobody", header)
		}
		if !signedIn && (header == cookie(fuzzToken) || w.Body.String() != "nobody") {
			t.Errorf("got %q of the header %q, want ada or nobody", w.Body.String(), header)
		}
		equal(t, "number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
		want := http.StatusUnauthorized
		if signedIn {
			want = http.StatusOK
		}
		equal(t, "status where a user is required", serve(require, r).Code, want)
	})
}

var oneBearer = regexp.MustCompile(`^(?i:bearer) +` + string(fuzzToken) + `$`)

// FuzzAuthorizationHeader: ada is signed in if and only if the header is of the grammar.
func FuzzAuthorizationHeader(f *testing.F) {
	s := newFuzzSite(f)
	h := s.web.RequireBearer(s.who())
	for _, seed := range []string{
		"", "Bearer", "Bearer ", bearer(fuzzToken), bearer(knownToken), "bearer  " + string(fuzzToken), "BEARER\t" + string(fuzzToken), bearer(fuzzToken) + " ",
		bearer(fuzzToken) + " x", bearer(fuzzToken) + ",", bearer(fuzzToken) + "\x00", "Basic " + string(fuzzToken), "Bearer \xff" + string(fuzzToken),
		`Bearer token="` + string(fuzzToken) + `"`, "Bearer " + strings.Repeat("a", 5000), "ſBearer x", "Bearer\u00a0" + string(fuzzToken),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := request("GET", "/")
		r.Header["Authorization"] = []string{header}
		w := serve(h, r)
		want := http.StatusUnauthorized
		if oneBearer.MatchString(header) {
			want = http.StatusOK
		}
		if w.Code != want {
			t.Errorf("header %q: got status %d, want %d", header, w.Code, want)
		}
		equal(t, "number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
		if status := serve(s.web.OptionalUser(s.who()), r).Code; status != http.StatusOK {
			t.Errorf("header %q, OptionalUser: got status %d, want 200", header, status)
		}
	})
}

// FuzzOrigin: a request that passes says it is of the same origin, or its Origin is, to the
// letter, the host on https, or on http for this machine.
func FuzzOrigin(f *testing.F) {
	s := newFuzzSite(f)
	for _, o := range origins {
		for _, host := range []string{"example.com", "localhost:3000"} {
			f.Add("POST", host, strings.Join(o.origins, ", "), strings.Join(o.sites, ", "))
		}
	}
	f.Add("GET", "example.com", "https://evil.com", "cross-site")
	f.Add("POST", "[::1]:3000", "http://[::1]:3000", "")
	for _, o := range originForms {
		f.Add("POST", o.host, o.origin, "")
	}
	f.Add("POST", "[fe80::1%25eth0]", "http://[fe80::1%25eth0]", "")
	f.Fuzz(func(t *testing.T, method, host, origin, from string) {
		r := request(method, "/", "Host", host, "Cookie", cookie(fuzzToken))
		r.Header["Origin"], r.Header["Sec-Fetch-Site"] = []string{origin}, []string{from}
		w := serve(s.web.RequireUser(s.who()), r)
		if w.Code != http.StatusOK && w.Code != http.StatusForbidden {
			t.Fatalf("got status %d, want 200 or 403", w.Code)
		}
		if method == "GET" || method == "HEAD" || method == "OPTIONS" {
			equal(t, "status of a safe method", w.Code, http.StatusOK)
			return
		}
		if w.Code != http.StatusOK || from == "same-origin" || from == "none" {
			return
		}
		name := strings.ToLower(host)
		if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
			name = name[:i]
		}
		address, _ := netip.ParseAddr(strings.Trim(name, "[]"))
		local := name == "localhost" || address.IsLoopback()
		if from != "" || origin != "https://"+host && (origin != "http://"+host || !local) {
			t.Errorf("%q, host %q, Origin %q, Sec-Fetch-Site %q: got it accepted", method, host, origin, from)
		}
	})
}

// FuzzLocalPath: a path that is taken stays on its host, for net/url, for a browser, and
// after http.Redirect.
func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{
		"", "/", "/account?tab=1#top", "//evil.com", "///evil.com", `/\evil.com`, `\\evil.com`, "/\t/evil.com", "/\n/evil.com", "https://evil.com", "https:evil.com",
		"javascript:alert(1)", "/%2F/evil.com", "/%5Cevil.com", "/.//evil.com", "/..//evil.com", "/a/..//evil.com", "/@evil.com", "/:80", "/é", "/%zz", "/?a//b", "/#//b", "account", "/a\x00b", "/ ", "/\x7f",
	} {
		f.Add(seed)
	}
	here := &url.URL{Scheme: "https", Host: "example.com", Path: "/sign-in"}
	f.Fuzz(func(t *testing.T, target string) {
		got := httpauth.LocalPath(target, "fallback")
		if got == "fallback" {
			return
		}
		equal(t, "path", got, target)
		if len(got) > 2048 {
			t.Errorf("got %d bytes, want 2048 at most", len(got))
		}
		r := httptest.NewRequest("GET", "https://example.com/sign-in", nil)
		w := httptest.NewRecorder()
		http.Redirect(w, r, got, http.StatusSeeOther)
		location := w.Header().Get("Location")
		for what, path := range map[string]string{"itself": got, "Location": location} {
			u, err := here.Parse(path)
			if err != nil || u.Scheme != "https" || u.Host != "example.com" || u.User != nil {
				t.Errorf("%q, %s: got %v, error %v, want it to stay on https://example.com", target, what, u, err)
			}
			// A browser's parser (WHATWG) drops these, and takes a backslash for a slash.
			seen := strings.ReplaceAll(strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(strings.TrimLeft(path, "\x00 ")), `\`, "/")
			if !strings.HasPrefix(seen, "/") || strings.HasPrefix(seen, "//") {
				t.Errorf("%q, %s: got %q for a browser, want one slash first", target, what, seen)
			}
			if strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
				t.Errorf("%q, %s: got %q, want visible ASCII", target, what, path)
			}
		}
	})
}

// FuzzForwardedFor: no header is believed of a stranger, and of a proxy's what stands
// behind the address is proxies alone.
func FuzzForwardedFor(f *testing.F) {
	s := newSite(f)
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	trusting, alone := s.with(httpauth.TrustedProxies(proxies...)), s.web
	trusted := func(a netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	for _, seed := range [][3]string{
		{"203.0.113.7:1", "", ""}, {"10.0.0.1:1", "203.0.113.7", ""}, {"10.0.0.1:1", "6.6.6.6, 203.0.113.7", "10.0.0.2"}, {"[fd00::1%eth0]:1", "[2001:db8::7]:80", "unknown"},
		{"@", "6.6.6.6", ""}, {"10.0.0.1:1", "::ffff:203.0.113.7", ","}, {"[::ffff:10.0.0.1]:1", " , ,", "10.0.0.2,10.0.0.3"}, {"10.0.0.1", "\x00", "\xff"}, {"", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, remote, first, second string) {
		r := request("GET", "/")
		r.RemoteAddr, r.Header["X-Forwarded-For"] = remote, []string{first, second}
		direct := alone.ClientAddress(r)
		got := trusting.ClientAddress(r)
		if got.Zone() != "" || got.Is4In6() {
			t.Errorf("got %v, want it without a zone, and IPv4 as IPv4", got)
		}
		if !trusted(direct) {
			equal(t, "the address of a stranger", got, direct)
			return
		}
		if got == direct {
			return
		}
		hops := slices.DeleteFunc(strings.Split(first+","+second, ","), func(hop string) bool { return strings.TrimSpace(hop) == "" })
		for _, hop := range slices.Backward(hops) {
			hop = strings.TrimSpace(hop)
			address, err := netip.ParseAddr(strings.Trim(hop, "[]"))
			if err != nil {
				port, err := netip.ParseAddrPort(hop)
				if err != nil {
					t.Fatalf("got %v, want nothing from before %q", got, hop)
				}
				address = port.Addr()
			}
			address = address.Unmap().WithZone("")
			if address == got {
				return
			}
			if !trusted(address) {
				t.Fatalf("got %v, want the stranger %v, who stands behind it", got, address)
			}
		}
		t.Fatalf("got %v, which is no part of the headers", got)
	})
}
