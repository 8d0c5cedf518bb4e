package lucia_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gormkey/gormkey"
)

// The operations of the storm. Each tells the history what it wrote and saw, in registers:
//
//	user ID      present
//	name ID      the username, while the user is there
//	key ID       the owner, a user's id
//	password ID  the password, or none, while the key is there
//	session ID   the owner
//	country ID   the country, while the session is there
//	keys of ID, sessions of ID: what is written to all that a user owns
const (
	present = "there"
	none    = "none" // a key without a password
)

func passwordOf(value string) *string {
	if value == none {
		return nil
	}
	return &value
}

func valueOf(password *string) string {
	if password == nil {
		return none
	}
	return *password
}

func (w *storm) sees(s side, at span, register, value string) {
	w.saw(observation{span: at, register: register, value: value, by: s.name()})
}

func (w *storm) seesOther(s side, at span, register, value string) {
	w.saw(observation{span: at, register: register, value: value, other: true, by: s.name()})
}

// wroteKey notes a key that was made.
func (w *storm) wroteKey(at span, key login, owner string) {
	w.isPart("key "+key.id, "keys of "+owner)
	w.wrote("key "+key.id, write{span: at, value: owner, sure: true})
	w.wrote("password "+key.id, write{span: at, value: valueOf(key.password), sure: true})
}

func (w *storm) createUser(s side) {
	key := login{id: someKey()}
	key.password = w.newPassword(key.id)
	name := fmt.Sprint("name ", rand.IntN(1000))
	var (
		id  string
		err error
	)
	at := w.during(func() { id, err = s.createUser(name, &key) })
	w.outcome(s, "createUser", err)
	if w.isDuplicate(err) {
		w.seesOther(s, at, "key "+key.id, absent)
	}
	if err != nil { // so that there are users even where all keys are taken
		at = w.during(func() { id, err = s.createUser(name, nil) })
		w.outcome(s, "createUser", err)
		if err != nil {
			return
		}
	} else {
		w.wroteKey(at, key, id)
	}
	w.wrote("user "+id, write{span: at, value: present, sure: true})
	w.wrote("name "+id, write{span: at, value: name, sure: true})
	w.remember(&w.users, id, stormUsers)
}

// deleteUser of Lucia may have deleted sessions and keys when it fails.
func (w *storm) deleteUser(s side) {
	id := w.someUser()
	var err error
	at := w.during(func() { err = s.deleteUser(id) })
	w.outcome(s, "deleteUser", err)
	if err == nil {
		w.wrote("user "+id, write{span: at, sure: true})
	} else {
		w.mu.Lock()
		w.deletes[id] = true
		w.mu.Unlock()
	}
	for _, all := range []string{"keys of ", "sessions of "} {
		w.wrote(all+id, write{span: at, sure: err == nil, over: id})
	}
}

func (w *storm) rename(s side) {
	id, name := w.someUser(), fmt.Sprint("name ", rand.IntN(1000))
	var err error
	at := w.during(func() { err = s.rename(id, name) })
	w.outcome(s, "rename", err)
	w.wrote("name "+id, write{span: at, value: name, sure: err == nil}) // Lucia writes, then reads
	if errors.Is(err, errNoUser) {
		w.sees(s, at, "user "+id, absent)
	}
}

func (w *storm) readUser(s side) {
	id := w.someUser()
	var (
		name string
		err  error
	)
	at := w.during(func() { name, err = s.username(id) })
	w.outcome(s, "username", err)
	if err != nil {
		w.sees(s, at, "user "+id, absent)
		return
	}
	w.sees(s, at, "user "+id, present)
	w.sees(s, at, "name "+id, name)
}

func (w *storm) createKey(s side) {
	id, key := w.someUser(), login{id: someKey()}
	key.password = w.newPassword(key.id)
	var err error
	at := w.during(func() { err = s.createKey(id, key) })
	w.outcome(s, "createKey", err)
	switch {
	case err == nil:
		w.wroteKey(at, key, id)
	case errors.Is(err, errNoUser):
		w.sees(s, at, "user "+id, absent)
	case w.isDuplicate(err):
		w.seesOther(s, at, "key "+key.id, absent)
	}
}

func (w *storm) deleteKey(s side) {
	id := someKey()
	var err error
	at := w.during(func() { err = s.deleteKey(id) })
	w.outcome(s, "deleteKey", err)
	w.wrote("key "+id, write{span: at, sure: err == nil})
}

func (w *storm) setPassword(s side) {
	key := login{id: someKey()}
	key.password = w.newPassword(key.id)
	var (
		ended string
		err   error
	)
	at := w.during(func() { ended, err = s.setPassword(key) })
	w.outcome(s, "setPassword", err)
	if ended != "" {
		w.wrote("sessions of "+ended, write{span: at, sure: true, over: ended})
	}
	w.wrote("password "+key.id, write{span: at, value: valueOf(key.password), sure: err == nil})
	if errors.Is(err, errNoKey) {
		w.sees(s, at, "key "+key.id, absent)
	}
}

// useKey is refused where there is no key, or one with another password.
func (w *storm) useKey(s side) {
	key := login{id: someKey()}
	w.mu.Lock()
	if password, ok := w.passwords[key.id]; ok && rand.IntN(2) == 0 {
		key.password = &password
	}
	w.mu.Unlock()
	var (
		owner string
		err   error
	)
	at := w.during(func() { owner, err = s.useKey(key) })
	w.outcome(s, "useKey", err)
	switch {
	case err == nil:
		w.sees(s, at, "key "+key.id, owner)
		w.sees(s, at, "password "+key.id, valueOf(key.password))
	case errors.Is(err, errRefused):
		w.saw(observation{
			span: at, register: "password " + key.id, value: valueOf(key.password), other: true, by: s.name(),
			or: &observation{span: at, register: "key " + key.id, value: absent},
		})
	}
}

func (w *storm) readKey(s side) {
	id := someKey()
	var (
		owner string
		err   error
	)
	at := w.during(func() { owner, _, err = s.key(id) })
	w.outcome(s, "key", err)
	w.sees(s, at, "key "+id, owner)
}

// list sees what a user owns. Lucia's getAllUserSessions of nobody has an unhandled
// rejection.
func (w *storm) list(s side) {
	id := w.someUser()
	for kind, read := range map[string]func(string) ([]string, error){"key ": s.keys, "session ": s.sessions} {
		var (
			ids []string
			err error
		)
		at := w.during(func() { ids, err = read(id) })
		w.outcome(s, "list", err)
		if err != nil {
			w.sees(s, at, "user "+id, absent)
			continue
		}
		for _, owned := range ids {
			w.sees(s, at, kind+owned, id)
		}
	}
}

func (w *storm) createSession(s side) {
	id, country := w.someUser(), fmt.Sprint("c", rand.IntN(100))
	var (
		session view
		err     error
	)
	at := w.during(func() { session, err = s.createSession(id, country) })
	w.outcome(s, "createSession", err)
	switch {
	case err == nil:
		w.isPart("session "+session.ID, "sessions of "+id)
		w.wrote("session "+session.ID, write{span: at, value: id, sure: true})
		w.wrote("country "+session.ID, write{span: at, value: country, sure: true})
		w.remember(&w.sessions, session.ID, stormSessions)
	case errors.Is(err, errNoUser):
		w.sees(s, at, "user "+id, absent)
	}
}

func (w *storm) validate(s side) {
	id := w.someSession()
	var (
		session view
		err     error
	)
	at := w.during(func() { session, err = s.validate(id) })
	w.outcome(s, "validate", err)
	switch {
	case err == nil:
		w.sees(s, at, "session "+id, session.UserID)
		w.sees(s, at, "user "+session.UserID, present)
		w.sees(s, at, "name "+session.UserID, session.Username)
		w.sees(s, at, "country "+id, session.Country)
	default: // on SQLite Lucia reads the user last, and then says that there is none
		w.sees(s, at, "session "+id, absent)
	}
}

func (w *storm) setCountry(s side) {
	id, country := w.someSession(), fmt.Sprint("c", rand.IntN(100))
	var err error
	at := w.during(func() { err = s.setCountry(id, country) })
	w.outcome(s, "setCountry", err)
	w.wrote("country "+id, write{span: at, value: country, sure: err == nil})
	if errors.Is(err, errNoSession) {
		w.sees(s, at, "session "+id, absent)
	}
}

func (w *storm) signOut(s side) {
	id := w.someSession()
	var err error
	at := w.during(func() { err = s.signOut(id) })
	w.outcome(s, "signOut", err)
	w.wrote("session "+id, write{span: at, sure: err == nil})
}

func (w *storm) signOutAll(s side) {
	id := w.someUser()
	var err error
	at := w.during(func() { err = s.signOutAll(id) })
	w.outcome(s, "signOutAll", err)
	w.wrote("sessions of "+id, write{span: at, sure: err == nil, over: id})
}

// makeIdle ends a session's active period, for either side to renew it.
func (w *storm) makeIdle(side) {
	err := w.handle.Table(w.tables.Session).Where("id = ?", w.someSession()).
		UpdateColumn("active_expires", gormkey.UnixMilli(time.Now().UnixMilli()-1)).Error
	if err != nil {
		w.t.Errorf("making a session idle: %v", err)
	}
}
