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
// It is told nothing if the commit's outcome is unknown ([ErrOutcomeUnknown]), and nothing if the
// process ends between the commit and the call. In a transaction of yours it is told nothing
// either, since the library does not hear of the commit; inside UseToken or a hook, it does not
// hear if you roll back a savepoint of your own. Let a hook write to a table what must not get
// lost: see [WithHook].
//
// The context is that of the operation, without its end.
func WithAfterCommit(f func(ctx context.Context, e event.Event)) Option {
	return func(o *options) { o.after = append(o.after, f) }
}

// tells reports whether anybody wants to hear of events.
func (o *options) tells() bool { return o.eventLog || len(o.hooks)+len(o.after) > 0 }

// told collects the events of one try of an operation until it has committed. The context carries
// it, so that an operation on the same transaction, inside UseToken or a hook, adds to it.
type told struct{ events []event.Event }

// collected returns what a context carries, nil for nothing.
func collected(ctx context.Context) *told {
	t, _ := ctx.Value(toldKey{}).(*told)
	return t
}

// mark returns what forgets the events that are told from now on.
func (t *told) mark() (forget func()) {
	if t == nil {
		return func() {}
	}
	n := len(t.events)
	return func() { t.events = t.events[:n] }
}

type toldKey struct{}

// collect returns a context by which events are collected, for an operation in a transaction of
// the library's own. Inside such a transaction that is the context of the outer one.
func (r *RepositoryOf[U, K, S]) collect(ctx context.Context) (_ context.Context, events *told, own bool) {
	if len(r.opts.after) == 0 || ctx == nil || r.err != nil {
		return ctx, nil, false
	}
	if own = !r.inTransaction(); own {
		events = new(told)
	} else if events = collected(r.db.Statement.Context); events == nil {
		return ctx, nil, false
	}
	return context.WithValue(ctx, toldKey{}, events), events, own
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
