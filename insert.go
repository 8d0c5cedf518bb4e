package gormkey

import (
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/internal/statement"
	"github.com/gormkey/gormkey/password"
)

// insertFor creates dest, a key, a session or a one-time token, by one statement. On PostgreSQL:
//
//	INSERT INTO user_session (id, user_id, …)
//	SELECT ?, auth_user.id, … FROM auth_user WHERE auth_user.id = ? FOR KEY SHARE OF auth_user
//
// The SELECT reads the user by the application's model and locks the row against a delete. So the
// check and the INSERT cannot come apart: a user who is gone, soft-deleted or filtered out gives
// no row, and then the error is none. A violated unique constraint is the error taken. The
// application's create hooks and columns work as in any Create.
//
// More are columns that GORM does not write, with their values.
func (r *RepositoryOf[U, K, S]) insertFor(tx *gorm.DB, dest any, source owner, none, taken error, more []clause.Column, values []any) error {
	query := func(columns []clause.Column, values []any) *gorm.DB {
		return r.ownerQuery(tx, source, columns, values).Clauses(r.ownerLock(source))
	}
	result := trusted(tx).Clauses(statement.InsertSelect{Query: query, Columns: more, Values: values}).Omit(clause.Associations).Create(dest)
	result.Error = duplicateAs(result, taken)
	return r.mustChange(tx, result, none, func() error {
		return r.checkLockable(r.ownerQuery(tx, source, []clause.Column{{Name: "user_id"}}, []any{""}))
	})
}

// owner says whose row an INSERT … SELECT reads.
type owner struct {
	userID string
	// admitted asks for the user not to be suspended, if there are suspensions.
	admitted bool
	// key and hash, if key is set, ask for the user's key to exist and still have
	// the hash, nil for none, that a sign-in has verified.
	key  KeyID
	hash *password.Hash
}

// ownerQuery builds SELECT value, …, user.id, value, … FROM user for the columns of an INSERT. It
// is a query of the application's user model, so its soft delete and scopes apply.
func (r *RepositoryOf[U, K, S]) ownerQuery(db *gorm.DB, s owner, columns []clause.Column, values []any) *gorm.DB {
	userID := clause.Column{Table: r.b.user.Table, Name: r.b.userID.DBName}
	list := make([]any, len(columns))
	for i, c := range columns {
		list[i] = values[i]
		if c.Name == "user_id" {
			list[i] = userID
		}
	}
	query := db.Model(r.plugin.users.make()).
		Clauses(clause.Select{Expression: clause.Expr{SQL: strings.TrimSuffix(strings.Repeat("?,", len(list)), ","), Vars: list}}).
		Where(r.b.userIs(s.userID))
	if s.admitted && r.b.suspension != nil {
		query = query.Where(r.notSuspended(s.userID))
	}
	if s.key != (KeyID{}) {
		query = query.Clauses(clause.From{Joins: []clause.Join{{Expression: r.keyJoin(s, userID)}}})
	}
	return query
}

// keyJoin joins the key in such a way that the user is read, and locked, before the key: the
// order of lock.go.
func (r *RepositoryOf[U, K, S]) keyJoin(s owner, userID clause.Column) clause.Expression {
	key := func(name string) clause.Column { return clause.Column{Table: r.b.key.Table, Name: name} }
	on := r.b.engine.JoinInOrder() + " ? ON ? = ? AND ? = ? AND "
	vars := []any{clause.Table{Name: r.b.key.Table}, key("id"), s.key.String(), key("user_id"), userID}
	if s.hash == nil {
		return clause.Expr{SQL: on + "(? IS NULL OR ? = '')", Vars: append(vars, key("hashed_password"), key("hashed_password"))}
	}
	return clause.Expr{SQL: on + "? = ?", Vars: append(vars, key("hashed_password"), string(*s.hash))}
}
