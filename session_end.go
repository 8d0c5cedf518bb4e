package gormkey

import (
	"context"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/event"
)

// SignOut ends the session of a token. A token without a session is no error, so it may be
// repeated. One-time tokens stay as they are. It returns [ErrInvalidSession] for a malformed
// token, without a statement.
func (r *RepositoryOf[U, K, S]) SignOut(ctx context.Context, token Token) error {
	if r.err != nil {
		return r.err
	}
	if !wellFormed(token) {
		return ErrInvalidSession
	}
	if err := checkContext(ctx); err != nil {
		return err
	}
	_, n := r.opts.sessionIDs(token)
	return r.doOne(ctx, "end session", n > 1, func(u *unit) error { return r.endTokens(u, token) })
}

// endTokens ends the sessions of tokens. While HashStoredTokens moves the rows of a Lucia, a
// session is under one of two ids, and both are deleted.
func (r *RepositoryOf[U, K, S]) endTokens(u *unit, tokens ...Token) error {
	for _, token := range tokens {
		ids, n := r.opts.sessionIDs(token)
		for _, id := range ids[:n] {
			if err := r.endSession(u, id, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// EndSessionOfAnyone ends a session by its id, for good: a validation that begins after it
// returned fails (Lucia's invalidateSession). An unknown id is no error. It does not ask whose
// session it is. For an id that a visitor sent use [RepositoryOf.EndSession]. One-time tokens of
// the user end too, see [RepositoryOf.VoidTokens].
//
// Errors:
//
//   - [ArgumentError]: the id is malformed. With [WithLuciaV2] it is also returned for the text
//     that an id shows when it is printed, since no session is found by that without its user.
//   - [ErrRights]: row level security hides the session from a DELETE.
func (r *RepositoryOf[U, K, S]) EndSessionOfAnyone(ctx context.Context, sessionID SessionID) error {
	if r.err != nil {
		return r.err
	}
	if err := checkSessionID(sessionID); err != nil {
		return err
	}
	ids := []string{string(sessionID)}
	if r.opts.lucia {
		if !SessionID(ids[0]).Hashed() {
			ids = append(ids, string(Token(ids[0]).ID())) // HashStoredTokens may have moved it there
		} else if err := r.checkStored(ctx, ids[0]); err != nil {
			return err
		}
	}
	void := r.b.token != nil
	return r.doOne(ctx, "end session", void || len(ids) > 1, func(u *unit) error {
		for _, id := range ids {
			if err := r.endSession(u, id, void); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkStored refuses, under WithLuciaV2, the text that a session's id shows when it is printed.
// Rows hold the token there, and the text is its SHA-256, so the session would not be found and
// would live on while the caller believes that it has ended.
func (r *RepositoryOf[U, K, S]) checkStored(ctx context.Context, id string) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	found, err := find(db.Select("id"), new(SessionOf[U]), r.b.idIs(id))
	if err == nil && !found {
		return &ArgumentError{"session id", "is no stored session's; with WithLuciaV2 the text that an id shows is found by EndSession alone"}
	}
	return callerError(ctx, "end session", err)
}

// storedIDs returns the ids under which a session of a user may be stored, if there is one.
// Without Lucia's tables that is the id itself. With them it is the token, or its hash once
// tokens are hashed. An id that was printed is the hash in either case, and which token belongs
// to it is found by hashing those of the user's sessions.
func (r *RepositoryOf[U, K, S]) storedIDs(db *gorm.DB, userID string, id SessionID) ([]string, error) {
	given := string(id)
	switch {
	case !r.opts.lucia:
		return []string{given}, nil
	case !SessionID(given).Hashed():
		return []string{given, string(Token(given).ID())}, nil
	}
	var ids []string
	if err := db.Model(new(SessionOf[U])).Where(r.b.ownerIs(userID)).Pluck("id", &ids).Error; err != nil {
		return nil, err
	}
	for _, stored := range ids {
		if stored != given && SessionID(stored).String() == given {
			return []string{stored, given}, nil
		}
	}
	return []string{given}, nil
}

// idIn is the condition that a row has one of some ids, byte for byte.
func (b *binding) idIn(ids []string) clause.Expression {
	conditions := make([]clause.Expression, len(ids))
	for i, id := range ids {
		conditions[i] = b.idIs(id)
	}
	return clause.Or(conditions...)
}

// endSession ends a session, if there is one. It first reads whose session it is, but only if
// somebody needs to know: hooks, the one-time tokens that are voided, or a shard that has to be
// found. Otherwise it is one DELETE.
func (r *RepositoryOf[U, K, S]) endSession(u *unit, id string, void bool) error {
	session := new(SessionOf[U])
	if r.opts.tells() || void || r.b.engine.Sharded() {
		if err := r.b.lockWrites(u.tx); err != nil {
			return err
		}
		found, err := find(u.tx.Select("user_id"), session, r.b.idIs(id))
		if err != nil || !found {
			return err
		}
	}
	if void {
		if err := r.lockTokens(u.tx, session.UserID); err != nil {
			return err
		}
		u.then(func(tx *gorm.DB) error { return r.voidPending(tx, session.UserID) })
	}
	u.then(func(tx *gorm.DB) error {
		result := r.b.onShard(tx, session.UserID).Where(r.b.idIs(id)).Delete(new(SessionOf[U]))
		ended, err := r.ended(tx, result)
		switch {
		// Nothing was deleted: there is no such session, or the role may read it and not delete
		// it.
		case err == nil && result.RowsAffected == 0:
			return r.checkWritable(tx.Model(new(SessionOf[U])), id)
		case err != nil || !ended:
			return err
		}
		return r.emit(tx, event.Event{Type: event.SessionEnded, UserID: session.UserID, SessionID: SessionID(id)})
	})
	return nil
}

// ended reports whether a delete of sessions hit any, so that hooks hear of sessions only that
// did end. A batch does not know that before it is sent. In a batch of ours the delete is then
// required to hit a row; a batch of the caller's must not fail for it, so there the earlier read
// is trusted.
func (r *RepositoryOf[U, K, S]) ended(tx, result *gorm.DB) (bool, error) {
	if !r.opts.tells() || r.b.engine.Pending(result) && r.inTransaction() {
		return result.Error == nil, result.Error
	}
	return r.b.changed(tx, result, errStale)
}

// EndSession ends one session of a user, for example from the list of their devices. It also
// takes the text that a [SessionID] shows, so the page may send it back. One-time tokens of the
// user end too, see [RepositoryOf.VoidTokens].
//
// Errors:
//
//   - [ErrInvalidSession]: there is no such session, or it is another user's.
//   - [ArgumentError]: one of the ids is malformed.
func (r *RepositoryOf[U, K, S]) EndSession(ctx context.Context, userID string, sessionID SessionID) error {
	if r.err != nil {
		return r.err
	}
	if err := errors.Join(r.checkUserID(userID), checkSessionID(sessionID)); err != nil {
		return err
	}
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	ids, err := r.storedIDs(db, userID, sessionID)
	if err != nil {
		return callerError(ctx, "end session", err)
	}
	return r.doOne(ctx, "end session", r.b.token != nil, func(u *unit) error {
		if err := r.lockFor(u, userID); err != nil {
			return err
		}
		if err := r.lockTokens(u.tx, userID); err != nil {
			return err
		}
		if r.b.token != nil {
			u.then(func(tx *gorm.DB) error { return r.voidPending(tx, userID) })
		}
		u.then(func(tx *gorm.DB) error {
			result := tx.Where(r.b.idIn(ids)).Where(r.b.ownerIs(userID)).Delete(new(SessionOf[U]))
			return r.mustChange(tx, result, ErrInvalidSession, func() error {
				return r.checkWritable(tx.Model(new(SessionOf[U])).Where(r.b.ownerIs(userID)), ids[0])
			})
		})
		u.tell(event.Event{Type: event.SessionEnded, UserID: userID, SessionID: sessionID})
		return nil
	})
}

// EndOtherSessions ends all sessions of a user except one: "sign out everywhere else". An unknown
// user is no error. One-time tokens of the user end too, see [RepositoryOf.VoidTokens].
func (r *RepositoryOf[U, K, S]) EndOtherSessions(ctx context.Context, userID string, keepSessionID SessionID) error {
	if err := checkSessionID(keepSessionID); r.err == nil && err != nil {
		return err
	}
	return r.endMany(ctx, "end other sessions", userID, keepSessionID)
}

// EndAllSessions ends all sessions of a user (Lucia's invalidateAllUserSessions). An unknown user
// is no error. One-time tokens of the user end too, see [RepositoryOf.VoidTokens].
func (r *RepositoryOf[U, K, S]) EndAllSessions(ctx context.Context, userID string) error {
	return r.endMany(ctx, "end all sessions", userID, "")
}

// endMany ends the sessions of a user, except the one with the id keep if that is not empty. If
// there are one-time tokens to void it takes the user's lock, so that no token is issued
// meanwhile and survives.
func (r *RepositoryOf[U, K, S]) endMany(ctx context.Context, op, userID string, keep SessionID) error {
	if r.err != nil {
		return r.err
	}
	if err := r.checkUserID(userID); err != nil {
		return err
	}
	reads := r.opts.lucia && keep != ""
	return r.doOne(ctx, op, r.b.token != nil || r.b.engine.MostDeleted() > 0 || reads, func(u *unit) error {
		if reads {
			if err := r.b.lockWrites(u.tx); err != nil {
				return err
			}
		}
		if keep != "" {
			if err := r.lockFor(u, userID); err != nil {
				return err
			}
		}
		if err := r.lockTokens(u.tx, userID); err != nil {
			return err
		}
		u.then(func(tx *gorm.DB) error { return r.voidPending(tx, userID) })
		return r.endSessions(u, userID, keep)
	})
}

// endSessions ends the sessions of a user, except the one to keep; "" keeps none.
func (r *RepositoryOf[U, K, S]) endSessions(u *unit, userID string, keep SessionID) error {
	var kept []string
	if keep != "" {
		var err error
		if kept, err = r.storedIDs(u.tx, userID, keep); err != nil {
			return err
		}
	}
	sessions := func(tx *gorm.DB) *gorm.DB {
		query := tx.Where(r.b.ownerIs(userID))
		if keep != "" {
			query = query.Where(clause.Not(r.b.idIn(kept)))
		}
		// Session, since the query is used several times: GORM adds conditions to a shared
		// statement otherwise.
		return query.Session(&gorm.Session{})
	}
	none, err := r.noneToTellOf(u, sessions(u.tx))
	if err != nil {
		return err
	}
	u.then(func(tx *gorm.DB) error {
		query := sessions(tx)
		result := r.deleteSessions(query)
		if none && result.Error == nil {
			return r.stillNone(tx)
		}
		ended, err := r.ended(tx, result)
		switch {
		case err == nil && result.RowsAffected == 0:
			return r.checkDeletable(tx, query)
		case err != nil || !ended:
			return err
		}
		return r.emit(tx, event.Event{Type: event.SessionEnded, UserID: userID})
	})
	return nil
}

// noneToTellOf reports whether the user has no session, so that the hooks hear nothing. Only a
// batch has to read that, since it does not know how many rows its DELETE will hit.
func (r *RepositoryOf[U, K, S]) noneToTellOf(u *unit, sessions *gorm.DB) (bool, error) {
	if !r.b.engine.Batches() || !r.opts.tells() {
		return false, nil
	}
	found, err := find(sessions.Select("id"), new(SessionOf[U]))
	return !found, err
}

// stillNone makes a batch of ours fail if its DELETE hits a session after all. Somebody opened it
// in between, and the hooks would not hear that it ended. The operation then starts again and
// tells them.
func (r *RepositoryOf[U, K, S]) stillNone(tx *gorm.DB) error {
	if r.inTransaction() {
		return nil
	}
	return r.b.require(tx, errStale, "changes() = 0")
}

// checkDeletable returns [ErrRights] if the role may read sessions that its DELETE did not find.
// Another sign-in may also have opened one since, so one of them is deleted once more before it
// is an error.
func (r *RepositoryOf[U, K, S]) checkDeletable(tx, query *gorm.DB) error {
	if !r.b.engine.RowSecurity() {
		return nil
	}
	var ids []string
	if err := query.Model(new(SessionOf[U])).Limit(1).Pluck("id", &ids).Error; err != nil || len(ids) == 0 {
		return err
	}
	result := tx.Where(r.b.idIs(ids[0])).Delete(new(SessionOf[U]))
	if result.Error != nil || result.RowsAffected > 0 {
		return result.Error
	}
	return r.checkWritable(tx.Model(new(SessionOf[U])), ids[0])
}

// deadAt is the condition that a session is dead. If an expiry is stored as a text or a blob,
// SQLite takes it for greater than any number, so the column is cast there. A cast column has no
// index; only tables whose column is declared so pay for that.
func (r *RepositoryOf[U, K, S]) deadAt(now UnixMilli) clause.Expression {
	idle := clause.Column{Table: clause.CurrentTable, Name: "idle_expires"}
	if r.b.castExpiries {
		return clause.Expr{SQL: "? < ?", Vars: []any{r.b.engine.Number(idle), now}}
	}
	return clause.Lt{Column: idle, Value: now}
}
