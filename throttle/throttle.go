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
// An attempt takes its place before the password is hashed, and gives it back unless it failed.
// So even if many attempts come at once, only as many are let in as may fail. Each place is taken
// by one UPDATE that has the limit in its condition. Failures decay one by one: an account takes
// 5 at once and one more every 10 minutes, an address 100 and one more a minute (OWASP ASVS 6.1.1
// and 6.3.1). Refused attempts are not counted, so that after [Error.RetryAfter] without failures
// the right password is let in. A refusal is one SELECT and writes nothing.
//
// That slows guessing and disables nothing. NIST SP 800-63B-4 § 3.2.2 asks for more: that a
// password be disabled after at most 100 failures in a row. Here an account passes 100 within the
// first day. A password that is disabled keeps its owner out, and any stranger could do that.
//
// # How large the table gets
//
// A row takes about 260 bytes with its indexes. An account has a row from its first failure until
// 50 minutes after its last one, and an address until 100 minutes after. Anybody can make up
// names of accounts. So the address's place is taken first, and an address cannot cause more rows
// than it may fail: 100 at once and 1,440 more a day, or 400 kB. If [Throttle.DeleteExpired] runs
// once an hour, at most 210 of these rows are there. An attacker with 10,000 addresses then holds
// 0.6 GB. A limit that is lower, or decays more slowly, makes that less. A client without an
// address has no such bound, so pass the client's address behind a proxy too.
//
// # Known devices
//
// Anybody who knows an account's name can use up its places. To keep nobody out by that, a device
// that has signed in to the account has places of its own there. Give [Client.Device] a random
// text that the browser keeps, in a cookie of its own that outlives the session. Failures of
// strangers then do not count for the device, and its own do not count for others. A device is
// known for a year after its last sign-in.
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

// DefaultTable is the table's name. A TablePrefix of the NamingStrategy is put before it.
const DefaultTable = "auth_throttle"

// Bucket is a row of the table: the failures of one account, address or known device.
// [Throttle.AutoMigrate] makes the table; the struct is here for other ways to migrate.
type Bucket struct {
	// ID is the SHA-256, in lower-case hexadecimal, of the account, address or device. (Its type
	// is written out because GORM rebuilds a table on SQLite each time for a size alone.)
	ID string `gorm:"column:id;primaryKey;not null;type:varchar(64)"`
	// EmptyAt is when the last of the failures will have decayed.
	EmptyAt gormkey.UnixMilli `gorm:"column:empty_at;not null;type:bigint"`
	// Expires is the moment from which the row means nothing.
	Expires gormkey.UnixMilli `gorm:"column:expires;not null;type:bigint;index"`
}

// TableName returns the default name.
func (Bucket) TableName(namer schema.Namer) string { return namer.JoinTableName(DefaultTable) }

// Client describes who makes an attempt.
type Client struct {
	// Address is the client's own, and not that of a proxy. An IPv6 address counts with its /64,
	// which one client has to itself, and an IPv4 address in IPv6 form counts as IPv4. With the
	// zero Addr, as in a command, no address is counted and only the account limits the attempt.
	Address netip.Addr
	// Device is a secret of the client's browser, or "": 22 to 256 bytes, with at least 128 bits
	// from crypto/rand. The table has its hash, together with the account's.
	Device string
}

// ErrTooMany is wrapped by every [Error].
var ErrTooMany = errors.New("throttle: too many failed attempts")

// Error refuses an attempt. Nothing was counted for it.
type Error struct {
	// RetryAfter is how long it takes until an attempt is let in, if nobody fails until then. It
	// is above 0, and the longer one of the account's and the address's.
	RetryAfter time.Duration
}

// Error returns a text that names no account and no address.
func (e *Error) Error() string { return fmt.Sprintf("%v; retry after %v", ErrTooMany, e.RetryAfter) }

// Is reports whether target is [ErrTooMany].
func (e *Error) Is(target error) bool { return target == ErrTooMany }

// Throttle limits failed attempts. Make it with [New]. It is safe for concurrent use.
type Throttle struct {
	db      *gorm.DB
	engine  engine.Engine
	table   string
	clock   func() time.Time
	account limit
	address limit
	trust   time.Duration
}

// New returns a throttle whose table is in db. Db must be a root handle, because a count has to
// outlive the transaction of the attempt that it counts. Every option that is out of bounds is an
// error.
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

// AutoMigrate creates the table, or adds the columns that it lacks.
func (t *Throttle) AutoMigrate() error { return t.db.Table(t.table).AutoMigrate(&Bucket{}) }

// Do lets an attempt in, or returns an [*Error] at once. The account is the id of the key that
// the attempt names, whether such a key exists or not: provider, colon, id, as in
// "email:ada@example.com".
//
// Attempt may be any call that verifies a secret, such as [gormkey.RepositoryOf.SignIn] or
// UseKey. Its error decides what is counted:
//
//   - nil: nothing is counted, and the client's device is known from then on.
//   - [gormkey.ErrInvalidCredentials]: a failure.
//   - An error of the context: a failure too, since the attempt ran and nobody saw its answer.
//   - Any other error: the table stays as it was.
//
// Do returns the attempt's error as it is. If the throttle's own statement fails before the
// attempt, then Do returns that error, and attempt is not called. If one fails after the attempt,
// when its place is given back, nothing is returned: the place becomes free by itself.
//
// Call Do outside any transaction, and [gormkey.RepositoryOf.CheckCredentials] before it.
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

// Trust makes a client's device known to an account, as a sign-in by [Throttle.Do] does: call it
// after a sign-up, for example. For a client without a device it does nothing.
func (t *Throttle) Trust(ctx context.Context, account string, client Client) error {
	if err := check(account, client); err != nil || client.Device == "" {
		return err
	}
	return t.trustDevice(ctx, deviceID(account, client.Device))
}

// Forget forgets the failures of an account, and keeps those of addresses and of known devices.
// Call it when the account's password was reset by a link in a mail, since the failed guesses
// were at the old password.
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

// retry runs a statement again if the database refused it for a transient reason, such as a
// deadlock or a busy SQLite.
func retry(ctx context.Context, statement func() error) error {
	for try := 1; ; try++ {
		err := statement()
		if err == nil || try == engine.MaxTries || !engine.IsRetryable(err) || engine.Pause(ctx, engine.RetryLongest) != nil {
			return err
		}
	}
}
