package gormkey

import (
	"context"
	"fmt"

	"github.com/gormkey/gormkey/event"
)

// WithAfterCommit adds a function that is told of [event.Event]s once they are certain: after the
// library's own transaction has committed, and never for a try that was rolled back. It is the
// place for a mail or a metric. Functions run in the order in which they were given, in the
// goroutine of the call and before it returns, so hand slow work to another goroutine. A panic is
// logged and goes no further: the operation has been done.
//
// It is told nothing if the commit's outcome is unknown ([ErrOutcomeUnknown]), if the process ends
// between the commit and the call, and in a transaction of yours, of whose commit the library does
// not hear. What must not get lost belongs into a table that a hook writes: see [WithHook].
//
// The context is that of the operation, without its end.
func WithAfterCommit(f func(ctx context.Context, e event.Event)) Option {
	return func(o *options) { o.after = append(o.after, f) }
}

// tells reports whether anybody wants to hear of events.
func (o *options) tells() bool { return len(o.hooks)+len(o.after) > 0 }

// told collects the events of one try of an operation until it has committed. The
// context carries it, so that an operation on the same transaction, inside UseToken or a hook,
// adds to it.
type told struct{ events []event.Event }

type toldKey struct{}

// collect returns a context by which events are collected, for an operation in a transaction of
// the library's own. Inside such a transaction that is the context of the outer one.
func (r *RepositoryOf[U, K, S]) collect(ctx context.Context) (context.Context, *told) {
	if len(r.opts.after) == 0 || ctx == nil || r.err != nil {
		return ctx, nil
	}
	if r.inTransaction() {
		if outer, ok := r.db.Statement.Context.Value(toldKey{}).(*told); ok {
			ctx = context.WithValue(ctx, toldKey{}, outer)
		}
		return ctx, nil
	}
	own := new(told)
	return context.WithValue(ctx, toldKey{}, own), own
}

// deliver tells the functions of [WithAfterCommit].
func (r *RepositoryOf[U, K, S]) deliver(ctx context.Context, events []event.Event) {
	ctx = context.WithoutCancel(ctx)
	for _, e := range events {
		for _, f := range r.opts.after {
			r.tellSafely(ctx, e, f)
		}
	}
}

func (r *RepositoryOf[U, K, S]) tellSafely(ctx context.Context, e event.Event, f func(context.Context, event.Event)) {
	defer func() {
		if failed := recover(); failed != nil {
			r.app.logger.Error(ctx, "%s", fmt.Sprintf("gormkey: WithAfterCommit of %q panicked: %v", e.Type, failed))
		}
	}()
	f(ctx, e)
}
