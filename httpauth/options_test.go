package httpauth_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/httpauth"
)

// TestOptionsRefused: each refusal names its option.
func TestOptionsRefused(t *testing.T) {
	s := newSite(t)
	type options = []httpauth.Option
	handler := http.NotFoundHandler()
	for _, test := range []struct {
		what   string
		opts   options
		option string // "" for none
	}{
		{"defaults", nil, ""},
		{"name of 64", options{httpauth.CookieName(strings.Repeat("n", 64))}, ""},
		{"name of 65", options{httpauth.CookieName(strings.Repeat("n", 65))}, "CookieName"},
		{"name with a blank", options{httpauth.CookieName("a b")}, "CookieName"},
		{"name of the device", options{httpauth.CookieName(httpauth.DefaultDeviceCookieName)}, "CookieName"},
		{"name of the insecure device", options{httpauth.CookieName("auth_device"), httpauth.InsecureCookie()}, "CookieName"},
		{"path of the default name", options{httpauth.CookiePath("/app")}, "CookiePath"},
		{"path without a slash", options{httpauth.CookieName("a"), httpauth.CookiePath("app")}, "CookiePath"},
		{"path with a semicolon", options{httpauth.CookieName("a"), httpauth.CookiePath("/;Domain=evil.com")}, "CookiePath"},
		{"path of 1024", options{httpauth.CookieName("a"), httpauth.CookiePath("/" + strings.Repeat("p", 1023))}, ""},
		{"path of 1025", options{httpauth.CookieName("a"), httpauth.CookiePath("/" + strings.Repeat("p", 1024))}, "CookiePath"},
		{"domain of the default name", options{httpauth.CookieDomain("example.com")}, "CookieDomain"},
		{"domain with a port", options{httpauth.CookieName("a"), httpauth.CookieDomain("example.com:80")}, "CookieDomain"},
		{"no SameSite", options{httpauth.CookieSameSite(0)}, "CookieSameSite"},
		{"the browser's SameSite", options{httpauth.CookieSameSite(http.SameSiteDefaultMode)}, "CookieSameSite"},
		{"None, insecure", options{httpauth.CookieSameSite(http.SameSiteNoneMode), httpauth.InsecureCookie()}, "CookieSameSite"},
		{"insecure with __Secure-", options{httpauth.CookieName("__Secure-a"), httpauth.InsecureCookie()}, "InsecureCookie"},
		{"insecure with __host-", options{httpauth.CookieName("__host-a"), httpauth.InsecureCookie()}, "InsecureCookie"},
		{"origin", options{httpauth.TrustedOrigins("https://admin.example.com", "http://localhost:3000", "https://[2001:db8::1]:8443")}, ""},
		{"origin with a path", options{httpauth.TrustedOrigins("https://admin.example.com/")}, "TrustedOrigins"},
		{"origin without a scheme", options{httpauth.TrustedOrigins("admin.example.com")}, "TrustedOrigins"},
		{"origin of a scheme alone", options{httpauth.TrustedOrigins("https://")}, "TrustedOrigins"},
		{"origin of another scheme", options{httpauth.TrustedOrigins("ftp://admin.example.com")}, "TrustedOrigins"},
		{"origin in upper case", options{httpauth.TrustedOrigins("https://Admin.example.com")}, "TrustedOrigins"},
		{"origin with a user", options{httpauth.TrustedOrigins("https://a@admin.example.com")}, "TrustedOrigins"},
		{"origin null", options{httpauth.TrustedOrigins("null")}, "TrustedOrigins"},
		{"origin *", options{httpauth.TrustedOrigins("*")}, "TrustedOrigins"},
		{"origin empty", options{httpauth.TrustedOrigins("")}, "TrustedOrigins"},
		{"second origin", options{httpauth.TrustedOrigins("https://admin.example.com", "x")}, "TrustedOrigins"},
		// These no browser ever sends, so that the trust would be silently void.
		{"origin with a wildcard", options{httpauth.TrustedOrigins("https://*.example.com")}, "TrustedOrigins"},
		{"origin with the default port", options{httpauth.TrustedOrigins("https://admin.example.com:443")}, "TrustedOrigins"},
		{"origin with http's default port", options{httpauth.TrustedOrigins("http://admin.example.com:80")}, "TrustedOrigins"},
		{"origin not in punycode", options{httpauth.TrustedOrigins("https://bücher.example")}, "TrustedOrigins"},
		{"proxy", options{httpauth.TrustedProxies(netip.MustParsePrefix("10.0.0.0/8"))}, ""},
		{"no proxy", options{httpauth.TrustedProxies()}, ""},
		{"proxy of nothing", options{httpauth.TrustedProxies(netip.Prefix{})}, "TrustedProxies"},
		{"redirect", options{httpauth.RedirectAnonymous("/sign-in?lang=no")}, ""},
		{"redirect elsewhere", options{httpauth.RedirectAnonymous("https://evil.com/")}, "RedirectAnonymous"},
		{"redirect to a host", options{httpauth.RedirectAnonymous("//evil.com/")}, "RedirectAnonymous"},
		{"redirect to a backslash", options{httpauth.RedirectAnonymous(`/\evil.com`)}, "RedirectAnonymous"},
		{"redirect without a slash", options{httpauth.RedirectAnonymous("sign-in")}, "RedirectAnonymous"},
		{"redirect to a fragment", options{httpauth.RedirectAnonymous("/#sign-in")}, "RedirectAnonymous"}, // behind which "next" would be lost
		{"redirect and a handler", options{httpauth.RedirectAnonymous("/sign-in"), httpauth.WithAnonymous(handler)}, "RedirectAnonymous"},
		{"handlers", options{httpauth.WithAnonymous(handler), httpauth.WithCrossOrigin(handler)}, ""},
		{"no hook", options{httpauth.WithUnavailable(nil)}, "WithUnavailable"},
		{"no throttle", options{httpauth.WithThrottle(nil)}, ""},
	} {
		web, err := httpauth.New(s.auth, test.opts...)
		if test.option == "" {
			if err != nil {
				t.Errorf("%s: got error %v, want none", test.what, err)
			}
			continue
		}
		if err == nil || web != nil || !strings.Contains(err.Error(), test.option) {
			t.Errorf("%s: got %v, want an error that names %s, and nothing beside it", test.what, err, test.option)
			continue
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, "httpauth: ") {
				t.Errorf("%s: got %q, want it to begin with the package", test.what, line)
			}
		}
	}
	if _, err := httpauth.New[Account, gormkey.Key[Account], session](nil); err == nil {
		t.Error("a nil repository: got no error")
	}
	_, err := httpauth.New(s.auth, httpauth.CookieSameSite(0), httpauth.TrustedOrigins("x"), httpauth.WithUnavailable(nil))
	for _, option := range []string{"CookieSameSite", "TrustedOrigins", "WithUnavailable"} {
		if err == nil || !strings.Contains(err.Error(), option) {
			t.Errorf("three refusals at once: got %v, want it to name %s too", err, option)
		}
	}
}

// Device is a session with columns of the application's own.
type Device struct {
	gormkey.Session[Account]
	UserAgent string `gorm:"size:255;not null;default:''"`
	Country   string `gorm:"size:2;not null;default:'XX'"`
}

// TestOwnSession: the application's own session struct is stored, and is the context's.
func TestOwnSession(t *testing.T) {
	db, _ := openDB(t)
	clock := authtest.NewClock()
	plugin := gormkey.NewOf[Account, gormkey.Key[Account], Device](gormkey.WithPasswordHasher(authtest.FastHasher()), gormkey.WithClock(clock.Now), gormkey.WithOneTimeTokens())
	must(t, db.Use(plugin))
	must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	must(t, err)
	web, err := httpauth.New(auth)
	must(t, err)
	ada := &Account{Email: "ada@example.com"}
	must(t, auth.CreateUser(t.Context(), ada, credentials("ada")))

	signedIn, err := web.SignIn(httptest.NewRecorder(), post("/"), credentials("ada"), func(d *Device) { d.UserAgent, d.Country = "Firefox", "NO" })
	must(t, err)
	opened, err := web.OpenSession(httptest.NewRecorder(), post("/"), ada.ID, func(d *Device) { d.UserAgent, d.Country = "curl", "SE" })
	must(t, err)
	plain, err := web.SignIn(httptest.NewRecorder(), post("/"), credentials("ada"))
	must(t, err)
	for _, test := range []struct {
		what           string
		token          gormkey.Token
		agent, country string
		header         string
		middleware     func(http.Handler) http.Handler
		validate       func(w http.ResponseWriter, r *http.Request) (*Device, error)
	}{
		{"SignIn", signedIn.Token, "Firefox", "NO", "Cookie", web.RequireUser, web.Validate},
		{"OpenSession", opened.Token, "curl", "SE", "Cookie", web.OptionalUser, web.Validate},
		{"bearer", opened.Token, "curl", "SE", "Authorization", web.RequireBearer, web.ValidateBearer},
	} {
		value := cookie(test.token)
		if test.header == "Authorization" {
			value = bearer(test.token)
		}
		h := test.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			validated, err := test.validate(w, r)
			must(t, err)
			device := web.Session(r.Context())
			equal(t, test.what+": the session of the context is the validated one", device, validated)
			equal(t, test.what+": UserAgent", device.UserAgent, test.agent)
			equal(t, test.what+": Country", device.Country, test.country)
			equal(t, test.what+": the user of the context is the session's", web.User(r.Context()), device.User)
			equal(t, test.what+": user", device.User.ID, ada.ID)
			if device.Token != test.token {
				t.Errorf("%s: got another token", test.what)
			}
		}))
		equal(t, test.what+": status", serve(h, request("GET", "/", test.header, value)).Code, http.StatusOK)
	}
	equal(t, "SignIn: the device is its user's", plain.UserID, ada.ID)
}
