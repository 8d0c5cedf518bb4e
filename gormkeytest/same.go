package gormkeytest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

// sameCases are about values that are the same in two places, or given twice.
var sameCases = []testCase{
	{"sign-in/R05 what replaces nothing", replacingNothing},
	{"sign-in/R25 a hash of the empty password", signInEmptyHash},
	{"key/two users with one hash", keySameHash},
	{"key/a hasher and a policy that take anything", keyTrusting},
	{"session/R41 opened in one millisecond", sessionSameTime},
	{"session/a taken value of an own column", sessionTaken},
	{"session/R09 no period ends after the absolute lifetime", sessionActiveAbsolute},
}

// replacingNothing: a token that is no token costs no statement, one that is given twice
// costs what it costs once, and a session does not end itself.
func replacingNothing(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	ending := "DELETE"
	if s.vitess { // which looks whose session it is
		ending = "SELECT `user_id` FROM `user_session`"
	}
	sent := func(set ...func(*device)) (deletes []string) {
		s.Helper()
		recorder.taken()
		_, err := auth.SignIn(ctx, email(ada.Email), set...)
		must(s, err)
		for _, st := range recorder.taken() {
			if strings.HasPrefix(st.sql, ending) {
				deletes = append(deletes, fmt.Sprint(st.args))
			}
		}
		return deletes
	}
	equal(s, "deletes for no token", len(sent(f.Replacing(""), f.Replacing("x"), f.Replacing("' OR 1=1 -- and more of it"))), 0)
	first, other := newToken(), gormkey.Token(strings.Repeat("a", 40))
	equal(s, "deletes for one token", len(sent(f.Replacing(first), f.Replacing(first))), 1)
	// In one order, so that two sign-ins do not wait for each other.
	if there, back := sent(f.Replacing(first), f.Replacing(other)), sent(f.Replacing(other), f.Replacing(first)); len(there) != 2 || !slices.Equal(there, back) {
		s.Errorf("got %v, and %v the other way round", there, back)
	}
	own, err := auth.OpenSession(ctx, ada.ID, func(d *device) { d.Token = first }, f.Replacing(first))
	must(s, err)
	got, err := auth.ValidateSession(ctx, first)
	must(s, err)
	equal(s, "a session that replaces its own token", got.ID, own.ID)
}

// signInEmptyHash: nobody signs in with no password, though another system may have hashed it.
func signInEmptyHash(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	hash, err := FastHasher().Hash("")
	must(s, err)
	_, err = f.AddKey(ctx, ada.ID, gormkey.Imported("old", "1", password.Hash(hash)))
	must(s, err)
	for what, call := range map[string]func(c gormkey.Credentials) error{
		"SignIn": func(c gormkey.Credentials) error { return second(f.SignIn(ctx, c)) },
		"UseKey": func(c gormkey.Credentials) error { return second(f.UseKey(ctx, c)) },
	} {
		if err := call(gormkey.Credentials{Provider: "old", ID: "1"}); err != gormkey.ErrInvalidCredentials {
			s.Errorf("%s: got %v, want exactly ErrInvalidCredentials", what, err)
		}
	}
	equal(s, "sessions", count(s, f.db, "user_session"), 0)
}

// keySameHash: an import may give two users one hash, which is not a password that they share.
func keySameHash(s *suite) {
	hasher := &countingHasher{Hasher: FastHasher()}
	f := s.withTokens(gormkey.WithPasswordHasher(hasher))
	ctx := s.Context()
	loginOf := func(name, password string) gormkey.Credentials {
		return gormkey.Credentials{Provider: "email", ID: name, Password: password}
	}
	var ids []string
	for _, name := range []string{"ada", "bob"} {
		a := &account{Email: name}
		must(s, f.CreateUser(ctx, a, gormkey.Imported("email", name, oldHash)))
		ids = append(ids, a.ID)
	}
	stored := func(name string) password.Hash {
		key, err := f.GetKey(ctx, keyID("email", name))
		must(s, err)
		return *key.HashedPassword
	}
	key, err := f.UseKey(ctx, loginOf("ada", goodPassword)) // which is of an outdated hash
	must(s, err)
	equal(s, "the hash is a new one", stored("ada") != oldHash, true)
	equal(s, "the hash that is returned", *key.HashedPassword == stored("ada"), true)
	equal(s, "the other's hash after a rehash", stored("bob") == oldHash, true)

	again := gormkey.Imported("email", "ada", oldHash)
	for what, change := range map[string]func() (*login, error){
		"OverwritePassword": func() (*login, error) {
			return f.OverwritePassword(ctx, loginOf("ada", "the next password"), "")
		},
		"ChangePassword": func() (*login, error) {
			return f.OverwritePassword(ctx, loginOf("ada", "the next password"), "")
		},
		"ResetPassword": func() (*login, error) {
			return f.ResetPassword(ctx, issue(s, f, ids[0], gormkey.PurposeResetPassword, "email:ada"), "the next password")
		},
	} {
		_, err := f.OverwritePassword(ctx, again, "")
		must(s, err)
		key, err := change()
		must(s, err)
		equal(s, what+": the hash that is returned", *key.HashedPassword == stored("ada"), true)
		equal(s, what+": the other's hash", stored("bob") == oldHash, true)
		_, err = f.UseKey(ctx, loginOf("ada", goodPassword))
		wantErr(s, what+": the old password", err, gormkey.ErrInvalidCredentials)
	}
}

// sessionSameTime: sessions that live as long are in the order of their ids.
func sessionSameTime(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	var want []string
	for range 6 {
		session, err := f.OpenSession(s.Context(), ada.ID)
		must(s, err)
		want = append(want, string(session.ID))
	}
	slices.Sort(want)
	list, err := f.UserSessions(s.Context(), ada.ID)
	must(s, err)
	var got []string
	for _, session := range list {
		got = append(got, string(session.ID))
	}
	if !slices.Equal(got, want) {
		s.Errorf("got %v, want %v", got, want)
	}
}

// seat is a session with a column whose values are unique.
type seat struct {
	gormkey.Session[account]
	Number string `gorm:"size:32;uniqueIndex"`
}

func sessionTaken(s *suite) {
	f := openOf[account, login, seat](s, s.newDB(s.T))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	_, err := f.OpenSession(ctx, ada.ID, as(seat{Number: "1"}))
	must(s, err)
	second, err := f.OpenSession(ctx, ada.ID, as(seat{Number: "2"}))
	must(s, err)
	before := snapshot(s, f)
	_, err = f.OpenSession(ctx, ada.ID, as(seat{Number: "1"}))
	wantErr(s, "OpenSession", err, gormkey.ErrDuplicateAttribute)
	equal(s, "a taken value is a session that is taken", isErr(err, gormkey.ErrDuplicateSession), false)
	_, err = f.UpdateSessionAttributes(ctx, second.ID, map[string]any{"Number": "1"})
	wantErr(s, "UpdateSessionAttributes", err, gormkey.ErrDuplicateAttribute)
	if got := snapshot(s, f); got != before {
		s.Errorf("changed\n%s\nto\n%s", before, got)
	}
}

// sessionActiveAbsolute: nor does the active one, or a session would live on by not being
// renewed.
func sessionActiveAbsolute(s *suite) {
	f := s.accounts(gormkey.WithSessionPeriods(10*time.Hour, time.Hour), gormkey.WithAbsoluteLifetime(12*time.Hour))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	end := gormkey.UnixMilli(f.clock.Now().Add(12 * time.Hour).UnixMilli())
	equal(s, "absolute end", session.AbsoluteExpires, end)
	f.clock.Advance(10*time.Hour + time.Millisecond)
	got, err := f.ValidateSession(ctx, session.Token)
	must(s, err)
	equal(s, "active end", got.ActiveExpires, end)
	equal(s, "idle end", got.IdleExpires, end)
	stored, err := f.GetSession(ctx, session.Token)
	must(s, err)
	equal(s, "stored active end", stored.ActiveExpires, end)

	// One that is idle and ends there already is not renewed, and no statement asks for it.
	must(s, f.db.Table("user_session").Where("id = ?", session.ID).Update("active_expires", session.ActiveExpires).Error)
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	got, err = auth.ValidateSession(ctx, session.Token)
	must(s, err)
	equal(s, "renewed at its absolute end", got.Fresh, false)
	equal(s, "statements", len(recorder.taken()), 1)
}

// trusting takes any text for a hash, and makes one that is too long for its column.
type trusting struct {
	password.Hasher
	made string
}

func (h *trusting) CheckHash(string) error      { return nil }
func (h *trusting) Hash(string) (string, error) { return h.made, nil }

// keyTrusting: what a policy and a hasher of the application let through is still bounded.
func keyTrusting(s *suite) {
	hasher := &trusting{FastHasher(), strings.Repeat("x", 255)}
	f := s.accounts(gormkey.WithPasswordHasher(hasher), gormkey.WithPasswordPolicy(func(string) error { return nil }))
	ctx := s.Context()
	ada := &account{Email: "ada"}
	must(s, f.CreateUser(ctx, ada))
	for what, c := range map[string]gormkey.Credentials{
		"an empty password":         {Provider: "email", ID: "ada"},
		"a hash that is too long":   gormkey.Imported("email", "ada", password.Hash(strings.Repeat("x", 256))),
		"a hash with a blank after": gormkey.Imported("email", "ada", "x "),
		"a hash with NUL":           gormkey.Imported("email", "ada", "x\x00"),
	} {
		_, err := f.AddKey(ctx, ada.ID, c)
		wantErr(s, what, err, gormkey.ErrInvalidArgument)
		wantErr(s, what+", with a user", f.CreateUser(ctx, &account{Email: "b"}, c), gormkey.ErrInvalidArgument)
	}
	hasher.made += "x"
	_, err := f.AddKey(ctx, ada.ID, gormkey.Credentials{Provider: "email", ID: "ada", Password: "p"})
	wantErr(s, "a hash that is made too long", err, gormkey.ErrInvalidArgument)
	equal(s, "rows", rows(s, f.db), [3]int64{1, 0, 0})
	hasher.made = hasher.made[1:]
	_, err = f.AddKey(ctx, ada.ID, gormkey.Credentials{Provider: "email", ID: "ada", Password: "p"})
	must(s, err)
}
