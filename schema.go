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

// binding is a plugin on its database: the schemas that GORM caches there, the engine, and the
// answers that the database gave when the plugin was registered. Initialize makes one and stores
// it for good, so everything but narrow, undone, plans and the lookups is read without a lock.
type binding struct {
	db     *gorm.DB
	root   *gorm.DB  // as it was registered with, whose settings the application may still change
	cache  *sync.Map // GORM's schemas
	engine engine.Engine

	user, key, session   *schema.Schema // as registered
	token                *schema.Schema // nil without WithOneTimeTokens
	suspension           *schema.Schema // nil without WithSuspension
	events               *schema.Schema // nil without WithEventLog
	added                []addedTable   // the tables that options have added
	owned                []owned        // the tables whose rows belong to users, in the order in which they are deleted
	baseKey, baseSession *schema.Schema // of KeyOf[U] and SessionOf[U]
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

// model is one of the structs of a plugin, with the table that it belongs to.
type model struct {
	value  any
	option string // the option that names its table
	table  string // the name given there, or ""
	base   bool   // it is KeyOf[U] or SessionOf[U], next to the one that was registered
}

// models returns the structs of the plugin: as registered, then the base types [Key] and
// [Session], which stay usable next to them. Where the application registered a Device,
// db.First(&device) and db.First(&session) read the same table.
func (p *PluginOf[U, K, S]) models() []model {
	t := p.opts.tables
	models := []model{
		{value: p.users.make(), option: "User", table: t.User},
		{value: p.keys.make(), option: "Key", table: t.Key},
		{value: p.sessions.make(), option: "Session", table: t.Session},
	}
	for _, a := range p.opts.additions() {
		if a.on {
			models = append(models, model{value: p.additionModel(a.field), option: a.field, table: a.name})
		}
	}
	return append(models,
		model{value: new(KeyOf[U]), option: "Key", table: t.Key, base: true},
		model{value: new(SessionOf[U]), option: "Session", table: t.Session, base: true})
}

// registered returns one model for each table, without the base types. These may be one Go type
// with the registered ones, and have the same table in any case.
func registered(models []model) []model {
	return slices.DeleteFunc(slices.Clone(models), func(m model) bool { return m.base })
}

// tables returns the tables of a registered plugin, nil before db.Use. checkOthers of another
// plugin calls it through an interface, since it does not know this plugin's type parameters.
func (p *PluginOf[U, K, S]) tables() []string {
	b := p.bound.Load()
	if b == nil {
		return nil
	}
	return b.tables()
}

// tables returns the tables of the library, which no other plugin may have.
func (b *binding) tables() (tables []string) {
	for _, s := range b.all() {
		tables = append(tables, s.Table)
	}
	return tables
}

// all returns the schemas of the library's tables.
func (b *binding) all() []*schema.Schema {
	all := append([]*schema.Schema{b.user}, b.ours()...)
	for _, a := range b.added {
		if !a.owned {
			all = append(all, a.Schema)
		}
	}
	return all
}

// allTables adds the tables of [WithOwned]. A rebuild of one of these on SQLite must not lose
// rows either.
func (b *binding) allTables() []string {
	tables := b.tables()
	for _, o := range b.applications() {
		if !slices.Contains(tables, o.Table) {
			tables = append(tables, o.Table)
		}
	}
	return tables
}

// newBinding returns a binding with what is known before the database is asked. It keeps two
// handles: db is clean, for the library's own reads; root is as it came, for Repository.
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

// checkUnparsed refuses models that GORM has in its cache. Whatever GORM parsed by then, a Post
// with a relation to Account for example, has copied the old table and the old type of the id:
// its posts would go on pointing at auth_user while the users are in accounts, without an error.
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

// ask asks the database once for what later decisions depend on: which server it is, the columns
// that are there, how expiries are stored, the current schema. It refuses a database that does
// not fit the options. It comes before writeSchemas, so a refusal leaves no trace in GORM's
// cache.
func (b *binding) ask(opts *options, models []model) (err error) {
	settings, sessions := opts.settings(), ""
	for _, m := range registered(models) {
		// Row level security is looked for on the plugin's own tables alone.
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

// writeSchemas parses the models into GORM's cache, and sets their tables, types and constraints
// there, as GORM's own SetupJoinTable does. From then on First, Preload, Joins and AutoMigrate of
// any handle on this database use them. A wrapping Namer would not do instead: it does not see
// the outer type, so the models of two plugins would get one table.
//
// The models were checked by the caller. The base types are parsed here too, so no later query
// parses them with GORM's own idea of their table.
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
		b.keep(m, stmt.Schema, opts.added())
	}
	b.userID = b.user.PrioritizedPrimaryField
	if err := b.checkOwner(); err != nil {
		return err
	}
	b.addOwned(owned)
	b.plainColumns = !slices.ContainsFunc(own, func(s *schema.Schema) bool { return !plainQueries(s) })
	b.setTypes(opts)
	b.setConstraints()
	// The struct always has the field. Without the option no table has the column, and a SELECT
	// that names it would fail.
	if !opts.hasAbsolute {
		dropColumn(b.session, "absolute_expires")
		dropColumn(b.baseSession, "absolute_expires")
	}
	if !opts.facts {
		for _, name := range factColumns {
			dropColumn(b.session, name)
			dropColumn(b.baseSession, name)
		}
	}
	return b.leaveTablesAlone(opts)
}

// checkOwner refuses models whose User GORM relates to something else. GORM guesses a relation
// from the names of fields, so a field UserID of the application's user model may lead it astray.
func (b *binding) checkOwner() error {
	for _, s := range b.children() {
		rel := s.Relationships.Relations["User"]
		if rel == nil || rel.Type != schema.BelongsTo || len(rel.References) != 1 || rel.References[0].PrimaryKey != b.userID {
			return fmt.Errorf("GORM takes the User of %v for something else than its owner; look for a field of %v that it may have mistaken", s.ModelType, b.user.ModelType)
		}
	}
	return nil
}

// keep stores a schema in the field of its model.
func (b *binding) keep(m model, s *schema.Schema, added map[string]addition) {
	if a, ok := added[m.option]; ok {
		b.added = append(b.added, addedTable{a, s})
	}
	switch {
	case m.option == "User":
		b.user = s
	case m.option == "Token":
		b.token = s
	case m.option == "Suspension":
		b.suspension = s
	case m.option == "Event":
		b.events = s
	case m.option == "Key" && m.base:
		b.baseKey = s
	case m.option == "Key":
		b.key = s
	case m.base:
		b.baseSession = s
	case m.option == "Session":
		b.session = s
	}
}

// readExpiries finds out whether the column of expiries is declared as something else than an
// integer, as Drizzle declares it. Only SQLite stores numbers in such a column all the same.
// There a text or a blob is greater than any number, so a plain "idle_expires < now" would never
// hold, and the cleanup would delete nothing; see deadAt.
func (b *binding) readExpiries(there *catalog, sessions string) error {
	if !b.engine.LooseTypes() {
		return nil
	}
	columns, err := there.columns(sessions)
	c, ok := columns["idle_expires"]
	b.castExpiries = ok && !b.engine.HoldsMillis(c.SQLType)
	return err
}

// readCurrentSchema asks for the schema or database of unqualified names. Only the callbacks that
// stand in for foreign keys need it, to recognise a table whose name is written out, so others do
// not ask.
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

// children returns the schemas of tokens, sessions and keys, as registered and as base types. If
// the application registered no types of its own, then a schema is in the list twice.
func (b *binding) children() []*schema.Schema {
	return append(b.ours(), b.baseKey, b.baseSession)
}

// setTypes gives every id its type, and each user_id the type of the user's id: VARBINARY(15) on
// MySQL by default, uuid with WithUserIDType("uuid"). Columns of the application that refer to an
// id follow, since MySQL and PostgreSQL add no foreign key between columns of different types.
func (b *binding) setTypes(opts *options) {
	t := &typeSetter{before: map[*schema.Field]schema.DataType{}, loose: b.engine.LooseTypes()}
	id := b.engine.IDType(opts.userIDLength)
	if opts.userIDType != "" {
		id = b.engine.GORMType(opts.userIDType)
	}
	t.set(b.userID, id)
	for _, s := range b.children() {
		// The user_id of a serial id is a plain integer: it has no counter of its own.
		t.set(s.FieldsByDBName["user_id"], id.Referring())
		if f := s.PrioritizedPrimaryField; f.DataType == schema.String {
			t.set(f, b.engine.IDType(f.Size))
		}
	}
	for _, a := range b.added {
		for _, column := range a.texts {
			if f := a.FieldsByDBName[column.column]; column.isID && f.DataType == schema.String {
				t.set(f, b.engine.IDType(f.Size))
			}
		}
	}
	related := append(b.children(), b.user)
	for _, o := range b.applications() {
		related = append(related, o.Schema)
	}
	t.share(related)
	if t.loose {
		for _, s := range append(b.all(), b.baseKey, b.baseSession) {
			dropSizes(s)
		}
	}
}

// dropSizes removes the sizes of texts where they mean nothing. With them GORM's migrator would
// rebuild a table that has rows at each start; see IDType of SQLite.
func dropSizes(s *schema.Schema) {
	for _, f := range s.Fields {
		if f.DataType == schema.String || f.DataType == schema.Bytes {
			f.Size = 0
		}
	}
}

// setConstraints writes the foreign key's actions on every relation that refers to the user's id.
// A field Sessions []Session[Account] in the user model has a relation of its own, by which GORM
// would silently drop ON DELETE CASCADE. Without foreign keys it writes "-", which is GORM's tag
// for no constraint. That is done for the tables of this plugin and of [WithOwned] only; the
// application's other constraints stay.
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

// foreignKeyName is the name of a foreign key of the library's own tables. It is written into the
// tag, so both sides of a relation agree on one name and a second migration finds it.
func (b *binding) foreignKeyName(s *schema.Schema) string {
	return b.db.NamingStrategy.RelationshipFKName(*s.Relationships.Relations["User"])
}

// constrain writes the constraint of a schema's relations to users, whichever of the two models
// has the field.
func (b *binding) constrain(s *schema.Schema, constraint string) {
	for _, rel := range s.Relationships.Relations {
		for _, ref := range rel.References {
			if ref.PrimaryKey == b.userID {
				rel.Field.TagSettings["CONSTRAINT"] = constraint
			}
		}
	}
}

// dropColumn removes a column from a schema, as if its field had the tag gorm:"-". Every map by
// which GORM finds a field has to forget it, or an INSERT would still name the column.
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

// schemaCache returns the map in which GORM keeps the schemas of db, nil if a later GORM keeps it
// elsewhere. The map tells whether GORM has parsed a model before, and whether two handles are of
// one database: each gorm.Open makes a new one, and all handles that are derived from it share
// it.
func schemaCache(db *gorm.DB) *sync.Map {
	f := reflect.ValueOf(db.Config).Elem().FieldByName("cacheStore")
	if !f.IsValid() || f.Type() != reflect.TypeFor[*sync.Map]() {
		return nil
	}
	return (*sync.Map)(f.UnsafePointer())
}
