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

// GORM's Save is an UPDATE that becomes an INSERT if there is no row. If the application loads a
// session, the user signs out, and the application then saves its copy, the session is back and
// the token works again. These callbacks let Save change keys, sessions and tokens, and refuse to
// insert them. db.Create still inserts, since that is what Create means.

// updatingSetting marks an update of a user that also saves the keys and sessions in the user's
// fields.
const updatingSetting = "gormkey:updating"

// markUpdate marks an update of users. GORM saves the rows in their has-many fields with it, by
// upserts that look like any other INSERT; the setting is copied to those statements and tells
// them apart. An update that names the relation, as
// db.Model(&ada).Association("Keys").Append(&key) does, means to add rows, and is not marked.
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

// isSave reports whether an INSERT comes from Save, or from an update of a user with the rows in
// its fields. GORM keeps no note of that, so it is recognised by what Save leaves in the
// statement: an ON CONFLICT clause with UpdateAll, and either the setting
// "gorm:update_track_time" (for a slice, and with FullSaveAssociations) or SkipHooks (for one
// struct).
func isSave(tx *gorm.DB) bool {
	conflict, ok := tx.Statement.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
	if !ok {
		return false
	}
	if _, updating := tx.Get(updatingSetting); updating {
		return true
	}
	_, saves := tx.Get("gorm:update_track_time")
	return conflict.UpdateAll && (saves || tx.Statement.SkipHooks)
}

// checkSave refuses a Save of rows that are not there, and locks those that are, so that nobody
// ends a session between the check and the upsert.
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

// requireRows locks the rows that a Save names, and refuses the Save if one of them is gone. A
// batch cannot wait for a lock. There the rows are required to exist at the moment at which the
// batch runs, so the whole batch fails if one has gone by then.
func (b *binding) requireRows(tx *gorm.DB, s *schema.Schema, ids []string) error {
	// The error is the one that the repository returns for such a row, so a caller handles both
	// alike.
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
