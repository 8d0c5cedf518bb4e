package statement

import (
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// InsertSelect is a VALUES clause that writes a SELECT.
type InsertSelect struct {
	// Query returns the SELECT, for the columns and values that GORM would insert.
	Query func(columns []clause.Column, values []any) *gorm.DB
	// Columns are written after those that GORM would insert, with Values.
	Columns []clause.Column
	Values  []any
}

// Name returns the clause that it stands for.
func (InsertSelect) Name() string { return "VALUES" }

// Build does nothing: MergeClause sets the builder.
func (InsertSelect) Build(clause.Builder) {}

// MergeClause makes GORM's own VALUES, which come later, pass through the builder.
func (s InsertSelect) MergeClause(c *clause.Clause) {
	c.Builder = func(c clause.Clause, builder clause.Builder) {
		values, ok := c.Expression.(clause.Values)
		if !ok || len(values.Values) != 1 {
			_ = builder.AddError(gorm.ErrInvalidData)
			return
		}
		columns := append(slices.Clone(values.Columns), s.Columns...)
		_ = builder.WriteByte('(')
		for i, column := range columns {
			if i > 0 {
				_ = builder.WriteByte(',')
			}
			builder.WriteQuoted(column)
		}
		_, _ = builder.WriteString(") ")
		builder.AddVar(builder, s.Query(columns, append(slices.Clone(values.Values[0]), s.Values...)))
	}
}
