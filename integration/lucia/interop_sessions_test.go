package lucia_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/gormkeytest"
)

const minute = int64(time.Minute / time.Millisecond)

// age makes a session older, in its row: Lucia's clock cannot be turned.
func (p *pair) age(t testing.TB, id string, by int64) {
	t.Helper()
	run(t, p.db.DB, fmt.Sprintf("UPDATE %s SET active_expires = active_expires - %d, idle_expires = idle_expires - %d WHERE id = '%s'",
		p.quote(p.tables.Session), by, by, id))
}

// A session is active for a day, then idle for fourteen, then dead, whoever made it.
func TestInteropSessionStates(t *testing.T) {
	day := 24 * 60 * minute
	eachPair(t, func(t *testing.T, p *pair, a, b side) {
		id := created(t, a, nil)
		for _, state := range []struct {
			name string
			age  int64
		}{
			{"active", 0}, {"active", day - minute}, {"idle", day + minute}, {"idle", 15*day - minute}, {"dead", 15*day + minute},
		} {
			made, err := a.createSession(id, "NO")
			must(t, err)
			p.age(t, made.ID, state.age)
			made.Active, made.Idle = made.Active-state.age, made.Idle-state.age
			made.Username, made.UserID, made.State, made.Fresh = "ada", id, state.name, false
			for _, s := range p.both() {
				what := fmt.Sprintf("%s: %s after %d minutes", s.name(), state.name, state.age/minute)
				got, err := s.session(made.ID)
				if state.name == "dead" {
					wantError(t, what, err, errNoSession)
					_, err = s.validate(made.ID)
					wantError(t, what, err, errNoSession)
					continue
				}
				must(t, err)
				equal(t, what, got, made)
				ids, err := s.sessions(id)
				must(t, err)
				equal(t, what+", listed", strings.Join(ids, " "), made.ID)
			}
			validated, err := b.validate(made.ID)
			if state.name == "dead" {
				wantError(t, "dead", err, errNoSession)
				continue
			}
			must(t, err)
			equal(t, state.name+": renewed", validated.Fresh, state.name == "idle")
			must(t, b.signOut(made.ID))
		}
		equal(t, "sessions left, the dead one", p.rows(t, p.tables.Session, "user_id = ?", id), 1)
		must(t, b.deleteDead(id))
		for range 1000 { // Lucia does not await its deletes
			if p.rows(t, p.tables.Session, "user_id = ?", id) == 0 {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Error("the dead session is still there")
	})
}

// What one side renews is renewed for the other.
func TestInteropRenewal(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair, a, b side) {
		id := created(t, b, nil)
		made, err := a.createSession(id, "NO")
		must(t, err)
		for _, s := range []side{b, a, b} {
			p.age(t, made.ID, 25*60*minute)
			before := time.Now().UnixMilli()
			renewed, err := s.validate(made.ID)
			must(t, err)
			equal(t, s.name()+": fresh", renewed.Fresh, true)
			equal(t, s.name()+": idle period", renewed.Idle-renewed.Active, gormkeytest.IdlePeriod.Milliseconds())
			if renewed.Active < before+gormkeytest.ActivePeriod.Milliseconds() {
				t.Errorf("%s renewed until %d", s.name(), renewed.Active)
			}
			for _, other := range p.both() {
				got, err := other.validate(made.ID)
				must(t, err)
				equal(t, other.name()+": expiries", [2]int64{got.Active, got.Idle}, [2]int64{renewed.Active, renewed.Idle})
				equal(t, other.name()+": state", got.State, "active")
				equal(t, other.name()+": fresh", got.Fresh, false)
			}
		}
	})
}

func TestInteropInvalidation(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair, a, b side) {
		id, other := created(t, a, nil), created(t, b, nil)
		open := func(s side, userID string) string {
			t.Helper()
			session, err := s.createSession(userID, "NO")
			must(t, err)
			return session.ID
		}
		one, two, three := open(a, id), open(a, id), open(b, id)
		kept := open(a, other)
		must(t, b.signOut(one))
		for _, s := range p.both() {
			_, err := s.validate(one)
			wantError(t, s.name()+": signed out", err, errNoSession)
			_, err = s.validate(two)
			wantError(t, s.name()+": another device", err, nil)
			_, err = s.validate("")
			wantError(t, s.name()+": no token", err, errNoSession)
		}
		must(t, b.signOutAll(id))
		for _, s := range p.both() {
			for _, session := range []string{one, two, three} {
				_, err := s.session(session)
				wantError(t, s.name()+": signed out everywhere", err, errNoSession)
			}
			_, err := s.validate(kept)
			wantError(t, s.name()+": another user's session", err, nil)
			ids, err := s.sessions(id)
			must(t, err)
			equal(t, s.name()+": sessions", len(ids), 0)
			must(t, s.signOut(one))
		}
		ended, err := p.gorm.auth.SignIn(t.Context(), signIn(t, a, other))
		must(t, err)
		_, err = p.lucia.validate(string(ended.Token))
		wantError(t, "Lucia: a session of SignIn", err, nil)
		must(t, p.gorm.auth.EndOtherSessions(t.Context(), other, gormkey.SessionID(kept)))
		_, err = p.lucia.validate(string(ended.Token))
		wantError(t, "Lucia: EndOtherSessions", err, errNoSession)
		_, err = p.lucia.validate(kept)
		wantError(t, "Lucia: the session that was kept", err, nil)
	})
}

// signIn gives a user a key on a side, and returns what signs in with it.
func signIn(t testing.TB, s side, userID string) gormkey.Credentials {
	t.Helper()
	key := newLogin("pa55word")
	must(t, s.createKey(userID, *key))
	return key.credentials()
}

func TestInteropSessionAttributes(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair, a, b side) {
		made, err := a.createSession(created(t, a, nil), "NO")
		must(t, err)
		for i, s := range []side{b, a} {
			country := []string{"SE", "Åland"}[i]
			must(t, s.setCountry(made.ID, country))
			for _, other := range p.both() {
				got, err := other.validate(made.ID)
				must(t, err)
				equal(t, other.name()+": country", got.Country, country)
				equal(t, other.name()+": expiries", [2]int64{got.Active, got.Idle}, [2]int64{made.Active, made.Idle})
			}
		}
		must(t, b.signOut(made.ID))
		for _, s := range p.both() {
			wantError(t, s.name()+": attributes of no session", s.setCountry(made.ID, "XX"), errNoSession)
		}
	})
}
