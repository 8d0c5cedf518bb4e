package gormkey

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/internal/engine"
)

// What operations do differently where a transaction is a batch, which internal/engine/batch.go
// explains.

// errStale: what an operation had read no longer held when its batch ran.
var errStale = errors.New("gormkey: changed meanwhile")

// requirements are the answers that a requirement may stand for.
var requirements = []error{errStale, errChanged, errAbsent, ErrInvalidUser, ErrInvalidSession, ErrInvalidKey, ErrInvalidToken}

// require adds a requirement to the batch of tx, if it is one; otherwise is its answer, one of
// the requirements.
func (b *binding) require(tx *gorm.DB, otherwise error, condition string, vars ...any) error {
	return b.engine.Require(tx, otherwise.Error(), condition, vars...)
}

// changed tells whether a statement changed a row. One that waits in a batch has to: if it
// does not, the batch fails and means otherwise.
func (b *binding) changed(tx, result *gorm.DB, otherwise error) (bool, error) {
	switch {
	case result.Error != nil:
		return false, result.Error
	case b.engine.Pending(result):
		return true, b.require(tx, otherwise, "changes() > 0")
	}
	return result.RowsAffected > 0, nil
}

// unchanged requires, in a batch, that a key is as it was read.
func (b *binding) unchanged(tx *gorm.DB, id, userID string, hash *HashedPassword) error {
	var password any
	if hash != nil {
		password = string(*hash)
	}
	return b.require(tx, errStale, "EXISTS (SELECT 1 FROM ? WHERE ? = ? AND ? = ? AND ? IS ?)", clause.Table{Name: b.key.Table},
		clause.Column{Name: "id"}, id, clause.Column{Name: "user_id"}, userID, clause.Column{Name: "hashed_password"}, password)
}

// batchError gives the error of a batch the meaning that it has for the operation: which
// statement failed is in its text alone.
func (b *binding) batchError(err error) error {
	if why, ok := engine.Unmet(err); ok {
		if i := slices.IndexFunc(requirements, func(e error) bool { return e.Error() == why }); i >= 0 {
			return &sentinelError{requirements[i], err}
		}
	}
	switch {
	case engine.IsConnectionLost(err):
		return &sentinelError{ErrOutcomeUnknown, err}
	case !engine.IsDuplicate(err):
		return err
	}
	taken := uniqueColumns.FindStringSubmatch(err.Error())
	if taken == nil {
		return err
	}
	for table, ofID := range map[string]error{b.user.Table: ErrDuplicateUser, b.key.Table: ErrDuplicateKey, b.session.Table: ErrDuplicateSession} {
		switch {
		case strings.EqualFold(taken[1], table+".id"):
			return &sentinelError{ofID, err}
		case strings.HasPrefix(strings.ToLower(taken[1]), strings.ToLower(table)+"."):
			return &sentinelError{ErrDuplicateAttribute, err}
		}
	}
	return err
}

// uniqueColumns finds the columns of which SQLite says that their values are taken.
var uniqueColumns = regexp.MustCompile(`UNIQUE constraint failed: ([^:]+?)(?:: SQLITE_|$)`)

// rowsOf returns how many rows the statements of a batch changed, which is known once it
// is committed.
func (b *binding) rowsOf(results []*gorm.DB) (n int64) {
	for _, result := range results {
		rows := result.RowsAffected
		if r := result.Statement.Result; b.engine.Pending(result) && r != nil && r.Result != nil {
			rows, _ = r.Result.RowsAffected()
		}
		n += max(rows, 0)
	}
	return n
}

// errInBatch refuses what cannot work in a transaction of the caller's.
var errInBatch = &ArgumentError{"db", "is in a transaction, whose statements are sent at its end on this database; call it on the root handle"}

// deleteUserInBatch is DeleteUser where the transaction is a batch. With nobody to ask or
// to tell of it, it is the batch alone.
func (r *Repository[U]) deleteUserInBatch(ctx context.Context, userID string) error {
	const op = "delete user"
	s := r.b.user
	unseen := len(r.opts.hooks) == 0 && !s.BeforeDelete && !s.AfterDelete && !s.AfterFind && plainQueries(s) && !foreignQueryCallbacks(r.db)
	read := !unseen || r.inTransaction()
	err := r.transact(ctx, op, func(tx *gorm.DB) error {
		user := new(U)
		r.plugin.base(user).ID = userID
		if read {
			var err error
			if user, err = r.loadUser(tx, userID, errAbsent); err != nil {
				return err
			}
		}
		if err := r.deleteChildren(tx, userID); err != nil {
			return err
		}
		result := tx.Omit(clause.Associations).Delete(user)
		if _, err := r.b.changed(tx, result, errAbsent); err != nil {
			return err
		}
		return r.emit(tx, Event{Type: UserDeleted, UserID: userID})
	})
	if errors.Is(err, errAbsent) {
		return r.checkDeleted(ctx, userID)
	}
	return err
}

// checkDeleted tells a user who was not there from one whom a trigger or a Delete
// callback kept.
func (r *Repository[U]) checkDeleted(ctx context.Context, userID string) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	_, err = r.loadUser(db, userID, errAbsent)
	switch {
	case errors.Is(err, errAbsent):
		return nil
	case err != nil:
		return callerError(ctx, "delete user", err)
	}
	return errNotDeleted
}
