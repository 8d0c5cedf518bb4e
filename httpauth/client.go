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

// ClientAddress returns the address of the client. That is the address of the connection, or, if
// this belongs to one of the [TrustedProxies], the last address in X-Forwarded-For that does not.
// A proxy must append to that header or replace it. The zero Addr means that the address is not
// known, as over a Unix socket.
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
			if !ok { // "unknown", or a text that the client made up: only the proxy is known
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

// Client returns the client of a request, for a [throttle.Throttle]: its address, and its
// browser's secret. The browser keeps the secret in a cookie of its own,
// [DefaultDeviceCookieName], for 400 days, and gets one here if it has none. Give the client to
// [throttle.Throttle.Trust] when somebody has signed up or in. For an attempt that may fail use
// [Auth.KnownClient].
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

// KnownClient is [Auth.Client] without a cookie: a browser that has no secret yet is returned
// without one. It is for [throttle.Throttle.Do].
func (a *Auth[U, S]) KnownClient(r *http.Request) throttle.Client {
	device := readCookie(r, a.o.cookie.device)
	if !isDevice(device) {
		device = ""
	}
	return throttle.Client{Address: a.ClientAddress(r), Device: device}
}

// isDevice reports whether a text has the form of rand.Text: 26 characters of A–Z and 2–7.
func isDevice(s string) bool {
	return len(s) == 26 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
