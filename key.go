package gormkey

import (
	"context"
	"errors"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// CreateKey adds a way to sign in to a user and returns it (Lucia's createKey).
//
// Errors: [ArgumentError], [ErrDuplicateKey], [ErrInvalidUser] for a user who is not
// there or soft-deleted, [ErrBusy].
func (r *Repository[U]) CreateKey(ctx context.Context, userID string, c Credentials) (*Key[U], error) {
	key := new(Key[U])
	if err := r.CreateKeyInto(ctx, userID, c, key); err != nil {
		return nil, err
	}
	return key, nil
}

// CreateKeyInto is [Repository.CreateKey] for the application's own key struct, whose
// own fields it stores and whose embedded [Key] it sets. A taken value of a unique
// column of its own is [ErrDuplicateAttribute].
func (r *Repository[U]) CreateKeyInto(ctx context.Context, userID string, c Credentials, dest KeyModel[U]) error {
	if r.err != nil {
		return r.err
	}
	if err := r.checkUserID(userID); err != nil {
		return err
	}
	if err := r.checkKeyModel(dest); err != nil {
		return err
	}
	keys, err := r.newKeys(ctx, []Credentials{c})
	if err != nil {
		return err
	}
	return r.addKey(ctx, userID, keys[0], dest)
}

// ShareKey adds a way to sign in that has the password of another key of the same
// user: a username beside an email address, say. The two keep one password:
// [Repository.UpdateKeyPassword] and [Repository.ChangePassword] on either change both.
//
// Errors: [ArgumentError], [ErrInvalidKey] for the other key, [ErrInvalidPassword] if
// that has no password, [ErrInvalidUser] for a soft-deleted user, [ErrDuplicateKey].
func (r *Repository[U]) ShareKey(ctx context.Context, provider, id, withProvider, withID string) (*Key[U], error) {
	if r.err != nil {
		return nil, r.err
	}
	newID, err := keyID(provider, id)
	if err != nil {
		return nil, err
	}
	otherID, err := keyID(withProvider, withID)
	if err != nil {
		return nil, err
	}
	var created *Key[U]
	err = r.do(ctx, "share key", func(u *unit) error {
		other, err := r.lockKey(u.tx, otherID, ErrInvalidKey)
		if err != nil {
			return err
		}
		if !other.PasswordDefined() {
			return ErrInvalidPassword
		}
		if err := r.checkFree(u.tx, newID); err != nil {
			return err
		}
		created = &Key[U]{ID: newID, UserID: other.UserID, HashedPassword: other.HashedPassword}
		u.then(func(tx *gorm.DB) error { return r.b.requireUnchanged(tx, other.ID, other.UserID, other.HashedPassword) })
		u.then(func(tx *gorm.DB) error {
			return r.insertFor(tx, created, owner{userID: other.UserID}, ErrInvalidUser, ErrDuplicateKey)
		})
		u.tell(Event{Type: KeyAdded, UserID: created.UserID, KeyID: created.ID})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return created, nil
}

func (r *Repository[U]) addKey(ctx context.Context, userID string, key *Key[U], dest KeyModel[U]) error {
	hooked := r.b.key.BeforeCreate || r.b.key.AfterCreate || r.b.key.BeforeSave || r.b.key.AfterSave
	asGiven := copyOf(dest)
	err := r.doOne(ctx, "create key", hooked, func(u *unit) error {
		if hooked { // which may read first
			if err := r.b.lockWrites(u.tx); err != nil {
				return err
			}
		}
		if err := r.checkFree(u.tx, key.ID); err != nil {
			return err
		}
		restore(dest, asGiven)
		*dest.AuthKey() = *key
		dest.AuthKey().UserID = userID
		u.then(func(tx *gorm.DB) error {
			return r.insertFor(tx, dest, owner{userID: userID}, ErrInvalidUser, errDuplicate)
		})
		u.tell(Event{Type: KeyAdded, UserID: userID, KeyID: key.ID})
		return nil
	})
	if err != nil {
		restore(dest, asGiven)
	}
	return r.explainDuplicate(ctx, "create key", err, ErrDuplicateKey, r.b.key, r.b.baseKey, func(db *gorm.DB) (bool, error) {
		return find(db, new(Key[U]), column("id", key.ID))
	})
}

// GetKey returns a key (Lucia's getKey), [ErrInvalidKey] if there is none.
func (r *Repository[U]) GetKey(ctx context.Context, provider, id string) (*Key[U], error) {
	key := new(Key[U])
	if err := r.GetKeyInto(ctx, provider, id, key); err != nil {
		return nil, err
	}
	return key, nil
}

// GetKeyInto is [Repository.GetKey] for the application's own key struct, which it
// overwrites; after an error it is zero.
func (r *Repository[U]) GetKeyInto(ctx context.Context, provider, id string, dest KeyModel[U]) error {
	if r.err != nil {
		return r.err
	}
	wanted, err := keyID(provider, id)
	if err != nil {
		return err
	}
	if err := r.checkKeyModel(dest); err != nil {
		return err
	}
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	reflect.ValueOf(dest).Elem().SetZero() // GORM would take an id in it for a condition
	found := false
	err = r.read(db, func() (err error) {
		found, err = find(db, dest, r.b.idIs(wanted))
		return err
	})
	if err == nil && (!found || dest.AuthKey().ID != wanted) {
		err = ErrInvalidKey
	}
	if err != nil {
		reflect.ValueOf(dest).Elem().SetZero()
	}
	return callerError(ctx, "get key", err)
}

// RenameKey gives a key of a user another id at the same provider, after a change of
// their email address, say, with its password. Every one-time token of the user is
// voided, since they were sent to the old address. Sessions go on.
//
// Errors: [ArgumentError], [ErrInvalidKey] for no such key of that user,
// [ErrDuplicateKey].
func (r *Repository[U]) RenameKey(ctx context.Context, userID, provider, id, newID string) error {
	if r.err != nil {
		return r.err
	}
	if err := r.checkUserID(userID); err != nil {
		return err
	}
	oldKey, err := keyID(provider, id)
	if err != nil {
		return err
	}
	newKey, err := keyID(provider, newID)
	switch {
	case err != nil:
		return err
	case newKey == oldKey:
		return &ArgumentError{"new id", "is the id that the key has"}
	}
	return r.do(ctx, "rename key", func(u *unit) error {
		if err := r.lockOwner(u.tx, userID); err != nil {
			return err
		}
		if err := r.checkFree(u.tx, newKey); err != nil {
			return err
		}
		u.then(func(tx *gorm.DB) error { return r.voidTokens(tx, userID) })
		u.then(func(tx *gorm.DB) error {
			result := tx.Model(new(Key[U])).Where(r.b.idIs(oldKey)).Where(r.b.ownerIs(userID)).UpdateColumns(touched(tx, r.b.key, map[string]any{"id": r.b.engine.NewID(newKey)}))
			result.Error = duplicateAs(result, ErrDuplicateKey)
			return r.mustChange(tx, result, ErrInvalidKey, func() error {
				return r.checkWritable(tx.Model(new(Key[U])).Where(r.b.ownerIs(userID)), oldKey)
			})
		})
		u.tell(Event{Type: KeyRemoved, UserID: userID, KeyID: oldKey}, Event{Type: KeyAdded, UserID: userID, KeyID: newKey})
		return nil
	})
}

// UserKeys returns the keys of a user, ordered by id (Lucia's getAllUserKeys). No such
// user is [ErrInvalidUser].
func (r *Repository[U]) UserKeys(ctx context.Context, userID string) ([]Key[U], error) {
	if _, err := r.GetUser(ctx, userID); err != nil {
		return nil, err
	}
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	keys := []Key[U]{}
	err = r.read(db, func() error {
		return db.Where(r.b.ownerIs(userID)).Order(clause.OrderByColumn{Column: clause.Column{Name: "id"}}).Find(&keys).Error
	})
	return keys, callerError(ctx, "get user keys", err)
}

// DeleteKeyOption changes what [Repository.DeleteKey] does.
type DeleteKeyOption func(*deleteKeyOptions)

type deleteKeyOptions struct{ allowLast bool }

// AllowLastKey lets [Repository.DeleteKey] take a user's last way to sign in.
func AllowLastKey() DeleteKeyOption { return func(o *deleteKeyOptions) { o.allowLast = true } }

// DeleteKey removes a way to sign in (Lucia's deleteKey). The last one of a user is
// [ErrLastKey] without [AllowLastKey]. A key that is not there is no error. Sessions
// that it opened go on. Every one-time token of the user is voided, since it may have been
// sent to the key's address.
func (r *Repository[U]) DeleteKey(ctx context.Context, provider, id string, opts ...DeleteKeyOption) error {
	var o deleteKeyOptions
	for _, option := range opts {
		option(&o)
	}
	if r.err != nil {
		return r.err
	}
	wanted, err := keyID(provider, id)
	if err != nil {
		return err
	}
	return r.do(ctx, "delete key", func(u *unit) error {
		key, err := r.lockKey(u.tx, wanted, errAbsent)
		if errors.Is(err, errAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		if !o.allowLast {
			if err := r.requireOther(u, key); err != nil {
				return err
			}
		}
		u.then(func(tx *gorm.DB) error { return r.voidTokens(tx, key.UserID) })
		u.then(func(tx *gorm.DB) error {
			deleted, err := r.b.changed(tx, r.b.onShard(tx, key.UserID).Where(r.b.idIs(key.ID)).Delete(new(Key[U])), errStale)
			if err == nil && !deleted {
				err = r.checkWritable(tx.Model(new(Key[U])), key.ID)
			}
			return err
		})
		u.tell(Event{Type: KeyRemoved, UserID: key.UserID, KeyID: key.ID})
		return nil
	})
}

// requireOther returns ErrLastKey unless the user of a key has another.
func (r *Repository[U]) requireOther(u *unit, key *Key[U]) error {
	id := clause.Column{Table: clause.CurrentTable, Name: "id"}
	others, err := find(r.b.engine.ForUpdate(u.tx), new(Key[U]), r.b.ownerIs(key.UserID), clause.Neq{Column: id, Value: key.ID})
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

// newKeys checks credentials that will be stored and hashes their passwords. It is
// called outside any transaction of ours.
func (r *Repository[U]) newKeys(ctx context.Context, credentials []Credentials) ([]*Key[U], error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	keys := make([]*Key[U], len(credentials))
	for i, c := range credentials {
		id, err := keyID(c.Provider, c.ID)
		if err != nil {
			return nil, err
		}
		if err := r.opts.checkNewPassword(c); err != nil {
			return nil, err
		}
		keys[i] = &Key[U]{ID: id}
	}
	for i, c := range credentials {
		if c.NoPassword {
			continue
		}
		if c.PasswordHash != "" {
			keys[i].HashedPassword = &c.PasswordHash
			continue
		}
		hash, err := r.hash(ctx, c.Password)
		if err != nil {
			return nil, err
		}
		keys[i].HashedPassword = &hash
	}
	return keys, nil
}

func (r *Repository[U]) checkKeyModel(dest KeyModel[U]) error {
	if err := checkDest(dest == nil || isNilPointer(dest), func() bool { return dest.AuthKey() == nil }); err != nil {
		return err
	}
	return checkRegistered(dest, r.b.key, r.b.baseKey)
}
