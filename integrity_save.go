package gormkey

import (
	"fmt"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/internal/statement"
)

// GORM's Save is an UPDATE that becomes an INSERT where there is no row, so that saving a
// session that was ended meanwhile would bring it back to life. These callbacks let Save
// change keys, sessions and tokens, and not insert them.

// updatingSetting marks an update of a user that also saves what the user's fields hold.
const updatingSetting = "gormkey:updating"

// markUpdate marks an update of users, whose keys and sessions GORM then saves too, by the
// settings that it copies. One that names the relation, as Association(…).Append does,
// means to add rows.
func (b *binding) markUpdate(tx *gorm.DB) {
	s := tx.Statement.Schema
	if tx.Error != nil || s != b.user {
		return
	}
	for _, name := range tx.Statement.Selects {
		if _, relation := s.Relationships.Relations[name]; relation {
			return
		}
	}
	tx.Statement.Settings.Store(updatingSetting, true)
}

// isSave reports whether an INSERT is what Save makes of a row, or of rows, that it may
// not have found, or what an update of a user makes of the rows in its fields.
func isSave(tx *gorm.DB) bool {
	conflict, ok := tx.Statement.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
	if !ok {
		return false
	}
	if _, updating := tx.Get(updatingSetting); updating {
		return true
	}
	_, saves := tx.Get("gorm:update_track_time") // of a slice, and with FullSaveAssociations
	return conflict.UpdateAll && (saves || tx.Statement.SkipHooks)
}

// checkSave refuses a Save of rows that are not there, and holds those that are.
func (b *binding) checkSave(tx *gorm.DB) {
	s := tx.Statement.Schema
	if tx.Error != nil || tx.DryRun || tx.Statement.SQL.Len() > 0 || s == nil || !slices.Contains(b.children(), s) || !isSave(tx) {
		return
	}
	var ids []string
	statement.EachRow(tx.Statement, func(row statement.Row) {
		if id, ok := row.Get("id").(string); ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	})
	if len(ids) == 0 || !b.enter(tx, &guarded{}) {
		return
	}
	_ = tx.AddError(b.requireRows(tx, s, ids))
}

// requireRows locks the rows that a Save names and refuses it if one is gone. In a batch, which
// cannot wait for a lock, they are required to be there when it runs.
func (b *binding) requireRows(tx *gorm.DB, s *schema.Schema, ids []string) error {
	gone := map[string]error{b.session.Table: ErrInvalidSession, b.key.Table: ErrKeyNotFound}[s.Table]
	if gone == nil {
		gone = ErrInvalidToken
	}
	if err := b.lockWrites(engine.Fresh(tx)); err != nil {
		return err
	}
	id, table := clause.Column{Name: "id"}, clause.Table{Name: s.Table}
	query := "SELECT ? FROM ? WHERE ? ORDER BY ?" + b.engine.LockForUpdate()
	for part := range slices.Chunk(ids, b.engine.MostIDs()) {
		var found []string
		if err := engine.Fresh(tx).Raw(query, id, table, b.among(id, part), id).Scan(&found).Error; err != nil {
			return err
		}
		if missing := len(part) - len(found); missing > 0 {
			return fmt.Errorf("gormkey: %d rows are not in %s, and Save would insert them; change rows with Updates, and insert new ones with Create: %w", missing, s.Table, gone)
		}
		if err := b.require(engine.Fresh(tx), gone, "(SELECT COUNT(*) FROM ? WHERE ?) = ?", table, b.among(id, part), len(part)); err != nil {
			return err
		}
	}
	return nil
}
