package gormkeytest

import (
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/event"
)

// hookContents: each event names the user, the key, the session and the purpose that it is
// about, and no more.
func hookContents(s *suite) {
	var got []event.Event
	f := s.withTokens(gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		e.At = 0
		got = append(got, e)
		return nil
	}))
	ctx := s.Context()
	check := func(what string, err error, want ...event.Event) {
		s.Helper()
		must(s, err)
		if !slices.Equal(got, want) {
			s.Errorf("%s: got %+v, want %+v", what, got, want)
		}
		got = nil
	}
	ada := &account{Email: "ada@example.com"}
	err := f.CreateUser(ctx, ada, email(ada.Email))
	about := event.Event{UserID: ada.ID}
	of := func(t event.Type) event.Event { e := about; e.Type = t; return e }
	ofKey := func(t event.Type, key gormkey.KeyID) event.Event { e := of(t); e.KeyID = key; return e }
	ofSession := func(t event.Type, id gormkey.SessionID) event.Event { e := of(t); e.SessionID = id; return e }
	ofToken := func(t event.Type, p gormkey.Purpose) event.Event { e := of(t); e.Purpose = p; return e }
	key := keyID("email", ada.Email)
	opened := func(id gormkey.SessionID, key gormkey.KeyID) []event.Event {
		created, signedIn := ofSession(event.SessionOpened, id), ofSession(event.SignedIn, id)
		created.KeyID, signedIn.KeyID = key, key
		created.Methods = authtype.MethodsOf(authtype.MethodMail)
		if key != (gormkey.KeyID{}) {
			created.Methods = authtype.MethodsOf(authtype.MethodPassword)
		}
		signedIn.Methods = created.Methods
		return []event.Event{created, signedIn}
	}
	check("CreateUser", err, of(event.UserCreated), ofKey(event.KeyAdded, key))

	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	check("SignIn", nil, opened(session.ID, key)...)
	wrong := email(ada.Email)
	wrong.Password = "wrong"
	_, err = f.SignIn(ctx, wrong)
	wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
	failed := ofKey(event.SignInFailed, key)
	failed.Err = gormkey.ErrInvalidPassword
	check("SignIn with a wrong password", nil, failed)
	_, err = f.UseKey(ctx, email("nobody"))
	wantErr(s, "unknown key", err, gormkey.ErrInvalidCredentials)
	check("UseKey of nobody", nil, event.Event{Type: event.SignInFailed, KeyID: keyID("email", "nobody"), Err: gormkey.ErrKeyNotFound})
	f.clock.Advance(ActivePeriod + time.Minute)
	_, err = f.ValidateSession(ctx, session.Token)
	check("ValidateSession", err, ofSession(event.SessionRenewed, session.ID))
	next, err := f.SignIn(ctx, email(ada.Email), f.Replacing(session.Token))
	must(s, err)
	check("SignIn, replacing", nil, append(opened(next.ID, key), ofSession(event.SessionEnded, session.ID))...)
	check("SignOut", f.SignOut(ctx, next.Token), ofSession(event.SessionEnded, next.ID))
	for what, end := range map[string]func(id gormkey.SessionID) error{
		"EndSessionOfAnyone": func(id gormkey.SessionID) error { return f.EndSessionOfAnyone(ctx, id) },
		"EndSession":         func(id gormkey.SessionID) error { return f.EndSession(ctx, ada.ID, id) },
	} {
		session, err := f.OpenSession(ctx, ada.ID)
		must(s, err)
		check("OpenSession", nil, ofSession(event.SessionOpened, session.ID))
		check(what, end(session.ID), ofSession(event.SessionEnded, session.ID))
	}
	several := func() {
		s.Helper()
		for range 2 {
			_, err := f.OpenSession(ctx, ada.ID)
			must(s, err)
		}
		got = nil
	}
	several()
	check("EndOtherSessions", f.EndOtherSessions(ctx, ada.ID, "another"), of(event.SessionEnded))
	several()
	check("EndAllSessions", f.EndAllSessions(ctx, ada.ID), of(event.SessionEnded))

	github := gormkey.Proved("github", "1")
	check("AddKey", second(f.AddKey(ctx, ada.ID, github)), ofKey(event.KeyAdded, keyID("github", "1")))
	check("ShareKey", second(f.ShareKey(ctx, keyID("username", "ada"), keyID("email", ada.Email))), ofKey(event.KeyAdded, keyID("username", "ada")))
	check("RenameKey", f.RenameKey(ctx, ada.ID, keyID("username", "ada"), "lovelace"),
		ofKey(event.KeyRemoved, keyID("username", "ada")), ofKey(event.KeyAdded, keyID("username", "lovelace")))
	check("RemoveKey", f.RemoveKey(ctx, ada.ID, keyID("github", "1")), ofKey(event.KeyRemoved, keyID("github", "1")))
	check("OverwritePassword", second(f.OverwritePassword(ctx, email(ada.Email), "")), ofKey(event.PasswordChanged, key))
	several()
	check("ChangePassword", second(f.OverwritePassword(ctx, email(ada.Email), "")), of(event.SessionEnded), ofKey(event.PasswordChanged, key))

	token := issue(s, f, ada.ID, gormkey.PurposeChangeEmail, "new@example.com")
	check("IssueToken", nil, ofToken(event.TokenIssued, gormkey.PurposeChangeEmail))
	check("UseToken", second(f.UseToken(ctx, gormkey.PurposeChangeEmail, token, nil)), ofToken(event.TokenUsed, gormkey.PurposeChangeEmail))
	token = issue(s, f, ada.ID, gormkey.PurposeMagicLink, "")
	got = nil
	session, err = f.SignInWithToken(ctx, token)
	must(s, err)
	check("SignInWithToken", nil, append([]event.Event{ofToken(event.TokenUsed, gormkey.PurposeMagicLink)}, opened(session.ID, gormkey.KeyID{})...)...)
	token = issue(s, f, ada.ID, gormkey.PurposeResetPassword, key.String())
	got = nil
	check("ResetPassword", second(f.ResetPassword(ctx, token, "a new password")),
		ofToken(event.TokenUsed, gormkey.PurposeResetPassword), of(event.SessionEnded), ofKey(event.PasswordChanged, key))
	check("VoidTokens", f.VoidTokens(ctx, ada.ID))
	check("DeleteUser", f.DeleteUser(ctx, ada.ID), of(event.UserDeleted))
}
