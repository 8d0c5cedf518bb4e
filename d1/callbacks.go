package d1

import (
	"errors"
	"reflect"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// ownTransaction puts GORM's own transaction around several statements alone: one is
// atomic by itself, and outside of a transaction it knows what it changed.
type ownTransaction struct {
	callbacks int // of the chain as GORM and this package have it
	chain     func(*gorm.DB) any
	hooked    func(*schema.Schema) bool
	selects   bool // Select names associations, of which rows are deleted
}

// registerTransactions replaces the beginning of GORM's own transactions.
func registerTransactions(db *gorm.DB) error {
	create := &ownTransaction{
		chain:  func(db *gorm.DB) any { return db.Callback().Create() },
		hooked: func(s *schema.Schema) bool { return s.BeforeSave || s.BeforeCreate || s.AfterSave || s.AfterCreate },
	}
	update := &ownTransaction{
		chain:  func(db *gorm.DB) any { return db.Callback().Update() },
		hooked: func(s *schema.Schema) bool { return s.BeforeSave || s.BeforeUpdate || s.AfterSave || s.AfterUpdate },
	}
	remove := &ownTransaction{
		chain:   func(db *gorm.DB) any { return db.Callback().Delete() },
		hooked:  func(s *schema.Schema) bool { return s.BeforeDelete || s.AfterDelete },
		selects: true,
	}
	const begin, commit, after = "gorm:begin_transaction", "gorm:commit_or_rollback_transaction", "d1:rows_affected"
	err := errors.Join(
		db.Callback().Create().Replace(begin, create.begin),
		db.Callback().Update().Replace(begin, update.begin),
		db.Callback().Delete().Replace(begin, remove.begin),
		db.Callback().Create().After(commit).Register(after, rowsAffected),
		db.Callback().Update().After(commit).Register(after, rowsAffected),
		db.Callback().Delete().After(commit).Register(after, rowsAffected),
		db.Callback().Update().Before("gorm:update").Register("d1:refuse_save", refuseSave),
	)
	for _, o := range []*ownTransaction{create, update, remove} {
		o.callbacks = o.count(db)
	}
	return err
}

// begin begins one, if there may be several statements. A callback of somebody else's,
// which a plugin registered, may send some; gormkey's begin a transaction themselves.
func (o *ownTransaction) begin(db *gorm.DB) {
	stmt := db.Statement
	if stmt.Result == nil {
		gorm.WithResult().ModifyStatement(stmt) // rowsAffected looks there
	}
	if db.SkipDefaultTransaction || db.Error != nil {
		return
	}
	if n := o.count(db); n == o.callbacks && n > 0 {
		hooked := stmt.Schema != nil && !stmt.SkipHooks && o.hooked(stmt.Schema)
		if !hooked && !savesAssociations(stmt) && !(o.selects && len(stmt.Selects) > 0) {
			return
		}
	}
	callbacks.BeginTransaction(db)
}

// count returns how many callbacks are registered, without gormkey's, and 0 if a version
// of GORM hides it.
func (o *ownTransaction) count(db *gorm.DB) (n int) {
	registered := reflect.Indirect(reflect.ValueOf(o.chain(db))).FieldByName("callbacks")
	if !registered.IsValid() || registered.Kind() != reflect.Slice {
		return 0
	}
	for i := range registered.Len() {
		callback := reflect.Indirect(registered.Index(i))
		if callback.Kind() != reflect.Struct {
			return 0
		}
		if name := callback.FieldByName("name"); !name.IsValid() || !strings.HasPrefix(name.String(), "gormkey:") {
			n++
		}
	}
	return n
}

// savesAssociations tells whether other rows may be saved along. A map has none.
func savesAssociations(stmt *gorm.Statement) bool {
	if stmt.Schema == nil {
		return false
	}
	for _, omitted := range stmt.Omits {
		if omitted == clause.Associations {
			return false
		}
	}
	filled := func(v reflect.Value) bool {
		v = reflect.Indirect(v)
		if v.Kind() != reflect.Struct || v.Type() != stmt.Schema.ModelType {
			return false
		}
		for _, r := range stmt.Schema.Relationships.Relations {
			if r.Field.Schema != stmt.Schema {
				continue // the other side's
			}
			if _, zero := r.Field.ValueOf(stmt.Context, v); !zero {
				return true
			}
		}
		return false
	}
	v := reflect.Indirect(reflect.ValueOf(stmt.Dest))
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return filled(v)
	}
	for i := range v.Len() {
		if filled(v.Index(i)) {
			return true
		}
	}
	return false
}

// rowsAffected has the number once a transaction around the one call is committed:
// GORM's own, or a plugin's. In the program's it stays negative.
func rowsAffected(db *gorm.DB) {
	result := db.Statement.Result
	if db.RowsAffected >= 0 || result == nil || result.Result == nil {
		return
	}
	n, err := result.Result.RowsAffected()
	switch {
	case db.Error != nil:
		n = 0
	case err != nil:
		return
	}
	db.RowsAffected, result.RowsAffected = n, n
}

// refuseSave stops Save in a transaction of the program's, which inserts if its UPDATE
// changed nothing.
func refuseSave(db *gorm.DB) {
	_, ours := db.InstanceGet("gorm:started_transaction")
	_, inTx := db.Statement.ConnPool.(gorm.TxCommitter)
	if db.Error == nil && inTx && !ours && len(db.Statement.Selects) == 1 && db.Statement.Selects[0] == "*" {
		_ = db.AddError(ErrPending)
	}
}
