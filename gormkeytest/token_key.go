package gormkeytest

import "github.com/gormkey/gormkey"

func tokenReset(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	_, err := f.ShareKey(ctx, keyID("username", "ada"), keyID("email", ada.Email))
	must(s, err)
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	bobs, err := f.SignIn(ctx, email(bob.Email))
	must(s, err)
	token := issue(s, f, ada.ID, gormkey.PurposeResetPassword, "email:"+ada.Email)
	magic := issue(s, f, ada.ID, gormkey.PurposeMagicLink, "")

	_, err = f.ResetPassword(ctx, token, "short")
	wantErr(s, "a password that the policy refuses", err, gormkey.ErrInvalidArgument)
	_, err = f.ResetPassword(ctx, token, "")
	wantErr(s, "no password", err, gormkey.ErrInvalidArgument)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)

	key, err := f.ResetPassword(ctx, token, "a new password")
	must(s, err)
	equal(s, "key", key.ID, "email:"+ada.Email)
	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "the session from before", err, gormkey.ErrInvalidSession)
	_, err = f.ValidateSession(ctx, bobs.Token)
	must(s, err)
	_, err = f.SignIn(ctx, email(ada.Email))
	wantErr(s, "the old password", err, gormkey.ErrInvalidCredentials)
	for _, c := range []gormkey.Credentials{
		{Provider: "email", ID: ada.Email, Password: "a new password"},
		{Provider: "username", ID: "ada", Password: "a new password"},
	} {
		_, err = f.SignIn(ctx, c)
		must(s, err)
	}
	_, err = f.ResetPassword(ctx, token, "another password")
	wantErr(s, "used again", err, gormkey.ErrInvalidToken)
	_, err = f.SignInWithToken(ctx, magic)
	wantErr(s, "a magic link from before", err, gormkey.ErrInvalidToken)
	_, err = f.SignIn(ctx, email(bob.Email))
	must(s, err)
}

func tokenResetGone(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	_, err := f.AddKey(ctx, ada.ID, email("second@example.com"))
	must(s, err)
	token := issue(s, f, ada.ID, gormkey.PurposeResetPassword, "email:second@example.com")
	must(s, f.RemoveKey(ctx, ada.ID, keyID("email", "second@example.com")))
	_, err = f.ResetPassword(ctx, token, "a new password")
	wantErr(s, "the key is gone", err, gormkey.ErrInvalidToken)

	_, err = f.AddKey(ctx, bob.ID, email("second@example.com"))
	must(s, err)
	_, err = f.ResetPassword(ctx, token, "a new password")
	wantErr(s, "the key is another user's", err, gormkey.ErrInvalidToken)
	_, err = f.SignIn(ctx, email("second@example.com"))
	must(s, err)
	_, err = f.SignIn(ctx, email(ada.Email))
	must(s, err)

	// Whatever the payload says, a token is good for the keys of its user.
	before := snapshot(s, f)
	for what, key := range map[string]string{"a key of nobody": "email:nobody", "another user's key": "email:" + bob.Email} {
		token := issue(s, f, ada.ID, gormkey.PurposeResetPassword, key)
		_, err := f.ResetPassword(ctx, token, "a new password")
		wantErr(s, what, err, gormkey.ErrInvalidToken)
		if got := snapshot(s, f); got != before {
			s.Fatalf("%s: changed\n%s\nto\n%s", what, before, got)
		}
		_, err = f.GetToken(ctx, gormkey.PurposeResetPassword, token)
		must(s, err) // nothing was half done
	}
}

// tokenAfterFind: a model that refuses to be found refuses a token too, which stays.
func tokenAfterFind(s *suite) {
	f := open[banned](s, s.newDB(s.T), gormkey.WithOneTimeTokens())
	ctx := s.Context()
	u := &banned{Reason: "spam"}
	must(s, f.CreateUser(ctx, u))
	token, err := f.IssueToken(ctx, u.ID, gormkey.PurposeMagicLink, "", hour)
	must(s, err)
	for what, err := range map[string]error{
		"GetToken":        second(f.GetToken(ctx, gormkey.PurposeMagicLink, token)),
		"UseToken":        second(f.UseToken(ctx, gormkey.PurposeMagicLink, token, nil)),
		"SignInWithToken": second(f.SignInWithToken(ctx, token)),
	} {
		wantErr(s, what, err, errBanned)
	}
	equal(s, "tokens", count(s, f.db, "user_token"), 1)
	equal(s, "rows", rows(s, f.db), [3]int64{1, 0, 0})
}

func tokenMagicLink(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	before, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	token := issue(s, f, ada.ID, gormkey.PurposeMagicLink, ada.Email)
	session, err := f.SignInWithToken(ctx, token, as(device{Country: "NL"}), f.Replacing(before.Token))
	must(s, err)
	equal(s, "user", session.User.Email, ada.Email)
	stored, err := f.ValidateSession(ctx, session.Token)
	must(s, err)
	equal(s, "country", stored.Country, "NL")
	equal(s, "user's id", stored.UserID, ada.ID)
	_, err = f.ValidateSession(ctx, before.Token)
	wantErr(s, "the replaced session", err, gormkey.ErrInvalidSession)

	_, err = f.SignInWithToken(ctx, token)
	wantErr(s, "used again", err, gormkey.ErrInvalidToken)
	equal(s, "sessions", count(s, f.db, "user_session"), 1)
}

func tokenRename(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	token := issue(s, f, ada.ID, gormkey.PurposeResetPassword, "email:"+ada.Email)
	bobs := issue(s, f, bob.ID, gormkey.PurposeResetPassword, "email:"+bob.Email)

	wantErr(s, "taken", f.RenameKey(ctx, ada.ID, keyID("email", ada.Email), bob.Email), gormkey.ErrDuplicateKey)
	wantErr(s, "no such key", f.RenameKey(ctx, ada.ID, keyID("email", "nobody"), "x"), gormkey.ErrKeyNotFound)
	wantErr(s, "another user's key", f.RenameKey(ctx, ada.ID, keyID("email", bob.Email), "x"), gormkey.ErrKeyNotFound)
	wantErr(s, "the same", f.RenameKey(ctx, ada.ID, keyID("email", ada.Email), ada.Email), gormkey.ErrInvalidArgument)
	wantErr(s, "empty", f.RenameKey(ctx, ada.ID, keyID("email", ada.Email), ""), gormkey.ErrInvalidArgument)
	_, err = f.GetToken(ctx, gormkey.PurposeResetPassword, token)
	must(s, err) // nothing was half done

	must(s, f.RenameKey(ctx, ada.ID, keyID("email", ada.Email), "Ada@example.com"))
	key, err := f.UseKey(ctx, email("Ada@example.com"))
	must(s, err)
	equal(s, "owner", key.UserID, ada.ID)
	_, err = f.GetKey(ctx, keyID("email", ada.Email))
	wantErr(s, "the old id", err, gormkey.ErrKeyNotFound)
	_, err = f.GetToken(ctx, gormkey.PurposeResetPassword, token)
	wantErr(s, "a token from before", err, gormkey.ErrInvalidToken)
	_, err = f.GetToken(ctx, gormkey.PurposeResetPassword, bobs)
	must(s, err)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
}
