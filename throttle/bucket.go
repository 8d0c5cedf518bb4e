package throttle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey"
)

// Bounds of a device's secret, in bytes.
const (
	minDevice = 22
	maxDevice = 256
)

// afterwards is how long what follows an attempt may take, whose context may have ended.
const afterwards = 5 * time.Second

// place is one in a bucket.
type place struct {
	id string
	limit
	device bool // whose row is there only while it is known
}

// take takes the places of an attempt: a known device's own, or those of the account and
// of the address.
func (t *Throttle) take(ctx context.Context, account string, client Client) ([]place, error) {
	if client.Device != "" {
		device := place{deviceID(account, client.Device), t.account, true}
		wait, known, err := t.takeOne(ctx, device)
		switch {
		case err != nil:
			return nil, err
		case wait > 0:
			return nil, &Error{wait}
		case known:
			return []place{device}, nil
		}
	}
	places := []place{{id: hashed("account", account), limit: t.account}}
	if id := addressID(client.Address); id != "" {
		places = append(places, place{id: id, limit: t.address})
	}
	for i, p := range places {
		wait, _, err := t.takeOne(ctx, p)
		if err == nil && wait > 0 {
			err = &Error{wait}
		}
		if err != nil {
			t.giveBack(ctx, places[:i])
			return nil, err
		}
	}
	return places, nil
}

// takeOne takes a place, or returns how long the bucket will be full. It makes a row that
// is not there, but for a device: of that it returns that it is not known.
func (t *Throttle) takeOne(ctx context.Context, p place) (wait time.Duration, known bool, err error) {
	for range 10 {
		now := t.now()
		full := now + milli(p.full())
		condition, vars := "? = ? AND ? <= ?", []any{id, p.id, emptyAt, full - milli(p.decay)}
		change := "? = CASE WHEN ? > ? THEN ? ELSE ? END + ?"
		changed := []any{emptyAt, emptyAt, now, emptyAt, now, milli(p.decay)}
		if p.device {
			condition, vars = condition+" AND ? >= ?", append(vars, expires, now)
		} else {
			change, changed = change+", ? = ?", append(changed, expires, full)
		}
		n, err := t.exec(ctx, "UPDATE ? SET "+change+" WHERE "+condition, append(append([]any{t.name()}, changed...), vars...)...)
		if err != nil || n > 0 {
			return 0, true, err
		}
		var row Bucket
		found := int64(0)
		err = retry(ctx, func() error {
			result := t.db.WithContext(ctx).Raw("SELECT ?, ?, ? FROM ? WHERE ? = ?", id, emptyAt, expires, t.name(), id, p.id).Scan(&row)
			found = result.RowsAffected
			return result.Error
		})
		switch {
		case err != nil:
			return 0, false, t.failed(err)
		case p.device && (found == 0 || row.Expires < now):
			return 0, false, nil
		case found > 0:
			if wait := row.EmptyAt + milli(p.decay) - full; wait > 0 {
				return time.Duration(wait) * time.Millisecond, true, nil
			}
		default:
			n, err := t.insert(ctx, Bucket{p.id, now + milli(p.decay), full})
			if err != nil || n > 0 {
				return 0, true, err
			}
		}
		// It was made, or a place came free, in between.
	}
	return p.decay, true, nil
}

// insert makes a row unless it is there, and returns whether it did: 1 or 0.
func (t *Throttle) insert(ctx context.Context, b Bucket) (int64, error) {
	verb, otherwise := "INSERT", " ON CONFLICT DO NOTHING"
	if t.db.Name() == "mysql" { // where a row that is there may count as changed
		verb, otherwise = "INSERT IGNORE", ""
	}
	return t.exec(ctx, verb+" INTO ? (?, ?, ?) VALUES (?, ?, ?)"+otherwise, t.name(), id, emptyAt, expires, b.ID, b.EmptyAt, b.Expires)
}

// giveBack takes an attempt back from its buckets.
func (t *Throttle) giveBack(ctx context.Context, places []place) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	for _, p := range places {
		_, _ = t.exec(ctx, "UPDATE ? SET ? = ? - ? WHERE ? = ?", t.name(), emptyAt, emptyAt, milli(p.decay), id, p.id)
	}
}

// trustDevice makes a device known from now on.
func (t *Throttle) trustDevice(ctx context.Context, device string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	now := t.now()
	until := now + milli(t.trust)
	n, err := t.exec(ctx, "UPDATE ? SET ? = ? WHERE ? = ?", t.name(), expires, until, id, device)
	if err == nil && n == 0 {
		_, err = t.insert(ctx, Bucket{device, now, until})
	}
	return err
}

// DeleteExpired deletes the rows that mean nothing any more, in batches that each commit
// by themselves, and returns how many, also beside an error. Several at once do no harm.
// Call it from a job, once a day say.
func (t *Throttle) DeleteExpired(ctx context.Context) (deleted int64, err error) {
	const batch = 500
	statement, vars := "DELETE FROM ? WHERE ? < ? ORDER BY ?", []any{t.name(), expires, t.now(), expires}
	if t.db.Name() != "mysql" {
		statement, vars = "DELETE FROM ? WHERE ? IN (SELECT ? FROM ? WHERE ? < ? ORDER BY ?", append([]any{t.name(), id, id}, vars...)
	}
	statement += fmt.Sprintf(" LIMIT %d", batch)
	if t.db.Name() != "mysql" {
		statement += ")"
	}
	for {
		n, err := t.exec(ctx, statement, vars...)
		deleted += n
		if err != nil || n == 0 {
			return deleted, err
		}
	}
}

var (
	id      = clause.Column{Name: "id"}
	emptyAt = clause.Column{Name: "empty_at"}
	expires = clause.Column{Name: "expires"}
)

func (t *Throttle) name() clause.Table { return clause.Table{Name: t.table} }

func (t *Throttle) exec(ctx context.Context, sql string, vars ...any) (n int64, err error) {
	err = retry(ctx, func() error {
		var result *gorm.DB = t.db.WithContext(ctx).Exec(sql, vars...)
		n = result.RowsAffected
		return result.Error
	})
	return n, t.failed(err)
}

func (t *Throttle) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("throttle: %w", err)
}

func (t *Throttle) now() gormkey.UnixMilli { return gormkey.UnixMilli(t.clock().UnixMilli()) }

func milli(d time.Duration) gormkey.UnixMilli { return gormkey.UnixMilli(d.Milliseconds()) }

func hashed(kind, text string) string {
	sum := sha256.Sum256([]byte(kind + ":" + text))
	return hex.EncodeToString(sum[:])
}

// deviceID is that of one device at one account: it is not known at others.
func deviceID(account, device string) string { return hashed("device", hashed("", device)+account) }

// addressID is that of a network which one client has to itself, "" for none.
func addressID(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return ""
	case a.Is6():
		prefix, _ := a.Prefix(64)
		return hashed("address", prefix.String())
	}
	return hashed("address", a.String())
}
