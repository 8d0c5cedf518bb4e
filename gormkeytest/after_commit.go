package gormkeytest

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

var afterCommitCases = []testCase{
	{"after commit/R108 once, after it", afterCommitOnce},
	{"after commit/R108 not after a rollback", afterCommitRollback},
	{"after commit/R108 once for several tries", afterCommitTries},
	{"after commit/R108 inside a transaction", afterCommitInside},
	{"after commit/R108 a panic changes nothing", afterCommitPanic},
	{"everyone/R113 the sessions of everyone end", everyoneEnds},
	{"everyone/R113 sessions from before a time", everyoneNotBefore},
	{"everyone/R123 the lifetimes of AAL1 and AAL2", everyoneLevels},
}

// listener keeps what it is told.
type listener struct {
	types   []event.Type
	ctx     context.Context
	onEvent func(e event.Event)
}

func (l *listener) option() gormkey.Option {
	return gormkey.WithAfterCommit(func(ctx context.Context, e event.Event) {
		l.types, l.ctx = append(l.types, e.Type), ctx
		if l.onEvent != nil {
			l.onEvent(e)
		}
	})
}

// heard returns what was told since the last call.
func (l *listener) heard() string {
	var words []string
	for _, t := range l.types {
		words = append(words, string(t))
	}
	l.types = nil
	return strings.Join(words, ", ")
}

func afterCommitOnce(s *suite) {
	l := new(listener)
	f := s.withFacts(l.option())
	ctx, cancel := context.WithCancel(context.WithValue(s.Context(), ctxKey{}, "request"))
	defer cancel()
	ada := &account{Email: "ada@example.com"}
	must(s, f.CreateUser(ctx, ada, email(ada.Email)))
	equal(s, "sign-up", l.heard(), "user created, key added")
	equal(s, "value of the context", l.ctx.Value(ctxKey{}), any("request"))
	cancel()
	must(s, l.ctx.Err())
	ctx = s.Context()
	// What was told is in the database.
	l.onEvent = func(e event.Event) {
		equal(s, "sessions when it is told", count(s, f.db, "user_session", "id = ?", string(e.SessionID)), 1)
	}
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	equal(s, "sign-in", l.heard(), "session opened, signed in")
	f.clock.Advance(ActivePeriod + time.Millisecond)
	must(s, second(f.ValidateSession(ctx, session.Token)))
	equal(s, "renewal", l.heard(), "session renewed")
	session, err = f.Reauthenticate(ctx, session.Token, email(ada.Email))
	must(s, err)
	equal(s, "re-authentication", l.heard(), "re-authenticated")
	l.onEvent = nil
	wrong := email(ada.Email)
	wrong.Password = "a wrong password"
	wantErr(s, "a wrong password", second(f.SignIn(ctx, wrong)), gormkey.ErrInvalidCredentials)
	equal(s, "failed sign-in", l.heard(), "sign-in failed")
	must(s, second(f.OverwritePassword(ctx, email(ada.Email), "")))
	equal(s, "password", l.heard(), "session ended, password changed")
	must(s, f.SignOut(ctx, session.Token))
	equal(s, "sign-out of no session", l.heard(), "")
	must(s, f.DeleteUser(ctx, ada.ID))
	equal(s, "deletion", l.heard(), "user deleted")
	must(s, f.DeleteUser(ctx, ada.ID))
	equal(s, "deletion of nobody", l.heard(), "")
}

type ctxKey struct{}

func afterCommitRollback(s *suite) {
	l := new(listener)
	refused := errors.New("the hook refuses")
	refuse := false
	f := s.accounts(l.option(), gormkey.WithHook(func(*gorm.DB, event.Event) error {
		if refuse {
			return refused
		}
		return nil
	}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	l.heard()
	refuse = true
	wantErr(s, "a hook's error", second(f.SignIn(ctx, email(ada.Email))), refused)
	equal(s, "after a hook's error", l.heard(), "")
	refuse = false
	wantErr(s, "a duplicate", f.CreateUser(ctx, &account{Email: "x"}, email(ada.Email)), gormkey.ErrDuplicateKey)
	equal(s, "after a duplicate", l.heard(), "")
	if s.batches {
		return
	}
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	recorder.inject = func(sql string) error {
		if sql == "COMMIT" {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	_, err = auth.SignIn(ctx, email(ada.Email))
	recorder.inject = nil
	wantErr(s, "a lost answer", err, gormkey.ErrOutcomeUnknown)
	equal(s, "after a lost answer", l.heard(), "")
}

func afterCommitTries(s *suite) {
	l := new(listener)
	f := s.accounts(l.option())
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	l.heard()
	for _, at := range []string{"INSERT", "COMMIT"} {
		tries := 0
		recorder.inject = func(sql string) error {
			if strings.HasPrefix(sql, at) {
				if tries++; tries < 4 {
					return codedError("40001")
				}
			}
			return nil
		}
		_, err = auth.SignIn(ctx, email(ada.Email))
		recorder.inject = nil
		must(s, err)
		equal(s, "tries", tries, 4)
		equal(s, "told after three failures at "+at, l.heard(), "session opened, signed in")
	}
}

// afterCommitInside: in a transaction of the caller's nobody hears, since the library does not hear of its
// commit; inside UseToken, whose transaction is the library's, everything is told after it.
func afterCommitInside(s *suite) {
	l := new(listener)
	refused, refuse := errors.New("the hook refuses"), false
	f := s.withTokens(l.option(), gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		if refuse && e.Type == event.KeyAdded && e.KeyID.ID == "new@example.com" {
			return refused
		}
		return nil
	}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	token := issue(s, f, ada.ID, gormkey.PurposeChangeEmail, "new@example.com")
	l.heard()
	must(s, second(f.UseToken(ctx, gormkey.PurposeChangeEmail, token, func(tx *gorm.DB, t *gormkey.OneTimeToken[account]) error {
		if err := f.With(tx).RenameKey(ctx, ada.ID, keyID("email", ada.Email), t.Payload); err != nil {
			return err
		}
		equal(s, "before the commit", l.heard(), "")
		return nil
	})))
	equal(s, "after it", l.heard(), "token used, key removed, key added")
	if s.batches { // an operation cannot fail there before its batch is sent
		return
	}
	// What was rolled back to a savepoint is not told, though the rest is committed.
	token = issue(s, f, ada.ID, gormkey.PurposeChangeEmail, "")
	l.heard()
	refuse = true
	must(s, second(f.UseToken(ctx, gormkey.PurposeChangeEmail, token, func(tx *gorm.DB, _ *gormkey.OneTimeToken[account]) error {
		err := f.With(tx).RenameKey(ctx, ada.ID, keyID("email", "new@example.com"), "third@example.com")
		must(s, err)
		wantErr(s, "inside", f.With(tx).RenameKey(ctx, ada.ID, keyID("email", "third@example.com"), "new@example.com"), refused)
		return nil
	})))
	equal(s, "after one that was rolled back", l.heard(), "token used, key removed, key added")
	must(s, f.db.Transaction(func(tx *gorm.DB) error {
		return second(f.With(tx).OpenSession(ctx, ada.ID))
	}))
	equal(s, "a caller's transaction", l.heard(), "")
	equal(s, "sessions", count(s, f.db, "user_session"), 1)
}

func afterCommitPanic(s *suite) {
	l := new(listener)
	f := s.accounts(gormkey.WithAfterCommit(func(context.Context, event.Event) { panic("a mail server is down") }), l.option())
	ada := signUp(s, f, "ada")
	equal(s, "those after it", l.heard(), "user created, key added")
	must(s, second(f.SignIn(s.Context(), email(ada.Email))))
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 1})
	db := s.newDB(s.T)
	if err := db.Use(newAccounts(s, gormkey.WithAfterCommit(nil))); err == nil || !strings.Contains(err.Error(), "WithAfterCommit") {
		s.Errorf("nil: got %v", err)
	}
}

func everyoneEnds(s *suite) {
	for name, opts := range map[string][]gormkey.Option{"without facts": nil, "with facts": {gormkey.WithSessionFacts()}} {
		f := s.withTokens(opts...)
		ctx := s.Context()
		for _, user := range []string{"ada", "bob", "eve"} {
			a := signUp(s, f, user)
			for range 7 {
				must(s, second(f.OpenSession(ctx, a.ID)))
			}
			issue(s, f, a.ID, gormkey.PurposeMagicLink, "")
			issue(s, f, a.ID, gormkey.PurposeVerifyEmail, a.Email)
		}
		stop := errors.New("stop")
		var seen []int64
		ended, err := f.EndSessionsOfEveryone(ctx, gormkey.WithBatchSize(5), gormkey.WithProgress(func(n int64) error {
			if seen = append(seen, n); len(seen) == 2 {
				return stop
			}
			return nil
		}))
		wantErr(s, name+": stopped", err, stop)
		equal(s, name+": ended when stopped", ended, 10)
		equal(s, name+": left", count(s, f.db, "user_session"), 11)
		ended, err = f.EndSessionsOfEveryone(ctx, gormkey.WithBatchSize(5))
		must(s, err)
		equal(s, name+": ended", ended, 11)
		equal(s, name+": rows", rows(s, f.db), [3]int64{3, 3, 0})
		equal(s, name+": tokens that open", count(s, f.db, "user_token", "purpose <> ?", "verify-email"), 0)
		equal(s, name+": tokens that prove an address", count(s, f.db, "user_token"), 3)
		ended, err = f.EndSessionsOfEveryone(ctx)
		must(s, err)
		equal(s, name+": ended again", ended, 0)
		_, err = f.EndSessionsOfEveryone(ctx, gormkey.WithBatchSize(0))
		wantErr(s, name+": batch of 0", err, gormkey.ErrUsage)
	}
}

func everyoneNotBefore(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	old, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	f.clock.Advance(time.Hour)
	incident := f.clock.Now()
	at, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	// Nobody knows when this one was opened.
	unknown, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	must(s, f.db.WithContext(ctx).Exec("UPDATE user_session SET opened_at = NULL WHERE id = ?", string(unknown.ID)).Error)
	next := openAccounts(s, s.again(f.db), gormkey.WithSessionFacts(), gormkey.WithOneTimeTokens(), gormkey.WithClock(f.clock.Now), gormkey.WithSessionsNotBefore(incident))
	for name, token := range map[string]gormkey.Token{"old": old.Token, "unknown": unknown.Token} {
		_, err := next.ValidateSession(ctx, token)
		wantErr(s, name, err, gormkey.ErrInvalidSession)
		_, err = next.Reauthenticate(ctx, token, email(ada.Email))
		wantErr(s, name+", re-authenticated", err, gormkey.ErrInvalidSession)
		must(s, second(f.GetSession(ctx, token))) // of a process that does not know yet
	}
	must(s, second(next.ValidateSession(ctx, at.Token)))
	must(s, second(next.SignIn(ctx, email(ada.Email))))
	list, err := next.UserSessions(ctx, ada.ID)
	must(s, err)
	equal(s, "sessions in the list", len(list), 2)
	err = s.newDB(s.T).Use(newAccounts(s, gormkey.WithSessionsNotBefore(incident)))
	if err == nil || !strings.Contains(err.Error(), "WithSessionsNotBefore: needs WithSessionFacts") {
		s.Errorf("without facts: got %v", err)
	}
}

func everyoneLevels(s *suite) {
	for name, c := range map[string]struct {
		option         gormkey.Option
		unused, always time.Duration
	}{
		"AAL1": {gormkey.WithAAL1(), ActivePeriod + IdlePeriod, 30 * 24 * time.Hour},
		"AAL2": {gormkey.WithAAL2(), time.Hour, 24 * time.Hour},
	} {
		f := s.accounts(c.option)
		ctx := s.Context()
		ada := signUp(s, f, "ada")
		session, err := f.SignIn(ctx, email(ada.Email))
		must(s, err)
		equal(s, name+": unused", session.IdleExpires.Time(), f.clock.Now().Add(c.unused).UTC())
		end := f.clock.Now().Add(c.always)
		for f.clock.Now().Before(end) {
			must(s, second(f.ValidateSession(ctx, session.Token)))
			f.clock.Advance(min(c.unused/2, max(time.Millisecond, end.Sub(f.clock.Now()))))
		}
		must(s, second(f.ValidateSession(ctx, session.Token)))
		f.clock.Advance(time.Millisecond)
		_, err = f.ValidateSession(ctx, session.Token)
		wantErr(s, name+": used all the time", err, gormkey.ErrInvalidSession)
	}
}
