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

// This file has what operations do differently where a transaction is a batch: Cloudflare D1. See
// internal/engine/batch.go. On all other engines these functions do nothing, or ask the result.

// errStale: a row that an operation had read was changed before its batch ran. The operation
// starts again.
var errStale = errors.New("gormkey: changed meanwhile")

// requirements are the errors for which a requirement may stand. A failed batch returns the text
// of one, and batchError looks here which it is.
var requirements = []error{errStale, errChanged, errNotDeleted, ErrUserNotFound, ErrInvalidSession, ErrKeyNotFound, ErrInvalidToken}

// require adds a requirement to the batch of tx, if tx is one. If the condition does not hold
// when the batch runs, the operation returns otherwise, which is one of the requirements.
func (b *binding) require(tx *gorm.DB, otherwise error, condition string, vars ...any) error {
	return b.engine.Require(tx, otherwise.Error(), condition, vars...)
}

// changed reports whether a statement changed a row. A statement that waits in a batch is
// required to: if it does not, the batch fails with the error otherwise.
func (b *binding) changed(tx, result *gorm.DB, otherwise error) (bool, error) {
	switch {
	case result.Error != nil:
		return false, result.Error
	case b.engine.Pending(result):
		return true, b.require(tx, otherwise, "changes() > 0")
	}
	return result.RowsAffected > 0, nil
}

// mustChange returns otherwise unless a statement changed a row. Hidden, if it is not nil, looks
// first whether there is a row that the role may read and not change.
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

// requireUnchanged requires, in a batch, that a key is still as it was read. Elsewhere the key is
// locked.
func (b *binding) requireUnchanged(tx *gorm.DB, id, userID string, hash *password.Hash) error {
	var password any
	if hash != nil {
		password = string(*hash)
	}
	return b.require(tx, errStale, "EXISTS (SELECT 1 FROM ? WHERE ? = ? AND ? = ? AND ? IS ?)", clause.Table{Name: b.key.Table},
		clause.Column{Name: "id"}, id, clause.Column{Name: "user_id"}, userID, clause.Column{Name: "hashed_password"}, password)
}

// batchError returns the meaning of a batch's error to the operation, or nil if it has none. A
// batch returns one error for all of its statements, and only the text of that says which
// statement failed.
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

// uniqueColumns finds the columns in SQLite's text for a violated unique constraint, such as
// "user_key.id".
var uniqueColumns = regexp.MustCompile(`UNIQUE constraint failed: ([^:]+?)(?:: SQLITE_|$)`)

// rowsOf returns how many rows some statements changed. Of the statements of a batch that is
// known only after its commit.
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
