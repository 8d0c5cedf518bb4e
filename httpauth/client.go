package httpauth

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gormkey/gormkey/throttle"
)

// ClientAddress returns the address of the client: that of the connection, or, where
// this is one of the [TrustedProxies], the last one in X-Forwarded-For that is not. A proxy must
// append to that header or replace it. The zero Addr means that it is not known, as over
// a Unix socket.
func (a *Auth[U, S]) ClientAddress(r *http.Request) netip.Addr {
	addr, _ := parseAddress(r.RemoteAddr)
	if len(a.o.proxies) == 0 || !a.trusts(addr) {
		return addr
	}
	for _, header := range slices.Backward(r.Header["X-Forwarded-For"]) {
		for header != "" {
			hop := header
			header = ""
			if i := strings.LastIndexByte(hop, ','); i >= 0 {
				header, hop = hop[:i], hop[i+1:]
			}
			next, ok := parseAddress(strings.TrimSpace(hop))
			if !ok { // "unknown", or a text of the client's: the proxy is as near as it gets
				return addr
			}
			if addr = next; !a.trusts(addr) {
				return addr
			}
		}
	}
	return addr
}

func (a *Auth[U, S]) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(a.o.proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// parseAddress reads an address with or without a port.
func parseAddress(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		port, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = port.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// Client returns who makes a request, for a [throttle.Throttle]: the client's address
// and its browser's secret, which it keeps in a cookie of its own, [DefaultDeviceCookieName],
// for 400 days; a browser that has none gets one here. Give it to [throttle.Throttle.Trust]
// when somebody has signed up or in. For an attempt that may fail there is [Auth.KnownClient].
func (a *Auth[U, S]) Client(w http.ResponseWriter, r *http.Request) throttle.Client {
	client := a.KnownClient(r)
	if client.Device == "" {
		client.Device = rand.Text() // 130 bits
	}
	c := &a.o.cookie
	several := len(r.Header["Cookie"]) > 0 && len(r.CookiesNamed(c.device)) > 1
	send(w, append(c.stale(c.device, several), c.cookie(c.device, client.Device, time.Now().Add(maxCookieAge)))...)
	return client
}

// KnownClient is [Auth.Client] that sets no cookie: a browser that has no secret is returned
// without one. It is for [throttle.Throttle.Do].
func (a *Auth[U, S]) KnownClient(r *http.Request) throttle.Client {
	device := readCookie(r, a.o.cookie.device)
	if !isDevice(device) {
		device = ""
	}
	return throttle.Client{Address: a.ClientAddress(r), Device: device}
}

// isDevice tells whether a text has the form of rand.Text's.
func isDevice(s string) bool {
	return len(s) == 26 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
