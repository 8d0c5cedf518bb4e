package gormkey

import (
	"context"
	"errors"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/event"
)

// SignIn verifies the credentials and opens a session, which it returns with its user and token.
// Each function of set is called once with the session before it is stored, as by
// [RepositoryOf.OpenSession]; the token is always a new one.
//
// The session is opened only if the key still has the password that was verified. So if the
// password changes while a sign-in is running, the sign-in with the old one fails. Hashing
// happens outside any transaction of the repository. If you call SignIn in a transaction of
// yours, that one is held open meanwhile.
//
// Errors:
//
//   - [ErrInvalidCredentials]: an unknown key, a wrong password, a key without a password, or an
//     empty password. It comes after the same work in each case (OWASP ASVS 6.3.8), and the
//     reason goes to the hooks only.
//   - [SuspendedError]: the password is right, and the user is suspended.
//   - [UsageError]: with [WithSuspension], a transaction of yours on PostgreSQL is at REPEATABLE READ
//     or above. So it is for all that opens a session or issues a token.
//   - [ArgumentError]: the credentials are malformed, for example by an id that is too long. No
//     statement is sent.
//   - [ErrBusy]: too many passwords are being hashed. Answer 503.
func (r *RepositoryOf[U, K, S]) SignIn(ctx context.Context, c Credentials, set ...func(S)) (S, error) {
	if r.err != nil {
		return failed[S](r.err)
	}
	given, asked, err := r.newSession(set)
	if err != nil {
		return failed[S](err)
	}
	r.sessionOf(given).Token = newToken() // whatever set has written there
	switch {
	case !c.proved:
		asked.by = []authtype.Method{authtype.MethodPassword}
	case asked.by == nil:
		asked.by = []authtype.Method{authtype.MethodFederation}
	}
	userID := ""
	// The INSERT requires the hash that was verified. If the hash was replaced in between, by another
	// sign-in that improved it for example, the second round checks the new one.
	for range 2 {
		verified, err := r.verify(ctx, c)
		if err != nil {
			return failed[S](err)
		}
		key, session := r.keyOf(verified), r.plugin.sessions.clone(given)
		userID = key.UserID
		source := owner{userID: key.UserID, key: c.KeyID()}
		if key.PasswordDefined() {
			source.hash = key.HashedPassword
		}
		err = r.openSession(ctx, "sign in", session, opening{wishes: asked, source: source, none: errChanged})
		switch {
		case errors.Is(err, errChanged):
			continue
		case errors.Is(err, ErrSuspended):
			return failed[S](r.failSignIn(ctx, c, key.UserID, err))
		case err != nil:
			return failed[S](err)
		}
		r.sessionOf(session).User = key.User
		return session, r.rehash(ctx, key, c.Password)
	}
	return failed[S](r.failSignIn(ctx, c, userID, ErrInvalidPassword))
}

// errChanged: the key or its user changed after the credentials were verified. It never leaves
// the package.
var errChanged = errors.New("gormkey: key changed during sign-in")

// UseKey verifies the credentials as [RepositoryOf.SignIn] does, opens no session, and returns
// the key with its user (Lucia's useKey). Use it to ask for the password again before something
// that matters. Errors are those of SignIn.
//
// Do not follow it by OpenSession to sign somebody in: a session that is opened so may outlive a
// password change that happens in between.
func (r *RepositoryOf[U, K, S]) UseKey(ctx context.Context, c Credentials) (K, error) {
	if r.err != nil {
		return failed[K](r.err)
	}
	key, err := r.verifyAdmitted(ctx, c)
	if err != nil {
		return failed[K](err)
	}
	if err := r.rehash(ctx, r.keyOf(key), c.Password); err != nil {
		return failed[K](err)
	}
	return key, nil
}

// verifyAdmitted is verify for an operation that opens no session: a suspended user is refused here.
func (r *RepositoryOf[U, K, S]) verifyAdmitted(ctx context.Context, c Credentials) (K, error) {
	key, err := r.verify(ctx, c)
	if err != nil || r.b.suspension == nil {
		return key, err
	}
	db, err := r.session(ctx)
	if err != nil {
		return failed[K](err)
	}
	userID := r.keyOf(key).UserID
	err = callerError(ctx, "sign in", r.refuseSuspended(db, userID))
	if errors.Is(err, ErrSuspended) {
		err = r.failSignIn(ctx, c, userID, err)
	}
	if err != nil {
		return failed[K](err)
	}
	return key, nil
}

// CheckCredentials returns the [ArgumentError] with which [RepositoryOf.SignIn] and
// [RepositoryOf.UseKey] refuse malformed credentials, such as an id that is too long or a
// password that is not UTF-8, and nil for all others. It sends no statement. Call it before an
// attempt is counted (package throttle), so that an attempt that can be nobody's writes nothing.
func (r *RepositoryOf[U, K, S]) CheckCredentials(c Credentials) error {
	if r.err != nil {
		return r.err
	}
	return r.checkSignIn(c)
}

// checkSignIn refuses credentials that cannot sign anybody in.
func (r *RepositoryOf[U, K, S]) checkSignIn(c Credentials) error {
	if err := checkKeyID(c.KeyID()); err != nil {
		return err
	}
	switch {
	case c.hash != "":
		return &UsageError{"credentials", "are of Imported, which sign nobody in"}
	case c.proved && c.Password != "":
		return &UsageError{"password", "was given to credentials of Proved or Imported, which have none"}
	}
	return r.opts.checkPassword(c.Password)
}

// verify returns the key, with its user, to which these credentials belong. The AfterFind hooks
// of the application run last, so no hook loads anything for somebody who only guesses.
func (r *RepositoryOf[U, K, S]) verify(ctx context.Context, c Credentials) (K, error) {
	if err := r.checkSignIn(c); err != nil {
		return failed[K](err)
	}
	db, err := r.session(ctx)
	if err != nil {
		return failed[K](err)
	}
	key, id := r.plugin.keys.make(), c.KeyID().String()
	base := r.keyOf(key)
	found, err := r.loadWithUser(db, id, key)
	if err != nil {
		return failed[K](callerError(ctx, "sign in", err))
	}
	found = found && base.ID == id
	reason, err := r.checkCredentials(ctx, c, base, found)
	if err != nil {
		return failed[K](callerError(ctx, "sign in", err))
	}
	if reason != nil {
		return failed[K](r.failSignIn(ctx, c, base.UserID, reason))
	}
	if err := r.afterFind(db, key, base.User); err != nil {
		return failed[K](callerError(ctx, "sign in", err))
	}
	return key, nil
}

// checkCredentials returns the reason why the credentials are not the key's, nil if they are.
// Every failure of a password does the same work (OWASP ASVS 6.3.8): it checks one hash of each
// kind that the process has met. Without that an unknown key would be answered in less than a
// millisecond and a wrong password in tens, and the time would tell who has an account.
func (r *RepositoryOf[U, K, S]) checkCredentials(ctx context.Context, c Credentials, key *KeyOf[U], found bool) (reason, err error) {
	if c.proved {
		switch {
		case !found:
			return ErrKeyNotFound, nil
		case key.PasswordDefined():
			return ErrInvalidPassword, nil
		}
		return nil, nil
	}
	switch {
	case !found:
		reason = ErrKeyNotFound
	case !key.PasswordDefined() || c.Password == "":
		reason = ErrInvalidPassword
	}
	hash := ""
	if reason == nil {
		hash = string(*key.HashedPassword)
	}
	err = r.opts.limiter.Do(ctx, func() error {
		outdated := hash != "" && r.opts.hasher.Outdated(hash)
		// An error of the hasher about the password is not returned here. It depends on the hash of
		// a key that exists, so returning it would tell that the key exists.
		dummy, checks, own := r.plugin.equal.Plan(hash, outdated)
		if dummy {
			_ = r.opts.hasher.Dummy(c.Password)
		}
		for i, check := range checks {
			matches, err := r.opts.hasher.Verify(c.Password, check)
			switch {
			// The other checks are work without a meaning.
			case i != own:
			case err != nil:
				reason = err
			case matches:
				return nil
			default:
				reason = ErrInvalidPassword
				// A kind of hash that fails here for the first time joins the work of every later
				// failure.
				if outdated || dummy {
					r.plugin.equal.Met(hash)
				}
			}
		}
		return nil
	})
	return reason, err
}

// failSignIn tells the hooks the reason, and returns only [ErrInvalidCredentials] to the caller. A
// suspension is told to the caller too, who had the right password (OWASP ASVS 6.3.8).
func (r *RepositoryOf[U, K, S]) failSignIn(ctx context.Context, c Credentials, userID string, reason error) error {
	answer := ErrInvalidCredentials
	if errors.Is(reason, ErrSuspended) {
		answer = reason
	}
	ctx, told, own := r.collect(ctx)
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	forget := told.mark()
	event := event.Event{Type: event.SignInFailed, UserID: userID, KeyID: c.KeyID(), Err: reason}
	switch {
	case r.inTransaction(): // a failed statement of a hook must not spoil the caller's transaction
		err = db.Transaction(func(tx *gorm.DB) error { return r.emit(tx, event) })
	case len(r.opts.hooks) > 0: // what a hook has done cannot be repeated
		err = r.emit(db, event)
	default:
		err = r.retry(ctx, "log a failed sign-in", func() error {
			forget()
			return r.emit(db, event)
		})
	}
	if err != nil {
		return errors.Join(answer, err)
	}
	if own {
		r.deliver(ctx, told.events)
	}
	return answer
}

// rehash writes a better hash of a password that was just verified, if the stored one is
// outdated. It is a compare and swap: the UPDATE names the old hash, so a password that was
// changed meanwhile stays. It takes the user's lock, because a change of the password that has
// read the hash of several keys must find it in all of them.
//
// The sign-in stands whether the rehash succeeds or not; the next sign-in tries again. Only
// inside a caller's transaction is a failed write returned, since a deadlock there has undone the
// whole transaction.
func (r *RepositoryOf[U, K, S]) rehash(ctx context.Context, key *KeyOf[U], plain string) error {
	if !key.PasswordDefined() || !r.opts.hasher.Outdated(string(*key.HashedPassword)) {
		return nil
	}
	hash, err := r.hash(ctx, plain)
	if err != nil {
		return nil
	}
	old := string(*key.HashedPassword)
	err = r.do(ctx, "rehash password", func(u *unit) error {
		if err := r.lockOwner(u.tx, key.UserID); err != nil {
			return err
		}
		u.then(func(tx *gorm.DB) error {
			return tx.Model(new(KeyOf[U])).Where(r.b.ownerIs(key.UserID)).Where(column("hashed_password", old)).
				UpdateColumn("hashed_password", string(hash)).Error
		})
		return nil
	})
	if err != nil && r.inTransaction() {
		return err
	}
	if err == nil {
		key.HashedPassword = &hash
	}
	return nil
}
