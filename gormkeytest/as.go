package gormkeytest

import (
	"strings"
	"sync/atomic"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/event"
)

var asCases = []testCase{
	{"as/R49 re-authentication", asReauthenticate},
	{"as/R49 re-authentications at once", asReauthenticateRace},
	{"as/R49 re-authentication against a password change", asReauthenticateChange},
	{"as/R49 the absolute lifetime begins anew", asAbsolute},
	{"as/R50 recent to the millisecond", asRecent},
	{"as/R51 each operation, in each state", asOperations},
	{"as/R51 a session that ends meanwhile", asEnded},
	{"as/R51 bad input", asInput},
	{"as/R52 a password is asked of those who have one", asMethods},
	{"as/R55 ending everything is never refused", asEndAll},
	{"as/R130 statements", asStatements},
}

const tenMinutes = 10 * time.Minute

func asReauthenticate(s *suite) {
	var told []event.Event
	f := s.withFacts(gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		told = append(told, e)
		return nil
	}))
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	must(s, second(f.AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))))
	old, err := f.SignIn(ctx, email(ada.Email), f.Remembered(true), func(d *device) { d.Country = "NO" })
	must(s, err)
	opened := f.clock.Now()
	f.clock.Advance(time.Hour)

	wrong := email(ada.Email)
	wrong.Password = "a wrong password"
	for name, c := range map[string]struct {
		token gormkey.Token
		login gormkey.Credentials
		want  error
	}{
		"a wrong password":        {old.Token, wrong, gormkey.ErrInvalidCredentials},
		"somebody else's key":     {old.Token, email(bob.Email), gormkey.ErrInvalidCredentials},
		"nobody's key":            {old.Token, email("nobody"), gormkey.ErrInvalidCredentials},
		"GitHub for a password":   {old.Token, gormkey.Proved("github", "1"), gormkey.ErrInvalidCredentials},
		"a token of no session":   {newToken(), email(ada.Email), gormkey.ErrInvalidSession},
		"a malformed token":       {"short", email(ada.Email), gormkey.ErrInvalidSession},
		"malformed credentials":   {old.Token, gormkey.Credentials{Provider: "email", ID: strings.Repeat("x", 300), Password: "x"}, gormkey.ErrInvalidArgument},
		"an empty password":       {old.Token, gormkey.Credentials{Provider: "email", ID: ada.Email}, gormkey.ErrInvalidCredentials},
		"the session's id as one": {gormkey.Token(old.ID), email(ada.Email), gormkey.ErrInvalidSession},
	} {
		before := snapshot(s, f)
		told = nil
		session, err := f.Reauthenticate(ctx, c.token, c.login)
		wantErr(s, name, err, c.want)
		equal(s, name+": session", session, nil)
		equal(s, name+": rows", snapshot(s, f), before)
		if c.want == gormkey.ErrInvalidCredentials && (len(told) != 1 || told[0].Type != event.SignInFailed || told[0].Err == nil) {
			s.Errorf("%s: the hooks were told %+v, want a failed sign-in with its reason", name, told)
		}
	}

	told = nil
	again, err := f.Reauthenticate(ctx, old.Token, email(ada.Email))
	must(s, err)
	now := gormkey.UnixMilli(f.clock.Now().UnixMilli())
	equal(s, "facts", factsOf(&again.Session), facts{gormkey.UnixMilli(opened.UnixMilli()), now, 0, "pwd", "yes"})
	equal(s, "own column", again.Country, "NO")
	equal(s, "user", again.User.Email, ada.Email)
	equal(s, "fresh", again.Fresh, true)
	equal(s, "idle end", again.IdleExpires.Time(), f.clock.Now().Add(ActivePeriod+IdlePeriod).UTC())
	equal(s, "same token", again.Token == old.Token, false)
	_, err = f.ValidateSession(ctx, old.Token)
	wantErr(s, "the old token", err, gormkey.ErrInvalidSession)
	_, err = f.Reauthenticate(ctx, old.Token, email(ada.Email))
	wantErr(s, "the old token once more", err, gormkey.ErrInvalidSession)
	stored, err := f.ValidateSession(ctx, again.Token)
	must(s, err)
	equal(s, "stored facts", factsOf(&stored.Session), factsOf(&again.Session))
	equal(s, "stored own column", stored.Country, "NO")
	equal(s, "sessions", count(s, f.db, "user_session"), 1)
	equal(s, "events", len(told), 1)
	equal(s, "event", told[0], event.Event{Type: event.Reauthenticated, At: now, UserID: ada.ID, SessionID: again.ID, KeyID: keyID("email", ada.Email), Methods: again.Methods})
}

func asReauthenticateRace(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	for round := range max(3, fullRounds(20, 200)) {
		old, err := f.SignIn(ctx, email(ada.Email), func(d *device) { d.Country = "NO" })
		must(s, err)
		var won atomic.Int64
		atOnce(repeat(16, func(int) {
			session, err := f.Reauthenticate(ctx, old.Token, email(ada.Email))
			switch {
			case err == nil:
				won.Add(1)
				if stored, err := f.ValidateSession(ctx, session.Token); err != nil || stored.Country != "NO" {
					s.Errorf("round %d: the winner's session: %v", round, err)
				}
			case !isErr(err, gormkey.ErrInvalidSession) && !isErr(err, gormkey.ErrBusy):
				s.Errorf("round %d: %v", round, err)
			}
		})...)
		equal(s, "winners", won.Load(), 1)
		must(s, f.EndAllSessions(ctx, ada.ID))
	}
}

// asReauthenticateChange: a password that is being changed makes no session recent afterwards.
func asReauthenticateChange(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	password := goodPassword
	for round := range max(4, fullRounds(20, 200)) {
		login := gormkey.Credentials{Provider: "email", ID: ada.Email, Password: password}
		next := login
		next.Password += "!"
		own, err := f.SignIn(ctx, login)
		must(s, err)
		changed := make(chan struct{})
		atOnce(func() {
			defer close(changed)
			must(s, second(f.OverwritePassword(ctx, next, own.ID)))
		}, func() {
			if round%2 == 1 {
				<-changed
			}
			session, err := f.Reauthenticate(ctx, own.Token, login)
			<-changed
			switch {
			case err != nil && !isErr(err, gormkey.ErrInvalidCredentials) && !isErr(err, gormkey.ErrInvalidSession) && !isErr(err, gormkey.ErrBusy):
				s.Errorf("round %d: %v", round, err)
			case err == nil:
				if _, err := f.GetSession(ctx, session.Token); !isErr(err, gormkey.ErrInvalidSession) {
					s.Errorf("round %d: a session that the old password made recent: %v, want it ended", round, err)
				}
			}
		})
		password = next.Password
	}
}

func asAbsolute(s *suite) {
	f := s.withFacts(gormkey.WithAbsoluteLifetime(48 * time.Hour))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	f.clock.Advance(20 * time.Hour)
	session, err = f.Reauthenticate(ctx, session.Token, email(ada.Email))
	must(s, err)
	equal(s, "absolute end", session.AbsoluteExpires.Time(), f.clock.Now().Add(48*time.Hour).UTC())
	stored, err := f.GetSession(ctx, session.Token)
	must(s, err)
	equal(s, "stored", stored.AbsoluteExpires, session.AbsoluteExpires)
}

func asRecent(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	at := session.AuthenticatedAt.Time()
	for after, want := range map[time.Duration]bool{
		tenMinutes - time.Millisecond: true, tenMinutes: true, tenMinutes + time.Millisecond: false,
		-59 * time.Second: true, -time.Minute: true, -61 * time.Second: false,
	} {
		equal(s, "recent after "+after.String(), session.RecentWithin(at.Add(after), tenMinutes), want)
	}
	attributes := map[string]any{"Name": "Ada"}
	f.clock.Advance(tenMinutes)
	must(s, second(f.As(session, tenMinutes).UpdateUserAttributes(ctx, ada.ID, attributes)))
	f.clock.Advance(time.Millisecond)
	wantErr(s, "a millisecond later", second(f.As(session, tenMinutes).UpdateUserAttributes(ctx, ada.ID, attributes)), gormkey.ErrNotRecent)
}

// ownOperations are what a user does to their own account, by a repository bound to a session.
func ownOperations(s *suite, ada *account, session *device) map[string]func(own *accountsAuth) error {
	ctx := s.Context()
	return map[string]func(own *accountsAuth) error{
		"AddKey": func(own *accountsAuth) error {
			return second(own.AddKey(ctx, ada.ID, gormkey.Proved("gitlab", ada.ID)))
		},
		"ShareKey": func(own *accountsAuth) error {
			return second(own.ShareKey(ctx, keyID("username", ada.ID), keyID("email", ada.Email)))
		},
		"RenameKey": func(own *accountsAuth) error {
			return own.RenameKey(ctx, ada.ID, keyID("email", ada.Email), "new-"+ada.Email)
		},
		"RemoveKey": func(own *accountsAuth) error { return own.RemoveKey(ctx, ada.ID, keyID("email", ada.Email)) },
		"ChangePassword": func(own *accountsAuth) error {
			return second(own.ChangePassword(ctx, email(ada.Email), "a new good password", session.ID))
		},
		"OverwritePassword": func(own *accountsAuth) error {
			return second(own.OverwritePassword(ctx, gormkey.Credentials{Provider: "email", ID: ada.Email, Password: "a new good password"}, session.ID))
		},
		"UpdateUserAttributes": func(own *accountsAuth) error {
			return second(own.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Name": "Ada of " + ada.ID}))
		},
		"IssueToken": func(own *accountsAuth) error {
			return second(own.IssueToken(ctx, ada.ID, gormkey.PurposeChangeEmail, "new@example.com", hour))
		},
		"DeleteUser":       func(own *accountsAuth) error { return own.DeleteUser(ctx, ada.ID) },
		"EndSession":       func(own *accountsAuth) error { return own.EndSession(ctx, ada.ID, session.ID) },
		"EndOtherSessions": func(own *accountsAuth) error { return own.EndOtherSessions(ctx, ada.ID, session.ID) },
	}
}

// asStates are the sessions that allow nothing, and why.
var asStates = []struct {
	name string
	of   func(s *suite, f *accounts, ada, bob *account) *device
	want error
}{
	{"stale", func(s *suite, f *accounts, ada, _ *account) *device {
		session := signedIn(s, f, ada)
		f.clock.Advance(tenMinutes + time.Millisecond)
		return session
	}, gormkey.ErrNotRecent},
	{"ended", func(s *suite, f *accounts, ada, _ *account) *device {
		session := signedIn(s, f, ada)
		must(s, f.SignOut(s.Context(), session.Token))
		return session
	}, gormkey.ErrInvalidSession},
	{"dead", func(s *suite, f *accounts, ada, _ *account) *device {
		session := signedIn(s, f, ada)
		must(s, f.db.WithContext(s.Context()).Exec("UPDATE user_session SET idle_expires = 1 WHERE id = ?", string(session.ID)).Error)
		return session
	}, gormkey.ErrInvalidSession},
	{"somebody else's", func(s *suite, f *accounts, _, bob *account) *device { return signedIn(s, f, bob) }, gormkey.ErrInvalidSession},
	{"forged owner", func(s *suite, f *accounts, ada, bob *account) *device {
		session := signedIn(s, f, bob)
		session.UserID = ada.ID
		return session
	}, gormkey.ErrInvalidSession},
	{"forged time", func(s *suite, f *accounts, ada, _ *account) *device {
		session := signedIn(s, f, ada)
		f.clock.Advance(time.Hour)
		session.AuthenticatedAt = gormkey.UnixMilli(f.clock.Now().UnixMilli())
		return session
	}, gormkey.ErrNotRecent},
	{"without facts", func(s *suite, f *accounts, ada, _ *account) *device {
		session, err := f.OpenSession(s.Context(), ada.ID)
		must(s, err)
		return session
	}, gormkey.ErrNotRecent},
}

// asOperations runs each operation by a session that allows it, and by those that do not and so
// change nothing.
func asOperations(s *suite) {
	f := s.withFacts()
	all := func() string { return snapshot(s, f) + rowsOf(s, f, "user_token") }
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	must(s, second(f.AddKey(s.Context(), ada.ID, gormkey.Proved("github", "1"))))
	for _, state := range asStates {
		other := signedIn(s, f, ada)
		session := state.of(s, f, ada, bob)
		before := all()
		for name, operation := range ownOperations(s, ada, other) {
			err := operation(f.As(session, tenMinutes))
			if !isErr(err, state.want) {
				s.Errorf("%s, %s: got %v, want %v", name, state.name, err, state.want)
			}
			equal(s, name+", "+state.name, all(), before)
		}
		must(s, f.EndAllSessions(s.Context(), ada.ID))
	}
	for name := range ownOperations(s, ada, &device{}) {
		ada := signUp(s, f, "ada-"+strings.ToLower(name))
		must(s, second(f.AddKey(s.Context(), ada.ID, gormkey.Proved("github", name))))
		session, other := signedIn(s, f, ada), signedIn(s, f, ada)
		before := all()
		if err := ownOperations(s, ada, other)[name](f.As(session, tenMinutes)); err != nil {
			s.Errorf("%s: %v", name, err)
		} else if all() == before {
			s.Errorf("%s: changed nothing", name)
		}
	}
}

func signedIn(s *suite, f *accounts, a *account) *device {
	s.Helper()
	session, err := f.SignIn(s.Context(), email(a.Email))
	must(s, err)
	return session
}

// asEnded: the session is read in the transaction of the act. So whatever ends it first refuses
// the act, and the act that came first was done by a session that lived.
func asEnded(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	var done, refused atomic.Int64
	for round := range max(6, fullRounds(30, 300)) {
		session := signedIn(s, f, ada)
		turns := newTurns(round)
		atOnce(func() {
			turns.afterSecond(0)
			defer turns.firstDone()
			err := second(f.As(session, tenMinutes).UpdateUserAttributes(ctx, ada.ID, map[string]any{"Name": "changed"}))
			switch {
			case err == nil:
				done.Add(1)
			case isErr(err, gormkey.ErrInvalidSession):
				refused.Add(1)
			case !isErr(err, gormkey.ErrBusy):
				s.Errorf("round %d: %v", round, err)
			}
		}, func() {
			turns.afterFirst()
			defer turns.secondDone()
			must(s, f.SignOut(ctx, session.Token))
		})
		_, err := f.As(session, tenMinutes).AddKey(ctx, ada.ID, gormkey.Proved("github", "9"))
		wantErr(s, "after the sign-out", err, gormkey.ErrInvalidSession)
	}
	if done.Load() == 0 || refused.Load() == 0 {
		s.Errorf("%d done and %d refused, want some of both", done.Load(), refused.Load())
	}
}

func asInput(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session := signedIn(s, f, ada)
	before := snapshot(s, f)
	for name, own := range map[string]*accountsAuth{
		"no session":  f.As(nil, tenMinutes),
		"too short":   f.As(session, time.Minute-1),
		"too long":    f.As(session, 24*time.Hour+1),
		"transaction": f.As(session, 0).With(f.db),
	} {
		wantErr(s, name, own.DeleteUser(ctx, ada.ID), gormkey.ErrUsage)
	}
	equal(s, "rows", snapshot(s, f), before)
	must(s, second(f.As(session, time.Minute).GetUser(ctx, ada.ID)))
	must(s, second(f.As(session, 24*time.Hour).UserSessions(ctx, ada.ID)))
	if s.batches {
		return
	}
	stale := signedIn(s, f, ada)
	f.clock.Advance(time.Hour)
	before = snapshot(s, f)
	must(s, f.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		wantErr(s, "in a transaction", f.As(stale, tenMinutes).With(tx).DeleteUser(ctx, ada.ID), gormkey.ErrNotRecent)
		return nil
	}))
	equal(s, "rows after the transaction", snapshot(s, f), before)
}

func asMethods(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	hub := &account{Email: "hub@example.com"}
	must(s, f.CreateUser(ctx, hub, gormkey.Proved("github", "7")))
	act := func(session *device) error {
		return second(f.As(session, tenMinutes).UpdateUserAttributes(ctx, session.UserID, map[string]any{"Name": "x"}))
	}
	by := func(a *account, methods ...authtype.Method) *device {
		session, err := f.OpenSession(ctx, a.ID, f.By(methods...))
		must(s, err)
		return session
	}
	for method, want := range map[authtype.Method]error{
		authtype.MethodMail: gormkey.ErrNotRecent, authtype.MethodFederation: gormkey.ErrNotRecent, authtype.MethodDevice: gormkey.ErrNotRecent,
		authtype.MethodPassword: nil, authtype.MethodPasskey: nil, authtype.MethodPasskeyUV: nil,
	} {
		wantErr(s, "ada by "+string(method), act(by(ada, method)), want)
	}
	must(s, act(by(hub, authtype.MethodMail)))
	must(s, act(by(hub, authtype.MethodFederation)))
	wantErr(s, "hub by a known device", act(by(hub, authtype.MethodDevice)), gormkey.ErrNotRecent)
	// The link of a mail, and then the password.
	session := by(ada, authtype.MethodMail)
	session, err := f.Reauthenticate(ctx, session.Token, email(ada.Email))
	must(s, err)
	equal(s, "methods", session.Methods, "mail pwd")
	must(s, act(session))
	hubs := by(hub, authtype.MethodMail)
	f.clock.Advance(time.Hour)
	wantErr(s, "hub an hour later", act(hubs), gormkey.ErrNotRecent)
	hubs, err = f.Reauthenticate(ctx, hubs.Token, gormkey.Proved("github", "7"))
	must(s, err)
	must(s, act(hubs))
}

func asEndAll(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, other := signedIn(s, f, ada), signedIn(s, f, ada)
	f.clock.Advance(time.Hour)
	own := f.As(session, tenMinutes)
	wantErr(s, "one", own.EndSession(ctx, ada.ID, other.ID), gormkey.ErrNotRecent)
	wantErr(s, "others", own.EndOtherSessions(ctx, ada.ID, session.ID), gormkey.ErrNotRecent)
	equal(s, "sessions", count(s, f.db, "user_session"), 2)
	must(s, own.EndAllSessions(ctx, ada.ID))
	equal(s, "sessions after the end of all", count(s, f.db, "user_session"), 0)
}

func asStatements(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	recorder.taken()
	session, err := auth.SignIn(ctx, email(ada.Email))
	must(s, err)
	signIn := len(recorder.taken())
	must(s, second(auth.ValidateSession(ctx, session.Token)))
	equal(s, "session check", len(recorder.taken()), 1)
	must(s, second(auth.Reauthenticate(ctx, session.Token, email(ada.Email))))
	if n := len(recorder.taken()); n > 4 {
		s.Errorf("re-authentication: %d statements, want at most 4", n)
	}
	plain := s.accounts()
	bob := signUp(s, plain, "bob")
	recorder = record(plain.db)
	auth, err = from(plain.db)
	must(s, err)
	recorder.taken()
	must(s, second(auth.SignIn(ctx, email(bob.Email))))
	equal(s, "statements of a sign-in", signIn, len(recorder.taken()))
}
