package lucia_test

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// luciaSide is Lucia with its official adapter.
type luciaSide struct{ node *node }

var _ side = luciaSide{}

func (luciaSide) name() string { return "Lucia" }

// call calls a method of Lucia's Auth, and names what it refuses.
func (l luciaSide) call(dest any, method string, args ...any) error {
	err := l.node.call(dest, method, args...)
	var refusal *nodeError
	if !errors.As(err, &refusal) || !refusal.Lucia {
		return err
	}
	if method == "useKey" {
		return errRefused
	}
	for _, known := range []error{errNoKey, errNoUser, errNoSession, errDuplicate} {
		if refusal.Message == known.Error() {
			return known
		}
	}
	return err
}

type luciaUser struct{ UserID, Username string }

type luciaKey struct {
	ProviderID, ProviderUserID, UserID string
	PasswordDefined                    bool
}

type luciaSession struct {
	SessionID, Country, State                  string
	User                                       luciaUser
	ActivePeriodExpiresAt, IdlePeriodExpiresAt time.Time
	Fresh                                      bool
}

func (s luciaSession) view() view {
	return view{
		ID: s.SessionID, UserID: s.User.UserID, Username: s.User.Username, Country: s.Country, State: s.State,
		Active: s.ActivePeriodExpiresAt.UnixMilli(), Idle: s.IdlePeriodExpiresAt.UnixMilli(), Fresh: s.Fresh,
	}
}

type object = map[string]any

func (l luciaSide) createUser(username string, key *login) (string, error) {
	options := object{"key": nil, "attributes": object{"username": username}}
	if key != nil {
		options["key"] = object{"providerId": "email", "providerUserId": key.id, "password": key.password}
	}
	var user luciaUser
	err := l.call(&user, "createUser", options)
	return user.UserID, err
}

func (l luciaSide) username(id string) (string, error) {
	var user luciaUser
	err := l.call(&user, "getUser", id)
	return user.Username, err
}

func (l luciaSide) rename(id, username string) error {
	return l.call(nil, "updateUserAttributes", id, object{"username": username})
}

func (l luciaSide) deleteUser(id string) error { return l.call(nil, "deleteUser", id) }

func (l luciaSide) createKey(userID string, key login) error {
	return l.call(nil, "createKey", object{"userId": userID, "providerId": "email", "providerUserId": key.id, "password": key.password})
}

func (l luciaSide) useKey(key login) (string, error) {
	var k luciaKey
	err := l.call(&k, "useKey", "email", key.id, key.password)
	return k.UserID, err
}

func (l luciaSide) key(id string) (string, bool, error) {
	var k luciaKey
	err := l.call(&k, "getKey", "email", id)
	return k.UserID, k.PasswordDefined, err
}

func (l luciaSide) keys(userID string) (ids []string, err error) {
	var keys []luciaKey
	err = l.call(&keys, "getAllUserKeys", userID)
	for _, k := range keys {
		ids = append(ids, k.ProviderUserID)
	}
	slices.Sort(ids)
	return ids, err
}

func (l luciaSide) setPassword(key login) (ended string, err error) {
	return "", l.call(nil, "updateKeyPassword", "email", key.id, key.password)
}

func (l luciaSide) deleteKey(id string) error { return l.call(nil, "deleteKey", "email", id) }

func (l luciaSide) one(method string, args ...any) (view, error) {
	var s luciaSession
	if err := l.call(&s, method, args...); err != nil {
		return view{}, err
	}
	return s.view(), nil
}

func (l luciaSide) createSession(userID, country string) (view, error) {
	return l.one("createSession", object{"userId": userID, "attributes": object{"country": country}})
}

func (l luciaSide) validate(id string) (view, error) { return l.one("validateSession", id) }

func (l luciaSide) session(id string) (view, error) { return l.one("getSession", id) }

func (l luciaSide) sessions(userID string) (ids []string, err error) {
	var sessions []luciaSession
	err = l.call(&sessions, "getAllUserSessions", userID)
	for _, s := range sessions {
		ids = append(ids, s.SessionID)
	}
	slices.Sort(ids)
	return ids, err
}

func (l luciaSide) setCountry(id, country string) error {
	return l.call(nil, "updateSessionAttributes", id, object{"country": country})
}

func (l luciaSide) signOut(id string) error { return l.call(nil, "invalidateSession", id) }

func (l luciaSide) signOutAll(userID string) error {
	return l.call(nil, "invalidateAllUserSessions", userID)
}

func (l luciaSide) deleteDead(userID string) error {
	return l.call(nil, "deleteDeadUserSessions", userID)
}

// isDuplicate also knows the error that Lucia's adapter lets through on MariaDB, whose
// message it does not read: the table's name is not in it.
func (p *pair) isDuplicate(err error) bool {
	var raw *nodeError
	return errors.Is(err, errDuplicate) ||
		p.engine == "mysql" && errors.As(err, &raw) && raw.Code == "ER_DUP_ENTRY" && strings.HasSuffix(raw.Message, "for key 'PRIMARY'")
}
