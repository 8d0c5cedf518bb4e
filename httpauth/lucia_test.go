package httpauth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

// luciaWire is what Lucia sent, read and accepted.
type luciaWire struct {
	Source    string
	SetCookie []struct {
		Name    string
		Session *struct {
			SessionID           string `json:"sessionId"`
			IdlePeriodExpiresAt int64  `json:"idlePeriodExpiresAt"`
		}
		Header string
	} `json:"setCookie"`
	ReadSessionCookie []luciaRead
	ReadBearerToken   []luciaRead
	OriginAccepted    []struct {
		Name, Method string
		URL          string
		Headers      map[string]string
		Result       bool   // false too where it threw
		Throws       string // an error that nobody wanted
	} `json:"origin_accepted"`
}

type luciaRead struct {
	Header string
	Result string // "" for null too: nobody either way
}

func luciaVectors(t *testing.T) (l luciaWire) {
	t.Helper()
	text, err := os.ReadFile("testdata/lucia_wire.json")
	must(t, err)
	must(t, json.Unmarshal(text, &l))
	if l.Source == "" || len(l.SetCookie) != 18 || len(l.ReadSessionCookie) != 24 || len(l.ReadBearerToken) != 13 || len(l.OriginAccepted) != 52 {
		t.Fatalf("got %d, %d, %d and %d vectors of %q, want 18, 24, 13 and 52", len(l.SetCookie), len(l.ReadSessionCookie),
			len(l.ReadBearerToken), len(l.OriginAccepted), l.Source)
	}
	return l
}

// TestR11LuciaSetCookie: with Lucia's name our cookie is Lucia's, byte by byte.
func TestR11LuciaSetCookie(t *testing.T) {
	s := newSite(t)
	compared := 0
	for _, v := range luciaVectors(t).SetCookie {
		opts := []httpauth.Option{httpauth.CookieName("auth_session")}
		want := v.Header
		switch v.Name {
		case "default PROD":
		case "default DEV":
			opts = append(opts, httpauth.InsecureCookie())
		case "attributes replace the defaults": // where Lucia loses the path
			opts = append(opts, httpauth.CookieSameSite(http.SameSiteStrictMode))
			want = strings.Replace(want, "; Expires=", "; Path=/; Expires=", 1)
		case "custom": // of which Lucia writes the domain first
			opts = append(opts, httpauth.CookieName("sid"), httpauth.CookieSameSite(http.SameSiteNoneMode), httpauth.CookiePath("/app"), httpauth.CookieDomain("example.com"))
			want = strings.Replace(want, "Domain=example.com; Path=/app", "Path=/app; Domain=example.com", 1)
		case "expires false", "empty attributes": // Lucia's year, and a cookie without a path: not to be had
			continue
		default:
			t.Errorf("%s: no such vector is known", v.Name)
		}
		web, w := s.with(opts...), httptest.NewRecorder()
		switch {
		case v.Session == nil:
			web.ClearCookie(w)
		case v.Session.SessionID != string(knownToken): // no token of ours
			continue
		default:
			web.SetCookie(w, &session{Token: gormkey.Token(v.Session.SessionID), IdleExpires: gormkey.UnixMilli(v.Session.IdlePeriodExpiresAt)})
		}
		equal(t, v.Name, w.Header().Get("Set-Cookie"), want)
		compared++
	}
	equal(t, "vectors compared", compared, 8)
}

func TestR16LuciaReadCookie(t *testing.T) {
	differs := map[string]struct{ want, reason string }{
		"x=1; auth_session=a; auth_session=b": {"", "of different values none is believed: a subdomain may have planted one"},
		`auth_session="unterminated`:          {"", "a lone quote is no value"},
		"auth_session=%41b":                   {"%41b", "nothing is decoded: a token has no such character"},
		"auth_session=%2520":                  {"%2520", "nothing is decoded"},
		"  auth_session = sp ; y=2":           {" sp", "a blank before the value is kept: it makes no token"},
		"auth_session=é":                      {"", "only ASCII is a value"},
	}
	for _, v := range luciaVectors(t).ReadSessionCookie {
		want := v.Result
		if d, ok := differs[v.Header]; ok {
			if delete(differs, v.Header); d.want == want {
				t.Errorf("%q: Lucia reads the same, so it is no difference", v.Header)
			}
			want = d.want
		}
		equal(t, v.Header, httpauth.ReadCookie(request("GET", "/", "Cookie", v.Header), "auth_session"), want)
	}
	for header := range differs {
		t.Errorf("%q is no vector", header)
	}
}

func TestR17LuciaBearer(t *testing.T) {
	differs := map[string]struct{ want, reason string }{
		"bearer abc":     {"abc", "a scheme has no case (RFC 9110, 11.1)"},
		"BEARER abc":     {"abc", "a scheme has no case"},
		"Bearer  abc":    {"abc", "1*SP stands between (RFC 9110, 11.4)"},
		"Bearer abc def": {"", "one token, and nothing behind it"},
		"Bearer abc ":    {"", "nothing behind it; net/http cuts such blanks off, so that this comes from no connection"},
	}
	for _, v := range luciaVectors(t).ReadBearerToken {
		want := v.Result
		if d, ok := differs[v.Header]; ok {
			if delete(differs, v.Header); d.want == want {
				t.Errorf("%q: Lucia reads the same, so it is no difference", v.Header)
			}
			want = d.want
		}
		equal(t, v.Header, string(httpauth.BearerToken(request("GET", "/", "Authorization", v.Header))), want)
	}
	for header := range differs {
		t.Errorf("%q is no vector", header)
	}
}

// TestR14LuciaOrigin: whatever Lucia refuses is refused, and what it accepts is accepted
// but for a list. Each case of the list that is no fault of Lucia's passes by configuration.
func TestR14LuciaOrigin(t *testing.T) {
	const byConfiguration = "by TrustedOrigins"
	refusedToo := map[string]string{
		"method TRACE, foreign origin": "only GET, HEAD and OPTIONS are safe, as in net/http",
		"method get, foreign origin":   "methods have a case (RFC 9110, 9.1)",
		"http origin":                  "an http page of an https site may be anybody's in between",
		"default port in origin":       "no browser sends a default port",
		"origin upper-case":            "no browser sends upper case",
		"Origin with path":             "no browser sends a path",
		"IDN origin":                   "browsers send punycode",
		"star, public suffix":          "no base domain is guessed",
		"star, IPv4":                   "no base domain is guessed",
		"star":                         byConfiguration,
		"star, localhost":              byConfiguration,
		"list hit":                     byConfiguration,
		"list, host is subdomain":      byConfiguration,
		"nested entry":                 byConfiguration,
		"null entry":                   byConfiguration,
		"host option hit":              byConfiguration,
		"hostHeader option":            byConfiguration,
		"off":                          "the check has no switch",
	}
	acceptedHere := map[string]string{
		"url not absolute": "Lucia takes the host from a framework's url, which is broken here; net/http's has no host, and its Host header matches",
		"host option":      "there is no such option: a browser sends the cookie to its own host alone, and that is what Host names",
	}
	s := newSite(t)
	token := s.open("ada")
	for _, v := range luciaVectors(t).OriginAccepted {
		r := luciaRequest(v.Method, v.URL, v.Headers)
		r.Header.Set("Cookie", cookie(token))
		status := serve(s.web.RequireUser(s.who()), r).Code
		switch {
		case !v.Result && status == http.StatusOK:
			if acceptedHere[v.Name] == "" {
				t.Errorf("%s: got it accepted, which Lucia refuses", v.Name)
			}
			delete(acceptedHere, v.Name)
		case v.Result && status != http.StatusOK:
			if refusedToo[v.Name] == "" {
				t.Errorf("%s: got status %d, and it is on no list of what Lucia accepts", v.Name, status)
			}
			if refusedToo[v.Name] == byConfiguration {
				web := s.with(httpauth.TrustedOrigins(v.Headers["Origin"]))
				equal(t, v.Name+", trusted", serve(web.RequireUser(s.who()), r).Code, http.StatusOK)
			}
			delete(refusedToo, v.Name)
		case status != http.StatusOK:
			equal(t, v.Name+": status", status, http.StatusForbidden)
		}
	}
	for name := range refusedToo {
		t.Errorf("%s: got it accepted, want it refused as the list says", name)
	}
	for name := range acceptedHere {
		t.Errorf("%s: got it refused, want it accepted as the list says", name)
	}
}

// luciaRequest makes the request that net/http would for one that Lucia saw.
func luciaRequest(method, target string, headers map[string]string) *http.Request {
	r := request(method, "/", "Host", headers["Host"])
	for name, value := range headers {
		if name != "Host" {
			r.Header.Set(name, value)
		}
	}
	if u, err := url.Parse(target); err == nil && u.Host != "" {
		r.Host = u.Host
	}
	return r
}
