package httpauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

// refusals are requests that a new user's first attempt sends, each with what its 403 says.
var refusals = []struct {
	name   string
	host   string
	header http.Header
	reason string
}{
	{"curl, or a script", "localhost:8080", http.Header{},
		`the request has neither Sec-Fetch-Site nor Origin, and every browser sends one of them; a client that is not a browser sends "Origin: http://localhost:8080", or uses RequireBearer`},
	{"a script, on the internet", "app.example", http.Header{},
		`the request has neither Sec-Fetch-Site nor Origin, and every browser sends one of them; a client that is not a browser sends "Origin: https://app.example", or uses RequireBearer`},
	{"a browser on http and a LAN address", "192.0.2.2:8080", http.Header{"Origin": {"http://192.0.2.2:8080"}},
		`Origin is "http://192.0.2.2:8080", on http, while the cookie is for https alone, which browsers keep on http for localhost only: serve https, or set InsecureCookie while you develop`},
	{"a form of another port", "localhost:8080", http.Header{"Origin": {"http://localhost:3000"}, "Sec-Fetch-Site": {"same-site"}},
		`Sec-Fetch-Site is "same-site": the page that sent this is of another origin, "http://localhost:3000"; if it is yours, give its origin to TrustedOrigins`},
	{"an old browser behind a proxy that changes Host", "backend:8080", http.Header{"Origin": {"https://app.example"}},
		`Origin is "https://app.example" and Host is "backend:8080": if that origin is yours, give it to TrustedOrigins; if a proxy changes Host, give TrustedOrigins the site's own origin`},
	{"Origin null", "app.example", http.Header{"Origin": {"null"}},
		`Origin is "null", which is no origin as browsers send it: scheme, host in lower case, and the port if it is not the scheme's`},
	{"Origin twice", "app.example", http.Header{"Origin": {"https://app.example", "https://app.example"}},
		`the request has Origin or Sec-Fetch-Site more than once`},
}

// TestRefusalsSayWhy: the log has the header and the option, and so has the answer where the
// client is on this machine or wants JSON, and nowhere else.
func TestRefusalsSayWhy(t *testing.T) {
	s := newSite(t)
	log := new(bytes.Buffer)
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "error" {
			a.Value = slog.StringValue(strings.ReplaceAll(a.Value.String(), `"`, "'")) // the handler would escape them
		}
		return a
	}})))
	defer slog.SetDefault(old)
	web := s.with()
	for _, test := range refusals {
		for _, client := range []struct {
			name, address string
			header        http.Header
			shown         bool
		}{
			{"far", "198.51.100.7:4711", nil, false},
			{"local", "127.0.0.1:4711", nil, true},
			{"local, IPv6", "[::1]:4711", nil, true},
			{"through a proxy of this machine", "127.0.0.1:4711", http.Header{"X-Forwarded-For": {"198.51.100.7"}}, false},
			{"far, sends JSON", "198.51.100.7:4711", http.Header{"Content-Type": {"application/json; charset=utf-8"}}, true},
			{"far, wants JSON", "198.51.100.7:4711", http.Header{"Accept": {"text/html;q=0.1, application/json"}}, true},
		} {
			r := httptest.NewRequest("POST", "http://"+test.host+"/reset/a-secret-link", nil)
			r.RemoteAddr = client.address
			for _, header := range []http.Header{test.header, client.header} {
				for name, values := range header {
					r.Header[name] = values
				}
			}
			log.Reset()
			w := httptest.NewRecorder()
			web.OptionalUser(http.NotFoundHandler()).ServeHTTP(w, r)
			what := test.name + ", " + client.name
			equal(t, what+": status", w.Code, http.StatusForbidden)
			body := w.Body.String()
			if strings.Contains(client.name, "JSON") {
				var got struct{ Error, Message string }
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Errorf("%s: %v: %s", what, err, body)
				}
				equal(t, what+": name", got.Error, "cross_origin")
				equal(t, what+": type", w.Header().Get("Content-Type"), "application/json")
				body = got.Message + "\n"
			}
			want := "Forbidden\n"
			if client.shown {
				want = test.reason + "\n"
			}
			equal(t, what+": body", body, want)
			if !strings.Contains(log.String(), "httpauth: cross-origin request: "+strings.ReplaceAll(test.reason, `"`, "'")) || !strings.Contains(log.String(), "WARN") {
				t.Errorf("%s: log: %s", what, log)
			}
			if strings.Contains(log.String(), "secret") {
				t.Errorf("%s: the log has the path: %s", what, log)
			}
		}
	}
}

// TestErrorsAsJSON: each status has a name for programs.
func TestErrorsAsJSON(t *testing.T) {
	s := newSite(t)
	for want, err := range map[string]error{
		`{"error":"invalid_argument","message":"password: too short: at least 8 characters are needed"}`: &gormkey.ArgumentError{Argument: "password", Reason: "too short: at least 8 characters are needed"},
		`{"error":"invalid_argument","message":"Bad Request"}`:                                           gormkey.ErrInvalidArgument,
		`{"error":"invalid_credentials","message":"Unauthorized"}`:                                       gormkey.ErrInvalidCredentials,
		`{"error":"unauthenticated","message":"Unauthorized"}`:                                           gormkey.ErrInvalidSession,
		`{"error":"cross_origin","message":"Forbidden"}`:                                                 httpauth.ErrCrossOrigin,
		`{"error":"not_found","message":"Not Found"}`:                                                    gormkey.ErrUserNotFound,
		`{"error":"taken","message":"Conflict"}`:                                                         gormkey.ErrDuplicateKey,
		`{"error":"last_key","message":"Conflict"}`:                                                      gormkey.ErrLastKey,
		`{"error":"invalid_token","message":"Unprocessable Entity"}`:                                     gormkey.ErrInvalidToken,
		`{"error":"invalid_password","message":"Unprocessable Entity"}`:                                  gormkey.ErrInvalidPassword,
		`{"error":"too_many_requests","message":"Too Many Requests"}`:                                    throttle.ErrTooMany,
		`{"error":"unavailable","message":"Service Unavailable"}`:                                        errors.New("anything"),
	} {
		r := request("GET", "/")
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Sec-Fetch-Mode", "cors")
		w := httptest.NewRecorder()
		s.with().Error(w, r, err)
		equal(t, "body", w.Body.String(), want+"\n")
	}
}

// TestUserOutsideOfMiddleware: nobody is signed in there, and the log says why, once.
func TestUserOutsideOfMiddleware(t *testing.T) {
	s := newSite(t)
	log := new(bytes.Buffer)
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	defer slog.SetDefault(old)
	web := s.with()
	web.OptionalUser(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if web.User(r.Context()) != nil {
			t.Error("somebody is signed in")
		}
	})).ServeHTTP(httptest.NewRecorder(), request("GET", "/"))
	equal(t, "log of nobody", log.String(), "")
	for range 3 {
		if web.User(request("GET", "/").Context()) != nil {
			t.Error("somebody is signed in outside")
		}
	}
	equal(t, "times logged", strings.Count(log.String(), "passed neither RequireUser, OptionalUser nor RequireBearer"), 1)
}

// TestRedirectAnonymousAndJSON: a program gets 401 where a browser is sent to the sign-in page.
func TestRedirectAnonymousAndJSON(t *testing.T) {
	s := newSite(t)
	page := s.with(httpauth.RedirectAnonymous("/sign-in")).RequireUser(http.NotFoundHandler())
	for accept, want := range map[string]int{"": 303, "text/html,application/xhtml+xml,*/*;q=0.8": 303, "application/json": 401, "application/json, text/plain, */*": 401} {
		r := httptest.NewRequest("GET", "http://localhost:8080/account", nil)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		equal(t, "status for "+accept, w.Code, want)
	}
}
