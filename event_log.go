package gormkey

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/internal/random"
)

// WithEventLog adds the table of [LoggedEvent], into which each operation writes what it did, in its
// own transaction: a row is there if and only if the operation was done (OWASP ASVS 16.3.1). A
// failed sign-in gets a row of its own. A renewal of a session gets none, and a sign-in one. What
// tells no event, such as EndSessionsOfEveryone, writes none.
//
// The rows outlive their user. They hold no password, token or hash, and the name of a key only
// where the key exists: people type passwords into the field for the name. Give the context
// where an operation comes from by [event.WithOrigin], or by Context of
// package httpauth.
func WithEventLog() Option { return func(o *options) { o.eventLog = true } }

// WithEventDelivery is [WithEventLog], and keeps each event for [RepositoryOf.DeliverEvents] until
// it has been delivered.
func WithEventDelivery() Option {
	return func(o *options) { o.eventLog, o.delivery = true, true }
}

// WithEventLogSecret makes it visible in the event log that several failed sign-ins used one name,
// although nobody has that name: the log holds an HMAC-SHA-256 of it. Without it the log says the
// provider alone. The secret has at least 16 bytes; keep it apart from the database.
func WithEventLogSecret(secret []byte) Option {
	return func(o *options) { o.eventSecret, o.eventSecretGiven = bytes.Clone(secret), true }
}

// LoggedEvent is a row of the event log of users of type U; see [WithEventLog]. Its fields are those
// of [LoggedEventOf].
type LoggedEvent[U any] = LoggedEventOf[*U]

// LoggedEventOf has the fields of a [LoggedEvent]. P is the pointer to the application's user type.
type LoggedEventOf[P any] struct {
	// ID begins with the time, so ids sort by it: 39 characters of 0–9, a–z and "-".
	ID string `gorm:"column:id;primaryKey;not null;size:40;index:,composite:user_id,priority:2;index:,composite:delivered_at,priority:2" json:"id"`
	// At is when it happened.
	At UnixMilli `gorm:"column:at;not null;type:bigint" json:"at"`
	// Type is one of package event.
	Type event.Type `gorm:"column:type;not null;size:40" json:"type"`
	// UserID is empty where no user was found, and after AnonymizeUser.
	UserID string `gorm:"column:user_id;not null;size:255;index:,composite:user_id,priority:1" json:"userId"`
	// ActorID is who did it, where the caller said so.
	ActorID string `gorm:"column:actor_id;not null;size:255" json:"actorId"`
	// SessionID is the SHA-256 of the session's token, with [WithLuciaV2] too.
	SessionID SessionID `gorm:"column:session_id;not null;size:64" json:"sessionId"`
	// KeyID is the key's id as [ParseKeyID] takes it; after a failed sign-in with a name that nobody
	// has, the provider and "?", or with [WithEventLogSecret] an HMAC.
	KeyID string `gorm:"column:key_id;not null;size:255" json:"keyId"`
	// Methods are those by which the user showed who they are.
	Methods authtype.Methods `gorm:"column:methods;not null;size:64" json:"methods"`
	// Purpose is that of a one-time token.
	Purpose Purpose `gorm:"column:purpose;not null;size:32" json:"purpose"`
	// Reason is why a sign-in failed: "unknown key", "wrong password", "suspended" or "unreadable
	// hash"; or what Suspend was given.
	Reason string `gorm:"column:reason;not null;size:64" json:"reason"`
	// Address and Agent are those of [event.Origin].
	Address string `gorm:"column:address;not null;size:45" json:"address"`
	Agent   string `gorm:"column:agent;not null;size:255" json:"agent"`
	// ClaimedUntil is until when a DeliverEvents has the event to itself, or waits after a failure.
	ClaimedUntil *UnixMilli `gorm:"column:claimed_until;type:bigint" json:"-"`
	// DeliveredAt is NULL while it waits for DeliverEvents, and 0 if it is not to be delivered.
	DeliveredAt *UnixMilli `gorm:"column:delivered_at;type:bigint;index:,composite:delivered_at,priority:1" json:"-"`
	// Tries is how often DeliverEvents has tried.
	Tries int `gorm:"column:tries;not null;type:integer" json:"-"`
}

// TableName returns the default table name; see [WithTableNames].
func (LoggedEventOf[P]) TableName(namer schema.Namer) string {
	return namer.JoinTableName(defaultEventTable)
}

// logRows is how many rows one INSERT writes at most: Cloudflare D1 takes 100 parameters.
const logRows = 6

// log writes the rows of one call's events.
func (r *RepositoryOf[U, K, S]) log(tx *gorm.DB, events []event.Event) error {
	var rows []*LoggedEventOf[U]
	for i, e := range events {
		signedIn := i+1 < len(events) && events[i+1].Type == event.SignedIn
		if e.Type == event.SessionRenewed || e.Type == event.SessionOpened && signedIn {
			continue
		}
		row := &LoggedEventOf[U]{
			ID: eventID(e.At), At: e.At, Type: e.Type, UserID: e.UserID, ActorID: e.ActorID, SessionID: e.SessionID, KeyID: r.loggedKey(e),
			Methods: e.Methods, Purpose: e.Purpose, Reason: reasonOf(e), Address: e.Address, Agent: e.Agent,
		}
		if !r.opts.delivery {
			row.DeliveredAt = new(UnixMilli)
		}
		rows = append(rows, row)
	}
	for len(rows) > 0 {
		n := min(len(rows), logRows)
		if err := tx.Session(&gorm.Session{SkipHooks: true}).Create(rows[:n]).Error; err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// byID is the order in which events were written.
var byID = clause.OrderByColumn{Column: clause.Column{Name: "id"}}

// eventCount keeps events of one millisecond in their order.
var eventCount atomic.Uint64

// eventID returns an id that sorts by time.
func eventID(at UnixMilli) string {
	return fmt.Sprintf("%s-%07d-%s", eventIDAt(at), eventCount.Add(1)%10_000_000, random.String(17))
}

// eventIDAt is what the ids of a millisecond begin with.
func eventIDAt(at UnixMilli) string { return fmt.Sprintf("%013d", max(0, at)) }

// reasonOf returns a word for why something happened. An error's own text may hold anything.
func reasonOf(e event.Event) string {
	switch {
	case e.Err == nil:
		return e.Reason
	case errors.Is(e.Err, ErrKeyNotFound):
		return "unknown key"
	case errors.Is(e.Err, ErrInvalidPassword):
		return "wrong password"
	case errors.Is(e.Err, ErrSuspended):
		return "suspended"
	}
	return "unreadable hash"
}

// loggedKey returns the name of a key that exists. What was typed for one that does not may be a
// password, in the wrong field.
func (r *RepositoryOf[U, K, S]) loggedKey(e event.Event) string {
	switch {
	case e.KeyID == (KeyID{}):
		return ""
	case !errors.Is(e.Err, ErrKeyNotFound):
		return e.KeyID.String()
	case !r.opts.eventSecretGiven:
		return e.KeyID.Provider + ":?"
	}
	mac := hmac.New(sha256.New, r.opts.eventSecret)
	mac.Write([]byte(e.KeyID.String()))
	return e.KeyID.Provider + ":?" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// checkEventLog refuses the operations if the plugin has no table for them.
func (r *RepositoryOf[U, K, S]) checkEventLog() error {
	if r.err == nil && r.b.events == nil {
		return &UsageError{"plugin", "has no event log; give it WithEventLog"}
	}
	return r.err
}

// UserEvents returns the latest events of a user, the newest first, for a page on which people see
// what happened to their account: 1 to 1000 of them. The next page are those before the last
// event's ID; "" begins with the newest. It needs [WithEventLog].
func (r *RepositoryOf[U, K, S]) UserEvents(ctx context.Context, userID, before string, limit int) ([]*LoggedEventOf[U], error) {
	if err := errors.Join(r.checkEventLog(), r.checkUserID(userID)); err != nil {
		return nil, err
	}
	if before != "" {
		if err := checkText("before", before, eventIDSize); err != nil {
			return nil, err
		}
	}
	if limit < 1 || limit > 1000 {
		return nil, &UsageError{"limit", fmt.Sprintf("is %d, outside 1 to 1000", limit)}
	}
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	events := []*LoggedEventOf[U]{}
	query := db.Where(column("user_id", userID))
	if before != "" {
		query = query.Where(clause.Lt{Column: field("id"), Value: before})
	}
	err = query.Order(clause.OrderByColumn{Column: byID.Column, Desc: true}).Limit(limit).Find(&events).Error
	return events, callerError(ctx, "list events", err)
}

// PurgeEvents deletes the events of before a time, delivered or not, and returns how many. It works
// in batches that each commit by themselves, and may be stopped through ctx and called again.
func (r *RepositoryOf[U, K, S]) PurgeEvents(ctx context.Context, before time.Time, opts ...CleanupOption) (purged int64, err error) {
	o, err := newCleanup(opts)
	if err = errors.Join(r.checkEventLog(), err); err != nil {
		return 0, err
	}
	older := clause.Lt{Column: clause.Column{Table: clause.CurrentTable, Name: "id"}, Value: eventIDAt(UnixMilli(before.UnixMilli()))}
	return purged, r.deleteInBatches(ctx, &purged, o, expired{"purge events", r.b.events, "id", older})
}

// AnonymizeUser removes from the events of a user what says who they were: the ids of the user, the
// key and the session, the address and the agent. Type and time stay. Those that wait for
// [RepositoryOf.DeliverEvents] are not delivered any more. What the user did to others, as
// ActorID, stays. It works in batches that each commit by themselves, and returns how many events
// it changed. Call it after DeleteUser, which leaves the log as it is.
func (r *RepositoryOf[U, K, S]) AnonymizeUser(ctx context.Context, userID string) (changed int64, err error) {
	if err := errors.Join(r.checkEventLog(), r.checkUserID(userID)); err != nil {
		return 0, err
	}
	const op = "anonymize user"
	if err := r.checkReadsBack(); err != nil {
		return 0, err
	}
	for none := 0; ; {
		db, err := r.session(ctx)
		if err != nil {
			return changed, err
		}
		var rows []*LoggedEventOf[U]
		if err := db.Where(column("user_id", userID)).Order(byID).Limit(40).Find(&rows).Error; err != nil || len(rows) == 0 {
			return changed, callerError(ctx, op, err)
		}
		n, err := r.anonymize(ctx, op, userID, rows)
		changed += n
		if err != nil {
			return changed, err
		}
		if n > 0 {
			none = 0
		} else if none++; none == engine.MaxTries || r.inTransaction() { // else another call was faster
			return changed, ErrBusy
		}
	}
}

// anonymize changes one batch of a user's events by one statement.
func (r *RepositoryOf[U, K, S]) anonymize(ctx context.Context, op, userID string, rows []*LoggedEventOf[U]) (int64, error) {
	if r.b.engine.Sharded() {
		return r.moveAnonymized(ctx, op, userID, rows)
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	actor, waits := clause.Column{Name: "actor_id"}, clause.Column{Name: "delivered_at"}
	var result *gorm.DB
	err := r.doOne(ctx, op, false, func(u *unit) error {
		u.then(func(tx *gorm.DB) error {
			result = tx.Model(new(LoggedEventOf[U])).Where(column("user_id", userID)).Where(r.b.idIn(ids)).UpdateColumns(map[string]any{
				"user_id": "", "key_id": "", "session_id": "", "address": "", "agent": "",
				"actor_id":     clause.Expr{SQL: "CASE WHEN ? = ? THEN '' ELSE ? END", Vars: []any{actor, userID, actor}},
				"delivered_at": clause.Expr{SQL: "COALESCE(?, 0)", Vars: []any{waits}},
			})
			return result.Error
		})
		return nil
	})
	if err != nil {
		return 0, err
	}
	return r.b.rowsOf([]*gorm.DB{result}), nil
}

// moveAnonymized does the same where the user's id says on which shard a row is: the row is deleted
// there, and inserted without a user.
func (r *RepositoryOf[U, K, S]) moveAnonymized(ctx context.Context, op, userID string, rows []*LoggedEventOf[U]) (int64, error) {
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
		row.UserID, row.KeyID, row.SessionID, row.Address, row.Agent = "", "", "", "", ""
		if row.ActorID == userID {
			row.ActorID = ""
		}
		if row.DeliveredAt == nil {
			row.DeliveredAt = new(UnixMilli)
		}
	}
	err := r.do(ctx, op, func(u *unit) error {
		u.then(func(tx *gorm.DB) error {
			result := tx.Where(column("user_id", userID)).Where(r.b.idIn(ids)).Delete(new(LoggedEventOf[U]))
			if result.Error == nil && result.RowsAffected != int64(len(rows)) {
				return errChanged // another call has moved some
			}
			return result.Error
		})
		u.then(func(tx *gorm.DB) error { return tx.Session(&gorm.Session{SkipHooks: true}).Create(rows).Error })
		return nil
	})
	switch {
	case errors.Is(err, errChanged):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return int64(len(rows)), nil
}

// checkEventOptions refuses options of the event log that do not fit together.
func (o *options) checkEventOptions() error {
	switch {
	case !o.eventSecretGiven:
		return nil
	case !o.eventLog:
		return errors.New("WithEventLogSecret: needs WithEventLog")
	case len(o.eventSecret) < 16 || strings.Trim(string(o.eventSecret), string(o.eventSecret[:1])) == "":
		return errors.New("WithEventLogSecret: the secret has under 16 bytes, or all of them are equal: take 32 from crypto/rand")
	}
	return nil
}
