package gormkey

import (
	"context"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// SignOut ends the session of a token. A token without a session is no error; a
// malformed one is [ErrInvalidSession], without a statement.
func (r *Repository[U]) SignOut(ctx context.Context, token Token) error {
	if r.err != nil {
		return r.err
	}
	if !token.wellFormed() {
		return ErrInvalidSession
	}
	if err := checkContext(ctx); err != nil {
		return err
	}
	several := len(r.opts.sessionIDs(token)) > 1
	return r.write(ctx, "invalidate session", several, func(tx *gorm.DB) error { return r.endTokens(tx, token) })
}

// endTokens ends the session of a token.
func (r *Repository[U]) endTokens(tx *gorm.DB, token Token) error {
	end, err := r.tokensEnd(tx, token)
	if err != nil {
		return err
	}
	return end()
}

// tokensEnd returns what ends the sessions of tokens, each under whichever of its ids.
func (r *Repository[U]) tokensEnd(tx *gorm.DB, tokens ...Token) (end func() error, err error) {
	var ids []string
	for _, token := range tokens {
		ids = append(ids, r.opts.sessionIDs(token)...)
	}
	var ends []func() error
	for _, id := range ids {
		end, err := r.sessionEnd(tx, id, false)
		if err != nil {
			return nil, err
		}
		ends = append(ends, end)
	}
	return func() error {
		for _, end := range ends {
			if err := end(); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// InvalidateSession ends a session by its id, for good: a validation that begins after
// it returned fails (Lucia's invalidateSession). An unknown id is no error. It does not
// ask whose session it is; for an id that a user sent, see
// [Repository.InvalidateUserSession].
func (r *Repository[U]) InvalidateSession(ctx context.Context, sessionID string) error {
	if r.err != nil {
		return r.err
	}
	if err := checkText("session id", sessionID, sessionIDSize); err != nil {
		return err
	}
	return r.write(ctx, "invalidate session", r.b.token != nil, func(tx *gorm.DB) error {
		end, err := r.sessionEnd(tx, sessionID, r.b.token != nil)
		if err != nil {
			return err
		}
		return end()
	})
}

// sessionEnd reads whose session it is, if there are hooks to tell or tokens to void, or
// if the delete has to name the user, and returns what deletes it: what a batch reads, it reads before its first write.
func (r *Repository[U]) sessionEnd(tx *gorm.DB, sessionID string, void bool) (end func() error, err error) {
	session := new(Session[U])
	if len(r.opts.hooks) > 0 || void || r.b.vitess {
		if err := r.b.lockWrites(tx); err != nil {
			return nil, err
		}
		found, err := find(tx.Select("user_id"), session, r.b.idIs(sessionID))
		if err != nil || !found {
			return nothing, err
		}
	}
	if void {
		if err := r.lockTokens(tx, session.UserID); err != nil {
			return nil, err
		}
	}
	return func() error {
		if void {
			if err := r.voidPending(tx, session.UserID); err != nil {
				return err
			}
		}
		ended, err := r.ended(tx, r.b.onShard(tx, session.UserID).Where(r.b.idIs(sessionID)).Delete(new(Session[U])))
		if err != nil || !ended {
			return err
		}
		return r.emit(tx, Event{Type: SessionEnded, UserID: session.UserID, SessionID: sessionID})
	}, nil
}

func nothing() error { return nil }

// ended tells whether a delete of sessions that hooks are to hear of hit any. In a batch
// of the caller's, which is not to fail for that, it takes what was read for true.
func (r *Repository[U]) ended(tx, result *gorm.DB) (bool, error) {
	if len(r.opts.hooks) == 0 || r.b.pending(result) && r.inTransaction() {
		return result.Error == nil, result.Error
	}
	return r.b.changed(tx, result, errStale)
}

// InvalidateUserSession ends one session of a user, from the list of their devices say.
// One that is not there, or is another user's, is [ErrInvalidSession].
func (r *Repository[U]) InvalidateUserSession(ctx context.Context, userID, sessionID string) error {
	if r.err != nil {
		return r.err
	}
	if err := errors.Join(r.checkUserID(userID), checkText("session id", sessionID, sessionIDSize)); err != nil {
		return err
	}
	return r.write(ctx, "invalidate user session", r.b.token != nil, func(tx *gorm.DB) error {
		if err := r.lockTokens(tx, userID); err != nil {
			return err
		}
		if err := r.voidPending(tx, userID); err != nil {
			return err
		}
		result := tx.Where(r.b.idIs(sessionID)).Where(r.b.ownerIs(userID)).Delete(new(Session[U]))
		ended, err := r.b.changed(tx, result, ErrInvalidSession)
		switch {
		case err != nil:
			return err
		case !ended:
			return ErrInvalidSession
		}
		return r.emit(tx, Event{Type: SessionEnded, UserID: userID, SessionID: sessionID})
	})
}

// InvalidateOtherSessions ends the sessions of a user, all but one.
func (r *Repository[U]) InvalidateOtherSessions(ctx context.Context, userID, keepSessionID string) error {
	if err := checkText("session id", keepSessionID, sessionIDSize); r.err == nil && err != nil {
		return err
	}
	return r.invalidate(ctx, "invalidate other sessions", userID, keepSessionID)
}

// InvalidateAllUserSessions ends the sessions of a user (Lucia's
// invalidateAllUserSessions). An unknown user is no error.
func (r *Repository[U]) InvalidateAllUserSessions(ctx context.Context, userID string) error {
	return r.invalidate(ctx, "invalidate all user sessions", userID, "")
}

func (r *Repository[U]) invalidate(ctx context.Context, op, userID, keep string) error {
	if r.err != nil {
		return r.err
	}
	if err := r.checkUserID(userID); err != nil {
		return err
	}
	return r.write(ctx, op, r.b.token != nil || r.b.vitess, func(tx *gorm.DB) error {
		if err := r.lockTokens(tx, userID); err != nil {
			return err
		}
		end, err := r.sessionsEnd(tx, userID, keep)
		if err != nil {
			return err
		}
		if err := r.voidPending(tx, userID); err != nil {
			return err
		}
		return end()
	})
}

// sessionsEnd returns what deletes the sessions of a user but the one to keep, "" for
// none. In a batch it reads first whether there are any for the hooks to hear of, and
// deletes those that come in meanwhile too.
func (r *Repository[U]) sessionsEnd(tx *gorm.DB, userID, keep string) (end func() error, err error) {
	query := tx.Where(r.b.ownerIs(userID))
	if keep != "" {
		query = query.Where(clause.Neq{Column: clause.Column{Table: clause.CurrentTable, Name: "id"}, Value: keep})
	}
	query = query.Session(&gorm.Session{})
	if r.b.batches && len(r.opts.hooks) > 0 {
		found, err := find(query.Select("id"), new(Session[U]))
		if err != nil {
			return nil, err
		}
		if !found {
			return func() error {
				if err := r.deleteSessions(query).Error; err != nil || r.inTransaction() {
					return err
				}
				return r.b.require(tx, errStale, "changes() = 0")
			}, nil
		}
	}
	return func() error {
		ended, err := r.ended(tx, r.deleteSessions(query))
		if err != nil || !ended {
			return err
		}
		return r.emit(tx, Event{Type: SessionEnded, UserID: userID})
	}, nil
}

// DeleteDeadUserSessions deletes the dead sessions of a user (Lucia's
// deleteDeadUserSessions). Nothing needs it: a dead session is refused while its row is
// there.
func (r *Repository[U]) DeleteDeadUserSessions(ctx context.Context, userID string) error {
	if r.err != nil {
		return r.err
	}
	if err := r.checkUserID(userID); err != nil {
		return err
	}
	return r.write(ctx, "delete dead user sessions", r.b.vitess, func(tx *gorm.DB) error {
		return r.deleteSessions(tx.Where(r.b.ownerIs(userID)).Where(r.deadAt(r.opts.now()))).Error
	})
}

// deadAt reads the digits of an expiry that is stored as a text or a blob, which SQLite
// takes for greater than any number.
func (r *Repository[U]) deadAt(now UnixMilli) clause.Expression {
	if r.b.castExpiries {
		return clause.Expr{SQL: "CAST(? AS INTEGER) < ?", Vars: []any{clause.Column{Table: clause.CurrentTable, Name: "idle_expires"}, now}}
	}
	return clause.Lt{Column: clause.Column{Table: clause.CurrentTable, Name: "idle_expires"}, Value: now}
}
