package httpauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

// throttled is a site whose sign-ins pass a throttle, behind the proxy 192.0.2.1 of
// httptest's requests.
type throttled struct {
	*site
	web *httpauth.Auth[Account, session]
}

func newThrottled(t *testing.T) throttled {
	t.Helper()
	s := newSite(t)
	s.signUp("ada")
	limits, err := throttle.New(s.db, throttle.WithClock(s.clock.Now))
	must(t, err)
	must(t, limits.AutoMigrate())
	return throttled{s, s.with(httpauth.WithThrottle(limits), httpauth.TrustedProxies(netip.MustParsePrefix("192.0.2.1/32")))}
}

// signIn answers as an application does.
func (s throttled) signIn(address, device, password string) *httptest.ResponseRecorder {
	r, w := post("/sign-in", "X-Forwarded-For", address), httptest.NewRecorder()
	if device != "" {
		r.AddCookie(&http.Cookie{Name: httpauth.DefaultDeviceCookieName, Value: device})
	}
	c := credentials("ada")
	c.Password = password
	if _, err := s.web.SignIn(w, r, c); err != nil {
		s.web.Error(w, r, err)
	}
	return w
}

// device returns the value of the device's cookie that a response sets.
func (s throttled) device(w http.ResponseWriter) string {
	s.Helper()
	lines := setCookies(w, httpauth.DefaultDeviceCookieName)
	if len(lines) != 1 {
		s.Fatalf("got %q of %q, want one cookie of the device", lines, w.Header()["Set-Cookie"])
	}
	c, err := http.ParseSetCookie(lines[0])
	must(s, err)
	return c.Value
}

func TestR27SignInIsThrottled(t *testing.T) {
	s := newThrottled(t)
	for i := range 5 {
		w := s.signIn(fmt.Sprintf("198.51.100.%d", i), "", "wrong password")
		equal(t, "status of a wrong password", w.Code, http.StatusUnauthorized)
		equal(t, "Retry-After of a wrong password", w.Header().Get("Retry-After"), "")
		equal(t, "number of Set-Cookie of a wrong password", len(w.Header()["Set-Cookie"]), 0)
	}
	s.wire.taken()
	w := s.signIn("198.51.100.9", "", goodPassword)
	equal(t, "statements of the sixth", len(s.wire.taken()), 1)
	equal(t, "number of Set-Cookie of the sixth", len(w.Header()["Set-Cookie"]), 0)
	equal(t, "status of the sixth", w.Code, http.StatusTooManyRequests)
	equal(t, "Retry-After of the sixth", w.Header().Get("Retry-After"), "600")
	equal(t, "body of the sixth", w.Body.String(), "Too Many Requests\n")
	equal(t, "Cache-Control of the sixth", w.Header().Get("Cache-Control"), "no-store")
	s.clock.Advance(600*time.Second - time.Millisecond)
	equal(t, "Retry-After, rounded up", s.signIn("198.51.100.9", "", goodPassword).Header().Get("Retry-After"), "1")
	s.clock.Advance(time.Millisecond)
	w = s.signIn("198.51.100.9", "", goodPassword)
	equal(t, "status after Retry-After", w.Code, http.StatusOK)
	equal(t, "number of session cookies", len(setCookies(w, cookieName)), 1)
}

// TestR27KnownDevice: strangers' failures lock a browser out that has none, and not the
// one that has signed in to the account.
func TestR27KnownDevice(t *testing.T) {
	s := newThrottled(t)
	home := s.device(s.signIn("203.0.113.7", "", goodPassword))
	for i := range 8 {
		s.signIn(fmt.Sprintf("198.51.100.%d", i), "", "wrong password")
	}
	equal(t, "a new device", s.signIn("203.0.113.7", "", goodPassword).Code, http.StatusTooManyRequests)
	equal(t, "a made-up device", s.signIn("203.0.113.7", "AAAAAAAAAAAAAAAAAAAAAAAAAA", goodPassword).Code, http.StatusTooManyRequests)
	w := s.signIn("203.0.113.7", home, goodPassword)
	equal(t, "the known device", w.Code, http.StatusOK)
	equal(t, "its secret", s.device(w), home)
	for range 5 {
		equal(t, "its wrong passwords", s.signIn("203.0.113.7", home, "wrong password").Code, http.StatusUnauthorized)
	}
	equal(t, "its sixth", s.signIn("203.0.113.7", home, goodPassword).Code, http.StatusTooManyRequests)
}

// TestR27FailureSetsNoCookie: a browser gets its device's cookie with the first sign-in that
// succeeds, and keeps it.
func TestR27FailureSetsNoCookie(t *testing.T) {
	s := newThrottled(t)
	const made = "AAAAAAAAAAAAAAAAAAAAAAAAAA"
	fails := func(what, device, password string, change func(c *gormkey.Credentials, r *http.Request)) {
		r, w := post("/sign-in", "X-Forwarded-For", "203.0.113.7"), httptest.NewRecorder()
		if device != "" {
			r.AddCookie(&http.Cookie{Name: httpauth.DefaultDeviceCookieName, Value: device})
		}
		c := credentials("ada")
		c.Password = password
		change(&c, r)
		if _, err := s.web.SignIn(w, r, c); err == nil {
			t.Errorf("%s: got no error", what)
		}
		equal(t, what+": number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
	}
	none := func(*gormkey.Credentials, *http.Request) {}
	for _, device := range []string{"", made, "no device"} {
		fails("a wrong password", device, "wrong password", none)
		fails("an unknown account", device, goodPassword, func(c *gormkey.Credentials, _ *http.Request) { c.ID = "nobody@example.com" })
		fails("an id that is too long", device, goodPassword, func(c *gormkey.Credentials, _ *http.Request) { c.ID = strings.Repeat("x", 64<<10) })
		fails("a password that is no UTF-8", device, "\xff\xfe", none)
		fails("another site", device, goodPassword, func(_ *gormkey.Credentials, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
		s.wire.breaks("user_session")
		fails("a database that fails", device, goodPassword, none)
		s.wire.breaks("auth_throttle")
		fails("a throttle that fails", device, goodPassword, none)
		s.wire.breaks("-")
	}
	given := s.device(s.signIn("203.0.113.7", "", goodPassword))
	equal(t, "length of what a new browser is given", len(given), 26)
	equal(t, "a browser's own", s.device(s.signIn("203.0.113.7", made, goodPassword)), made)
	for range 8 {
		s.signIn("198.51.100.1", "", "wrong password")
	}
	for _, device := range []string{given, made} {
		w := s.signIn("203.0.113.7", device, "wrong password")
		equal(t, "a known device's failure: status", w.Code, http.StatusUnauthorized)
		equal(t, "a known device's failure: number of Set-Cookie", len(w.Header()["Set-Cookie"]), 0)
		equal(t, "a known device: status", s.signIn("203.0.113.7", device, goodPassword).Code, http.StatusOK)
	}
}

// TestR27NoCredentials: what nobody can have is refused without a statement, however often.
func TestR27NoCredentials(t *testing.T) {
	s := newThrottled(t)
	s.wire.taken()
	for range 300 {
		for what, c := range map[string]gormkey.Credentials{
			"id of 64 KiB":          {Provider: "email", ID: strings.Repeat("x", 64<<10), Password: goodPassword},
			"password not in UTF-8": {Provider: "email", ID: "ada@example.com", Password: "\xff\xfe"},
			"password of 5 kB":      {Provider: "email", ID: "ada@example.com", Password: strings.Repeat("x", 5000)},
			"nothing":               {},
		} {
			_, err := s.web.SignIn(httptest.NewRecorder(), post("/sign-in"), c)
			wantErr(t, what, err, gormkey.ErrInvalidArgument)
		}
	}
	equal(t, "statements", len(s.wire.taken()), 0)
	equal(t, "status of the right one", s.signIn("203.0.113.7", "", goodPassword).Code, http.StatusOK)
}

// TestR27AddressLimit: the address is the client's, not the proxy's.
func TestR27AddressLimit(t *testing.T) {
	s := newThrottled(t)
	limits, err := throttle.New(s.db, throttle.WithClock(s.clock.Now), throttle.WithAccountLimit(1000, time.Second), throttle.WithAddressLimit(2, time.Hour))
	must(t, err)
	s.web = s.with(httpauth.WithThrottle(limits), httpauth.TrustedProxies(netip.MustParsePrefix("192.0.2.1/32")))
	for _, address := range []string{"198.51.100.1", "6.6.6.6, 198.51.100.1"} {
		equal(t, "a wrong password from "+address, s.signIn(address, "", "wrong password").Code, http.StatusUnauthorized)
	}
	equal(t, "the same address, with another spoofed before it", s.signIn("7.7.7.7, 198.51.100.1", "", goodPassword).Code, http.StatusTooManyRequests)
	equal(t, "another address", s.signIn("198.51.100.2", "", goodPassword).Code, http.StatusOK)
}

// TestThrottleIsAfterOrigin: another site's page takes no place.
func TestThrottleIsAfterOrigin(t *testing.T) {
	s := newThrottled(t)
	s.wire.taken()
	for range 10 {
		_, err := s.web.SignIn(httptest.NewRecorder(), request("POST", "/", "Sec-Fetch-Site", "cross-site"), credentials("ada"))
		wantErr(t, "cross-site", err, httpauth.ErrCrossOrigin)
	}
	equal(t, "statements", len(s.wire.taken()), 0)
	equal(t, "status", s.signIn("198.51.100.1", "", goodPassword).Code, http.StatusOK)
}

// TestKnownClient reads what Client does, and sets nothing.
func TestKnownClient(t *testing.T) {
	s := newSite(t)
	const good, other = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ZYXWVUTSRQPONMLKJIHGFEDCBA"
	for header, want := range map[string]string{
		"": "", "theme=dark": "", httpauth.DefaultDeviceCookieName + "=x": "",
		httpauth.DefaultDeviceCookieName + "=" + good:                                                         good,
		httpauth.DefaultDeviceCookieName + "=" + good + "; " + httpauth.DefaultDeviceCookieName + "=" + other: "",
	} {
		client := s.web.KnownClient(request("GET", "/", "Cookie", header))
		equal(t, header+": device", client.Device, want)
		equal(t, header+": address", client.Address.String(), "192.0.2.1")
	}
	// Where a browser has one from before CookieDomain too, that goes with the next sign-in.
	domain, w := s.with(httpauth.CookieName("a"), httpauth.CookieDomain("example.com")), httptest.NewRecorder()
	client := domain.Client(w, request("GET", "/", "Cookie", "auth_device="+good+"; auth_device="+other))
	lines := w.Header()["Set-Cookie"]
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "auth_device=; Path=/; Expires=Thu, 01 Jan 1970") || !strings.HasPrefix(lines[1], "auth_device="+client.Device+"; Path=/; Domain=example.com; ") {
		t.Errorf("got Set-Cookie %q, want the old one cleared and a new one", lines)
	}
}

// TestDeviceCookie: its form, its end, and whom it is believed.
func TestDeviceCookie(t *testing.T) {
	s := newSite(t)
	const good = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, test := range []struct {
		what, value string
		kept        bool
	}{
		{"none", "", false},
		{"good", good, true},
		{"digits", "234567ABCDEFGHIJKLMNOPQRST", true},
		{"short", good[1:], false},
		{"long", good + "A", false},
		{"lower case", "abcdefghijklmnopqrstuvwxyz", false},
		{"another digit", "0" + good[1:], false},
		{"blank", good[:25] + " ", false},
		{"NUL", good[:25] + "\x00", false},
		{"5 kB", string(make([]byte, 5000)), false},
	} {
		r := request("GET", "/")
		if test.value != "" {
			r.Header.Set("Cookie", httpauth.DefaultDeviceCookieName+"="+test.value)
		}
		before, w := time.Now(), httptest.NewRecorder()
		client := s.web.Client(w, r)
		equal(t, test.what+": is kept", client.Device == test.value, test.kept)
		lines := w.Header()["Set-Cookie"]
		if len(lines) != 1 {
			t.Errorf("%s: got Set-Cookie %q, want one", test.what, lines)
			continue
		}
		c, err := http.ParseSetCookie(lines[0])
		must(t, err)
		equal(t, test.what+": the cookie's value", c.Value, client.Device)
		equal(t, test.what+": length", len(client.Device), 26)
		if d := c.Expires.Sub(before); d < 400*24*time.Hour-2*time.Second || d > 400*24*time.Hour+10*time.Second {
			t.Errorf("%s: got an end in %v, want 400 days", test.what, d)
		}
		equal(t, test.what+": Secure and HttpOnly", c.Secure && c.HttpOnly && c.SameSite == http.SameSiteLaxMode && c.Path == "/" && c.Domain == "", true)
		equal(t, test.what+": Cache-Control", w.Header().Get("Cache-Control"), "no-store")
	}
	first := s.web.Client(httptest.NewRecorder(), request("GET", "/")).Device
	if second := s.web.Client(httptest.NewRecorder(), request("GET", "/")).Device; second == first {
		t.Error("two browsers got the same secret")
	}
	r := request("GET", "/", "Cookie", httpauth.DefaultDeviceCookieName+"="+good, "Cookie", httpauth.DefaultDeviceCookieName+"="+first)
	if got := s.web.Client(httptest.NewRecorder(), r).Device; got == good || got == first {
		t.Error("of two secrets one was believed")
	}
	insecure, w := s.with(httpauth.InsecureCookie()), httptest.NewRecorder()
	insecure.Client(w, request("GET", "/"))
	equal(t, "number of auth_device, insecure", len(setCookies(w, "auth_device")), 1)
}

// TestSignInWithoutThrottle sets no cookie of a device.
func TestSignInWithoutThrottle(t *testing.T) {
	s := newSite(t)
	s.signUp("ada")
	w := httptest.NewRecorder()
	_, err := s.web.SignIn(w, post("/"), credentials("ada"))
	must(t, err)
	equal(t, "number of Set-Cookie", len(w.Header()["Set-Cookie"]), 1)
	for range 10 {
		c := credentials("ada")
		c.Password = "wrong password"
		if _, err := s.web.SignIn(httptest.NewRecorder(), post("/"), c); !errors.Is(err, gormkey.ErrInvalidCredentials) {
			t.Fatalf("got error %v, want %v", err, gormkey.ErrInvalidCredentials)
		}
	}
}

// TestR27NoPassword: there is nothing to guess in what the application has proved itself.
func TestR27NoPassword(t *testing.T) {
	s := newThrottled(t)
	github := gormkey.Proved("github", "1")
	for range 6 {
		_, err := s.web.SignIn(httptest.NewRecorder(), post("/sign-in"), github)
		wantErr(t, "nobody's subject", err, gormkey.ErrInvalidCredentials)
	}
	var users []Account
	must(t, s.db.Find(&users).Error)
	_, err := s.auth.AddKey(t.Context(), users[0].ID, github)
	must(t, err)
	w := httptest.NewRecorder()
	_, err = s.web.SignIn(w, post("/sign-in"), github)
	must(t, err)
	equal(t, "number of session cookies", len(setCookies(w, cookieName)), 1)
	equal(t, "number of device cookies", len(setCookies(w, httpauth.DefaultDeviceCookieName)), 0)
}
