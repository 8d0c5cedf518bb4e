package gormkey

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// binding is what a plugin knows of its database: the schemas that GORM caches there,
// with the tables, types and constraints that the options ask for.
type binding struct {
	db     *gorm.DB
	root   *gorm.DB  // as it was registered with, whose settings the application may still change
	cache  *sync.Map // GORM's schemas
	engine engine.Engine

	user, key, session   *schema.Schema // as registered
	token                *schema.Schema // nil without WithOneTimeTokens
	owned                []owned        // the tables whose rows belong to users, in the order in which they are deleted
	baseKey, baseSession *schema.Schema // of Key[U] and Session[U]
	userID               *schema.Field
	lookups, uncompiled  sync.Map // reflect.Type → *lookup, without and with Query callbacks of the application

	columns      []ownColumn                 // whose types are looked at
	narrow       atomic.Pointer[engine.Type] // what bounds users' ids until their columns are widened
	frozen       map[string]bool             // tables of Lucia's that are left as they are
	castExpiries bool                        // they are not stored as integers

	foreignKeys   bool   // the tables are to have their foreign keys
	currentSchema string // the schema or database of unqualified names, where the integrity callbacks ask
	ownType       bool   // ids have a type of the database's own
	plainColumns  bool   // every column can be named in a SELECT
	undone        undone
	plans         plans
}

// model is one of the structs of a plugin with the table that it belongs to.
type model struct {
	value  any
	option string // the option that names its table
	table  string // the name given there, or ""
	base   bool   // it is Key[U] or Session[U], next to the one that was registered
}

// models returns the structs of the plugin: as registered, then the base types, which
// stay usable next to them.
func (p *PluginOf[U, K, S]) models() []model {
	t := p.opts.tables
	models := []model{
		{value: new(U), option: "User", table: t.User},
		{value: new(K), option: "Key", table: t.Key},
		{value: new(S), option: "Session", table: t.Session},
	}
	if p.opts.tokens {
		models = append(models, model{value: new(OneTimeToken[U]), option: "Token", table: t.Token})
	}
	return append(models,
		model{value: new(Key[U]), option: "Key", table: t.Key, base: true},
		model{value: new(Session[U]), option: "Session", table: t.Session, base: true})
}

// registered returns one model a table.
func registered(models []model) []model {
	return slices.DeleteFunc(slices.Clone(models), func(m model) bool { return m.base })
}

// tables returns the tables of a registered plugin.
func (p *PluginOf[U, K, S]) tables() []string {
	b := p.bound.Load()
	if b == nil {
		return nil
	}
	return b.tables()
}

// tables returns those of the plugin itself, which no other plugin may have.
func (b *binding) tables() []string {
	tables := []string{b.user.Table}
	for _, s := range b.ours() {
		tables = append(tables, s.Table)
	}
	return tables
}

// allTables returns the tables of WithOwned too.
func (b *binding) allTables() []string {
	tables := b.tables()
	for _, o := range b.applications() {
		if !slices.Contains(tables, o.Table) {
			tables = append(tables, o.Table)
		}
	}
	return tables
}

// newBinding returns what is known before the database is asked.
func newBinding(db *gorm.DB, e engine.Engine, opts *options, models []model) *binding {
	return &binding{
		db:          db.Session(&gorm.Session{NewDB: true}),
		root:        db,
		cache:       schemaCache(db),
		engine:      e,
		columns:     ownColumns(e, opts, models),
		foreignKeys: !opts.noForeignKeys,
		ownType:     opts.userIDType != "",
	}
}

// checkUnparsed refuses models that GORM has in its cache. Other models and their relations
// have copied tables and types from there by then, without the plugin's options.
func (b *binding) checkUnparsed(models []model) error {
	if b.cache == nil {
		return nil
	}
	for _, m := range models {
		if _, parsed := b.cache.Load(reflect.TypeOf(m.value).Elem()); parsed {
			return fmt.Errorf("GORM has parsed %T before: call db.Use right after gorm.Open, before any query, AutoMigrate or plugin whose models refer to it", m.value)
		}
	}
	return nil
}

// ask asks the database once for what later decisions depend on. It refuses a database that
// does not fit the options.
func (b *binding) ask(opts *options, models []model) (err error) {
	settings, sessions := opts.settings(), ""
	for _, m := range registered(models) {
		if m.option != ownedOption {
			settings.Tables = append(settings.Tables, m.table)
		}
		if m.option == "Session" {
			sessions = m.table
		}
	}
	if b.engine, err = b.engine.Ask(b.db, settings); err != nil {
		return err
	}
	if b.engine.Batches() && opts.noForeignKeys {
		return errors.New("WithoutForeignKeys: this database has no transactions to keep keys and sessions whole in, and always enforces foreign keys: leave the option out")
	}
	there := newCatalog(b.engine, b.db)
	narrow, err := b.checkColumns(there, opts)
	if err != nil {
		return err
	}
	b.narrow.Store(narrowest(narrow))
	if err := b.readExpiries(there, sessions); err != nil {
		return err
	}
	return b.readCurrentSchema()
}

// writeSchemas parses the models into GORM's cache and sets tables, types and constraints
// there, as GORM's own SetupJoinTable does. The caller checked them.
func (b *binding) writeSchemas(opts *options, models []model) error {
	var own, owned []*schema.Schema
	for _, m := range models {
		stmt := &gorm.Statement{DB: b.db}
		if err := stmt.Parse(m.value); err != nil {
			return err
		}
		stmt.Schema.Table = m.table
		if m.option == ownedOption {
			owned = append(owned, stmt.Schema)
			continue
		}
		own = append(own, stmt.Schema)
		b.keep(m, stmt.Schema)
	}
	b.userID = b.user.PrioritizedPrimaryField
	if err := b.checkOwner(); err != nil {
		return err
	}
	b.addOwned(owned)
	b.plainColumns = !slices.ContainsFunc(own, func(s *schema.Schema) bool { return !plainQueries(s) })
	b.setTypes(opts)
	b.setConstraints()
	if !opts.hasAbsolute {
		dropColumn(b.session, "absolute_expires")
		dropColumn(b.baseSession, "absolute_expires")
	}
	return b.leaveTablesAlone(opts)
}

// checkOwner refuses models whose User GORM relates to something else.
func (b *binding) checkOwner() error {
	for _, s := range b.children() {
		rel := s.Relationships.Relations["User"]
		if rel == nil || rel.Type != schema.BelongsTo || len(rel.References) != 1 || rel.References[0].PrimaryKey != b.userID {
			return fmt.Errorf("GORM takes the User of %v for something else than its owner; look for a field of %v that it may have mistaken", s.ModelType, b.user.ModelType)
		}
	}
	return nil
}

// keep puts a schema where it belongs.
func (b *binding) keep(m model, s *schema.Schema) {
	switch {
	case m.option == "User":
		b.user = s
	case m.option == "Token":
		b.token = s
	case m.option == "Key" && m.base:
		b.baseKey = s
	case m.option == "Key":
		b.key = s
	case m.base:
		b.baseSession = s
	default:
		b.session = s
	}
}

// readExpiries finds out whether the column of expiries is declared for something else than
// integers, as Drizzle declares it. Only a column that takes any type then holds them all the
// same.
func (b *binding) readExpiries(there *catalog, sessions string) error {
	if !b.engine.LooseTypes() {
		return nil
	}
	columns, err := there.columns(sessions)
	c, ok := columns["idle_expires"]
	b.castExpiries = ok && !b.engine.HoldsMillis(c.SQLType)
	return err
}

// readCurrentSchema asks where an unqualified name is.
func (b *binding) readCurrentSchema() error {
	if b.foreignKeys && !b.engine.MayNotEnforce() {
		return nil
	}
	var err error
	if b.currentSchema, err = b.engine.CurrentSchema(b.db); err != nil {
		return fmt.Errorf("reading the current schema: %w", err)
	}
	return nil
}

// children returns the schemas of what belongs to users, registered and base.
func (b *binding) children() []*schema.Schema {
	return append(b.ours(), b.baseKey, b.baseSession)
}

// setTypes gives every id its type, and each user_id that of the user's id. Columns of the
// application that point at them follow.
func (b *binding) setTypes(opts *options) {
	t := &typeSetter{before: map[*schema.Field]schema.DataType{}, loose: b.engine.LooseTypes()}
	id := b.engine.IDType(opts.userIDLength)
	if opts.userIDType != "" {
		id = b.engine.GORMType(opts.userIDType)
	}
	t.set(b.userID, id)
	for _, s := range b.children() {
		t.set(s.FieldsByDBName["user_id"], id.Referring())
		if f := s.PrioritizedPrimaryField; f.DataType == schema.String {
			t.set(f, b.engine.IDType(f.Size))
		}
	}
	related := append(b.children(), b.user)
	for _, o := range b.applications() {
		related = append(related, o.Schema)
	}
	t.share(related)
	if t.loose {
		for _, s := range append(b.children(), b.user) {
			dropSizes(s)
		}
	}
}

// dropSizes takes the sizes off texts where they mean nothing: see IDType of SQLite.
func dropSizes(s *schema.Schema) {
	for _, f := range s.Fields {
		if f.DataType == schema.String || f.DataType == schema.Bytes {
			f.Size = 0
		}
	}
}

// setConstraints writes the foreign key's actions on every relation that points at the
// user's id, so that a has-many field of the application does not drop ON DELETE CASCADE,
// or GORM's word for none.
func (b *binding) setConstraints() {
	for _, s := range b.children() {
		constraint := b.foreignKeyName(s) + ",OnUpdate:CASCADE,OnDelete:CASCADE"
		if !b.foreignKeys {
			constraint = "-"
		}
		b.constrain(s, constraint)
	}
	if b.foreignKeys {
		return
	}
	for _, o := range b.applications() {
		b.constrain(o.Schema, "-")
	}
}

// foreignKeyName is the name of a foreign key of the library's own tables.
func (b *binding) foreignKeyName(s *schema.Schema) string {
	return b.db.NamingStrategy.RelationshipFKName(*s.Relationships.Relations["User"])
}

// constrain writes the constraint of a schema's relations to users, whichever of the two
// models has the field.
func (b *binding) constrain(s *schema.Schema, constraint string) {
	for _, rel := range s.Relationships.Relations {
		for _, ref := range rel.References {
			if ref.PrimaryKey == b.userID {
				rel.Field.TagSettings["CONSTRAINT"] = constraint
			}
		}
	}
}

// dropColumn takes a column out of a schema, as if its field had the tag "-".
func dropColumn(s *schema.Schema, name string) {
	f := s.FieldsByDBName[name]
	if f == nil {
		return
	}
	s.DBNames = slices.DeleteFunc(s.DBNames, func(n string) bool { return n == name })
	s.Fields = slices.DeleteFunc(s.Fields, func(g *schema.Field) bool { return g == f })
	delete(s.FieldsByDBName, name)
	delete(s.FieldsByName, f.Name)
	delete(s.FieldsByBindName, f.BindName())
}

// schemaCache returns the map in which GORM keeps the schemas of db, nil if a later
// GORM keeps it elsewhere. It is how a model parsed before is found.
func schemaCache(db *gorm.DB) *sync.Map {
	f := reflect.ValueOf(db.Config).Elem().FieldByName("cacheStore")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*sync.Map]() {
		return nil
	}
	return (*sync.Map)(f.UnsafePointer())
}
