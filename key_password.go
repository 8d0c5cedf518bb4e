package gormkey

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/password"
)

// UpdateKeyPassword sets the password of a key, or takes it away with NoPassword
// (Lucia's updateKeyPassword), and returns the key. Keys that share the password, see
// [Repository.ShareKey], change with it. Sessions go on: [Repository.ChangePassword]
// ends them. One-time tokens of the user end, see [Repository.VoidTokens].
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
func (r *Repository[U]) ChangePassword(ctx context.Context, c Credentials, keepSessionID SessionID) (*Key[U], error) {
	if keepSessionID != "" {
		if err := keepSessionID.check(); err != nil {
			return nil, err
		}
	}
	return r.updatePassword(ctx, c, &keepSessionID)
}

func (r *Repository[U]) updatePassword(ctx context.Context, c Credentials, keep *SessionID) (*Key[U], error) {
	if r.err != nil {
		return nil, r.err
	}
	keys, err := r.newKeys(ctx, []Credentials{c})
	if err != nil {
		return nil, err
	}
	hash := keys[0].HashedPassword
	var key *Key[U]
	err = r.do(ctx, "update key password", func(u *unit) error {
		if key, err = r.lockKey(u.tx, keys[0].ID, ErrInvalidKey); err != nil {
			return err
		}
		return r.replacePassword(u, key, hash, keep)
	})
	if err != nil {
		return nil, err
	}
	key.HashedPassword = hash
	return key, nil
}

// replacePassword sets the password of a key that is locked, ends the user's sessions but the
// one to keep, if keep is not nil, and voids the one-time tokens by which somebody could still
// come in.
func (r *Repository[U]) replacePassword(u *unit, key *Key[U], hash *HashedPassword, keep *SessionID) error {
	u.then(func(tx *gorm.DB) error { return r.b.requireUnchanged(tx, key.ID, key.UserID, key.HashedPassword) })
	u.then(func(tx *gorm.DB) error { return r.voidPending(tx, key.UserID) })
	u.then(func(tx *gorm.DB) error { return r.setPassword(tx, key, hash) })
	if keep != nil {
		if err := r.endSessions(u, key.UserID, *keep); err != nil {
			return err
		}
	}
	u.tell(Event{Type: PasswordChanged, UserID: key.UserID, KeyID: key.ID})
	return nil
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
	return tx.Model(new(Key[U])).Where(r.b.ownerIs(key.UserID)).Where(condition).UpdateColumns(touched(tx, r.b.key, map[string]any{"hashed_password": value})).Error
}

// hash makes a new hash when the limiter admits it.
func (r *Repository[U]) hash(ctx context.Context, plain string) (hash HashedPassword, err error) {
	err = r.opts.limiter.Do(ctx, func() error {
		text, err := r.opts.hasher.Hash(plain)
		if hash = HashedPassword(text); err == nil {
			r.plugin.work.hashed(text)
		}
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
