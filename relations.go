package gormkey

import (
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// typeSetter gives columns their types, and those that point at them by a relation the
// same: GORM copied the types into them when it parsed the models, before the options had
// changed them.
type typeSetter struct {
	before map[*schema.Field]schema.DataType // of what was changed
	loose  bool                              // sizes mean nothing
}

// set notes the type that a column had, by which share knows the columns that copied it.
func (t *typeSetter) set(f *schema.Field, to engine.ColumnType) {
	if _, ok := t.before[f]; !ok {
		t.before[f] = f.DataType
	}
	f.DataType, f.Size = to.Name, to.Size
}

// share follows the relations of the schemas, and of those that they lead to. A column
// takes the type of what it points at if it has the one that GORM copied. A greater size
// that the application wrote on it stands, where the type has none of its own.
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

// references returns what columns point at, by all relations that lead on from the
// schemas, and the tables that GORM made for many to many, which copy the tags.
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

// relations returns the relations of a schema: one of several that share a name, in
// embedded structs, is in the lists alone, and one of another model's in the map.
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
