package gormkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// CreateSession opens a session for a user and returns it with its token, Fresh
// (Lucia's createSession). Prefer [Repository.SignIn], which also checks the key. With
// [Replacing] it ends the session that the client came with. No such user, or a
// soft-deleted one, is [ErrInvalidUser].
func (r *Repository[U]) CreateSession(ctx context.Context, userID string, opts ...SignInOption) (*Session[U], error) {
	session := new(Session[U])
	if err := r.CreateSessionInto(ctx, userID, session, opts...); err != nil {
		return nil, err
	}
	return session, nil
}

// CreateSessionInto is [Repository.CreateSession] for the application's own session
// struct, whose own fields it stores and whose embedded [Session] it sets. A Token that
// is set already is used (Lucia's sessionId): 22–127 characters of A–Z, a–z, 0–9, "_"
// and "-", of at least 128 bits from crypto/rand. If it is in use: [ErrDuplicateSession].
func (r *Repository[U]) CreateSessionInto(ctx context.Context, userID string, dest SessionModel[U], opts ...SignInOption) error {
	o := newSignIn(opts)
	if r.err != nil {
		return r.err
	}
	if err := r.checkUserID(userID); err != nil {
		return err
	}
	token, err := r.newSessionToken(dest)
	if err != nil {
		return err
	}
	return r.openSession(ctx, "create session", dest, newSession{token: token, replaced: o.replacedBy(token), source: owner{userID: userID}, none: ErrInvalidUser})
}

func (r *Repository[U]) newSessionToken(dest SessionModel[U]) (Token, error) {
	if err := r.checkSessionModel(dest); err != nil {
		return "", err
	}
	token := dest.AuthSession().Token
	if token == "" {
		return newToken(), nil
	}
	if !token.wellFormed() {
		return "", &ArgumentError{"token", "is not 22 to 127 characters of A–Z, a–z, 0–9, \"_\", \"-\""}
	}
	return token, nil
}

// newSession says which session is to be opened, and how.
type newSession struct {
	token    Token
	replaced []Token // whose sessions end in the same transaction
	source   owner
	none     error // if there is no such owner
	link     Token // that the same transaction uses up, "" for none: a magic link's
}

// openSession inserts a session for its owner.
func (r *Repository[U]) openSession(ctx context.Context, op string, dest SessionModel[U], o newSession) error {
	s := r.b.session
	hooked := s.BeforeCreate || s.AfterCreate || s.BeforeSave || s.AfterSave
	asGiven := copyOf(dest)
	err := r.doOne(ctx, op, hooked || len(o.replaced) > 0 || o.link != "", func(u *unit) error {
		if s.BeforeCreate || s.BeforeSave { // which may read first
			if err := r.b.lockWrites(u.tx); err != nil {
				return err
			}
		}
		restore(dest, asGiven)
		if o.link != "" {
			t, err := r.lockToken(u.tx, MagicLink, o.link)
			if err != nil {
				return err
			}
			r.consume(u, t)
		}
		r.insertSession(u, dest, o)
		return r.endTokens(u, o.replaced...)
	})
	if err != nil {
		restore(dest, asGiven)
		return r.explainDuplicate(ctx, op, err, ErrDuplicateSession, r.b.session, r.b.baseSession, func(db *gorm.DB) (bool, error) {
			return find(db, new(Session[U]), column("id", r.opts.sessionID(o.token)))
		})
	}
	session := dest.AuthSession()
	session.Token, session.Fresh = o.token, true
	return nil
}

// insertSession lists the INSERT of a session, whose lifetime begins now.
func (r *Repository[U]) insertSession(u *unit, dest SessionModel[U], o newSession) {
	now, session := r.opts.now(), dest.AuthSession()
	*session = Session[U]{ID: SessionID(r.opts.sessionID(o.token)), UserID: o.source.userID}
	if r.opts.hasAbsolute {
		session.AbsoluteExpires = now + milli(r.opts.absolute)
	}
	session.ActiveExpires, session.IdleExpires = r.opts.expiries(now, session.AbsoluteExpires)
	events := []Event{{Type: SessionCreated, UserID: session.UserID, SessionID: session.ID, KeyID: o.source.keyID}}
	if o.source.keyID != "" || o.link != "" {
		events = append(events, Event{Type: SignedIn, UserID: session.UserID, SessionID: session.ID, KeyID: o.source.keyID})
	}
	u.then(func(tx *gorm.DB) error { return r.insertFor(tx, dest, o.source, o.none, errDuplicate) })
	u.tell(events...)
}

// copyOf and restore give each try of a transaction the struct as the caller passed it,
// whatever hooks did to it in the try before, and give it back so after an error.
func copyOf(dest any) reflect.Value {
	asGiven := reflect.New(reflect.TypeOf(dest).Elem()).Elem()
	asGiven.Set(reflect.ValueOf(dest).Elem())
	return asGiven
}

func restore(dest any, asGiven reflect.Value) { reflect.ValueOf(dest).Elem().Set(asGiven) }

func milli(d time.Duration) UnixMilli { return UnixMilli(d.Milliseconds()) }

// expiries returns the ends of the active and the idle period that begin at now, at
// most the absolute end, if there is one.
func (o *options) expiries(now, absolute UnixMilli) (active, idle UnixMilli) {
	active = now + milli(o.active)
	idle = active + milli(o.idle)
	if absolute > 0 {
		active, idle = min(active, absolute), min(idle, absolute)
	}
	return active, idle
}

// ValidateSession returns the session of a token, with its user, and renews it if it is
// idle (Lucia's validateSession). After a renewal Fresh is true: send the token again,
// with the new expiry. A renewal never moves an expiry back, nor past the absolute
// lifetime. Where the database takes no writes, as a read-only replica does, an idle session
// is valid as it is.
//
// Every reason not to be signed in is [ErrInvalidSession]; a malformed token gets it
// without a statement. Any other error is the database's: answer 5xx and keep the
// client's cookie. The check is one statement, two where the application has Query
// callbacks of its own, and a renewal is one UPDATE more.
func (r *Repository[U]) ValidateSession(ctx context.Context, token Token) (*Session[U], error) {
	session := new(Session[U])
	if err := r.ValidateSessionInto(ctx, token, session); err != nil {
		return nil, err
	}
	return session, nil
}

// ValidateSessionInto is [Repository.ValidateSession] for the application's own session
// struct, which it overwrites; after an error it is zero.
func (r *Repository[U]) ValidateSessionInto(ctx context.Context, token Token, dest SessionModel[U]) error {
	return r.readSession(ctx, token, dest, true)
}

// ValidateSessionAs is [Repository.ValidateSession] that returns the application's own
// session struct: gormkey.ValidateSessionAs[Device](ctx, auth, token).
func ValidateSessionAs[S any, U any, P interface {
	*S
	SessionModel[U]
}](ctx context.Context, r *Repository[U], token Token) (*S, error) {
	session := new(S)
	if err := r.ValidateSessionInto(ctx, token, P(session)); err != nil {
		return nil, err
	}
	return session, nil
}

// GetSession is [Repository.ValidateSession] without the renewal (Lucia's getSession).
func (r *Repository[U]) GetSession(ctx context.Context, token Token) (*Session[U], error) {
	session := new(Session[U])
	if err := r.GetSessionInto(ctx, token, session); err != nil {
		return nil, err
	}
	return session, nil
}

// GetSessionInto is [Repository.GetSession] for the application's own session struct,
// which it overwrites; after an error it is zero.
func (r *Repository[U]) GetSessionInto(ctx context.Context, token Token, dest SessionModel[U]) error {
	return r.readSession(ctx, token, dest, false)
}

func (r *Repository[U]) readSession(ctx context.Context, token Token, dest SessionModel[U], renew bool) error {
	if r.err != nil {
		return r.err
	}
	if !token.wellFormed() {
		return ErrInvalidSession
	}
	if err := r.checkSessionModel(dest); err != nil {
		return err
	}
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	for _, id := range r.opts.sessionIDs(token) {
		if err = r.loadSession(db, id, dest); err == nil && renew {
			err = r.renew(ctx, db, dest)
		}
		if !errors.Is(err, ErrInvalidSession) {
			break
		}
	}
	if err == nil {
		err = r.afterFind(db, dest, dest.AuthSession().User)
	}
	if err != nil {
		reflect.ValueOf(dest).Elem().SetZero()
		return callerError(ctx, "validate session", err)
	}
	dest.AuthSession().Token = token
	return nil
}

// loadSession reads a session that is not dead.
func (r *Repository[U]) loadSession(db *gorm.DB, id string, dest SessionModel[U]) error {
	found, err := r.loadWithUser(db, id, dest)
	switch {
	case errors.Is(err, ErrInvalidExpiry):
		return ErrInvalidSession
	case err != nil:
		return err
	}
	if session := dest.AuthSession(); !found || string(session.ID) != id || r.isDead(session) {
		return ErrInvalidSession
	}
	return nil
}

// isDead also asks for the absolute end, past which a process without the option may
// have renewed.
func (r *Repository[U]) isDead(session *Session[U]) bool {
	now := r.opts.now()
	return session.State(now) == Dead || r.opts.hasAbsolute && session.AbsoluteExpires > 0 && now > session.AbsoluteExpires
}

// renew moves the expiries of an idle session on.
func (r *Repository[U]) renew(ctx context.Context, db *gorm.DB, dest SessionModel[U]) error {
	session := dest.AuthSession()
	now := r.opts.now()
	if session.State(now) != Idle {
		return nil
	}
	values := map[string]any{}
	absolute := session.AbsoluteExpires
	if r.opts.hasAbsolute && absolute == 0 { // from before the option, so it may end sooner than it did
		absolute = now + milli(r.opts.absolute)
		values["absolute_expires"] = absolute
	}
	active, idle := r.opts.expiries(now, absolute)
	if idle <= session.IdleExpires && len(values) == 0 {
		return nil // at its absolute end
	}
	guard := r.idleBetween(now, idle)
	if idle <= session.IdleExpires {
		guard = clause.Eq{Column: clause.Column{Table: clause.CurrentTable, Name: "absolute_expires"}}
	}
	values["active_expires"], values["idle_expires"] = active, idle
	renewed, written := false, false
	err := r.doOne(ctx, "validate session", false, func(u *unit) error {
		u.then(func(tx *gorm.DB) (err error) {
			result := r.b.onShard(tx, session.UserID).Model(new(Session[U])).Where(r.b.idIs(string(session.ID))).Where(guard).UpdateColumns(touched(tx, r.b.session, values))
			written = result.Error == nil // what fails after that is a hook's
			if r.b.engine.Pending(result) && r.inTransaction() {
				renewed = true // if another call does it meanwhile, its expiry stands
			} else if renewed, err = r.b.changed(tx, result, errChanged); err != nil || !renewed {
				return err
			}
			return r.emit(tx, Event{Type: SessionRenewed, UserID: session.UserID, SessionID: session.ID})
		})
		return nil
	})
	if errors.Is(err, errChanged) {
		renewed, err = false, nil
	}
	if !written && engine.IsReadOnly(err) {
		return nil // it is valid until it is dead, and renewed where that can be written
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

// renewedMeanwhile reads a session that was not renewed: another call renewed it or ended it,
// or the role may not renew it.
func (r *Repository[U]) renewedMeanwhile(db *gorm.DB, session *Session[U]) error {
	stored := new(Session[U])
	found, err := find(r.b.engine.ReadLatest(db), stored, r.b.idIs(string(session.ID)))
	switch {
	case errors.Is(err, ErrInvalidExpiry):
		return ErrInvalidSession
	case err != nil:
		return err
	case !found || stored.ID != session.ID || r.isDead(stored):
		return ErrInvalidSession
	case stored.IdleExpires == session.IdleExpires:
		return nil // the role may not renew it
	}
	session.ActiveExpires, session.IdleExpires, session.AbsoluteExpires, session.Fresh = stored.ActiveExpires, stored.IdleExpires, stored.AbsoluteExpires, true
	return nil
}

// idleBetween guards a renewal: the session is not dead, and its expiry moves on.
func (r *Repository[U]) idleBetween(now, next UnixMilli) clause.Expression {
	idle := r.b.engine.Number(clause.Column{Table: clause.CurrentTable, Name: "idle_expires"})
	return clause.Expr{SQL: "? >= ? AND ? < ?", Vars: []any{idle, now, idle, next}}
}

// UserSessions returns the sessions of a user that are not dead, the longest-lived
// first (Lucia's getAllUserSessions). Their Token is empty: only its hash is stored. No
// such user is [ErrInvalidUser].
func (r *Repository[U]) UserSessions(ctx context.Context, userID string) ([]Session[U], error) {
	return UserSessionsAs[Session[U]](ctx, r, userID)
}

// UserSessionsAs is [Repository.UserSessions] that returns the application's own session
// struct: gormkey.UserSessionsAs[Device](ctx, auth, userID).
func UserSessionsAs[S any, U any, P interface {
	*S
	SessionModel[U]
}](ctx context.Context, r *Repository[U], userID string) ([]S, error) {
	if _, err := r.GetUser(ctx, userID); err != nil {
		return nil, err
	}
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.checkSessionModel(P(new(S))); err != nil {
		return nil, err
	}
	sessions := []S{}
	if err := r.read(db, func() error { return db.Where(r.b.ownerIs(userID)).Find(&sessions).Error }); err != nil {
		return nil, callerError(ctx, "get user sessions", err)
	}
	at := func(s *S) *Session[U] { return P(s).AuthSession() }
	sessions = slices.DeleteFunc(sessions, func(s S) bool { return r.isDead(at(&s)) || at(&s).UserID != userID })
	slices.SortFunc(sessions, func(a, b S) int {
		return cmp.Or(cmp.Compare(at(&b).IdleExpires, at(&a).IdleExpires), cmp.Compare(at(&a).ID, at(&b).ID))
	})
	return sessions, nil
}

// UpdateSessionAttributes sets columns of the application's own on a session, named as
// in Go or in the database (Lucia's updateSessionAttributes), and returns the session
// with its user. The id, user_id, the expiries, and names that are no column, are an
// [ArgumentError]. No such session, or a dead one, is [ErrInvalidSession].
func (r *Repository[U]) UpdateSessionAttributes(ctx context.Context, sessionID SessionID, values map[string]any) (*Session[U], error) {
	session := new(Session[U])
	if err := r.UpdateSessionAttributesInto(ctx, sessionID, values, session); err != nil {
		return nil, err
	}
	return session, nil
}

// UpdateSessionAttributesInto is [Repository.UpdateSessionAttributes] that reads the
// session into the application's own struct; after an error that is zero.
func (r *Repository[U]) UpdateSessionAttributesInto(ctx context.Context, sessionID SessionID, values map[string]any, dest SessionModel[U]) error {
	if r.err != nil {
		return r.err
	}
	if err := sessionID.check(); err != nil {
		return err
	}
	if err := r.checkSessionModel(dest); err != nil {
		return err
	}
	columns, err := attributes(ctx, r.b.session, values, "user_id", "active_expires", "idle_expires", "absolute_expires")
	if err != nil {
		return err
	}
	err = r.do(ctx, "update session attributes", func(u *unit) error {
		if len(columns) > 0 {
			if err := r.setSessionColumns(u, sessionID, columns); err != nil {
				return err
			}
		}
		u.finally(func(tx *gorm.DB) error {
			if err := r.loadSession(tx, string(sessionID), dest); err != nil {
				return err
			}
			return r.afterFind(tx, dest, dest.AuthSession().User)
		})
		return nil
	})
	if err != nil {
		reflect.ValueOf(dest).Elem().SetZero()
	}
	return err
}

func (r *Repository[U]) setSessionColumns(u *unit, id SessionID, columns map[string]any) error {
	if err := r.b.lockWrites(u.tx); err != nil {
		return err
	}
	stored := new(Session[U])
	if r.b.engine.Sharded() {
		if found, err := find(u.tx.Select("user_id"), stored, r.b.idIs(string(id))); err != nil || !found {
			return err // the read after this answers that there is none
		}
	}
	u.then(func(tx *gorm.DB) error {
		return duplicateAs(r.b.onShard(tx, stored.UserID).Model(newLike(r.opts.sessionModel)).Where(r.b.idIs(string(id))).Updates(columns), ErrDuplicateAttribute)
	})
	return nil
}

// checkSessionModel refuses a destination that the plugin does not know.
func (r *Repository[U]) checkSessionModel(dest SessionModel[U]) error {
	if err := checkDest(dest == nil || isNilPointer(dest), func() bool { return dest.AuthSession() == nil }); err != nil {
		return err
	}
	return checkRegistered(dest, r.b.session, r.b.baseSession)
}

func isNilPointer(v any) bool {
	value := reflect.ValueOf(v)
	return value.Kind() != reflect.Pointer || value.IsNil()
}

func checkDest(isNil bool, embedsNil func() bool) error {
	if isNil || embeddedByPointer(embedsNil) {
		return &ArgumentError{"dest", "is nil, or embeds gormkey's struct by a nil pointer"}
	}
	return nil
}

func checkRegistered(dest any, known ...*schema.Schema) error {
	t := reflect.TypeOf(dest).Elem()
	for _, s := range known {
		if s.ModelType == t {
			return nil
		}
	}
	return &ArgumentError{"dest", fmt.Sprintf("is a *%v, which is not registered with WithSessionModel or WithKeyModel", t)}
}
