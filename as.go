package gormkey

import (
	"cmp"
	"fmt"
	"reflect"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/authtype"
)

// acting is the session to which a repository is bound.
type acting struct {
	id     SessionID
	userID string
	within time.Duration
	err    error // why it cannot be bound
}

// As returns the repository bound to a session, for what its user does to their own account. Use it
// within the request, since Reauthenticate gives the session another id. Each of these operations
// then reads the session again, under the user's lock and in its own transaction, so that the proof
// and the act are never two calls (OWASP ASVS 7.5.1):
//
//   - AddKey, ShareKey, RenameKey, RemoveKey
//   - ChangePassword, OverwritePassword
//   - UpdateUserAttributes, IssueToken, DeleteUser
//   - EndSession, EndOtherSessions
//
// The user must have shown who they are within a period of 1 minute to 24 hours; 10 minutes is
// usual. If they have a password, they must have shown that or a passkey: a mailed link is not
// enough then. EndAllSessions is never refused for its age, since somebody who is worried must
// get out. All other operations are as without As.
//
// If the session does not allow it, the operation changes nothing and returns:
//
//   - [ErrNotRecent]: too long ago, or not by the password. Let the user re-authenticate.
//   - [ErrInvalidSession]: the session has ended, or the operation is about another user.
//   - [UsageError]: the period is out of bounds, or the plugin lacks [WithSessionFacts].
func (r *RepositoryOf[U, K, S]) As(session S, within time.Duration) *RepositoryOf[U, K, S] {
	bound := *r
	bound.acting = r.bind(session, within)
	bound.err = bound.acting.err
	return &bound
}

// bind checks what As was given.
func (r *RepositoryOf[U, K, S]) bind(session S, within time.Duration) *acting {
	if err := r.checkFacts(); err != nil {
		return &acting{err: err}
	}
	if reflect.ValueOf(session).IsNil() {
		return &acting{err: &UsageError{"session", "is nil"}}
	}
	if within < time.Minute || within > 24*time.Hour {
		return &acting{err: &UsageError{"within", fmt.Sprintf("is %v, outside 1m to 24h", within)}}
	}
	base := r.sessionOf(session)
	return &acting{id: base.ID, userID: base.UserID, within: within}
}

// CheckRecent returns [ErrNotRecent] unless the user of a session showed who they are within a
// period of 1 minute to 24 hours, by the plugin's clock. It sends no statement: use it to ask for
// the password before a form is shown. What counts is the check of [RepositoryOf.As], which also
// asks how they showed it: somebody who came by a mailed link just now is recent here, and is
// refused there if they have a password.
func (r *RepositoryOf[U, K, S]) CheckRecent(session S, within time.Duration) error {
	if err := r.bind(session, within).err; err != nil {
		return err
	}
	if !r.sessionOf(session).RecentWithin(r.opts.clock(), within) {
		return ErrNotRecent
	}
	return nil
}

// lockFor takes the user's lock for an operation of a repository that is bound to a session, and
// checks the session under it. Without a session it does nothing.
func (r *RepositoryOf[U, K, S]) lockFor(u *unit, userID string) error {
	if r.acting == nil {
		return nil
	}
	if userID != r.acting.userID {
		return ErrInvalidSession
	}
	if err := r.lockOwner(u.tx, userID); err != nil {
		return err
	}
	ids, err := r.storedIDs(u.tx, userID, r.acting.id)
	if err != nil {
		return err
	}
	session := new(SessionOf[U])
	found, err := find(r.b.engine.ForUpdate(u.tx.Session(&gorm.Session{SkipHooks: true})), session, r.b.idIn(ids), r.b.ownerIs(userID))
	switch {
	case err != nil:
		return err
	case !found || r.isDead(session):
		return ErrInvalidSession
	case !session.RecentWithin(r.opts.clock(), r.acting.within):
		return ErrNotRecent
	case !session.Methods.Has(authtype.MethodPassword) && !session.Methods.Has(authtype.MethodPasskey) && !session.Methods.Has(authtype.MethodPasskeyUV):
		if has, err := r.hasPassword(u.tx, userID); err != nil || has {
			return cmp.Or(err, ErrNotRecent)
		}
	}
	u.then(func(tx *gorm.DB) error { // a batch takes no lock
		return r.b.require(tx, ErrInvalidSession, "EXISTS (SELECT 1 FROM ? WHERE ? = ? AND ? = ? AND ? = ?)", clause.Table{Name: r.b.session.Table},
			clause.Column{Name: "id"}, string(session.ID), clause.Column{Name: "user_id"}, userID, clause.Column{Name: "authenticated_at"}, session.AuthenticatedAt)
	})
	return nil
}
