package gormkey

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// binding is what a plugin knows of its database: the schemas that GORM caches there,
// with the tables, types and constraints that the options ask for.
type binding struct {
	db      *gorm.DB
	cache   *sync.Map // GORM's schemas
	dialect string    // "mysql", "postgres" or "sqlite"

	user, key, session   *schema.Schema // as registered
	baseKey, baseSession *schema.Schema // of Key[U] and Session[U]
	userID               *schema.Field
	lookups              sync.Map // lookupKey → *lookup

	inexact      bool // id columns may match more than equal bytes
	plainColumns bool // every column can be named in a SELECT
	noAutocommit bool // the DSN says autocommit=0: a lone statement is not durable
}

// model is one of the structs of a plugin with the table that it belongs to.
type model struct {
	value  any
	option string // the option that names its table
	table  string // the name given there, or ""
}

// models returns the structs of the plugin: as registered, then the base types, which
// stay usable beside them.
func (p *Plugin[U]) models() []model {
	t := p.opts.tables
	return []model{
		{new(U), "User", t.User}, {p.opts.keyModel, "Key", t.Key}, {p.opts.sessionModel, "Session", t.Session},
		{new(Key[U]), "Key", t.Key}, {new(Session[U]), "Session", t.Session},
	}
}

// checkModels parses the models apart from GORM's cache, so that a refusal leaves no
// trace there, and returns them with their tables.
func (p *Plugin[U]) checkModels(db *gorm.DB) ([]model, error) {
	if !slices.Contains([]string{"mysql", "postgres", "sqlite"}, db.Name()) {
		return nil, fmt.Errorf("the dialect is %q; mysql, postgres and sqlite are known", db.Name())
	}
	if db.DisableForeignKeyConstraintWhenMigrating || db.IgnoreRelationshipsWhenMigrating {
		return nil, errors.New("gorm.Config has DisableForeignKeyConstraintWhenMigrating or IgnoreRelationshipsWhenMigrating: keys and sessions need their foreign keys; turn it off")
	}
	if t := p.opts.userIDType; db.Name() == "mysql" && !p.opts.inexactIDs && textType.MatchString(t) {
		return nil, fmt.Errorf("WithUserIDType: %q compares inexactly on MySQL and MariaDB; use varbinary(n), or leave it out", t)
	}
	if err := p.checkEmbedding(); err != nil {
		return nil, err
	}
	models, private := p.models(), new(sync.Map)
	for i, m := range models {
		s, err := schema.Parse(m.value, private, db.NamingStrategy)
		if err != nil {
			return nil, p.explainParse(err)
		}
		if models[i].table, err = tableOf(m, s, db.NamingStrategy, models[:i]); err != nil {
			return nil, err
		}
		if err := checkPrimaryKey(s); err != nil {
			return nil, err
		}
		if err := p.checkColumns(m, s); err != nil {
			return nil, err
		}
		if i > 0 && len(s.QueryClauses)+len(s.DeleteClauses) > 0 {
			return nil, fmt.Errorf("%T has a soft delete or a condition of its own: keys and sessions end for good, so take the field (DeletedAt, say) out", m.value)
		}
	}
	if err := checkDistinct(models); err != nil {
		return nil, err
	}
	return models, checkOthers(db, models)
}

// textType matches types that compare by a collation.
var textType = regexp.MustCompile(`(?i)char|text|enum|set`)

// checkEmbedding refuses embedding by pointer, and registered models of another type.
func (p *Plugin[U]) checkEmbedding() error {
	if reflect.TypeFor[U]().Kind() != reflect.Struct || embeddedByPointer(func() bool { return p.base(new(U)) == nil }) {
		return fmt.Errorf("%s must embed gormkey.User by value", typeName[U]())
	}
	for _, m := range []struct {
		option, want string
		value        any
		fits         func(any) bool
	}{
		{"WithKeyModel", "Key", p.opts.keyModel, func(v any) bool { k, ok := v.(KeyModel[U]); return ok && k.AuthKey() != nil }},
		{"WithSessionModel", "Session", p.opts.sessionModel, func(v any) bool { s, ok := v.(SessionModel[U]); return ok && s.AuthSession() != nil }},
	} {
		t := reflect.TypeOf(m.value)
		if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct || embeddedByPointer(func() bool { return !m.fits(newLike(m.value)) }) {
			return fmt.Errorf("%s: %v is no pointer to a struct that embeds gormkey.%s[%s] by value", m.option, t, m.want, typeName[U]())
		}
	}
	return nil
}

// embeddedByPointer calls a promoted method, which panics on a nil embedded pointer in
// a struct that embeds another.
func embeddedByPointer(isNil func() bool) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = true
		}
	}()
	return isNil()
}

// explainParse says what to do about the one parse error that every has-many gets.
func (p *Plugin[U]) explainParse(err error) error {
	t := reflect.TypeFor[U]()
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type.Kind() != reflect.Slice {
			continue
		}
		elem := f.Type.Elem()
		if elem.Kind() == reflect.Pointer {
			elem = elem.Elem()
		}
		value := reflect.New(elem).Interface()
		_, isKey := value.(KeyModel[U])
		_, isSession := value.(SessionModel[U])
		if (isKey || isSession) && !strings.Contains(strings.ReplaceAll(f.Tag.Get("gorm"), " ", ""), "foreignKey:UserID") {
			return fmt.Errorf("field %s.%s wants the tag `gorm:\"foreignKey:UserID\"`: %w", typeName[U](), f.Name, err)
		}
	}
	return err
}

// tableOf decides a model's table: its own TableName method, the option, or the default.
func tableOf(m model, s *schema.Schema, namer schema.Namer, before []model) (string, error) {
	for _, other := range before { // a base type shares the registered model's table
		if other.option == m.option {
			return other.table, nil
		}
	}
	defaults := map[string]string{"User": DefaultUserTable, "Key": DefaultKeyTable, "Session": DefaultSessionTable}
	own := s.Table != namer.JoinTableName(defaults[m.option])
	if own && m.table != "" && m.table != s.Table {
		return "", fmt.Errorf("the table of %T is %q by its TableName method and %q by WithTableNames; name it in one place", m.value, s.Table, m.table)
	}
	if m.table == "" {
		return s.Table, nil
	}
	return m.table, nil
}

// checkPrimaryKey refuses a second column or field that stands for the id: a
// redeclared ID, or gorm.Model beside our type.
func checkPrimaryKey(s *schema.Schema) error {
	t := s.ModelType
	count := 0
	for _, f := range s.Fields {
		if f.Name == "ID" || f.DBName == "id" {
			count++
		}
	}
	for i := range t.NumField() {
		if t.Field(i).Anonymous && t.Field(i).Type == reflect.TypeFor[gorm.Model]() {
			return fmt.Errorf("%v embeds gorm.Model, which has an ID of its own; replace it by the fields CreatedAt, UpdatedAt and DeletedAt", t)
		}
	}
	id := s.PrioritizedPrimaryField
	if count != 1 || len(s.PrimaryFields) != 1 || id == nil || id.DBName != "id" || id.FieldType.Kind() != reflect.String {
		return fmt.Errorf("%v redeclares the id or has another primary key; the embedded ID must be its only one, in the column \"id\"", t)
	}
	return nil
}

// checkColumns makes sure that the columns that GORM sees are those of the embedded
// struct: a field of the application with the same name, in Go or in the database, would
// hide one, and a password would go where nobody looks for it.
func (p *Plugin[U]) checkColumns(m model, s *schema.Schema) error {
	var base any
	probe := reflect.New(s.ModelType)
	switch v := probe.Interface().(type) {
	case *U:
		base = p.base(v)
	case KeyModel[U]:
		base = v.AuthKey()
	case SessionModel[U]:
		base = v.AuthSession()
	}
	embedded := reflect.ValueOf(base).Elem()
	for i := range embedded.NumField() {
		f := embedded.Type().Field(i)
		name := schema.ParseTagSetting(f.Tag.Get("gorm"), ";")["COLUMN"]
		if name == "" {
			continue
		}
		column := s.FieldsByDBName[name]
		if column == nil || s.FieldsByName[f.Name] != column || column.ReflectValueOf(context.Background(), probe.Elem()).Addr().UnsafePointer() != embedded.Field(i).Addr().UnsafePointer() {
			return fmt.Errorf("%v has a field of its own that hides %s (column %q) of the embedded gormkey.%s; give it another name", s.ModelType, f.Name, name, m.option)
		}
	}
	return nil
}

// checkDistinct compares without case, as SQLite and MySQL may, and without schema,
// since a statement names a table by its last part where it joins or locks.
func checkDistinct(models []model) error {
	seen := map[string]string{}
	for _, m := range models[:3] {
		name := strings.ToLower(bareTable(m.table))
		if other, ok := seen[name]; ok {
			return fmt.Errorf("the tables of %s and %s are both %q; they must differ", other, m.option, m.table)
		}
		if name == "user" && m.option != "User" {
			return fmt.Errorf("WithTableNames: %s is %q, a name that only the users' table may have", m.option, m.table)
		}
		seen[name] = m.option
	}
	return nil
}

// checkOthers refuses a table that another plugin of the database has: a session of one
// user type would be valid for the other.
func checkOthers(db *gorm.DB, models []model) error {
	for name, other := range db.Plugins {
		owner, ok := other.(interface{ tables() []string })
		if !ok {
			continue
		}
		for _, taken := range owner.tables() {
			for _, m := range models[:3] {
				if strings.EqualFold(m.table, taken) {
					return fmt.Errorf("the table %q belongs to the plugin %q already; give this one tables of its own by WithTableNames", m.table, name)
				}
			}
		}
	}
	return nil
}

// tables returns the tables of a registered plugin.
func (p *Plugin[U]) tables() []string {
	b := p.bound.Load()
	if b == nil {
		return nil
	}
	return []string{b.user.Table, b.key.Table, b.session.Table}
}

// bindModels parses the models into GORM's cache and sets tables, types and
// constraints there, as GORM's own SetupJoinTable does. The caller checked them.
func bindModels(db *gorm.DB, opts *options, models []model) (*binding, error) {
	b := &binding{db: db.Session(&gorm.Session{NewDB: true}), cache: schemaCache(db), dialect: db.Name()}
	b.inexact = b.dialect == "mysql" && opts.inexactIDs
	for _, m := range models {
		if b.cache == nil {
			break
		}
		if _, parsed := b.cache.Load(reflect.TypeOf(m.value).Elem()); parsed {
			return nil, fmt.Errorf("GORM has parsed %T before: call db.Use right after gorm.Open, before any query, AutoMigrate or plugin whose models refer to it", m.value)
		}
	}
	if err := checkExactIDs(db, opts, models); err != nil {
		return nil, err
	}
	if b.dialect == "mysql" {
		var autocommit bool
		if err := b.db.Raw("SELECT @@autocommit").Scan(&autocommit).Error; err != nil {
			return nil, fmt.Errorf("reading @@autocommit: %w", err)
		}
		b.noAutocommit = !autocommit
	}
	schemas := make([]*schema.Schema, len(models))
	for i, m := range models {
		stmt := &gorm.Statement{DB: db}
		if err := stmt.Parse(m.value); err != nil {
			return nil, err
		}
		schemas[i] = stmt.Schema
		schemas[i].Table = m.table
	}
	b.user, b.key, b.session, b.baseKey, b.baseSession = schemas[0], schemas[1], schemas[2], schemas[3], schemas[4]
	b.userID = b.user.PrioritizedPrimaryField
	for _, s := range b.children() {
		rel := s.Relationships.Relations["User"]
		if rel == nil || rel.Type != schema.BelongsTo || len(rel.References) != 1 || rel.References[0].PrimaryKey != b.userID {
			return nil, fmt.Errorf("GORM takes the User of %v for something else than its owner; look for a field of %v that it may have mistaken", s.ModelType, b.user.ModelType)
		}
	}
	b.plainColumns = !slices.ContainsFunc(schemas, func(s *schema.Schema) bool { return !plainQueries(s) })
	b.setTypes(opts)
	b.setConstraints()
	if !opts.hasAbsolute {
		dropColumn(b.session, "absolute_expires")
		dropColumn(b.baseSession, "absolute_expires")
	}
	return b, nil
}

// children returns the schemas of keys and sessions, registered and base.
func (b *binding) children() []*schema.Schema {
	return []*schema.Schema{b.key, b.session, b.baseKey, b.baseSession}
}

// setTypes gives each user_id the type of the user's id, and on MySQL and MariaDB makes
// every id VARBINARY, the one type that compares bytes on each of their versions.
func (b *binding) setTypes(opts *options) {
	exact := b.dialect == "mysql" && !opts.inexactIDs
	varbinary := func(f *schema.Field) {
		if exact {
			f.DataType = schema.DataType(fmt.Sprintf("varbinary(%d)", f.Size))
		}
	}
	b.userID.Size = opts.userIDLength
	if opts.userIDType != "" {
		b.userID.DataType = schema.DataType(opts.userIDType)
	} else {
		varbinary(b.userID)
	}
	for _, s := range b.children() {
		userID := s.FieldsByDBName["user_id"]
		userID.Size, userID.DataType = b.userID.Size, b.userID.DataType
		if f := s.PrioritizedPrimaryField; f.DataType == schema.String {
			varbinary(f)
		}
	}
}

// setConstraints writes the foreign key's actions on every relation that points at the
// user's id, so that a has-many field of the application does not drop ON DELETE CASCADE.
func (b *binding) setConstraints() {
	for _, s := range b.children() {
		constraint := b.db.NamingStrategy.RelationshipFKName(*s.Relationships.Relations["User"]) + ",OnUpdate:CASCADE,OnDelete:CASCADE"
		for _, rel := range s.Relationships.Relations {
			for _, ref := range rel.References {
				if ref.PrimaryKey == b.userID {
					rel.Field.TagSettings["CONSTRAINT"] = constraint
				}
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

// checkExactIDs reads how existing id columns of a MySQL-family database compare.
func checkExactIDs(db *gorm.DB, opts *options, models []model) error {
	if db.Name() != "mysql" || opts.inexactIDs {
		return nil
	}
	var errs []error
	for i, m := range models[:3] {
		schemaName, table := "", m.table
		if name, bare, ok := strings.Cut(table, "."); ok {
			schemaName, table = name, bare
		}
		var columns []struct{ Name, Type, Collation string }
		err := db.Session(&gorm.Session{NewDB: true}).Raw("SELECT column_name AS name, column_type AS type, COALESCE(collation_name, '') AS collation "+
			"FROM information_schema.columns WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? AND column_name IN ('id', 'user_id')", schemaName, table).Scan(&columns).Error
		if err != nil {
			return fmt.Errorf("reading the id columns of %s: %w", m.table, err)
		}
		sizes := map[string]int{"id": []int{opts.userIDLength, keyIDSize, sessionIDSize}[i], "user_id": opts.userIDLength}
		for _, c := range columns {
			if !exactColumn(c.Type, c.Collation) && (opts.userIDType == "" || c.Name == "id" && i > 0) {
				errs = append(errs, &InexactIDError{Table: m.table, Column: c.Name, Type: strings.TrimSpace(c.Type + " " + c.Collation),
					Statement: fmt.Sprintf("ALTER TABLE %s MODIFY %s varbinary(%d) NOT NULL", m.table, c.Name, sizes[c.Name])})
			}
		}
	}
	return errors.Join(errs...)
}

// exactColumn reports whether a column compares bytes without padding. Measured on 24
// pairs of ids and six invalid tails: of the texts only these collations do, and
// ascii_bin does not on MySQL.
func exactColumn(columnType, collation string) bool {
	t := strings.ToLower(columnType)
	return strings.HasPrefix(t, "varbinary") || strings.HasSuffix(collation, "_nopad_bin") && !strings.HasPrefix(collation, "ascii") || collation == "utf8mb4_0900_bin"
}
