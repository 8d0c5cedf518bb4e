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

// Names of the cookies. With [InsecureCookie] the prefix "__Host-" is left out; the first name is
// then Lucia v2's.
const (
	DefaultCookieName       = "__Host-auth_session"
	DefaultDeviceCookieName = "__Host-auth_device"
)

// maxCookieAge is the longest time for which browsers keep a cookie (RFC 6265bis, 5.5).
const maxCookieAge = 400 * 24 * time.Hour

type cookieOptions struct {
	name, path, domain string
	sameSite           http.SameSite
	secure, transient  bool
	device             string // the other cookie's name
}

// CookieName names the session's cookie: 1 to 64 characters of a cookie's name,
// [DefaultCookieName] by default. For a name with the prefix "__Host-" browsers insist on Secure,
// Path=/ and no Domain, and for "__Secure-" on Secure. If the other options contradict that, it
// is an error.
//
// Give each application on one host a name of its own, even if their ports differ. Browsers do
// not tell cookies apart by port: on localhost a sign-in at one application replaces the cookie
// of the other.
func CookieName(name string) Option { return func(o *options) { o.cookie.name = name } }

// CookiePath sets the cookie's Path, "/" by default: 1 to 1024 bytes. Any other path needs a name
// without "__Host-".
func CookiePath(path string) Option { return func(o *options) { o.cookie.path = path } }

// CookieDomain sends the cookie to a domain with all of its subdomains. By default only the host
// that set the cookie gets it. It needs a name without "__Host-". Each of the subdomains can then
// read the token, and plant one.
//
// Browsers keep cookies of the same name for different domains and paths, and send them all. Of
// at most four different tokens the one that has a session counts. If two have one, nobody is
// signed in. A sign-in ends the sessions of all of them, and clears the host's own cookie if
// several came.
func CookieDomain(domain string) Option { return func(o *options) { o.cookie.domain = domain } }

// CookieSameSite sets the cookie's SameSite, Lax by default. Strict also leaves the cookie out of
// the first request after a link from another site. None, which needs Secure, sends it in frames
// of other sites.
func CookieSameSite(mode http.SameSite) Option { return func(o *options) { o.cookie.sameSite = mode } }

// CookieUntilClose leaves out the cookie's Expires, so that the browser forgets it when it is
// closed. (A browser that restores its tabs keeps it.) The session's own end stays the same. To
// let each user choose at the sign-in, and to end the session too, see
// [gormkey.RepositoryOf.Remembered].
func CookieUntilClose() Option { return func(o *options) { o.cookie.transient = true } }

// InsecureCookie leaves out Secure, and the prefix of the default name, for plain http in
// development. Anybody on the network between can then read the token. Chromium and Firefox treat
// http://localhost as secure, so there it is not needed.
func InsecureCookie() Option { return func(o *options) { o.cookie.secure = false } }

// validate completes the names, and refuses combinations that a browser would refuse without a
// word.
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

// SetCookie sends the session's token to the browser, which keeps it until the session's end, or
// 400 days at most, or until the browser is closed if the user did not want to be remembered. It
// is for a session that another call opened. [Auth.SignIn],
// [Auth.OpenSession] and the middleware, which renews sessions, call it themselves. For a session
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
	if !a.o.cookie.transient && (s.Remembered == nil || *s.Remembered) {
		expires = s.IdleExpires.Time()
		if latest := time.Now().Add(maxCookieAge); expires.After(latest) {
			expires = latest
		}
	}
	return a.o.cookie.cookie(a.o.cookie.name, string(s.Token), expires)
}

// ClearCookie tells the browser to forget the token. The session itself goes on: to end it use
// [Auth.SignOut].
func (a *Auth[U, S]) ClearCookie(w http.ResponseWriter) {
	send(w, a.o.cookie.cleared(a.o.cookie.name))
}

// cleared returns the cookie that makes a browser forget the one of this name.
func (c *cookieOptions) cleared(name string) *http.Cookie {
	return c.cookie(name, "", time.Unix(0, 0))
}

// stale returns the cookie that clears the host's own cookie of a name, which a browser may still
// have from the time before [CookieDomain] was given. It is sent before the new cookie, since
// some clients take the two for one.
func (c *cookieOptions) stale(name string, several bool) []*http.Cookie {
	if !several || c.domain == "" {
		return nil
	}
	old := c.cleared(name)
	old.Domain = ""
	return []*http.Cookie{old}
}

// send sets cookies of one name, in place of earlier ones in the same response. A response that
// sets a cookie must not be kept by a cache.
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

// readCookie returns the value of a cookie. It is "" if there is no such cookie, or if there are
// several with different values: a subdomain may have planted one.
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

// presented is the content of a request's session cookies. A browser may send several of one
// name, for different domains or paths, in an order that does not say which is whose.
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

// isToken reports whether a text has the form of a session's token.
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
