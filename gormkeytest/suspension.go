package gormkeytest

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

var suspensionCases = []testCase{
	{"suspension/R111 every door, while it lasts", suspensionDoors},
	{"suspension/R111 it is over by itself, or by hand", suspensionEnds},
	{"suspension/R111 bad input", suspensionInput},
	{"suspension/R111 what is told", suspensionEvents},
	{"suspension/R111 a user is deleted", suspensionDelete},
	{"suspension/R111 in a transaction of the caller's", suspensionTransaction},
	{"suspension/R111 against sign-ins", func(s *suite) { suspensionRace(s) }},
	{"suspension/R111 the same with a hook", func(s *suite) { suspensionRace(s, withNoHook) }},
	{"suspension/R111 R106 on Lucia's tables", suspensionLucia},
	{"suspension/tables of other names", suspensionNames},
	{"suspension/R112 who does not know the password", suspensionHidden},
	{"suspension/R130 statements", suspensionStatements},
}

// withSuspension opens a database with suspensions, facts of sessions and one-time tokens.
func (s *suite) withSuspension(opts ...gormkey.Option) *accounts {
	s.Helper()
	return s.withFacts(append(opts, gormkey.WithSuspension())...)
}

func suspensionDoors(s *suite) {
	f := s.withSuspension()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	must(s, second(f.AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))))
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	other, err := f.SignIn(ctx, email(bob.Email))
	must(s, err)
	tokens := map[gormkey.Purpose]gormkey.Token{}
	for purpose, payload := range map[gormkey.Purpose]string{
		gormkey.PurposeMagicLink: "", gormkey.PurposeVerifyEmail: ada.Email, gormkey.PurposeResetPassword: "email:" + ada.Email,
	} {
		tokens[purpose], err = f.IssueToken(ctx, ada.ID, purpose, payload, time.Hour)
		must(s, err)
	}
	until := f.clock.Now().Add(time.Hour)
	must(s, f.Suspend(ctx, ada.ID, until, "unpaid", "root"))

	equal(s, "sessions of the user", count(s, f.db, "user_session", "user_id = ?", ada.ID), 0)
	equal(s, "sessions of others", count(s, f.db, "user_session", "user_id = ?", bob.ID), 1)
	equal(s, "tokens", count(s, f.db, "user_token"), 0)
	before := snapshot(s, f)
	for door, c := range map[string]struct {
		want error
		open func() error
	}{
		"SignIn":           {gormkey.ErrSuspended, func() error { return second(f.SignIn(ctx, email(ada.Email))) }},
		"SignIn by GitHub": {gormkey.ErrSuspended, func() error { return second(f.SignIn(ctx, gormkey.Proved("github", "1"))) }},
		"SignIn, replacing": {gormkey.ErrSuspended, func() error {
			return second(f.SignIn(ctx, email(ada.Email), f.Replacing(other.Token)))
		}},
		"OpenSession": {gormkey.ErrSuspended, func() error { return second(f.OpenSession(ctx, ada.ID)) }},
		"UseKey":      {gormkey.ErrSuspended, func() error { return second(f.UseKey(ctx, email(ada.Email))) }},
		"ChangePassword": {gormkey.ErrSuspended, func() error {
			return second(f.ChangePassword(ctx, email(ada.Email), "another good password", ""))
		}},
		"IssueToken": {gormkey.ErrSuspended, func() error {
			return second(f.IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, ada.Email, time.Hour))
		}},
		"SignInWithToken": {gormkey.ErrInvalidToken, func() error {
			return second(f.SignInWithToken(ctx, tokens[gormkey.PurposeMagicLink]))
		}},
		"UseToken": {gormkey.ErrInvalidToken, func() error {
			return second(f.UseToken(ctx, gormkey.PurposeVerifyEmail, tokens[gormkey.PurposeVerifyEmail], nil))
		}},
		"ResetPassword": {gormkey.ErrInvalidToken, func() error {
			return second(f.ResetPassword(ctx, tokens[gormkey.PurposeResetPassword], "another good password"))
		}},
		"ValidateSession": {gormkey.ErrInvalidSession, func() error { return second(f.ValidateSession(ctx, session.Token)) }},
		"Reauthenticate": {gormkey.ErrInvalidSession, func() error {
			return second(f.Reauthenticate(ctx, session.Token, email(ada.Email)))
		}},
		"As": {gormkey.ErrInvalidSession, func() error { return f.As(session, tenMinutes).DeleteUser(ctx, ada.ID) }},
	} {
		err := c.open()
		wantErr(s, door, err, c.want)
		if c.want == gormkey.ErrSuspended {
			var suspended *gormkey.SuspendedError
			if !errors.As(err, &suspended) || !suspended.Until.Equal(until.Truncate(time.Millisecond)) || suspended.Reason != "unpaid" {
				s.Errorf("%s: got %#v, want until %v and the reason", door, suspended, until)
			}
		}
		equal(s, door+": rows", snapshot(s, f), before)
		equal(s, door+": tokens", count(s, f.db, "user_token"), 0)
	}
	must(s, second(f.SignIn(ctx, email(bob.Email))))
	// An administrator works on.
	must(s, second(f.OverwritePassword(ctx, email(ada.Email), "")))
	must(s, second(f.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Name": "Ada"})))
}

func suspensionEnds(s *suite) {
	f := s.withSuspension()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	must(s, f.Suspend(ctx, ada.ID, f.clock.Now().Add(time.Hour), "", ""))
	f.clock.Advance(time.Hour)
	wantErr(s, "in the last millisecond", second(f.SignIn(ctx, email(ada.Email))), gormkey.ErrSuspended)
	f.clock.Advance(time.Millisecond)
	must(s, second(f.SignIn(ctx, email(ada.Email))))
	got, err := f.GetSuspension(ctx, ada.ID)
	must(s, err)
	if got != nil {
		s.Errorf("after its end: got %+v", got)
	}
	// Again, without an end: it takes the place of the first.
	must(s, f.Suspend(ctx, ada.ID, f.clock.Now().Add(time.Hour), "first", "root"))
	must(s, f.Suspend(ctx, ada.ID, time.Time{}, "abuse", "root"))
	equal(s, "rows", count(s, f.db, "user_suspension"), 1)
	f.clock.Advance(1000 * 24 * time.Hour)
	err = second(f.SignIn(ctx, email(ada.Email)))
	wantErr(s, "without an end", err, gormkey.ErrSuspended)
	var suspended *gormkey.SuspendedError
	if !errors.As(err, &suspended) || !suspended.Until.IsZero() || suspended.Reason != "abuse" {
		s.Errorf("got %#v, want no end and the second reason", suspended)
	}
	got, err = f.GetSuspension(ctx, ada.ID)
	must(s, err)
	if got == nil || got.UserID != ada.ID || got.Until != 0 || got.Reason != "abuse" || got.By != "root" || got.At == 0 {
		s.Errorf("suspension: got %+v", got)
	}
	for range 2 {
		must(s, f.Unsuspend(ctx, ada.ID, "root"))
	}
	equal(s, "rows", count(s, f.db, "user_suspension"), 0)
	wantErr(s, "a session of before", second(f.ValidateSession(ctx, session.Token)), gormkey.ErrInvalidSession)
	must(s, second(f.SignIn(ctx, email(ada.Email))))
}

func suspensionInput(s *suite) {
	f := s.withSuspension()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	now := f.clock.Now()
	for name, err := range map[string]error{
		"a malformed id":        auth.Suspend(ctx, " ", time.Time{}, "", ""),
		"a time that is over":   auth.Suspend(ctx, ada.ID, now, "", ""),
		"a long reason":         auth.Suspend(ctx, ada.ID, time.Time{}, strings.Repeat("r", 65), ""),
		"a reason of two lines": auth.Suspend(ctx, ada.ID, time.Time{}, "a\nb", ""),
		"no UTF-8":              auth.Suspend(ctx, ada.ID, time.Time{}, "\xff", ""),
		"a long actor":          auth.Suspend(ctx, ada.ID, time.Time{}, "", strings.Repeat("b", 256)),
		"unsuspend nobody":      auth.Unsuspend(ctx, "", ""),
		"look for nobody":       second(auth.GetSuspension(ctx, "")),
	} {
		wantErr(s, name, err, gormkey.ErrInvalidArgument)
	}
	equal(s, "statements", len(recorder.taken()), 0)
	wantErr(s, "an unknown user", auth.Suspend(ctx, "nobody123456789", time.Time{}, "", ""), gormkey.ErrUserNotFound)
	must(s, auth.Unsuspend(ctx, "nobody123456789", ""))
	equal(s, "rows", count(s, f.db, "user_suspension"), 0)
	plain := s.accounts()
	for name, err := range map[string]error{
		"Suspend": plain.Suspend(ctx, ada.ID, time.Time{}, "", ""), "Unsuspend": plain.Unsuspend(ctx, ada.ID, ""),
		"GetSuspension": second(plain.GetSuspension(ctx, ada.ID)),
	} {
		wantErr(s, name+" without the option", err, gormkey.ErrUsage)
	}
	equal(s, "the table without the option", plain.db.Migrator().HasTable("user_suspension"), false)
}

func suspensionEvents(s *suite) {
	var told []event.Event
	f := s.withSuspension(gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		told = append(told, e)
		return nil
	}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	must(s, second(f.SignIn(ctx, email(ada.Email))))
	types := func() (types string) {
		for _, e := range told {
			types += fmt.Sprintf("%s %s %s; ", e.Type, e.Reason, e.ActorID)
			equal(s, "user", e.UserID, ada.ID)
		}
		told = nil
		return types
	}
	told = nil
	must(s, f.Suspend(ctx, ada.ID, time.Time{}, "abuse", "root"))
	equal(s, "suspended", types(), "session ended  ; suspended abuse root; ")
	wantErr(s, "sign-in", second(f.SignIn(ctx, email(ada.Email))), gormkey.ErrSuspended)
	if len(told) != 1 || told[0].Type != event.SignInFailed || !errors.Is(told[0].Err, gormkey.ErrSuspended) || told[0].KeyID.ID != ada.Email {
		s.Errorf("a refused sign-in: told %+v", told)
	}
	told = nil
	must(s, f.Suspend(ctx, ada.ID, time.Time{}, "abuse", "root"))
	equal(s, "suspended again", types(), "suspended abuse root; ")
	must(s, f.Unsuspend(ctx, ada.ID, "root"))
	must(s, f.Unsuspend(ctx, ada.ID, "root"))
	equal(s, "unsuspended", types(), "unsuspended  root; ")
	must(s, f.Suspend(ctx, ada.ID, f.clock.Now().Add(time.Hour), "", "root"))
	f.clock.Advance(2 * time.Hour)
	told = nil
	must(s, f.Unsuspend(ctx, ada.ID, "root"))
	equal(s, "after its end", types(), "")
	equal(s, "rows", count(s, f.db, "user_suspension"), 0)
}

func suspensionDelete(s *suite) {
	f := s.withSuspension()
	ctx := s.Context()
	for _, remove := range []func(a *account) error{
		func(a *account) error { return f.DeleteUser(ctx, a.ID) },
		func(a *account) error { return f.db.Delete(a).Error },
	} {
		ada := signUp(s, f, "ada")
		must(s, f.Suspend(ctx, ada.ID, time.Time{}, "", ""))
		must(s, remove(ada))
		equal(s, "suspensions", count(s, f.db, "user_suspension"), 0)
	}
	if findings, err := f.Audit(ctx); err != nil || len(findings) > 0 && s.enforced {
		s.Errorf("audit: %v, %v", findings, err)
	}
}

func suspensionTransaction(s *suite) {
	f := s.withSuspension()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	must(s, second(f.SignIn(ctx, email(ada.Email))))
	before := snapshot(s, f)
	undo := errors.New("undo")
	wantErr(s, "rolled back", f.db.Transaction(func(tx *gorm.DB) error {
		must(s, f.With(tx).Suspend(ctx, ada.ID, time.Time{}, "", ""))
		return undo
	}), undo)
	equal(s, "rows", snapshot(s, f), before)
	equal(s, "suspensions", count(s, f.db, "user_suspension"), 0)
	if f.db.Name() != "postgres" {
		return
	}
	for what, call := range map[string]func(tx *gorm.DB) error{
		"Suspend":     func(tx *gorm.DB) error { return f.With(tx).Suspend(ctx, ada.ID, time.Time{}, "", "") },
		"OpenSession": func(tx *gorm.DB) error { return second(f.With(tx).OpenSession(ctx, ada.ID)) },
		"IssueToken": func(tx *gorm.DB) error {
			return second(f.With(tx).IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, "", time.Hour))
		},
	} {
		wantErr(s, what, f.db.Transaction(call, &sql.TxOptions{Isolation: sql.LevelRepeatableRead}), gormkey.ErrUsage)
		equal(s, what+": rows", snapshot(s, f), before)
	}
}

// suspensionRace: no session is alive after a suspension, whichever of them came first.
func suspensionRace(s *suite, opts ...gormkey.Option) {
	f := s.withSuspension(opts...)
	ctx := s.Context()
	opened := 0
	for round := range max(3, fullRounds(15, 60)) {
		ada := signUp(s, f, fmt.Sprint("ada", round))
		link, err := f.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, "", time.Hour)
		must(s, err)
		results := make([]error, 5)
		atOnce(
			func() { results[0] = second(f.SignIn(ctx, email(ada.Email))) },
			func() { results[1] = second(f.OpenSession(ctx, ada.ID)) },
			func() { results[2] = second(f.SignInWithToken(ctx, link)) },
			func() {
				results[3] = second(f.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, "", time.Hour))
			},
			func() { results[4] = f.Suspend(ctx, ada.ID, time.Time{}, "", "") },
		)
		must(s, results[4])
		for i, err := range results[:4] {
			switch {
			case err == nil:
				opened++
			case !errors.Is(err, gormkey.ErrSuspended) && !errors.Is(err, gormkey.ErrInvalidToken) && !errors.Is(err, gormkey.ErrBusy):
				s.Errorf("round %d, %d: %v", round, i, err)
			}
		}
		equal(s, "sessions", count(s, f.db, "user_session"), 0)
		equal(s, "tokens", count(s, f.db, "user_token"), 0)
	}
	s.Logf("%d came before the suspension", opened)
}

func suspensionHidden(s *suite) {
	f := s.withSuspension()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	must(s, f.Suspend(ctx, ada.ID, time.Time{}, "abuse", ""))
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	sent := map[string]int{}
	for _, name := range []string{ada.Email, bob.Email, "nobody@example.com"} {
		c := email(name)
		c.Password = "a wrong password"
		recorder.reset()
		err := second(auth.SignIn(ctx, c))
		wantErr(s, name, err, gormkey.ErrInvalidCredentials)
		equal(s, name+": suspended", errors.Is(err, gormkey.ErrSuspended), false)
		sent[name] = len(recorder.taken())
	}
	equal(s, "statements for a suspended user", sent[ada.Email], sent[bob.Email])
	equal(s, "statements for nobody", sent["nobody@example.com"], sent[bob.Email])
}

func suspensionStatements(s *suite) {
	plain, _ := signInStatements(s, s.withFacts())
	signIn, check := signInStatements(s, s.withSuspension())
	more := 1
	if s.batches {
		more = 2 // one of them makes the batch fail
	}
	if signIn > plain+more {
		s.Errorf("sign-in: %d statements, want at most %d", signIn, plain+more)
	}
	if len(check) != 1 || strings.Contains(check[0].sql, "suspension") {
		s.Errorf("session check: %v, want one statement without the table of suspensions", check)
	}
}

// suspensionLucia: the tables of suspensions and events are added to Lucia's, take Lucia's ids, and hold
// no token, which is the id of a session there.
func suspensionLucia(s *suite) {
	for _, schema := range ofDialect(s) {
		db, auth := luciaMigrated(s, schema, gormkey.WithOneTimeTokens(), gormkey.WithSuspension(), gormkey.WithEventDelivery())
		ctx := s.Context()
		u := &reader{Username: "ada"}
		must(s, auth.CreateUser(ctx, u, email("ada")))
		var tokens []gormkey.Token
		for range 3 {
			session, err := auth.SignIn(ctx, email("ada"))
			must(s, err)
			tokens = append(tokens, session.Token)
		}
		must(s, auth.SignOut(ctx, tokens[0]))
		must(s, auth.EndSessionOfAnyone(ctx, gormkey.SessionID(tokens[1])))
		must(s, auth.Suspend(ctx, u.ID, time.Time{}, "abuse", "root"))
		equal(s, schema.name+": sessions", count(s, db, "user_session"), 0)
		wantErr(s, schema.name+": sign-in", second(auth.SignIn(ctx, email("ada"))), gormkey.ErrSuspended)
		must(s, auth.Unsuspend(ctx, u.ID, "root"))
		session, err := auth.SignIn(ctx, email("ada"))
		must(s, err)
		dump := rowsOf(s, &fixtureOf[*reader, *gormkey.Key[reader], *gormkey.Session[reader]]{db: db}, "auth_event")
		for _, token := range append(tokens, session.Token) {
			equal(s, schema.name+": the log holds a token", strings.Contains(dump, string(token)), false)
			equal(s, schema.name+": the log names the session", strings.Contains(dump, string(token.ID())), true)
		}
		must(s, auth.Suspend(ctx, u.ID, time.Time{}, "", ""))
		must(s, auth.DeleteUser(ctx, u.ID))
		equal(s, schema.name+": suspensions", count(s, db, "user_suspension"), 0)
	}
}

// suspensionNames: the tables have the names that they are given, and those of two plugins differ.
func suspensionNames(s *suite) {
	db := s.newDB(s.T)
	all := []gormkey.Option{gormkey.WithSuspension(), gormkey.WithEventLog(), gormkey.WithPasswordHasher(FastHasher())}
	must(s, db.Use(newPlugin[account](s, all...)))
	names := gormkey.TableNames{User: "staff", Key: "staff_key", Session: "staff_session", Suspension: "staff_suspension"}
	err := db.Use(newPlugin[reader](s, append(all, gormkey.WithTableNames(names))...))
	if err == nil || !strings.Contains(err.Error(), `the table "auth_event" belongs to the plugin`) {
		s.Errorf("two plugins with one log: got %v", err)
	}
	names.Event = "staff_event"
	db = s.again(db)
	plugin := newPlugin[reader](s, append(all, gormkey.WithTableNames(names))...)
	must(s, db.Use(plugin))
	must(s, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	must(s, err)
	bob := &reader{Username: "bob"}
	must(s, auth.CreateUser(s.Context(), bob, email("bob")))
	must(s, auth.Suspend(s.Context(), bob.ID, time.Time{}, "", ""))
	equal(s, "suspensions", count(s, db, "staff_suspension"), 1)
	equal(s, "events", count(s, db, "staff_event"), 3)
	err = s.newDB(s.T).Use(newPlugin[account](s, gormkey.WithTableNames(gormkey.TableNames{Event: "log"})))
	if err == nil || !strings.Contains(err.Error(), `WithTableNames: Event is "log", without WithEventLog`) {
		s.Errorf("a name without its option: got %v", err)
	}
}
