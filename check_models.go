package gormkey

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// checkModels checks the structs of the application and returns them with their tables. It parses
// them into a cache of its own, because GORM never forgets a model: one that was parsed in GORM's
// cache before a refusal would keep its wrong table.
func (p *PluginOf[U, K, S]) checkModels(db *gorm.DB, e engine.Engine) ([]model, error) {
	// GORM would make the tables without ON DELETE CASCADE and say nothing, and then a deleted
	// user's sessions would stay.
	if !p.opts.noForeignKeys && (db.DisableForeignKeyConstraintWhenMigrating || db.IgnoreRelationshipsWhenMigrating) {
		return nil, errors.New("gorm.Config has DisableForeignKeyConstraintWhenMigrating or IgnoreRelationshipsWhenMigrating: turn it off, or keep integrity without foreign keys by WithoutForeignKeys")
	}
	if err := e.CheckIDType(p.opts.userIDType); err != nil {
		return nil, err
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
		if models[i].table, err = tableOf(m, s, db.NamingStrategy, p.opts.defaultTable(m.option), models[:i]); err != nil {
			return nil, err
		}
		if err := checkPrimaryKey(s); err != nil {
			return nil, err
		}
		s.Table = models[i].table
		if err := checkNames(e, s); err != nil {
			return nil, err
		}
		if err := p.checkColumns(m, s); err != nil {
			return nil, err
		}
		// models begins with the user, who may be soft-deleted. A soft-deleted session would keep
		// its id: the application would see it by Unscoped, and could restore it after the
		// sign-out.
		if i > 0 && len(s.QueryClauses)+len(s.DeleteClauses) > 0 {
			return nil, fmt.Errorf("%T has a soft delete or a condition of its own: keys and sessions end for good, so take the field (DeletedAt, say) out", m.value)
		}
	}
	if err := checkDistinct(models); err != nil {
		return nil, err
	}
	if err := checkOthers(db, models); err != nil {
		return nil, err
	}
	return p.checkOwned(db, models)
}

// checkEmbedding refuses embedding by pointer. It compiles, since Go promotes the methods of an
// embedded pointer as well, and then every new(Account) has a nil User.
func (p *PluginOf[U, K, S]) checkEmbedding() error {
	for _, m := range []struct {
		model reflect.Type
		base  string
		isNil func() bool
	}{
		{p.userType(), "User", func() bool { return p.users.base(p.users.make()) == nil }},
		{reflect.TypeFor[K]().Elem(), fmt.Sprintf("Key[%v]", p.userType()), func() bool { return p.keys.base(p.keys.make()) == nil }},
		{reflect.TypeFor[S]().Elem(), fmt.Sprintf("Session[%v]", p.userType()), func() bool { return p.sessions.base(p.sessions.make()) == nil }},
	} {
		if m.model.Kind() != reflect.Struct || embeddedByPointer(m.isNil) {
			return fmt.Errorf("%v must embed gormkey.%s by value", m.model, m.base)
		}
	}
	return nil
}

// embeddedByPointer calls the promoted method on a zero value. With an embedded pointer it
// returns nil, or it panics if the pointer is in a struct that is embedded in turn.
func embeddedByPointer(isNil func() bool) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = true
		}
	}()
	return isNil()
}

// explainParse says what to do about the parse error that every has-many field gets: for Sessions
// []gormkey.Session[Account] GORM expects a foreign key AccountID, and the column is user_id.
func (p *PluginOf[U, K, S]) explainParse(err error) error {
	t := p.userType()
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
		_, isKey := value.(interface{ mustEmbedKey() *KeyOf[U] })
		_, isSession := value.(interface{ mustEmbedSession() *SessionOf[U] })
		if (isKey || isSession) && !strings.Contains(strings.ReplaceAll(f.Tag.Get("gorm"), " ", ""), "foreignKey:UserID") {
			return fmt.Errorf("field %v.%s wants the tag `gorm:\"foreignKey:UserID\"`: %w", t, f.Name, err)
		}
	}
	return err
}

// tableOf decides a model's table: its own TableName method, the option, or the default. The
// method and the option may both be there if they say the same.
func tableOf(m model, s *schema.Schema, namer schema.Namer, usual string, before []model) (string, error) {
	for _, other := range before { // a base type shares the registered model's table
		if other.option == m.option {
			return other.table, nil
		}
	}
	// A TableName method of the application's hides the promoted one, so the table is then
	// another than the default with the NamingStrategy's prefix.
	own := s.Table != namer.JoinTableName(usual)
	if own && m.table != "" && m.table != s.Table {
		return "", fmt.Errorf("the table of %T is %q by its TableName method and %q by WithTableNames; name it in one place", m.value, s.Table, m.table)
	}
	if m.table == "" {
		return s.Table, nil
	}
	return m.table, nil
}

// checkPrimaryKey refuses a model in which GORM does not see the embedded id as the only primary
// key: one that redeclares ID, or that embeds gorm.Model next to our type. Both compile and
// break: with gorm.Model in one of the two orders its ID silently stays 0.
func checkPrimaryKey(s *schema.Schema) error {
	t := s.ModelType
	count := 0
	for _, f := range s.Fields {
		if f.DBName == "id" {
			count++
		}
	}
	for i := range t.NumField() {
		if t.Field(i).Anonymous && t.Field(i).Type == reflect.TypeFor[gorm.Model]() {
			return fmt.Errorf("%v embeds gorm.Model, which has an ID of its own; replace it by the fields CreatedAt, UpdatedAt and DeletedAt%s", t, keepsColumn)
		}
	}
	if err := checkSteps(t); err != nil {
		return err
	}
	id := s.PrioritizedPrimaryField
	if count != 1 || len(s.PrimaryFields) != 1 || id == nil || id.DBName != "id" || id.FieldType.Kind() != reflect.String {
		keeps := ""
		if f, ok := t.FieldByName("ID"); ok && f.Type.Kind() != reflect.String {
			keeps = keepsColumn
		}
		return fmt.Errorf("%v redeclares the id or has another primary key; the embedded ID must be its only one, in the column \"id\"%s", t, keeps)
	}
	return nil
}

// keepsColumn says that the field is a text whatever the column is.
const keepsColumn = " (a column of integers or uuids stays as it is: give its type to WithUserIDType)"

// checkSteps looks at each struct through which the ID is embedded, and gives the reason if GORM
// skips one of them. Without it the message would be that the model redeclares the id, which it
// does not.
func checkSteps(t reflect.Type) error {
	id, ok := t.FieldByName("ID")
	if !ok {
		return nil
	}
	step := t
	for _, i := range id.Index[:len(id.Index)-1] {
		if step.Kind() != reflect.Struct {
			return nil // a pointer, which checkEmbedding refuses
		}
		f := step.Field(i)
		settings := schema.ParseTagSetting(f.Tag.Get("gorm"), ";")
		prefix, prefixed := settings["EMBEDDEDPREFIX"]
		_, ignored := settings["-"]
		switch {
		case !f.IsExported():
			return fmt.Errorf("%v embeds %s, whose name begins with a small letter, so that GORM reads none of its fields: give the type a name with a capital", step, f.Name)
		case ignored:
			return fmt.Errorf("%v tells GORM by a tag to ignore the embedded %s: take the tag out", step, f.Name)
		case prefixed && prefix != "":
			return fmt.Errorf("%v gives the columns of the embedded %s the prefix %q, and they must keep their names: take embeddedPrefix out", step, f.Name, prefix)
		}
		step = f.Type
	}
	return nil
}

// checkColumns makes sure that the columns that GORM sees are the fields of the embedded struct.
// A field of the application with the same name, in Go or in the database, hides one of them. A
// field HashedPassword of the application's key, for example, would take the column, and the hash
// that the library wrote into the embedded field would be stored nowhere.
//
// Names do not tell which of two fields GORM took, so the test compares addresses: it makes a
// value of the model, and looks whether GORM's field is at the address of the embedded one.
func (p *PluginOf[U, K, S]) checkColumns(m model, s *schema.Schema) error {
	var base any
	probe := reflect.New(s.ModelType)
	switch v := probe.Interface().(type) {
	case U:
		base = p.users.base(v)
	case interface{ mustEmbedKey() *KeyOf[U] }:
		base = v.mustEmbedKey()
	case interface{ mustEmbedSession() *SessionOf[U] }:
		base = v.mustEmbedSession()
	default:
		base = v // a one-time token, which the application does not embed
	}
	embedded := reflect.ValueOf(base).Elem()
	for i := range embedded.NumField() {
		f := embedded.Type().Field(i)
		name := schema.ParseTagSetting(f.Tag.Get("gorm"), ";")["COLUMN"]
		if name == "" {
			continue
		}
		ours := embedded.Field(i).Addr().UnsafePointer()
		column := s.FieldsByDBName[name]
		promoted, ok := s.ModelType.FieldByName(f.Name)
		if column == nil || column.ReflectValueOf(context.Background(), probe.Elem()).Addr().UnsafePointer() != ours ||
			!ok || !reaches(probe.Elem(), promoted.Index, ours) {
			return fmt.Errorf("%v has a field of its own that hides %s (column %q) of the embedded gormkey.%s; give it another name", s.ModelType, f.Name, name, m.option)
		}
	}
	return nil
}

// reaches reports whether a path through a struct ends at a field. A path over a nil pointer does
// not.
func reaches(v reflect.Value, index []int, field unsafe.Pointer) bool {
	f, err := v.FieldByIndexErr(index)
	return err == nil && f.Addr().UnsafePointer() == field
}

// checkDistinct refuses two models with one table. It compares names without case, as SQLite and
// some MySQL servers do, and without their schema, because a statement that joins or locks names
// a table by its last part.
func checkDistinct(models []model) error {
	seen := map[string]string{}
	for _, m := range registered(models) {
		name := strings.ToLower(engine.BareTable(m.table))
		if other, ok := seen[name]; ok {
			return fmt.Errorf("the tables of %s and %s are both %q; they must differ", other, m.option, m.table)
		}
		// GORM joins the user under the alias "User", the name of the relation. A table of
		// sessions with that name would be taken for it.
		if name == "user" && m.option != "User" {
			return fmt.Errorf("WithTableNames: %s is %q, a name that only the users' table may have", m.option, m.table)
		}
		seen[name] = m.option
	}
	return nil
}

// checkOthers refuses a table that another plugin of the database has. If users and admins had
// one table of sessions, a user's session would be valid for the admins' plugin.
func checkOthers(db *gorm.DB, models []model) error {
	for name, other := range db.Plugins {
		owner, ok := other.(interface{ tables() []string })
		if !ok {
			continue
		}
		for _, taken := range owner.tables() {
			for _, m := range registered(models) {
				if strings.EqualFold(m.table, taken) {
					return fmt.Errorf("the table %q belongs to the plugin %q already; give this one tables of its own by WithTableNames", m.table, name)
				}
			}
		}
	}
	return nil
}

// declaredWidth finds the width in "varchar(15)", "VARBINARY(36)" or "character varying(255)".
var declaredWidth = regexp.MustCompile(`(?i)^(?:var)?(?:char|binary|character(?: varying)?)\((\d+)\)`)

// textWidth returns the width that a column's type declares, and 0 for a type without one, such
// as text.
func textWidth(columnType string) int {
	m := declaredWidth.FindStringSubmatch(columnType)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
