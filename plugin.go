package gormkey

import (
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"

	"gorm.io/gorm"
)

// Plugin is the auth system of one user type on one database. It implements
// gorm.Plugin: make it with [New], register it with db.Use right after gorm.Open,
// migrate, and get its operations with [From]. It is safe for concurrent use once
// registered.
type Plugin[U any] struct {
	opts  options
	base  func(*U) *User
	bound atomic.Pointer[binding]
	work  work
}

var _ gorm.Plugin = (*Plugin[User])(nil)

// New returns a plugin for the application's user type U, a struct that embeds [User]
// by value; a type that does not embed it fails to compile. The options are checked by
// db.Use.
func New[U any, P UserModel[U]](opts ...Option) *Plugin[U] {
	p := &Plugin[U]{opts: defaultOptions(), base: func(u *U) *User { return P(u).AuthUser() }}
	for _, option := range opts {
		option(&p.opts)
	}
	if p.opts.keyModel == nil {
		p.opts.keyModel = new(Key[U])
	}
	if p.opts.sessionModel == nil {
		p.opts.sessionModel = new(Session[U])
	}
	return p
}

// Name returns "gormkey:" and the user type with its package path.
func (p *Plugin[U]) Name() string {
	t := reflect.TypeFor[U]()
	return "gormkey:" + t.PkgPath() + "." + t.Name()
}

// Format writes the name alone: the options may hold a pepper.
func (p *Plugin[U]) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, p.Name()) }

// Initialize is called by db.Use. It checks the options and models, binds the models
// to their tables and registers the plugin's callbacks; it sends no DDL. It reads the types
// of the columns that are there. A later call for the same database, as dbresolver makes
// for each replica, changes nothing.
//
// It refuses, with an error that says what to do: options out of bounds; a model that
// embeds by pointer, redeclares ID, or has its table name in two places; a model that
// GORM parsed before; an inexact id column ([InexactIDError]); a column that is wider than
// the options say, or of another type ([ColumnError]); a second plugin for the user type,
// or one that shares a table; a plugin that another database has; configuration that takes
// the foreign keys away. After a refusal GORM's migrator refuses the plugin's tables too.
func (p *Plugin[U]) Initialize(db *gorm.DB) error {
	if b := p.bound.Load(); b != nil {
		if b.cache != nil && b.cache == schemaCache(db) {
			return p.registerCallbacks(db, b) // for a handle opened with a copy of the configuration
		}
		return fmt.Errorf("gormkey: the plugin for %s serves another database; call New for each", typeName[U]())
	}
	b, err := p.bind(db)
	if err != nil {
		err = fmt.Errorf("gormkey: plugin for %s: %w", typeName[U](), err)
		p.refuse(db, err)
		return err
	}
	if !p.bound.CompareAndSwap(nil, b) {
		return fmt.Errorf("gormkey: the plugin for %s is being registered twice at once", typeName[U]())
	}
	return p.registerCallbacks(db, b)
}

func (p *Plugin[U]) bind(db *gorm.DB) (*binding, error) {
	for _, other := range db.Plugins {
		if q, ok := other.(*Plugin[U]); ok && q != p {
			return nil, errors.New("the database has one already; use gormkey.From to get it")
		}
	}
	if err := p.opts.validate(db.Name()); err != nil {
		return nil, err
	}
	models, err := p.checkModels(db)
	if err != nil {
		return nil, err
	}
	return bindModels(db, &p.opts, models)
}

// Models returns the models to migrate, in an order that satisfies their foreign keys:
// the user, the key, the session and, with [WithOneTimeTokens], the token. Give them to db.AutoMigrate or to Atlas. On SQLite
// use [Plugin.AutoMigrate] instead, which loses no rows when a table is rebuilt.
func (p *Plugin[U]) Models() []any {
	var models []any
	for _, m := range registered(p.models()) {
		models = append(models, newLike(m.value))
	}
	return models
}

// From returns the operations for user type U on db: the root handle, a session of it,
// or a transaction. It refuses a nil handle ([ArgumentError]), one without a plugin for
// U ([ErrNotRegistered]), one in DryRun mode ([ErrDryRun]), one that carries an error,
// and one that carries conditions, which the operations would ignore.
func From[U any](db *gorm.DB) (*Repository[U], error) {
	if db == nil || db.Config == nil || db.Statement == nil {
		return nil, &ArgumentError{"db", "is nil or not opened by gorm.Open"}
	}
	for _, plugin := range db.Plugins {
		if p, ok := plugin.(*Plugin[U]); ok {
			if b := p.bound.Load(); b != nil {
				r := newRepository(p, b, db)
				return r, r.err
			}
		}
	}
	return nil, fmt.Errorf("%w: %s: call db.Use right after gorm.Open, and look at its error", ErrNotRegistered, typeName[U]())
}

func typeName[T any]() string { return reflect.TypeFor[T]().String() }

// newLike returns a pointer to a new value of the type that model points at.
func newLike(model any) any { return reflect.New(reflect.TypeOf(model).Elem()).Interface() }
