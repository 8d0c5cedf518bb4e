package gormkey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const (
	// deliveryLease is how long one delivery may take, and after the spare time another process may
	// try: the claim itself may take a while.
	deliveryLease = time.Minute
	deliverySpare = 30 * time.Second
	// deliveryTries is how often an event is tried: for 9 hours, with the pauses of deliveryPause.
	deliveryTries = 20
	// deliveryPage is how many events are read at once.
	deliveryPage = 100
)

// deliveryPause is how long an event waits after so many failures: 2, 4, 8 … seconds, an hour at
// most.
func deliveryPause(tries int) time.Duration { return min(time.Second<<min(tries, 12), time.Hour) }

// DeliverEvents calls a function with events that nobody has delivered yet, for mails, webhooks and
// metrics: 1 to 1000 of them. It returns how many it delivered. Call it from a job, every few
// seconds; several processes may do so at once. It needs [WithEventDelivery].
//
// Each event is delivered at least once: again if the process ends before it has noted that the
// function succeeded. So let the function be repeatable, by the event's ID for example. Events of
// one user come one after the other, in the order of their ids, and none comes while an earlier one
// waits. Ids have the clock of the process that wrote them, and an event is seen once its
// transaction has committed: of two transactions that ran at once the later one may come first.
// The function has a minute, which its context ends.
//
// If the function fails, or panics, the event waits: 2 seconds, then twice as long each time, an
// hour at most. After 20 failures it is given up, which the log says. The errors are joined in err,
// with what was delivered all the same. It may be stopped through ctx.
//
// An event holds no token and no link. Make them in the function, or mail them where they are
// issued. It returns a [UsageError] in a transaction of yours, or if the plugin lacks the option.
func (r *RepositoryOf[U, K, S]) DeliverEvents(ctx context.Context, limit int, deliver func(ctx context.Context, e *LoggedEventOf[U]) error) (delivered int, err error) {
	if err := r.checkDelivery(limit, deliver == nil); err != nil {
		return 0, err
	}
	var failures []error
	waits, last := map[string]bool{}, ""
	for {
		page, err := r.waitingEvents(ctx, last)
		if err != nil || len(page) == 0 {
			return delivered, errors.Join(append(failures, err)...)
		}
		last = page[len(page)-1].ID
		for _, e := range page {
			if waits[e.UserID] {
				continue
			}
			done, err := r.deliverEvent(ctx, e, deliver)
			if failed := new(deliveryError); errors.As(err, &failed) {
				failures = append(failures, failed)
			} else if err != nil {
				return delivered, errors.Join(append(failures, err)...)
			}
			if done {
				delivered++
			} else if e.UserID != "" {
				waits[e.UserID] = true
			}
			if delivered+len(failures) == limit {
				return delivered, errors.Join(failures...)
			}
		}
	}
}

// checkDelivery refuses what DeliverEvents cannot work with.
func (r *RepositoryOf[U, K, S]) checkDelivery(limit int, isNil bool) error {
	switch {
	case r.err != nil:
		return r.err
	case !r.opts.delivery:
		return &UsageError{"plugin", "keeps no events for delivery; give it WithEventDelivery"}
	case limit < 1 || limit > 1000:
		return &UsageError{"limit", fmt.Sprintf("is %d, outside 1 to 1000", limit)}
	case isNil:
		return &UsageError{"deliver", "is nil"}
	case r.inTransaction():
		return &UsageError{"db", "is in a transaction, whose claims other processes do not see; call DeliverEvents on the root handle"}
	}
	return nil
}

// waitingEvents returns events that wait, behind an id. Those that another call has claimed are
// among them: a later event of the same user has to wait for them.
func (r *RepositoryOf[U, K, S]) waitingEvents(ctx context.Context, last string) (page []*LoggedEventOf[U], err error) {
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	id, at := clause.Column{Table: clause.CurrentTable, Name: "id"}, clause.Column{Table: clause.CurrentTable, Name: "delivered_at"}
	err = db.Where(clause.Eq{Column: at, Value: nil}).Where(clause.Gt{Column: id, Value: last}).
		Order(byID).Limit(deliveryPage).Find(&page).Error
	return page, callerError(ctx, "deliver events", err)
}

// deliverEvent claims an event, delivers it and notes that. It reports false for an event that
// another call has, and for one that waits after a failure.
func (r *RepositoryOf[U, K, S]) deliverEvent(ctx context.Context, e *LoggedEventOf[U], deliver func(ctx context.Context, e *LoggedEventOf[U]) error) (done bool, err error) {
	now := r.opts.now()
	if e.ClaimedUntil != nil && *e.ClaimedUntil >= now {
		return false, nil // it waits, or another call has it
	}
	lease := now + milli(deliveryLease+deliverySpare)
	claimed, err := r.changeEvent(ctx, e.ID, map[string]any{"claimed_until": lease, "tries": e.Tries + 1},
		clause.Expr{SQL: "(? IS NULL OR ? < ?) AND ? = ?", Vars: []any{field("claimed_until"), field("claimed_until"), now, field("tries"), e.Tries}})
	if err != nil || !claimed {
		return false, err
	}
	e.Tries++
	failed := callDeliver(ctx, e, deliver)
	if failed == nil {
		// Also if the lease has ended meanwhile: it has been delivered.
		_, err := r.changeEvent(context.WithoutCancel(ctx), e.ID, map[string]any{"delivered_at": r.opts.now()}, clause.Expr{SQL: "1 = 1"})
		return err == nil, err
	}
	mine := clause.Expr{SQL: "? = ?", Vars: []any{field("tries"), e.Tries}}
	if ctx.Err() != nil { // it was stopped, which is no fault of the function's
		_, err := r.changeEvent(context.WithoutCancel(ctx), e.ID, map[string]any{"claimed_until": nil, "tries": e.Tries - 1}, mine)
		return false, errors.Join(fmt.Errorf("gormkey: deliver events: %w", ctx.Err()), err)
	}
	values := map[string]any{"claimed_until": r.opts.now() + milli(deliveryPause(e.Tries))}
	if e.Tries >= deliveryTries {
		values = map[string]any{"delivered_at": 0}
		r.app.logger.Error(ctx, "%s", fmt.Sprintf("gormkey: gave up delivering event %s (%s) after %d tries: %v", e.ID, e.Type, e.Tries, failed))
	}
	if _, err := r.changeEvent(context.WithoutCancel(ctx), e.ID, values, mine); err != nil {
		return false, err
	}
	return false, &deliveryError{e.ID, string(e.Type), failed}
}

// field is a column of the statement's table.
func field(name string) clause.Column {
	return clause.Column{Table: clause.CurrentTable, Name: name}
}

// changeEvent changes an event that still waits, if the guard holds, and reports whether it did.
func (r *RepositoryOf[U, K, S]) changeEvent(ctx context.Context, id string, values map[string]any, guard clause.Expression) (changed bool, err error) {
	var result *gorm.DB
	// Without a transaction, since no hook hears of it.
	err = r.run(ctx, "deliver events", false, func(u *unit) error {
		u.then(func(tx *gorm.DB) error {
			result = tx.Model(new(LoggedEventOf[U])).Where(r.b.idIs(id)).Where(clause.Eq{Column: field("delivered_at"), Value: nil}).Where(guard).UpdateColumns(values)
			return result.Error
		})
		return nil
	})
	if err != nil {
		return false, err
	}
	return r.b.rowsOf([]*gorm.DB{result}) > 0, nil
}

// callDeliver calls the application's function within the lease. A panic is an error of it.
func callDeliver[E any](ctx context.Context, e E, deliver func(ctx context.Context, e E) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryLease)
	defer cancel()
	defer func() {
		if failed := recover(); failed != nil {
			err = fmt.Errorf("panic: %v", failed)
		}
	}()
	return deliver(ctx, e)
}

// deliveryError is the application's error for one event.
type deliveryError struct {
	id, kind string
	cause    error
}

func (e *deliveryError) Error() string {
	return fmt.Sprintf("gormkey: delivering event %s (%s): %v", e.id, e.kind, e.cause)
}

func (e *deliveryError) Unwrap() error { return e.cause }
