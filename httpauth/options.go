package httpauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gormkey/gormkey/throttle"
)

// Option changes a default of [New], which checks all options together. Each message names the
// option, its value and the bound.
type Option func(*options)

type options struct {
	cookie             cookieOptions
	trusted            []string
	proxies            []netip.Prefix
	throttle           *throttle.Throttle
	anonymous          http.Handler
	signInPath         string
	reauthenticatePath string
	crossOrigin        http.Handler
	unavailable        func(w http.ResponseWriter, r *http.Request, err error)
}

func defaultOptions() options {
	return options{
		cookie:      cookieOptions{path: "/", sameSite: http.SameSiteLaxMode, secure: true},
		unavailable: logUnavailable,
	}
}

// TrustedOrigins lets requests of these origins change things, in addition to those of the same
// origin: for example "https://admin.example.com", with a port if it is not the scheme's, and
// without a path. A parent domain does not include its subdomains. Trust an http origin only
// where nobody on the network can change its pages.
func TrustedOrigins(origins ...string) Option {
	return func(o *options) { o.trusted = append(o.trusted, origins...) }
}

// TrustedProxies names the addresses of the reverse proxies whose X-Forwarded-For is believed:
// none by default. See [Auth.ClientAddress].
func TrustedProxies(prefixes ...netip.Prefix) Option {
	prefixes = slices.Clone(prefixes)
	return func(o *options) { o.proxies = append(o.proxies, prefixes...) }
}

// WithThrottle lets every [Auth.SignIn] pass a throttle, by key, client address and known device.
// It is off by default, though a service that anybody can reach needs one. Malformed credentials,
// such as an id that is too long, are refused before it. A browser gets its device's cookie with
// a sign-in that succeeds.
func WithThrottle(limits *throttle.Throttle) Option {
	return func(o *options) { o.throttle = limits }
}

// RedirectAnonymous sends a browser without a session to a local path, such as "/sign-in", by
// 303. After a GET the query's "next" has the path for which it asked (see [LocalPath]). Scripts,
// WebSockets and clients that send or accept JSON, which cannot show a page, get 401 all the same,
// and so does a request with a bearer token.
func RedirectAnonymous(path string) Option { return func(o *options) { o.signInPath = path } }

// WithAnonymous answers requests without a session; by default with 401. The reason is always the
// same, [gormkey.ErrInvalidSession].
func WithAnonymous(h http.Handler) Option { return func(o *options) { o.anonymous = h } }

// WithCrossOrigin answers requests that [Auth.CheckOrigin] refuses; by default 403. CheckOrigin
// gives the handler the reason. It is logged in any case.
func WithCrossOrigin(h http.Handler) Option { return func(o *options) { o.crossOrigin = h } }

// WithUnavailable answers requests whose session could not be read, or whose operation failed,
// because of an error of the database. By default the error, which holds no secret, is logged by
// slog, and the answer is 503. The cookie stays.
func WithUnavailable(f func(w http.ResponseWriter, r *http.Request, err error)) Option {
	return func(o *options) { o.unavailable = f }
}

func logUnavailable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil { // else the client has gone
		slog.ErrorContext(r.Context(), "httpauth: request failed", "error", err)
	}
	answer(w, r, http.StatusServiceUnavailable, err)
}

// validate reports every option that is out of bounds, and completes the others.
func (o *options) validate() error {
	errs := []error{o.cookie.validate()}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("httpauth: "+format, args...)) }
	for _, origin := range o.trusted {
		if _, _, ok := splitOrigin(origin); !ok {
			bad("TrustedOrigins: %q is no origin as browsers send it: scheme, host in lower case (xn--… for other letters), and the port if it is not the scheme's, as in https://admin.example.com", origin)
		}
	}
	for i, p := range o.proxies {
		if !p.IsValid() {
			bad("TrustedProxies: prefix %d is invalid", i)
			continue
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 { // as addresses are compared
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		o.proxies[i] = netip.PrefixFrom(p.Addr().WithZone(""), p.Bits()).Masked()
	}
	switch {
	case o.signInPath != "" && o.anonymous != nil:
		bad("RedirectAnonymous, WithAnonymous: give one of them")
	case o.signInPath != "" && (LocalPath(o.signInPath, "") == "" || strings.Contains(o.signInPath, "#")):
		bad("RedirectAnonymous: %.80q is no local path, or has a fragment", o.signInPath)
	}
	if o.reauthenticatePath != "" && (LocalPath(o.reauthenticatePath, "") == "" || strings.Contains(o.reauthenticatePath, "#")) {
		bad("RedirectReauthenticate: %.80q is no local path, or has a fragment", o.reauthenticatePath)
	}
	if o.unavailable == nil {
		bad("WithUnavailable: is nil")
	}
	return errors.Join(errs...)
}
