package gormkey

import (
	"fmt"
	"sync/atomic"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/internal/engine"
)

// A prepared statement of PostgreSQL fails (0A000) once another process has changed the
// type of a column that it returns, for as long as it is kept: by GORM a day, by pgx until
// it has failed once on each connection. So the reads of the repository then get another
// text, by a comment, which nobody has prepared.
type plans struct{ generation atomic.Int64 }

// comment is part of each query, "" until a plan was stale.
func (p *plans) comment() string {
	if n := p.generation.Load(); n > 0 {
		return fmt.Sprintf("/* gormkey: plan %d */", n)
	}
	return ""
}

// beforeQuery writes the comment into a query of the repository.
func (p *plans) beforeQuery(tx *gorm.DB) {
	comment := p.comment()
	if _, ours := tx.Logger.(quietLogger); !ours || comment == "" || tx.Error != nil {
		return
	}
	c := tx.Statement.Clauses["SELECT"]
	c.AfterNameExpression = clause.Expr{SQL: comment}
	tx.Statement.Clauses["SELECT"] = c
}

// read runs a query again whose plan was stale. A transaction is lost with it: ours runs
// again as a whole, and the next one of a caller's reads by another plan.
func (r *RepositoryOf[U, K, S]) read(db *gorm.DB, query func() error) error {
	_, inTransaction := db.Statement.ConnPool.(gorm.TxCommitter)
	for n := 1; ; n++ {
		generation := r.b.plans.generation.Load()
		err := query()
		if !engine.IsStalePlan(err) {
			return err
		}
		r.b.plans.generation.CompareAndSwap(generation, generation+1)
		if n == engine.MaxTries || inTransaction {
			return err
		}
	}
}
