package httpauth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gormkey/gormkey"
)

// Names of the cookies. Without the prefix they are those of [InsecureCookie], and the
// first is Lucia v2's.
const (
	DefaultCookieName       = "__Host-auth_session"
	DefaultDeviceCookieName = "__Host-auth_device"
)

// maxCookieAge is as long as browsers keep a cookie (RFC 6265bis, 5.5).
const maxCookieAge = 400 * 24 * time.Hour

type cookieOptions struct {
	name, path, domain string
	sameSite           http.SameSite
	secure, transient  bool
	device             string // the other cookie's name
}

// CookieName names the session's cookie, [DefaultCookieName] by default: 1 to 64
// characters of a cookie's name. Browsers hold a name with the prefix "__Host-" to Secure, Path=/ and
// no Domain, and one with "__Secure-" to Secure: what contradicts it is an error.
//
// Give each application on one host a name of its own, also if their ports differ: browsers
// do not tell cookies apart by port, so that on localhost a sign-in at one application takes
// the cookie of the other.
func CookieName(name string) Option { return func(o *options) { o.cookie.name = name } }

// CookiePath sets the cookie's Path, "/" by default: 1 to 1024 bytes. Another one wants a name without "__Host-".
func CookiePath(path string) Option { return func(o *options) { o.cookie.path = path } }

// CookieDomain sends the cookie to a domain with all of its subdomains; by default only
// the host gets it that set it. It wants a name without "__Host-". Each of the subdomains
// can then read the token, and plant one.
//
// Browsers keep cookies of the same name for different domains and paths, and send them all.
// Of at most four different tokens the one with a session counts, and if two have one, nobody
// is signed in. A sign-in ends the sessions of all of them, and clears the host's own cookie if
// several came.
func CookieDomain(domain string) Option { return func(o *options) { o.cookie.domain = domain } }

// CookieSameSite sets the cookie's SameSite, Lax by default: Strict also keeps it from
// the first request after a link from another site; None, which wants Secure, sends it
// in frames of other sites.
func CookieSameSite(mode http.SameSite) Option { return func(o *options) { o.cookie.sameSite = mode } }

// CookieUntilClose leaves the cookie's Expires out, so that it goes when the browser is
// closed (a browser that restores its tabs keeps it). The session's own end stays.
func CookieUntilClose() Option { return func(o *options) { o.cookie.transient = true } }

// InsecureCookie leaves Secure out, and the prefix of the default name, for plain http
// in development: the token can then be read by whoever is between. Chromium takes
// http://localhost for secure, so that there it is not needed.
func InsecureCookie() Option { return func(o *options) { o.cookie.secure = false } }

// validate completes the names and refuses what a browser would.
func (c *cookieOptions) validate() error {
	c.device = DefaultDeviceCookieName
	if !c.secure || c.path != "/" || c.domain != "" {
		c.device = "auth_device"
	}
	if c.name == "" {
		c.name = DefaultCookieName
		if !c.secure {
			c.name = strings.TrimPrefix(c.name, "__Host-")
		}
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("httpauth: "+format, args...)) }
	if len(c.name) > 64 || (&http.Cookie{Name: c.name}).Valid() != nil {
		bad("CookieName: %.80q is not 1 to 64 characters of a cookie's name", c.name)
	}
	if err := (&http.Cookie{Name: "a", Path: c.path}).Valid(); err != nil || !strings.HasPrefix(c.path, "/") || len(c.path) > 1024 {
		bad("CookiePath: %.80q is not 1 to 1024 bytes that begin with a slash, without control characters and semicolons", c.path)
	}
	if err := (&http.Cookie{Name: "a", Domain: c.domain}).Valid(); err != nil {
		bad("CookieDomain: %q is no domain", c.domain)
	}
	// Browsers compare the prefixes without case.
	host, secure := hasPrefixFold(c.name, "__Host-"), hasPrefixFold(c.name, "__Secure-")
	switch {
	case host && !c.secure, secure && !c.secure:
		bad("InsecureCookie: the name %q wants Secure", c.name)
	case host && c.path != "/":
		bad("CookiePath: the name %q wants the path /; give CookieName one with __Secure- for %q", c.name, c.path)
	case host && c.domain != "":
		bad("CookieDomain: the name %q wants no domain; give CookieName one with __Secure- for %q", c.name, c.domain)
	}
	switch c.sameSite {
	case http.SameSiteLaxMode, http.SameSiteStrictMode:
	case http.SameSiteNoneMode:
		if !c.secure {
			bad("CookieSameSite: None wants Secure, which InsecureCookie leaves out")
		}
	default:
		bad("CookieSameSite: %d is none of Lax, Strict, None", c.sameSite)
	}
	if strings.EqualFold(c.name, c.device) {
		bad("CookieName: %q is the name of the device's cookie", c.name)
	}
	return errors.Join(errs...)
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// cookie returns a cookie with the attributes that the options gave.
func (c *cookieOptions) cookie(name, value string, expires time.Time) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: c.path, Domain: c.domain, Expires: expires,
		HttpOnly: true, Secure: c.secure, SameSite: c.sameSite,
	}
}

// SetCookie sends the session's token to the browser, to be kept until the session's
// end, 400 days at most. It is for a session that another call opened; [Auth.SignIn],
// [Auth.OpenSession] and the middleware, which renews, call it themselves. For a session
// from a list, which has no Token, it sends nothing.
func (a *Auth[U, S]) SetCookie(w http.ResponseWriter, session *S) {
	if c := a.cookieOf(session); c != nil {
		send(w, c)
	}
}

// cookieOf returns the cookie of a session, nil for one without a token.
func (a *Auth[U, S]) cookieOf(session *S) *http.Cookie {
	s := a.base(session)
	if s.Token == "" {
		return nil
	}
	expires := time.Time{}
	if !a.o.cookie.transient {
		expires = s.IdleExpires.Time()
		if latest := time.Now().Add(maxCookieAge); expires.After(latest) {
			expires = latest
		}
	}
	return a.o.cookie.cookie(a.o.cookie.name, string(s.Token), expires)
}

// ClearCookie tells the browser to forget the token. The session goes on: see
// [Auth.SignOut].
func (a *Auth[U, S]) ClearCookie(w http.ResponseWriter) {
	send(w, a.o.cookie.cleared(a.o.cookie.name))
}

// cleared returns the cookie that makes a browser forget one.
func (c *cookieOptions) cleared(name string) *http.Cookie {
	return c.cookie(name, "", time.Unix(0, 0))
}

// stale returns what clears the other cookie of a name that a browser may have had before
// [CookieDomain] was given: the host's own. It comes before the cookie that is set, since
// some clients take the two for one.
func (c *cookieOptions) stale(name string, several bool) []*http.Cookie {
	if !several || c.domain == "" {
		return nil
	}
	old := c.cleared(name)
	old.Domain = ""
	return []*http.Cookie{old}
}

// send adds Set-Cookies of one name in the place of earlier ones. A response that has one is
// no cache's.
func send(w http.ResponseWriter, cookies ...*http.Cookie) {
	h := w.Header()
	var lines []string
	for _, line := range h["Set-Cookie"] {
		if !strings.HasPrefix(line, cookies[0].Name+"=") {
			lines = append(lines, line)
		}
	}
	for _, c := range cookies {
		lines = append(lines, c.String())
	}
	h["Set-Cookie"] = lines
	noStore(w)
	vary(w, "Cookie")
}

// readCookie returns the value of a cookie, "" if there is none, or if there are several
// with different values, as where a subdomain has planted one.
func readCookie(r *http.Request, name string) (value string) {
	if len(r.Header["Cookie"]) == 0 {
		return ""
	}
	for i, c := range r.CookiesNamed(name) {
		if i > 0 && c.Value != value {
			return ""
		}
		value = c.Value
	}
	return value
}

// maxTokens is how many different tokens of one request are looked at.
const maxTokens = 4

// presented is what a request has under the name of the session's cookie. A browser sends
// several for different domains or paths, in no order that says which is whose.
type presented struct {
	some, several bool            // cookies, and more than one
	tokens        []gormkey.Token // the different values that can be tokens, maxTokens at most
	tooMany       bool            // there were more
}

func (a *Auth[U, S]) presented(r *http.Request) (p presented) {
	if len(r.Header["Cookie"]) == 0 {
		return p
	}
	for i, c := range r.CookiesNamed(a.o.cookie.name) {
		p.some, p.several = p.some || c.Value != "", i > 0
		token := gormkey.Token(c.Value)
		switch {
		case !isToken(c.Value) || slices.Contains(p.tokens, token):
		case len(p.tokens) == maxTokens:
			p.tooMany = true
		default:
			p.tokens = append(p.tokens, token)
		}
	}
	return p
}

// isToken tells whether a text has the form of a session's token.
func isToken(s string) bool {
	if len(s) < 22 || len(s) > 127 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', 'A' <= c && c <= 'Z', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
