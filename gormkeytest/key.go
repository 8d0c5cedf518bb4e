package gormkeytest

import (
	"encoding/json"
	"strings"

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
	{"key/R08 overwrite a password and keep a session", keyOverwriteKeeping},
	{"key/of another user", keyOfAnother},
	{"key/id as text", keyParse},
}

func keyCreate(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	key, err := f.AddKey(ctx, ada.ID, gormkey.Proved("github", "42"))
	must(s, err)
	equal(s, "id", key.ID, "github:42")
	equal(s, "password", key.PasswordDefined(), false)
	got, err := f.GetKey(ctx, keyID("github", "42"))
	must(s, err)
	equal(s, "owner", got.UserID, ada.ID)
	if got.HashedPassword != nil {
		s.Errorf("hash of a key without a password: got %v", got.HashedPassword)
	}
	_, err = f.GetKey(ctx, keyID("github", "43"))
	wantErr(s, "unknown key", err, gormkey.ErrKeyNotFound)
	_, err = f.AddKey(ctx, "nobody", email("x@example.com"))
	wantErr(s, "key of nobody", err, gormkey.ErrUserNotFound)
	_, err = f.UserKeys(ctx, "nobody")
	wantErr(s, "keys of nobody", err, gormkey.ErrUserNotFound)
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
		key, err := f.AddKey(s.Context(), ada.ID, gormkey.Proved(c.provider, c.id))
		must(s, err)
		equal(s, "id", key.KeyID(), keyID(c.provider, c.id))
		_, err = f.GetKey(s.Context(), keyID(c.provider, c.id))
		must(s, err)
	}
	_, err := f.AddKey(s.Context(), ada.ID, gormkey.Proved("a:b", "c"))
	wantErr(s, "colon in a provider", err, gormkey.ErrInvalidArgument)
}

func keyOwnColumns(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	ctx := s.Context()
	phone, err := f.AddKey(ctx, ada.ID, gormkey.Credentials{Provider: "phone", ID: "+4712345678", Password: goodPassword}, as(login{Label: "work laptop"}))
	must(s, err)
	equal(s, "id", phone.ID, "phone:+4712345678")
	got, err := f.GetKey(ctx, phone.KeyID())
	must(s, err)
	if got.Label != "work laptop" || got.UserID != ada.ID || !got.PasswordDefined() {
		s.Errorf("got %+v", got)
	}
	got, err = f.GetKey(ctx, keyID("phone", "1"))
	wantErr(s, "unknown key", err, gormkey.ErrKeyNotFound)
	equal(s, "key after an error", got == nil, true)
	var plain login
	must(s, f.db.Preload("User").First(&plain, "id = ?", phone.ID).Error)
	equal(s, "Preload", plain.User.Email, ada.Email)
}

func keyUpdatePassword(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	changed := email(ada.Email)
	changed.Password = "another good password"
	key, err := f.OverwritePassword(ctx, changed, "")
	must(s, err)
	equal(s, "password defined", key.PasswordDefined(), true)
	_, err = f.SignIn(ctx, email(ada.Email))
	wantErr(s, "old password", err, gormkey.ErrInvalidCredentials)
	_, err = f.SignIn(ctx, changed)
	must(s, err)
	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "a session of the old password", err, gormkey.ErrInvalidSession)

	without := gormkey.Proved("email", ada.Email)
	_, err = f.OverwritePassword(ctx, without, "")
	must(s, err)
	_, err = f.SignIn(ctx, changed)
	wantErr(s, "password taken away", err, gormkey.ErrInvalidCredentials)
	_, err = f.SignIn(ctx, gormkey.Credentials{Provider: "email", ID: ada.Email})
	wantErr(s, "empty password on a key without one", err, gormkey.ErrInvalidCredentials)
	_, err = f.SignIn(ctx, without)
	must(s, err)

	_, err = f.OverwritePassword(ctx, email("nobody@example.com"), "")
	wantErr(s, "unknown key", err, gormkey.ErrKeyNotFound)
}

func keyShare(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	key, err := f.ShareKey(ctx, keyID("username", "ada"), keyID("email", ada.Email))
	must(s, err)
	equal(s, "owner", key.UserID, ada.ID)
	name := gormkey.Credentials{Provider: "username", ID: "ada", Password: goodPassword}
	_, err = f.SignIn(ctx, name)
	must(s, err)
	changed := email(ada.Email)
	changed.Password, name.Password = "the next password", "the next password"
	_, err = f.OverwritePassword(ctx, changed, "")
	must(s, err)
	_, err = f.SignIn(ctx, name)
	must(s, err)
	_, err = f.SignIn(ctx, email(bob.Email))
	must(s, err) // whose password was the same text under another salt

	_, err = f.ShareKey(ctx, keyID("username", "ada"), keyID("email", bob.Email))
	wantErr(s, "taken key", err, gormkey.ErrDuplicateKey)
	_, err = f.ShareKey(ctx, keyID("username", "x"), keyID("email", "nobody@example.com"))
	wantErr(s, "unknown key", err, gormkey.ErrKeyNotFound)
	_, err = f.AddKey(ctx, bob.ID, gormkey.Proved("github", "1"))
	must(s, err)
	_, err = f.ShareKey(ctx, keyID("username", "bob"), keyID("github", "1"))
	wantErr(s, "key without a password", err, gormkey.ErrInvalidPassword)
}

func keyLast(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	err := f.RemoveKey(ctx, ada.ID, keyID("email", ada.Email))
	wantErr(s, "last key", err, gormkey.ErrLastKey)
	_, err = f.SignIn(ctx, email(ada.Email))
	must(s, err)
	_, err = f.AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))
	must(s, err)
	must(s, f.RemoveKey(ctx, ada.ID, keyID("email", ada.Email)))
	_, err = f.GetKey(ctx, keyID("email", ada.Email))
	wantErr(s, "deleted key", err, gormkey.ErrKeyNotFound)
	must(s, f.RemoveKey(ctx, ada.ID, keyID("email", ada.Email))) // again
	must(s, f.RemoveKey(ctx, ada.ID, keyID("github", "1"), gormkey.AllowLastKey()))
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
	before := snapshot(s, f)
	for what, wrong := range map[string]gormkey.Credentials{
		"wrong old password": changed, "nobody": email("nobody@example.com"), "empty": {Provider: "email", ID: ada.Email},
	} {
		_, err = f.ChangePassword(ctx, wrong, "yet another password", kept.ID)
		wantErr(s, what, err, gormkey.ErrInvalidCredentials)
	}
	equal(s, "after wrong credentials", snapshot(s, f), before)
	key, err := f.ChangePassword(ctx, email(ada.Email), changed.Password, kept.ID)
	must(s, err)
	equal(s, "owner", key.UserID, ada.ID)
	_, err = f.UseKey(ctx, email(ada.Email))
	wantErr(s, "the old password", err, gormkey.ErrInvalidCredentials)
	_, err = f.UseKey(ctx, changed)
	must(s, err)
	_, err = f.ValidateSession(ctx, kept.Token)
	must(s, err)
	_, err = f.ValidateSession(ctx, ended.Token)
	wantErr(s, "other session of the user", err, gormkey.ErrInvalidSession)
	_, err = f.ValidateSession(ctx, others.Token)
	must(s, err)
	_, err = f.ChangePassword(ctx, changed, goodPassword, "")
	must(s, err)
	_, err = f.ValidateSession(ctx, kept.Token)
	wantErr(s, "session after a change that keeps none", err, gormkey.ErrInvalidSession)
}

// keyOverwriteKeeping: who has proved their identity in another way keeps the session in which
// they did.
func keyOverwriteKeeping(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	kept, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	ended, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	_, err = f.OverwritePassword(ctx, gormkey.Credentials{Provider: "email", ID: ada.Email, Password: "another good password"}, kept.ID)
	must(s, err)
	_, err = f.ValidateSession(ctx, kept.Token)
	must(s, err)
	_, err = f.ValidateSession(ctx, ended.Token)
	wantErr(s, "the other session", err, gormkey.ErrInvalidSession)
}

// keyOfAnother: nobody removes or renames the key of another user.
func keyOfAnother(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	_, err := f.AddKey(ctx, bob.ID, gormkey.Proved("github", "1"))
	must(s, err)
	before := snapshot(s, f)
	wantErr(s, "RemoveKey", f.RemoveKey(ctx, ada.ID, keyID("github", "1"), gormkey.AllowLastKey()), gormkey.ErrKeyNotFound)
	wantErr(s, "RenameKey", f.RenameKey(ctx, ada.ID, keyID("github", "1"), "2"), gormkey.ErrKeyNotFound)
	must(s, f.RemoveKey(ctx, ada.ID, keyID("github", "2")))
	must(s, f.RemoveKey(ctx, "nobody", keyID("github", "2")))
	equal(s, "keys", snapshot(s, f), before)
}

// keyParse: a key's id is written and read in one form.
func keyParse(s *suite) {
	for text, want := range map[string]gormkey.KeyID{"email:ada": keyID("email", "ada"), "a::b": keyID("a", ":b"), "a.b_c-1:é é": keyID("a.b_c-1", "é é")} {
		got, err := gormkey.ParseKeyID(text)
		must(s, err)
		equal(s, text, got, want)
		equal(s, text, got.String(), text)
		encoded, err := json.Marshal(map[gormkey.KeyID]gormkey.KeyID{got: got})
		must(s, err)
		var decoded map[gormkey.KeyID]gormkey.KeyID
		must(s, json.Unmarshal(encoded, &decoded))
		equal(s, text+" as JSON", decoded[got], got)
		equal(s, text+" as JSON", strings.Contains(string(encoded), "Provider"), false)
	}
	for _, text := range []string{"", ":", "email", "email:", ":ada", "e mail:ada", "email: ada", "email:a\x00", "email:" + strings.Repeat("x", 250)} {
		_, err := gormkey.ParseKeyID(text)
		wantErr(s, text, err, gormkey.ErrInvalidArgument)
	}
	equal(s, "no key", gormkey.KeyID{}.String(), "")
}
