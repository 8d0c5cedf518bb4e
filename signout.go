package gormkey

import (
	"cmp"
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
	return r.idsEnd(tx, ids, false)
}

// idsEnd returns what ends the sessions with ids.
func (r *Repository[U]) idsEnd(tx *gorm.DB, ids []string, void bool) (end func() error, err error) {
	var ends []func() error
	for _, id := range ids {
		end, err := r.sessionEnd(tx, id, void)
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
//
// Errors: [ArgumentError], with [LuciaV2] also for the text that an id shows, by which no
// session is found without its user; [ErrRights].
func (r *Repository[U]) InvalidateSession(ctx context.Context, sessionID SessionID) error {
	if r.err != nil {
		return r.err
	}
	if err := sessionID.check(); err != nil {
		return err
	}
	ids := []string{string(sessionID)}
	if r.opts.lucia {
		if !isHashedID(ids[0]) {
			ids = append(ids, Token(ids[0]).hash()) // where HashStoredTokens has moved it to
		} else if err := r.checkStored(ctx, ids[0]); err != nil {
			return err
		}
	}
	void := r.b.token != nil
	return r.write(ctx, "invalidate session", void || len(ids) > 1, func(tx *gorm.DB) error {
		end, err := r.idsEnd(tx, ids, void)
		if err != nil {
			return err
		}
		return end()
	})
}

// checkStored refuses, under LuciaV2, what a session's id shows when it is printed: without
// its user no session is found by that.
func (r *Repository[U]) checkStored(ctx context.Context, id string) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	found, err := find(db.Select("id"), new(Session[U]), r.b.idIs(id))
	if err == nil && !found {
		return &ArgumentError{"session id", "is no stored session's; with LuciaV2 the text that an id shows is found by InvalidateUserSession alone"}
	}
	return callerError(ctx, "invalidate session", err)
}

// storedIDs returns the ids under which a session of a user may be stored, if there is one.
// Under LuciaV2 that is the token, or its hash once tokens are hashed, and an id that was
// printed is the hash in either case.
func (r *Repository[U]) storedIDs(db *gorm.DB, userID string, id SessionID) ([]string, error) {
	given := string(id)
	switch {
	case !r.opts.lucia:
		return []string{given}, nil
	case !isHashedID(given):
		return []string{given, Token(given).hash()}, nil
	}
	var ids []string
	if err := db.Model(new(Session[U])).Where(r.b.ownerIs(userID)).Pluck("id", &ids).Error; err != nil {
		return nil, err
	}
	for _, stored := range ids {
		if stored != given && SessionID(stored).String() == given {
			return []string{stored, given}, nil
		}
	}
	return []string{given}, nil
}

// idIn is the condition that a row has one of some ids.
func (b *binding) idIn(ids []string) clause.Expression {
	conditions := make([]clause.Expression, len(ids))
	for i, id := range ids {
		conditions[i] = b.idIs(id)
	}
	return clause.Or(conditions...)
}

// sessionEnd reads whose session it is, if there are hooks to tell, tokens to void or shards
// to name it on, and returns what deletes it: what a batch reads, it reads before its first write.
func (r *Repository[U]) sessionEnd(tx *gorm.DB, sessionID string, void bool) (end func() error, err error) {
	session := new(Session[U])
	if len(r.opts.hooks) > 0 || void || r.b.engine.Sharded() {
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
		result := r.b.onShard(tx, session.UserID).Where(r.b.idIs(sessionID)).Delete(new(Session[U]))
		ended, err := r.ended(tx, result)
		if err == nil && result.RowsAffected == 0 {
			return r.checkWritable(tx.Model(new(Session[U])), sessionID)
		}
		if err != nil || !ended {
			return err
		}
		return r.emit(tx, Event{Type: SessionEnded, UserID: session.UserID, SessionID: SessionID(sessionID)})
	}, nil
}

func nothing() error { return nil }

// ended tells whether a delete of sessions that hooks are to hear of hit any. In a batch
// of the caller's, which is not to fail for that, it takes what was read for true.
func (r *Repository[U]) ended(tx, result *gorm.DB) (bool, error) {
	if len(r.opts.hooks) == 0 || r.b.engine.Pending(result) && r.inTransaction() {
		return result.Error == nil, result.Error
	}
	return r.b.changed(tx, result, errStale)
}

// InvalidateUserSession ends one session of a user, from the list of their devices say.
// If there is no such session, or it is another user's: [ErrInvalidSession].
func (r *Repository[U]) InvalidateUserSession(ctx context.Context, userID string, sessionID SessionID) error {
	if r.err != nil {
		return r.err
	}
	if err := errors.Join(r.checkUserID(userID), sessionID.check()); err != nil {
		return err
	}
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	ids, err := r.storedIDs(db, userID, sessionID)
	if err != nil {
		return callerError(ctx, "invalidate user session", err)
	}
	return r.write(ctx, "invalidate user session", r.b.token != nil, func(tx *gorm.DB) error {
		if err := r.lockTokens(tx, userID); err != nil {
			return err
		}
		if err := r.voidPending(tx, userID); err != nil {
			return err
		}
		result := tx.Where(r.b.idIn(ids)).Where(r.b.ownerIs(userID)).Delete(new(Session[U]))
		ended, err := r.b.changed(tx, result, ErrInvalidSession)
		switch {
		case err != nil:
			return err
		case !ended:
			return cmp.Or(r.checkWritable(tx.Model(new(Session[U])).Where(r.b.ownerIs(userID)), ids[0]), ErrInvalidSession)
		}
		return r.emit(tx, Event{Type: SessionEnded, UserID: userID, SessionID: sessionID})
	})
}

// InvalidateOtherSessions ends the sessions of a user, all but one.
func (r *Repository[U]) InvalidateOtherSessions(ctx context.Context, userID string, keepSessionID SessionID) error {
	if err := keepSessionID.check(); r.err == nil && err != nil {
		return err
	}
	return r.invalidate(ctx, "invalidate other sessions", userID, keepSessionID)
}

// InvalidateAllUserSessions ends the sessions of a user (Lucia's
// invalidateAllUserSessions). An unknown user is no error.
func (r *Repository[U]) InvalidateAllUserSessions(ctx context.Context, userID string) error {
	return r.invalidate(ctx, "invalidate all user sessions", userID, "")
}

func (r *Repository[U]) invalidate(ctx context.Context, op, userID string, keep SessionID) error {
	if r.err != nil {
		return r.err
	}
	if err := r.checkUserID(userID); err != nil {
		return err
	}
	reads := r.opts.lucia && keep != ""
	return r.write(ctx, op, r.b.token != nil || r.b.engine.MostDeleted() > 0 || reads, func(tx *gorm.DB) error {
		if reads {
			if err := r.b.lockWrites(tx); err != nil {
				return err
			}
		}
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
func (r *Repository[U]) sessionsEnd(tx *gorm.DB, userID string, keep SessionID) (end func() error, err error) {
	query := tx.Where(r.b.ownerIs(userID))
	if keep != "" {
		kept, err := r.storedIDs(tx, userID, keep)
		if err != nil {
			return nil, err
		}
		query = query.Where(clause.Not(r.b.idIn(kept)))
	}
	query = query.Session(&gorm.Session{})
	if r.b.engine.Batches() && len(r.opts.hooks) > 0 {
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
		result := r.deleteSessions(query)
		ended, err := r.ended(tx, result)
		if err == nil && result.RowsAffected == 0 {
			return r.checkDeletable(tx, query)
		}
		if err != nil || !ended {
			return err
		}
		return r.emit(tx, Event{Type: SessionEnded, UserID: userID})
	}, nil
}

// checkDeletable returns [ErrRights] if the role may not delete the sessions of a query, of
// which a DELETE found none. Others may have been opened since.
func (r *Repository[U]) checkDeletable(tx, query *gorm.DB) error {
	if !r.b.engine.RowSecurity() {
		return nil
	}
	var ids []string
	if err := query.Model(new(Session[U])).Limit(1).Pluck("id", &ids).Error; err != nil || len(ids) == 0 {
		return err
	}
	result := tx.Where(r.b.idIs(ids[0])).Delete(new(Session[U]))
	if result.Error != nil || result.RowsAffected > 0 {
		return result.Error
	}
	return r.checkWritable(tx.Model(new(Session[U])), ids[0])
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
	return r.write(ctx, "delete dead user sessions", r.b.engine.MostDeleted() > 0, func(tx *gorm.DB) error {
		return r.deleteSessions(tx.Where(r.b.ownerIs(userID)).Where(r.deadAt(r.opts.now()))).Error
	})
}

// deadAt reads the digits of an expiry that is stored as a text or a blob, which SQLite
// takes for greater than any number.
func (r *Repository[U]) deadAt(now UnixMilli) clause.Expression {
	idle := clause.Column{Table: clause.CurrentTable, Name: "idle_expires"}
	if r.b.castExpiries { // without an index
		return clause.Expr{SQL: "? < ?", Vars: []any{r.b.engine.Number(idle), now}}
	}
	return clause.Lt{Column: idle, Value: now}
}
