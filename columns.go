package gormkey

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// ownColumn is a column of the plugin's tables that holds texts whose length, or ids whose
// type, the library depends on.
type ownColumn struct {
	table, name string
	ofUser      bool   // it holds users' ids
	isID        bool   // it is compared, so that it has to compare bytes
	sqlType     string // as it should be
	wanted      idType
	found       columnInfo
}

// ownColumns returns the columns of the registered models.
func ownColumns(dialect string, opts *options, models []model) (columns []ownColumn) {
	add := func(table, name, sqlType string, isID, ofUser bool) {
		columns = append(columns, ownColumn{table: table, name: name, sqlType: sqlType, wanted: parseIDType(dialect, sqlType), isID: isID, ofUser: ofUser})
	}
	text := func(size int, isID bool) string {
		switch {
		case dialect == "sqlite":
			return "text"
		case dialect == "mysql" && isID && !opts.inexactIDs:
			return fmt.Sprintf("varbinary(%d)", size)
		}
		return fmt.Sprintf("varchar(%d)", size)
	}
	userID := text(opts.userIDLength, true)
	if opts.userIDType != "" {
		own, _ := gormType(dialect, opts.userIDType)
		userID = string(own)
	}
	for _, m := range registered(models) {
		if m.option == "User" {
			add(m.table, "id", userID, true, true)
			continue
		}
		size := map[string]int{"Key": keyIDSize, "Session": sessionIDSize, "Token": tokenIDSize}[m.option]
		add(m.table, "id", text(size, true), true, false)
		add(m.table, "user_id", userID, true, true)
		switch m.option {
		case "Key":
			add(m.table, "hashed_password", text(hashSize, false), false, false)
		case "Token":
			add(m.table, "purpose", text(purposeSize, false), false, false)
			add(m.table, "payload", text(payloadSize, false), false, false)
		}
	}
	return columns
}

// checkColumns compares the columns with those that are there. It returns those that are
// narrower than they should be, and refuses what a migration would cut or misread. Lucia's
// tables are left as they are.
func checkColumns(db *gorm.DB, opts *options, columns []ownColumn) (narrow []ownColumn, err error) {
	if opts.lucia {
		return nil, nil
	}
	there, err := readOwn(db, columns)
	if err != nil {
		return nil, err
	}
	dialect := db.Name()
	var errs []error
	for _, c := range there {
		how := c.fit(dialect)
		switch {
		case how == wider && c.refuses(dialect):
			errs = append(errs, c.refused(dialect, opts, there))
		case dialect == "mysql" && c.isID && !opts.inexactIDs && !c.found.exact && (!c.ofUser || opts.userIDType == "" || c.wanted.family == "bytes" && !c.wanted.padded):
			errs = append(errs, &InexactIDError{Table: c.table, Column: c.name, Type: c.found.Type, Statement: exactStatement(c.table, c.name, c.sqlType)})
		case c.refuses(dialect):
			errs = append(errs, c.refused(dialect, opts, there))
		case how == narrower:
			narrow = append(narrow, c)
		}
	}
	return narrow, errors.Join(errs...)
}

// readOwn returns the columns that are there, with their types.
func readOwn(db *gorm.DB, columns []ownColumn) (there []ownColumn, err error) {
	tables := map[string]map[string]columnInfo{}
	for _, c := range columns {
		if tables[c.table] == nil {
			if tables[c.table], err = readColumns(db, c.table); err != nil {
				return nil, fmt.Errorf("reading the columns of %s: %w", c.table, err)
			}
		}
		if found, ok := tables[c.table][c.name]; ok {
			c.found = found
			there = append(there, c)
		}
	}
	return there, nil
}

// refused says how the options and a column come together: by the option that makes users'
// ids what they are, or by a statement that gives a column the type of the others.
func (c ownColumn) refused(dialect string, opts *options, there []ownColumn) error {
	e := &ColumnError{Table: c.table, Column: c.name, Type: c.found.Type, Wanted: c.sqlType, Wider: c.fit(dialect) == wider}
	model, usersFit := c, false
	for _, other := range there {
		switch {
		case !c.ofUser || !other.ofUser:
		case other.name == "id" && other.fit(dialect) == otherType:
			model = other
		case other.name == "id" && !e.Wider:
			usersFit = true
		case other.found.id.against(dialect, model.found.id) == wider:
			model = other
		}
	}
	if c.ofUser && !usersFit {
		e.Option = optionFor(dialect, opts, model.found)
	}
	if e.Option == "" {
		e.Statement = c.statement(dialect)
	}
	return e
}

// refuses tells whether a migration would cut what the column holds, or turn it into
// something else.
func (c ownColumn) refuses(dialect string) bool {
	switch c.fit(dialect) {
	case wider:
		return c.ofUser
	case otherType:
		return c.ofUser || !c.isID && c.noText(dialect)
	}
	return false
}

// noText tells whether a column of the library's own texts holds something else. What a
// type of the application's is made of is not known here.
func (c ownColumn) noText(dialect string) bool {
	others := []string{"bytes", "integer", "unsigned", "numeric", "uuid"}
	return dialect != "sqlite" && c.fit(dialect) == otherType && slices.Contains(others, c.found.id.family)
}

// fit is how the column that is there fits.
func (c ownColumn) fit(dialect string) fit { return c.found.id.against(dialect, c.wanted) }

// optionFor returns the options that make user ids what a column is, "" for a text that
// compares inexactly.
func optionFor(dialect string, opts *options, found columnInfo) string {
	t := found.id
	switch {
	case dialect == "mysql" && t.family == "text" && !found.exact && !opts.inexactIDs:
		return ""
	case !t.takesText(1) || dialect == "postgres" && t.family == "bytes":
	case dialect == "sqlite" || t.width == userIDLength:
		return "neither WithUserIDType nor WithUserIDLength"
	case t.width >= 8 && t.width <= 255:
		return fmt.Sprintf("WithUserIDLength(%d)", t.width)
	}
	return fmt.Sprintf("WithUserIDType(%q)", found.Type)
}

// statement gives a column its type, "" for SQLite, which has no such statement.
func (c ownColumn) statement(dialect string) string {
	switch dialect {
	case "mysql":
		return strings.TrimSuffix(exactStatement(c.table, c.name, c.sqlType), map[bool]string{true: " NOT NULL"}[c.name == "hashed_password"])
	case "postgres":
		column := quoteName(dialect, c.name)
		return fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s::text::%s", quoteName(dialect, strings.Split(c.table, ".")...), column, c.sqlType, column, c.sqlType)
	}
	return ""
}

// quoteName quotes the parts of a name.
func quoteName(dialect string, parts ...string) string {
	quote := `"`
	if dialect == "mysql" {
		quote = "`"
	}
	quoted := make([]string, len(parts))
	for i, part := range parts {
		quoted[i] = quote + strings.ReplaceAll(part, quote, quote+quote) + quote
	}
	return strings.Join(quoted, ".")
}

// exactStatement makes a column of MySQL what it should be.
func exactStatement(table, column, sqlType string) string {
	return fmt.Sprintf("ALTER TABLE %s MODIFY %s %s NOT NULL", quoteName("mysql", strings.Split(table, ".")...), quoteName("mysql", column), sqlType)
}

// narrowest returns the type that bounds users' ids until the columns are widened, nil for
// none.
func narrowest(narrow []ownColumn) *idType {
	var least *idType
	for _, c := range narrow {
		if t := c.found.id; c.ofUser && (least == nil || t.width < least.width) {
			least = &t
		}
	}
	return least
}

// checkWidth refuses a user's id that a column would cut which waits to be widened.
func (b *binding) checkWidth(id string) error {
	t := b.narrow.Load()
	if t == nil {
		return nil
	}
	var argument *ArgumentError
	if err := t.check(id); errors.As(err, &argument) {
		return &ArgumentError{argument.Argument, argument.Reason + " as long as Plugin.AutoMigrate has not widened the column"}
	}
	return nil
}

// sameTypes returns a MismatchError if a table's user_id and the user's id have types in
// which rows may look as if they had no user.
func (b *binding) sameTypes(table string, columns, users map[string]columnInfo) error {
	child, ok := columns["user_id"]
	user, exists := users[b.userID.DBName]
	if !ok || !exists || child.id.against(b.dialect, user.id) == fits {
		return nil
	}
	return &MismatchError{Table: table, Type: child.Type, UserTable: b.user.Table, UserType: user.Type, Cut: -1}
}
