package gormkey

import (
	"context"
	"errors"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/event"
)

// SignIn verifies the credentials and opens a session, returned with its user and
// token. The session is opened only if the key still has the password that was
// verified, so that a password changed meanwhile wins. Each of set is called once with the
// session before it is stored, as by [RepositoryOf.OpenSession]; the token is always a new one.
//
// Every failure of the credentials is [ErrInvalidCredentials], after the same work:
// unknown key, wrong password, key without a password, empty password. Malformed credentials,
// such as an id that is too long, return an [ArgumentError] without touching the database.
// [ErrBusy] means that too many hash at this moment. The hashing happens outside any
// transaction of the repository; a caller's own is held open meanwhile.
func (r *RepositoryOf[U, K, S]) SignIn(ctx context.Context, c Credentials, set ...func(*S)) (*S, error) {
	if r.err != nil {
		return nil, r.err
	}
	given, replaced, err := r.newSession(set)
	if err != nil {
		return nil, err
	}
	r.sessionOf(given).Token = newToken() // whatever set made of it
	// A second round, for a password that was changed between the check and the insert.
	for range 2 {
		verified, err := r.verify(ctx, c)
		if err != nil {
			return nil, err
		}
		key, session := r.keyOf(verified), *given
		source := owner{userID: key.UserID, key: c.KeyID()}
		if key.PasswordDefined() {
			source.hash = key.HashedPassword
		}
		err = r.openSession(ctx, "sign in", &session, opening{replaced: replaced, source: source, none: errChanged})
		if errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r.sessionOf(&session).User = key.User
		return &session, r.rehash(ctx, key, c.Password)
	}
	return nil, r.failSignIn(ctx, c, "", ErrInvalidPassword)
}

// errChanged: the key or its user changed after the credentials were verified.
var errChanged = errors.New("gormkey: key changed during sign-in")

// UseKey verifies the credentials as [RepositoryOf.SignIn] does, opens no session, and
// returns the key with its user (Lucia's useKey). Use it to ask for the password again.
// A session that is opened after it, by OpenSession, may outlive a password change
// that happens in between.
func (r *RepositoryOf[U, K, S]) UseKey(ctx context.Context, c Credentials) (*K, error) {
	if r.err != nil {
		return nil, r.err
	}
	key, err := r.verify(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := r.rehash(ctx, r.keyOf(key), c.Password); err != nil {
		return nil, err
	}
	return key, nil
}

// CheckCredentials returns the [ArgumentError] with which [RepositoryOf.SignIn] and
// [RepositoryOf.UseKey] refuse credentials before any statement, and nil for those that could be
// somebody's: an id that is too long, for example, or a password that is not UTF-8. It sends
// no statement. Call it before an attempt is counted (package throttle), so that what nobody
// can have writes nothing.
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

// verify returns the key, with its user, whose credentials these are.
func (r *RepositoryOf[U, K, S]) verify(ctx context.Context, c Credentials) (*K, error) {
	if err := r.checkSignIn(c); err != nil {
		return nil, err
	}
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	key, id := new(K), c.KeyID().String()
	base := r.keyOf(key)
	found, err := r.loadWithUser(db, id, key)
	if err != nil {
		return nil, callerError(ctx, "sign in", err)
	}
	found = found && base.ID == id
	reason, err := r.checkCredentials(ctx, c, base, found)
	if err != nil {
		return nil, callerError(ctx, "sign in", err)
	}
	if reason != nil {
		return nil, r.failSignIn(ctx, c, base.UserID, reason)
	}
	if err := r.afterFind(db, key, base.User); err != nil {
		return nil, callerError(ctx, "sign in", err)
	}
	return key, nil
}

// checkCredentials returns why the credentials are not the key's, nil if they are. Every
// failure of a password does the same work (OWASP ASVS 6.3.8): it checks one hash of each
// kind that the process has met.
func (r *RepositoryOf[U, K, S]) checkCredentials(ctx context.Context, c Credentials, key *Key[U], found bool) (reason, err error) {
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
		// What the hasher says of the password is no answer here: of a key that exists it
		// would be a reason, and not be shown.
		dummy, checks, own := r.plugin.equal.Plan(hash, outdated)
		if dummy {
			_ = r.opts.hasher.Dummy(c.Password)
		}
		for i, check := range checks {
			matches, err := r.opts.hasher.Verify(c.Password, check)
			switch {
			case i != own:
			case err != nil:
				reason = err
			case matches:
				return nil
			default:
				reason = ErrInvalidPassword
				if outdated || dummy {
					r.plugin.equal.Met(hash)
				}
			}
		}
		return nil
	})
	return reason, err
}

// failSignIn tells the hooks why, and the caller only that.
func (r *RepositoryOf[U, K, S]) failSignIn(ctx context.Context, c Credentials, userID string, reason error) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	event := event.Event{Type: event.SignInFailed, UserID: userID, KeyID: c.KeyID(), Err: reason}
	if r.inTransaction() { // in which a hook's failed statement must not spoil the rest
		err = db.Transaction(func(tx *gorm.DB) error { return r.emit(tx, event) })
	} else {
		err = r.emit(db, event)
	}
	if err != nil {
		return errors.Join(ErrInvalidCredentials, err)
	}
	return ErrInvalidCredentials
}

// rehash writes a better hash of a password that was just verified, if the stored one
// is outdated, unless the password was changed meanwhile (compare and swap). It takes the
// user's lock: a change of the password that has read the hash of several keys must find
// it in all of them. The sign-in stands whether it succeeds or not: the next one tries again. Only inside a
// caller's transaction is a failed write returned, since a deadlock there has undone it.
func (r *RepositoryOf[U, K, S]) rehash(ctx context.Context, key *Key[U], plain string) error {
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
			return tx.Model(new(Key[U])).Where(r.b.ownerIs(key.UserID)).Where(column("hashed_password", old)).
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
