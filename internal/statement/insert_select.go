package statement

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// InsertSelect is a VALUES clause that writes a SELECT.
type InsertSelect struct {
	// Query returns the SELECT, for the columns and values that GORM would insert.
	Query func(columns []clause.Column, values []any) *gorm.DB
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
		_ = builder.WriteByte('(')
		for i, column := range values.Columns {
			if i > 0 {
				_ = builder.WriteByte(',')
			}
			builder.WriteQuoted(column)
		}
		_, _ = builder.WriteString(") ")
		builder.AddVar(builder, s.Query(values.Columns, values.Values[0]))
	}
}
