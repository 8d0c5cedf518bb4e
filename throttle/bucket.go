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
	"github.com/gormkey/gormkey/internal/engine"
)

// Bounds of a device's secret, in bytes.
const (
	minDevice = 22
	maxDevice = 256
)

// afterwards is how long the work after an attempt may take. The attempt's context may have ended
// by then.
const afterwards = 5 * time.Second

// place is one place in a bucket: one failure that may happen.
type place struct {
	id string
	limit
	device bool              // the bucket is there only while the device is known
	made   gormkey.UnixMilli // the row's empty_at, if this place made the row, otherwise 0
}

// take takes the places of an attempt: that of a known device, or those of the address and of the
// account. One SELECT refuses an attempt that has no place, and writes nothing. The account comes
// last, because anybody can make up names: so the address limits for how many accounts there are
// rows.
func (t *Throttle) take(ctx context.Context, account string, client Client) ([]place, error) {
	var places []place
	if client.Device != "" {
		places = append(places, place{id: deviceID(account, client.Device), limit: t.account, device: true})
	}
	if id := addressID(client.Address); id != "" {
		places = append(places, place{id: id, limit: t.address})
	}
	places = append(places, place{id: hashed("account", account), limit: t.account})
	rows, err := t.read(ctx, places...)
	if err != nil {
		return nil, err
	}
	if places[0].device {
		device := places[0]
		if row, ok := rows[device.id]; ok && row.Expires >= t.now() {
			known, err := t.takeAll(ctx, []place{device}, rows)
			if known != nil || err != nil {
				return known, err
			}
		}
		places = places[1:]
	}
	return t.takeAll(ctx, places, rows)
}

// takeAll takes all places or none. For a device that is not known any more it returns no places
// and no error.
func (t *Throttle) takeAll(ctx context.Context, places []place, rows map[string]Bucket) ([]place, error) {
	var wait time.Duration
	now := t.now()
	for _, p := range places {
		if row, ok := rows[p.id]; ok {
			wait = max(wait, p.wait(row, now))
		}
	}
	if wait > 0 {
		return nil, &Error{wait}
	}
	for i := range places {
		_, found := rows[places[i].id]
		wait, known, err := t.takeOne(ctx, &places[i], found)
		if err == nil && wait > 0 {
			err = &Error{wait}
		}
		if err != nil || !known {
			t.giveBack(ctx, places[:i], false)
			return nil, err
		}
	}
	return places, nil
}

// read returns the rows of places by their ids.
func (t *Throttle) read(ctx context.Context, places ...place) (map[string]Bucket, error) {
	ids := make([]string, len(places))
	for i, p := range places {
		ids[i] = p.id
	}
	var rows []Bucket
	err := retry(ctx, func() error {
		rows = nil
		return t.db.WithContext(ctx).Raw("SELECT ?, ?, ? FROM ? WHERE ? IN ?", id, emptyAt, expires, t.name(), id, ids).Scan(&rows).Error
	})
	if err != nil {
		return nil, t.failed(err)
	}
	found := make(map[string]Bucket, len(rows))
	for _, row := range rows {
		found[row.ID] = row
	}
	return found, nil
}

// wait returns how long a bucket will be full, 0 or less if it is not.
func (p place) wait(row Bucket, now gormkey.UnixMilli) time.Duration {
	return time.Duration(row.EmptyAt+milli(p.decay)-now-milli(p.full())) * time.Millisecond
}

// takeOne takes a place, or returns how long the bucket will be full. One UPDATE has the limit in
// its condition, so that two attempts never both take the last place. A missing row is made, but
// not for a device: then it returns that the device is not known.
func (t *Throttle) takeOne(ctx context.Context, p *place, found bool) (wait time.Duration, known bool, err error) {
	for range 10 {
		now := t.now()
		full := now + milli(p.full())
		if !found && !p.device {
			n, err := t.insert(ctx, Bucket{p.id, now + milli(p.decay), full})
			if err != nil || n > 0 {
				p.made = now + milli(p.decay)
				return 0, true, err
			}
		}
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
		rows, err := t.read(ctx, *p)
		if err != nil {
			return 0, false, err
		}
		var row Bucket
		if row, found = rows[p.id]; !found {
			if p.device {
				return 0, false, nil
			}
			continue // it was deleted in between
		}
		if p.device && row.Expires < now {
			return 0, false, nil
		}
		if wait := p.wait(row, now); wait > 0 {
			return wait, true, nil
		}
		// A place came free in between.
	}
	return p.decay, true, nil
}

// insert makes a row unless it is there already, and returns how many it made: 1 or 0.
func (t *Throttle) insert(ctx context.Context, b Bucket) (int64, error) {
	verb, otherwise := t.engine.InsertUnlessThere()
	return t.exec(ctx, verb+" INTO ? (?, ?, ?) VALUES (?, ?, ?)"+otherwise, t.name(), id, emptyAt, expires, b.ID, b.EmptyAt, b.Expires)
}

// giveBack takes an attempt back from its buckets. An attempt that passed renews its device. One
// that did not pass leaves no row that it has made, unless others have taken a place there since.
func (t *Throttle) giveBack(ctx context.Context, places []place, passed bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	for _, p := range places {
		if !passed && p.made > 0 {
			if n, _ := t.exec(ctx, "DELETE FROM ? WHERE ? = ? AND ? = ?", t.name(), id, p.id, emptyAt, p.made); n > 0 {
				continue
			}
		}
		change, vars := "? = ? - ?", []any{t.name(), emptyAt, emptyAt, milli(p.decay)}
		if passed && p.device {
			change, vars = change+", ? = ?", append(vars, expires, t.now()+milli(t.trust))
		}
		_, _ = t.exec(ctx, "UPDATE ? SET "+change+" WHERE ? = ?", append(vars, id, p.id)...)
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

// DeleteExpired deletes the rows that no longer mean anything, in batches that each commit by
// themselves, and returns how many, with an error too. Several calls at once do no harm. Call it
// from a job, for example once an hour.
func (t *Throttle) DeleteExpired(ctx context.Context) (deleted int64, err error) {
	const batch = 500
	statement, vars := "DELETE FROM ? WHERE ? < ? ORDER BY ?", []any{t.name(), expires, t.now(), expires}
	if !t.engine.DeletesWithLimit() {
		statement, vars = "DELETE FROM ? WHERE ? IN (SELECT ? FROM ? WHERE ? < ? ORDER BY ?", append([]any{t.name(), id, id}, vars...)
	}
	statement += fmt.Sprintf(" LIMIT %d", batch)
	if !t.engine.DeletesWithLimit() {
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
	if what, name := engine.Missing(err); what == "table" {
		return fmt.Errorf("throttle: the table %s does not exist: run Throttle.AutoMigrate: %w", name, err)
	}
	return fmt.Errorf("throttle: %w", err)
}

func (t *Throttle) now() gormkey.UnixMilli { return gormkey.UnixMilli(t.clock().UnixMilli()) }

func milli(d time.Duration) gormkey.UnixMilli { return gormkey.UnixMilli(d.Milliseconds()) }

func hashed(kind, text string) string {
	sum := sha256.Sum256([]byte(kind + ":" + text))
	return hex.EncodeToString(sum[:])
}

// deviceID is the id of a device at one account: the device is not known at others.
func deviceID(account, device string) string { return hashed("device", hashed("", device)+account) }

// addressID is the id of the network that one client has to itself, the /64 of an IPv6 address;
// "" for none.
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
