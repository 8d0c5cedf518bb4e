package gormkey

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// WithOwned registers models of the application whose rows belong to users, as keys and sessions
// do. Each is a pointer to a struct with a belongs-to relation to the user model:
//
//	type Note struct {
//		ID        uint
//		AccountID string `gorm:"index"`
//		Account   *Account `gorm:"constraint:OnDelete:CASCADE"`
//	}
//
//	plugin := gormkey.New[Account](gormkey.WithOwned(&Note{}))
//
// [PluginOf.AutoMigrate], SQL and PendingSQL make their tables too, and Audit and Repair look at
// them. With foreign keys on, the database does the rest. With [WithoutForeignKeys] the library
// does what the constraint's OnDelete says:
//
//   - CASCADE deletes the rows with their user.
//   - SET NULL keeps the rows, without a user.
//   - RESTRICT, NO ACTION or none refuses to delete the user, with [gorm.ErrForeignKeyViolated].
//
// A row for a user who is not there is refused with the same error. All of it happens under the
// locks that keep keys and sessions whole. A model with several relations to users is checked by
// each of them.
//
// A relation with the tag constraint:- is refused. Rows are deleted by SQL, as by a foreign key:
// hooks and soft deletes of the models do not run. Tables that refer to the models' own ids are
// not looked at.
func WithOwned(models ...any) Option {
	return func(o *options) { o.owned = append(o.owned, models...) }
}

// onDelete says what happens to a row when its user is deleted.
type onDelete string

const (
	cascade  onDelete = "CASCADE"
	setNull  onDelete = "SET NULL"
	restrict onDelete = "RESTRICT"
)

// owned is a table whose rows belong to users, by one of its columns.
type owned struct {
	*schema.Schema
	owner      string // the column that holds the user's id
	constraint string // the name of the foreign key, as GORM's migrator writes it
	onDelete   onDelete
	ours       bool // keys, sessions and tokens
}

func (o owned) table() clause.Table { return clause.Table{Name: o.Table} }

func (o owned) column() clause.Column { return clause.Column{Name: o.owner} }

// nullable reports whether a row may have no user.
func (o owned) nullable() bool { return !o.FieldsByDBName[o.owner].NotNull }

// checkOwned refuses models of WithOwned that do not belong to users. Like checkModels it parses
// them into a cache of its own, so that a refusal leaves no trace.
func (p *PluginOf[U, K, S]) checkOwned(db *gorm.DB, models []model) ([]model, error) {
	private := new(sync.Map)
	for _, value := range p.opts.owned {
		t := reflect.TypeOf(value)
		if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
			return nil, fmt.Errorf("WithOwned: %T is no pointer to a struct", value)
		}
		s, err := schema.Parse(value, private, db.NamingStrategy)
		if err != nil {
			return nil, fmt.Errorf("WithOwned: %w", err)
		}
		relations := ownerRelations(s, p.userType())
		if len(relations) == 0 {
			return nil, fmt.Errorf("WithOwned: %v has no belongs-to relation to %v: give it a field of that type, and a field for its id", s.ModelType, p.userType())
		}
		for _, rel := range relations {
			if rel.ParseConstraint() == nil {
				return nil, fmt.Errorf("WithOwned: the field %s of %v has the tag constraint:-, so that nothing says what becomes of a row without its user: give it an OnDelete", rel.Name, s.ModelType)
			}
			if onDeleteOf(rel) == setNull && rel.References[0].ForeignKey.NotNull {
				return nil, fmt.Errorf("WithOwned: %v has OnDelete:SET NULL on %s, which is NOT NULL: make the column a pointer, or the constraint another", s.ModelType, rel.References[0].ForeignKey.DBName)
			}
		}
		if slices.ContainsFunc(models, func(m model) bool { return strings.EqualFold(m.table, s.Table) }) {
			return nil, fmt.Errorf("WithOwned: the table %q of %v is registered already", s.Table, s.ModelType)
		}
		models = append(models, model{value: value, option: ownedOption, table: s.Table})
	}
	return models, nil
}

// ownedOption stands in a model for the option that names its table.
const ownedOption = "Owned"

// ownerRelations returns the relations by which a model belongs to users.
func ownerRelations(s *schema.Schema, user reflect.Type) (all []*schema.Relationship) {
	for _, rel := range s.Relationships.BelongsTo {
		if rel.FieldSchema.ModelType == user && len(rel.References) == 1 && rel.References[0].PrimaryKey.DBName == "id" {
			all = append(all, rel)
		}
	}
	return all
}

// onDeleteOf reads the constraint as GORM's migrator would write it. Without an OnDelete a
// database refuses to delete the user.
func onDeleteOf(rel *schema.Relationship) onDelete {
	switch strings.ToUpper(rel.ParseConstraint().OnDelete) {
	case string(cascade):
		return cascade
	case string(setNull):
		return setNull
	}
	return restrict
}

// addOwned lists the tables whose rows belong to users, in the order in which a delete of users
// goes through them: the application's tables as they were registered, then tokens, sessions,
// keys. lock.go relies on this order.
func (b *binding) addOwned(registered []*schema.Schema) {
	for _, s := range registered {
		for _, rel := range ownerRelations(s, b.user.ModelType) {
			b.owned = append(b.owned, owned{s, rel.References[0].ForeignKey.DBName, rel.ParseConstraint().Name, onDeleteOf(rel), false})
		}
	}
	for _, s := range b.ours() {
		b.owned = append(b.owned, owned{s, "user_id", b.foreignKeyName(s), cascade, true})
	}
}

// ours returns the schemas of the library's tables whose rows belong to users: those that options
// add, the last one first, then sessions and keys.
func (b *binding) ours() (ours []*schema.Schema) {
	for _, a := range slices.Backward(b.added) {
		if a.owned {
			ours = append(ours, a.Schema)
		}
	}
	return append(ours, b.session, b.key)
}

// keepsOwned reports whether the library has to do the work of the foreign keys on this
// connection.
func (b *binding) keepsOwned(tx *gorm.DB) (bool, error) {
	if !b.foreignKeys {
		return true, nil
	}
	enforced, err := b.engine.Enforces(engine.Fresh(tx))
	return !enforced, err
}

// release does to the rows of users, who are locked and about to be deleted, what a foreign key
// would do. All tables that restrict the delete are asked first, so nothing is deleted if one of
// them does.
func (b *binding) release(tx *gorm.DB, tables []owned, users []string) error {
	if len(users) == 0 {
		return nil
	}
	for _, o := range tables {
		if o.onDelete != restrict {
			continue
		}
		var found []int
		err := engine.Fresh(tx).Raw("SELECT 1 FROM ? WHERE ? LIMIT 1", o.table(), b.among(o.column(), users)).Scan(&found).Error
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return &restrictedError{o}
		}
	}
	for _, o := range tables {
		if o.onDelete == restrict {
			continue
		}
		if err := b.releaseRows(tx, o, b.among(o.column(), users)).Error; err != nil {
			return err
		}
	}
	return nil
}

// restrictedError refuses to delete a user, as a foreign key of the table would. It wraps
// [gorm.ErrForeignKeyViolated].
type restrictedError struct{ owned }

func (e *restrictedError) Error() string {
	return fmt.Sprintf("gormkey: rows of %s belong to the user by %s, whose constraint does not let the user be deleted", e.Table, e.owner)
}

func (e *restrictedError) Unwrap() error { return gorm.ErrForeignKeyViolated }

// releaseRows deletes the rows of a condition, or sets their user to NULL.
func (b *binding) releaseRows(tx *gorm.DB, o owned, condition clause.Expression) *gorm.DB {
	query, vars := "DELETE FROM ? WHERE ?", []any{o.table(), condition}
	if o.onDelete == setNull {
		query, vars = "UPDATE ? SET ? = NULL WHERE ?", []any{o.table(), o.column(), condition}
	}
	return b.deleteAll(func(limit int) *gorm.DB {
		if limit > 0 {
			return engine.Fresh(tx).Exec(fmt.Sprintf("%s LIMIT %d", query, limit), vars...)
		}
		return engine.Fresh(tx).Exec(query, vars...)
	})
}

// applications returns the tables of WithOwned, without the library's own.
func (b *binding) applications() []owned {
	return slices.DeleteFunc(slices.Clone(b.owned), func(o owned) bool { return o.ours })
}
