package gormkeytest

import (
	"crypto/rand"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
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
	gormkey.ErrInvalidCredentials, gormkey.ErrInvalidSession, gormkey.ErrInvalidKey, gormkey.ErrInvalidPassword, gormkey.ErrInvalidToken,
	gormkey.ErrInvalidUser, gormkey.ErrDuplicateKey, gormkey.ErrDuplicateUser, gormkey.ErrDuplicateSession, gormkey.ErrDuplicateAttribute,
	gormkey.ErrLastKey, gormkey.ErrInvalidExpiry, gormkey.ErrBusy, gormkey.ErrOutcomeUnknown, gormkey.ErrIsolation,
	gorm.ErrRecordNotFound, gorm.ErrDuplicatedKey, gorm.ErrForeignKeyViolated,
}

func hookEvents(s *suite) {
	var got []gormkey.Event
	f := s.accounts(gormkey.WithHook(func(tx *gorm.DB, e gormkey.Event) error {
		got = append(got, e)
		return nil
	}))
	ctx := s.Context()
	check := func(what string, want ...gormkey.EventType) {
		s.Helper()
		var types []gormkey.EventType
		for _, e := range got {
			types = append(types, e.Type)
			if e.At != gormkey.UnixMilli(f.clock.Now().UnixMilli()) || e.Type != gormkey.SignInFailed && e.UserID == "" {
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
	check("CreateUser", gormkey.UserCreated, gormkey.KeyAdded)
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	check("SignIn", gormkey.SessionCreated, gormkey.SignedIn)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	check("ValidateSession of an active session")
	f.clock.Advance(gormkey.DefaultActivePeriod + 1e6)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	check("ValidateSession of an idle session", gormkey.SessionRenewed)
	wrong := email(ada.Email)
	wrong.Password = "wrong"
	_, err = f.SignIn(ctx, wrong)
	wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
	check("SignIn with a wrong password", gormkey.SignInFailed)
	_, err = f.UseKey(ctx, wrong)
	wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
	check("UseKey with a wrong password", gormkey.SignInFailed)
	session, err = f.SignIn(ctx, email(ada.Email), gormkey.Replacing(session.Token))
	must(s, err)
	check("SignIn, replacing", gormkey.SessionCreated, gormkey.SignedIn, gormkey.SessionEnded)
	_, err = f.ShareKey(ctx, "username", "ada", "email", ada.Email)
	must(s, err)
	check("ShareKey", gormkey.KeyAdded)
	must(s, f.DeleteKey(ctx, "username", "ada"))
	check("DeleteKey", gormkey.KeyRemoved)
	must(s, f.InvalidateOtherSessions(ctx, ada.ID, session.ID))
	check("InvalidateOtherSessions without others")
	_, err = f.CreateSession(ctx, ada.ID)
	must(s, err)
	check("CreateSession", gormkey.SessionCreated)
	must(s, f.InvalidateOtherSessions(ctx, ada.ID, session.ID))
	check("InvalidateOtherSessions", gormkey.SessionEnded)
	second, err := f.CreateSession(ctx, ada.ID)
	must(s, err)
	check("CreateSession", gormkey.SessionCreated)
	must(s, f.InvalidateUserSession(ctx, ada.ID, second.ID))
	check("InvalidateUserSession", gormkey.SessionEnded)
	_, err = f.CreateKey(ctx, ada.ID, gormkey.Credentials{Provider: "github", ID: "1", NoPassword: true})
	must(s, err)
	check("CreateKey", gormkey.KeyAdded)
	_, err = f.UpdateKeyPassword(ctx, email(ada.Email))
	must(s, err)
	check("UpdateKeyPassword", gormkey.PasswordChanged)
	_, err = f.ChangePassword(ctx, email(ada.Email), "")
	must(s, err)
	check("ChangePassword", gormkey.SessionEnded, gormkey.PasswordChanged)
	must(s, f.DeleteKey(ctx, "github", "1"))
	must(s, f.DeleteKey(ctx, "github", "1"))
	check("DeleteKey, twice", gormkey.KeyRemoved)
	session, err = f.CreateSession(ctx, ada.ID)
	must(s, err)
	check("CreateSession", gormkey.SessionCreated)
	must(s, f.SignOut(ctx, session.Token))
	must(s, f.SignOut(ctx, session.Token))
	check("SignOut, twice", gormkey.SessionEnded)
	must(s, f.DeleteUser(ctx, ada.ID))
	must(s, f.DeleteUser(ctx, ada.ID))
	check("DeleteUser, twice", gormkey.UserDeleted)
}

// hookErrors: a hook inside the transaction undoes it, and its writes go with it.
func hookErrors(s *suite) {
	type Audit struct {
		ID   string `gorm:"primaryKey;size:36"`
		What string `gorm:"size:64"`
	}
	var refuse gormkey.EventType
	var refusal error
	calls := 0
	f := s.accounts(gormkey.WithOneTimeTokens(), gormkey.WithHook(func(tx *gorm.DB, e gormkey.Event) error {
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
	reset := issue(s, f, ada.ID, gormkey.ResetPassword, "email:"+ada.Email)
	magic := issue(s, f, ada.ID, gormkey.MagicLink, "")
	before := snapshot(s, f)
	audits := count(s, f.db, "audits")
	for _, c := range []struct {
		event gormkey.EventType
		call  func() error
	}{
		{gormkey.UserCreated, func() error {
			return f.CreateUser(ctx, &account{Email: "bob@example.com"}, email("bob@example.com"))
		}},
		{gormkey.KeyAdded, func() error { _, err := f.CreateKey(ctx, ada.ID, email("ada2@example.com")); return err }},
		{gormkey.KeyAdded, func() error { _, err := f.ShareKey(ctx, "username", "ada", "email", ada.Email); return err }},
		{gormkey.KeyAdded, func() error { return f.RenameKey(ctx, ada.ID, "email", ada.Email, "ada2@example.com") }},
		{gormkey.SessionCreated, func() error { _, err := f.CreateSession(ctx, ada.ID); return err }},
		{gormkey.SignedIn, func() error { _, err := f.SignIn(ctx, email(ada.Email)); return err }},
		{gormkey.SignedIn, func() error { _, err := f.SignInWithToken(ctx, magic); return err }},
		{gormkey.SessionEnded, func() error { return f.SignOut(ctx, session.Token) }},
		{gormkey.SessionEnded, func() error { return f.InvalidateSession(ctx, session.ID) }},
		{gormkey.SessionEnded, func() error { return f.InvalidateUserSession(ctx, ada.ID, session.ID) }},
		{gormkey.SessionEnded, func() error { return f.InvalidateAllUserSessions(ctx, ada.ID) }},
		{gormkey.PasswordChanged, func() error { _, err := f.ChangePassword(ctx, email(ada.Email), ""); return err }},
		{gormkey.PasswordChanged, func() error { _, err := f.ResetPassword(ctx, reset, "a new password"); return err }},
		{gormkey.TokenIssued, func() error {
			_, err := f.IssueToken(ctx, ada.ID, gormkey.VerifyEmail, "", hour)
			return err
		}},
		{gormkey.TokenUsed, func() error { _, err := f.UseToken(ctx, gormkey.MagicLink, magic, nil); return err }},
		{gormkey.KeyRemoved, func() error { return f.DeleteKey(ctx, "email", ada.Email, gormkey.AllowLastKey()) }},
		{gormkey.UserDeleted, func() error { return f.DeleteUser(ctx, ada.ID) }},
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
	refuse = gormkey.SessionRenewed
	f.clock.Advance(gormkey.DefaultActivePeriod + 1e6)
	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "renewal", err, errStop)
	stored, err := f.GetSession(ctx, session.Token)
	must(s, err)
	equal(s, "expiry after an undone renewal", stored.IdleExpires, session.IdleExpires)
	refuse = gormkey.SignInFailed
	wrong := email(ada.Email)
	wrong.Password = "wrong"
	_, err = f.SignIn(ctx, wrong)
	wantErr(s, "failed sign-in", err, gormkey.ErrInvalidCredentials)
	wantErr(s, "failed sign-in", err, errStop)
}
