package gormkeytest

import (
	"github.com/gormkey/gormkey"
)

var keyCases = []testCase{
	{"key/create, get, list", keyCreate},
	{"key/R28 id is provider, colon, id", keyIDForm},
	{"key/own columns", keyOwnColumns},
	{"key/update password", keyUpdatePassword},
	{"key/share a password", keyShare},
	{"key/the last one stays", keyLast},
	{"key/R08 change password ends the other sessions", keyChangePassword},
}

func keyCreate(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	key, err := f.CreateKey(ctx, ada.ID, gormkey.Credentials{Provider: "github", ID: "42", NoPassword: true})
	must(s, err)
	equal(s, "id", key.ID, "github:42")
	equal(s, "password", key.PasswordDefined(), false)
	got, err := f.GetKey(ctx, "github", "42")
	must(s, err)
	equal(s, "owner", got.UserID, ada.ID)
	if got.HashedPassword != nil {
		s.Errorf("hash of a key without a password: got %v", got.HashedPassword)
	}
	_, err = f.GetKey(ctx, "github", "43")
	wantErr(s, "unknown key", err, gormkey.ErrInvalidKey)
	_, err = f.CreateKey(ctx, "nobody", email("x@example.com"))
	wantErr(s, "key of nobody", err, gormkey.ErrInvalidUser)
	_, err = f.UserKeys(ctx, "nobody")
	wantErr(s, "keys of nobody", err, gormkey.ErrInvalidUser)
	keys, err := f.UserKeys(ctx, ada.ID)
	must(s, err)
	if len(keys) != 2 || keys[0].ID != "email:ada@example.com" || keys[1].ID != "github:42" {
		s.Errorf("keys: got %v", keys)
	}
	equal(s, "rows", rows(s, f.db), [3]int64{1, 2, 0})
}

func keyIDForm(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	for _, c := range []struct{ provider, id string }{{"a", "b:c"}, {"a", ":"}, {"azure_ad", "x"}, {"A.b-c", "ä:ö"}} {
		key, err := f.CreateKey(s.Context(), ada.ID, gormkey.Credentials{Provider: c.provider, ID: c.id, NoPassword: true})
		must(s, err)
		equal(s, "provider", key.Provider(), c.provider)
		equal(s, "provider's user id", key.ProviderUserID(), c.id)
		_, err = f.GetKey(s.Context(), c.provider, c.id)
		must(s, err)
	}
	_, err := f.CreateKey(s.Context(), ada.ID, gormkey.Credentials{Provider: "a:b", ID: "c", NoPassword: true})
	wantErr(s, "colon in a provider", err, gormkey.ErrInvalidArgument)
}

func keyOwnColumns(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	phone := login{Label: "work laptop"}
	must(s, f.CreateKeyInto(s.Context(), ada.ID, gormkey.Credentials{Provider: "phone", ID: "+4712345678", Password: goodPassword}, &phone))
	equal(s, "id", phone.ID, "phone:+4712345678")
	var got login
	must(s, f.GetKeyInto(s.Context(), "phone", "+4712345678", &got))
	if got.Label != "work laptop" || got.UserID != ada.ID || !got.PasswordDefined() {
		s.Errorf("got %+v", got)
	}
	must(s, f.GetKeyInto(s.Context(), "email", ada.Email, &got)) // into a struct that was used
	equal(s, "id in a used struct", got.ID, "email:"+ada.Email)
	wantErr(s, "unknown key", f.GetKeyInto(s.Context(), "phone", "1", &got), gormkey.ErrInvalidKey)
	equal(s, "struct after an error", got.ID, "")
	var plain login
	must(s, f.db.Preload("User").First(&plain, "id = ?", phone.ID).Error)
	equal(s, "Preload", plain.User.Email, ada.Email)
	type stranger struct{ gormkey.Key[account] }
	err := f.CreateKeyInto(s.Context(), ada.ID, email("z@example.com"), &stranger{})
	wantErr(s, "unregistered struct", err, gormkey.ErrInvalidArgument)
}

func keyUpdatePassword(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	changed := email(ada.Email)
	changed.Password = "another good password"
	key, err := f.UpdateKeyPassword(ctx, changed)
	must(s, err)
	equal(s, "password defined", key.PasswordDefined(), true)
	_, err = f.SignIn(ctx, email(ada.Email))
	wantErr(s, "old password", err, gormkey.ErrInvalidCredentials)
	_, err = f.SignIn(ctx, changed)
	must(s, err)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err) // sessions go on, as in Lucia

	without := gormkey.Credentials{Provider: "email", ID: ada.Email, NoPassword: true}
	_, err = f.UpdateKeyPassword(ctx, without)
	must(s, err)
	_, err = f.SignIn(ctx, changed)
	wantErr(s, "password taken away", err, gormkey.ErrInvalidCredentials)
	_, err = f.SignIn(ctx, gormkey.Credentials{Provider: "email", ID: ada.Email})
	wantErr(s, "empty password on a key without one", err, gormkey.ErrInvalidCredentials)
	_, err = f.SignIn(ctx, without)
	must(s, err)

	_, err = f.UpdateKeyPassword(ctx, email("nobody@example.com"))
	wantErr(s, "unknown key", err, gormkey.ErrInvalidKey)
}

func keyShare(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	key, err := f.ShareKey(ctx, "username", "ada", "email", ada.Email)
	must(s, err)
	equal(s, "owner", key.UserID, ada.ID)
	name := gormkey.Credentials{Provider: "username", ID: "ada", Password: goodPassword}
	_, err = f.SignIn(ctx, name)
	must(s, err)
	changed := email(ada.Email)
	changed.Password, name.Password = "the next password", "the next password"
	_, err = f.ChangePassword(ctx, changed, "")
	must(s, err)
	_, err = f.SignIn(ctx, name)
	must(s, err)
	_, err = f.SignIn(ctx, email(bob.Email))
	must(s, err) // whose password was the same text under another salt

	_, err = f.ShareKey(ctx, "username", "ada", "email", bob.Email)
	wantErr(s, "taken key", err, gormkey.ErrDuplicateKey)
	_, err = f.ShareKey(ctx, "username", "x", "email", "nobody@example.com")
	wantErr(s, "unknown key", err, gormkey.ErrInvalidKey)
	_, err = f.CreateKey(ctx, bob.ID, gormkey.Credentials{Provider: "github", ID: "1", NoPassword: true})
	must(s, err)
	_, err = f.ShareKey(ctx, "username", "bob", "github", "1")
	wantErr(s, "key without a password", err, gormkey.ErrInvalidPassword)
}

func keyLast(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	err := f.DeleteKey(ctx, "email", ada.Email)
	wantErr(s, "last key", err, gormkey.ErrLastKey)
	_, err = f.SignIn(ctx, email(ada.Email))
	must(s, err)
	_, err = f.CreateKey(ctx, ada.ID, gormkey.Credentials{Provider: "github", ID: "1", NoPassword: true})
	must(s, err)
	must(s, f.DeleteKey(ctx, "email", ada.Email))
	_, err = f.GetKey(ctx, "email", ada.Email)
	wantErr(s, "deleted key", err, gormkey.ErrInvalidKey)
	must(s, f.DeleteKey(ctx, "email", ada.Email)) // again
	must(s, f.DeleteKey(ctx, "github", "1", gormkey.AllowLastKey()))
	equal(s, "rows", rows(s, f.db), [3]int64{1, 0, 1})
}

func keyChangePassword(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	kept, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	ended, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	others, err := f.SignIn(ctx, email(bob.Email))
	must(s, err)
	changed := email(ada.Email)
	changed.Password = "another good password"
	_, err = f.ChangePassword(ctx, changed, kept.ID)
	must(s, err)
	_, err = f.ValidateSession(ctx, kept.Token)
	must(s, err)
	_, err = f.ValidateSession(ctx, ended.Token)
	wantErr(s, "other session of the user", err, gormkey.ErrInvalidSession)
	_, err = f.ValidateSession(ctx, others.Token)
	must(s, err)
	_, err = f.ChangePassword(ctx, changed, "")
	must(s, err)
	_, err = f.ValidateSession(ctx, kept.Token)
	wantErr(s, "session after a change that keeps none", err, gormkey.ErrInvalidSession)
}
