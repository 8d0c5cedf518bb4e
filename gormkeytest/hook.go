package gormkeytest

import (
	"crypto/rand"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

var hookCases = []testCase{
	{"hook/R40 one event for each thing", hookEvents},
	{"hook/R40 what each event says", hookContents},
	{"hook/errors undo", hookErrors},
	{"hook/errors of models", hookModels},
	{"hook/an error of a statement is ignored", hookIgnores},
	{"token/R42 work that ignores a deadlock uses nothing up", workIgnores},
}

// errStop is an error of the application.
var errStop = errors.New("stop")

// publicErrors are what an application's error may wrap, and mean nothing by.
var publicErrors = []error{
	gormkey.ErrInvalidCredentials, gormkey.ErrInvalidSession, gormkey.ErrKeyNotFound, gormkey.ErrInvalidPassword, gormkey.ErrInvalidToken,
	gormkey.ErrUserNotFound, gormkey.ErrDuplicateKey, gormkey.ErrDuplicateUser, gormkey.ErrDuplicateSession, gormkey.ErrDuplicateAttribute,
	gormkey.ErrLastKey, gormkey.ErrInvalidExpiry, gormkey.ErrBusy, gormkey.ErrOutcomeUnknown,
	gorm.ErrRecordNotFound, gorm.ErrDuplicatedKey, gorm.ErrForeignKeyViolated,
}

func hookEvents(s *suite) {
	var got []event.Event
	f := s.accounts(gormkey.WithHook(func(tx *gorm.DB, e event.Event) error {
		got = append(got, e)
		return nil
	}))
	ctx := s.Context()
	check := func(what string, want ...event.Type) {
		s.Helper()
		var types []event.Type
		for _, e := range got {
			types = append(types, e.Type)
			if e.At != gormkey.UnixMilli(f.clock.Now().UnixMilli()) || e.Type != event.SignInFailed && e.UserID == "" {
				s.Errorf("%s: got event %+v", what, e)
			}
		}
		if len(types) != len(want) {
			s.Fatalf("%s: got events %v, want %v", what, types, want)
		}
		for i := range want {
			equal(s, what, types[i], want[i])
		}
		got = nil
	}
	ada := &account{Email: "ada@example.com"}
	must(s, f.CreateUser(ctx, ada, email(ada.Email)))
	check("CreateUser", event.UserCreated, event.KeyAdded)
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	check("SignIn", event.SessionOpened, event.SignedIn)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	check("ValidateSession of an active session")
	f.clock.Advance(ActivePeriod + 1e6)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	check("ValidateSession of an idle session", event.SessionRenewed)
	wrong := email(ada.Email)
	wrong.Password = "wrong"
	_, err = f.SignIn(ctx, wrong)
	wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
	check("SignIn with a wrong password", event.SignInFailed)
	_, err = f.UseKey(ctx, wrong)
	wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
	check("UseKey with a wrong password", event.SignInFailed)
	session, err = f.SignIn(ctx, email(ada.Email), f.Replacing(session.Token))
	must(s, err)
	check("SignIn, replacing", event.SessionOpened, event.SignedIn, event.SessionEnded)
	_, err = f.ShareKey(ctx, keyID("username", "ada"), keyID("email", ada.Email))
	must(s, err)
	check("ShareKey", event.KeyAdded)
	must(s, f.RemoveKey(ctx, ada.ID, keyID("username", "ada")))
	check("RemoveKey", event.KeyRemoved)
	must(s, f.EndOtherSessions(ctx, ada.ID, session.ID))
	check("EndOtherSessions without others")
	_, err = f.OpenSession(ctx, ada.ID)
	must(s, err)
	check("OpenSession", event.SessionOpened)
	must(s, f.EndOtherSessions(ctx, ada.ID, session.ID))
	check("EndOtherSessions", event.SessionEnded)
	second, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	check("OpenSession", event.SessionOpened)
	must(s, f.EndSession(ctx, ada.ID, second.ID))
	check("EndSession", event.SessionEnded)
	_, err = f.AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))
	must(s, err)
	check("AddKey", event.KeyAdded)
	_, err = f.OverwritePassword(ctx, email(ada.Email), "")
	must(s, err)
	check("OverwritePassword", event.SessionEnded, event.PasswordChanged)
	_, err = f.ChangePassword(ctx, email(ada.Email), "another good password", "")
	must(s, err)
	check("ChangePassword", event.PasswordChanged)
	must(s, f.RemoveKey(ctx, ada.ID, keyID("github", "1")))
	must(s, f.RemoveKey(ctx, ada.ID, keyID("github", "1")))
	check("RemoveKey, twice", event.KeyRemoved)
	session, err = f.OpenSession(ctx, ada.ID)
	must(s, err)
	check("OpenSession", event.SessionOpened)
	must(s, f.SignOut(ctx, session.Token))
	must(s, f.SignOut(ctx, session.Token))
	check("SignOut, twice", event.SessionEnded)
	must(s, f.DeleteUser(ctx, ada.ID))
	must(s, f.DeleteUser(ctx, ada.ID))
	check("DeleteUser, twice", event.UserDeleted)
}

// hookErrors: a hook inside the transaction undoes it, and its writes go with it.
func hookErrors(s *suite) {
	type Audit struct {
		ID   string `gorm:"primaryKey;size:36"`
		What string `gorm:"size:64"`
	}
	var refuse event.Type
	var refusal error
	calls := 0
	f := s.accounts(gormkey.WithOneTimeTokens(), gormkey.WithHook(func(tx *gorm.DB, e event.Event) error {
		if err := tx.Create(&Audit{ID: rand.Text(), What: string(e.Type)}).Error; err != nil {
			return err
		}
		if e.Type == refuse {
			calls++
			return refusal
		}
		return nil
	}))
	must(s, f.db.AutoMigrate(&Audit{}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	reset := issue(s, f, ada.ID, gormkey.PurposeResetPassword, "email:"+ada.Email)
	magic := issue(s, f, ada.ID, gormkey.PurposeMagicLink, "")
	before := snapshot(s, f)
	audits := count(s, f.db, "audits")
	for _, c := range []struct {
		event event.Type
		call  func() error
	}{
		{event.UserCreated, func() error {
			return f.CreateUser(ctx, &account{Email: "bob@example.com"}, email("bob@example.com"))
		}},
		{event.KeyAdded, func() error { _, err := f.AddKey(ctx, ada.ID, email("ada2@example.com")); return err }},
		{event.KeyAdded, func() error {
			_, err := f.ShareKey(ctx, keyID("username", "ada"), keyID("email", ada.Email))
			return err
		}},
		{event.KeyAdded, func() error { return f.RenameKey(ctx, ada.ID, keyID("email", ada.Email), "ada2@example.com") }},
		{event.SessionOpened, func() error { _, err := f.OpenSession(ctx, ada.ID); return err }},
		{event.SignedIn, func() error { _, err := f.SignIn(ctx, email(ada.Email)); return err }},
		{event.SignedIn, func() error { _, err := f.SignInWithToken(ctx, magic); return err }},
		{event.SessionEnded, func() error { return f.SignOut(ctx, session.Token) }},
		{event.SessionEnded, func() error { return f.EndSessionOfAnyone(ctx, session.ID) }},
		{event.SessionEnded, func() error { return f.EndSession(ctx, ada.ID, session.ID) }},
		{event.SessionEnded, func() error { return f.EndAllSessions(ctx, ada.ID) }},
		{event.PasswordChanged, func() error { _, err := f.OverwritePassword(ctx, email(ada.Email), ""); return err }},
		{event.PasswordChanged, func() error { _, err := f.ResetPassword(ctx, reset, "a new password"); return err }},
		{event.TokenIssued, func() error {
			_, err := f.IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, "", hour)
			return err
		}},
		{event.TokenUsed, func() error { _, err := f.UseToken(ctx, gormkey.PurposeMagicLink, magic, nil); return err }},
		{event.KeyRemoved, func() error { return f.RemoveKey(ctx, ada.ID, keyID("email", ada.Email), gormkey.AllowLastKey()) }},
		{event.UserDeleted, func() error { return f.DeleteUser(ctx, ada.ID) }},
	} {
		for _, sentinel := range append([]error{errStop}, publicErrors...) {
			refuse, refusal, calls = c.event, fmt.Errorf("%w: %w", errStop, sentinel), 0
			what := fmt.Sprintf("%s, refused with %v", c.event, sentinel)
			wantErr(s, what, c.call(), errStop)
			equal(s, what+": times", calls, 1)
			if got := snapshot(s, f); got != before {
				s.Fatalf("%s: got\n%s\nwant\n%s", what, got, before)
			}
			equal(s, what+": tokens", tokens(s, f), 2)
			equal(s, what+": audit rows", count(s, f.db, "audits"), audits)
		}
	}
	refusal = errStop
	refuse = event.SessionRenewed
	f.clock.Advance(ActivePeriod + 1e6)
	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "renewal", err, errStop)
	stored, err := f.GetSession(ctx, session.Token)
	must(s, err)
	equal(s, "expiry after an undone renewal", stored.IdleExpires, session.IdleExpires)
	refuse = event.SignInFailed
	wrong := email(ada.Email)
	wrong.Password = "wrong"
	_, err = f.SignIn(ctx, wrong)
	wantErr(s, "failed sign-in", err, gormkey.ErrInvalidCredentials)
	wantErr(s, "failed sign-in", err, errStop)
}
