package engine

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// vitess is MySQL with Vitess in front of it, PlanetScale for example.
type vitess struct{ mysql }

func (v vitess) ask(db *gorm.DB, s Settings) (Engine, error) { return v, checkMySQL(db, s) }

// MostDeleted: Vitess refuses a statement that touches over 10,000 rows.
func (vitess) MostDeleted() int { return 5000 }
func (vitess) Sharded() bool    { return true }

// NewID is sent as bytes. Vitess leaves the lookup vindex as it is if the new id equals the old
// one in the collation of the connection, which knows no letter case and no accents; bytes it
// compares as bytes.
func (vitess) NewID(id string) any {
	return clause.Expr{SQL: "CAST(? AS BINARY)", Vars: []any{id}}
}
