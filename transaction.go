package gormkey

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/internal/engine"
)

// unit is one run of an operation in its transaction. The operation first reads by tx and
// decides. It lists its writes by then, and they run in their order after it has returned, in the
// same transaction:
//
//	err := r.do(ctx, "rename key", func(u *unit) error {
//		if err := r.lockOwner(u.tx, userID); err != nil { // reads and locks
//			return err
//		}
//		u.then(func(tx *gorm.DB) error { … }) // writes
//		u.tell(event.Event{…})                // and tells the hooks
//		return nil
//	})
//
// Reads come before writes because of Cloudflare D1. There a transaction is a batch that is sent
// at its end, and nothing can be read in it.
//
// A transaction may run again after a deadlock, each time with a new unit. So an operation leaves
// nothing behind in Go that a second run would trip over.
type unit struct {
	tx     *gorm.DB
	emit   func(tx *gorm.DB, events ...event.Event) error // nil if nobody is to be told
	writes []func(tx *gorm.DB) error
	first  [4]func(tx *gorm.DB) error // room for the writes of most operations
	last   func(tx *gorm.DB) error
}

// then lists a write.
func (u *unit) then(write func(tx *gorm.DB) error) { u.writes = append(u.writes, write) }

// tell lists events for the hooks. A hook so sees what was listed before its event, and its error
// rolls everything back.
func (u *unit) tell(events ...event.Event) {
	if u.emit == nil {
		return
	}
	u.then(func(tx *gorm.DB) error { return u.emit(tx, events...) })
}

// finally sets a read that needs what the writes wrote. It comes last in the transaction, or
// after it where a transaction is a batch.
func (u *unit) finally(read func(tx *gorm.DB) error) { u.last = read }

// write runs the listed writes. The first error ends the transaction, and undoes the earlier
// writes with it.
func (u *unit) write() error {
	for _, write := range u.writes {
		if err := write(u.tx); err != nil {
			return err
		}
	}
	return nil
}

// do runs an operation in a transaction of its own, or in a savepoint of the caller's
// transaction. Op names the operation in errors, as in "gormkey: rename key: database error
// 55P03".
func (r *RepositoryOf[U, K, S]) do(ctx context.Context, op string, work func(u *unit) error) error {
	return r.run(ctx, op, true, work)
}

// doOne is do for an operation that writes one statement and reads nothing. Such a statement is
// atomic by itself, so BEGIN and COMMIT are saved: on a server these are two of three round
// trips. If several is true, or there are hooks to tell, there is a transaction after all.
func (r *RepositoryOf[U, K, S]) doOne(ctx context.Context, op string, several bool, work func(u *unit) error) error {
	return r.run(ctx, op, several || r.acting != nil || r.err != nil || r.opts.tells() || r.inTransaction(), work)
}

// run runs an operation, and tells of it what is told after a commit.
func (r *RepositoryOf[U, K, S]) run(ctx context.Context, op string, transaction bool, work func(u *unit) error) error {
	ctx, told, own := r.collect(ctx)
	forget := told.mark()
	err := r.tries(ctx, op, transaction, forget, work)
	switch {
	case err != nil:
		forget() // inside a transaction only a savepoint was rolled back, and the rest may be committed
	case own:
		r.deliver(ctx, told.events)
	}
	return err
}

// tries begins each try with an empty unit, and forgets what an earlier one has told. A batch is read back after its commit. In a batch of
// the caller's, which ends after the operation, an operation that reads back is refused.
func (r *RepositoryOf[U, K, S]) tries(ctx context.Context, op string, transaction bool, forget func(), work func(u *unit) error) error {
	u := new(unit)
	step := func(tx *gorm.DB) error {
		forget()
		*u = unit{tx: tx}
		u.writes = u.first[:0]
		if r.opts.tells() {
			u.emit = r.emit
		}
		if err := work(u); err != nil {
			return err
		}
		if u.last != nil && r.b.engine.Batches() {
			if r.inTransaction() {
				return errInBatch
			}
			return u.write()
		}
		if err := u.write(); err != nil || u.last == nil {
			return err
		}
		return u.last(tx)
	}
	if !transaction {
		return r.withoutTransaction(ctx, op, step)
	}
	err := r.transact(ctx, op, step)
	if err != nil || u.last == nil || !r.b.engine.Batches() {
		return err
	}
	return r.readBack(ctx, op, u.last)
}

// readBack reads the rows that a batch has written. If the read fails, the write is done all the
// same, and the caller must not take the error for "nothing happened".
func (r *RepositoryOf[U, K, S]) readBack(ctx context.Context, op string, read func(tx *gorm.DB) error) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	err = callerError(ctx, op, read(db))
	if err == nil || isOurs(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
}

// errInBatch refuses an operation that cannot work in a batch of the caller's.
var errInBatch = &UsageError{"db", "is in a transaction, whose statements are sent at its end on this database; call it on the root handle"}

// checkReadsBack refuses an operation in a caller's batch if it has to know how many rows it
// changed.
func (r *RepositoryOf[U, K, S]) checkReadsBack() error {
	if r.b.engine.Batches() && r.inTransaction() {
		return errInBatch
	}
	return nil
}

// session returns a handle for the statements of one operation. A context that has ended already
// costs no statement.
func (r *RepositoryOf[U, K, S]) session(ctx context.Context) (*gorm.DB, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("gormkey: %w", err)
	}
	db := r.db.Session(&gorm.Session{Context: ctx})
	// dbresolver would read from a replica, which may not have heard yet that a session has
	// ended. Its setting for the primary is used without importing it.
	if _, ok := db.Plugins["gorm:db_resolver"]; ok {
		db = db.Set(engine.WriteSource, struct{}{}).Session(&gorm.Session{})
	}
	return db, nil
}

// inTransaction reports whether the handle is a transaction of the caller's. The library then
// only sets savepoints, repeats nothing, and cannot choose the isolation level.
func (r *RepositoryOf[U, K, S]) inTransaction() bool {
	_, ok := r.db.Statement.ConnPool.(gorm.TxCommitter)
	return ok
}

// transact runs work in a transaction, or in a savepoint of the caller's. The savepoint is needed
// on PostgreSQL, where a failed INSERT would otherwise abort the caller's whole transaction.
func (r *RepositoryOf[U, K, S]) transact(ctx context.Context, op string, work func(tx *gorm.DB) error) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	if r.inTransaction() {
		return callerError(ctx, op, db.Transaction(work))
	}
	return r.retry(ctx, op, func() error {
		// An error of work comes before the commit, so nothing was done. An error of the commit
		// itself may be a lost answer. db.Transaction returns both in the same way, so committing
		// tells them apart.
		committing := false
		err := db.Transaction(func(tx *gorm.DB) error {
			committing = false
			err := work(tx)
			committing = err == nil
			return err
		}, r.b.engine.TxOptions()...)
		if err == nil || !committing {
			return err
		}
		return r.b.commitError(err)
	})
}

// withoutTransaction sends the one statement of an operation. It commits by itself, so if the
// connection is lost before the answer arrives, nobody knows whether it was done.
func (r *RepositoryOf[U, K, S]) withoutTransaction(ctx context.Context, op string, work func(tx *gorm.DB) error) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	return r.retry(ctx, op, func() error {
		err := work(db)
		if err != nil && ctx.Err() == nil && engine.Code(err) == "" && engine.IsConnectionLost(err) {
			return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
		}
		return err
	})
}

// retry repeats a transaction of our own after a deadlock, a busy SQLite, or a batch that another
// call came ahead of: five tries at most, and none after ten seconds. The pause before each try
// is random and grows, so that two transactions do not meet again and again. A try that waited
// long for a lock is not repeated, because the caller's request has waited long enough.
func (r *RepositoryOf[U, K, S]) retry(ctx context.Context, op string, try func() error) error {
	began := time.Now()
	for n := 1; ; n++ {
		err := try()
		stale := errors.Is(err, errStale) // another call came first
		// Another process has changed a table, so this prepared statement fails for good; see
		// plan.go.
		plan := engine.IsStalePlan(err)
		if plan {
			r.b.plans.generation.Add(1)
		}
		again := (stale || plan || Retryable(err)) && !errors.Is(err, ErrOutcomeUnknown)
		if err == nil || n == engine.MaxTries || !again || time.Since(began) > engine.RetryWithin {
			if stale {
				err = fmt.Errorf("%w: %w", ErrBusy, err)
			}
			return callerError(ctx, op, err)
		}
		if engine.Pause(ctx, time.Duration(n)*engine.RetryLongest) != nil {
			return callerError(ctx, op, err)
		}
	}
}

// commitError tells a refused commit from one whose answer was lost. For a batch, which sends all
// of its statements with the commit, it also says what the failed statement means to the
// operation.
func (b *binding) commitError(err error) error {
	if meaning := b.batchError(err); meaning != nil {
		return meaning
	}
	switch {
	case engine.IsRolledBack(err):
		return fmt.Errorf("%w: %w", ErrRolledBack, err)
	case engine.Code(err) != "", errors.Is(err, sql.ErrTxDone):
		return err
	case err == context.Canceled || err == context.DeadlineExceeded: // database/sql returns these as they are, and has asked no driver
		return err
	case !b.engine.LostCommit(err):
		return err
	}
	return &sentinelError{ErrOutcomeUnknown, err}
}

// forApplication returns a handle on the same transaction with the settings of the application's
// own handle. A hook's statements are logged, and their errors translated, as the application is
// used to.
func (r *RepositoryOf[U, K, S]) forApplication(tx *gorm.DB) *gorm.DB {
	tx = tx.Session(&gorm.Session{})
	c, app := tx.Config, r.app
	c.Logger, c.TranslateError, c.SkipDefaultTransaction = app.logger, app.translateError, app.skipDefaultTransaction
	c.DisableNestedTransaction, c.QueryFields = app.disableNestedTransaction, app.queryFields
	return tx
}
