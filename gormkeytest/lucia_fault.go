package gormkeytest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

var luciaFaultCases = []testCase{
	{"lucia/R34 signing out is all or nothing", luciaSignOutFault},
	{"lucia/ids that the column takes for equal", luciaEqualIDs},
	{"lucia/R26 no event holds a token", luciaEvents},
	{"lucia/R26 a session's id shows no token", luciaShownIDs},
	{"lucia/a session is ended or kept by the id that was shown", luciaByShownID},
}

// luciaSignOutFault: under WithLuciaV2 a session may be under two ids, which go together.
func luciaSignOutFault(s *suite) {
	f := s.accounts(gormkey.WithLuciaV2())
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	failures := 0
	for n := 1; ; n++ {
		s.bound(n)
		session, err := auth.OpenSession(ctx, ada.ID)
		must(s, err)
		// And one of a process that hashes them already.
		must(s, f.db.Session(&gorm.Session{NewDB: true}).Create(&gormkey.Session[account]{
			ID: session.Token.ID(), UserID: ada.ID, ActiveExpires: session.ActiveExpires, IdleExpires: session.IdleExpires,
		}).Error)
		before, seen := rows(s, f.db), 0
		recorder.inject = func(string) error {
			if seen++; seen == n {
				return errStop
			}
			return nil
		}
		err = auth.SignOut(ctx, session.Token)
		recorder.inject = nil
		if err == nil {
			equal(s, "sessions after signing out", count(s, f.db, "user_session"), before[2]-2)
			break
		}
		failures++
		if isErr(err, gormkey.ErrOutcomeUnknown) { // the commit
			must(s, f.EndAllSessions(ctx, ada.ID))
			continue
		}
		equal(s, "rows after an error", rows(s, f.db), before)
		must(s, f.EndAllSessions(ctx, ada.ID))
	}
	if failures == 0 {
		s.Error("no statement was made to fail")
	}
}

// luciaEqualIDs: what a collation takes for equal is a duplicate of the id, not of another
// column.
func luciaEqualIDs(s *suite) {
	f := s.accounts(gormkey.WithLuciaV2())
	ctx := s.Context()
	must(s, f.CreateUser(ctx, &account{User: gormkey.User{ID: "abcdefgh1"}, Email: "a"}, gormkey.Proved("github", "abc")))
	const token = "abcdefghijklmnopqrstuvwxyz"
	with := func(token gormkey.Token) func(*device) { return func(d *device) { d.Token = token } }
	must(s, second(f.OpenSession(ctx, "abcdefgh1", with(token))))

	user := f.CreateUser(ctx, &account{User: gormkey.User{ID: "ABCDEFGH1"}, Email: "b"})
	key := second(f.AddKey(ctx, "abcdefgh1", gormkey.Proved("github", "ABC")))
	session := second(f.OpenSession(ctx, "abcdefgh1", with("ABCDEFGHIJKLMNOPQRSTUVWXYZ")))
	if f.db.Name() == "mysql" {
		wantErr(s, "user", user, gormkey.ErrDuplicateUser)
		wantErr(s, "key", key, gormkey.ErrDuplicateKey)
		wantErr(s, "session", session, gormkey.ErrDuplicateSession)
		equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 1})
		return
	}
	must(s, user)
	must(s, key)
	must(s, session)
	equal(s, "rows", rows(s, f.db), [3]int64{2, 2, 2})
}

// luciaEvents: a session's id is its token, and events name the session by its hash.
func luciaEvents(s *suite) {
	var got []event.Event
	f := s.accounts(gormkey.WithLuciaV2(), gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		got = append(got, e)
		return nil
	}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	f.clock.Advance(ActivePeriod + 1e9)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	second, err := f.SignIn(ctx, email(ada.Email), f.Replacing(session.Token))
	must(s, err)
	must(s, f.EndSession(ctx, ada.ID, second.ID))
	named := 0
	for _, e := range got {
		switch e.SessionID {
		case "":
		case session.Token.ID(), second.Token.ID():
			named++
		default:
			s.Errorf("%s: got session id of %d bytes, want a token's hash", e.Type, len(e.SessionID))
		}
	}
	equal(s, "events that name a session", named, 7)
}

// luciaShownIDs: a session's id is its token, and whatever prints, logs or encodes the
// session shows the hash.
func luciaShownIDs(s *suite) {
	f := s.accounts(gormkey.WithLuciaV2())
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(s.Context(), email(ada.Email))
	must(s, err)
	equal(s, "id in the row", string(session.ID), string(session.Token))
	list, err := f.UserSessions(s.Context(), ada.ID)
	must(s, err)
	encoded, err := json.Marshal(list)
	must(s, err)
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("ended", "id", session.ID, "sessions", list)
	shown := []string{string(encoded), logged.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, session.ID), fmt.Sprintf(verb, *session))
		// Not %s and %q of the list: vet refuses them for pointers, since fmt then calls no method.
		if verb != "%s" && verb != "%q" {
			shown = append(shown, fmt.Sprintf(verb, list))
		}
	}
	for i, text := range shown {
		for _, secret := range []string{string(session.Token), fmt.Sprintf("%x", string(session.Token))} {
			if strings.Contains(text, secret) {
				s.Errorf("text %d: got the token", i)
			}
		}
	}
	equal(s, "what an id shows", fmt.Sprint(session.ID), string(session.Token.ID()))
	equal(s, "what no id shows", fmt.Sprint(gormkey.SessionID("")), "")
}

// luciaByShownID: the list of a user's devices shows hashes, and what it sends back names a
// session, stored by its token or by its hash.
func luciaByShownID(s *suite) {
	f := s.accounts(gormkey.WithLuciaV2())
	ctx := s.Context()
	ada, eve := signUp(s, f, "ada"), signUp(s, f, "eve")
	open := func(user *account) *device {
		session, err := f.SignIn(ctx, email(user.Email))
		must(s, err)
		return session
	}
	live := func(what string, want int64) {
		s.Helper()
		equal(s, what, count(s, f.db, "user_session"), want)
	}
	first, second, third, hers := open(ada), open(ada), open(ada), open(eve)
	shown := func(session *device) gormkey.SessionID { return session.Token.ID() }
	must(s, f.db.Exec("UPDATE user_session SET id = ? WHERE id = ?", string(shown(third)), string(third.ID)).Error)

	wantErr(s, "another user's", f.EndSession(ctx, ada.ID, shown(hers)), gormkey.ErrInvalidSession)
	wantErr(s, "without its user", f.EndSessionOfAnyone(ctx, shown(first)), gormkey.ErrInvalidArgument)
	live("after two refusals", 4)
	must(s, f.EndSession(ctx, ada.ID, shown(first)))
	wantErr(s, "the same again", f.EndSession(ctx, ada.ID, shown(first)), gormkey.ErrInvalidSession)
	live("after one", 3)
	must(s, f.EndSession(ctx, ada.ID, third.ID)) // as it was read before its row was hashed
	live("after the moved one", 2)

	open(ada)
	must(s, f.EndOtherSessions(ctx, ada.ID, shown(second)))
	_, err := f.ValidateSession(ctx, second.Token)
	must(s, err)
	live("after all but one", 2)
	open(ada)
	_, err = f.OverwritePassword(ctx, email(ada.Email), shown(second))
	must(s, err)
	_, err = f.ValidateSession(ctx, second.Token)
	must(s, err)
	live("after a new password", 2)
	must(s, f.EndSessionOfAnyone(ctx, second.ID))
	live("at the end", 1)
}
