package gormkey

import (
	"context"
	"errors"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/internal/engine"
)

// CreateUser inserts user and a key for each of the credentials, all or nothing (Lucia's
// createUser). An empty ID is filled. If there are no credentials, then the user has no key until
// [RepositoryOf.AddKey].
//
// Associations are not saved, so keys and sessions never come in with a user. Save others in the
// same transaction: see [RepositoryOf.With]. After an error the struct is as it was before the
// call.
//
// Errors:
//
//   - [ArgumentError]: the id or the credentials are malformed, or the policy refuses the
//     password.
//   - [ErrDuplicateKey]: somebody has one of the keys already.
//   - [ErrDuplicateUser]: somebody has the given ID already.
//   - [ErrDuplicateAttribute]: a unique column of your own, such as an email address, has this
//     value already.
//   - [ErrBusy]: too many passwords are being hashed.
//   - [ErrOutcomeUnknown]: the connection was lost during the commit.
func (r *RepositoryOf[U, K, S]) CreateUser(ctx context.Context, user U, credentials ...Credentials) (err error) {
	if r.err != nil {
		return r.err
	}
	if reflect.ValueOf(user).IsNil() {
		return &UsageError{"user", "is nil"}
	}
	base, asGiven := r.userOf(user), r.plugin.users.clone(user)
	given := base.ID
	if given != "" {
		if err := r.checkUserID(given); err != nil {
			return err
		}
	}
	keys, err := r.newKeys(ctx, credentials)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			r.plugin.users.copy(user, asGiven)
		}
	}()
	// The id that the database refused. A hook may have set another one than the caller gave.
	tried := ""
	err = r.do(ctx, "create user", func(u *unit) error {
		for _, key := range keys {
			if err := r.checkFree(u.tx, key.ID); err != nil {
				return err
			}
		}
		r.plugin.users.copy(user, asGiven)                // a hook may have changed it in an earlier try
		if r.b.user.BeforeCreate || r.b.user.BeforeSave { // a hook may read first
			if err := r.b.lockWrites(u.tx); err != nil {
				return err
			}
		}
		u.then(func(tx *gorm.DB) error {
			result := tx.Omit(clause.Associations).Create(user)
			tried = base.ID
			return duplicateAs(result, errDuplicate)
		})
		u.then(func(tx *gorm.DB) error { return r.createKeys(tx, base.ID, keys) })
		return nil
	})
	return r.explainDuplicate(ctx, "create user", err, ErrDuplicateUser, r.b.user, nil, func(db *gorm.DB) (bool, error) {
		var ids []string
		err := db.Model(r.plugin.users.make()).Unscoped().Where(column(r.b.userID.DBName, tried)).Limit(1).Pluck(r.b.userID.DBName, &ids).Error
		return len(ids) == 1, err
	})
}

// createKeys inserts the keys of a user who was created in the same transaction, and tells the
// hooks of both.
func (r *RepositoryOf[U, K, S]) createKeys(tx *gorm.DB, userID string, keys []*KeyOf[U]) error {
	insert := tx
	if !r.b.user.AfterCreate && !r.b.user.AfterSave { // such a hook may have deleted the user
		insert = trusted(tx)
	}
	events := []event.Event{{Type: event.UserCreated, UserID: userID}}
	for _, key := range keys {
		key.UserID = userID
		if err := duplicateAs(insert.Omit(clause.Associations).Create(key), ErrDuplicateKey); err != nil {
			return err
		}
		events = append(events, event.Event{Type: event.KeyAdded, UserID: userID, KeyID: key.KeyID()})
	}
	return r.emit(tx, events...)
}

// errDuplicate marks a duplicate until it is known whether the id or another column is taken. It
// never leaves the package.
var errDuplicate = errors.New("gormkey: duplicate")

// duplicateAs returns a statement's error, and gives a violated unique constraint the meaning
// that it has for that statement. The statement tells which table it was; the message of the
// database does not do so reliably, since MariaDB's names no table. An error of a hook of the
// application's model stays as it is: that hook may have violated another constraint.
func duplicateAs(result *gorm.DB, sentinel error) error {
	if _, ownError := result.InstanceGet(failedSetting); ownError && engine.IsDuplicate(result.Error) {
		return &sentinelError{sentinel, engine.WithoutStatement(result.Error)}
	}
	return result.Error
}

// sentinelError is a sentinel with the database's error behind it. It shows the text of the
// sentinel only, since the database's text may quote a value.
type sentinelError struct{ sentinel, cause error }

func (e *sentinelError) Error() string   { return e.sentinel.Error() }
func (e *sentinelError) Unwrap() []error { return []error{e.sentinel, e.cause} }

// explainDuplicate turns an errDuplicate into the error ofID or into [ErrDuplicateAttribute]. No
// code of a database tells which of two unique columns was taken, so after the rollback it asks
// whether there is a row with the id. It compares as the column does, because the column's
// constraint did. A model with no columns other than those of base has nothing else that could be
// taken, and needs no query.
func (r *RepositoryOf[U, K, S]) explainDuplicate(ctx context.Context, op string, err, ofID error, model, base *schema.Schema, exists func(db *gorm.DB) (bool, error)) error {
	if !errors.Is(err, errDuplicate) {
		return err
	}
	var cause *sentinelError
	errors.As(err, &cause)
	if base != nil && len(model.DBNames) == len(base.DBNames) {
		return &sentinelError{ofID, cause.cause}
	}
	db, sessionErr := r.session(ctx)
	if sessionErr != nil {
		return sessionErr
	}
	found, readErr := exists(r.b.engine.ReadLatest(db))
	switch {
	case readErr != nil:
		return callerError(ctx, op, readErr)
	case found:
		return &sentinelError{ofID, cause.cause}
	}
	return &sentinelError{ErrDuplicateAttribute, cause.cause}
}

// GetUser returns the user, read by the application's model with its hooks, scopes and soft
// delete (Lucia's getUser). It returns [ErrUserNotFound] if there is no such user, and an
// [ArgumentError] if the id is malformed.
func (r *RepositoryOf[U, K, S]) GetUser(ctx context.Context, userID string) (U, error) {
	if err := r.checkUserID(userID); r.err == nil && err != nil {
		return failed[U](err)
	}
	db, err := r.session(ctx)
	if err != nil {
		return failed[U](err)
	}
	user, err := r.loadUser(db, userID, ErrUserNotFound)
	return user, callerError(ctx, "get user", err)
}

// loadUser reads a user by the application's model, or returns the error none if there is no such
// user. An operation that acts on the absence passes a private error. An error of the query may
// come from the application's hooks and wrap any public one: DeleteUser once took such an error
// for "not there", and reported a deletion that had not happened.
func (r *RepositoryOf[U, K, S]) loadUser(db *gorm.DB, userID string, none error) (U, error) {
	user, found := r.plugin.users.make(), false
	err := r.read(db, func() (err error) {
		found, err = find(db, user, r.b.userIs(userID))
		return err
	})
	switch {
	case err != nil:
		return failed[U](err)
	case !found || r.userOf(user).ID != userID:
		return failed[U](none)
	}
	return user, nil
}

// errAbsent is the private error for a row that is not there. It never leaves the package.
var errAbsent = errors.New("gormkey: no such row")

// UpdateUserAttributes sets columns of the application's user model, named as in Go or in the
// database, by one UPDATE with the model's hooks. It returns the user as it is afterwards
// (Lucia's updateUserAttributes). An empty map changes nothing and returns the user.
//
// Errors:
//
//   - [ErrUserNotFound]: there is no such user, or the user is soft-deleted.
//   - [ErrDuplicateAttribute]: a unique column has this value already.
//   - [ArgumentError]: a name is no column, or is the id.
func (r *RepositoryOf[U, K, S]) UpdateUserAttributes(ctx context.Context, userID string, values map[string]any) (U, error) {
	if r.err != nil {
		return failed[U](r.err)
	}
	if err := r.checkUserID(userID); err != nil {
		return failed[U](err)
	}
	columns, err := attributes(ctx, r.b.user, values)
	if err != nil {
		return failed[U](err)
	}
	var user U
	s := r.b.user
	err = r.do(ctx, "update user attributes", func(u *unit) error {
		if err := r.lockFor(u, userID); err != nil {
			return err
		}
		if len(columns) > 0 {
			if s.BeforeUpdate || s.BeforeSave { // a hook may read first
				if err := r.b.lockWrites(u.tx); err != nil {
					return err
				}
			}
			u.then(func(tx *gorm.DB) error {
				model := r.plugin.users.make()
				r.userOf(model).ID = userID
				return duplicateAs(tx.Model(model).Updates(columns), ErrDuplicateAttribute)
			})
		}
		u.finally(func(tx *gorm.DB) (err error) {
			user, err = r.loadUser(tx, userID, ErrUserNotFound) // 0 rows may mean "same values", so the read decides
			return err
		})
		return nil
	})
	if err != nil {
		return failed[U](err)
	}
	return user, nil
}

// DeleteUser deletes the user by the application's model, with its hooks and soft delete, and
// deletes the user's keys, sessions and one-time tokens for good (Lucia's deleteUser). It is one
// transaction that no sign-in can slip into. A user who is not there is no error, so it may be
// repeated.
//
// A plain db.Delete of a user whose model is soft-deleted keeps keys and sessions. They do not
// work while the user is deleted, and work again if the user is restored.
//
// Errors:
//
//   - [ArgumentError]: the id is malformed.
//   - [UsageError]: without foreign keys, a transaction of yours on PostgreSQL is at REPEATABLE
//     READ or above; or, on a sharded Vitess, a BeforeDelete hook gave the user a key or session.
//     Nothing is done.
//   - [gorm.ErrForeignKeyViolated]: a table of yours still refers to the user.
//   - [ErrRights]: row level security hides the user from a DELETE.
func (r *RepositoryOf[U, K, S]) DeleteUser(ctx context.Context, userID string) error {
	if r.err != nil {
		return r.err
	}
	if err := r.checkUserID(userID); err != nil {
		return err
	}
	err := r.do(ctx, "delete user", func(u *unit) error {
		if r.inTransaction() {
			if err := r.b.checkIsolation(u.tx); err != nil {
				return err
			}
		}
		if err := r.lockFor(u, userID); err != nil {
			return err
		}
		user, err := r.lockForDelete(u, userID)
		if err != nil {
			return err
		}
		u.then(func(tx *gorm.DB) error {
			handle := tx
			switch {
			case !r.b.user.BeforeDelete: // nothing can have been added to the user
				handle = trusted(tx)
			case r.b.engine.Sharded():
				handle = tx.Set(emptiedSetting, true)
			}
			return r.mustChange(tx, handle.Omit(clause.Associations).Delete(user), errNotDeleted, nil)
		})
		u.tell(event.Event{Type: event.UserDeleted, UserID: userID})
		return nil
	})
	switch {
	case errors.Is(err, errAbsent):
		return nil
	case errors.Is(err, errNotDeleted):
		return r.checkDeleted(ctx, userID)
	}
	return err
}

// deletesUnseen reports whether no code except the library's sees the user who is deleted, or
// decides whether there is one. Then a batch need not read the user first.
func (r *RepositoryOf[U, K, S]) deletesUnseen() bool {
	s := r.b.user
	return !r.opts.tells() && !s.BeforeDelete && !s.AfterDelete && !s.AfterFind && plainQueries(s) && !foreignQueryCallbacks(r.db)
}

// errNotDeleted: the DELETE of a user who had been read and locked changed no row.
var errNotDeleted = errors.New("gormkey: the user was not deleted: a trigger or a Delete callback kept it")

// checkDeleted tells a user who was not there from a user whom a trigger or a Delete callback
// kept. Only the second is an error: the caller must not believe that the user is gone.
func (r *RepositoryOf[U, K, S]) checkDeleted(ctx context.Context, userID string) error {
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

// deleteChildren deletes what belongs to a user who is locked, in the order of lock.go. With
// foreign keys the database would do the same; deleting the rows here also serves a soft delete,
// which keeps the user's row, so that nothing cascades. For the same reason a soft delete leaves
// the rows of [WithOwned] as they are: no foreign key would touch them.
func (r *RepositoryOf[U, K, S]) deleteChildren(tx *gorm.DB, userID string) error {
	if rows := r.b.applications(); len(rows) > 0 && len(r.b.user.DeleteClauses) == 0 {
		keeps, err := r.b.keepsOwned(tx)
		if err == nil && keeps {
			err = r.b.release(tx, rows, []string{userID})
		}
		if err != nil {
			return err
		}
	}
	if r.b.suspension != nil && len(r.b.user.DeleteClauses) == 0 { // somebody who is restored is still suspended
		if err := tx.Where(r.b.ownerIs(userID)).Delete(new(SuspensionOf[U])).Error; err != nil {
			return err
		}
	}
	if r.b.token != nil {
		if err := tx.Where(r.b.ownerIs(userID)).Delete(new(OneTimeTokenOf[U])).Error; err != nil {
			return err
		}
	}
	if err := r.deleteSessions(tx.Where(r.b.ownerIs(userID))).Error; err != nil {
		return err
	}
	return tx.Where(r.b.ownerIs(userID)).Delete(new(KeyOf[U])).Error
}

// deleteSessions deletes the sessions that a query's conditions name, in parts where an engine
// limits the rows of one statement.
func (r *RepositoryOf[U, K, S]) deleteSessions(query *gorm.DB) *gorm.DB {
	query = query.Session(&gorm.Session{})
	return r.b.deleteAll(func(limit int) *gorm.DB {
		if limit > 0 {
			return query.Limit(limit).Delete(new(SessionOf[U]))
		}
		return query.Delete(new(SessionOf[U]))
	})
}
