package gormkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/event"
)

// maxTokenLifetime is the longest lifetime of a one-time token: 30 days.
const maxTokenLifetime = 30 * 24 * time.Hour

// IssueToken makes a one-time token for a user and returns it, to be sent to the user by mail.
// The database holds its SHA-256. The user's older token of the same purpose is voided. The
// library sends nothing; that is up to the application. The call needs [WithOneTimeTokens].
//
// The payload is a text of at most 1024 bytes of valid UTF-8 that is stored with the token, for
// example the address that the token proves. With [PurposeResetPassword] it is the id of the key
// whose password is to be set. The lifetime is 1 ms to 30 days, in whole milliseconds. A link
// that signs in is good for 10 minutes (OWASP ASVS 6.5.5), one that proves an address or recovers
// an account for 24 hours at most (NIST SP 800-63B-4 § 4.2.1.2), and an hour is enough for a
// password.
//
// Issuing is not throttled: limit how many mails are sent to one address. Give the same answer,
// in the same time, whether or not the account exists, and send the mail outside the request.
//
// Errors:
//
//   - [ArgumentError]: the user id, the purpose or the payload is malformed.
//   - [UsageError]: the lifetime is out of bounds, or the plugin has no one-time tokens.
//   - [ErrUserNotFound]: there is no such user, or the user is soft-deleted.
//   - [SuspendedError]: the user is suspended. Give a visitor the same answer as for a user who is
//     not there.
func (r *RepositoryOf[U, K, S]) IssueToken(ctx context.Context, userID string, purpose Purpose, payload string, lifetime time.Duration) (Token, error) {
	if err := r.checkTokens(); err != nil {
		return "", err
	}
	if err := errors.Join(r.checkUserID(userID), checkPurpose(purpose), checkPayload(purpose, payload)); err != nil {
		return "", err
	}
	if lifetime < time.Millisecond || lifetime > maxTokenLifetime || lifetime%time.Millisecond != 0 {
		return "", &UsageError{"lifetime", fmt.Sprintf("is %v, outside whole milliseconds from 1ms to 30 days", lifetime)}
	}
	token := newToken()
	err := r.do(ctx, "issue token", func(u *unit) error {
		if err := r.lockOwner(u.tx, userID); err != nil {
			return err
		}
		if err := r.lockFor(u, userID); err != nil {
			return err
		}
		if err := r.checkAdmitted(u.tx, userID); err != nil {
			return err
		}
		u.then(func(tx *gorm.DB) error { return r.voidTokens(tx, userID, purpose) })
		u.then(func(tx *gorm.DB) error {
			row := &OneTimeTokenOf[U]{ID: string(token.ID()), UserID: userID, Purpose: purpose, Payload: payload, Expires: r.opts.now() + milli(lifetime)}
			return r.insertFor(tx, row, owner{userID: userID, admitted: true}, ErrUserNotFound, errDuplicate, nil, nil)
		})
		u.tell(event.Event{Type: event.TokenIssued, UserID: userID, Purpose: purpose})
		return nil
	})
	if err != nil {
		return "", r.explainSuspended(ctx, "issue token", userID, err, ErrUserNotFound)
	}
	return token, nil
}

// GetToken returns a one-time token with its user, and does not use it up. Call it for the GET of
// a link, to show a form: programs that look at mail follow links too.
//
// It returns [ErrInvalidToken] for a token that is unknown, used, expired, voided, or of another
// purpose, and for one whose user is gone. A malformed token gets it without a statement.
func (r *RepositoryOf[U, K, S]) GetToken(ctx context.Context, purpose Purpose, token Token) (*OneTimeTokenOf[U], error) {
	if err := errors.Join(r.checkTokens(), checkPurpose(purpose)); err != nil {
		return nil, err
	}
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	t, err := r.loadToken(db, purpose, token)
	return t, callerError(ctx, "get token", err)
}

// UseToken uses a one-time token up and returns it with its user. In the same transaction it then
// calls work, unless work is nil. So the token is gone if and only if work is done: an error of
// work leaves the token as it was. Call operations of the repository inside work through
// [RepositoryOf.With] and tx. After a deadlock work may run again.
//
// If several calls come at once, one of them gets the token. The others, and every later call,
// get [ErrInvalidToken] as from [RepositoryOf.GetToken]. On Cloudflare D1 a loser learns it at
// the end of the transaction, so work may have run there for nothing.
func (r *RepositoryOf[U, K, S]) UseToken(ctx context.Context, purpose Purpose, token Token, work func(tx *gorm.DB, t *OneTimeTokenOf[U]) error) (*OneTimeTokenOf[U], error) {
	if err := errors.Join(r.checkTokens(), checkPurpose(purpose)); err != nil {
		return nil, err
	}
	var t *OneTimeTokenOf[U]
	err := r.do(ctx, "use token", func(u *unit) (err error) {
		if t, err = r.lockToken(u.tx, purpose, token); err != nil {
			return err
		}
		r.consume(u, t)
		if work != nil {
			u.then(func(tx *gorm.DB) error {
				end := r.b.undone.watch(tx)
				return cmp.Or(work(r.forApplication(tx), t), end())
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// ResetPassword uses up a token that [RepositoryOf.IssueToken] made for [PurposeResetPassword],
// sets the password of the key that the token names and of the keys that share it, and ends all
// sessions of the user, in one transaction (OWASP ASVS 6.4.3, 7.4.3). It returns the key, and
// opens no session.
//
// Errors:
//
//   - [ErrInvalidToken]: as from [RepositoryOf.GetToken], and also if the key is gone or belongs
//     to another user by now.
//   - [ArgumentError]: the policy refuses the "new password". The token can still be used.
//   - [ErrBusy]: too many passwords are being hashed. The token can still be used.
func (r *RepositoryOf[U, K, S]) ResetPassword(ctx context.Context, token Token, newPassword string) (K, error) {
	if err := r.checkTokens(); err != nil {
		return failed[K](err)
	}
	if err := r.opts.checkNewPassword("new password", newPassword); err != nil {
		return failed[K](err)
	}
	if _, err := r.GetToken(ctx, PurposeResetPassword, token); err != nil {
		return failed[K](err)
	}
	hash, err := r.hash(ctx, newPassword)
	if err != nil {
		return failed[K](err)
	}
	var key K
	err = r.do(ctx, "reset password", func(u *unit) error {
		if err := r.b.lockWrites(u.tx); err != nil {
			return err
		}
		t, err := r.loadToken(u.tx, PurposeResetPassword, token)
		if err != nil {
			return err
		}
		id, err := ParseKeyID(t.Payload)
		if err != nil {
			return ErrInvalidToken
		}
		key, err = r.lockKey(u.tx, id, errAbsent)
		if errors.Is(err, errAbsent) || err == nil && r.keyOf(key).UserID != t.UserID {
			return ErrInvalidToken
		}
		if err != nil {
			return err
		}
		r.consume(u, t)
		return r.replacePassword(u, r.keyOf(key), &hash, "")
	})
	if err != nil {
		return failed[K](err)
	}
	r.keyOf(key).HashedPassword = &hash
	return key, nil
}

// SignInWithToken uses up a token of the purpose [PurposeMagicLink] and opens a session for its
// user, in one transaction. It returns the session with the user and its token. Set is as for
// [RepositoryOf.SignIn]. Call it for a POST, since programs also follow the GET of a link.
//
// The token proves that its holder reads the user's mail. It proves nothing about a password or
// about other keys that somebody may have set before.
//
// It returns [ErrInvalidToken] as [RepositoryOf.GetToken] does. A suspension has voided the user's
// tokens; for one that begins at this moment it returns a [SuspendedError].
func (r *RepositoryOf[U, K, S]) SignInWithToken(ctx context.Context, token Token, set ...func(S)) (S, error) {
	if err := r.checkTokens(); err != nil {
		return failed[S](err)
	}
	seen, err := r.GetToken(ctx, PurposeMagicLink, token)
	if err != nil {
		return failed[S](err)
	}
	session, asked, err := r.newSession(set)
	if err != nil {
		return failed[S](err)
	}
	r.sessionOf(session).Token = newToken() // whatever set has written there
	asked.by = []authtype.Method{authtype.MethodMail}
	o := opening{wishes: asked, source: owner{userID: seen.UserID}, link: token, none: ErrInvalidToken}
	if err := r.openSession(ctx, "sign in with token", session, o); err != nil {
		return failed[S](err)
	}
	r.sessionOf(session).User = seen.User
	return session, nil
}

// VoidTokens voids the unused tokens of a user for some purposes, or for all if none is named. An
// unknown user is no error.
//
// Other operations void tokens too. Somebody who has lost access must not come back by a token
// that they asked for before:
//
//   - RenameKey, RemoveKey, DeleteUser and Suspend void all tokens of the user.
//   - ChangePassword, OverwritePassword, ResetPassword, EndAllSessions, EndOtherSessions,
//     EndSession and EndSessionOfAnyone void all except those of the purpose
//     [PurposeVerifyEmail], which prove an address and open nothing.
//   - SignOut, and sessions that end by their age, void none.
func (r *RepositoryOf[U, K, S]) VoidTokens(ctx context.Context, userID string, purposes ...Purpose) error {
	if err := errors.Join(r.checkTokens(), r.checkUserID(userID)); err != nil {
		return err
	}
	for _, p := range purposes {
		if err := checkPurpose(p); err != nil {
			return err
		}
	}
	return r.doOne(ctx, "void tokens", false, func(u *unit) error {
		u.then(func(tx *gorm.DB) error { return r.voidTokens(tx, userID, purposes...) })
		return nil
	})
}

// checkTokens refuses the operations on tokens if the plugin has no table for them.
func (r *RepositoryOf[U, K, S]) checkTokens() error {
	if r.err == nil && r.b.token == nil {
		return &UsageError{"plugin", "has no one-time tokens; give it WithOneTimeTokens"}
	}
	return r.err
}

// loadToken reads a token that can be used, with its user. All reasons against it are one error:
// a stranger with a link learns nothing about it.
func (r *RepositoryOf[U, K, S]) loadToken(db *gorm.DB, purpose Purpose, token Token) (*OneTimeTokenOf[U], error) {
	if !wellFormed(token) {
		return nil, ErrInvalidToken
	}
	t, id := new(OneTimeTokenOf[U]), string(token.ID())
	found, err := r.loadWithUser(db, id, t)
	switch {
	case err != nil:
		return nil, err
	case !found || t.ID != id || t.Purpose != purpose || r.opts.now() > t.Expires:
		return nil, ErrInvalidToken
	}
	if err := r.afterFind(db, t, t.User); err != nil {
		return nil, err
	}
	return t, nil
}

// consume uses a token up, by one DELETE of its row. That DELETE decides which of several calls
// has the token: a row is deleted once.
func (r *RepositoryOf[U, K, S]) consume(u *unit, t *OneTimeTokenOf[U]) {
	u.then(func(tx *gorm.DB) error {
		result := r.b.onShard(tx, t.UserID).Where(r.b.idIs(t.ID)).Delete(new(OneTimeTokenOf[U]))
		return r.mustChange(tx, result, ErrInvalidToken, func() error { return r.checkWritable(tx.Model(new(OneTimeTokenOf[U])), t.ID) })
	})
	u.tell(event.Event{Type: event.TokenUsed, UserID: t.UserID, Purpose: t.Purpose})
}

// voidPending deletes the tokens of a user, except those that only prove an address. Whoever sat
// in a stolen session may have asked for a magic link there, and must not come back by it.
func (r *RepositoryOf[U, K, S]) voidPending(tx *gorm.DB, userID string) error {
	if r.b.token == nil {
		return nil
	}
	kept := clause.Neq{Column: clause.Column{Table: clause.CurrentTable, Name: "purpose"}, Value: string(PurposeVerifyEmail)}
	return tx.Where(r.b.ownerIs(userID)).Where(kept).Delete(new(OneTimeTokenOf[U])).Error
}

// voidTokens deletes the tokens of a user for some purposes, or for all if none is named.
func (r *RepositoryOf[U, K, S]) voidTokens(tx *gorm.DB, userID string, purposes ...Purpose) error {
	if r.b.token == nil {
		return nil
	}
	query := tx.Where(r.b.ownerIs(userID))
	if len(purposes) > 0 {
		in := clause.IN{Column: clause.Column{Table: clause.CurrentTable, Name: "purpose"}}
		for _, p := range purposes {
			in.Values = append(in.Values, string(p))
		}
		query = query.Where(in)
	}
	return query.Delete(new(OneTimeTokenOf[U])).Error
}

// checkPurpose bounds a purpose by the width of its column, and by the characters that a URL
// carries unescaped.
func checkPurpose(p Purpose) error {
	if len(p) < 1 || len(p) > purposeSize || strings.Trim(string(p), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return &ArgumentError{"purpose", "is not 1 to 32 characters of a–z, 0–9, \"-\""}
	}
	return nil
}

// checkPayload checks the id of a key already when the token is issued. When the token is used,
// nobody is there to correct it.
func checkPayload(purpose Purpose, payload string) error {
	if purpose == PurposeResetPassword {
		if _, err := ParseKeyID(payload); err != nil {
			return &sentinelError{&ArgumentError{"payload", "is not the id of a key, provider and colon and id, whose password is to be set"}, err}
		}
	}
	if payload == "" {
		return nil
	}
	return checkText("payload", payload, payloadSize)
}
