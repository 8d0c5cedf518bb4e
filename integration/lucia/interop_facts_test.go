package lucia_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtype"
)

// factsPair is a live Lucia on tables to which gormkey added the facts of sessions.
type factsPair struct {
	*pair
	without *gorm.DB // the handle of pair.gorm, which has no facts
	plugin  *gormkey.PluginOf[*member, *gormkey.Key[member], *visit]
	facts   goSide // gormkey with WithSessionFacts
}

func newFactsPair(t *testing.T, s schema) *factsPair {
	t.Helper()
	p := newPair(t, s)
	return &factsPair{pair: p, without: p.handle}
}

// eachFacts runs a test on each engine, after Lucia had its tables in use.
func eachFacts(t *testing.T, test func(t *testing.T, p *factsPair)) {
	for _, s := range engines {
		t.Run(s.engine, func(t *testing.T) {
			t.Parallel()
			p := newFactsPair(t, s)
			session, err := p.lucia.createSession(created(t, p.lucia, nil), "NO")
			must(t, err)
			p.open(t)
			must(t, p.plugin.AutoMigrate(p.handle))
			_, err = p.lucia.validate(session.ID)
			must(t, err)
			test(t, p)
		})
	}
}

// open opens gormkey with facts, and with tokens so that IssueToken is there.
func (p *factsPair) open(t testing.TB, more ...gormkey.Option) {
	t.Helper()
	p.handle, p.plugin = usePlugin(t, p.schema, p.db, append(more, gormkey.WithSessionFacts(), gormkey.WithOneTimeTokens())...)
	auth, err := p.plugin.Repository()
	must(t, err)
	p.facts = goSide{t, auth}
}

// table is every row of a table, for comparing.
func (p *factsPair) table(t testing.TB, name string) string {
	t.Helper()
	var rows []map[string]any
	must(t, p.handle.Table(name).Order("id").Find(&rows).Error)
	return fmt.Sprint(rows)
}

func (p *factsPair) all(t testing.TB) string {
	t.Helper()
	return strings.Join([]string{p.table(t, p.tables.User), p.table(t, p.tables.Key), p.table(t, p.tables.Session), p.table(t, "user_token")}, "\n")
}

// sessionFacts are those of a session, in a form to compare.
type sessionFacts struct {
	opened, authenticated, factor gormkey.UnixMilli
	methods                       authtype.Methods
	remembered                    string
}

var noFacts = sessionFacts{remembered: "NULL"}

func factsOf(v *visit) sessionFacts {
	f := sessionFacts{v.OpenedAt, v.AuthenticatedAt, v.FactorAt, v.Methods, "NULL"}
	if v.Remembered != nil {
		f.remembered = fmt.Sprint(*v.Remembered)
	}
	return f
}

func (p *factsPair) wantFacts(t testing.TB, what, token string, want sessionFacts) *visit {
	t.Helper()
	session, err := p.facts.auth.ValidateSession(t.Context(), gormkey.Token(token))
	must(t, err)
	equal(t, what+": facts", factsOf(session), want)
	return session
}

// The columns are added while Lucia works on the tables, by the statements that were shown before.
func TestInteropFactsAdded(t *testing.T) {
	for _, s := range engines {
		t.Run(s.engine, func(t *testing.T) {
			t.Parallel()
			p := newFactsPair(t, s)
			p.open(t)
			shown, err := p.plugin.PendingSQL(p.handle)
			must(t, err)
			for _, column := range []string{"opened_at", "authenticated_at", "factor_at", "methods", "remembered"} {
				equal(t, "statements that add "+column, len(slices.DeleteFunc(slices.Clone(shown), func(s string) bool {
					return !strings.Contains(s, "ADD") || !strings.Contains(s, column)
				})), 1)
			}
			for _, statement := range shown {
				added := strings.HasPrefix(strings.NewReplacer("`", "", `"`, "").Replace(statement), "ALTER TABLE "+p.tables.Session+" ADD ") && !strings.Contains(statement, "NOT NULL")
				if !added && !strings.Contains(statement, "user_token") {
					t.Errorf("it would send %s", statement)
				}
			}

			ids := make([]string, 8)
			kept := make([]string, len(ids))
			for i := range ids {
				ids[i] = created(t, p.lucia, nil)
				session, err := p.lucia.createSession(ids[i], "NO")
				must(t, err)
				kept[i] = session.ID
			}
			var warm, workers sync.WaitGroup
			var migrated atomic.Bool
			var rounds atomic.Int64
			warm.Add(len(ids))
			for i := range ids {
				workers.Go(func() {
					err := p.luciaRound(ids[i], kept[i])
					warm.Done()
					for after := 0; err == nil && after < 5; { // and some time with the columns
						if migrated.Load() {
							after++
						}
						err = p.luciaRound(ids[i], kept[i])
						rounds.Add(1)
					}
					if err != nil {
						t.Errorf("Lucia: %v", err)
					}
				})
			}
			warm.Wait() // its connections are there, and their statements prepared
			err = p.plugin.AutoMigrate(p.handle)
			before := rounds.Load()
			migrated.Store(true)
			workers.Wait()
			must(t, err)
			if shown, err = p.plugin.PendingSQL(p.handle); err != nil || len(shown) > 0 {
				t.Errorf("after AutoMigrate: got %q, %v, want nothing", shown, err)
			}
			for i := range ids {
				p.wantFacts(t, "opened before", kept[i], noFacts)
			}
			t.Logf("%d rounds of Lucia while the columns were added, %d after", before, rounds.Load()-before)
		})
	}
}

// luciaRound does with a user's sessions everything that a Lucia does, except to end them.
func (p *factsPair) luciaRound(userID, kept string) error {
	session, err := p.lucia.createSession(userID, "NO")
	if err != nil {
		return fmt.Errorf("createSession: %w", err)
	}
	if _, err := p.lucia.validate(session.ID); err != nil {
		return fmt.Errorf("validateSession: %w", err)
	}
	if err := p.lucia.setCountry(session.ID, "SE"); err != nil {
		return fmt.Errorf("updateSessionAttributes: %w", err)
	}
	if _, err := p.lucia.sessions(userID); err != nil {
		return fmt.Errorf("getAllUserSessions: %w", err)
	}
	if err := p.lucia.signOut(session.ID); err != nil {
		return fmt.Errorf("invalidateSession: %w", err)
	}
	if _, err := p.lucia.validate(session.ID); !errors.Is(err, errNoSession) {
		return fmt.Errorf("validateSession after the end: %w", err)
	}
	if _, err := p.lucia.validate(kept); err != nil {
		return fmt.Errorf("validateSession of another: %w", err)
	}
	return nil
}

// Lucia creates, validates, renews and ends its sessions, and deletes its users, whoever opened
// the sessions. It leaves the facts alone.
func TestInteropFactsLucia(t *testing.T) {
	eachFacts(t, func(t *testing.T, p *factsPair) {
		ctx := t.Context()
		key := newLogin("pa55word")
		id := created(t, p.lucia, key)
		theirs, err := p.lucia.createSession(id, "NO")
		must(t, err)
		yes, err := p.facts.auth.SignIn(ctx, key.credentials(), p.facts.auth.Remembered(true))
		must(t, err)
		two, err := p.facts.auth.OpenSession(ctx, id, p.facts.auth.By(authtype.MethodPassword, authtype.MethodOTP))
		must(t, err)
		if yes.AuthenticatedAt == 0 || two.FactorAt == 0 {
			t.Fatalf("got facts %v and %v, want them set", factsOf(yes), factsOf(two))
		}
		sessions := map[string]sessionFacts{theirs.ID: noFacts, string(yes.Token): factsOf(yes), string(two.Token): factsOf(two)}
		for token, want := range sessions {
			for range 3 {
				p.age(t, token, 25*60*minute)
				renewed, err := p.lucia.validate(token)
				must(t, err)
				equal(t, "renewed by Lucia", renewed.Fresh, true)
				must(t, p.lucia.setCountry(token, "SE"))
				session := p.wantFacts(t, "after Lucia", token, want)
				equal(t, "expiries", [2]int64{int64(session.ActiveExpires), int64(session.IdleExpires)}, [2]int64{renewed.Active, renewed.Idle})
				equal(t, "country", session.Country, "SE")
			}
			p.age(t, token, 25*60*minute)
			if session := p.wantFacts(t, "renewed by gormkey", token, want); !session.Fresh {
				t.Error("gormkey did not renew it")
			}
			p.wantFacts(t, "after gormkey's renewal", token, want)
			got, err := p.lucia.validate(token)
			must(t, err)
			equal(t, "state at Lucia", got.State, "active")
			// The process without the option keeps running meanwhile.
			_, err = p.gorm.validate(token)
			must(t, err)
		}
		listed, err := p.lucia.sessions(id)
		must(t, err)
		equal(t, "sessions that Lucia lists", len(listed), len(sessions))

		must(t, p.lucia.signOut(string(two.Token)))
		_, err = p.facts.auth.ValidateSession(ctx, two.Token)
		wantError(t, "a session that Lucia ended", err, gormkey.ErrInvalidSession)
		p.age(t, string(yes.Token), 16*24*60*minute)
		must(t, p.lucia.deleteDead(id))
		for n := 0; p.rows(t, p.tables.Session, "user_id = ?", id) > 1 && n < 1000; n++ { // Lucia does not await its deletes
			time.Sleep(5 * time.Millisecond)
		}
		equal(t, "sessions after the dead one", p.rows(t, p.tables.Session, "user_id = ?", id), 1)
		must(t, p.lucia.signOutAll(id))
		equal(t, "sessions after signing out everywhere", p.rows(t, p.tables.Session, "user_id = ?", id), 0)
		_, err = p.facts.auth.SignIn(ctx, key.credentials())
		must(t, err)
		must(t, p.lucia.deleteUser(id))
		equal(t, "users", p.rows(t, p.tables.User, "id = ?", id), 0)
		equal(t, "sessions of the deleted user", p.rows(t, p.tables.Session, "user_id = ?", id), 0)
		var unhandled []string
		must(t, p.lucia.node.call(&unhandled, "unhandled"))
		equal(t, "errors that Lucia did not await", strings.Join(unhandled, "; "), "")
	})
}

// ownActs are what a user does to their own account, by a repository bound to a session.
func ownActs(ctx context.Context, id, other string, key *login, own *gormkey.RepositoryOf[*member, *gormkey.Key[member], *visit]) map[string]error {
	email := gormkey.KeyID{Provider: "email", ID: key.id}
	changed := key.credentials()
	changed.Password = "an0ther pa55word"
	second := func(_ any, err error) error { return err }
	return map[string]error{
		"AddKey":               second(own.AddKey(ctx, id, gormkey.Proved("github", id))),
		"ShareKey":             second(own.ShareKey(ctx, gormkey.KeyID{Provider: "username", ID: id}, email)),
		"RenameKey":            own.RenameKey(ctx, id, email, "new-"+key.id),
		"RemoveKey":            own.RemoveKey(ctx, id, email, gormkey.AllowLastKey()),
		"ChangePassword":       second(own.ChangePassword(ctx, key.credentials(), changed.Password, "")),
		"OverwritePassword":    second(own.OverwritePassword(ctx, changed, "")),
		"UpdateUserAttributes": second(own.UpdateUserAttributes(ctx, id, map[string]any{"username": "eve"})),
		"IssueToken":           second(own.IssueToken(ctx, id, gormkey.PurposeChangeEmail, "new@example.com", time.Hour)),
		"DeleteUser":           own.DeleteUser(ctx, id),
		"EndSession":           own.EndSession(ctx, id, gormkey.SessionID(other)),
		"EndOtherSessions":     own.EndOtherSessions(ctx, id, gormkey.SessionID(other)),
	}
}

// A session that Lucia opened is valid and never recent, until its user signs in again in it.
func TestInteropFactsReauthenticate(t *testing.T) {
	eachFacts(t, func(t *testing.T, p *factsPair) {
		ctx, auth := t.Context(), p.facts.auth
		key := newLogin("pa55word")
		id := created(t, p.lucia, key)
		theirs, err := p.lucia.createSession(id, "NO")
		must(t, err)
		other, err := p.lucia.createSession(id, "SE")
		must(t, err)
		session := p.wantFacts(t, "Lucia's", theirs.ID, noFacts)
		equal(t, "recent", session.RecentWithin(time.Now(), 24*time.Hour), false)
		wantError(t, "CheckRecent", auth.CheckRecent(session, 24*time.Hour), gormkey.ErrNotRecent)
		before := p.all(t)
		for act, err := range ownActs(ctx, id, other.ID, key, auth.As(session, 24*time.Hour)) {
			wantError(t, act+" as Lucia's session", err, gormkey.ErrNotRecent)
		}
		equal(t, "rows after the refusals", p.all(t), before)

		// Of somebody without a password nothing but the time is asked.
		proved := newLogin()
		bob := created(t, p.lucia, proved)
		bobs, err := p.lucia.createSession(bob, "NO")
		must(t, err)
		_, err = auth.As(p.wantFacts(t, "Lucia's, without a password", bobs.ID, noFacts), 24*time.Hour).UpdateUserAttributes(ctx, bob, map[string]any{"username": "eve"})
		wantError(t, "UpdateUserAttributes without a password", err, gormkey.ErrNotRecent)
		name, err := p.lucia.username(bob)
		must(t, err)
		equal(t, "Lucia: name of the other", name, "ada")
		before = p.all(t)

		wrong := key.credentials()
		wrong.Password = "wr0ng"
		_, err = auth.Reauthenticate(ctx, gormkey.Token(theirs.ID), wrong)
		wantError(t, "a wrong password", err, gormkey.ErrInvalidCredentials)
		equal(t, "rows after a wrong password", p.all(t), before)

		session, err = auth.Reauthenticate(ctx, gormkey.Token(theirs.ID), key.credentials())
		must(t, err)
		equal(t, "id in the row", string(session.ID), string(session.Token))
		got, err := p.lucia.validate(string(session.Token))
		must(t, err)
		equal(t, "Lucia, by the new token", got, view{
			ID: string(session.Token), UserID: id, Username: "ada", Country: "NO", State: "active",
			Active: int64(session.ActiveExpires), Idle: int64(session.IdleExpires),
		})
		_, err = p.lucia.validate(theirs.ID)
		wantError(t, "Lucia, by the old token", err, errNoSession)
		_, err = auth.ValidateSession(ctx, gormkey.Token(theirs.ID))
		wantError(t, "gormkey, by the old token", err, gormkey.ErrInvalidSession)
		equal(t, "sessions", p.rows(t, p.tables.Session, "user_id = ?", id), 2)
		p.wantFacts(t, "the other device's", other.ID, noFacts)

		must(t, auth.CheckRecent(session, 10*time.Minute))
		_, err = auth.As(session, 10*time.Minute).UpdateUserAttributes(ctx, id, map[string]any{"username": "eve"})
		must(t, err)
		name, err = p.lucia.username(id)
		must(t, err)
		equal(t, "Lucia: name", name, "eve")
		must(t, auth.As(session, 10*time.Minute).EndOtherSessions(ctx, id, session.ID))
		_, err = p.lucia.validate(other.ID)
		wantError(t, "Lucia: the other device", err, errNoSession)

		// What Lucia ends meanwhile does nothing more.
		must(t, p.lucia.signOut(string(session.Token)))
		before = p.all(t)
		for act, err := range ownActs(ctx, id, other.ID, key, auth.As(session, 10*time.Minute)) {
			wantError(t, act+" as a session that Lucia ended", err, gormkey.ErrInvalidSession)
		}
		_, err = auth.Reauthenticate(ctx, session.Token, key.credentials())
		wantError(t, "Reauthenticate after Lucia ended it", err, gormkey.ErrInvalidSession)
		equal(t, "rows after the end", p.all(t), before)
	})
}

// counter counts the statements that a handle sends outside of transactions.
type counter struct {
	gorm.ConnPool
	n int
}

func (c *counter) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.n++
	return c.ConnPool.QueryContext(ctx, query, args...)
}

func (c *counter) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	c.n++
	return c.ConnPool.ExecContext(ctx, query, args...)
}

// The facts are read with the session, by no statement of their own.
func TestInteropFactsStatements(t *testing.T) {
	eachFacts(t, func(t *testing.T, p *factsPair) {
		session, err := p.lucia.createSession(created(t, p.lucia, nil), "NO")
		must(t, err)
		statements := func(handle *gorm.DB) int {
			t.Helper()
			sent := &counter{ConnPool: handle.ConnPool}
			handle.ConnPool, handle.Statement.ConnPool = sent, sent
			auth, err := gormkey.FromOf[member, gormkey.Key[member], visit](handle)
			must(t, err)
			sent.n = 0
			_, err = auth.ValidateSession(t.Context(), gormkey.Token(session.ID))
			must(t, err)
			return sent.n
		}
		equal(t, "statements of a session check", statements(p.handle), 1)
		equal(t, "statements without facts", statements(p.without), 1)
	})
}

// At the cut-over the rows move to the tokens' hashes, and the facts with them.
func TestInteropFactsHashed(t *testing.T) {
	eachFacts(t, func(t *testing.T, p *factsPair) {
		ctx := t.Context()
		key := newLogin("pa55word")
		id := created(t, p.lucia, key)
		open := func() string {
			t.Helper()
			session, err := p.lucia.createSession(id, "NO")
			must(t, err)
			return session.ID
		}
		never, early, late := open(), open(), open()
		again, err := p.facts.auth.Reauthenticate(ctx, gormkey.Token(open()), key.credentials())
		must(t, err)
		p.open(t, gormkey.WithHashedTokens())
		auth := p.facts.auth

		hashed := func(what string, session *visit) {
			t.Helper()
			equal(t, what+": hashed", session.ID.Hashed() && session.ID == session.Token.ID(), true)
			_, err := p.lucia.validate(string(session.Token))
			wantError(t, "Lucia: "+what, err, errNoSession)
		}
		moved, err := auth.Reauthenticate(ctx, gormkey.Token(early), key.credentials())
		must(t, err)
		hashed("re-authenticated before", moved)
		_, err = auth.ValidateSession(ctx, gormkey.Token(early))
		wantError(t, "the old token", err, gormkey.ErrInvalidSession)
		_, err = p.lucia.validate(early)
		wantError(t, "Lucia: the old token", err, errNoSession)

		held := p.wantFacts(t, "read before the rows move", string(again.Token), factsOf(again))
		replaced, err := auth.HashStoredTokens(ctx)
		must(t, err)
		equal(t, "replaced", replaced, 4) // of these, and of the session that Lucia had before
		p.wantFacts(t, "Lucia's", never, noFacts)
		p.wantFacts(t, "re-authenticated before", string(moved.Token), factsOf(moved))
		_, err = auth.As(held, 10*time.Minute).UpdateUserAttributes(ctx, id, map[string]any{"username": "eve"})
		must(t, err)
		p.wantFacts(t, "after its act", string(again.Token), factsOf(again))

		before := p.all(t)
		for act, err := range ownActs(ctx, id, early, key, auth.As(p.wantFacts(t, "Lucia's", late, noFacts), 24*time.Hour)) {
			wantError(t, act+" as Lucia's session", err, gormkey.ErrNotRecent)
		}
		equal(t, "rows after the refusals", p.all(t), before)
		moved, err = auth.Reauthenticate(ctx, gormkey.Token(late), key.credentials())
		must(t, err)
		hashed("re-authenticated after", moved)
		_, err = auth.ValidateSession(ctx, gormkey.Token(late))
		wantError(t, "the old token, hashed", err, gormkey.ErrInvalidSession)
		must(t, auth.CheckRecent(moved, 10*time.Minute))
		equal(t, "tokens in the table", p.rows(t, p.tables.Session, "LENGTH(id) <> 64"), 0)
	})
}
