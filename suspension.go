package gormkey

import (
	"context"
	"errors"
	"time"
	"unicode"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/internal/random"
)

// WithSuspension adds the table of [Suspension], by which users are kept out for a time, or until
// somebody lets them in again: see [RepositoryOf.Suspend]. A sign-in then locks the user in a
// statement of its own before it opens the session. The check of a session costs nothing more.
func WithSuspension() Option { return func(o *options) { o.suspension = true } }

// Suspension says that a user of type U is kept out. Its table exists with [WithSuspension]. Its
// fields are those of [SuspensionOf].
type Suspension[U any] = SuspensionOf[*U]

// SuspensionOf has the fields of a [Suspension]. P is the pointer to the application's user type.
type SuspensionOf[P any] struct {
	// ID is 20 characters of a–z and 0–9.
	ID string `gorm:"column:id;primaryKey;not null;size:20" json:"id"`
	// UserID is the user's id. A user has one suspension at most.
	UserID string `gorm:"column:user_id;not null;size:15;uniqueIndex" json:"userId"`
	// Until is the last millisecond of the suspension. Zero is no end.
	Until UnixMilli `gorm:"column:until;not null;type:bigint" json:"until"`
	// Reason is what Suspend was given: at most 64 bytes.
	Reason string `gorm:"column:reason;not null;size:64" json:"reason"`
	// By is who did it, as Suspend was given it: at most 255 bytes.
	By string `gorm:"column:by_id;not null;size:255" json:"by"`
	// At is when it was done.
	At UnixMilli `gorm:"column:at;not null;type:bigint" json:"at"`
	// User is the user where it was loaded with it (Preload, Joins).
	User P `gorm:"belongsTo;foreignKey:user_id;references:id;constraint:OnUpdate:CASCADE,OnDelete:CASCADE" json:"-"`
}

// TableName returns the default table name; see [WithTableNames].
func (SuspensionOf[P]) TableName(namer schema.Namer) string {
	return namer.JoinTableName(defaultSuspensionTable)
}

// SuspendedError says that a user is kept out. It wraps [ErrSuspended]. A sign-in returns it only to
// somebody who has shown who they are, so it may be shown to them. IssueToken and OpenSession
// return it too: they do not know who asks.
type SuspendedError struct {
	Until  time.Time // zero is no end
	Reason string    // as Suspend was given it
}

// Error returns the text of [ErrSuspended].
func (e *SuspendedError) Error() string { return ErrSuspended.Error() }

// Unwrap returns [ErrSuspended].
func (e *SuspendedError) Unwrap() error { return ErrSuspended }

// Suspend keeps a user out: it ends their sessions and one-time tokens, and until it is over nothing
// opens a session for them or issues a token (OWASP ASVS 7.4.2). A sign-in that runs meanwhile
// either comes first, and its session ends, or is refused. A suspended user is suspended anew.
//
// It is over at until, without a job, or by [RepositoryOf.Unsuspend] if until is the zero time.
// Neither brings a session back. Reason is a text of at most 64 bytes, and the user may see it;
// by says who did it, in at most 255 bytes. It needs [WithSuspension].
//
// Somebody who does not know the password cannot tell that the user is suspended: see
// [RepositoryOf.SignIn]. Changes of the account by an administrator work as before.
//
// Errors:
//
//   - [ErrUserNotFound]: there is no such user, or the user is soft-deleted.
//   - [ArgumentError]: the user id, the reason or by is malformed, or until has passed.
//   - [UsageError]: the plugin has no suspensions; or the call is in a transaction of yours on
//     PostgreSQL at REPEATABLE READ or above, which does not see sessions that were just opened.
func (r *RepositoryOf[U, K, S]) Suspend(ctx context.Context, userID string, until time.Time, reason, by string) error {
	if err := errors.Join(r.checkSuspension(), r.checkUserID(userID), checkNote("reason", reason, reasonSize), checkNote("by", by, byIDSize)); err != nil {
		return err
	}
	end := UnixMilli(0)
	if !until.IsZero() {
		if end = UnixMilli(until.UnixMilli()); end <= r.opts.now() {
			return &ArgumentError{"until", "has passed; give a later time, or the zero time for no end"}
		}
	}
	return r.do(ctx, "suspend user", func(u *unit) error {
		if err := r.checkSnapshot(u.tx); err != nil {
			return err
		}
		if err := r.lockOwner(u.tx, userID); err != nil {
			return err
		}
		u.then(func(tx *gorm.DB) error { return tx.Where(r.b.ownerIs(userID)).Delete(new(SuspensionOf[U])).Error })
		u.then(func(tx *gorm.DB) error {
			row := &SuspensionOf[U]{ID: random.String(suspensionIDSize), UserID: userID, Until: end, Reason: reason, By: by, At: r.opts.now()}
			return r.insertFor(tx, row, owner{userID: userID}, ErrUserNotFound, errDuplicate, nil, nil)
		})
		u.then(func(tx *gorm.DB) error { return r.voidTokens(tx, userID) })
		if err := r.endSessions(u, userID, ""); err != nil {
			return err
		}
		u.tell(event.Event{Type: event.Suspended, UserID: userID, Reason: reason, ActorID: by})
		return nil
	})
}

// Unsuspend lets a user in again. By says who did it. A user who is not suspended, and one who is
// unknown, is no error.
func (r *RepositoryOf[U, K, S]) Unsuspend(ctx context.Context, userID, by string) error {
	if err := errors.Join(r.checkSuspension(), r.checkUserID(userID), checkNote("by", by, byIDSize)); err != nil {
		return err
	}
	return r.do(ctx, "unsuspend user", func(u *unit) error {
		if err := r.checkSnapshot(u.tx); err != nil {
			return err
		}
		if err := r.lockOwner(u.tx, userID); err != nil {
			return err
		}
		s := new(SuspensionOf[U])
		found, err := find(r.b.engine.ReadLatest(u.tx), s, r.b.ownerIs(userID))
		if err != nil || !found {
			return err
		}
		u.then(func(tx *gorm.DB) error {
			result := tx.Where(r.b.ownerIs(userID)).Delete(new(SuspensionOf[U]))
			return r.mustChange(tx, result, errStale, nil)
		})
		if s.Until == 0 || s.Until >= r.opts.now() {
			u.tell(event.Event{Type: event.Unsuspended, UserID: userID, ActorID: by})
		}
		return nil
	})
}

// GetSuspension returns the suspension of a user, nil if the user is not suspended now.
func (r *RepositoryOf[U, K, S]) GetSuspension(ctx context.Context, userID string) (*SuspensionOf[U], error) {
	if err := errors.Join(r.checkSuspension(), r.checkUserID(userID)); err != nil {
		return nil, err
	}
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	s, err := r.suspensionOf(db, userID)
	return s, callerError(ctx, "get suspension", err)
}

// checkSuspension refuses the operations if the plugin has no table for them.
func (r *RepositoryOf[U, K, S]) checkSuspension() error {
	if r.err == nil && r.b.suspension == nil {
		return &UsageError{"plugin", "has no suspensions; give it WithSuspension"}
	}
	return r.err
}

// checkNote refuses a text that a page or a log could not show on one line.
func checkNote(argument, s string, size int) error {
	if s == "" {
		return nil
	}
	for _, c := range s {
		if unicode.IsControl(c) {
			return &ArgumentError{argument, "has a control character"}
		}
	}
	return checkText(argument, s, size)
}

// suspensionOf reads the suspension of a user that is not over, nil if there is none.
func (r *RepositoryOf[U, K, S]) suspensionOf(db *gorm.DB, userID string) (*SuspensionOf[U], error) {
	s := new(SuspensionOf[U])
	found, err := find(r.b.engine.ReadLatest(db), s, r.b.ownerIs(userID), r.lasts(clause.CurrentTable))
	if err != nil || !found {
		return nil, err
	}
	return s, nil
}

// lasts is the condition that a suspension is not over.
func (r *RepositoryOf[U, K, S]) lasts(table string) clause.Expression {
	until := clause.Column{Table: table, Name: "until"}
	return clause.Expr{SQL: "(? = 0 OR ? >= ?)", Vars: []any{until, until, r.opts.now()}}
}

// notSuspended is the condition, in a SELECT from the users' table, that a user is not suspended.
func (r *RepositoryOf[U, K, S]) notSuspended(userID string) clause.Expression {
	table := r.b.suspension.Table
	return clause.Expr{SQL: "NOT EXISTS (SELECT 1 FROM ? WHERE ? AND ?)",
		Vars: []any{clause.Table{Name: table}, r.b.engine.SameBytes(clause.Column{Table: table, Name: "user_id"}, userID), r.lasts(table)}}
}

// admit takes the user's lock before something is opened for them, so that the INSERT after it,
// with the condition of notSuspended, sees a suspension that was committed meanwhile. The lock
// has to be a statement of its own: on PostgreSQL a statement that waited for a lock goes on with
// the snapshot that it began with, and would not see the suspension.
func (r *RepositoryOf[U, K, S]) admit(tx *gorm.DB, userID string) error {
	if r.b.suspension == nil {
		return nil
	}
	if err := r.checkSnapshot(tx); err != nil {
		return err
	}
	switch {
	case r.b.engine.Batches(): // hooks run before the batch, and are to hear of no session that is refused
		return r.refuseSuspended(tx, userID)
	case !r.b.engine.RowLocks():
		return r.b.lockWrites(tx)
	}
	var ids []string
	return tx.Session(&gorm.Session{SkipHooks: true}).Model(r.plugin.users.make()).Unscoped().Select(r.b.userID.DBName).
		Where(r.b.userIs(userID)).Clauses(r.b.engine.ShareLock(r.b.user.Table)).Scan(&ids).Error
}

// checkAdmitted refuses a suspended user, in an operation that holds the user's lock.
func (r *RepositoryOf[U, K, S]) checkAdmitted(tx *gorm.DB, userID string) error {
	if r.b.suspension == nil {
		return nil
	}
	if err := r.checkSnapshot(tx); err != nil {
		return err
	}
	return r.refuseSuspended(tx, userID)
}

// checkSnapshot refuses a transaction of the caller's that does not see what was committed while
// it waited for a lock.
func (r *RepositoryOf[U, K, S]) checkSnapshot(tx *gorm.DB) error {
	if !r.inTransaction() {
		return nil
	}
	return r.b.refuseSnapshot(tx, "to open a session, issue a token or suspend a user")
}

// refuseSuspended returns a [SuspendedError] if a user is suspended. A suspended user whom the
// application does not find, a soft-deleted one for example, is not there for it.
func (r *RepositoryOf[U, K, S]) refuseSuspended(db *gorm.DB, userID string) error {
	if r.b.suspension == nil {
		return nil
	}
	s, err := r.suspensionOf(db, userID)
	if err != nil || s == nil {
		return err
	}
	if _, err := r.loadUser(db, userID, errAbsent); err != nil {
		if errors.Is(err, errAbsent) {
			err = nil
		}
		return err
	}
	e := &SuspendedError{Reason: s.Reason}
	if s.Until != 0 {
		e.Until = time.UnixMilli(int64(s.Until))
	}
	return e
}

// explainSuspended returns a [SuspendedError] in place of the error none if an INSERT found no user
// because of a suspension.
func (r *RepositoryOf[U, K, S]) explainSuspended(ctx context.Context, op, userID string, err, none error) error {
	if r.b.suspension == nil || !errors.Is(err, none) {
		return err
	}
	db, failed := r.session(ctx)
	if failed != nil {
		return failed
	}
	if suspended := r.refuseSuspended(db, userID); suspended != nil {
		return callerError(ctx, op, suspended)
	}
	return err
}
