// Package libsql connects GORM to a libSQL server, sqld or Turso, over http or
// WebSocket:
//
//	db, err := gorm.Open(libsql.Open("libsql://shop-acme.turso.io?authToken=…"), &gorm.Config{})
//
// It is GORM's SQLite dialect (github.com/libtnb/sqlite, since that one links no C code;
// gorm.io/driver/sqlite links mattn's wherever there is a C compiler) over
// github.com/tursodatabase/libsql-client-go, with what that client lacks:
//
//   - Errors have SQLite's codes: see [Error].
//   - A transaction takes the write lock first, as by BEGIN IMMEDIATE. One that has read
//     before another wrote would not get it, however long it waited.
//   - A statement runs again by itself only where nothing can have been written: see
//     [LostError].
//   - Times are read and written over WebSocket as over http.
//   - Contexts end a connection attempt and a COMMIT too, and no error shows the token.
//
// The server rolls back a transaction that holds the write lock for more than five
// seconds while another waits for it; the next statement in it, or its COMMIT, fails with
// code 773. Foreign keys are on in every new connection. Set the pool's limits on db.DB().
package libsql

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/libtnb/sqlite"
	upstream "github.com/tursodatabase/libsql-client-go/libsql"
	"gorm.io/gorm"
)

// DefaultIdleCheck is how long a WebSocket lies idle before it is checked.
const DefaultIdleCheck = 5 * time.Second

// Config says where the server is. It shows neither DSN nor token when it is printed.
type Config struct {
	// DSN is libsql://host, or with https, http, wss or ws; libsql is https. Its query may
	// have authToken (or auth_token, or jwt), and with libsql tls=0 for http, with a port.
	DSN string `json:"-"`
	// AuthToken is the database's token, unless the DSN has it. Without TLS it crosses the
	// network in clear.
	AuthToken string `json:"-"`
	// IdleCheck is for how long a WebSocket may lie idle before it is asked, by one more
	// round trip, whether the server has closed it: [DefaultIdleCheck] if 0, never if
	// below 0. Over http there is nothing to check.
	IdleCheck time.Duration
	// Conn is a pool to use in place of a new one; DSN and AuthToken are ignored then.
	// Make one with sql.OpenDB and [NewConnector].
	Conn gorm.ConnPool `json:"-"`
}

// Format writes no secrets, whatever the verb.
func (c Config) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "libsql.Config{…}") }

// LogValue shows no secrets.
func (c Config) LogValue() slog.Value { return slog.StringValue("libsql.Config{…}") }

// Dialector is GORM's SQLite dialect on a libSQL server. Get it from [Open] or [New].
type Dialector struct {
	sqlite.Dialector
	config Config
}

var (
	_ gorm.Dialector       = (*Dialector)(nil)
	_ gorm.ErrorTranslator = (*Dialector)(nil)
)

// Open returns a dialector for a DSN, which is that of [Config].
func Open(dsn string) gorm.Dialector { return New(Config{DSN: dsn}) }

// New returns a dialector. A fault of the configuration is an error of gorm.Open.
func New(config Config) gorm.Dialector { return &Dialector{config: config} }

// Format writes no secrets, whatever the verb.
func (d Dialector) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "libsql.Dialector{…}") }

// LogValue shows no secrets.
func (d Dialector) LogValue() slog.Value { return slog.StringValue("libsql.Dialector{…}") }

// Initialize opens the pool, and asks the server for its version.
func (d *Dialector) Initialize(db *gorm.DB) error {
	dialect := sqlite.Dialector{Conn: d.config.Conn}
	if dialect.Conn != nil {
		return dialect.Initialize(db)
	}
	connector, err := NewConnector(d.config)
	if err != nil {
		return err
	}
	pool := sql.OpenDB(connector)
	dialect.Conn = pool
	if err := dialect.Initialize(db); err != nil {
		_ = pool.Close()
		return err
	}
	return nil
}

// Translate turns the errors of the constraints that GORM knows into GORM's.
func (d *Dialector) Translate(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.ExtendedCode {
	case codeUnique, codePrimaryKey:
		return gorm.ErrDuplicatedKey
	case codeForeignKey:
		return gorm.ErrForeignKeyViolated
	case codeCheck:
		return gorm.ErrCheckConstraintViolated
	}
	return err
}

// NewConnector returns what sql.OpenDB takes. Its errors name what is wrong with the
// configuration and show none of it.
func NewConnector(config Config) (driver.Connector, error) {
	address, token, err := config.address()
	if err != nil {
		return nil, err
	}
	options := []upstream.Option{}
	if token != "" {
		options = append(options, upstream.WithAuthToken(token))
	}
	inner, err := upstream.NewConnector(address.String(), options...)
	if err != nil {
		return nil, errors.New("libsql: the client refuses the DSN")
	}
	c := &connector{inner: inner, token: token}
	if address.Scheme == "ws" || address.Scheme == "wss" {
		c.webSocket = true
		if c.idleCheck = config.IdleCheck; c.idleCheck == 0 {
			c.idleCheck = DefaultIdleCheck
		}
	}
	return c, nil
}

// address takes the DSN apart into what is dialed, with one of the schemes that say
// whether there is TLS, and the token.
func (c Config) address() (*url.URL, string, error) {
	u, err := url.Parse(c.DSN)
	switch {
	case err != nil: // it quotes the DSN
		return nil, "", errors.New("libsql: the DSN is no URL")
	case !slices.Contains([]string{"libsql", "https", "http", "wss", "ws"}, u.Scheme):
		return nil, "", errors.New("libsql: the DSN begins with none of libsql://, https://, http://, wss://, ws://")
	case u.Host == "":
		return nil, "", errors.New("libsql: the DSN has no host")
	case u.User != nil:
		return nil, "", errors.New("libsql: the DSN has a user; give the token as authToken")
	}
	token, tls := c.AuthToken, ""
	for name, values := range u.Query() {
		switch name {
		case "authToken", "auth_token", "jwt":
			if token != "" || len(values) != 1 {
				return nil, "", errors.New("libsql: there is more than one token")
			}
			token = values[0]
		case "tls":
			tls = values[0]
		default: // its name may be a token
			return nil, "", errors.New("libsql: the DSN has a parameter that is none of authToken, auth_token, jwt, tls")
		}
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, "", errors.New("libsql: the token has a character that no token has")
	}
	u.RawQuery, u.Fragment = "", ""
	if u.Scheme == "libsql" {
		u.Scheme = "https"
		if tls == "0" {
			u.Scheme = "http"
		}
	}
	secure := u.Scheme == "https" || u.Scheme == "wss"
	switch {
	case tls != "" && tls != "0" && tls != "1":
		return nil, "", errors.New("libsql: tls is neither 0 nor 1")
	case tls == "0" && secure, tls == "1" && !secure:
		return nil, "", errors.New("libsql: tls contradicts the scheme; libsql:// takes either")
	case tls == "0" && u.Port() == "" && !secure:
		return nil, "", errors.New("libsql: tls=0 wants a port")
	}
	return u, token, nil
}
