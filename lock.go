package gormkey

import (
	"cmp"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The locks of the library, and the order in which every transaction takes them:
//
//  1. the lock of the one writer, on an engine that has one (SQLite), before anything is read;
//  2. the user's row;
//  3. the application's rows that belong to the user, in the order of [WithOwned];
//  4. the user's keys, one-time tokens and suspension;
//  5. the user's sessions.
//
// Several rows of one kind are locked in the order of their ids. So no two transactions of the
// library wait for each other, and what two of them do to one user happens one after the other.
//
// A lock of the user stands for those of what belongs to the user: a sign-in shares it while it
// adds a session (see insertFor), so that no session is added to a user who is being deleted,
// or by a password that is being changed.

// lockWrites takes the lock of an engine with one writer before a transaction reads. Elsewhere it
// does nothing.
func (b *binding) lockWrites(tx *gorm.DB) error {
	return b.engine.LockWrites(tx, b.user.Table, b.userID.DBName)
}

// lockUser locks the user's row for an update, whether the user is soft-deleted or not: keys and
// sessions of a soft-deleted user can still be removed.
func (r *RepositoryOf[U, K, S]) lockUser(tx *gorm.DB, userID string) error {
	user := func() *gorm.DB {
		return tx.Session(&gorm.Session{SkipHooks: true}).Model(r.plugin.users.make()).Unscoped().Select(r.b.userID.DBName).Where(r.b.userIs(userID))
	}
	var ids []string
	err := r.b.engine.ForUpdate(user()).Scan(&ids).Error
	if err == nil && len(ids) == 0 {
		err = r.checkLockable(user())
	}
	return err
}

// lockOwner takes the user's row, or the lock of the one writer, before the rows that belong to
// the user are written. It takes none where a transaction is a batch, which is atomic as it is.
func (r *RepositoryOf[U, K, S]) lockOwner(tx *gorm.DB, userID string) error {
	if !r.b.engine.RowLocks() {
		return r.b.lockWrites(tx)
	}
	return r.lockUser(tx, userID)
}

// lockForDelete locks the user who is to be deleted, deletes what belongs to the user, and
// returns the user, or errAbsent. The user is read by the application's model, since its delete
// hooks get the struct.
func (r *RepositoryOf[U, K, S]) lockForDelete(u *unit, userID string) (U, error) {
	if len(r.b.applications()) > 0 { // release reads the rows of a table that restricts the delete
		if err := r.b.lockWrites(u.tx); err != nil {
			return failed[U](err)
		}
	}
	if r.b.engine.RowLocks() || r.b.engine.Batches() {
		u.then(func(tx *gorm.DB) error { return r.deleteChildren(tx, userID) })
	} else if err := r.deleteChildren(u.tx, userID); err != nil { // its first DELETE takes the lock of the one writer
		return failed[U](err)
	}
	if r.b.engine.Batches() && !r.inTransaction() && r.deletesUnseen() {
		user := r.plugin.users.make() // the delete itself tells whether there is one
		r.userOf(user).ID = userID
		return user, nil
	}
	tx := u.tx
	user, err := r.loadUser(r.b.engine.ForUpdate(tx), userID, errAbsent)
	if err == errAbsent {
		if rights := r.checkLockable(tx.Model(r.plugin.users.make()).Select(r.b.userID.DBName).Where(r.b.userIs(userID))); rights != nil {
			return failed[U](rights)
		}
	}
	return user, err
}

// lockKey returns a key after it has locked the user's row, so that whatever two calls do to the
// keys of one user happens one after the other. If there is no such key it returns the error
// none.
//
// The key is read twice. The first read tells whose it is. The second one is under the lock,
// since another call may have changed the password or removed the key in between. It locks the
// key as well, so it sees the row as it is now, whatever the isolation level of a caller's
// transaction is.
func (r *RepositoryOf[U, K, S]) lockKey(tx *gorm.DB, id KeyID, none error) (K, error) {
	if err := r.b.lockWrites(tx); err != nil {
		return failed[K](err)
	}
	wanted := id.String()
	read := func(tx *gorm.DB) (K, error) {
		key := r.plugin.keys.make()
		found, err := find(tx.Session(&gorm.Session{SkipHooks: true}), key, r.b.idIs(wanted))
		if err == nil && (!found || r.keyOf(key).ID != wanted) {
			err = none
		}
		return key, err
	}
	key, err := read(tx)
	if err != nil || !r.b.engine.RowLocks() {
		return key, err
	}
	userID := r.keyOf(key).UserID
	if err := r.lockUser(tx, userID); err != nil {
		return failed[K](err)
	}
	locked, err := read(r.b.engine.ForUpdate(r.b.onShard(tx, userID)))
	if err == none {
		err = cmp.Or(r.checkWritable(tx.Model(new(KeyOf[U])), wanted), none)
	}
	return locked, err
}

// lockTokens takes the lock under which tokens are issued. Without it a token that is being
// issued at this moment would survive voidPending. It takes none if there are no one-time tokens.
func (r *RepositoryOf[U, K, S]) lockTokens(tx *gorm.DB, userID string) error {
	if r.b.token == nil {
		return nil
	}
	return r.lockOwner(tx, userID)
}

// lockToken returns a token under its user's lock, ready to be used up. The DELETE that uses it
// up decides which of several calls gets it: see consume.
func (r *RepositoryOf[U, K, S]) lockToken(tx *gorm.DB, purpose Purpose, token Token) (*OneTimeTokenOf[U], error) {
	if err := r.b.lockWrites(tx); err != nil {
		return nil, err
	}
	t, err := r.loadToken(tx, purpose, token)
	if err != nil || !r.b.engine.RowLocks() {
		return t, err
	}
	return t, r.lockUser(tx, t.UserID)
}

// ownerLock shares the rows that ownerQuery reads, the user's and then the key's. Many sign-ins
// of one user may hold it at once; a delete of the user or a change of the password waits for all
// of them.
func (r *RepositoryOf[U, K, S]) ownerLock(s owner) clause.Interface {
	if s.key == (KeyID{}) {
		return r.b.engine.ShareLock(r.b.user.Table)
	}
	return r.b.engine.ShareLock(r.b.user.Table, r.b.key.Table)
}

// checkLockable returns [ErrRights] if a query finds a user whom a locking read did not find:
// without that a right password would look like a wrong one.
func (r *RepositoryOf[U, K, S]) checkLockable(query *gorm.DB) error {
	return checkRights(query, r.b.userID.DBName, r.b.engine.HidesRows())
}

// checkWritable returns [ErrRights] if there is a row with an id, of the model of query, that an
// UPDATE or a DELETE did not find. It asks only if row level security is on. Elsewhere a row that
// is there now was inserted after the DELETE.
func (r *RepositoryOf[U, K, S]) checkWritable(query *gorm.DB, id string) error {
	return checkRights(query.Where(r.b.idIs(id)), "id", r.b.engine.RowSecurity())
}

// checkRights returns [ErrRights] if a query finds a row. PostgreSQL has no error for a row that
// the role may read and not lock or change; the statement just finds nothing.
func checkRights(query *gorm.DB, column string, mayHide bool) error {
	if !mayHide {
		return nil
	}
	var ids []string
	// Pluck passes the application's Query callbacks, and so its tenant filter: a row of another
	// tenant must not become an answer here.
	if err := query.Limit(1).Pluck(column, &ids).Error; err != nil {
		return err
	}
	if len(ids) > 0 {
		return ErrRights
	}
	return nil
}
