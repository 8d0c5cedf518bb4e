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

// unit is one run of an operation in its transaction. The operation reads by tx, decides, and
// lists its writes. They run in their order when it has returned, in the same transaction. So
// an operation works on every engine, also where a transaction is a batch that is sent at its
// end and cannot read what it wrote.
//
// A transaction may run again after a deadlock, each time with a new unit. So an operation
// leaves nothing behind in Go that a second run would trip over.
type unit struct {
	tx     *gorm.DB
	emit   func(tx *gorm.DB, events ...event.Event) error // nil if nobody is to be told
	writes []func(tx *gorm.DB) error
	first  [4]func(tx *gorm.DB) error // room for the writes of most operations
	last   func(tx *gorm.DB) error
}

// then lists a write.
func (u *unit) then(write func(tx *gorm.DB) error) { u.writes = append(u.writes, write) }

// tell lists events for the hooks, which get them after the writes that are listed already.
func (u *unit) tell(events ...event.Event) {
	if u.emit == nil {
		return
	}
	u.then(func(tx *gorm.DB) error { return u.emit(tx, events...) })
}

// finally sets what reads back what the writes wrote. It comes last in the transaction, or
// after it where a transaction is a batch.
func (u *unit) finally(read func(tx *gorm.DB) error) { u.last = read }

// write runs the listed writes. The first error ends the transaction, and with it what was
// written before.
func (u *unit) write() error {
	for _, write := range u.writes {
		if err := write(u.tx); err != nil {
			return err
		}
	}
	return nil
}

// do runs an operation in a transaction of its own, or in a savepoint of the caller's.
func (r *RepositoryOf[U, K, S]) do(ctx context.Context, op string, work func(u *unit) error) error {
	return r.run(ctx, op, true, work)
}

// doOne is do for an operation that reads nothing and writes one statement, which is atomic by
// itself: it saves the cost of a transaction. With several statements, or hooks to tell, there
// is one after all.
func (r *RepositoryOf[U, K, S]) doOne(ctx context.Context, op string, several bool, work func(u *unit) error) error {
	return r.run(ctx, op, several || r.err != nil || len(r.opts.hooks) > 0 || r.inTransaction(), work)
}

// run begins each try with an empty unit. What is read back comes after the commit of a batch,
// and in a caller's batch, whose end is the caller's, it is refused.
func (r *RepositoryOf[U, K, S]) run(ctx context.Context, op string, transaction bool, work func(u *unit) error) error {
	u := new(unit)
	step := func(tx *gorm.DB) error {
		*u = unit{tx: tx}
		u.writes = u.first[:0]
		if len(r.opts.hooks) > 0 {
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

// readBack reads what a batch has written.
func (r *RepositoryOf[U, K, S]) readBack(ctx context.Context, op string, read func(tx *gorm.DB) error) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	err = callerError(ctx, op, read(db))
	if err == nil || isOurs(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err) // written, and not seen
}

// errInBatch refuses what cannot work in a transaction of the caller's.
var errInBatch = &UsageError{"db", "is in a transaction, whose statements are sent at its end on this database; call it on the root handle"}

// checkReadsBack refuses an operation that reads what it wrote in a caller's batch.
func (r *RepositoryOf[U, K, S]) checkReadsBack() error {
	if r.b.engine.Batches() && r.inTransaction() {
		return errInBatch
	}
	return nil
}

// session returns a handle for the statements of one operation.
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
	if _, ok := db.Plugins["gorm:db_resolver"]; ok {
		db = db.Set(engine.WriteSource, struct{}{}).Session(&gorm.Session{})
	}
	return db, nil
}

// inTransaction reports whether the handle is a transaction of the caller's.
func (r *RepositoryOf[U, K, S]) inTransaction() bool {
	_, ok := r.db.Statement.ConnPool.(gorm.TxCommitter)
	return ok
}

// transact runs work in a transaction, or in a savepoint of the caller's.
func (r *RepositoryOf[U, K, S]) transact(ctx context.Context, op string, work func(tx *gorm.DB) error) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	if r.inTransaction() {
		return callerError(ctx, op, db.Transaction(work))
	}
	return r.retry(ctx, op, func() error {
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

// withoutTransaction sends the one statement of an operation. If its answer is lost, nobody
// knows whether it was done.
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

// retry repeats a transaction of our own after a deadlock and its like, but not one that
// waited long for a lock already.
func (r *RepositoryOf[U, K, S]) retry(ctx context.Context, op string, try func() error) error {
	began := time.Now()
	for n := 1; ; n++ {
		err := try()
		stale := errors.Is(err, errStale) // another call came first
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

// commitError tells a refused commit from one whose answer was lost. Of a batch it says what
// the statement that failed means to the operation.
func (b *binding) commitError(err error) error {
	if meaning := b.batchError(err); meaning != nil {
		return meaning
	}
	switch {
	case engine.IsRolledBack(err):
		return fmt.Errorf("%w: %w", ErrRolledBack, err)
	case engine.Code(err) != "", errors.Is(err, sql.ErrTxDone):
		return err
	case err == context.Canceled || err == context.DeadlineExceeded: // as database/sql returns it before it asks the driver
		return err
	case !b.engine.LostCommit(err):
		return err
	}
	return &sentinelError{ErrOutcomeUnknown, err}
}

// forApplication returns a handle on the same transaction with the settings that the
// application gave its own.
func (r *RepositoryOf[U, K, S]) forApplication(tx *gorm.DB) *gorm.DB {
	tx = tx.Session(&gorm.Session{})
	c, app := tx.Config, r.app
	c.Logger, c.TranslateError, c.SkipDefaultTransaction = app.logger, app.translateError, app.skipDefaultTransaction
	c.DisableNestedTransaction, c.QueryFields = app.disableNestedTransaction, app.queryFields
	return tx
}
