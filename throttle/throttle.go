// Package throttle limits failed sign-ins, per account and per client address, with its
// counts in the application's database, where every process of it finds them:
//
//	limits, err := throttle.New(db)
//	err = limits.AutoMigrate()
//	…
//	err = limits.Do(ctx, "email:"+address, throttle.Client{Address: ip}, func() (err error) {
//		session, err = auth.SignIn(ctx, login)
//		return err
//	})
//	var refused *throttle.Error
//	if errors.As(err, &refused) { // answer 429, with Retry-After
//
// # How it counts
//
// An attempt takes its place before the password is hashed and gives it back unless it
// failed, so that however many come at once, no more are let in than may fail. Each
// place is taken by one UPDATE that has the limit in its condition. Failures decay one
// by one: an account takes 5 at once and one more every 10 minutes, an address 100 and
// one more a minute (OWASP ASVS 6.3.1; NIST SP 800-63B-4 asks for 100 in a row at most).
// Refused attempts are not counted, so that after [Error.RetryAfter] without failures
// the right password is let in. A refusal is one SELECT and writes nothing.
//
// # How large the table gets
//
// A row takes about 260 bytes with its indexes. An account has a row from a failure until 50
// minutes after its last one, and an address until 100 minutes after. Anybody can make up
// names of accounts. So the address's place is taken first, and an address cannot cause more
// rows than it may fail: 100 at once and 1,440 more a day, or 400 kB. If
// [Throttle.DeleteExpired] runs once an hour, at most 210 of them are there. An attacker with
// 10,000 addresses then holds 0.6 GB. A limit that is lower, or decays more slowly, makes
// that less. A client without an address has no such bound: behind a proxy give it the
// client's.
//
// # Known devices
//
// Whoever knows an account's name can use up its places. So that this keeps nobody out,
// a device that has signed in to the account has places of its own there: give
// [Client.Device] a random text that the browser keeps, in a cookie of its own that
// outlives the session. Strangers' failures then do not count for it, nor do its own for
// others, and a device is known for a year after its last sign-in.
package throttle

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/internal/engine"
)

// DefaultTable is the table's name, behind a TablePrefix of the NamingStrategy.
const DefaultTable = "auth_throttle"

// Bucket is a row of the table: the failures of one account, address or known device.
// [Throttle.AutoMigrate] makes it; its columns are here for other ways to migrate.
type Bucket struct {
	// ID is a SHA-256 in lower-case hexadecimal of what is counted. (Its type is written
	// out: for a size alone GORM rebuilds the table on SQLite each time.)
	ID string `gorm:"column:id;primaryKey;not null;type:varchar(64)"`
	// EmptyAt is when the last of the failures will have decayed.
	EmptyAt gormkey.UnixMilli `gorm:"column:empty_at;not null;type:bigint"`
	// Expires is when the row means nothing any more.
	Expires gormkey.UnixMilli `gorm:"column:expires;not null;type:bigint;index"`
}

// TableName returns the default name.
func (Bucket) TableName(namer schema.Namer) string { return namer.JoinTableName(DefaultTable) }

// Client is who makes an attempt.
type Client struct {
	// Address is the client's, not that of a proxy. An IPv6 address counts with its /64,
	// which one client has to itself, and an IPv4 one in IPv6 form as IPv4. The zero
	// Addr is counted for no address, as in a command: only the account limits it.
	Address netip.Addr
	// Device is a secret of the client's browser, of 22 to 256 bytes with at least 128
	// bits from crypto/rand, or "". The table has its hash, with the account's.
	Device string
}

// ErrTooMany is what every [Error] is to errors.Is.
var ErrTooMany = errors.New("throttle: too many failed attempts")

// Error is an attempt that was not let in. Nothing was counted for it.
type Error struct {
	// RetryAfter is when the next one will be, if nobody fails until then. It is above 0, and
	// the longest of the account's and the address's.
	RetryAfter time.Duration
}

// Error names no account and no address.
func (e *Error) Error() string { return fmt.Sprintf("%v; retry after %v", ErrTooMany, e.RetryAfter) }

// Is makes it ErrTooMany.
func (e *Error) Is(target error) bool { return target == ErrTooMany }

// Throttle is safe for concurrent use.
type Throttle struct {
	db      *gorm.DB
	engine  engine.Engine
	table   string
	clock   func() time.Time
	account limit
	address limit
	trust   time.Duration
}

// New returns a throttle whose table is in db, a root handle: a count has to outlive the
// transaction of what it counts. Every option out of bounds is an error.
func New(db *gorm.DB, opts ...Option) (*Throttle, error) {
	if db == nil || db.Config == nil || db.Statement == nil {
		return nil, errors.New("throttle: db is nil or not opened by gorm.Open")
	}
	if _, ok := db.Statement.ConnPool.(gorm.TxCommitter); ok {
		return nil, errors.New("throttle: db is in a transaction; give the root handle")
	}
	if db.DryRun || db.Error != nil {
		return nil, errors.Join(errors.New("throttle: db is in DryRun mode or carries an error"), db.Error)
	}
	kind, err := engine.Of(db, engine.Settings{})
	if err != nil {
		return nil, fmt.Errorf("throttle: %w", err)
	}
	t := &Throttle{
		engine: kind,
		// Also with dbresolver, whose replicas may be behind.
		db:      db.Session(&gorm.Session{NewDB: true, SkipHooks: true}).Set(engine.WriteSource, struct{}{}).Session(&gorm.Session{}),
		table:   Bucket{}.TableName(db.NamingStrategy),
		clock:   time.Now,
		account: limit{5, 10 * time.Minute},
		address: limit{100, time.Minute},
		trust:   365 * 24 * time.Hour,
	}
	for _, option := range opts {
		option(t)
	}
	if err := t.validate(); err != nil {
		return nil, err
	}
	return t, nil
}

// AutoMigrate creates and extends the table.
func (t *Throttle) AutoMigrate() error { return t.db.Table(t.table).AutoMigrate(&Bucket{}) }

// Do lets an attempt in, or returns an [*Error] at once. The account is the id of the key
// that the attempt names, whether there is one or not: provider, colon, id.
//
// attempt may be any call that verifies a secret, [gormkey.RepositoryOf.SignIn] or UseKey.
// It is counted if it returns [gormkey.ErrInvalidCredentials] or an error of the context,
// after which nobody has seen the answer; if it returns nil, the client's device is known
// from then on. After any other error the table is as it was. Do returns the attempt's error
// as it is. An error of the throttle's own is the database's, and then attempt is not called;
// one that comes after the attempt, when its place is given back, is not returned: that decays.
//
// Call it outside of a transaction, and [gormkey.RepositoryOf.CheckCredentials] before it.
func (t *Throttle) Do(ctx context.Context, account string, client Client, attempt func() error) error {
	if err := check(account, client); err != nil {
		return err
	}
	taken, err := t.take(ctx, account, client)
	if err != nil {
		return err
	}
	failed, passed := true, false
	defer func() {
		if !failed {
			t.giveBack(ctx, taken, passed)
		}
	}()
	err = attempt()
	passed = err == nil
	failed = errors.Is(err, gormkey.ErrInvalidCredentials) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if passed && client.Device != "" && !taken[0].device { // giveBack renews a known one
		_ = t.trustDevice(ctx, deviceID(account, client.Device))
	}
	return err
}

// Trust makes a client's device known to an account, as a sign-in by [Throttle.Do] does:
// call it after a sign-up, for example. A client without a device is not made known.
func (t *Throttle) Trust(ctx context.Context, account string, client Client) error {
	if err := check(account, client); err != nil || client.Device == "" {
		return err
	}
	return t.trustDevice(ctx, deviceID(account, client.Device))
}

// Forget forgets the failures of an account, and leaves those of addresses and of known
// devices: call it when its password was reset by a link that was mailed, since the
// guesses were at another.
func (t *Throttle) Forget(ctx context.Context, account string) error {
	if err := check(account, Client{}); err != nil {
		return err
	}
	_, err := t.exec(ctx, "DELETE FROM ? WHERE ? = ?", t.name(), id, hashed("account", account))
	return err
}

func check(account string, client Client) error {
	if account == "" {
		return errors.New("throttle: account is empty")
	}
	if n := len(client.Device); n > 0 && (n < minDevice || n > maxDevice) {
		return fmt.Errorf("throttle: the device has %d bytes, outside %d to %d", n, minDevice, maxDevice)
	}
	return nil
}

// retry runs a statement again that the database refused for a transient reason, a deadlock or
// a busy SQLite for example.
func retry(ctx context.Context, statement func() error) error {
	for try := 1; ; try++ {
		err := statement()
		if err == nil || try == engine.MaxTries || !engine.IsRetryable(err) || engine.Pause(ctx, engine.RetryLongest) != nil {
			return err
		}
	}
}
