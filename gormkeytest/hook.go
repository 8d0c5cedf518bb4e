package gormkeytest

import (
	"crypto/rand"
	"errors"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

var hookCases = []testCase{
	{"hook/R40 one event for each thing", hookEvents},
	{"hook/errors undo", hookErrors},
}

// errStop is an error of the application.
var errStop = errors.New("stop")

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
	f := s.accounts(gormkey.WithHook(func(tx *gorm.DB, e gormkey.Event) error {
		if err := tx.Create(&Audit{ID: rand.Text(), What: string(e.Type)}).Error; err != nil {
			return err
		}
		if e.Type == refuse {
			return errStop
		}
		return nil
	}))
	must(s, f.db.AutoMigrate(&Audit{}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	before := rows(s, f.db)
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
		{gormkey.SessionCreated, func() error { _, err := f.CreateSession(ctx, ada.ID); return err }},
		{gormkey.SignedIn, func() error { _, err := f.SignIn(ctx, email(ada.Email)); return err }},
		{gormkey.SessionEnded, func() error { return f.SignOut(ctx, session.Token) }},
		{gormkey.SessionEnded, func() error { return f.InvalidateAllUserSessions(ctx, ada.ID) }},
		{gormkey.PasswordChanged, func() error { _, err := f.ChangePassword(ctx, email(ada.Email), ""); return err }},
		{gormkey.KeyRemoved, func() error { return f.DeleteKey(ctx, "email", ada.Email, gormkey.AllowLastKey()) }},
		{gormkey.UserDeleted, func() error { return f.DeleteUser(ctx, ada.ID) }},
	} {
		refuse = c.event
		wantErr(s, string(c.event), c.call(), errStop)
		equal(s, string(c.event)+": rows", rows(s, f.db), before)
		equal(s, string(c.event)+": audit rows", count(s, f.db, "audits"), audits)
	}
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
