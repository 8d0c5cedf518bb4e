package gormkeytest

import (
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// hookContents: each event names the user, the key, the session and the purpose that it is
// about, and no more.
func hookContents(s *suite) {
	var got []gormkey.Event
	f := s.withTokens(gormkey.WithHook(func(_ *gorm.DB, e gormkey.Event) error {
		e.At = 0
		got = append(got, e)
		return nil
	}))
	ctx := s.Context()
	check := func(what string, err error, want ...gormkey.Event) {
		s.Helper()
		must(s, err)
		if !slices.Equal(got, want) {
			s.Errorf("%s: got %+v, want %+v", what, got, want)
		}
		got = nil
	}
	ada := &account{Email: "ada@example.com"}
	err := f.CreateUser(ctx, ada, email(ada.Email))
	about := gormkey.Event{UserID: ada.ID}
	of := func(t gormkey.EventType) gormkey.Event { e := about; e.Type = t; return e }
	ofKey := func(t gormkey.EventType, key gormkey.KeyID) gormkey.Event { e := of(t); e.KeyID = key; return e }
	ofSession := func(t gormkey.EventType, id gormkey.SessionID) gormkey.Event { e := of(t); e.SessionID = id; return e }
	ofToken := func(t gormkey.EventType, p gormkey.Purpose) gormkey.Event { e := of(t); e.Purpose = p; return e }
	key := keyID("email", ada.Email)
	opened := func(id gormkey.SessionID, key gormkey.KeyID) []gormkey.Event {
		created, signedIn := ofSession(gormkey.EventSessionOpened, id), ofSession(gormkey.EventSignedIn, id)
		created.KeyID, signedIn.KeyID = key, key
		return []gormkey.Event{created, signedIn}
	}
	check("CreateUser", err, of(gormkey.EventUserCreated), ofKey(gormkey.EventKeyAdded, key))

	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	check("SignIn", nil, opened(session.ID, key)...)
	wrong := email(ada.Email)
	wrong.Password = "wrong"
	_, err = f.SignIn(ctx, wrong)
	wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
	failed := ofKey(gormkey.EventSignInFailed, key)
	failed.Err = gormkey.ErrInvalidPassword
	check("SignIn with a wrong password", nil, failed)
	_, err = f.UseKey(ctx, email("nobody"))
	wantErr(s, "unknown key", err, gormkey.ErrInvalidCredentials)
	check("UseKey of nobody", nil, gormkey.Event{Type: gormkey.EventSignInFailed, KeyID: keyID("email", "nobody"), Err: gormkey.ErrKeyNotFound})
	f.clock.Advance(gormkey.DefaultActivePeriod + time.Minute)
	_, err = f.ValidateSession(ctx, session.Token)
	check("ValidateSession", err, ofSession(gormkey.EventSessionRenewed, session.ID))
	next, err := f.SignIn(ctx, email(ada.Email), f.Replacing(session.Token))
	must(s, err)
	check("SignIn, replacing", nil, append(opened(next.ID, key), ofSession(gormkey.EventSessionEnded, session.ID))...)
	check("SignOut", f.SignOut(ctx, next.Token), ofSession(gormkey.EventSessionEnded, next.ID))
	for what, end := range map[string]func(id gormkey.SessionID) error{
		"EndSessionOfAnyone": func(id gormkey.SessionID) error { return f.EndSessionOfAnyone(ctx, id) },
		"EndSession":         func(id gormkey.SessionID) error { return f.EndSession(ctx, ada.ID, id) },
	} {
		session, err := f.OpenSession(ctx, ada.ID)
		must(s, err)
		check("OpenSession", nil, ofSession(gormkey.EventSessionOpened, session.ID))
		check(what, end(session.ID), ofSession(gormkey.EventSessionEnded, session.ID))
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
	check("EndOtherSessions", f.EndOtherSessions(ctx, ada.ID, "another"), of(gormkey.EventSessionEnded))
	several()
	check("EndAllSessions", f.EndAllSessions(ctx, ada.ID), of(gormkey.EventSessionEnded))

	github := gormkey.Proved("github", "1")
	check("AddKey", second(f.AddKey(ctx, ada.ID, github)), ofKey(gormkey.EventKeyAdded, keyID("github", "1")))
	check("ShareKey", second(f.ShareKey(ctx, keyID("username", "ada"), keyID("email", ada.Email))), ofKey(gormkey.EventKeyAdded, keyID("username", "ada")))
	check("RenameKey", f.RenameKey(ctx, ada.ID, keyID("username", "ada"), "lovelace"),
		ofKey(gormkey.EventKeyRemoved, keyID("username", "ada")), ofKey(gormkey.EventKeyAdded, keyID("username", "lovelace")))
	check("RemoveKey", f.RemoveKey(ctx, ada.ID, keyID("github", "1")), ofKey(gormkey.EventKeyRemoved, keyID("github", "1")))
	check("OverwritePassword", second(f.OverwritePassword(ctx, email(ada.Email), "")), ofKey(gormkey.EventPasswordChanged, key))
	several()
	check("ChangePassword", second(f.OverwritePassword(ctx, email(ada.Email), "")), of(gormkey.EventSessionEnded), ofKey(gormkey.EventPasswordChanged, key))

	token := issue(s, f, ada.ID, gormkey.PurposeChangeEmail, "new@example.com")
	check("IssueToken", nil, ofToken(gormkey.EventTokenIssued, gormkey.PurposeChangeEmail))
	check("UseToken", second(f.UseToken(ctx, gormkey.PurposeChangeEmail, token, nil)), ofToken(gormkey.EventTokenUsed, gormkey.PurposeChangeEmail))
	token = issue(s, f, ada.ID, gormkey.PurposeMagicLink, "")
	got = nil
	session, err = f.SignInWithToken(ctx, token)
	must(s, err)
	check("SignInWithToken", nil, append([]gormkey.Event{ofToken(gormkey.EventTokenUsed, gormkey.PurposeMagicLink)}, opened(session.ID, gormkey.KeyID{})...)...)
	token = issue(s, f, ada.ID, gormkey.PurposeResetPassword, key.String())
	got = nil
	check("ResetPassword", second(f.ResetPassword(ctx, token, "a new password")),
		ofToken(gormkey.EventTokenUsed, gormkey.PurposeResetPassword), of(gormkey.EventSessionEnded), ofKey(gormkey.EventPasswordChanged, key))
	check("VoidTokens", f.VoidTokens(ctx, ada.ID))
	check("DeleteUser", f.DeleteUser(ctx, ada.ID), of(gormkey.EventUserDeleted))
}
