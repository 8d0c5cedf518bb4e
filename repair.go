package gormkey

import (
	"context"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Repair deletes the rows whose user is not there: keys, sessions, one-time tokens and the rows
// of [WithOwned]. Where the constraint says OnDelete:SET NULL it sets the user to NULL instead.
// Tables that would restrict a delete are left as they are, and so is a user without a key.
//
// It works in batches that each commit by themselves, and returns how many rows it changed, with
// an error too: it may be stopped through ctx and called again. If the type or width of a column
// differs from that of the user's id, it changes nothing and returns a [tables.MismatchError].
func (r *RepositoryOf[U, K, S]) Repair(ctx context.Context, opts ...CleanupOption) (deleted int64, err error) {
	o, err := newCleanup(opts)
	if err != nil {
		return 0, err
	}
	if err := r.sameTypes(ctx); err != nil {
		return 0, err
	}
	for _, table := range r.b.owned {
		if table.onDelete == restrict {
			continue
		}
		if err := r.repairTable(ctx, table, o, &deleted); err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// repairTable goes through the orphans of a table in the order of their ids, and adds to
// repaired. Each batch begins behind the last id of the one before, so an orphan that cannot be
// changed does not stop it.
func (r *RepositoryOf[U, K, S]) repairTable(ctx context.Context, table owned, o cleanupOptions, repaired *int64) error {
	var after []any // the last id of the batch before, none at first
	for {
		ids, n, err := r.repairBatch(ctx, table, after, o.batch)
		*repaired += n
		if err != nil || len(ids) == 0 {
			return err
		}
		after = []any{ids[len(ids)-1]}
		if n > 0 {
			if err := o.progress(*repaired); err != nil {
				return err
			}
		}
	}
}

// sameTypes refuses to repair if rows may look like orphans only because of their types: an id
// that was cut has no user either.
func (r *RepositoryOf[U, K, S]) sameTypes(ctx context.Context) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	users, err := r.b.engine.Columns(db, r.b.user.Table)
	if err != nil {
		return callerError(ctx, "repair", err)
	}
	for _, o := range r.b.owned {
		columns, err := r.b.engine.Columns(db, o.Table)
		if err != nil {
			return callerError(ctx, "repair", err)
		}
		if err := r.b.sameTypes(o, columns, users); err != nil {
			return err
		}
	}
	return nil
}

// repairBatch finds orphans in the order of an id, and changes those that still are orphans. In
// the library's tables the id is the row's own. In the application's tables, whose ids may be of
// any type, it is that of the user who is not there, so all rows of one user are repaired
// together.
func (r *RepositoryOf[U, K, S]) repairBatch(ctx context.Context, o owned, after []any, size int) (ids []string, changed int64, err error) {
	const op = "repair"
	db, err := r.session(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := r.checkReadsBack(); err != nil {
		return nil, 0, err
	}
	size = min(size, r.b.engine.MostIDs())
	id, selected := clause.Column{Table: o.Table, Name: "id"}, "SELECT ?"
	if !o.ours {
		id.Name, selected = o.owner, "SELECT DISTINCT ?"
	}
	behind := clause.Expr{SQL: "1 = 1"}
	if len(after) > 0 {
		behind = clause.Expr{SQL: "? > ?", Vars: []any{id, after[0]}}
	}
	err = db.Raw(selected+" FROM ? WHERE ? AND ? ORDER BY ? LIMIT "+fmt.Sprint(size), id, o.table(), behind, r.b.orphaned(o), id).Scan(&ids).Error
	if err != nil || len(ids) == 0 {
		return nil, 0, callerError(ctx, op, err)
	}
	var result *gorm.DB
	err = r.do(ctx, op, func(u *unit) error {
		if r.b.engine.RowLocks() {
			// While a DELETE of PostgreSQL waits, the user may be created and the row changed. It
			// would see the new row and not the new user, and delete the row. A statement that
			// begins after the lock sees both.
			if err := u.tx.Exec("SELECT ? FROM ? WHERE ? FOR UPDATE", id, o.table(), r.b.among(id, ids)).Error; err != nil {
				return err
			}
		}
		u.then(func(tx *gorm.DB) error {
			result = r.b.releaseRows(tx, o, clause.Expr{SQL: "? AND ?", Vars: []any{r.b.among(id, ids), r.b.orphaned(o)}})
			return result.Error
		})
		return nil
	})
	if err != nil {
		return ids, 0, err
	}
	return ids, r.b.rowsOf([]*gorm.DB{result}), nil
}
