package gormkey

import (
	"cmp"
	"context"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/internal/statement"
	"github.com/gormkey/gormkey/password"
)

// AddKey adds a way to sign in to a user and returns it (Lucia's createKey): a second email
// address, or an account at GitHub. Each function of set is called once with the key before it is
// stored, to set columns of your own. The provider has 1 to 64 bytes; with the id and the colon
// the key has 255 at most.
//
// Errors:
//
//   - [ArgumentError]: the user id or the credentials are malformed, or the policy refuses the
//     password.
//   - [ErrUserNotFound]: there is no such user, or the user is soft-deleted.
//   - [ErrDuplicateKey]: somebody, this user too, has this provider and id already.
//   - [ErrDuplicateAttribute]: a unique column of your own has this value already.
//   - [ErrBusy]: too many passwords are being hashed.
func (r *RepositoryOf[U, K, S]) AddKey(ctx context.Context, userID string, c Credentials, set ...func(K)) (K, error) {
	if r.err != nil {
		return failed[K](r.err)
	}
	if err := r.checkUserID(userID); err != nil {
		return failed[K](err)
	}
	keys, err := r.newKeys(ctx, []Credentials{c})
	if err != nil {
		return failed[K](err)
	}
	key := r.plugin.keys.make()
	if err := apply(key, set); err != nil {
		return failed[K](err)
	}
	base := r.keyOf(key)
	*base = *keys[0]
	base.UserID = userID
	if err := r.insertKey(ctx, key); err != nil {
		return failed[K](err)
	}
	return key, nil
}

// insertKey inserts a key that is complete. It is one statement, which reads and locks the user,
// unless a hook of the model needs a transaction.
func (r *RepositoryOf[U, K, S]) insertKey(ctx context.Context, key K) error {
	const op = "add key"
	hooked := r.b.key.BeforeCreate || r.b.key.AfterCreate || r.b.key.BeforeSave || r.b.key.AfterSave
	base, asGiven := r.keyOf(key), r.plugin.keys.clone(key)
	id := base.ID
	err := r.doOne(ctx, op, hooked, func(u *unit) error {
		if hooked { // a hook may read first
			if err := r.b.lockWrites(u.tx); err != nil {
				return err
			}
		}
		if err := r.lockFor(u, base.UserID); err != nil {
			return err
		}
		if err := r.checkFree(u.tx, id); err != nil {
			return err
		}
		r.plugin.keys.copy(key, asGiven) // a hook may have changed it in an earlier try
		u.then(func(tx *gorm.DB) error {
			return r.insertFor(tx, key, owner{userID: base.UserID}, ErrUserNotFound, errDuplicate, nil, nil)
		})
		u.tell(event.Event{Type: event.KeyAdded, UserID: base.UserID, KeyID: base.KeyID()})
		return nil
	})
	return r.explainDuplicate(ctx, op, err, ErrDuplicateKey, r.b.key, r.b.baseKey, func(db *gorm.DB) (bool, error) {
		return find(db, new(KeyOf[U]), column("id", id))
	})
}

// ShareKey adds a way to sign in that has the password of another key of the same user: for
// example a username next to an email address. The two keys keep one password: a change on either
// changes both.
//
// Errors:
//
//   - [ArgumentError]: one of the keys is malformed.
//   - [ErrKeyNotFound]: the existing key is not there.
//   - [ErrInvalidPassword]: the existing key has no password.
//   - [ErrUserNotFound]: the user is soft-deleted.
//   - [ErrDuplicateKey]: somebody has the added key already.
func (r *RepositoryOf[U, K, S]) ShareKey(ctx context.Context, added, existing KeyID) (K, error) {
	if r.err != nil {
		return failed[K](r.err)
	}
	if err := cmp.Or(checkKeyID(added), checkKeyID(existing)); err != nil {
		return failed[K](err)
	}
	created := r.plugin.keys.make()
	err := r.do(ctx, "share key", func(u *unit) error {
		locked, err := r.lockKey(u.tx, existing, ErrKeyNotFound)
		if err != nil {
			return err
		}
		other := r.keyOf(locked)
		if err := r.lockFor(u, other.UserID); err != nil {
			return err
		}
		if !other.PasswordDefined() {
			return ErrInvalidPassword
		}
		if err := r.checkFree(u.tx, added.String()); err != nil {
			return err
		}
		// Keys share a password by having the same salted hash. A new hash of the same password
		// would have another salt, and then setPassword could not tell that the two belong
		// together.
		key := &KeyOf[U]{ID: added.String(), UserID: other.UserID, HashedPassword: other.HashedPassword}
		u.then(func(tx *gorm.DB) error { return r.b.requireUnchanged(tx, other.ID, other.UserID, other.HashedPassword) })
		u.then(func(tx *gorm.DB) error {
			if err := r.insertFor(tx, key, owner{userID: other.UserID}, ErrUserNotFound, ErrDuplicateKey, nil, nil); err != nil {
				return err
			}
			*r.keyOf(created) = *key
			return nil
		})
		u.tell(event.Event{Type: event.KeyAdded, UserID: key.UserID, KeyID: added})
		return nil
	})
	if err != nil {
		return failed[K](err)
	}
	return created, nil
}

// GetKey returns a key (Lucia's getKey), without its user. It returns [ErrKeyNotFound] if there
// is no such key, and an [ArgumentError] if the id is malformed.
func (r *RepositoryOf[U, K, S]) GetKey(ctx context.Context, id KeyID) (K, error) {
	if r.err != nil {
		return failed[K](r.err)
	}
	if err := checkKeyID(id); err != nil {
		return failed[K](err)
	}
	db, err := r.session(ctx)
	if err != nil {
		return failed[K](err)
	}
	key, found := r.plugin.keys.make(), false
	err = r.read(db, func() (err error) {
		found, err = find(db, key, r.b.idIs(id.String()))
		return err
	})
	switch {
	case err != nil:
		return failed[K](callerError(ctx, "get key", err))
	case !found || r.keyOf(key).ID != id.String():
		return failed[K](ErrKeyNotFound)
	}
	return key, nil
}

// RenameKey gives a key of a user another id at the same provider, for example after a change of
// their email address. The password stays, and so do the sessions. Every one-time token of the
// user is voided, since it was sent to the old address.
//
// Errors:
//
//   - [ArgumentError]: one of the ids is malformed, or newID is the id that the key has.
//   - [ErrKeyNotFound]: the user has no such key.
//   - [ErrDuplicateKey]: somebody has the new id already.
func (r *RepositoryOf[U, K, S]) RenameKey(ctx context.Context, userID string, key KeyID, newID string) error {
	if r.err != nil {
		return r.err
	}
	renamed := KeyID{Provider: key.Provider, ID: newID}
	if err := cmp.Or(r.checkUserID(userID), checkKeyID(key), checkKeyID(renamed)); err != nil {
		return err
	}
	if renamed == key {
		return &ArgumentError{"new id", "is the id that the key has"}
	}
	return r.do(ctx, "rename key", func(u *unit) error {
		if err := r.lockOwner(u.tx, userID); err != nil {
			return err
		}
		if err := r.lockFor(u, userID); err != nil {
			return err
		}
		if err := r.checkFree(u.tx, renamed.String()); err != nil {
			return err
		}
		u.then(func(tx *gorm.DB) error { return r.voidTokens(tx, userID) })
		u.then(func(tx *gorm.DB) error {
			result := tx.Model(new(KeyOf[U])).Where(r.b.idIs(key.String())).Where(r.b.ownerIs(userID)).UpdateColumns(statement.Touched(tx, r.b.key, map[string]any{"id": r.b.engine.NewID(renamed.String())}))
			result.Error = duplicateAs(result, ErrDuplicateKey)
			return r.mustChange(tx, result, ErrKeyNotFound, func() error {
				return r.checkWritable(tx.Model(new(KeyOf[U])).Where(r.b.ownerIs(userID)), key.String())
			})
		})
		u.tell(event.Event{Type: event.KeyRemoved, UserID: userID, KeyID: key}, event.Event{Type: event.KeyAdded, UserID: userID, KeyID: renamed})
		return nil
	})
}

// UserKeys returns the keys of a user, ordered by id (Lucia's getAllUserKeys): the ways in which
// they can sign in. It returns [ErrUserNotFound] if there is no such user.
func (r *RepositoryOf[U, K, S]) UserKeys(ctx context.Context, userID string) ([]K, error) {
	if _, err := r.GetUser(ctx, userID); err != nil {
		return nil, err
	}
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	keys := []K{}
	err = r.read(db, func() error {
		return db.Where(r.b.ownerIs(userID)).Order(clause.OrderByColumn{Column: clause.Column{Name: "id"}}).Find(&keys).Error
	})
	return keys, callerError(ctx, "get user keys", err)
}

// RemoveKeyOption changes [RepositoryOf.RemoveKey]; [AllowLastKey] is one.
type RemoveKeyOption func(*removeKeyOptions)

type removeKeyOptions struct{ allowLast bool }

// AllowLastKey lets [RepositoryOf.RemoveKey] remove a user's last key. Nobody can sign in as that
// user until a key is added.
func AllowLastKey() RemoveKeyOption { return func(o *removeKeyOptions) { o.allowLast = true } }

// RemoveKey removes a way to sign in of a user (Lucia's deleteKey). A key that is not there is no
// error, so it may be repeated. Sessions that the key opened go on: end them by
// [RepositoryOf.EndOtherSessions] if the key was stolen. Every one-time token of the user is
// voided, since it may have been sent to the key's address.
//
// Errors:
//
//   - [ErrLastKey]: it is the user's last key; see [AllowLastKey].
//   - [ErrKeyNotFound]: it is a key of another user.
//   - [ArgumentError]: one of the ids is malformed.
func (r *RepositoryOf[U, K, S]) RemoveKey(ctx context.Context, userID string, id KeyID, opts ...RemoveKeyOption) error {
	var o removeKeyOptions
	for _, option := range opts {
		option(&o)
	}
	if r.err != nil {
		return r.err
	}
	if err := cmp.Or(r.checkUserID(userID), checkKeyID(id)); err != nil {
		return err
	}
	return r.do(ctx, "remove key", func(u *unit) error {
		locked, err := r.lockKey(u.tx, id, errAbsent)
		if errors.Is(err, errAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		key := r.keyOf(locked)
		if key.UserID != userID {
			return ErrKeyNotFound
		}
		if err := r.lockFor(u, userID); err != nil {
			return err
		}
		if !o.allowLast {
			if err := r.requireOther(u, key); err != nil {
				return err
			}
		}
		u.then(func(tx *gorm.DB) error { return r.voidTokens(tx, key.UserID) })
		u.then(func(tx *gorm.DB) error {
			deleted, err := r.b.changed(tx, r.b.onShard(tx, key.UserID).Where(r.b.idIs(key.ID)).Delete(new(KeyOf[U])), errStale)
			if err == nil && !deleted {
				err = r.checkWritable(tx.Model(new(KeyOf[U])), key.ID)
			}
			return err
		})
		u.tell(event.Event{Type: event.KeyRemoved, UserID: key.UserID, KeyID: id})
		return nil
	})
}

// requireOther returns [ErrLastKey] unless the user of a key has another. The user is locked, so
// of two calls that remove the last two keys at once one fails. A batch takes no lock: there the
// other key is required to exist when the batch runs.
func (r *RepositoryOf[U, K, S]) requireOther(u *unit, key *KeyOf[U]) error {
	id := clause.Column{Table: clause.CurrentTable, Name: "id"}
	others, err := find(r.b.engine.ForUpdate(u.tx), new(KeyOf[U]), r.b.ownerIs(key.UserID), clause.Neq{Column: id, Value: key.ID})
	switch {
	case err != nil:
		return err
	case !others:
		return ErrLastKey
	}
	u.then(func(tx *gorm.DB) error {
		return r.b.require(tx, errStale, "EXISTS (SELECT 1 FROM ? WHERE ? = ? AND ? <> ?)", clause.Table{Name: r.b.key.Table},
			clause.Column{Name: "user_id"}, key.UserID, clause.Column{Name: "id"}, key.ID)
	})
	return nil
}

// newKeys checks credentials that will be stored, and hashes their passwords. All are checked
// before the first is hashed, so a mistake in the last of them costs no work. It is called
// outside any transaction of ours: hashing takes tens of milliseconds, during which SQLite could
// serve no other writer.
func (r *RepositoryOf[U, K, S]) newKeys(ctx context.Context, credentials []Credentials) ([]*KeyOf[U], error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	for _, c := range credentials {
		if err := r.opts.checkNew(c); err != nil {
			return nil, err
		}
	}
	keys := make([]*KeyOf[U], len(credentials))
	for i, c := range credentials {
		keys[i] = &KeyOf[U]{ID: c.KeyID().String()}
		hash, err := r.newHash(ctx, c)
		if err != nil {
			return nil, err
		}
		keys[i].HashedPassword = hash
	}
	return keys, nil
}

// newHash returns the hash to store for credentials: nil for those of [Proved], the given one for
// those of [Imported], and otherwise a new hash of the password.
func (r *RepositoryOf[U, K, S]) newHash(ctx context.Context, c Credentials) (*password.Hash, error) {
	switch {
	case c.proved:
		return nil, nil
	case c.hash != "":
		return &c.hash, nil
	}
	hash, err := r.hash(ctx, c.Password)
	if err != nil {
		return nil, err
	}
	return &hash, nil
}
