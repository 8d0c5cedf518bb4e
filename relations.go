package gormkey

import (
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// typeSetter gives columns their types, and gives the same types to the columns that refer to
// them by a relation. GORM copied the old types into those when it parsed the models, before the
// options had changed them: tables that refer to the user then failed to migrate, with errno 150
// on MariaDB and 42804 on PostgreSQL.
type typeSetter struct {
	before map[*schema.Field]schema.DataType // of what was changed
	loose  bool                              // sizes mean nothing
}

// set changes a column's type, and notes the old one. By that share recognises the columns that
// copied it.
func (t *typeSetter) set(f *schema.Field, to engine.ColumnType) {
	if _, ok := t.before[f]; !ok {
		t.before[f] = f.DataType
	}
	f.DataType, f.Size = to.Name, to.Size
}

// share follows the relations of the schemas, and of the schemas to which they lead. A column
// takes the type of the column to which it refers if it still has the type that GORM copied. If
// the application gave it another type, that stays, and so does a greater size in its tag where
// the type has none of its own.
func (t *typeSetter) share(schemas []*schema.Schema) {
	refs, joins := references(schemas)
	for again := true; again; { // until no column is left that points at one that changed
		again = false
		for _, ref := range refs {
			before, changed := t.before[ref.PrimaryKey]
			if _, done := t.before[ref.ForeignKey]; done || !changed || ref.ForeignKey.DataType != before {
				continue
			}
			to := engine.ColumnType{Name: ref.PrimaryKey.DataType, Size: ref.PrimaryKey.Size}.Referring()
			if _, written := ref.ForeignKey.TagSettings["SIZE"]; written && !joins[ref.ForeignKey.Schema] && to.Name == schema.String && !t.loose {
				to.Size = max(to.Size, ref.ForeignKey.Size)
			}
			t.set(ref.ForeignKey, to)
			again = true
		}
	}
}

// references returns which columns refer to which, by all relations that lead on from the
// schemas. Joins are the tables that GORM made for many to many; it copies the tags of both sides
// into them, so a size there was written by nobody.
func references(schemas []*schema.Schema) (refs []*schema.Reference, joins map[*schema.Schema]bool) {
	joins = map[*schema.Schema]bool{}
	seen := map[*schema.Schema]bool{nil: true}
	for len(schemas) > 0 {
		s := schemas[0]
		schemas = schemas[1:]
		if seen[s] {
			continue
		}
		seen[s] = true
		for _, rel := range relations(s) {
			schemas, joins[rel.JoinTable] = append(schemas, rel.Schema, rel.FieldSchema, rel.JoinTable), true
			for _, ref := range rel.References {
				if ref.PrimaryKey != nil && ref.ForeignKey != nil {
					refs = append(refs, ref)
				}
			}
		}
	}
	return refs, joins
}

// relations returns the relations of a schema. GORM keeps them in two places, and neither has
// all: of several relations that share a name, in embedded structs, the map has one; a relation
// that another model's field made is only in the map.
func relations(s *schema.Schema) (all []*schema.Relationship) {
	r := &s.Relationships
	for _, list := range [][]*schema.Relationship{r.HasOne, r.HasMany, r.BelongsTo, r.Many2Many} {
		all = append(all, list...)
	}
	for _, rel := range r.Relations {
		all = append(all, rel)
	}
	return all
}
