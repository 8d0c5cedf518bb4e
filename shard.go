package gormkey

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/internal/engine"
)

// deleteAll runs a delete until it finds fewer rows than one statement may delete. Vitess limits
// that; the other engines delete all rows at once. The query is built again each time, since GORM
// uses up a statement.
func (b *binding) deleteAll(run func(limit int) *gorm.DB) *gorm.DB {
	most := b.engine.MostDeleted()
	if most == 0 {
		return run(0)
	}
	total := int64(0)
	for {
		result := run(most)
		total += result.RowsAffected
		if result.Error != nil || result.RowsAffected < int64(most) {
			result.RowsAffected = total
			return result
		}
	}
}

// onShard adds the user to the condition of a write, so that Vitess finds the row's shard by the
// user. By the id alone it would look into the lookup vindex, and lock the entry there before the
// row. A write by the user locks the row first. Two such writes would wait for each other, and no
// database below Vitess would see the deadlock.
func (b *binding) onShard(tx *gorm.DB, userID string) *gorm.DB {
	if !b.engine.Sharded() {
		return tx
	}
	return tx.Where(b.ownerIs(userID))
}

// checkFree returns [ErrDuplicateKey] for a key id that somebody has, before anything is locked
// for it. On shards an INSERT locks the entry of the lookup vindex first and then the row that
// has the id, and a delete does the reverse. A sign-up with the id of a user who is being deleted
// would wait for the delete, which would wait for the sign-up.
func (r *RepositoryOf[U, K, S]) checkFree(tx *gorm.DB, id string) error {
	if !r.b.engine.Sharded() {
		return nil
	}
	found, err := find(tx.Session(&gorm.Session{SkipHooks: true}).Select("user_id"), new(KeyOf[U]), r.b.idIs(id))
	if err == nil && found {
		err = ErrDuplicateKey
	}
	return err
}

// emptiedSetting marks the delete of a user whose keys and sessions were deleted before it in the
// same transaction, with the user locked.
const emptiedSetting = "gormkey:emptied"

// checkEmptied refuses to delete a user to whom a BeforeDelete hook has just given a row, if a
// transaction cannot delete rows that it has made itself: it would wait for itself until Vitess
// kills it.
func (b *binding) checkEmptied(tx *gorm.DB, ids []string) error {
	if _, ok := tx.Get(emptiedSetting); !ok || len(ids) == 0 {
		return nil
	}
	for _, child := range b.ours() {
		var left []string
		err := engine.Fresh(tx).Raw("SELECT ? FROM ? WHERE ? LIMIT 1", clause.Column{Name: "id"}, clause.Table{Name: child.Table}, b.among(clause.Column{Name: "user_id"}, ids)).Scan(&left).Error
		if err != nil {
			return err
		}
		if len(left) == 0 {
			continue
		}
		deletes, err := b.engine.DeletesNewRows(tx, child.Table)
		if err != nil {
			return err
		}
		if !deletes {
			return &UsageError{"user", "has a hook BeforeDelete that made a row of " + child.Table + ", which Vitess cannot delete in the transaction that made it"}
		}
	}
	return nil
}
