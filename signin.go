package gormkey

import (
	"context"
	"errors"
	"slices"

	"gorm.io/gorm"
)

// SignInOption changes what [Repository.SignIn] and [Repository.CreateSession] do.
type SignInOption func(*signInOptions)

type signInOptions struct{ replaced []Token }

func newSignIn(opts []SignInOption) (o signInOptions) {
	for _, option := range opts {
		option(&o)
	}
	return o
}

// replacedBy returns the tokens whose sessions end for that of another, each once, and in
// the same order in every call, so that two of them do not wait for each other.
func (o signInOptions) replacedBy(token Token) (all []Token) {
	for _, replaced := range o.replaced {
		if replaced.wellFormed() && replaced != token && !slices.Contains(all, replaced) {
			all = append(all, replaced)
		}
	}
	slices.Sort(all)
	return all
}

// Replacing ends the session that the client came with, if it is one, in the
// transaction that opens the new one. A token never survives a sign-in, so nobody can
// plant one (session fixation, OWASP ASVS 7.2.4). Given more than once, it ends each of
// these sessions: a browser may send two cookies of one name.
func Replacing(token Token) SignInOption {
	return func(o *signInOptions) { o.replaced = append(o.replaced, token) }
}

// SignIn verifies the credentials and opens a session, returned with its user and
// token. The session is opened only if the key still has the password that was
// verified, so that a password changed meanwhile wins.
//
// Every failure of the credentials is [ErrInvalidCredentials], after the same work:
// unknown key, wrong password, key without a password, empty password. One that cannot
// be anybody's, an id that is too long say, is an [ArgumentError] at once. [ErrBusy]
// means that too many hash at this moment. The hashing happens outside any transaction
// of the repository; a caller's own is held open meanwhile.
func (r *Repository[U]) SignIn(ctx context.Context, c Credentials, opts ...SignInOption) (*Session[U], error) {
	session := new(Session[U])
	if err := r.SignInInto(ctx, c, session, opts...); err != nil {
		return nil, err
	}
	return session, nil
}

// SignInInto is [Repository.SignIn] for the application's own session struct, whose own
// fields it stores and whose embedded [Session] it sets.
func (r *Repository[U]) SignInInto(ctx context.Context, c Credentials, dest SessionModel[U], opts ...SignInOption) error {
	o := newSignIn(opts)
	if r.err != nil {
		return r.err
	}
	if err := r.checkSessionModel(dest); err != nil {
		return err
	}
	token := newToken() // whatever dest holds
	replaced := o.replacedBy(token)
	// A second round, for a password that was changed between the check and the insert.
	for range 2 {
		key, err := r.verify(ctx, c)
		if err != nil {
			return err
		}
		source := owner{userID: key.UserID, keyID: key.ID}
		if key.PasswordDefined() {
			source.hash = key.HashedPassword
		}
		err = r.openSession(ctx, "sign in", dest, newSession{token: token, replaced: replaced, source: source, none: errChanged})
		if errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			return err
		}
		dest.AuthSession().User = key.User
		return r.rehash(ctx, key, c.Password)
	}
	return r.failSignIn(ctx, c, "", ErrInvalidPassword)
}

// errChanged: the key or its user changed after the credentials were verified.
var errChanged = errors.New("gormkey: key changed during sign-in")

// UseKey verifies the credentials as [Repository.SignIn] does, opens no session, and
// returns the key with its user (Lucia's useKey). Use it to ask for the password again.
// A session that is opened after it, by CreateSession, may outlive a password change
// that happens in between.
func (r *Repository[U]) UseKey(ctx context.Context, c Credentials) (*Key[U], error) {
	if r.err != nil {
		return nil, r.err
	}
	key, err := r.verify(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := r.rehash(ctx, key, c.Password); err != nil {
		return nil, err
	}
	return key, nil
}

// CheckCredentials returns the [ArgumentError] with which [Repository.SignIn] and
// [Repository.UseKey] refuse credentials before any statement, and nil for those that could be
// somebody's: an id that is too long, for example, or a password that is not UTF-8. It sends
// no statement. Call it before an attempt is counted (package throttle), so that what nobody
// can have writes nothing.
func (r *Repository[U]) CheckCredentials(c Credentials) error {
	if r.err != nil {
		return r.err
	}
	_, err := r.signInID(c)
	return err
}

// signInID checks credentials that are to sign somebody in, and returns the id of their key.
func (r *Repository[U]) signInID(c Credentials) (string, error) {
	id, err := keyID(c.Provider, c.ID)
	if err != nil {
		return "", err
	}
	if c.PasswordHash != "" {
		return "", &ArgumentError{"password hash", "signs nobody in"}
	}
	if err := r.opts.checkPassword(c.Password); err != nil {
		return "", err
	}
	if c.NoPassword {
		return id, checkNoPassword(c)
	}
	return id, nil
}

// verify returns the key, with its user, whose credentials these are.
func (r *Repository[U]) verify(ctx context.Context, c Credentials) (*Key[U], error) {
	id, err := r.signInID(c)
	if err != nil {
		return nil, err
	}
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	key := new(Key[U])
	found, err := r.loadWithUser(db, id, key)
	if err != nil {
		return nil, callerError(ctx, "sign in", err)
	}
	found = found && key.ID == id
	reason, err := r.checkCredentials(ctx, c, key, found)
	if err != nil {
		return nil, callerError(ctx, "sign in", err)
	}
	if reason != nil {
		return nil, r.failSignIn(ctx, c, key.UserID, reason)
	}
	if err := r.afterFind(db, key, key.User); err != nil {
		return nil, callerError(ctx, "sign in", err)
	}
	return key, nil
}

// checkCredentials returns why the credentials are not the key's, nil if they are. Every
// failure of a password does the same work (OWASP ASVS 6.3.8): it checks one hash of each
// kind that the process has met.
func (r *Repository[U]) checkCredentials(ctx context.Context, c Credentials, key *Key[U], found bool) (reason, err error) {
	if c.NoPassword {
		switch {
		case !found:
			return ErrInvalidKey, nil
		case key.PasswordDefined():
			return ErrInvalidPassword, nil
		}
		return nil, nil
	}
	switch {
	case !found:
		reason = ErrInvalidKey
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
		dummy, checks, own := r.plugin.work.plan(hash, outdated)
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
					r.plugin.work.met(hash)
				}
			}
		}
		return nil
	})
	return reason, err
}

// failSignIn tells the hooks why, and the caller only that.
func (r *Repository[U]) failSignIn(ctx context.Context, c Credentials, userID string, reason error) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	event := Event{Type: SignInFailed, UserID: userID, KeyID: c.Provider + ":" + c.ID, Err: reason}
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
func (r *Repository[U]) rehash(ctx context.Context, key *Key[U], plain string) error {
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
