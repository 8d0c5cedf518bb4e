package lucia_test

import (
	"context"
	"errors"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

// member and visit have Lucia's attributes of these tests.
type (
	member struct {
		gormkey.User
		Username string
	}
	visit struct {
		gormkey.Session[member]
		Country string
	}
)

// login is a key by which to sign in; a nil password is Lucia's null.
type login struct {
	id       string // of the provider "email"
	password *string
}

// view is a session as either side returns it.
type view struct {
	ID, UserID, Username, Country, State string
	Active, Idle                         int64 // Unix milliseconds
	Fresh                                bool
}

// side is gormkey or Lucia, which are to do the same. Errors are those below, or what
// the database said.
type side interface {
	name() string
	createUser(username string, key *login) (id string, err error)
	username(id string) (string, error)
	rename(id, username string) error
	deleteUser(id string) error
	createKey(userID string, key login) error
	useKey(key login) (userID string, err error)
	key(id string) (userID string, passwordDefined bool, err error)
	keys(userID string) (ids []string, err error)
	// setPassword also returns the user whose sessions it ended, "" for none.
	setPassword(key login) (ended string, err error)
	deleteKey(id string) error
	createSession(userID, country string) (view, error)
	validate(id string) (view, error)
	session(id string) (view, error)
	sessions(userID string) (ids []string, err error)
	setCountry(id, country string) error
	signOut(id string) error
	signOutAll(userID string) error
	deleteDead(userID string) error
}

// What a side refuses, by Lucia's names; a key that signs nobody in is errRefused.
var (
	errRefused   = errors.New("AUTH_INVALID_KEY_ID or AUTH_INVALID_PASSWORD")
	errNoKey     = errors.New("AUTH_INVALID_KEY_ID")
	errNoUser    = errors.New("AUTH_INVALID_USER_ID")
	errNoSession = errors.New("AUTH_INVALID_SESSION_ID")
	errDuplicate = errors.New("AUTH_DUPLICATE_KEY_ID")
)

// pair is both sides on one database.
type pair struct {
	schema
	db     database
	handle *gorm.DB
	gorm   goSide
	lucia  luciaSide
}

// newPair starts both on new tables of a schema.
func newPair(t testing.TB, s schema) *pair {
	t.Helper()
	db := s.newDatabase(t)
	handle, auth := openGormkey(t, s, db)
	return &pair{
		schema: s, db: db, handle: handle, gorm: goSide{t, auth},
		lucia: luciaSide{startNode(t, "--dsn", db.url, "--tables", s.flag())},
	}
}

// sides are each before the other.
func (p *pair) sides() [2][2]side { return [2][2]side{{p.gorm, p.lucia}, {p.lucia, p.gorm}} }

// both are the two.
func (p *pair) both() []side { return []side{p.gorm, p.lucia} }

// eachPair runs a test on each engine, and in it for each side before the other.
func eachPair(t *testing.T, test func(t *testing.T, p *pair, a, b side)) {
	for _, s := range engines {
		t.Run(s.engine, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, s)
			for _, order := range p.sides() {
				t.Run(order[0].name()+" then "+order[1].name(), func(t *testing.T) { test(t, p, order[0], order[1]) })
			}
		})
	}
}

// limiter waits for long: under the race detector a hash takes a second.
var limiter = password.NewLimiter(runtime.GOMAXPROCS(0), 100, time.Minute)

func openGormkey(t testing.TB, s schema, db database, more ...gormkey.Option) (*gorm.DB, *gormkey.RepositoryOf[*member, *gormkey.Key[member], *visit]) {
	t.Helper()
	handle, plugin := usePlugin(t, s, db, more...)
	auth, err := plugin.Repository()
	must(t, err)
	return handle, auth
}

func usePlugin(t testing.TB, s schema, db database, more ...gormkey.Option) (*gorm.DB, *gormkey.PluginOf[*member, *gormkey.Key[member], *visit]) {
	t.Helper()
	var dialector gorm.Dialector
	switch s.engine {
	case "sqlite":
		dialector = sqlite.Open("file:" + (&url.URL{Path: strings.TrimPrefix(db.url, "sqlite:")}).EscapedPath() + "?_pragma=foreign_keys(1)&_pragma=busy_timeout(20000)&_txlock=immediate")
	case "postgres":
		dialector = postgres.New(postgres.Config{Conn: db.DB})
	default:
		dialector = mysql.New(mysql.Config{Conn: db.DB})
	}
	handle, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	must(t, err)
	if pool, err := handle.DB(); err == nil && pool != db.DB {
		t.Cleanup(func() { _ = pool.Close() })
	}
	options := append([]gormkey.Option{
		gormkey.WithLuciaV2(), gormkey.WithTableNames(s.tables), gormkey.WithPasswordLimiter(limiter),
	}, more...)
	plugin := gormkey.NewOf[member, gormkey.Key[member], visit](options...)
	must(t, handle.Use(plugin))
	return handle, plugin
}

// goSide is gormkey.
type goSide struct {
	t    testing.TB
	auth *gormkey.RepositoryOf[*member, *gormkey.Key[member], *visit]
}

var _ side = goSide{}

func (goSide) name() string           { return "gormkey" }
func (g goSide) ctx() context.Context { return context.WithoutCancel(g.t.Context()) }

func (key login) credentials() gormkey.Credentials {
	if key.password == nil {
		return gormkey.Proved("email", key.id)
	}
	return gormkey.Credentials{Provider: "email", ID: key.id, Password: *key.password}
}

// asLucia names gormkey's errors as Lucia does.
func asLucia(err error) error {
	for ours, theirs := range map[error]error{
		gormkey.ErrInvalidCredentials: errRefused, gormkey.ErrKeyNotFound: errNoKey, gormkey.ErrUserNotFound: errNoUser,
		gormkey.ErrInvalidSession: errNoSession, gormkey.ErrDuplicateKey: errDuplicate,
	} {
		if errors.Is(err, ours) {
			return theirs
		}
	}
	return err
}

func (g goSide) createUser(username string, key *login) (string, error) {
	user := &member{Username: username}
	var keys []gormkey.Credentials
	if key != nil {
		keys = append(keys, key.credentials())
	}
	err := g.auth.CreateUser(g.ctx(), user, keys...)
	return user.ID, asLucia(err)
}

func (g goSide) username(id string) (string, error) {
	user, err := g.auth.GetUser(g.ctx(), id)
	if err != nil {
		return "", asLucia(err)
	}
	return user.Username, nil
}

func (g goSide) rename(id, username string) error {
	_, err := g.auth.UpdateUserAttributes(g.ctx(), id, map[string]any{"username": username})
	return asLucia(err)
}

func (g goSide) deleteUser(id string) error { return asLucia(g.auth.DeleteUser(g.ctx(), id)) }

func (g goSide) createKey(userID string, key login) error {
	_, err := g.auth.AddKey(g.ctx(), userID, key.credentials())
	return asLucia(err)
}

func (g goSide) useKey(key login) (string, error) {
	k, err := g.auth.UseKey(g.ctx(), key.credentials())
	if err != nil {
		return "", asLucia(err)
	}
	return k.UserID, nil
}

func (g goSide) key(id string) (string, bool, error) {
	key, err := g.auth.GetKey(g.ctx(), gormkey.KeyID{Provider: "email", ID: id})
	if err != nil {
		return "", false, asLucia(err)
	}
	return key.UserID, key.PasswordDefined(), nil
}

func (g goSide) keys(userID string) (ids []string, err error) {
	keys, err := g.auth.UserKeys(g.ctx(), userID)
	for _, key := range keys {
		ids = append(ids, key.KeyID().ID)
	}
	slices.Sort(ids)
	return ids, asLucia(err)
}

func (g goSide) setPassword(key login) (ended string, err error) {
	changed, err := g.auth.OverwritePassword(g.ctx(), key.credentials(), "")
	if err != nil {
		return "", asLucia(err)
	}
	return changed.UserID, nil
}

func (g goSide) deleteKey(id string) error {
	key, err := g.auth.GetKey(g.ctx(), gormkey.KeyID{Provider: "email", ID: id})
	if errors.Is(err, gormkey.ErrKeyNotFound) {
		return nil
	}
	must(g.t, err)
	return asLucia(g.auth.RemoveKey(g.ctx(), key.UserID, key.KeyID(), gormkey.AllowLastKey()))
}

func (g goSide) view(v *visit, err error) (view, error) {
	if err != nil {
		return view{}, asLucia(err)
	}
	o := view{
		ID: string(v.ID), UserID: v.UserID, Country: v.Country, State: string(v.State(time.Now())),
		Active: int64(v.ActiveExpires), Idle: int64(v.IdleExpires), Fresh: v.Fresh,
	}
	if v.User != nil {
		o.Username = v.User.Username
	}
	return o, nil
}

func (g goSide) createSession(userID, country string) (view, error) {
	return g.view(g.auth.OpenSession(g.ctx(), userID, func(v *visit) { v.Country = country }))
}

func (g goSide) validate(id string) (view, error) {
	return g.view(g.auth.ValidateSession(g.ctx(), gormkey.Token(id)))
}

func (g goSide) session(id string) (view, error) {
	return g.view(g.auth.GetSession(g.ctx(), gormkey.Token(id)))
}

func (g goSide) sessions(userID string) (ids []string, err error) {
	sessions, err := g.auth.UserSessions(g.ctx(), userID)
	for _, s := range sessions {
		ids = append(ids, string(s.ID))
	}
	slices.Sort(ids)
	return ids, asLucia(err)
}

func (g goSide) setCountry(id, country string) error {
	_, err := g.auth.UpdateSessionAttributes(g.ctx(), gormkey.SessionID(id), map[string]any{"country": country})
	return asLucia(err)
}

func (g goSide) signOut(id string) error { return asLucia(g.auth.SignOut(g.ctx(), gormkey.Token(id))) }

func (g goSide) signOutAll(userID string) error {
	return asLucia(g.auth.EndAllSessions(g.ctx(), userID))
}

// deleteDead does for everybody what Lucia does for one user.
func (g goSide) deleteDead(string) error {
	_, err := g.auth.DeleteExpired(g.ctx())
	return asLucia(err)
}
