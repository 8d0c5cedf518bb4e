package gormkeytest

import (
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

// betweenCases have somebody else come between two statements of one operation, at a place
// that is chosen and not raced for.
var betweenCases = []testCase{
	{"session/R10 changed between the read and the renewal", betweenRenewal},
	{"session/renewed before the cleanup has it", betweenCleanup},
	{"sign-in/R20 a key that changes after the check", betweenSignIn},
	{"key/R20 a password that changes after the check", betweenChange},
	{"key/changed before its user is locked", betweenLock},
	{"token/R42 used after the first look", betweenToken},
}

// before returns a second repository, which calls act once: before the first statement that
// matches and that it sends after arm was called. The act comes by the fixture's own.
func before(s *suite, f *accounts, matches func(sql string) bool) (auth *accountsAuth, arm func(act func()), fired func() bool) {
	s.Helper()
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	var pending func()
	recorder.inject = func(sql string) error {
		if act := pending; act != nil && matches(sql) {
			pending = nil
			act()
		}
		return nil
	}
	return auth, func(act func()) { pending = act }, func() bool { return pending == nil }
}

func starts(prefix string) func(sql string) bool {
	return func(sql string) bool { return strings.HasPrefix(sql, prefix) }
}

// plain is a handle that no recorder sees.
func plain(s *suite, f *accounts) *gorm.DB {
	return f.db.Session(&gorm.Session{NewDB: true, Context: s.Context()})
}

func betweenRenewal(s *suite) {
	f := s.accounts(gormkey.WithAbsoluteLifetime(100 * 24 * time.Hour))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	other := plain(s, f)
	auth, arm, fired := before(s, f, starts("UPDATE"))
	store := func(id string, values map[string]any) func() {
		return func() { must(s, other.Table("user_session").Where("id = ?", id).Updates(values).Error) }
	}
	stored := func(id string) (row gormkey.Session[account]) {
		must(s, other.First(&row, "id = ?", id).Error)
		return row
	}
	idle := func() *device {
		s.Helper()
		session, err := f.OpenSession(ctx, ada.ID)
		must(s, err)
		f.clock.Advance(ActivePeriod + time.Minute)
		return session
	}
	now := func() gormkey.UnixMilli { return gormkey.UnixMilli(f.clock.Now().UnixMilli()) }

	session := idle()
	arm(func() { must(s, f.EndSessionOfAnyone(ctx, session.ID)) })
	_, err := auth.ValidateSession(ctx, session.Token)
	wantErr(s, "ended before the renewal", err, gormkey.ErrInvalidSession)
	equal(s, "sessions", count(s, other, "user_session"), 0)

	session = idle()
	arm(store(string(session.ID), map[string]any{"active_expires": 1, "idle_expires": now() - 1}))
	_, err = auth.ValidateSession(ctx, session.Token)
	wantErr(s, "dead before the renewal", err, gormkey.ErrInvalidSession)
	equal(s, "a dead session's expiry", stored(string(session.ID)).IdleExpires, now()-1)

	session = idle() // renewed by a process whose clock is ahead
	ahead := now() + 20*24*3_600_000
	arm(store(string(session.ID), map[string]any{"active_expires": ahead - 1, "idle_expires": ahead}))
	got, err := auth.ValidateSession(ctx, session.Token)
	must(s, err)
	equal(s, "expiry that was further on", got.IdleExpires, ahead)
	equal(s, "active period that was further on", got.ActiveExpires, ahead-1)
	equal(s, "stored expiry that was further on", stored(string(session.ID)).IdleExpires, ahead)
	equal(s, "was renewed", fired() && got.Fresh, true)

	session = idle() // of before the absolute lifetime, which another process begins to count
	store(string(session.ID), map[string]any{"absolute_expires": nil, "idle_expires": now() + 200*24*3_600_000})()
	sooner := now() + 3_600_000
	arm(store(string(session.ID), map[string]any{"active_expires": sooner, "idle_expires": sooner, "absolute_expires": sooner}))
	got, err = auth.ValidateSession(ctx, session.Token)
	must(s, err)
	equal(s, "absolute end of another process", got.AbsoluteExpires, sooner)
	equal(s, "stored absolute end of another process", stored(string(session.ID)).AbsoluteExpires, sooner)
}

// betweenCleanup: what is renewed after a cleanup has found it is not deleted.
func betweenCleanup(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	other := plain(s, f)
	auth, arm, fired := before(s, f, starts("DELETE"))
	f.clock.Advance(ActivePeriod + IdlePeriod + time.Millisecond)
	alive := f.clock.Now().Add(time.Hour).UnixMilli()
	arm(func() {
		must(s, other.Table("user_session").Where("id = ?", session.ID).Update("idle_expires", alive).Error)
	})
	deleted, err := auth.DeleteExpired(ctx)
	must(s, err)
	equal(s, "came before the DELETE", fired(), true)
	equal(s, "deleted", deleted, 0)
	_, err = f.GetSession(ctx, session.Token)
	must(s, err)
}

// betweenSignIn: a session is opened for the key as it is now, not as it was verified.
func betweenSignIn(s *suite) {
	var failures []event.Event
	hasher := &countingHasher{Hasher: FastHasher()}
	f := s.accounts(gormkey.WithPasswordHasher(hasher), gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		if e.Type == event.SignInFailed {
			failures = append(failures, e)
		}
		return nil
	}))
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	same := func() { // the password, with another hash
		_, err := f.OverwritePassword(ctx, email(ada.Email), "")
		must(s, err)
	}
	again := hasher.afterVerify
	again(1, same)
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	equal(s, "owner", session.UserID, ada.ID)
	equal(s, "failures", len(failures), 0)

	again(2, same)
	_, err = f.SignIn(ctx, email(ada.Email), as(device{Country: "NO"}))
	wantErr(s, "changed at each check", err, gormkey.ErrInvalidCredentials)
	equal(s, "failures", len(failures), 1)
	equal(s, "sessions", count(s, f.db, "user_session"), 0)

	failures = nil
	again(1, func() { must(s, f.RemoveKey(ctx, ada.ID, keyID("email", ada.Email), gormkey.AllowLastKey())) })
	_, err = f.SignIn(ctx, email(ada.Email))
	wantErr(s, "the key is gone", err, gormkey.ErrInvalidCredentials)
	equal(s, "sessions", count(s, f.db, "user_session"), 0)

	_, err = f.AddKey(ctx, ada.ID, email(ada.Email))
	must(s, err)
	again(1, func() { // to another user, with the hash that was verified
		key, err := f.GetKey(ctx, keyID("email", ada.Email))
		must(s, err)
		must(s, f.RemoveKey(ctx, ada.ID, keyID("email", ada.Email), gormkey.AllowLastKey()))
		_, err = f.AddKey(ctx, bob.ID, gormkey.Imported("email", ada.Email, *key.HashedPassword))
		must(s, err)
	})
	session, err = f.SignIn(ctx, email(ada.Email))
	must(s, err)
	equal(s, "owner of a key that was moved", session.UserID, bob.ID)
	equal(s, "user of a key that was moved", session.User.ID, bob.ID)

	again(1, func() { must(s, f.DeleteUser(ctx, bob.ID)) })
	_, err = f.SignIn(ctx, email(bob.Email))
	wantErr(s, "the user is gone", err, gormkey.ErrInvalidCredentials)
	equal(s, "rows", rows(s, f.db), [3]int64{1, 0, 0})

	// Without a hook the session is one statement, before which anybody can come.
	f = s.accounts()
	ada = signUp(s, f, "ada")
	github := gormkey.Proved("github", "1")
	_, err = f.AddKey(ctx, ada.ID, github)
	must(s, err)
	auth, arm, _ := before(s, f, starts("INSERT"))
	arm(func() {
		_, err := f.OverwritePassword(ctx, gormkey.Credentials{Provider: "github", ID: "1", Password: goodPassword}, "")
		must(s, err)
	})
	_, err = auth.SignIn(ctx, github)
	wantErr(s, "a password for a key without one", err, gormkey.ErrInvalidCredentials)
	equal(s, "sessions of a key without a password", count(s, f.db, "user_session"), 0)
}

// betweenLock: what an operation read of a key before it had its user's lock does not count.
// On SQLite there is nothing before.
func betweenLock(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	auth, arm, fired := before(s, f, func(sql string) bool { return strings.HasSuffix(sql, "FOR UPDATE") })
	arm(func() {
		_, err := f.OverwritePassword(ctx, gormkey.Credentials{Provider: "email", ID: ada.Email, Password: "the next password"}, "")
		must(s, err)
	})
	_, err := auth.ShareKey(ctx, keyID("username", "ada"), keyID("email", ada.Email))
	must(s, err)
	if !fired() {
		return
	}
	_, err = f.UseKey(ctx, gormkey.Credentials{Provider: "username", ID: "ada", Password: goodPassword})
	wantErr(s, "the old password by a key that was shared", err, gormkey.ErrInvalidCredentials)
	_, err = f.UseKey(ctx, gormkey.Credentials{Provider: "username", ID: "ada", Password: "the next password"})
	must(s, err)
	for what, call := range map[string]func(provider string) error{
		"ShareKey": func(p string) error { return second(auth.ShareKey(ctx, keyID("other", p), keyID(p, "1"))) },
		"OverwritePassword": func(p string) error {
			return second(auth.OverwritePassword(ctx, gormkey.Credentials{Provider: p, ID: "1", Password: goodPassword}, ""))
		},
		"ChangePassword": func(p string) error {
			return second(auth.OverwritePassword(ctx, gormkey.Credentials{Provider: p, ID: "1", Password: goodPassword}, ""))
		},
	} {
		_, err := f.AddKey(ctx, ada.ID, gormkey.Credentials{Provider: what, ID: "1", Password: goodPassword})
		must(s, err)
		arm(func() { must(s, f.RemoveKey(ctx, ada.ID, keyID(what, "1"))) })
		wantErr(s, what+" of a key that is gone", call(what), gormkey.ErrKeyNotFound)
		equal(s, what+": keys", count(s, f.db, "user_key"), 2)
	}
	// Of two keys that were there at the first read one is left.
	arm(func() { must(s, f.RemoveKey(ctx, ada.ID, keyID("username", "ada"))) })
	wantErr(s, "the last key", auth.RemoveKey(ctx, ada.ID, keyID("email", ada.Email)), gormkey.ErrLastKey)
	equal(s, "keys", count(s, f.db, "user_key"), 1)
}

// betweenToken: the look that comes before the hashing and the transaction decides nothing.
func betweenToken(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	auth, arm, fired := before(s, f, starts("BEGIN"))
	for what, end := range map[string]func(purpose gormkey.Purpose, token gormkey.Token){
		"used":    func(p gormkey.Purpose, token gormkey.Token) { must(s, second(f.UseToken(ctx, p, token, nil))) },
		"voided":  func(p gormkey.Purpose, _ gormkey.Token) { must(s, f.VoidTokens(ctx, ada.ID, p)) },
		"expired": func(gormkey.Purpose, gormkey.Token) { f.clock.Advance(hour + time.Millisecond) },
	} {
		token := issue(s, f, ada.ID, gormkey.PurposeMagicLink, "")
		arm(func() { end(gormkey.PurposeMagicLink, token) })
		_, err := auth.SignInWithToken(ctx, token, as(device{Country: "NO"}))
		wantErr(s, "SignInWithToken, "+what, err, gormkey.ErrInvalidToken)
		token = issue(s, f, ada.ID, gormkey.PurposeResetPassword, "email:"+ada.Email)
		arm(func() { end(gormkey.PurposeResetPassword, token) })
		_, err = auth.ResetPassword(ctx, token, "the next password")
		wantErr(s, "ResetPassword, "+what, err, gormkey.ErrInvalidToken)
		equal(s, "came between", fired(), true)
	}
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 1})
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	_, err = f.UseKey(ctx, email(ada.Email))
	must(s, err)
}

// betweenChange: a password is changed by who knows it at the time of the change.
func betweenChange(s *suite) {
	hasher := &countingHasher{Hasher: FastHasher()}
	f := s.accounts(gormkey.WithPasswordHasher(hasher))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	again := hasher.afterVerify
	next := gormkey.Credentials{Provider: "email", ID: ada.Email, Password: "the next password"}
	again(1, func() { must(s, second(f.OverwritePassword(ctx, email(ada.Email), ""))) }) // the same, with another hash
	_, err := f.ChangePassword(ctx, email(ada.Email), next.Password, "")
	must(s, err)
	_, err = f.UseKey(ctx, next)
	must(s, err)

	again(1, func() { must(s, second(f.OverwritePassword(ctx, email(ada.Email), ""))) })
	_, err = f.ChangePassword(ctx, next, "a password of somebody who knew the old one", "")
	wantErr(s, "changed after the check", err, gormkey.ErrInvalidCredentials)
	_, err = f.UseKey(ctx, email(ada.Email))
	must(s, err)

	again(1, func() { must(s, f.DeleteUser(ctx, ada.ID)) })
	_, err = f.ChangePassword(ctx, email(ada.Email), next.Password, "")
	wantErr(s, "deleted after the check", err, gormkey.ErrInvalidCredentials)
	equal(s, "rows", rows(s, f.db), [3]int64{0, 0, 0})
}
