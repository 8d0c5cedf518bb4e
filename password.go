package gormkey

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/internal/statement"
	"github.com/gormkey/gormkey/password"
)

// ChangePassword sets the password of a key to a new one, if the credentials have the old one. In
// the same transaction it ends the user's sessions, except the one with the id keep; "" keeps
// none (OWASP ASVS 6.2.3 and 7.4.3). Keys that share the password change with it, and one-time
// tokens of the user end: see [RepositoryOf.VoidTokens]. A sign-in with the old password that is
// still running when it returns gets no session.
//
// Errors:
//
//   - [ErrInvalidCredentials]: the old password is wrong, or anything else is wrong with the
//     credentials. As after a failed [RepositoryOf.SignIn], the hooks hear the reason.
//   - [SuspendedError]: the old password is right, and the user is suspended.
//   - [ArgumentError]: the policy refuses the "new password", or the credentials are malformed.
//   - [UsageError]: the credentials are of [Proved], which have no old password.
//   - [ErrBusy]: too many passwords are being hashed.
func (r *RepositoryOf[U, K, S]) ChangePassword(ctx context.Context, c Credentials, newPassword string, keep SessionID) (K, error) {
	if r.err != nil {
		return failed[K](r.err)
	}
	if keep != "" {
		if err := checkSessionID(keep); err != nil {
			return failed[K](err)
		}
	}
	if err := r.opts.checkNewPassword("new password", newPassword); err != nil {
		return failed[K](err)
	}
	if c.proved {
		return failed[K](&UsageError{"credentials", "are of Proved, which have no old password; use OverwritePassword"})
	}
	// Hashing happens outside the transaction. If the stored hash was replaced between the check and
	// the change, by a sign-in that improved it for example, the second round checks again.
	userID := ""
	for range 2 {
		verified, err := r.verifyAdmitted(ctx, c)
		if err != nil {
			return failed[K](err)
		}
		userID = r.keyOf(verified).UserID
		hash, err := r.hash(ctx, newPassword)
		if err != nil {
			return failed[K](err)
		}
		key, err := r.setVerified(ctx, r.keyOf(verified), &hash, keep)
		if !errors.Is(err, errChanged) {
			return key, err
		}
	}
	return failed[K](r.failSignIn(ctx, c, userID, ErrInvalidPassword))
}

// setVerified replaces the password of a key that still has the hash that was verified, or
// returns errChanged. The hash is compared under the user's lock, so two changes at once do not
// both succeed with the same old password.
func (r *RepositoryOf[U, K, S]) setVerified(ctx context.Context, verified *KeyOf[U], hash *password.Hash, keep SessionID) (K, error) {
	var key K
	err := r.do(ctx, "change password", func(u *unit) (err error) {
		if key, err = r.lockKey(u.tx, verified.KeyID(), errChanged); err != nil {
			return err
		}
		now := r.keyOf(key)
		if now.UserID != verified.UserID || !now.PasswordDefined() || *now.HashedPassword != *verified.HashedPassword {
			return errChanged
		}
		if err := r.lockFor(u, now.UserID); err != nil {
			return err
		}
		return r.replacePassword(u, now, hash, keep)
	})
	if err != nil {
		return failed[K](err)
	}
	r.keyOf(key).HashedPassword = hash
	return key, nil
}

// OverwritePassword sets the password of a key without asking for the old one (Lucia's
// updateKeyPassword): for an administrator, an import, or a user who proved their identity in
// another way. The new password is that of the credentials, a hash of [Imported], or none by
// [Proved].
//
// In the same transaction it ends the user's sessions, except the one with the id keep; "" keeps
// none. Keys that share the password change with it, and one-time tokens of the user end: see
// [RepositoryOf.VoidTokens].
//
// Errors:
//
//   - [ErrKeyNotFound]: there is no such key.
//   - [ArgumentError]: the policy refuses the password, or the credentials or the hash are
//     malformed.
//   - [ErrBusy]: too many passwords are being hashed.
func (r *RepositoryOf[U, K, S]) OverwritePassword(ctx context.Context, c Credentials, keep SessionID) (K, error) {
	if r.err != nil {
		return failed[K](r.err)
	}
	if keep != "" {
		if err := checkSessionID(keep); err != nil {
			return failed[K](err)
		}
	}
	if err := checkContext(ctx); err != nil {
		return failed[K](err)
	}
	if err := r.opts.checkNew(c); err != nil {
		return failed[K](err)
	}
	hash, err := r.newHash(ctx, c)
	if err != nil {
		return failed[K](err)
	}
	var key K
	err = r.do(ctx, "overwrite password", func(u *unit) error {
		if key, err = r.lockKey(u.tx, c.KeyID(), ErrKeyNotFound); err != nil {
			return err
		}
		if err := r.lockFor(u, r.keyOf(key).UserID); err != nil {
			return err
		}
		return r.replacePassword(u, r.keyOf(key), hash, keep)
	})
	if err != nil {
		return failed[K](err)
	}
	r.keyOf(key).HashedPassword = hash
	return key, nil
}

// replacePassword sets the password of a key that is locked, ends the user's sessions except the
// one to keep ("" keeps none), and voids the one-time tokens by which somebody could still come
// in. It is the end of ChangePassword, OverwritePassword and ResetPassword, so that no way to
// change a password forgets one of the three.
func (r *RepositoryOf[U, K, S]) replacePassword(u *unit, key *KeyOf[U], hash *password.Hash, keep SessionID) error {
	u.then(func(tx *gorm.DB) error { return r.b.requireUnchanged(tx, key.ID, key.UserID, key.HashedPassword) })
	u.then(func(tx *gorm.DB) error { return r.voidPending(tx, key.UserID) })
	u.then(func(tx *gorm.DB) error { return r.setPassword(tx, key, hash) })
	if err := r.endSessions(u, key.UserID, keep); err != nil {
		return err
	}
	u.tell(event.Event{Type: event.PasswordChanged, UserID: key.UserID, KeyID: key.KeyID()})
	return nil
}

// setPassword writes hash to a key and to the user's keys that share its password. Those have the
// same salted hash, and two passwords that were hashed separately never have.
func (r *RepositoryOf[U, K, S]) setPassword(tx *gorm.DB, key *KeyOf[U], hash *password.Hash) error {
	condition := r.b.idIs(key.ID)
	if key.PasswordDefined() {
		condition = clause.Or(condition, column("hashed_password", string(*key.HashedPassword)))
	}
	var value any
	if hash != nil {
		value = string(*hash)
	}
	return tx.Model(new(KeyOf[U])).Where(r.b.ownerIs(key.UserID)).Where(condition).UpdateColumns(statement.Touched(tx, r.b.key, map[string]any{"hashed_password": value})).Error
}

// hash makes a new hash when the limiter admits it. It notes which kind of hash that is, so that
// a failed sign-in does the work of one: see package internal/timing.
func (r *RepositoryOf[U, K, S]) hash(ctx context.Context, plain string) (hash password.Hash, err error) {
	err = r.opts.limiter.Do(ctx, func() error {
		text, err := r.opts.hasher.Hash(plain)
		if hash = password.Hash(text); err == nil {
			r.plugin.equal.Made(text)
		}
		return err
	})
	switch {
	case errors.Is(err, password.ErrBusy):
		return "", ErrBusy
	case errors.Is(err, password.ErrTooLong), errors.Is(err, password.ErrNUL): // bcrypt takes 72 bytes and no NUL
		return "", refusedPassword("password", err)
	case err != nil:
		return "", fmt.Errorf("gormkey: hashing a password: %w", err)
	}
	return hash, checkText("password hash", string(hash), hashSize)
}
