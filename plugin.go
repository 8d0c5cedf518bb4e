package gormkey

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/internal/timing"
)

// PluginOf is the auth system of one user type on one database. Its type arguments are the
// pointers to the application's structs for users, keys and sessions, for example
// PluginOf[*Account, *Key[Account], *Device]. It implements [gorm.Plugin]. Make it with [New] or
// [NewOf], register it with db.Use right after gorm.Open, migrate, and get its operations with
// [PluginOf.Repository]. It is safe for concurrent use once it is registered.
type PluginOf[U, K, S any] struct {
	name     string
	opts     options
	users    kind[U, *User]
	keys     kind[K, *KeyOf[U]]
	sessions kind[S, *SessionOf[U]]
	bound    atomic.Pointer[binding]
	equal    timing.Equal
}

// Plugin is a [PluginOf] whose keys and sessions have no columns of the application's own.
type Plugin[U any] = PluginOf[*U, *Key[U], *Session[U]]

var _ gorm.Plugin = (*Plugin[User])(nil)

// kind has what the operations do with one of the application's structs. P points to it, and B to
// the library's struct inside it. It is made by [NewOf], where the compiler knows the struct, so
// no operation needs reflection for it. The operations themselves have pointers for type
// arguments, since Go compiles code once for all pointers and again for each struct.
type kind[P, B any] struct {
	base func(P) B
	make func() P
	copy func(to, from P)
}

// kindOf returns the kind of a struct T.
func kindOf[T, B any](base func(*T) B) kind[*T, B] {
	return kind[*T, B]{base, func() *T { return new(T) }, func(to, from *T) { *to = *from }}
}

// clone returns a copy of the struct.
func (k kind[P, B]) clone(from P) P {
	to := k.make()
	k.copy(to, from)
	return to
}

// New returns a plugin for the application's user type U, a struct that embeds [User] by value. A
// type that does not embed it fails to compile. The options are checked by db.Use.
func New[U any, P UserModel[U]](opts ...Option) *Plugin[U] {
	return NewOf[U, Key[U], Session[U], P](opts...)
}

// NewOf is [New] for an application whose keys or sessions have columns of their own. K is a
// struct that embeds [Key], and S is a struct that embeds [Session], each by value:
//
//	type Device struct {
//		gormkey.Session[Account]
//		UserAgent string `gorm:"size:255"`
//	}
//
//	plugin := gormkey.NewOf[Account, gormkey.Key[Account], Device]()
//
// CreateUser and ShareKey insert the columns of [Key] only. So give other columns a default, or
// let them be NULL.
func NewOf[U, K, S any, PU UserModel[U], PK KeyModel[U, K], PS SessionModel[U, S]](opts ...Option) *PluginOf[*U, *K, *S] {
	user := reflect.TypeFor[U]()
	name := fmt.Sprintf("gormkey:%s.%s#%d", user.PkgPath(), user.Name(), pluginCount.Add(1))
	p := &PluginOf[*U, *K, *S]{
		name:     name,
		opts:     defaultOptions(),
		users:    kindOf(func(u *U) *User { return PU(u).mustEmbedUser() }),
		keys:     kindOf(func(k *K) *Key[U] { return PK(k).mustEmbedKey() }),
		sessions: kindOf(func(s *S) *Session[U] { return PS(s).mustEmbedSession() }),
	}
	for _, option := range opts {
		option(&p.opts)
	}
	return p
}

// pluginCount makes each plugin's name its own. GORM itself refuses a second plugin of the same name
// with the one word "registered"; with its own name it comes to Initialize, which says why.
var pluginCount atomic.Int64

// Name returns "gormkey:", the user type with its package path, and a number.
func (p *PluginOf[U, K, S]) Name() string { return p.name }

// Format writes the name only, since the options may hold a pepper.
func (p *PluginOf[U, K, S]) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, p.Name()) }

// Initialize is called by db.Use. It checks the options and models, reads the types of the
// columns that are there, binds the models to their tables and registers the plugin's callbacks.
// It sends no DDL. A later call for the same database, as dbresolver makes one for each replica,
// changes nothing.
//
// It refuses, with an error that says what to do:
//
//   - options that are out of bounds;
//   - a model that embeds by pointer, redeclares ID, or has its table name in two places;
//   - a model that GORM has parsed before;
//   - an id column that compares inexactly ([tables.InexactIDError]);
//   - a column that is wider than the options say, or of another type ([tables.ColumnError]);
//   - a second plugin for the user type, or one that shares a table;
//   - a plugin that is registered with another database;
//   - configuration of GORM that takes the foreign keys away;
//   - a server that is not known to keep its row locks.
//
// After a refusal GORM's migrator refuses the plugin's tables too.
func (p *PluginOf[U, K, S]) Initialize(db *gorm.DB) error {
	if b := p.bound.Load(); b != nil {
		if b.cache != nil && b.cache == schemaCache(db) {
			return p.registerCallbacks(db, b) // for a handle opened with a copy of the configuration
		}
		return fmt.Errorf("gormkey: the plugin for %v serves another database; call New for each", p.userType())
	}
	b, err := p.bind(db)
	if err != nil {
		err = fmt.Errorf("gormkey: plugin for %v: %w", p.userType(), err)
		p.refuse(db, err)
		return err
	}
	if !p.bound.CompareAndSwap(nil, b) {
		return fmt.Errorf("gormkey: the plugin for %v is being registered twice at once", p.userType())
	}
	return p.registerCallbacks(db, b)
}

// bind takes the steps of db.Use in their order: it checks the options and the models, asks the
// database, and writes into GORM's schemas last, when nothing is left to refuse.
func (p *PluginOf[U, K, S]) bind(db *gorm.DB) (*binding, error) {
	if other := pluginFor(db, p.userType()); other != nil && other != gorm.Plugin(p) {
		return nil, errors.New("the database has a plugin for this user type already; get its operations with its Repository method or with gormkey.From")
	}
	if err := p.opts.validate(); err != nil {
		return nil, err
	}
	p.opts.setDefaults()
	e, err := engine.Of(db, p.opts.settings())
	if err != nil {
		return nil, err
	}
	if err := p.opts.validateUserID(e); err != nil {
		return nil, err
	}
	models, err := p.checkModels(db, e)
	if err != nil {
		return nil, err
	}
	b := newBinding(db, e, &p.opts, models)
	if err := b.checkUnparsed(models); err != nil {
		return nil, err
	}
	if err := b.ask(&p.opts, models); err != nil {
		return nil, err
	}
	return b, b.writeSchemas(&p.opts, models)
}

// Models returns the models to migrate, in an order that satisfies their foreign keys: the user,
// the key, the session, the token with [WithOneTimeTokens], and those of [WithOwned]. Give them
// to db.AutoMigrate or to Atlas. On SQLite use [PluginOf.AutoMigrate] instead, which loses no
// rows when a table is rebuilt.
func (p *PluginOf[U, K, S]) Models() []any {
	var models []any
	for _, m := range registered(p.models()) {
		models = append(models, newLike(m.value))
	}
	for _, value := range p.opts.owned {
		if t := reflect.TypeOf(value); t != nil && t.Kind() == reflect.Pointer { // db.Use refuses the others
			models = append(models, newLike(value))
		}
	}
	return models
}

// userType returns the user type that the plugin is for.
func (p *PluginOf[U, K, S]) userType() reflect.Type { return reflect.TypeFor[U]().Elem() }

// Repository returns the operations on the database with which the plugin is registered.
// [RepositoryOf.With] returns those on a transaction. Before db.Use, or after db.Use returned an
// error, it returns [ErrNotRegistered].
func (p *PluginOf[U, K, S]) Repository() (*RepositoryOf[U, K, S], error) {
	b := p.bound.Load()
	if b == nil {
		return nil, notRegistered(nil, p.userType())
	}
	r := newRepository(p, b, b.root)
	return r, r.err
}

// From returns the operations for user type U on db: the root handle, a session of it, or a
// transaction.
//
// Errors:
//
//   - [ErrNotRegistered]: db has no plugin for U.
//   - [UsageError]: db is nil, is in DryRun mode, or carries conditions, which the operations
//     would ignore.
//   - The error that db carries, if there is one.
func From[U any](db *gorm.DB) (*Repository[U], error) { return FromOf[U, Key[U], Session[U]](db) }

// FromOf is [From] for a plugin that [NewOf] made.
func FromOf[U, K, S any](db *gorm.DB) (*RepositoryOf[*U, *K, *S], error) {
	if db == nil || db.Config == nil || db.Statement == nil {
		return nil, &UsageError{"db", "is nil or not opened by gorm.Open"}
	}
	user := reflect.TypeFor[U]()
	for _, plugin := range db.Plugins {
		if p, ok := plugin.(*PluginOf[*U, *K, *S]); ok {
			if b := p.bound.Load(); b != nil {
				r := newRepository(p, b, db)
				return r, r.err
			}
		} else if servesUser(plugin, user) {
			return nil, fmt.Errorf("%w: the plugin for %v has other keys or sessions than %v and %v: use FromOf with its types, or its Repository method",
				ErrNotRegistered, user, reflect.TypeFor[K](), reflect.TypeFor[S]())
		}
	}
	return nil, notRegistered(db, user)
}

// servesUser reports whether a plugin of GORM is one for the user type, whatever its keys and
// sessions are.
func servesUser(plugin gorm.Plugin, user reflect.Type) bool {
	q, ok := plugin.(interface{ userType() reflect.Type })
	return ok && q.userType() == user
}

// pluginFor returns the handle's plugin for the user type, or nil.
func pluginFor(db *gorm.DB, user reflect.Type) gorm.Plugin {
	for _, plugin := range db.Plugins {
		if servesUser(plugin, user) {
			return plugin
		}
	}
	return nil
}

// notRegistered names the user types that the handle has plugins for, since the type asked for may be
// a pointer to one, or a session.
func notRegistered(db *gorm.DB, user reflect.Type) error {
	var have []string
	if db != nil {
		for _, plugin := range db.Plugins {
			if q, ok := plugin.(interface{ userType() reflect.Type }); ok {
				have = append(have, q.userType().String())
			}
		}
	}
	if len(have) > 0 {
		slices.Sort(have)
		return fmt.Errorf("%w: %v is no user type of this database, which has plugins for %s", ErrNotRegistered, user, strings.Join(have, ", "))
	}
	return fmt.Errorf("%w: %v: call db.Use right after gorm.Open, and look at its error", ErrNotRegistered, user)
}

// newLike returns a pointer to a new value of the type that model points at.
func newLike(model any) any { return reflect.New(reflect.TypeOf(model).Elem()).Interface() }
