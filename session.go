package gormkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/internal/statement"
)

// OpenSession opens a session for a user and returns it with its token (Lucia's createSession).
// Fresh is true. Prefer [RepositoryOf.SignIn], which also checks the key.
//
// Each function of set is called once with the session before it is stored:
//
//   - to set columns of your own (the library sets the others afterwards);
//   - to end the session that the client came with: see [RepositoryOf.Replacing];
//   - to set its Token (Lucia's sessionId): 22 to 127 characters of A–Z, a–z, 0–9, "_" and "-",
//     with at least 128 bits from crypto/rand. Without one the library makes a token of 40
//     characters.
//
// Errors:
//
//   - [ErrUserNotFound]: there is no such user, or the user is soft-deleted.
//   - [SuspendedError]: the user is suspended.
//   - [ErrDuplicateSession]: the token that set gave is in use.
//   - [ErrDuplicateAttribute]: a unique column of your own has this value already.
//   - [ArgumentError]: the user id is malformed.
//   - [UsageError]: the token that set gave is malformed, or set has nil.
func (r *RepositoryOf[U, K, S]) OpenSession(ctx context.Context, userID string, set ...func(S)) (S, error) {
	if r.err != nil {
		return failed[S](r.err)
	}
	if err := r.checkUserID(userID); err != nil {
		return failed[S](err)
	}
	session, asked, err := r.newSession(set)
	if err != nil {
		return failed[S](err)
	}
	base := r.sessionOf(session)
	switch {
	case base.Token == "":
		base.Token = newToken()
	case !wellFormed(base.Token):
		return failed[S](&UsageError{"token", "is not 22 to 127 characters of A–Z, a–z, 0–9, \"_\", \"-\""})
	}
	err = r.openSession(ctx, "open session", session, opening{wishes: asked, source: owner{userID: userID}, none: ErrUserNotFound})
	if err != nil {
		return failed[S](err)
	}
	return session, nil
}

// newSession applies set to a new session, and returns it with what set asked for.
func (r *RepositoryOf[U, K, S]) newSession(set []func(S)) (session S, asked wishes, err error) {
	session = r.plugin.sessions.make()
	if err := apply(session, set); err != nil {
		return session, asked, err
	}
	// They are removed again, so that the session that is stored and returned holds no old token.
	if base := r.sessionOf(session); base.wishes != nil {
		asked, base.wishes = base.wishes(), nil
	}
	return session, asked, r.opts.checkWishes(asked)
}

// failed returns an error of an operation that has nothing to return with it.
func failed[T any](err error) (nothing T, _ error) { return nothing, err }

// apply calls each function of set with the new struct.
func apply[P any](made P, set []func(P)) error {
	for i, f := range set {
		if f == nil {
			return &UsageError{"set", fmt.Sprintf("has nil at %d", i)}
		}
		f(made)
	}
	return nil
}

// opening says for whom a session is opened, and what else its transaction does.
type opening struct {
	wishes
	source owner
	none   error // if there is no such owner
	link   Token // that is used up, "" for none: a magic link's
}

// ends returns the tokens whose sessions end when another is opened: each once, without the new
// one, and sorted, so that two sign-ins that replace the same two sessions do not wait for each
// other.
func (o opening) ends(token Token) (all []Token) {
	for _, replaced := range o.replaced {
		if wellFormed(replaced) && replaced != token && !slices.Contains(all, replaced) {
			all = append(all, replaced)
		}
	}
	slices.Sort(all)
	return all
}

// openSession inserts a session, which has its token already, for its owner. The INSERT reads the
// owner's row and locks it, so a plain sign-in is one statement without a transaction.
func (r *RepositoryOf[U, K, S]) openSession(ctx context.Context, op string, dest S, o opening) error {
	s, asGiven := r.b.session, r.plugin.sessions.clone(dest)
	token := r.sessionOf(dest).Token
	ends := o.ends(token)
	o.source.admitted = true
	hooked := s.BeforeCreate || s.AfterCreate || s.BeforeSave || s.AfterSave || r.b.suspension != nil
	err := r.doOne(ctx, op, hooked || len(ends) > 0 || o.link != "", func(u *unit) error {
		if s.BeforeCreate || s.BeforeSave { // a hook may read first
			if err := r.b.lockWrites(u.tx); err != nil {
				return err
			}
		}
		r.plugin.sessions.copy(dest, asGiven) // a hook may have changed it in an earlier try
		if o.link != "" {
			t, err := r.lockToken(u.tx, PurposeMagicLink, o.link)
			if err != nil {
				return err
			}
			r.consume(u, t)
		}
		if err := r.admit(u.tx, o.source.userID); err != nil {
			return err
		}
		r.insertSession(u, dest, token, o)
		return r.endTokens(u, ends...)
	})
	if err != nil {
		err = r.explainSuspended(ctx, op, o.source.userID, err, o.none)
		return r.explainDuplicate(ctx, op, err, ErrDuplicateSession, r.b.session, r.b.baseSession, func(db *gorm.DB) (bool, error) {
			return find(db, new(SessionOf[U]), column("id", r.opts.sessionID(token)))
		})
	}
	base := r.sessionOf(dest)
	base.Token, base.Fresh = token, true
	return nil
}

// insertSession lists the INSERT of a session, whose lifetime begins now. It overwrites every
// column of the library, whatever set has written there. A sign-in is two events.
func (r *RepositoryOf[U, K, S]) insertSession(u *unit, dest S, token Token, o opening) {
	now, session := r.opts.now(), r.sessionOf(dest)
	*session = SessionOf[U]{ID: SessionID(r.opts.sessionID(token)), UserID: o.source.userID}
	if r.opts.facts {
		session.OpenedAt, session.Methods, session.Remembered = now, authtype.MethodsOf(o.by...), o.remembered
		if session.Methods != "" && session.Methods != authtype.MethodsOf(authtype.MethodDevice) {
			session.AuthenticatedAt = now
		}
		if session.Methods.SecondFactor() {
			session.FactorAt = now
		}
	}
	if r.opts.hasAbsolute {
		session.AbsoluteExpires = now + milli(r.opts.absolute)
	}
	session.ActiveExpires, session.IdleExpires = r.opts.expiries(now, session.AbsoluteExpires, session.Remembered)
	opened := event.Event{Type: event.SessionOpened, UserID: session.UserID, SessionID: session.ID, KeyID: o.source.key, Methods: authtype.MethodsOf(o.by...)}
	events := []event.Event{opened}
	if o.source.key != (KeyID{}) || o.link != "" {
		opened.Type = event.SignedIn
		events = append(events, opened)
	}
	columns, values := r.factsOf(session)
	u.then(func(tx *gorm.DB) error { return r.insertFor(tx, dest, o.source, o.none, errDuplicate, columns, values) })
	u.tell(events...)
}

// milli converts a period to the unit of the expiries. Options are whole milliseconds, so nothing
// is cut.
func milli(d time.Duration) UnixMilli { return UnixMilli(d.Milliseconds()) }

// expiries returns the ends of the active and the idle period that begin at now. If there is an
// absolute end, neither is later than that: with a lifetime of one hour a session that is opened
// at 12:00 is neither active nor idle after 13:00.
func (o *options) expiries(now, absolute UnixMilli, remembered *bool) (active, idle UnixMilli) {
	activePeriod, idlePeriod := o.periods(remembered)
	active = now + milli(activePeriod)
	idle = active + milli(idlePeriod)
	if absolute > 0 {
		active, idle = min(active, absolute), min(idle, absolute)
	}
	return active, idle
}

// ValidateSession returns the session of a token, with its user, and renews it if it is idle
// (Lucia's validateSession). After a renewal Fresh is true: send the token to the client again,
// with the new expiry. A renewal never moves an expiry back, and never past the absolute
// lifetime. If the database takes no writes, as a read-only replica does, an idle session is
// valid as it is, and Fresh is false.
//
// The check is one statement, or two if the application has Query callbacks of its own. A renewal
// is one UPDATE more.
//
// Errors:
//
//   - [ErrInvalidSession]: whatever the reason why nobody is signed in. A malformed token gets it
//     without a statement.
//   - Any other error comes from the database or from your own hooks: answer 5xx, and keep the
//     client's cookie.
func (r *RepositoryOf[U, K, S]) ValidateSession(ctx context.Context, token Token) (S, error) {
	return r.readSession(ctx, token, true)
}

// GetSession is [RepositoryOf.ValidateSession] without the renewal (Lucia's getSession). Use it
// where nothing may be written.
func (r *RepositoryOf[U, K, S]) GetSession(ctx context.Context, token Token) (S, error) {
	return r.readSession(ctx, token, false)
}

// readSession looks for a session under each id that its token may have: one id, or two while
// HashStoredTokens moves the rows of a Lucia. The application's AfterFind hooks run only once the
// session is known to be valid, so no hook sees the user of a dead session.
func (r *RepositoryOf[U, K, S]) readSession(ctx context.Context, token Token, renew bool) (S, error) {
	if r.err != nil {
		return failed[S](r.err)
	}
	if !wellFormed(token) {
		return failed[S](ErrInvalidSession)
	}
	db, err := r.session(ctx)
	if err != nil {
		return failed[S](err)
	}
	session := r.plugin.sessions.make()
	base := r.sessionOf(session)
	ids, n := r.opts.sessionIDs(token)
	for _, id := range ids[:n] {
		if err = r.loadSession(db, id, session); err == nil && renew {
			err = r.renew(ctx, db, base)
		}
		if !errors.Is(err, ErrInvalidSession) {
			break
		}
	}
	if err == nil {
		err = r.afterFind(db, session, base.User)
	}
	if err != nil {
		return failed[S](callerError(ctx, "validate session", err))
	}
	base.Token = token
	return session, nil
}

// loadSession reads a session that is not dead. An expiry that cannot be read makes the session
// invalid instead of an error: the client can then sign in again, and 5xx would lock them out for
// good.
func (r *RepositoryOf[U, K, S]) loadSession(db *gorm.DB, id string, dest S) error {
	found, err := r.loadWithUser(db, id, dest)
	switch {
	case errors.Is(err, ErrInvalidExpiry):
		return ErrInvalidSession
	case err != nil:
		return err
	}
	// The id is compared again in Go. A table that another program made may compare inexactly,
	// and then the database returns the row of a different id.
	if session := r.sessionOf(dest); !found || string(session.ID) != id || r.isDead(session) {
		return ErrInvalidSession
	}
	return nil
}

// isDead also looks at when the session was opened, and at the absolute end. A process without the
// option, an older release for example, may have renewed the session past it.
func (r *RepositoryOf[U, K, S]) isDead(session *SessionOf[U]) bool {
	now := r.opts.now()
	return session.stateAt(now) == StateDead || session.OpenedAt < r.opts.notBefore || r.opts.hasAbsolute && session.AbsoluteExpires > 0 && now > session.AbsoluteExpires
}

// renew moves the expiries of an idle session on, by one UPDATE whose condition guards it: the
// session is not dead, and its expiry becomes later. Without that guard two renewals at once
// moved an expiry backwards in 124 of 300 rounds.
func (r *RepositoryOf[U, K, S]) renew(ctx context.Context, db *gorm.DB, session *SessionOf[U]) error {
	now := r.opts.now()
	if session.stateAt(now) != StateIdle {
		return nil
	}
	values := map[string]any{}
	absolute := session.AbsoluteExpires
	if r.opts.hasAbsolute && absolute == 0 { // opened before the option was set, so its lifetime begins now
		absolute = now + milli(r.opts.absolute)
		values["absolute_expires"] = absolute
	}
	active, idle := r.opts.expiries(now, absolute, session.Remembered)
	if idle <= session.IdleExpires && len(values) == 0 {
		return nil // its absolute end is near, and there is nothing to add
	}
	guard := r.idleBetween(now, idle)
	if idle <= session.IdleExpires {
		// The new end is not later than the old one, because the absolute lifetime begins with
		// this renewal. So the guard is that no other call has begun it.
		guard = clause.Eq{Column: clause.Column{Table: clause.CurrentTable, Name: "absolute_expires"}}
	}
	values["active_expires"], values["idle_expires"] = active, idle
	renewed, written := false, false
	err := r.doOne(ctx, "validate session", false, func(u *unit) error {
		u.then(func(tx *gorm.DB) (err error) {
			result := r.b.onShard(tx, session.UserID).Model(new(SessionOf[U])).Where(r.b.idIs(string(session.ID))).Where(guard).UpdateColumns(statement.Touched(tx, r.b.session, values))
			written = result.Error == nil // an error after this one is a hook's
			if r.b.engine.Pending(result) && r.inTransaction() {
				renewed = true // if another call renews it first, the expiry of that call stays
			} else if renewed, err = r.b.changed(tx, result, errChanged); err != nil || !renewed || !r.opts.tells() {
				return err
			}
			return r.emit(tx, event.Event{Type: event.SessionRenewed, UserID: session.UserID, SessionID: session.ID})
		})
		return nil
	})
	if errors.Is(err, errChanged) {
		renewed, err = false, nil
	}
	if !written && engine.IsReadOnly(err) {
		return nil // it is valid until it is dead; the next call tries again
	}
	if err != nil {
		return err
	}
	if !renewed {
		return r.renewedMeanwhile(db, session)
	}
	session.ActiveExpires, session.IdleExpires, session.AbsoluteExpires, session.Fresh = active, idle, absolute, true
	return nil
}

// renewedMeanwhile reads a session whose renewal changed no row. Either another call renewed it,
// and the new expiries are taken over; or another call ended it; or row level security does not
// let the role renew it, and it is valid as it is.
func (r *RepositoryOf[U, K, S]) renewedMeanwhile(db *gorm.DB, session *SessionOf[U]) error {
	stored := new(SessionOf[U])
	found, err := find(r.b.engine.ReadLatest(db), stored, r.b.idIs(string(session.ID)))
	switch {
	case errors.Is(err, ErrInvalidExpiry):
		return ErrInvalidSession
	case err != nil:
		return err
	case !found || stored.ID != session.ID || r.isDead(stored):
		return ErrInvalidSession
	case stored.IdleExpires == session.IdleExpires:
		return nil // row level security hides the row from the UPDATE
	}
	session.ActiveExpires, session.IdleExpires, session.AbsoluteExpires, session.Fresh = stored.ActiveExpires, stored.IdleExpires, stored.AbsoluteExpires, true
	return nil
}

// idleBetween guards a renewal: the session is not dead, and its expiry becomes later. The column
// is read as a number, since a SQLite column may hold digits as a text or a blob.
func (r *RepositoryOf[U, K, S]) idleBetween(now, next UnixMilli) clause.Expression {
	idle := r.b.engine.Number(clause.Column{Table: clause.CurrentTable, Name: "idle_expires"})
	return clause.Expr{SQL: "? >= ? AND ? < ?", Vars: []any{idle, now, idle, next}}
}

// UserSessions returns the sessions of a user that are not dead, the longest-lived first (Lucia's
// getAllUserSessions): for a page on which people see and end their sessions. Their Token is
// empty, since only its hash is stored. It returns [ErrUserNotFound] if there is no such user.
func (r *RepositoryOf[U, K, S]) UserSessions(ctx context.Context, userID string) ([]S, error) {
	if _, err := r.GetUser(ctx, userID); err != nil {
		return nil, err
	}
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	sessions := []S{}
	if err := r.read(db, func() error { return db.Where(r.b.ownerIs(userID)).Find(&sessions).Error }); err != nil {
		return nil, callerError(ctx, "get user sessions", err)
	}
	// isDead reads an expiry in whatever form a SQLite column holds it, and knows the absolute
	// end.
	sessions = slices.DeleteFunc(sessions, func(s S) bool {
		base := r.sessionOf(s)
		return r.isDead(base) || base.UserID != userID
	})
	slices.SortFunc(sessions, func(one, two S) int {
		a, b := r.sessionOf(one), r.sessionOf(two)
		return cmp.Or(cmp.Compare(b.IdleExpires, a.IdleExpires), cmp.Compare(a.ID, b.ID))
	})
	return sessions, nil
}

// UpdateSessionAttributes sets columns of your own on a session, named as in Go or in the
// database (Lucia's updateSessionAttributes), and returns the session with its user. It does not
// ask whose session it is: give it no id that a visitor sent.
//
// Errors:
//
//   - [ErrInvalidSession]: there is no such session, or it is dead.
//   - [ArgumentError]: a name is no column, or is the id, user_id or an expiry.
//   - [ErrDuplicateAttribute]: a unique column of your own has this value already.
func (r *RepositoryOf[U, K, S]) UpdateSessionAttributes(ctx context.Context, sessionID SessionID, values map[string]any) (S, error) {
	if r.err != nil {
		return failed[S](r.err)
	}
	if err := checkSessionID(sessionID); err != nil {
		return failed[S](err)
	}
	columns, err := attributes(ctx, r.b.session, values, append([]string{"user_id", "active_expires", "idle_expires", "absolute_expires"}, factColumns...)...)
	if err != nil {
		return failed[S](err)
	}
	session := r.plugin.sessions.make()
	err = r.do(ctx, "update session attributes", func(u *unit) error {
		if len(columns) > 0 {
			if err := r.setSessionColumns(u, sessionID, columns); err != nil {
				return err
			}
		}
		u.finally(func(tx *gorm.DB) error {
			if err := r.loadSession(tx, string(sessionID), session); err != nil {
				return err
			}
			return r.afterFind(tx, session, r.sessionOf(session).User)
		})
		return nil
	})
	if err != nil {
		return failed[S](err)
	}
	return session, nil
}

// setSessionColumns lists the UPDATE of a session. If the rows are on shards it first reads whose
// session it is, so that the UPDATE finds its shard by the user.
func (r *RepositoryOf[U, K, S]) setSessionColumns(u *unit, id SessionID, columns map[string]any) error {
	if err := r.b.lockWrites(u.tx); err != nil {
		return err
	}
	stored := new(SessionOf[U])
	if r.b.engine.Sharded() {
		if found, err := find(u.tx.Select("user_id"), stored, r.b.idIs(string(id))); err != nil || !found {
			return err // if there is none, the read after the UPDATE says so
		}
	}
	u.then(func(tx *gorm.DB) error {
		return duplicateAs(r.b.onShard(tx, stored.UserID).Model(r.plugin.sessions.make()).Where(r.b.idIs(string(id))).Updates(columns), ErrDuplicateAttribute)
	})
	return nil
}
