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
)

// maxTokenLifetime bounds a one-time token's: 30 days.
const maxTokenLifetime = 30 * 24 * time.Hour

// IssueToken makes a one-time token for a user, to be sent to them, and returns it; the
// database holds its SHA-256. It voids the user's older one of the same purpose. Nothing
// is sent: that is the application's. The call needs [WithOneTimeTokens].
//
// The payload, at most 1024 bytes of valid UTF-8, is bound to the token in one row: the
// address that it proves, say, which is never looked up again. With [ResetPassword] it is
// the id of the key whose password is to be set. The lifetime is 1 ms to 30 days, in whole
// milliseconds; for a link a day at most is good (OWASP ASVS 6.5.5), an hour for a
// password. Issuing is not throttled: limit how many are sent to one address.
//
// Errors: [ArgumentError], [ErrInvalidUser]. An answer that shows to a stranger whether
// there was a user shows who has an account: answer alike, and send outside the request.
func (r *Repository[U]) IssueToken(ctx context.Context, userID string, purpose Purpose, payload string, lifetime time.Duration) (Token, error) {
	if err := r.checkTokens(); err != nil {
		return "", err
	}
	if err := errors.Join(r.checkUserID(userID), purpose.check(), checkPayload(purpose, payload)); err != nil {
		return "", err
	}
	if lifetime < time.Millisecond || lifetime > maxTokenLifetime || lifetime%time.Millisecond != 0 {
		return "", &ArgumentError{"lifetime", fmt.Sprintf("is %v, outside whole milliseconds from 1ms to 30 days", lifetime)}
	}
	token := newToken()
	err := r.do(ctx, "issue token", func(u *unit) error {
		if err := r.lockOwner(u.tx, userID); err != nil {
			return err
		}
		u.then(func(tx *gorm.DB) error { return r.voidTokens(tx, userID, purpose) })
		u.then(func(tx *gorm.DB) error {
			row := &OneTimeToken[U]{ID: token.hash(), UserID: userID, Purpose: purpose, Payload: payload, Expires: r.opts.now() + milli(lifetime)}
			return r.insertFor(tx, row, owner{userID: userID}, ErrInvalidUser, errDuplicate)
		})
		u.tell(Event{Type: TokenIssued, UserID: userID, Purpose: purpose})
		return nil
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// GetToken returns a one-time token with its user and leaves it to be used: to show a
// form, say, since programs that look at mail follow its links. [ErrInvalidToken] is one
// that is unknown, used, expired, voided or of another purpose, or whose user is gone; a
// malformed one gets it without a statement.
func (r *Repository[U]) GetToken(ctx context.Context, purpose Purpose, token Token) (*OneTimeToken[U], error) {
	if err := errors.Join(r.checkTokens(), purpose.check()); err != nil {
		return nil, err
	}
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	t, err := r.loadToken(db, purpose, token)
	return t, callerError(ctx, "get token", err)
}

// UseToken uses a one-time token up and returns it with its user. In the same
// transaction, after it, it calls work, unless that is nil: what the token was for is
// done if and only if the token is gone. An error of work, which may run again after a
// deadlock, leaves the token as it was. Operations of the repository in work go through
// [Repository.With] and tx.
//
// Of any number of calls at once one gets it; the others, and every call after it, get
// [ErrInvalidToken] as from [Repository.GetToken]. On Cloudflare D1 it is also what a loser
// gets from the end of the transaction, so that work may have run there for nothing.
func (r *Repository[U]) UseToken(ctx context.Context, purpose Purpose, token Token, work func(tx *gorm.DB, t *OneTimeToken[U]) error) (*OneTimeToken[U], error) {
	if err := errors.Join(r.checkTokens(), purpose.check()); err != nil {
		return nil, err
	}
	var t *OneTimeToken[U]
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

// ResetPassword uses up a token that [Repository.IssueToken] made for [ResetPassword], sets
// the password of the key that it names, and of those that share it, and ends all
// sessions of the user, in one transaction (OWASP ASVS 6.4.3, 7.4.3). It returns the key;
// a session is not opened.
//
// Errors: [ErrInvalidToken], also where the key is gone or another user's by now, in
// which case nothing was hashed; [ArgumentError] for a password that the policy refuses,
// after which the token can be used still; [ErrBusy].
func (r *Repository[U]) ResetPassword(ctx context.Context, token Token, newPassword string) (*Key[U], error) {
	if err := r.checkTokens(); err != nil {
		return nil, err
	}
	if err := r.opts.checkNewPassword(Credentials{Password: newPassword}); err != nil {
		return nil, err
	}
	if _, err := r.GetToken(ctx, ResetPassword, token); err != nil {
		return nil, err
	}
	hash, err := r.hash(ctx, newPassword)
	if err != nil {
		return nil, err
	}
	var key *Key[U]
	err = r.do(ctx, "reset password", func(u *unit) error {
		if err := r.b.lockWrites(u.tx); err != nil {
			return err
		}
		t, err := r.loadToken(u.tx, ResetPassword, token)
		if err != nil {
			return err
		}
		key, err = r.lockKey(u.tx, t.Payload, errAbsent)
		if errors.Is(err, errAbsent) || err == nil && key.UserID != t.UserID {
			return ErrInvalidToken
		}
		if err != nil {
			return err
		}
		none := SessionID("")
		r.consume(u, t)
		return r.replacePassword(u, key, &hash, &none)
	})
	if err != nil {
		return nil, err
	}
	key.HashedPassword = &hash
	return key, nil
}

// SignInWithToken uses up a token of the purpose [MagicLink] and opens a session for its
// user, in one transaction, returned with the user and its token. Options are those of
// [Repository.SignIn]. The token proves that who has it reads the user's mail, and nothing of a
// password or of other keys that somebody may have set before. Call it for a POST: a
// link's GET is also followed by programs.
//
// Errors: [ErrInvalidToken].
func (r *Repository[U]) SignInWithToken(ctx context.Context, token Token, opts ...SignInOption) (*Session[U], error) {
	session := new(Session[U])
	if err := r.SignInWithTokenInto(ctx, token, session, opts...); err != nil {
		return nil, err
	}
	return session, nil
}

// SignInWithTokenInto is [Repository.SignInWithToken] for the application's own session
// struct, whose own fields it stores and whose embedded [Session] it sets.
func (r *Repository[U]) SignInWithTokenInto(ctx context.Context, token Token, dest SessionModel[U], opts ...SignInOption) error {
	if err := r.checkTokens(); err != nil {
		return err
	}
	if err := r.checkSessionModel(dest); err != nil {
		return err
	}
	seen, err := r.GetToken(ctx, MagicLink, token)
	if err != nil {
		return err
	}
	fresh := newToken()
	o := newSession{token: fresh, replaced: newSignIn(opts).replacedBy(fresh), source: owner{userID: seen.UserID}, link: token, none: ErrInvalidToken}
	if err := r.openSession(ctx, "sign in with token", dest, o); err != nil {
		return err
	}
	dest.AuthSession().User = seen.User
	return nil
}

// VoidTokens voids the unused tokens of a user for some purposes, for all if none is
// named. An unknown user is no error.
//
// Other operations void tokens too, so that whoever lost access does not come back by one
// that they asked for before:
//
//   - RenameKey, DeleteKey and DeleteUser void all of the user's.
//   - ChangePassword, UpdateKeyPassword, ResetPassword, InvalidateAllUserSessions,
//     InvalidateOtherSessions, InvalidateUserSession and InvalidateSession void all but those
//     of the purpose [VerifyEmail], which prove an address and open nothing.
//   - SignOut, and sessions that end by themselves, void none.
func (r *Repository[U]) VoidTokens(ctx context.Context, userID string, purposes ...Purpose) error {
	if err := errors.Join(r.checkTokens(), r.checkUserID(userID)); err != nil {
		return err
	}
	for _, p := range purposes {
		if err := p.check(); err != nil {
			return err
		}
	}
	return r.doOne(ctx, "void tokens", false, func(u *unit) error {
		u.then(func(tx *gorm.DB) error { return r.voidTokens(tx, userID, purposes...) })
		return nil
	})
}

// checkTokens refuses where there are no one-time tokens.
func (r *Repository[U]) checkTokens() error {
	if r.err == nil && r.b.token == nil {
		return &ArgumentError{"plugin", "has no one-time tokens; give it WithOneTimeTokens"}
	}
	return r.err
}

// loadToken reads a token that can be used, with its user.
func (r *Repository[U]) loadToken(db *gorm.DB, purpose Purpose, token Token) (*OneTimeToken[U], error) {
	if !token.wellFormed() {
		return nil, ErrInvalidToken
	}
	t, id := new(OneTimeToken[U]), token.hash()
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

// consume uses a token up, by the one DELETE that hits its row.
func (r *Repository[U]) consume(u *unit, t *OneTimeToken[U]) {
	u.then(func(tx *gorm.DB) error {
		result := r.b.onShard(tx, t.UserID).Where(r.b.idIs(t.ID)).Delete(new(OneTimeToken[U]))
		return r.mustChange(tx, result, ErrInvalidToken, func() error { return r.checkWritable(tx.Model(new(OneTimeToken[U])), t.ID) })
	})
	u.tell(Event{Type: TokenUsed, UserID: t.UserID, Purpose: t.Purpose})
}

// voidPending deletes the tokens of a user but those that only prove an address: what
// somebody asked for who may have lost access meanwhile, in a stolen session for example.
func (r *Repository[U]) voidPending(tx *gorm.DB, userID string) error {
	if r.b.token == nil {
		return nil
	}
	kept := clause.Neq{Column: clause.Column{Table: clause.CurrentTable, Name: "purpose"}, Value: string(VerifyEmail)}
	return tx.Where(r.b.ownerIs(userID)).Where(kept).Delete(new(OneTimeToken[U])).Error
}

// voidTokens deletes the tokens of a user for some purposes, for all if none is named.
func (r *Repository[U]) voidTokens(tx *gorm.DB, userID string, purposes ...Purpose) error {
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
	return query.Delete(new(OneTimeToken[U])).Error
}

func (p Purpose) check() error {
	if len(p) < 1 || len(p) > purposeSize || strings.Trim(string(p), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return &ArgumentError{"purpose", "is not 1 to 32 characters of a–z, 0–9, \"-\""}
	}
	return nil
}

func checkPayload(purpose Purpose, payload string) error {
	if purpose == ResetPassword {
		provider, id, _ := strings.Cut(payload, ":")
		if _, err := keyID(provider, id); err != nil {
			return fmt.Errorf("%w: %w", &ArgumentError{"payload", "is not the id of a key, provider and colon and id, whose password is to be set"}, err)
		}
	}
	if payload == "" {
		return nil
	}
	return checkText("payload", payload, payloadSize)
}
