package gormkey

import (
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/tables"
)

// prepare gets the tables ready for GORM's migrator. It refuses what the migrator would cut, it
// widens id columns that are too narrow together with the columns that refer to them, and it
// refuses orphans. It returns the widening, by which PendingSQL leaves out the migrator's own
// statements for those columns.
func (b *binding) prepare(tx *gorm.DB, opts *options) (engine.Widening, error) {
	narrow, err := b.checkColumns(newCatalog(b.engine, tx), opts)
	if err != nil {
		return engine.Widening{}, err
	}
	finished, err := b.engine.FinishWidening(tx)
	// PendingSQL first shows how to complete an interrupted widening. What is to be done after it
	// depends on the columns as they will be then.
	if err != nil || finished && engine.Exporting(tx) {
		return engine.Widening{}, err
	}
	w, err := b.widening(tx, narrow)
	if err != nil {
		return w, err
	}
	if err := b.refuseOrphans(tx); err != nil {
		return w, err
	}
	return w, b.engine.Widen(tx, w)
}

// widening plans how the narrow columns of ids are made wider. Narrow columns that hold no ids,
// such as a password hash, are left to GORM's migrator, since nothing refers to them.
func (b *binding) widening(tx *gorm.DB, narrow []ownColumn) (engine.Widening, error) {
	ids := slices.DeleteFunc(slices.Clone(narrow), func(c ownColumn) bool { return !c.isID })
	if len(ids) == 0 {
		return engine.Widening{}, nil
	}
	if err := b.refuseCut(tx); err != nil {
		return engine.Widening{}, err
	}
	// The order is user_id, then the ids of keys, sessions and tokens, and last the user's own
	// id. If the migration is interrupted, the user's id is still narrow, so the next migration
	// sees that there is work to do and begins again.
	last := func(c ownColumn) int {
		switch {
		case c.name == "user_id":
			return 0
		case c.ofUser:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(ids, func(x, y ownColumn) int { return last(x) - last(y) })
	// Tables of the application refer to the columns named id, and never to user_id, so only the
	// ids are searched for columns that refer to them.
	changes := make([]engine.Change, len(ids))
	for i, c := range ids {
		changes[i] = engine.Change{Table: c.table, Column: c.name, Found: c.found, Wanted: c.wanted, Referred: c.name == "id"}
	}
	return b.engine.Widening(tx, changes)
}

// refuseCut looks for rows whose user_id an earlier program has cut. In a wider column such a row
// would look like any other row without a user, and nobody could tell any more whose it was.
func (b *binding) refuseCut(tx *gorm.DB) error {
	users, err := b.engine.Columns(tx, b.user.Table)
	if err != nil {
		return err
	}
	for _, o := range b.owned {
		columns, err := b.engine.Columns(tx, o.Table)
		if err != nil {
			return err
		}
		n, err := b.countCut(tx, o, columns, users)
		if err != nil {
			return err
		}
		if n > 0 {
			return &tables.MismatchError{Table: o.Table, Column: o.owner, Type: columns[o.owner].SQLType, UserTable: b.user.Table, UserType: users[b.userID.DBName].SQLType, Cut: n}
		}
	}
	return nil
}

// countCut counts the rows whose user_id looks like the beginning of an existing user's id. Such
// a row has no user, its user_id fills the narrower of the two columns completely, and a user's
// id begins with it. An id of 36 characters in a user_id of 15, for example, was kept as
// "0195d6f2-7c1e-7". If the user's own column is the narrower one, it is the other way round.
func (b *binding) countCut(tx *gorm.DB, o owned, columns, users map[string]engine.Column) (n int64, err error) {
	child, user := columns[o.owner].Type, users[b.userID.DBName].Type
	// Columns of one type and width have cut nothing. This is the usual case, and costs no
	// statement.
	if b.sameTypes(o, columns, users) == nil {
		return 0, nil
	}
	from := clause.Table{Name: b.user.Table}
	owner := b.engine.Text(clause.Column{Table: o.Table, Name: o.owner})
	id := b.engine.Text(clause.Column{Table: b.user.Table, Name: b.userID.DBName})
	var looks clause.Expr
	switch {
	case child.IsText() && child.Width > 0 && (!user.IsText() || user.Width == 0 || child.Width < user.Width):
		looks = clause.Expr{SQL: "CHAR_LENGTH(?) = ? AND ? IN (SELECT LEFT(?, ?) FROM ?)", Vars: []any{owner, child.Width, owner, id, child.Width, from}}
	case user.IsText() && user.Width > 0:
		looks = clause.Expr{SQL: "LEFT(?, ?) IN (SELECT ? FROM ? WHERE CHAR_LENGTH(?) = ?)", Vars: []any{owner, user.Width, id, from, id, user.Width}}
	default:
		return 0, nil
	}
	err = engine.Fresh(tx).Raw("SELECT COUNT(*) FROM ? WHERE ? AND ?", o.table(), b.lacksUser(o, columns, users), looks).Scan(&n).Error
	return n, err
}
