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
	ofKey := func(t gormkey.EventType, key string) gormkey.Event { e := of(t); e.KeyID = key; return e }
	ofSession := func(t gormkey.EventType, id gormkey.SessionID) gormkey.Event { e := of(t); e.SessionID = id; return e }
	ofToken := func(t gormkey.EventType, p gormkey.Purpose) gormkey.Event { e := of(t); e.Purpose = p; return e }
	key := "email:" + ada.Email
	opened := func(id gormkey.SessionID, keyID string) []gormkey.Event {
		created, signedIn := ofSession(gormkey.SessionCreated, id), ofSession(gormkey.SignedIn, id)
		created.KeyID, signedIn.KeyID = keyID, keyID
		return []gormkey.Event{created, signedIn}
	}
	check("CreateUser", err, of(gormkey.UserCreated), ofKey(gormkey.KeyAdded, key))

	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	check("SignIn", nil, opened(session.ID, key)...)
	wrong := email(ada.Email)
	wrong.Password = "wrong"
	_, err = f.SignIn(ctx, wrong)
	wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
	failed := ofKey(gormkey.SignInFailed, key)
	failed.Err = gormkey.ErrInvalidPassword
	check("SignIn with a wrong password", nil, failed)
	_, err = f.UseKey(ctx, email("nobody"))
	wantErr(s, "unknown key", err, gormkey.ErrInvalidCredentials)
	check("UseKey of nobody", nil, gormkey.Event{Type: gormkey.SignInFailed, KeyID: "email:nobody", Err: gormkey.ErrInvalidKey})
	f.clock.Advance(gormkey.DefaultActivePeriod + time.Minute)
	_, err = f.ValidateSession(ctx, session.Token)
	check("ValidateSession", err, ofSession(gormkey.SessionRenewed, session.ID))
	next, err := f.SignIn(ctx, email(ada.Email), gormkey.Replacing(session.Token))
	must(s, err)
	check("SignIn, replacing", nil, append(opened(next.ID, key), ofSession(gormkey.SessionEnded, session.ID))...)
	check("SignOut", f.SignOut(ctx, next.Token), ofSession(gormkey.SessionEnded, next.ID))
	for what, end := range map[string]func(id gormkey.SessionID) error{
		"InvalidateSession":     func(id gormkey.SessionID) error { return f.InvalidateSession(ctx, id) },
		"InvalidateUserSession": func(id gormkey.SessionID) error { return f.InvalidateUserSession(ctx, ada.ID, id) },
	} {
		session, err := f.CreateSession(ctx, ada.ID)
		must(s, err)
		check("CreateSession", nil, ofSession(gormkey.SessionCreated, session.ID))
		check(what, end(session.ID), ofSession(gormkey.SessionEnded, session.ID))
	}
	several := func() {
		s.Helper()
		for range 2 {
			_, err := f.CreateSession(ctx, ada.ID)
			must(s, err)
		}
		got = nil
	}
	several()
	check("InvalidateOtherSessions", f.InvalidateOtherSessions(ctx, ada.ID, "another"), of(gormkey.SessionEnded))
	several()
	check("InvalidateAllUserSessions", f.InvalidateAllUserSessions(ctx, ada.ID), of(gormkey.SessionEnded))

	github := gormkey.Credentials{Provider: "github", ID: "1", NoPassword: true}
	check("CreateKey", second(f.CreateKey(ctx, ada.ID, github)), ofKey(gormkey.KeyAdded, "github:1"))
	check("ShareKey", second(f.ShareKey(ctx, "username", "ada", "email", ada.Email)), ofKey(gormkey.KeyAdded, "username:ada"))
	check("RenameKey", f.RenameKey(ctx, ada.ID, "username", "ada", "lovelace"),
		ofKey(gormkey.KeyRemoved, "username:ada"), ofKey(gormkey.KeyAdded, "username:lovelace"))
	check("DeleteKey", f.DeleteKey(ctx, "github", "1"), ofKey(gormkey.KeyRemoved, "github:1"))
	check("UpdateKeyPassword", second(f.UpdateKeyPassword(ctx, email(ada.Email))), ofKey(gormkey.PasswordChanged, key))
	several()
	check("ChangePassword", second(f.ChangePassword(ctx, email(ada.Email), "")), of(gormkey.SessionEnded), ofKey(gormkey.PasswordChanged, key))

	token := issue(s, f, ada.ID, gormkey.ChangeEmail, "new@example.com")
	check("IssueToken", nil, ofToken(gormkey.TokenIssued, gormkey.ChangeEmail))
	check("UseToken", second(f.UseToken(ctx, gormkey.ChangeEmail, token, nil)), ofToken(gormkey.TokenUsed, gormkey.ChangeEmail))
	token = issue(s, f, ada.ID, gormkey.MagicLink, "")
	got = nil
	session, err = f.SignInWithToken(ctx, token)
	must(s, err)
	check("SignInWithToken", nil, append([]gormkey.Event{ofToken(gormkey.TokenUsed, gormkey.MagicLink)}, opened(session.ID, "")...)...)
	token = issue(s, f, ada.ID, gormkey.ResetPassword, key)
	got = nil
	check("ResetPassword", second(f.ResetPassword(ctx, token, "a new password")),
		ofToken(gormkey.TokenUsed, gormkey.ResetPassword), of(gormkey.SessionEnded), ofKey(gormkey.PasswordChanged, key))
	check("VoidTokens", f.VoidTokens(ctx, ada.ID))
	check("DeleteUser", f.DeleteUser(ctx, ada.ID), of(gormkey.UserDeleted))
}
