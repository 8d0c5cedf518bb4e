package gormkey

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/password"
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
	err = r.transact(ctx, "share key", func(tx *gorm.DB) error {
		other, err := r.lockKey(tx, otherID)
		if err != nil {
			return err
		}
		if !other.PasswordDefined() {
			return ErrInvalidPassword
		}
		if err := r.b.unchanged(tx, other.ID, other.UserID, other.HashedPassword); err != nil {
			return err
		}
		created = &Key[U]{ID: newID, UserID: other.UserID, HashedPassword: other.HashedPassword}
		if err := r.insertFor(tx, created, ownerSource{userID: other.UserID}, ErrInvalidUser); err != nil {
			return duplicateAs(err, ErrDuplicateKey)
		}
		return r.emit(tx, Event{Type: KeyAdded, UserID: created.UserID, KeyID: created.ID})
	})
	if err != nil {
		return nil, err
	}
	return created, nil
}

func (r *Repository[U]) addKey(ctx context.Context, userID string, key *Key[U], dest KeyModel[U]) error {
	hooked := r.b.key.BeforeCreate || r.b.key.AfterCreate || r.b.key.BeforeSave || r.b.key.AfterSave
	came := copyOf(dest)
	err := r.write(ctx, "create key", hooked, func(tx *gorm.DB) error {
		if hooked {
			if err := r.b.lockWrites(tx); err != nil {
				return err
			}
		}
		restore(dest, came)
		*dest.AuthKey() = *key
		dest.AuthKey().UserID = userID
		if err := r.insertFor(tx, dest, ownerSource{userID: userID}, ErrInvalidUser); err != nil {
			return duplicateAs(err, errDuplicate)
		}
		return r.emit(tx, Event{Type: KeyAdded, UserID: userID, KeyID: key.ID})
	})
	if err != nil {
		restore(dest, came)
	}
	return r.explainDuplicate(ctx, "create key", err, ErrDuplicateKey, r.b.key, r.b.baseKey, func(db *gorm.DB) (bool, error) {
		return find(db, new(Key[U]), r.b.idIs(key.ID))
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
	found, err := find(db, dest, r.b.idIs(wanted))
	if err == nil && (!found || dest.AuthKey().ID != wanted) {
		err = ErrInvalidKey
	}
	if err != nil {
		reflect.ValueOf(dest).Elem().SetZero()
	}
	return report(ctx, "get key", err)
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
	return r.transact(ctx, "rename key", func(tx *gorm.DB) error {
		if err := r.lockOwner(tx, userID); err != nil {
			return err
		}
		if err := r.voidTokens(tx, userID); err != nil {
			return err
		}
		result := tx.Model(new(Key[U])).Where(r.b.idIs(oldKey)).Where(r.b.ownerIs(userID)).UpdateColumn("id", newKey)
		result.Error = duplicateAs(result.Error, ErrDuplicateKey)
		renamed, err := r.b.changed(tx, result, ErrInvalidKey)
		switch {
		case err != nil:
			return err
		case !renamed:
			return ErrInvalidKey
		}
		return r.emit(tx, Event{Type: KeyRemoved, UserID: userID, KeyID: oldKey}, Event{Type: KeyAdded, UserID: userID, KeyID: newKey})
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
	err = db.Where(r.b.ownerIs(userID)).Order(clause.OrderByColumn{Column: clause.Column{Name: "id"}}).Find(&keys).Error
	return keys, report(ctx, "get user keys", err)
}

// UpdateKeyPassword sets the password of a key, or takes it away with NoPassword
// (Lucia's updateKeyPassword), and returns the key. Keys that share the password, see
// [Repository.ShareKey], change with it. Sessions go on: [Repository.ChangePassword]
// ends them.
//
// Errors: [ArgumentError], [ErrInvalidKey], [ErrBusy].
func (r *Repository[U]) UpdateKeyPassword(ctx context.Context, c Credentials) (*Key[U], error) {
	return r.updatePassword(ctx, c, nil)
}

// ChangePassword is [Repository.UpdateKeyPassword] that also ends the user's sessions
// in the same transaction, all but the one with the id keepSessionID; "" keeps none
// (OWASP ASVS 7.4.3). It does not ask for the old password: call [Repository.UseKey]
// first. A sign-in with the old password that is under way when it returns does not get a
// session.
func (r *Repository[U]) ChangePassword(ctx context.Context, c Credentials, keepSessionID string) (*Key[U], error) {
	if keepSessionID != "" {
		if err := checkText("session id", keepSessionID, sessionIDSize); err != nil {
			return nil, err
		}
	}
	return r.updatePassword(ctx, c, &keepSessionID)
}

func (r *Repository[U]) updatePassword(ctx context.Context, c Credentials, keep *string) (*Key[U], error) {
	if r.err != nil {
		return nil, r.err
	}
	keys, err := r.newKeys(ctx, []Credentials{c})
	if err != nil {
		return nil, err
	}
	hash := keys[0].HashedPassword
	var key *Key[U]
	err = r.transact(ctx, "update key password", func(tx *gorm.DB) error {
		var change func() error
		if key, change, err = r.passwordChange(tx, keys[0].ID, hash, keep); err != nil {
			return err
		}
		return change()
	})
	if err != nil {
		return nil, err
	}
	key.HashedPassword = hash
	return key, nil
}

// passwordChange reads a key under its user's lock and returns it with what sets its
// password, ends the user's sessions but the one to keep, if that is not nil, and voids
// the one-time tokens by which somebody could still come in.
func (r *Repository[U]) passwordChange(tx *gorm.DB, id string, hash *HashedPassword, keep *string) (key *Key[U], change func() error, err error) {
	if key, err = r.lockKey(tx, id); err != nil {
		return nil, nil, err
	}
	endSessions := nothing
	if keep != nil {
		if endSessions, err = r.sessionsEnd(tx, key.UserID, *keep); err != nil {
			return nil, nil, err
		}
	}
	return key, func() error {
		if err := r.b.unchanged(tx, key.ID, key.UserID, key.HashedPassword); err != nil {
			return err
		}
		if err := r.voidTokens(tx, key.UserID, ResetPassword, MagicLink); err != nil {
			return err
		}
		if err := r.setPassword(tx, key, hash); err != nil {
			return err
		}
		if err := endSessions(); err != nil {
			return err
		}
		return r.emit(tx, Event{Type: PasswordChanged, UserID: key.UserID, KeyID: key.ID})
	}, nil
}

// setPassword writes hash to a key and to those that share its password, which is to
// say its salted hash.
func (r *Repository[U]) setPassword(tx *gorm.DB, key *Key[U], hash *HashedPassword) error {
	condition := r.b.idIs(key.ID)
	if key.PasswordDefined() {
		condition = clause.Or(condition, column("hashed_password", string(*key.HashedPassword)))
	}
	var value any
	if hash != nil {
		value = string(*hash)
	}
	return tx.Model(new(Key[U])).Where(r.b.ownerIs(key.UserID)).Where(condition).UpdateColumn("hashed_password", value).Error
}

// DeleteKeyOption changes what [Repository.DeleteKey] does.
type DeleteKeyOption func(*deleteKeyOptions)

type deleteKeyOptions struct{ allowLast bool }

// AllowLastKey lets [Repository.DeleteKey] take a user's last way to sign in.
func AllowLastKey() DeleteKeyOption { return func(o *deleteKeyOptions) { o.allowLast = true } }

// DeleteKey removes a way to sign in (Lucia's deleteKey). The last one of a user is
// [ErrLastKey] without [AllowLastKey]. A key that is not there is no error. Sessions
// that it opened go on.
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
	return r.transact(ctx, "delete key", func(tx *gorm.DB) error {
		key, err := r.lockKey(tx, wanted)
		if errors.Is(err, ErrInvalidKey) {
			return nil
		}
		if err != nil {
			return err
		}
		if !o.allowLast {
			if err := r.requireOther(tx, key); err != nil {
				return err
			}
		}
		if _, err := r.b.changed(tx, tx.Where(r.b.idIs(key.ID)).Delete(new(Key[U])), errStale); err != nil {
			return err
		}
		return r.emit(tx, Event{Type: KeyRemoved, UserID: key.UserID, KeyID: key.ID})
	})
}

// requireOther returns ErrLastKey unless the user of a key has another.
func (r *Repository[U]) requireOther(tx *gorm.DB, key *Key[U]) error {
	id := clause.Column{Table: clause.CurrentTable, Name: "id"}
	others, err := find(r.underLock(tx), new(Key[U]), r.b.ownerIs(key.UserID), clause.Neq{Column: id, Value: key.ID})
	switch {
	case err != nil:
		return err
	case !others:
		return ErrLastKey
	case r.b.batches:
		return r.b.require(tx, errStale, "EXISTS (SELECT 1 FROM ? WHERE ? = ? AND ? <> ?)", clause.Table{Name: r.b.key.Table},
			clause.Column{Name: "user_id"}, key.UserID, clause.Column{Name: "id"}, key.ID)
	}
	return nil
}

// lockKey returns a key after locking its user's row, so that what two calls do to the
// keys of one user happens one after the other. The key is read again under the lock.
func (r *Repository[U]) lockKey(tx *gorm.DB, wanted string) (*Key[U], error) {
	if err := r.b.lockWrites(tx); err != nil {
		return nil, err
	}
	read := func(tx *gorm.DB) (*Key[U], error) {
		key := new(Key[U])
		found, err := find(tx, key, r.b.idIs(wanted))
		if err == nil && (!found || key.ID != wanted) {
			err = ErrInvalidKey
		}
		return key, err
	}
	key, err := read(tx)
	if err != nil || r.b.dialect == "sqlite" {
		return key, err
	}
	if err := r.lockUser(tx, key.UserID); err != nil {
		return nil, err
	}
	return read(r.underLock(tx))
}

// underLock makes the next read see what was committed while a lock was waited for: in
// a caller's transaction MySQL would read its snapshot, unless the read locks too.
func (r *Repository[U]) underLock(tx *gorm.DB) *gorm.DB {
	_, inTransaction := tx.Statement.ConnPool.(gorm.TxCommitter)
	if r.b.dialect != "mysql" || !inTransaction {
		return tx
	}
	return tx.Clauses(clause.Locking{Strength: "UPDATE"})
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

// hash makes a new hash when the limiter admits it.
func (r *Repository[U]) hash(ctx context.Context, plain string) (hash HashedPassword, err error) {
	err = r.opts.limiter.Do(ctx, func() error {
		text, err := r.opts.hasher.Hash(plain)
		hash = HashedPassword(text)
		return err
	})
	switch {
	case errors.Is(err, password.ErrBusy):
		return "", ErrBusy
	case errors.Is(err, password.ErrTooLong), errors.Is(err, password.ErrNUL): // for a format that takes less
		return "", fmt.Errorf("%w: %w", &ArgumentError{"password", "cannot be hashed"}, err)
	case err != nil:
		return "", fmt.Errorf("gormkey: hashing a password: %w", err)
	}
	return hash, checkText("password hash", string(hash), hashSize)
}

func (r *Repository[U]) checkKeyModel(dest KeyModel[U]) error {
	if err := checkDest(dest == nil || isNilPointer(dest), func() bool { return dest.AuthKey() == nil }); err != nil {
		return err
	}
	return checkRegistered(dest, r.b.key, r.b.baseKey)
}
