package lucia_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

// wantError compares with errors.Is; nil wants none.
func wantError(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (p *pair) rows(t testing.TB, table, where string, args ...string) (n int) {
	t.Helper()
	query := "SELECT COUNT(*) FROM " + p.quote(table)
	if where != "" {
		query += " WHERE " + where
	}
	for _, arg := range args { // ids of letters and digits
		query = strings.Replace(query, "?", "'"+arg+"'", 1)
	}
	must(t, p.db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

func newLogin(password ...string) *login {
	key := &login{id: strings.ToLower(rand.Text()) + "@x:y"} // a colon is Lucia's own separator
	if len(password) > 0 {
		key.password = &password[0]
	}
	return key
}

// created makes a user on a side.
func created(t testing.TB, s side, key *login) (id string) {
	t.Helper()
	id, err := s.createUser("ada", key)
	must(t, err)
	return id
}

func TestInteropUsers(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair, a, b side) {
		id := created(t, a, nil)
		equal(t, "length of the id", len(id), 15)
		for i, s := range []side{b, a, b} {
			name, err := s.username(id)
			must(t, err)
			equal(t, "username", name, []string{"ada", "Ådå 👩🏽‍💻", ""}[i])
			must(t, s.rename(id, []string{"Ådå 👩🏽‍💻", "", "back"}[i]))
		}
		if _, err := b.username(strings.ToUpper(id)); p.engine != "mysql" || b.name() == "gormkey" {
			wantError(t, "id in another case", err, errNoUser)
		} // Lucia takes what the column's collation finds
		wantError(t, "rename of nobody", b.rename("nobodynobody123", "x"), errNoUser)

		key := newLogin("pa55word")
		must(t, a.createKey(id, *key))
		session, err := a.createSession(id, "NO")
		must(t, err)
		_, err = b.validate(session.ID)
		must(t, err)
		must(t, b.deleteUser(id))
		for _, s := range p.both() {
			_, err := s.username(id)
			wantError(t, s.name()+": user", err, errNoUser)
			_, _, err = s.key(key.id)
			wantError(t, s.name()+": key", err, errNoKey)
			_, err = s.useKey(*key)
			wantError(t, s.name()+": sign-in", err, errRefused)
			_, err = s.validate(session.ID)
			wantError(t, s.name()+": session", err, errNoSession)
			_, err = s.keys(id)
			wantError(t, s.name()+": keys", err, errNoUser)
			wantError(t, s.name()+": key of nobody", s.createKey(id, *key), errNoUser)
			_, err = s.createSession(id, "NO")
			wantError(t, s.name()+": session of nobody", err, errNoUser)
			must(t, s.deleteUser(id))
		}
		equal(t, "users", p.rows(t, p.tables.User, "id = ?", id), 0)
		equal(t, "keys", p.rows(t, p.tables.Key, "user_id = ?", id), 0)
		equal(t, "sessions", p.rows(t, p.tables.Session, "user_id = ?", id), 0)
	})
}

func TestInteropKeys(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair, a, b side) {
		first, second, third := newLogin("pa55word"), newLogin(), newLogin("other")
		id := created(t, a, first)
		must(t, a.createKey(id, *second))
		must(t, b.createKey(id, *third))
		want := []string{first.id, second.id, third.id}
		slices.Sort(want)
		for _, s := range p.both() {
			ids, err := s.keys(id)
			must(t, err)
			equal(t, s.name()+": keys", strings.Join(ids, " "), strings.Join(want, " "))
			for _, key := range []*login{first, second, third} {
				owner, defined, err := s.key(key.id)
				must(t, err)
				equal(t, s.name()+": owner", owner, id)
				equal(t, s.name()+": password defined", defined, key.password != nil)
				owner, err = s.useKey(*key)
				must(t, err)
				equal(t, s.name()+": signed in", owner, id)
				wrong := login{key.id, nil}
				if key.password == nil {
					wrong.password = first.password
				}
				_, err = s.useKey(wrong)
				wantError(t, s.name()+": another password", err, errRefused)
			}
		}
		must(t, b.deleteKey(first.id))
		for _, s := range p.both() {
			_, _, err := s.key(first.id)
			wantError(t, s.name()+": deleted", err, errNoKey)
			must(t, s.deleteKey(first.id))
		}
	})
}

// A duplicate is one in whichever order, and the user is not made. On MariaDB Lucia's
// adapter does not know it, and lets the driver's error through: the message that it
// reads lacks the table's name.
func TestInteropDuplicates(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair, a, b side) {
		key := newLogin("pa55word")
		id := created(t, a, key)
		users := p.rows(t, p.tables.User, "")
		_, err := b.createUser("eve", newLogin())
		must(t, err)
		_, err = b.createUser("eve", key)
		if !p.isDuplicate(err) {
			t.Errorf("createUser: %v", err)
		}
		if err := b.createKey(id, login{id: key.id}); !p.isDuplicate(err) {
			t.Errorf("createKey: %v", err)
		}
		err = b.createKey(id, login{id: key.id})
		equal(t, "mapped", errors.Is(err, errDuplicate), b.name() == "gormkey" || !p.isMariaDB(t))
		equal(t, "users", p.rows(t, p.tables.User, ""), users+1)
		for _, s := range p.both() {
			_, err := s.useKey(*key)
			must(t, err)
		}
	})
}

func (p *pair) isMariaDB(t testing.TB) bool {
	t.Helper()
	version := ""
	if p.engine == "mysql" {
		must(t, p.db.QueryRowContext(t.Context(), "SELECT VERSION()").Scan(&version))
	}
	return strings.Contains(version, "MariaDB")
}

// secrets are passwords, and hashes of them that lucia@2.7.7 or, for the older form,
// node:crypto made.
func secrets(t testing.TB) (list []struct{ Name, Password, Hash string }) {
	t.Helper()
	data, err := os.ReadFile("testdata/passwords.json")
	must(t, err)
	must(t, json.Unmarshal(data, &list))
	return list
}

func TestInteropPasswords(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair, a, b side) {
		for i, secret := range secrets(t) {
			key := newLogin(secret.Password)
			created(t, a, key)
			_, err := b.useKey(*key)
			wantError(t, secret.Name, err, nil)
			if i > 0 { // each costs a tenth of a second, and more under the race detector
				continue
			}
			wrong := secret.Password + "x"
			_, err = b.useKey(login{key.id, &wrong})
			wantError(t, secret.Name+", wrong", err, errRefused)
		}
	})
}

// A password that one side changes is the only one on both; so is none.
func TestInteropPasswordChange(t *testing.T) {
	eachPair(t, func(t *testing.T, p *pair, a, b side) {
		key := newLogin("first")
		id := created(t, a, key)
		session, err := b.createSession(id, "NO")
		must(t, err)
		var alive error
		second, third := "second ﬁ", "third"
		for _, change := range []struct {
			by       side
			from, to *string
		}{{b, key.password, &second}, {a, &second, &third}, {b, &third, nil}, {a, nil, &second}} {
			ended, err := change.by.setPassword(login{key.id, change.to})
			must(t, err)
			if ended != "" {
				equal(t, "user whose sessions ended", ended, id)
				alive = errNoSession
			}
			for _, s := range p.both() { // they go on at Lucia's, and end at gormkey's
				_, err := s.validate(session.ID)
				wantError(t, s.name()+": session", err, alive)
			}
			for _, s := range p.both() {
				_, err := s.useKey(login{key.id, change.from})
				wantError(t, s.name()+": old password", err, errRefused)
				_, err = s.useKey(login{key.id, change.to})
				wantError(t, s.name()+": new password", err, nil)
			}
		}
		_, err = b.setPassword(login{newLogin().id, &third})
		wantError(t, "no such key", err, errNoKey)
	})
}

// Each hash that gormkey imports signs in on both sides. A sign-in at gormkey makes a new
// one of the older form, which Lucia verifies; Lucia leaves it.
func TestInteropHashes(t *testing.T) {
	for _, s := range engines {
		t.Run(s.engine, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, s)
			for _, secret := range secrets(t) {
				key := newLogin(secret.Password)
				must(t, p.gorm.auth.CreateUser(t.Context(), &member{Username: "ada"},
					gormkey.Imported("email", key.id, password.Hash(secret.Hash))))
				stored := func() string {
					k, err := p.gorm.auth.GetKey(t.Context(), gormkey.KeyID{Provider: "email", ID: key.id})
					must(t, err)
					return string(*k.HashedPassword)
				}
				_, err := p.lucia.useKey(*key)
				wantError(t, secret.Name+": Lucia", err, nil)
				equal(t, secret.Name+": hash after Lucia", stored(), secret.Hash)
				_, err = p.gorm.auth.SignIn(t.Context(), key.credentials())
				wantError(t, secret.Name+": gormkey", err, nil)
				equal(t, secret.Name+": of today's form", strings.HasPrefix(stored(), "s2:"), true)
				equal(t, secret.Name+": hash kept", stored() == secret.Hash, strings.HasPrefix(secret.Hash, "s2:"))
				_, err = p.lucia.useKey(*key)
				wantError(t, secret.Name+": Lucia after gormkey", err, nil)
			}
		})
	}
}
