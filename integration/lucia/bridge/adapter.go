package main

import (
	"encoding/json"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

// Rows as Lucia has them.
type (
	userRow struct {
		ID       string  `json:"id"`
		Username *string `json:"username"`
	}
	keyRow struct {
		ID             string  `json:"id"`
		UserID         string  `json:"user_id"`
		HashedPassword *string `json:"hashed_password"`
	}
	sessionRow struct {
		ID            string            `json:"id"`
		UserID        string            `json:"user_id"`
		ActiveExpires gormkey.UnixMilli `json:"active_expires"`
		IdleExpires   gormkey.UnixMilli `json:"idle_expires"`
		Country       *string           `json:"country"`
	}
)

func rowOfUser(u account) userRow { return userRow{u.ID, u.Username} }

func rowOfKey(k key) keyRow { return keyRow{k.ID, k.UserID, (*string)(k.HashedPassword)} }

func rowOfSession(s session) sessionRow {
	return sessionRow{string(s.ID), s.UserID, s.ActiveExpires, s.IdleExpires, s.Country}
}

type method struct {
	args int
	call func(a *adapter, args []json.RawMessage) (any, error)
}

// methods are those of Lucia's Adapter.
var methods = map[string]method{
	"getUser":    byID(one(accountID, rowOfUser)),
	"setUser":    {2, setUser},
	"updateUser": update[account](userColumns),
	"deleteUser": remove[account]("id"),

	"getKey":             byID(one(keyID, rowOfKey)),
	"getKeysByUserId":    byID(all("user_id", keyOwner, rowOfKey)),
	"setKey":             {1, setKey},
	"updateKey":          update[key](keyColumns),
	"deleteKey":          remove[key]("id"),
	"deleteKeysByUserId": remove[key]("user_id"),

	"getSession":             byID(one(sessionID, rowOfSession)),
	"getSessionsByUserId":    byID(all("user_id", sessionOwner, rowOfSession)),
	"setSession":             {1, setSession},
	"updateSession":          update[session](sessionColumns),
	"deleteSession":          remove[session]("id"),
	"deleteSessionsByUserId": remove[session]("user_id"),

	"getSessionAndUser": byID(getSessionAndUser),
}

func accountID(u account) string    { return u.ID }
func keyID(k key) string            { return k.ID }
func keyOwner(k key) string         { return k.UserID }
func sessionID(s session) string    { return string(s.ID) }
func sessionOwner(s session) string { return s.UserID }

// byID is a method with an id for its one argument.
func byID(call func(a *adapter, id string) (any, error)) method {
	return method{1, func(a *adapter, args []json.RawMessage) (any, error) {
		id, err := parseID(args[0])
		if err != nil {
			return nil, err
		}
		return call(a, id)
	}}
}

// find returns the rows whose column is id, byte by byte whatever the collation.
func find[T any](db *gorm.DB, column, id string, value func(T) string) ([]T, error) {
	var rows []T
	err := db.Where(clause.Eq{Column: clause.Column{Table: clause.CurrentTable, Name: column}, Value: id}).Find(&rows).Error
	return slices.DeleteFunc(rows, func(row T) bool { return value(row) != id }), err
}

// one gets the row of an id, or null.
func one[T, R any](id func(T) string, row func(T) R) func(*adapter, string) (any, error) {
	return func(a *adapter, asked string) (any, error) {
		found, err := find(a.db, "id", asked, id)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		return row(found[0]), nil
	}
}

// all gets every row with a value, [] for none.
func all[T, R any](column string, value func(T) string, row func(T) R) func(*adapter, string) (any, error) {
	return func(a *adapter, asked string) (any, error) {
		found, err := find(a.db, column, asked, value)
		rows := make([]R, len(found))
		for i, one := range found {
			rows[i] = row(one)
		}
		return rows, err
	}
}

// update sets the columns of a partial row. That there is no such row is no error.
func update[T any](columns map[string]kind) method {
	return method{2, func(a *adapter, args []json.RawMessage) (any, error) {
		id, err := parseID(args[0])
		if err != nil {
			return nil, err
		}
		partial, err := parsePartial(args[1], columns)
		if err != nil || len(partial) == 0 {
			return nil, err
		}
		return nil, a.exactly("id", id).Model(new(T)).Updates(map[string]any(partial)).Error
	}}
}

// remove deletes the rows with a value. A user with keys or sessions is the database's
// to refuse, as with Lucia's own adapters.
func remove[T any](column string) method {
	return byID(func(a *adapter, id string) (any, error) { return nil, a.exactly(column, id).Delete(new(T)).Error })
}

// setUser inserts a user and a key or none: both or neither.
func setUser(a *adapter, args []json.RawMessage) (any, error) {
	v, err := parseRow(args[0], userColumns)
	if err != nil {
		return nil, err
	}
	user := account{User: gormkey.User{ID: v.text("id")}, Username: optional[string](v, "username")}
	if string(args[1]) == "null" {
		return nil, a.db.Create(&user).Error
	}
	first, err := parseKey(args[1])
	if err != nil {
		return nil, err
	}
	return nil, a.db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&user).Error; err != nil {
			return err
		}
		return a.insertOwned(tx, first, first.UserID, errDuplicateKey)
	})
}

func setKey(a *adapter, args []json.RawMessage) (any, error) {
	k, err := parseKey(args[0])
	if err != nil {
		return nil, err
	}
	return nil, a.db.Transaction(func(tx *gorm.DB) error { return a.insertOwned(tx, k, k.UserID, errDuplicateKey) })
}

func parseKey(raw json.RawMessage) (*key, error) {
	v, err := parseRow(raw, keyColumns)
	if err != nil {
		return nil, err
	}
	return &key{gormkey.Key[account]{
		ID: v.text("id"), UserID: v.text("user_id"), HashedPassword: optional[password.Hash](v, "hashed_password"),
	}}, nil
}

func setSession(a *adapter, args []json.RawMessage) (any, error) {
	v, err := parseRow(args[0], sessionColumns)
	if err != nil {
		return nil, err
	}
	s := &session{
		Session: gormkey.Session[account]{
			ID: gormkey.SessionID(v.text("id")), UserID: v.text("user_id"),
			ActiveExpires: v["active_expires"].(gormkey.UnixMilli), IdleExpires: v["idle_expires"].(gormkey.UnixMilli),
		},
		Country: optional[string](v, "country"),
	}
	return nil, a.db.Transaction(func(tx *gorm.DB) error { return a.insertOwned(tx, s, s.UserID, nil) })
}

// insertOwned inserts a key or session. What a refusal means is told by the statement
// that it answers and by its code: a message's words differ between servers.
func (a *adapter) insertOwned(tx *gorm.DB, row any, owner string, duplicate *failure) error {
	err := tx.Create(row).Error
	switch {
	case isDuplicate(err) && duplicate != nil:
		return duplicate
	case isForeignKey(err):
		return errInvalidUser
	case err != nil || !a.inexact:
		return err
	}
	// The foreign key compares inexactly too, so "ABC" would be a key of the user "abc".
	var ids []string
	if err := tx.Model(new(account)).Where("id = ?", owner).Pluck("id", &ids).Error; err != nil {
		return err
	}
	if len(ids) > 0 && !slices.Contains(ids, owner) {
		return errInvalidUser
	}
	return nil
}

// getSessionAndUser joins, as an application would. A session without its user is none.
func getSessionAndUser(a *adapter, id string) (any, error) {
	found, err := find(a.db.Joins("User"), "id", id, sessionID)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].User == nil || found[0].User.ID != found[0].UserID {
		return [2]any{}, nil
	}
	return [2]any{rowOfSession(found[0]), rowOfUser(*found[0].User)}, nil
}
