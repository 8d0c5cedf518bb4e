package d1

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// TokenVariable is the environment variable that has the token where [Config.Token] is
// empty.
const TokenVariable = "CLOUDFLARE_API_TOKEN"

const (
	defaultEndpoint = "https://api.cloudflare.com/client/v4"
	defaultTimeout  = 30 * time.Second
)

// Config says which database to open. It does not show the token when it is printed,
// logged or marshalled.
type Config struct {
	// Account is the account's id, Database the database's.
	Account, Database string
	// Token is an API token with the permission D1 Edit. By default it is that of
	// [TokenVariable].
	Token string `json:"-"`
	// Endpoint is the API's address, by default https://api.cloudflare.com/client/v4.
	Endpoint string
	// Timeout is the longest time that one request takes, beside the context's; 30 s by
	// default. After it the outcome of a write is unknown.
	Timeout time.Duration
	// HTTPClient sends the requests, by default one of the package's. Redirects are not
	// followed, whatever it says about them.
	HTTPClient *http.Client `json:"-"`
}

// String leaves the token out.
func (c Config) String() string {
	return "d1://" + url.PathEscape(c.Account) + "/" + url.PathEscape(c.Database)
}

// GoString leaves the token out.
func (c Config) GoString() string { return c.String() }

// Format leaves the token out of every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue leaves the token out.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// ParseDSN reads
//
//	d1://<account>/<database>[?endpoint=<address>][&timeout=<duration>]
//
// with percent-encoding as in every address, so endpoint=http%3A%2F%2F127.0.0.1%3A8787.
// A DSN with a token in it is refused, since DSNs get logged.
func ParseDSN(dsn string) (Config, error) {
	u, err := url.Parse(dsn)
	if err != nil { // its text has the DSN
		return Config{}, fmt.Errorf("%w: the DSN is not an address", ErrConfig)
	}
	if u.Scheme != "d1" || u.Opaque != "" || u.Fragment != "" {
		return Config{}, fmt.Errorf("%w: a DSN has the form d1://<account>/<database>", ErrConfig)
	}
	if u.User != nil {
		return Config{}, fmt.Errorf("%w: a DSN has no user or token; set %s or Config.Token", ErrConfig, TokenVariable)
	}
	c := Config{Account: u.Host, Database: strings.TrimPrefix(u.Path, "/")}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, fmt.Errorf("%w: the DSN's parameters cannot be read", ErrConfig)
	}
	for name, values := range query {
		switch {
		case strings.Contains(strings.ToLower(name), "token"):
			return Config{}, fmt.Errorf("%w: a DSN has no token; set %s or Config.Token", ErrConfig, TokenVariable)
		case len(values) > 1:
			return Config{}, fmt.Errorf("%w: %q is there twice in the DSN", ErrConfig, name)
		case name == "endpoint":
			c.Endpoint = values[0]
		case name == "timeout":
			if c.Timeout, err = time.ParseDuration(values[0]); err != nil || c.Timeout <= 0 {
				return Config{}, fmt.Errorf("%w: timeout is no duration above 0", ErrConfig)
			}
		default:
			return Config{}, fmt.Errorf("%w: %q is no parameter of a DSN; there are endpoint and timeout", ErrConfig, name)
		}
	}
	return c, nil
}

// client returns a client for the settings, with their defaults.
func (c Config) client() (*client, error) {
	for _, id := range []struct{ name, value string }{{"Account", c.Account}, {"Database", c.Database}} {
		if id.value == "" || len(id.value) > 64 || strings.ContainsFunc(id.value, notInID) {
			return nil, fmt.Errorf("%w: %s has to be an id of letters, digits, - and _", ErrConfig, id.name)
		}
	}
	token := cmp.Or(c.Token, os.Getenv(TokenVariable))
	if token == "" {
		return nil, fmt.Errorf("%w: no token; set %s or Config.Token", ErrConfig, TokenVariable)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, fmt.Errorf("%w: the token has characters that no token has", ErrConfig)
	}
	endpoint, err := url.Parse(cmp.Or(c.Endpoint, defaultEndpoint))
	if err != nil || endpoint.Scheme != "https" && endpoint.Scheme != "http" || endpoint.Host == "" || endpoint.User != nil || endpoint.RawQuery != "" || endpoint.Fragment != "" {
		return nil, fmt.Errorf("%w: Endpoint is no address of HTTP, or has a user or parameters", ErrConfig)
	}
	if c.Timeout < 0 {
		return nil, fmt.Errorf("%w: Timeout is negative", ErrConfig)
	}
	// A copy: a redirect would send the statement a second time, to somewhere else.
	sender := http.Client{}
	if c.HTTPClient != nil {
		sender = *c.HTTPClient
	} else {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 32
		sender.Transport = transport
	}
	sender.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{
		url:     endpoint.JoinPath("accounts", c.Account, "d1", "database", c.Database, "raw").String(),
		token:   token,
		timeout: cmp.Or(c.Timeout, defaultTimeout),
		http:    &sender,
		owned:   c.HTTPClient == nil,
	}, nil
}

func notInID(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}
