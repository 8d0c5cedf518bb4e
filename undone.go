package gormkey

import (
	"sync"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/internal/engine"
)

// undone knows of transactions that a deadlock has undone while a hook ran in them. MySQL
// undoes the whole transaction, and what is sent after it is committed statement by
// statement: if the hook ignores the error, half of an operation would be done.
type undone struct {
	watched sync.Map // gorm.ConnPool → *watch
}

type watch struct {
	mu  sync.Mutex
	err error
}

// watch begins to look at the transaction of tx. End returns the deadlock that there was.
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

// note is called after each statement of the database.
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
