package httpauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

// knownToken is in the form of a token, and no session's.
const knownToken = gormkey.Token("7yumxz21wb13l42y9yh9y8jxcg4o3brx6pgnjqgv")

func TestR11CookieAttributes(t *testing.T) {
	s := newSite(t)
	opened := &session{Token: knownToken, IdleExpires: 1_701_296_000_999}
	const value = string(knownToken)
	for _, test := range []struct {
		name       string
		opts       []httpauth.Option
		set, clear string
	}{
		{"default", nil,
			"__Host-auth_session=" + value + "; Path=/; Expires=Wed, 29 Nov 2023 22:13:20 GMT; HttpOnly; Secure; SameSite=Lax",
			"__Host-auth_session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"},
		{"strict", []httpauth.Option{httpauth.CookieSameSite(http.SameSiteStrictMode)},
			"__Host-auth_session=" + value + "; Path=/; Expires=Wed, 29 Nov 2023 22:13:20 GMT; HttpOnly; Secure; SameSite=Strict",
			"__Host-auth_session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Strict"},
		{"none", []httpauth.Option{httpauth.CookieSameSite(http.SameSiteNoneMode)},
			"__Host-auth_session=" + value + "; Path=/; Expires=Wed, 29 Nov 2023 22:13:20 GMT; HttpOnly; Secure; SameSite=None",
			"__Host-auth_session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=None"},
		{"insecure", []httpauth.Option{httpauth.InsecureCookie()},
			"auth_session=" + value + "; Path=/; Expires=Wed, 29 Nov 2023 22:13:20 GMT; HttpOnly; SameSite=Lax",
			"auth_session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax"},
		{"until close", []httpauth.Option{httpauth.CookieUntilClose()},
			"__Host-auth_session=" + value + "; Path=/; HttpOnly; Secure; SameSite=Lax",
			"__Host-auth_session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"},
		{"name", []httpauth.Option{httpauth.CookieName("sid")},
			"sid=" + value + "; Path=/; Expires=Wed, 29 Nov 2023 22:13:20 GMT; HttpOnly; Secure; SameSite=Lax",
			"sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"},
		{"domain and path", []httpauth.Option{httpauth.CookieName("__Secure-sid"), httpauth.CookieDomain("example.com"), httpauth.CookiePath("/app")},
			"__Secure-sid=" + value + "; Path=/app; Domain=example.com; Expires=Wed, 29 Nov 2023 22:13:20 GMT; HttpOnly; Secure; SameSite=Lax",
			"__Secure-sid=; Path=/app; Domain=example.com; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax"},
	} {
		web, w := s.with(test.opts...), httptest.NewRecorder()
		web.SetCookie(w, opened)
		equal(t, test.name+", set", w.Header().Get("Set-Cookie"), test.set)
		web.ClearCookie(w) // in the place of the other
		equal(t, test.name+", number of Set-Cookie", len(w.Header()["Set-Cookie"]), 1)
		equal(t, test.name+", clear", w.Header().Get("Set-Cookie"), test.clear)
	}
}

// attributes is one combination of the cookie's options; what is nil is not given.
type attributes struct {
	name, path, domain   *string
	sameSite             *http.SameSite
	insecure, untilClose bool
}

func (a attributes) options() (opts []httpauth.Option) {
	if a.name != nil {
		opts = append(opts, httpauth.CookieName(*a.name))
	}
	if a.path != nil {
		opts = append(opts, httpauth.CookiePath(*a.path))
	}
	if a.domain != nil {
		opts = append(opts, httpauth.CookieDomain(*a.domain))
	}
	if a.sameSite != nil {
		opts = append(opts, httpauth.CookieSameSite(*a.sameSite))
	}
	if a.insecure {
		opts = append(opts, httpauth.InsecureCookie())
	}
	if a.untilClose {
		opts = append(opts, httpauth.CookieUntilClose())
	}
	return opts
}

func (a attributes) String() string {
	text := fmt.Sprintf("insecure %t, until close %t", a.insecure, a.untilClose)
	for name, v := range map[string]*string{"name": a.name, "path": a.path, "domain": a.domain} {
		if v != nil {
			text += fmt.Sprintf(", %s %.40q", name, *v)
		}
	}
	if a.sameSite != nil {
		text += fmt.Sprintf(", SameSite %d", *a.sameSite)
	}
	return text
}

// combinations are all of the cookie's options, good and bad values alike.
func combinations(yield func(attributes) bool) {
	texts := func(values ...string) []*string {
		all := []*string{nil}
		for _, v := range values {
			all = append(all, &v)
		}
		return all
	}
	names := texts("auth_session", "__Host-a", "__host-a", "__HOST-a", "__Secure-a", "__secure-a", strings.Repeat("n", 64), strings.Repeat("n", 65), "a b", "a=b", "é", "a;b")
	paths := texts("/", "/app", "", "app", "/a;b", "/a\nb", "/"+strings.Repeat("p", 5000))
	domains := texts("example.com", ".example.com", "exa mple", "example.com:80", "a;b", strings.Repeat("a.", 200)+"com")
	modes := []*http.SameSite{nil}
	for _, m := range []http.SameSite{0, http.SameSiteDefaultMode, http.SameSiteLaxMode, http.SameSiteStrictMode, http.SameSiteNoneMode, 9} {
		modes = append(modes, &m)
	}
	both := []bool{false, true}
	for _, name := range names {
		for _, path := range paths {
			for _, domain := range domains {
				for _, mode := range modes {
					for _, insecure := range both {
						for _, untilClose := range both {
							if !yield(attributes{name, path, domain, mode, insecure, untilClose}) {
								return
							}
						}
					}
				}
			}
		}
	}
}

// impossible tells whether a browser, or RFC 6265bis, refuses a combination.
func (a attributes) impossible() bool {
	name := cookieName
	if a.insecure {
		name = "auth_session"
	}
	if a.name != nil {
		name = *a.name
	}
	path, domain := "/", ""
	if a.path != nil {
		path = *a.path
	}
	if a.domain != nil {
		domain = *a.domain
	}
	lower := strings.ToLower(name)
	switch {
	case len(name) > 64 || strings.ContainsAny(name, " =;é"),
		!strings.HasPrefix(path, "/") || strings.ContainsAny(path, ";\n") || len(path) > 1024,
		strings.ContainsAny(domain, " :;") || len(domain) > 255,
		strings.HasPrefix(lower, "__host-") && (a.insecure || path != "/" || domain != ""),
		strings.HasPrefix(lower, "__secure-") && a.insecure:
		return true
	}
	if a.sameSite != nil {
		switch *a.sameSite {
		case http.SameSiteLaxMode, http.SameSiteStrictMode:
		case http.SameSiteNoneMode:
			return a.insecure
		default:
			return true
		}
	}
	return false
}

// TestR11EveryCombination: New refuses a combination, or the browser keeps every cookie.
func TestR11EveryCombination(t *testing.T) {
	s := newSite(t)
	opened := &session{Token: gormkey.Token(strings.Repeat("t", 127)), IdleExpires: 1_701_296_000_999}
	accepted, refused := 0, 0
	for a := range combinations {
		web, err := httpauth.New(s.auth, a.options()...)
		if (err != nil) != a.impossible() {
			t.Fatalf("%v: got error %v, want one: %t", a, err, a.impossible())
		}
		if err != nil {
			refused++
			continue
		}
		accepted++
		set, clear, device := httptest.NewRecorder(), httptest.NewRecorder(), httptest.NewRecorder()
		web.SetCookie(set, opened)
		web.ClearCookie(clear)
		web.Client(device, request("GET", "/"))
		for what, w := range map[string]*httptest.ResponseRecorder{"set": set, "clear": clear, "device": device} {
			checkCookie(t, a, what, w.Header()["Set-Cookie"])
		}
		if t.Failed() {
			return // one is enough
		}
	}
	if accepted < 200 || refused < 1000 {
		t.Errorf("got %d combinations accepted and %d refused, want both sides looked at", accepted, refused)
	}
}

func checkCookie(t *testing.T, a attributes, what string, lines []string) {
	t.Helper()
	if len(lines) != 1 {
		t.Errorf("%v, %s: got Set-Cookie %q, want one", a, what, lines)
		return
	}
	c, err := http.ParseSetCookie(lines[0])
	must(t, err)
	bad := func(rule string) { t.Errorf("%v, %s: %s: got %.200s", a, what, rule, lines[0]) }
	lower := strings.ToLower(c.Name)
	if strings.HasPrefix(lower, "__host-") && (!c.Secure || c.Path != "/" || c.Domain != "") {
		bad("__Host- wants Secure, Path=/ and no Domain")
	}
	if strings.HasPrefix(lower, "__secure-") && !c.Secure {
		bad("__Secure- wants Secure")
	}
	if c.SameSite == http.SameSiteNoneMode && !c.Secure {
		bad("None wants Secure")
	}
	if !c.HttpOnly {
		bad("HttpOnly is missing")
	}
	if len(lines[0]) > 4096 {
		bad("over 4096 bytes")
	}
	// What was not given has its default.
	path, domain, mode := "/", "", http.SameSiteLaxMode
	if a.path != nil {
		path = *a.path
	}
	if a.domain != nil {
		domain = strings.TrimPrefix(*a.domain, ".")
	}
	if a.sameSite != nil {
		mode = *a.sameSite
	}
	if c.Path != path || c.Domain != domain || c.SameSite != mode || c.Secure == a.insecure {
		bad("an attribute is not as given")
	}
	if what == "set" && c.Expires.IsZero() != a.untilClose {
		bad("Expires")
	}
	if what != "set" && c.Expires.IsZero() {
		bad("Expires is missing")
	}
	if what != "device" && a.name != nil && c.Name != *a.name {
		bad("the name is not as given")
	}
}

// TestR11Expiry: the cookie ends with the session, and after 400 days at most.
func TestR11Expiry(t *testing.T) {
	const day = 24 * time.Hour
	const most = 400 * day
	for _, test := range []struct{ active, idle time.Duration }{
		{time.Millisecond, time.Millisecond}, {time.Minute, time.Hour}, {day, 14 * day}, {day, 398 * day},
		{day, 399*day - time.Minute}, {day, 399*day + time.Minute}, {day, 3650 * day}, {3650 * day, 3650 * day},
	} {
		s := newSiteOf(t, []gormkey.Option{gormkey.WithClock(time.Now), gormkey.WithSessionPeriods(test.active, test.idle)})
		account := s.signUp("ada")
		before := time.Now()
		w := httptest.NewRecorder()
		opened, err := s.web.OpenSession(w, post("/sign-up"), account.ID)
		must(t, err)
		c, err := http.ParseSetCookie(w.Header().Get("Set-Cookie"))
		must(t, err)
		what := fmt.Sprintf("periods of %v and %v", test.active, test.idle)
		end := opened.IdleExpires.Time()
		if end.Before(before.Add(most)) {
			equal(t, what, c.Expires, end.UTC().Truncate(time.Second))
		} else if d := c.Expires.Sub(before.Add(most)); d > 10*time.Second || d < -time.Second {
			t.Errorf("%s: got Expires %v, %v past 400 days", what, c.Expires, d)
		}
		if c.Expires.After(time.Now().Add(most)) {
			t.Errorf("%s: got Expires %v, past 400 days", what, c.Expires)
		}
	}
}
