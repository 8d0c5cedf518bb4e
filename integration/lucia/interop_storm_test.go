package lucia_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gormkey/gormkey/tables"
)

const (
	stormOperations = 1000
	stormWorkers    = 8
	stormUsers      = 6
	stormKeys       = 10
	stormSessions   = 24
)

// Both sides at once, on few users and keys: what was acknowledged is there, nobody is
// signed out who was not, and nothing is left of who was deleted.
func TestInteropAtOnce(t *testing.T) {
	for _, s := range engines {
		t.Run(s.engine, func(t *testing.T) {
			t.Parallel()
			n := stormOperations
			if os.Getenv("GORMKEY_FULL") != "" {
				n *= 10
			}
			w := newStorm(t, s)
			began := time.Now()
			var workers sync.WaitGroup
			for i := range stormWorkers {
				workers.Go(func() {
					for range n / stormWorkers {
						w.operation(w.both()[i%2])
					}
				})
			}
			workers.Wait()
			took := time.Since(began).Round(time.Millisecond)
			w.settle()
			observations := w.check(t)
			w.checkPasswords()
			w.checkOrphans()
			t.Logf("%d operations in %v, %d observations; outcomes %v", n, took, observations, w.outcomes)
		})
	}
}

// storm is a space of users, keys and sessions, and the history of what is done to it.
type storm struct {
	*pair
	*history
	t testing.TB

	mu        sync.Mutex
	users     []string // who were created last, some of them deleted
	sessions  []string
	passwords map[string]string // that each key had lately
	deletes   map[string]bool   // users whom Lucia failed to delete
	outcomes  map[string]int
	passwordN int
}

func newStorm(t testing.TB, s schema) *storm {
	t.Helper()
	w := &storm{
		pair: newPair(t, s), history: newHistory(), t: t,
		passwords: map[string]string{}, deletes: map[string]bool{}, outcomes: map[string]int{},
	}
	for i := range stormUsers {
		w.createUser(w.both()[i%2])
	}
	return w
}

// operation does one at random on a side.
func (w *storm) operation(s side) {
	n := rand.IntN(100)
	for _, o := range []struct {
		weight int
		do     func(side)
	}{
		{5, w.createUser}, {3, w.deleteUser}, {10, w.rename}, {6, w.readUser},
		{10, w.createKey}, {5, w.deleteKey}, {6, w.setPassword}, {9, w.useKey}, {3, w.readKey}, {3, w.list},
		{13, w.createSession}, {15, w.validate}, {5, w.setCountry}, {4, w.signOut}, {1, w.signOutAll}, {2, w.makeIdle},
	} {
		if n -= o.weight; n < 0 {
			o.do(s)
			return
		}
	}
}

// outcome counts an operation, and reports an error that is not one of a race: on
// Lucia's side a deadlock, and the user's key or session that was made between the
// statements of its deleteUser.
func (w *storm) outcome(s side, what string, err error) {
	result := "ok"
	var raw *nodeError
	switch {
	case err == nil:
	case slices.Contains([]error{errRefused, errNoKey, errNoUser, errNoSession, errDuplicate}, err):
		result = err.Error()
	case errors.As(err, &raw) && slices.Contains([]string{"ER_LOCK_DEADLOCK", "40P01"}, raw.Code):
		result = raw.Code
	case errors.As(err, &raw) && what == "deleteUser" && slices.Contains([]string{"ER_ROW_IS_REFERENCED_2", "23503", "SQLITE_CONSTRAINT_FOREIGNKEY"}, raw.Code):
		result = raw.Code
	case w.isDuplicate(err):
		result = "duplicate, not mapped"
	default:
		w.t.Errorf("%s: %s: %v", s.name(), what, err)
		result = "error"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outcomes[s.name()+" "+what+": "+result]++
}

func oneOf(list []string) string {
	if len(list) == 0 {
		return "nobodynobody123"
	}
	return list[rand.IntN(len(list))]
}

func (w *storm) someUser() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return oneOf(w.users)
}

func (w *storm) someSession() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return oneOf(w.sessions)
}

func someKey() string { return fmt.Sprintf("k%d", rand.IntN(stormKeys)) }

// remember keeps the last ones of a list.
func (w *storm) remember(list *[]string, id string, most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if *list = append(*list, id); len(*list) > most {
		*list = slices.Delete(*list, 0, 1)
	}
}

// newPassword is a key's next one, and none for most: a hash takes its time.
func (w *storm) newPassword(key string) *string {
	if rand.IntN(4) > 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passwordN++
	password := fmt.Sprintf("password %d", w.passwordN)
	w.passwords[key] = password
	return &password
}

// settle observes what is in the tables when all is done.
func (w *storm) settle() {
	w.t.Helper()
	users := w.columns("SELECT id, username FROM " + w.quote(w.tables.User))
	keys := w.columns("SELECT id, user_id FROM " + w.quote(w.tables.Key))
	sessions := w.columns("SELECT id, user_id FROM " + w.quote(w.tables.Session))
	countries := w.columns("SELECT id, country FROM " + w.quote(w.tables.Session))
	at := w.during(func() {})
	at.to++
	for register := range w.writes {
		kind, id, _ := strings.Cut(register, " ")
		o := observation{span: at, register: register, by: "the end"}
		switch kind {
		case "user":
			if _, ok := users[id]; ok {
				o.value = present
			}
		case "key":
			o.value = keys["email:"+id]
		case "session":
			o.value = sessions[id]
		case "name", "country":
			value, ok := users[id]
			if kind == "country" {
				value, ok = countries[id]
			}
			if !ok {
				continue
			}
			o.value = value
		default:
			continue
		}
		w.saw(o)
	}
	keyless := 0
	owners := map[string]bool{}
	for _, owner := range keys {
		owners[owner] = true
	}
	for id := range users {
		if w.deletes[id] && !owners[id] {
			keyless++
		}
	}
	w.t.Logf("at the end %d users, %d keys, %d sessions; Lucia failed to delete %d users, and left %d of them without keys",
		len(users), len(keys), len(sessions), len(w.deletes), keyless)
}

func (w *storm) columns(query string) map[string]string {
	w.t.Helper()
	rows, err := w.db.QueryContext(context.WithoutCancel(w.t.Context()), query)
	must(w.t, err)
	defer func() { _ = rows.Close() }()
	values := map[string]string{}
	for rows.Next() {
		var id, value string
		must(w.t, rows.Scan(&id, &value))
		values[id] = value
	}
	must(w.t, rows.Err())
	return values
}

// checkPasswords signs in with every password that a key may have: one is accepted, and
// both sides accept the same.
func (w *storm) checkPasswords() {
	w.t.Helper()
	now := w.during(func() {})
	for id := range w.columns("SELECT id, user_id FROM " + w.quote(w.tables.Key)) {
		id = strings.TrimPrefix(id, "email:")
		tried, accepted := map[string]bool{}, 0
		for _, write := range w.writes["password "+id] {
			if tried[write.value] || !w.explains(observation{span: span{now.to, now.to + 1}, register: "password " + id, value: write.value}) {
				continue
			}
			tried[write.value] = true
			_, ours := w.gorm.useKey(login{id, passwordOf(write.value)})
			_, theirs := w.lucia.useKey(login{id, passwordOf(write.value)})
			equal(w.t, "gormkey's answer for "+id, ours, theirs)
			if ours == nil {
				accepted++
			}
		}
		equal(w.t, "passwords of "+id+", of "+fmt.Sprint(len(tried)), accepted, 1)
	}
}

func (w *storm) checkOrphans() {
	w.t.Helper()
	for _, table := range []string{w.tables.Key, w.tables.Session} {
		equal(w.t, "orphans in "+table, w.rows(w.t, table, "user_id NOT IN (SELECT id FROM "+w.quote(w.tables.User)+")"), 0)
	}
	findings, err := w.gorm.auth.Audit(w.gorm.ctx())
	must(w.t, err)
	for _, finding := range findings {
		if finding.Problem == tables.ProblemOrphans {
			w.t.Error(finding)
		}
	}
	var unhandled []string
	must(w.t, w.lucia.node.call(&unhandled, "unhandled"))
	if len(unhandled) > 0 {
		w.t.Logf("Lucia's process would have ended %d times, by %q", len(unhandled), unhandled[0])
	}
}
