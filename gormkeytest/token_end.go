package gormkeytest

import (
	"fmt"
	"slices"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// tokenEnds is the whole table of what voids which tokens.
func tokenEnds(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	const custom gormkey.Purpose = "invite"
	purposes := []gormkey.Purpose{gormkey.PurposeVerifyEmail, gormkey.PurposeChangeEmail, gormkey.PurposeResetPassword, gormkey.PurposeMagicLink, custom}
	all, verify := purposes, []gormkey.Purpose{gormkey.PurposeVerifyEmail}
	var none []gormkey.Purpose
	bob := signUp(s, f, "bob")
	bobs := issue(s, f, bob.ID, gormkey.PurposeChangeEmail, "bob2@example.com")
	bobsSession, err := f.SignIn(ctx, email(bob.Email))
	must(s, err)

	for i, act := range []struct {
		name string
		kept []gormkey.Purpose
		want error
		do   func(a *account, session *device, sent map[gormkey.Purpose]gormkey.Token) error
	}{
		{"ChangePassword", verify, nil, func(a *account, session *device, _ map[gormkey.Purpose]gormkey.Token) error {
			_, err := f.OverwritePassword(ctx, email(a.Email), session.ID)
			return err
		}},
		{"OverwritePassword", verify, nil, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			_, err := f.OverwritePassword(ctx, email(a.Email), "")
			return err
		}},
		{"OverwritePassword, without a password", verify, nil, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			_, err := f.OverwritePassword(ctx, gormkey.Proved("email", a.Email), "")
			return err
		}},
		{"ResetPassword", verify, nil, func(_ *account, _ *device, sent map[gormkey.Purpose]gormkey.Token) error {
			_, err := f.ResetPassword(ctx, sent[gormkey.PurposeResetPassword], "another password")
			return err
		}},
		{"RenameKey", none, nil, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			return f.RenameKey(ctx, a.ID, keyID("email", a.Email), "new-"+a.Email)
		}},
		{"RemoveKey", none, nil, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			return f.RemoveKey(ctx, a.ID, keyID("email", a.Email), gormkey.AllowLastKey())
		}},
		{"RemoveKey that is refused", all, gormkey.ErrLastKey, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			return f.RemoveKey(ctx, a.ID, keyID("email", a.Email))
		}},
		{"AddKey", all, nil, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			_, err := f.AddKey(ctx, a.ID, email("second-"+a.Email))
			return err
		}},
		{"ShareKey", all, nil, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			_, err := f.ShareKey(ctx, keyID("username", a.Email), keyID("email", a.Email))
			return err
		}},
		{"EndAllSessions", verify, nil, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			return f.EndAllSessions(ctx, a.ID)
		}},
		{"EndOtherSessions", verify, nil, func(a *account, session *device, _ map[gormkey.Purpose]gormkey.Token) error {
			return f.EndOtherSessions(ctx, a.ID, session.ID)
		}},
		{"EndSession", verify, nil, func(a *account, session *device, _ map[gormkey.Purpose]gormkey.Token) error {
			return f.EndSession(ctx, a.ID, session.ID)
		}},
		{"EndSession of another's", all, gormkey.ErrInvalidSession, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			return f.EndSession(ctx, a.ID, bobsSession.ID)
		}},
		{"EndSessionOfAnyone", verify, nil, func(_ *account, session *device, _ map[gormkey.Purpose]gormkey.Token) error {
			return f.EndSessionOfAnyone(ctx, session.ID)
		}},
		{"SignOut", all, nil, func(_ *account, session *device, _ map[gormkey.Purpose]gormkey.Token) error {
			return f.SignOut(ctx, session.Token)
		}},
		{"SignIn, replacing", all, nil, func(a *account, session *device, _ map[gormkey.Purpose]gormkey.Token) error {
			_, err := f.SignIn(ctx, email(a.Email), f.Replacing(session.Token))
			return err
		}},
		{"DeleteExpired", all, nil, func(*account, *device, map[gormkey.Purpose]gormkey.Token) error {
			_, err := f.DeleteExpired(ctx)
			return err
		}},
		{"UpdateUserAttributes", all, nil, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			_, err := f.UpdateUserAttributes(ctx, a.ID, map[string]any{"Name": "x"})
			return err
		}},
		{"DeleteUser", none, nil, func(a *account, _ *device, _ map[gormkey.Purpose]gormkey.Token) error {
			return f.DeleteUser(ctx, a.ID)
		}},
	} {
		a := signUp(s, f, fmt.Sprint("user", i))
		session, err := f.SignIn(ctx, email(a.Email))
		must(s, err)
		sent := map[gormkey.Purpose]gormkey.Token{}
		for _, p := range purposes {
			sent[p] = issue(s, f, a.ID, p, map[bool]string{true: "email:" + a.Email}[p == gormkey.PurposeResetPassword])
		}
		err = act.do(a, session, sent)
		if act.want == nil {
			must(s, err)
		} else {
			wantErr(s, act.name, err, act.want)
		}
		for _, p := range purposes {
			_, err := f.GetToken(ctx, p, sent[p])
			if lives := err == nil; lives != slices.Contains(act.kept, p) || err != nil && !isErr(err, gormkey.ErrInvalidToken) {
				s.Errorf("%s: token to %s: got error %v, want it to live: %v", act.name, p, err, !lives)
			}
		}
	}
	_, err = f.GetToken(ctx, gormkey.PurposeChangeEmail, bobs)
	must(s, err)
	_, err = f.ValidateSession(ctx, bobsSession.Token)
	must(s, err)
}

// tokenOfThief: what was asked for in a stolen session does not outlive the act that ends
// that session.
func tokenOfThief(s *suite) {
	for name, end := range map[string]func(f *accounts, a *account) error{
		"ChangePassword": func(f *accounts, a *account) error {
			changed := email(a.Email)
			changed.Password = "a new password"
			_, err := f.OverwritePassword(s.Context(), changed, "")
			return err
		},
		"EndAllSessions": func(f *accounts, a *account) error {
			return f.EndAllSessions(s.Context(), a.ID)
		},
	} {
		f := s.withTokens()
		ctx := s.Context()
		ada := signUp(s, f, "ada")
		stolen := issue(s, f, ada.ID, gormkey.PurposeChangeEmail, "thief@example.org")
		must(s, end(f, ada))
		before := snapshot(s, f)
		_, err := f.UseToken(ctx, gormkey.PurposeChangeEmail, stolen, func(tx *gorm.DB, t *gormkey.OneTimeToken[account]) error {
			return f.With(tx).RenameKey(ctx, t.UserID, keyID("email", ada.Email), t.Payload)
		})
		wantErr(s, name, err, gormkey.ErrInvalidToken)
		if got := snapshot(s, f); got != before {
			s.Errorf("%s: the token changed\n%s\nto\n%s", name, before, got)
		}
	}
}

// raceIssueEnd: a token whose transaction began before the act that ends such tokens is
// voided by it, though it was not yet committed.
func raceIssueEnd(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ends := []struct {
		name string
		do   func(a *account, session *device) error
	}{
		{"EndAllSessions", func(a *account, _ *device) error {
			return f.EndAllSessions(ctx, a.ID)
		}},
		{"EndOtherSessions", func(a *account, session *device) error {
			return f.EndOtherSessions(ctx, a.ID, session.ID)
		}},
		{"EndSession", func(a *account, session *device) error {
			return f.EndSession(ctx, a.ID, session.ID)
		}},
		{"EndSessionOfAnyone", func(_ *account, session *device) error {
			return f.EndSessionOfAnyone(ctx, session.ID)
		}},
		{"ChangePassword", func(a *account, _ *device) error {
			return second(f.OverwritePassword(ctx, email(a.Email), ""))
		}},
		{"RenameKey", func(a *account, _ *device) error {
			return f.RenameKey(ctx, a.ID, keyID("email", a.Email), "new-"+a.Email)
		}},
		{"RemoveKey", func(a *account, _ *device) error {
			return f.RemoveKey(ctx, a.ID, keyID("email", a.Email), gormkey.AllowLastKey())
		}},
		{"DeleteUser", func(a *account, _ *device) error { return f.DeleteUser(ctx, a.ID) }},
	}
	for round := range max(len(ends), fullRounds(3*len(ends), 200)) {
		end := ends[round%len(ends)]
		a := signUp(s, f, fmt.Sprint("user", round))
		session, err := f.OpenSession(ctx, a.ID)
		must(s, err)
		issued, ended := make(chan gormkey.Token), make(chan error, 1)
		go func() {
			<-issued
			ended <- end.do(a, session)
		}()
		var token gormkey.Token
		must(s, f.db.Transaction(func(tx *gorm.DB) (err error) {
			if token, err = f.With(tx).IssueToken(ctx, a.ID, gormkey.PurposeChangeEmail, "thief@example.org", hour); err != nil {
				return err
			}
			issued <- token
			for n := 0; n < 50 && len(ended) == 0; n++ { // while which the other goes ahead, if nothing holds it
				if err := tx.Exec("SELECT 1").Error; err != nil {
					return err
				}
			}
			return nil
		}))
		must(s, <-ended)
		_, err = f.GetToken(ctx, gormkey.PurposeChangeEmail, token)
		wantErr(s, fmt.Sprintf("%s, round %d", end.name, round), err, gormkey.ErrInvalidToken)
	}
}
