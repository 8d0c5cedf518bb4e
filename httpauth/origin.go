package httpauth

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ErrCrossOrigin: the request could change something, and nothing proves that it comes
// from a page of the same origin. Answer 403. The errors of [Auth.CheckOrigin] wrap it, and say
// in their text which header was missing or wrong, and which option lets such requests pass.
var ErrCrossOrigin = errors.New("httpauth: cross-origin request")

// originError is an [ErrCrossOrigin] with its reason.
type originError struct{ reason string }

func (e *originError) Error() string { return ErrCrossOrigin.Error() + ": " + e.reason }
func (e *originError) Unwrap() error { return ErrCrossOrigin }

func refuseOrigin(format string, args ...any) error {
	return &originError{fmt.Sprintf(format, args...)}
}

// CheckOrigin returns [ErrCrossOrigin] for a request that another site may have made with
// the user's cookies (CSRF, OWASP ASVS 3.5.1). Every method of Auth that reads the cookie
// calls it, and so do SignIn, OpenSession and SignOut; call it in handlers that change something
// without any of them.
//
// It is net/http's CrossOriginProtection, and stricter in four ways:
//
//   - A request must have Sec-Fetch-Site or Origin.
//   - An Origin that has to prove something must be written as browsers write it (RFC 6454, 6.2).
//   - An http origin is another origin if the site is on https.
//   - A WebSocket handshake is checked, although it is a GET.
//
// The site counts as being on https unless the host is a loopback address or the cookie is
// insecure. Behind a proxy that changes the Host header, browsers older than 2023 need the site
// itself among [TrustedOrigins].
func (a *Auth[U, S]) CheckOrigin(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		if !isUpgrade(r) {
			return nil
		}
	}
	origins, sites := r.Header["Origin"], r.Header["Sec-Fetch-Site"]
	switch {
	case len(origins) > 1 || len(sites) > 1:
		return refuseOrigin("the request has Origin or Sec-Fetch-Site more than once")
	case len(origins) == 0 && (len(sites) == 0 || sites[0] == ""):
		return refuseOrigin("the request has neither Sec-Fetch-Site nor Origin, and every browser sends one of them; a client that is not a browser sends %q, or uses RequireBearer", "Origin: "+a.origin(r))
	case len(sites) == 0 || sites[0] == "":
		if err := a.checkPlausible(origins[0], r); err != nil {
			return err
		}
	}
	unsafe := *r // for its rules for such methods
	unsafe.Method = http.MethodPost
	if a.csrf.Check(&unsafe) == nil {
		return nil
	}
	origin := strings.Join(origins, "")
	if site := strings.Join(sites, ""); site != "" {
		if origin != "" {
			origin = fmt.Sprintf(", %.300q", origin)
		}
		return refuseOrigin("Sec-Fetch-Site is %.20q: the page that sent this is of another origin%s; if it is yours, give its origin to TrustedOrigins", site, origin)
	}
	return refuseOrigin("Origin is %.300q and Host is %.300q: if that origin is yours, give it to TrustedOrigins; if a proxy changes Host, give TrustedOrigins the site's own origin", origin, r.Host)
}

// origin returns the origin that a page of the site has, as far as the request shows it.
func (a *Auth[U, S]) origin(r *http.Request) string {
	if r.TLS != nil || a.o.cookie.secure && !isLoopback(r.Host) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// checkPlausible refuses an Origin that no browser sends, and one that has the site's host and
// another scheme.
func (a *Auth[U, S]) checkPlausible(origin string, r *http.Request) error {
	scheme, host, ok := splitOrigin(origin)
	switch {
	case !ok:
		return refuseOrigin("Origin is %.300q, which is no origin as browsers send it: scheme, host in lower case, and the port if it is not the scheme's", origin)
	case scheme == "https" || slices.Contains(a.o.trusted, origin):
		return nil
	case host != r.Host: // which only trust allows
		return nil
	case r.TLS != nil || a.o.cookie.secure && !isLoopback(r.Host):
		return refuseOrigin("Origin is %.300q, on http, while the cookie is for https alone, which browsers keep on http for localhost only: serve https, or set InsecureCookie while you develop", origin)
	}
	return nil
}

// splitOrigin returns the parts of an origin in the one form in which browsers send it, its ASCII
// serialization (RFC 6454, 6.2): "http" or "https", "://", a host in lower case, and the port if
// it is not the scheme's. It accepts nothing else: no user, no path (not even "/"), no "null",
// and no list.
func splitOrigin(s string) (scheme, host string, ok bool) {
	scheme, host, ok = strings.Cut(s, "://")
	if !ok || scheme != "http" && scheme != "https" || len(host) > 300 {
		return "", "", false
	}
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], host[i+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || strconv.FormatUint(n, 10) != port || port == "80" && scheme == "http" || port == "443" && scheme == "https" {
			return "", "", false
		}
	}
	return scheme, host, isSerializedHost(name)
}

// isSerializedHost reports whether a host is written as browsers write it (WHATWG URL, host
// serializing).
func isSerializedHost(name string) bool {
	if inner, ok := strings.CutPrefix(name, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return false
		}
		text := addr.String()
		if b := addr.As16(); addr.Is4In6() { // for which netip writes four decimals
			text = fmt.Sprintf("::ffff:%x:%x", uint16(b[12])<<8|uint16(b[13]), uint16(b[14])<<8|uint16(b[15]))
		}
		return name == "["+text+"]"
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return false
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	if slices.Contains(labels, "") {
		return false
	}
	last := labels[len(labels)-1]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == "" {
		addr, err := netip.ParseAddr(name)
		return err == nil && addr.Is4() // a browser writes every form of an IPv4 address so
	}
	return true
}

// isUpgrade reports whether a request opens a WebSocket. Pages of every origin may do so, and the
// browser sends the cookies. Programs also offer h2c by this header, in requests that are
// otherwise ordinary.
func isUpgrade(r *http.Request) bool {
	for _, v := range r.Header["Upgrade"] {
		if hasToken(v, "websocket") {
			return true
		}
	}
	return false
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || strings.EqualFold(host, "localhost")
}

// checkCookieOrigin is CheckOrigin for a request whose cookie would be believed. A request
// without the cookie and with a bearer token passes: no other site can add that header.
func (a *Auth[U, S]) checkCookieOrigin(r *http.Request, hasCookie bool) error {
	if !hasCookie && bearerToken(r) != "" && !isUpgrade(r) {
		return nil
	}
	return a.CheckOrigin(r)
}

// LocalPath returns target if it is a path of the same site, such as "/account?tab=1", and
// fallback otherwise. Pass a target from a form or a query through it before you redirect there.
// A local path is at most 2048 bytes of visible ASCII, begins with one slash, and holds no
// backslash, which browsers take for a slash.
func LocalPath(target, fallback string) string {
	if len(target) == 0 || len(target) > 2048 || target[0] != '/' || len(target) > 1 && target[1] == '/' {
		return fallback
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c > '~' || c == '\\' {
			return fallback
		}
	}
	if u, err := url.Parse(target); err != nil || u.Scheme != "" || u.Host != "" {
		return fallback
	}
	return target
}
