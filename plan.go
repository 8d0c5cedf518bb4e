package gormkey

import (
	"fmt"
	"sync/atomic"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/internal/engine"
)

// If another process changes the type of a column, then each prepared statement of PostgreSQL that
// returns the column fails with 0A000, for as long as it is kept: GORM keeps it a day, and pgx until
// it has failed once on each connection. Every session check would fail that long. So the reads of
// the repository get a comment with a number after the first failure. Their text is then a new one,
// and is prepared anew.
type plans struct{ generation atomic.Int64 }

// comment is part of each query, and "" until a plan was stale.
func (p *plans) comment() string {
	if n := p.generation.Load(); n > 0 {
		return fmt.Sprintf("/* gormkey: plan %d */", n)
	}
	return ""
}

// beforeQuery writes the comment into a query of the repository. The application's queries stay
// as they are.
func (p *plans) beforeQuery(tx *gorm.DB) {
	comment := p.comment()
	if _, ours := tx.Logger.(quietLogger); !ours || comment == "" || tx.Error != nil {
		return
	}
	c := tx.Statement.Clauses["SELECT"]
	c.AfterNameExpression = clause.Expr{SQL: comment}
	tx.Statement.Clauses["SELECT"] = c
}

// read runs a query, and runs it again if its plan was stale. In a transaction it does not:
// PostgreSQL has aborted the transaction with the failed statement. A transaction of ours then
// runs again as a whole, and the next one of the caller's reads by another plan.
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
