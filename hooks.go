package gormkey

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/internal/engine"
)

// WithHook adds a hook, which is told of [event.Event]s. Hooks run in the order in which they
// were given, inside the operation's transaction: an error of a hook rolls the operation back.
// Hooks of operations that run at once run at once too.
func WithHook(hook event.Hook) Option { return func(o *options) { o.hooks = append(o.hooks, hook) } }

// emit calls the hooks. Events of one call carry the same time.
func (r *RepositoryOf[U, K, S]) emit(tx *gorm.DB, events ...event.Event) error {
	if !r.opts.tells() {
		return nil
	}
	told := collected(tx.Statement.Context)
	at, origin := r.opts.now(), event.OriginOf(tx.Statement.Context)
	events = slices.Clone(events)
	for i := range events {
		e := &events[i]
		e.At, e.Address, e.Agent = at, origin.Address, origin.Agent
		e.ActorID = cmp.Or(e.ActorID, origin.ActorID)
		if r.acting != nil {
			e.ActorID = cmp.Or(e.ActorID, r.acting.userID)
		}
		e.SessionID = SessionID(e.SessionID.String()) // with WithLuciaV2 the id is the token, and an event must not hold it
		for _, hook := range r.opts.hooks {
			end := r.b.undone.watch(tx)
			err := hook(r.forApplication(tx), *e)
			if deadlock := end(); err == nil {
				err = deadlock
			}
			if err != nil {
				return fmt.Errorf("hook of %q: %w", e.Type, err)
			}
		}
		if told != nil {
			told.events = append(told.events, *e)
		}
	}
	if r.b.events != nil {
		return r.log(tx, events)
	}
	return nil
}

// undone notes the transactions that a deadlock has undone while a hook ran in them. MySQL undoes
// the whole transaction, and commits every later statement by itself. If the hook ignores the
// error, then half of an operation would be done and the caller would hear of a success.
type undone struct {
	watched sync.Map // gorm.ConnPool → *watch
}

type watch struct {
	mu  sync.Mutex
	err error
}

// watch begins to look at the transaction of tx. End stops that, and returns the deadlock if
// there was one.
func (u *undone) watch(tx *gorm.DB) (end func() error) {
	pool, w := tx.Statement.ConnPool, new(watch)
	u.watched.Store(pool, w)
	return func() error {
		u.watched.Delete(pool)
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.err
	}
}

// note is called after each statement, the application's and the library's.
func (u *undone) note(tx *gorm.DB) {
	if !engine.UndoesTransaction(tx.Error) {
		return
	}
	if v, ok := u.watched.Load(tx.Statement.ConnPool); ok {
		w := v.(*watch)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = tx.Error
	}
}
