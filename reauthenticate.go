package gormkey

import (
	"cmp"
	"context"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/internal/statement"
)

// Reauthenticate asks somebody who is signed in to show again who they are. If the credentials
// are the user's, the session is recent, has a new token and new lifetimes, and keeps its other
// columns (OWASP ASVS 7.2.4; NIST SP 800-63B-4, 5.2). The old token is worth nothing from then on:
// send the new one to the client. Of several calls at once one succeeds.
//
// Credentials of [Proved], after another visit to GitHub for example, count only for a user who
// has no password. It needs [WithSessionFacts]. Throttle it as you throttle a sign-in, in one
// account with it; package httpauth does.
//
// After an error the session is as it was:
//
//   - [ErrInvalidSession]: the token has no session, or another call was faster.
//   - [ErrInvalidCredentials]: as from [RepositoryOf.SignIn], and also if they are another user's.
//   - [ArgumentError], [ErrBusy]: as from SignIn.
func (r *RepositoryOf[U, K, S]) Reauthenticate(ctx context.Context, token Token, c Credentials) (S, error) {
	if err := r.checkFacts(); err != nil {
		return failed[S](err)
	}
	// The UPDATE requires the hash that was verified. If a sign-in improved it in between, the
	// second round checks the new one.
	for range 2 {
		session, err := r.GetSession(ctx, token)
		if err != nil {
			return failed[S](err)
		}
		verified, err := r.verify(ctx, c)
		if err != nil {
			return failed[S](err)
		}
		base, key := r.sessionOf(session), r.keyOf(verified)
		if key.UserID != base.UserID {
			return failed[S](r.failSignIn(ctx, c, base.UserID, ErrKeyNotFound))
		}
		err = r.rotate(ctx, base, key, c.proved)
		switch {
		case errors.Is(err, errChanged):
			continue
		case errors.Is(err, ErrInvalidPassword):
			return failed[S](r.failSignIn(ctx, c, base.UserID, ErrInvalidPassword))
		case err != nil:
			return failed[S](err)
		}
		base.User = key.User
		return session, r.rehash(ctx, key, c.Password)
	}
	return failed[S](ErrInvalidSession)
}

// rotate gives a session a new token and writes that its user has shown who they are. The UPDATE
// requires the session to live and the key to be as it was verified. The key is compared under
// the user's lock, in a statement after it: a password that is being changed makes nothing recent.
func (r *RepositoryOf[U, K, S]) rotate(ctx context.Context, session *SessionOf[U], key *KeyOf[U], proved bool) error {
	next := *session
	next.Token, next.Fresh = newToken(), true
	next.ID = SessionID(r.opts.sessionID(next.Token))
	now, method := r.opts.now(), authtype.MethodPassword
	if proved {
		method = authtype.MethodFederation
	}
	next.AuthenticatedAt, next.Methods = now, session.Methods.With(method)
	if r.opts.hasAbsolute {
		next.AbsoluteExpires = now + milli(r.opts.absolute)
	}
	next.ActiveExpires, next.IdleExpires = r.opts.expiries(now, next.AbsoluteExpires, next.Remembered)
	values := statement.Touched(r.db, r.b.session, map[string]any{
		"id": r.b.engine.NewID(string(next.ID)), "authenticated_at": now, "methods": string(next.Methods),
		"active_expires": next.ActiveExpires, "idle_expires": next.IdleExpires,
	})
	if r.opts.hasAbsolute {
		values["absolute_expires"] = next.AbsoluteExpires
	}
	err := r.do(ctx, "reauthenticate", func(u *unit) error {
		if err := r.lockOwner(u.tx, session.UserID); err != nil {
			return err
		}
		if proved {
			if has, err := r.hasPassword(u.tx, session.UserID); err != nil || has {
				return cmp.Or(err, ErrInvalidPassword)
			}
		}
		u.then(func(tx *gorm.DB) error {
			// The SET is given as a clause, since GORM leaves the columns of facts out of its own.
			result := r.b.onShard(tx, session.UserID).Model(new(SessionOf[U])).
				Where(r.b.idIs(string(session.ID))).Where(r.b.ownerIs(session.UserID)).Where(r.livesAt(now)).Where(r.stillHas(key)).
				Clauses(clause.Assignments(values)).UpdateColumns(map[string]any{})
			return r.mustChange(tx, result, errChanged, func() error { return r.checkWritable(tx.Model(new(SessionOf[U])), string(session.ID)) })
		})
		u.tell(event.Event{Type: event.Reauthenticated, UserID: session.UserID, SessionID: next.ID, KeyID: key.KeyID(), Methods: authtype.MethodsOf(method)})
		return nil
	})
	if err == nil {
		*session = next
	}
	return err
}

// livesAt is the condition that a session is not dead.
func (r *RepositoryOf[U, K, S]) livesAt(now UnixMilli) clause.Expression {
	idle := r.b.engine.Number(clause.Column{Table: clause.CurrentTable, Name: "idle_expires"})
	return clause.Expr{SQL: "? >= ?", Vars: []any{idle, now}}
}

// stillHas is the condition that a key still has the password that it was read with.
func (r *RepositoryOf[U, K, S]) stillHas(key *KeyOf[U]) clause.Expression {
	hash := clause.Column{Name: "hashed_password"}
	sql := "EXISTS (SELECT 1 FROM ? WHERE ? = ? AND ? = ? AND "
	vars := []any{clause.Table{Name: r.b.key.Table}, clause.Column{Name: "id"}, key.ID, clause.Column{Name: "user_id"}, key.UserID}
	if !key.PasswordDefined() {
		return clause.Expr{SQL: sql + "(? IS NULL OR ? = ''))", Vars: append(vars, hash, hash)}
	}
	return clause.Expr{SQL: sql + "? = ?)", Vars: append(vars, hash, string(*key.HashedPassword))}
}

// hasPassword reports whether one of a user's keys has a password.
func (r *RepositoryOf[U, K, S]) hasPassword(tx *gorm.DB, userID string) (bool, error) {
	hash := clause.Column{Table: clause.CurrentTable, Name: "hashed_password"}
	return find(tx.Session(&gorm.Session{SkipHooks: true}).Select("id"), new(KeyOf[U]), r.b.ownerIs(userID),
		clause.Neq{Column: hash}, clause.Neq{Column: hash, Value: ""})
}
