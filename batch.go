package gormkey

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/password"
)

// What operations do differently where a transaction is a batch, which internal/engine/batch.go
// explains.

// errStale: what an operation had read no longer held when its batch ran.
var errStale = errors.New("gormkey: changed meanwhile")

// requirements are the answers that a requirement may stand for.
var requirements = []error{errStale, errChanged, errNotDeleted, ErrUserNotFound, ErrInvalidSession, ErrKeyNotFound, ErrInvalidToken}

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

// mustChange returns otherwise unless a statement changed a row. Hidden, if it is not nil,
// looks whether there is a row that the role may read and not change.
func (r *RepositoryOf[U, K, S]) mustChange(tx, result *gorm.DB, otherwise error, hidden func() error) error {
	changed, err := r.b.changed(tx, result, otherwise)
	if err != nil || changed {
		return err
	}
	if hidden != nil {
		if err := hidden(); err != nil {
			return err
		}
	}
	return otherwise
}

// requireUnchanged requires, in a batch, that a key is as it was read.
func (b *binding) requireUnchanged(tx *gorm.DB, id, userID string, hash *password.Hash) error {
	var password any
	if hash != nil {
		password = string(*hash)
	}
	return b.require(tx, errStale, "EXISTS (SELECT 1 FROM ? WHERE ? = ? AND ? = ? AND ? IS ?)", clause.Table{Name: b.key.Table},
		clause.Column{Name: "id"}, id, clause.Column{Name: "user_id"}, userID, clause.Column{Name: "hashed_password"}, password)
}

// batchError returns what the error of a batch means to the operation, nil if it means nothing
// else than it says. Which statement failed is in its text alone.
func (b *binding) batchError(err error) error {
	if why, ok := engine.Unmet(err); ok {
		if i := slices.IndexFunc(requirements, func(e error) bool { return e.Error() == why }); i >= 0 {
			return &sentinelError{requirements[i], err}
		}
	}
	if !b.engine.Batches() || !engine.IsDuplicate(err) {
		return nil
	}
	taken := uniqueColumns.FindStringSubmatch(err.Error())
	if taken == nil {
		return nil
	}
	for table, ofID := range map[string]error{b.user.Table: ErrDuplicateUser, b.key.Table: ErrDuplicateKey, b.session.Table: ErrDuplicateSession} {
		switch {
		case strings.EqualFold(taken[1], table+".id"):
			return &sentinelError{ofID, err}
		case strings.HasPrefix(strings.ToLower(taken[1]), strings.ToLower(table)+"."):
			return &sentinelError{ErrDuplicateAttribute, err}
		}
	}
	return nil
}

// uniqueColumns finds the columns whose values are taken, in the words of SQLite.
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
