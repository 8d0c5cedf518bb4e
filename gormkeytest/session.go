package gormkeytest

import (
	"fmt"
	"slices"
	"time"

	"github.com/gormkey/gormkey"
)

var sessionCases = []testCase{
	{"session/R09 edges of its life", sessionLife},
	{"session/renewal", sessionRenewal},
	{"session/R10 renewal is monotone", sessionMonotone},
	{"session/R09 absolute lifetime", sessionAbsolute},
	{"session/absolute lifetime turned on later", sessionAbsoluteLater},
	{"session/own columns", sessionOwnColumns},
	{"session/own token", sessionOwnToken},
	{"session/R41 list and end", sessionListAndEnd},
	{"session/R06 an ended session stays ended", sessionEnded},
	{"session/dead sessions", sessionDead},
	{"session/odd expiries", sessionOddExpiries},
	{"session/tenant filter as a Query callback", sessionTenant},
}

// sessionLife holds Lucia v2's four edges: equality is still inside.
func sessionLife(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	const created = 1_700_000_000_000
	for _, c := range []struct {
		name  string
		now   int64
		state gormkey.SessionState
	}{
		{"created", created, gormkey.StateActive},
		{"last active ms", created + 86_400_000, gormkey.StateActive},
		{"first idle ms", created + 86_400_001, gormkey.StateIdle},
		{"last idle ms", created + 1_296_000_000, gormkey.StateIdle},
		{"first dead ms", created + 1_296_000_001, gormkey.StateDead},
	} {
		f.clock.Advance(time.UnixMilli(created).Sub(f.clock.Now()))
		session, err := f.OpenSession(ctx, ada.ID)
		must(s, err)
		equal(s, "fresh on creation", session.Fresh, true)
		equal(s, "active_expires", session.ActiveExpires, created+86_400_000)
		equal(s, "idle_expires", session.IdleExpires, created+1_296_000_000)
		f.clock.Advance(time.Duration(c.now-created) * time.Millisecond)
		got, err := f.GetSession(ctx, session.Token)
		list, listErr := f.UserSessions(ctx, ada.ID)
		must(s, listErr)
		if c.state == gormkey.StateDead {
			wantErr(s, c.name+": GetSession", err, gormkey.ErrInvalidSession)
			_, err = f.ValidateSession(ctx, session.Token)
			wantErr(s, c.name+": ValidateSession", err, gormkey.ErrInvalidSession)
			equal(s, c.name+": listed", len(list), 0)
			continue
		}
		must(s, err)
		equal(s, c.name+": state", got.State(time.UnixMilli(c.now)), c.state)
		equal(s, c.name+": GetSession is fresh", got.Fresh, false)
		equal(s, c.name+": GetSession's expiry", got.IdleExpires, session.IdleExpires)
		equal(s, c.name+": listed", len(list), 1)
		got, err = f.ValidateSession(ctx, session.Token)
		must(s, err)
		equal(s, c.name+": renewed", got.Fresh, c.state == gormkey.StateIdle)
		if got.Fresh {
			equal(s, c.name+": active_expires", int64(got.ActiveExpires), c.now+86_400_000)
			equal(s, c.name+": idle_expires", int64(got.IdleExpires), c.now+1_296_000_000)
		}
		must(s, f.EndSessionOfAnyone(ctx, session.ID))
	}
}

func sessionRenewal(s *suite) {
	f := s.accounts(gormkey.WithSessionPeriods(time.Minute, time.Hour))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	equal(s, "length of a token", len(string(session.Token)), 40)
	equal(s, "id", session.ID, session.Token.ID())
	if session.User == nil || session.User.Email != ada.Email {
		s.Errorf("user of a sign-in: got %+v", session.User)
	}
	for range 30 { // longer than both periods together
		f.clock.Advance(30 * time.Minute)
		got, err := f.ValidateSession(ctx, session.Token)
		must(s, err)
		if !got.Fresh || got.Token != session.Token || got.ID != session.ID || got.User.Email != ada.Email {
			s.Fatalf("renewed session: got %+v", got)
		}
		stored, err := f.GetSession(ctx, session.Token)
		must(s, err)
		equal(s, "stored expiry", stored.IdleExpires, got.IdleExpires)
	}
	f.clock.Advance(61*time.Minute + time.Millisecond)
	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "dead session", err, gormkey.ErrInvalidSession)
	equal(s, "sessions", count(s, f.db, "user_session"), 1) // its row is left to the cleanup
}

func sessionMonotone(s *suite) {
	f := s.accounts(gormkey.WithSessionPeriods(time.Minute, time.Hour))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	late := NewClock()
	late.Advance(-10 * time.Minute)
	other := s.again(f.db)
	behind := newAccounts(s, gormkey.WithClock(late.Now), gormkey.WithSessionPeriods(time.Minute, time.Hour))
	must(s, other.Use(behind))
	slow, err := from(other)
	must(s, err)
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	last := session.IdleExpires
	for i := range 40 {
		f.clock.Advance(12 * time.Minute)
		late.Advance(12 * time.Minute)
		repositories := []*accountsAuth{f.RepositoryOf, slow}
		for _, r := range []*accountsAuth{repositories[i%2], repositories[1-i%2]} {
			if _, err := r.ValidateSession(ctx, session.Token); err != nil {
				s.Fatalf("round %d: %v", i, err)
			}
			got, err := f.GetSession(ctx, session.Token)
			must(s, err)
			if got.IdleExpires < last {
				s.Fatalf("round %d: expiry moved back from %d to %d", i, last, got.IdleExpires)
			}
			last = got.IdleExpires
		}
	}
}

func sessionAbsolute(s *suite) {
	f := s.accounts(gormkey.WithSessionPeriods(time.Hour, 10*time.Hour), gormkey.WithAbsoluteLifetime(24*time.Hour))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	end := session.ActiveExpires.Time().Add(23 * time.Hour)
	equal(s, "absolute end", session.AbsoluteExpires.Time(), end)
	renewals := 0
	for f.clock.Now().Before(end.Add(-time.Hour)) {
		f.clock.Advance(2 * time.Hour)
		got, err := f.ValidateSession(ctx, session.Token)
		must(s, err)
		if got.IdleExpires.Time().After(end) || got.AbsoluteExpires.Time() != end {
			s.Fatalf("got idle end %v and absolute end %v, want at most %v", got.IdleExpires.Time(), got.AbsoluteExpires.Time(), end)
		}
		if got.Fresh {
			renewals++
		}
	}
	if renewals < 5 {
		s.Errorf("got %d renewals, want at least 5", renewals)
	}
	f.clock.Advance(end.Sub(f.clock.Now()))
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	// A process without the option renews it; the end stands.
	far := gormkey.UnixMilli(end.UnixMilli()) + 1e10
	must(s, f.db.Table("user_session").Where("id = ?", session.ID).Updates(map[string]any{"active_expires": far, "idle_expires": far}).Error)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	f.clock.Advance(time.Millisecond)
	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "past the absolute end", err, gormkey.ErrInvalidSession)
	list, err := f.UserSessions(ctx, ada.ID)
	must(s, err)
	equal(s, "listed", len(list), 0)
}

func sessionAbsoluteLater(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	equal(s, "column without the option", f.db.Migrator().HasColumn("user_session", "absolute_expires"), false)

	other := s.again(f.db)
	plugin := newAccounts(s, gormkey.WithClock(f.clock.Now), gormkey.WithAbsoluteLifetime(30*24*time.Hour))
	must(s, other.Use(plugin))
	must(s, plugin.AutoMigrate(other))
	limited, err := from(other)
	must(s, err)
	f.clock.Advance(48 * time.Hour)
	got, err := limited.ValidateSession(ctx, session.Token)
	must(s, err)
	equal(s, "lifetime counts from the renewal", got.AbsoluteExpires.Time(), f.clock.Now().Add(30*24*time.Hour).UTC())
	_, err = f.ValidateSession(ctx, session.Token) // a process without the option goes on
	must(s, err)

	// A lifetime shorter than what the session has left ends it that much sooner.
	older, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	third := s.again(f.db)
	strict := newAccounts(s, gormkey.WithClock(f.clock.Now), gormkey.WithAbsoluteLifetime(24*time.Hour))
	must(s, third.Use(strict))
	day, err := from(third)
	must(s, err)
	f.clock.Advance(25 * time.Hour)
	_, err = day.ValidateSession(ctx, older.Token)
	must(s, err)
	f.clock.Advance(24 * time.Hour)
	_, err = day.ValidateSession(ctx, older.Token)
	must(s, err)
	f.clock.Advance(time.Millisecond)
	_, err = day.ValidateSession(ctx, older.Token)
	wantErr(s, "a day after the first renewal", err, gormkey.ErrInvalidSession)
}

func sessionOwnColumns(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	phone, err := f.SignIn(ctx, email(ada.Email), as(device{Country: "NO", UserAgent: "phone"}))
	must(s, err)
	laptop, err := f.OpenSession(ctx, ada.ID, func(d *device) { d.UserAgent = "?" }, func(d *device) { d.UserAgent = "laptop" })
	must(s, err)
	got, err := f.ValidateSession(ctx, phone.Token)
	must(s, err)
	if got.Country != "NO" || got.UserAgent != "phone" || got.User.Email != ada.Email || got.Token != phone.Token {
		s.Errorf("got %+v", got)
	}
	list, err := f.UserSessions(ctx, ada.ID)
	must(s, err)
	agents := []string{list[0].UserAgent, list[1].UserAgent}
	slices.Sort(agents)
	equalLists(s, "devices", agents, []string{"laptop", "phone"})
	got, err = f.UpdateSessionAttributes(ctx, laptop.ID, map[string]any{"Country": "SE", "user_agent": "tablet"})
	must(s, err)
	if got.UserID != ada.ID || got.Country != "SE" || got.UserAgent != "tablet" || got.User.Email != ada.Email {
		s.Errorf("after an update: got %+v", got)
	}
	got, err = f.GetSession(ctx, laptop.Token)
	must(s, err)
	equal(s, "GetSession", got.UserAgent, "tablet")
	got, err = f.UpdateSessionAttributes(ctx, "nosuch", map[string]any{"Country": "SE"})
	wantErr(s, "unknown session", err, gormkey.ErrInvalidSession)
	equal(s, "session after an error", got == nil, true)
	got, err = f.ValidateSession(ctx, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	wantErr(s, "unknown token", err, gormkey.ErrInvalidSession)
	equal(s, "session after an error", got == nil, true)

	var plain device
	must(s, f.db.InnerJoins("User").First(&plain, "user_session.id = ?", phone.ID).Error)
	equal(s, "plain GORM", plain.User.Email, ada.Email)
}

func sessionOwnToken(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	own := gormkey.Token("A_token-of-22-charactrs")
	with := func(token gormkey.Token) func(*device) { return func(d *device) { d.Token = token } }
	session, err := f.OpenSession(ctx, ada.ID, with(own))
	must(s, err)
	equal(s, "token", session.Token, own)
	got, err := f.ValidateSession(ctx, own)
	must(s, err)
	equal(s, "owner", got.UserID, ada.ID)
	_, err = f.OpenSession(ctx, ada.ID, with(own))
	wantErr(s, "token in use", err, gormkey.ErrDuplicateSession)
	for _, bad := range []gormkey.Token{"1", "aaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaa ", "aaaaaaaaaaaaaaaaaaaaaé"} {
		_, err = f.OpenSession(ctx, ada.ID, with(bad))
		wantErr(s, "malformed own token", err, gormkey.ErrUsage)
	}
	equal(s, "sessions", count(s, f.db, "user_session"), 1)
}

func sessionListAndEnd(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	var tokens []gormkey.Token
	for range 4 {
		session, err := f.SignIn(ctx, email(ada.Email))
		must(s, err)
		tokens = append(tokens, session.Token)
		f.clock.Advance(time.Second)
	}
	bobs, err := f.SignIn(ctx, email(bob.Email))
	must(s, err)
	list, err := f.UserSessions(ctx, ada.ID)
	must(s, err)
	equal(s, "listed", len(list), 4)
	equal(s, "newest first", list[0].ID, tokens[3].ID())
	equal(s, "token in a list", list[0].Token, "")
	_, err = f.UserSessions(ctx, "nobody")
	wantErr(s, "sessions of nobody", err, gormkey.ErrUserNotFound)

	wantErr(s, "another user's session", f.EndSession(ctx, ada.ID, bobs.ID), gormkey.ErrInvalidSession)
	_, err = f.ValidateSession(ctx, bobs.Token)
	must(s, err)
	must(s, f.EndSession(ctx, ada.ID, tokens[0].ID()))
	wantErr(s, "the same once more", f.EndSession(ctx, ada.ID, tokens[0].ID()), gormkey.ErrInvalidSession)
	must(s, f.EndOtherSessions(ctx, ada.ID, tokens[3].ID()))
	list, err = f.UserSessions(ctx, ada.ID)
	must(s, err)
	if len(list) != 1 || list[0].ID != tokens[3].ID() {
		s.Errorf("after ending the others: got %d sessions", len(list))
	}
	must(s, f.SignOut(ctx, tokens[3]))
	must(s, f.SignOut(ctx, tokens[3]))
	wantErr(s, "malformed token", f.SignOut(ctx, "x"), gormkey.ErrInvalidSession)
	_, err = f.ValidateSession(ctx, tokens[3])
	wantErr(s, "signed out", err, gormkey.ErrInvalidSession)
	_, err = f.SignIn(ctx, email(ada.Email))
	must(s, err)
	must(s, f.EndAllSessions(ctx, ada.ID))
	must(s, f.EndAllSessions(ctx, "nobody"))
	equal(s, "sessions left", rows(s, f.db), [3]int64{2, 2, 1})
}

// sessionEnded: whatever an application that still holds the session does with it.
func sessionEnded(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	must(s, f.EndSessionOfAnyone(ctx, session.ID))
	f.clock.Advance(48 * time.Hour) // idle: a renewal would write
	_, err = f.ValidateSession(ctx, session.Token)
	wantErr(s, "validate", err, gormkey.ErrInvalidSession)
	_, err = f.UpdateSessionAttributes(ctx, session.ID, map[string]any{"Country": "NO"})
	wantErr(s, "update", err, gormkey.ErrInvalidSession)
	must(s, f.EndSessionOfAnyone(ctx, session.ID))
	equal(s, "sessions", count(s, f.db, "user_session"), 0)
}

func sessionDead(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	for range 25 {
		_, err := f.OpenSession(ctx, ada.ID)
		must(s, err)
		_, err = f.OpenSession(ctx, bob.ID)
		must(s, err)
	}
	f.clock.Advance(15 * 24 * time.Hour) // the last idle millisecond
	live, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	n, err := f.DeleteExpired(ctx)
	must(s, err)
	equal(s, "deleted at the last idle ms", n, 0)
	f.clock.Advance(time.Millisecond)
	var progress []int64
	stop := 0
	n, err = f.DeleteExpired(ctx, gormkey.WithBatchSize(10), gormkey.WithProgress(func(deleted int64) error {
		progress = append(progress, deleted)
		if stop++; stop == 2 {
			return errStop
		}
		return nil
	}))
	wantErr(s, "stopped cleanup", err, errStop)
	equal(s, "deleted until stopped", n, 20)
	n, err = f.DeleteExpired(ctx, gormkey.WithBatchSize(10), gormkey.WithProgress(func(deleted int64) error { progress = append(progress, deleted); return nil }))
	must(s, err)
	equal(s, "deleted by the rest", n, 30)
	equal(s, "progress", fmt.Sprint(progress), "[10 20 10 20 30]")
	_, err = f.ValidateSession(ctx, live.Token)
	must(s, err)
	for _, size := range []int{0, -1, 10001} {
		_, err = f.DeleteExpired(ctx, gormkey.WithBatchSize(size))
		wantErr(s, "batch size", err, gormkey.ErrUsage)
		_, err = f.DeleteExpired(ctx, gormkey.WithProgress(nil))
		wantErr(s, "no progress", err, gormkey.ErrUsage)
	}
}

// sessionOddExpiries: what other programs stored, in units that are not milliseconds.
func sessionOddExpiries(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	odd := []int64{0, -1, 1_700_000_001, 253402300800000}
	if !s.batches { // whose integers are a JavaScript's
		odd = append(odd, 1_700_000_000_000_000_000, 9223372036854775807)
	}
	for _, idle := range odd {
		must(s, f.db.Table("user_session").Where("id = ?", session.ID).Update("idle_expires", idle).Error)
		_, err := f.ValidateSession(ctx, session.Token)
		wantErr(s, "stored expiry", err, gormkey.ErrInvalidSession)
	}
}
