package gormkey

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// widening is what makes columns wider.
type widening struct {
	columns    []place
	statements []string
	lock       []string     // tables, on MySQL and MariaDB
	dropped    []foreignKey // that the statements drop and add again
	changed    []foreignKey // the changes of columns in between
}

// place is a column of any table.
type place struct {
	Schema string `gorm:"column:place_schema"` // "" where the table is found without
	Table  string `gorm:"column:place_table"`
	Column string `gorm:"column:place_column"`
	Type   string `gorm:"column:place_type"`
	target ownColumn
}

// table returns the table's name, quoted.
func (p place) table(dialect string) string {
	if p.Schema == "" {
		return quoteName(dialect, p.Table)
	}
	return quoteName(dialect, p.Schema, p.Table)
}

func (p place) is(other place) bool {
	return p.Schema == other.Schema && p.Table == other.Table && p.Column == other.Column
}

// place returns where a column of the plugin's tables is.
func (c ownColumn) place() place {
	p := place{Table: bareTable(c.table), Column: c.name, Type: c.found.Type, target: c}
	p.Schema = strings.TrimSuffix(strings.TrimSuffix(c.table, p.Table), ".")
	return p
}

// prepare gets the tables ready for GORM's migrator: it refuses what that would cut, widens
// the columns of ids that are too narrow, with the columns that point at them, and refuses
// orphans. It returns what it widened.
func (b *binding) prepare(tx *gorm.DB, opts *options) (widening, error) {
	narrow, err := checkColumns(tx, opts, b.columns)
	if err != nil {
		return widening{}, err
	}
	if b.dialect == "mysql" && !b.vitess {
		restored, err := b.restoreForeignKeys(tx)
		if _, exporting := tx.Get(exportSetting); err != nil || restored && exporting { // the rest waits for them
			return widening{}, err
		}
	}
	w, err := b.widening(tx, narrow)
	if err != nil {
		return w, err
	}
	if err := b.refuseOrphans(tx); err != nil {
		return w, err
	}
	return w, b.widen(tx, w)
}

// widening returns how the narrow columns of ids are made wider: first those that point at
// them, so that what was done before an interruption is seen in the ids. GORM's migrator
// widens the columns that hold no ids.
func (b *binding) widening(tx *gorm.DB, narrow []ownColumn) (w widening, err error) {
	if b.dialect == "sqlite" {
		return w, nil
	}
	ids := slices.DeleteFunc(slices.Clone(narrow), func(c ownColumn) bool { return !c.isID })
	if len(ids) > 0 {
		if err := b.refuseCut(tx); err != nil {
			return w, err
		}
	}
	last := func(c ownColumn) int { // user_id, then the ids, then the user's
		switch {
		case c.name == "user_id":
			return 0
		case c.ofUser:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(ids, func(x, y ownColumn) int { return last(x) - last(y) })
	for _, c := range ids {
		places := []place{c.place()}
		if c.name == "id" && !b.vitess { // which has no foreign keys
			if places, err = b.referring(tx, c); err != nil {
				return w, err
			}
		}
		for _, p := range places {
			if !slices.ContainsFunc(w.columns, p.is) {
				w.columns = append(w.columns, p)
			}
		}
	}
	if b.dialect == "mysql" {
		return w, b.widenMySQL(tx, &w)
	}
	for _, p := range w.columns {
		statement, err := b.alterPostgres(tx, p)
		if err != nil {
			return w, err
		}
		w.statements = append(w.statements, statement)
	}
	return w, nil
}

// referring returns the columns of all tables that point at an id by foreign keys, over
// several tables, and are narrower than it is to be; last the id itself.
func (b *binding) referring(tx *gorm.DB, id ownColumn) (places []place, err error) {
	query := "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE n.nspname END AS place_schema, c.relname AS place_table, a.attname AS place_column, " +
		"format_type(a.atttypid, a.atttypmod) AS place_type FROM pg_constraint k " +
		"CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS pair(child, parent) " +
		"JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = pair.parent " +
		"JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.child " +
		"JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace " +
		"WHERE k.contype = 'f' AND k.conparentid = 0 AND a.attinhcount = 0 AND k.confrelid = to_regclass(?) AND p.attname = ? ORDER BY 1, 2, 3"
	if b.dialect == "mysql" {
		query = "SELECT IF(k.TABLE_SCHEMA = DATABASE(), '', k.TABLE_SCHEMA) AS place_schema, k.TABLE_NAME AS place_table, k.COLUMN_NAME AS place_column, " +
			"c.COLUMN_TYPE AS place_type FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.COLUMNS c " +
			"ON c.TABLE_SCHEMA = k.TABLE_SCHEMA AND c.TABLE_NAME = k.TABLE_NAME AND c.COLUMN_NAME = k.COLUMN_NAME " +
			"WHERE k.REFERENCED_TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND k.REFERENCED_TABLE_NAME = ? AND k.REFERENCED_COLUMN_NAME = ? ORDER BY 1, 2, 3"
	}
	other := id
	other.sqlType = plainType(id.sqlType)
	self := id.place()
	seen := []place{self}
	for next := seen; len(next) > 0; next = next[1:] {
		vars := []any{next[0].Schema, next[0].Table, next[0].Column}
		if b.dialect == "postgres" {
			vars = []any{next[0].table(b.dialect), next[0].Column}
		}
		var found []place
		if err := tx.Session(&gorm.Session{NewDB: true}).Raw(query, vars...).Scan(&found).Error; err != nil {
			return nil, err
		}
		for _, p := range found {
			if slices.ContainsFunc(seen, p.is) {
				continue
			}
			seen, next = append(seen, p), append(next, p)
			if parseIDType(b.dialect, p.Type).against(b.dialect, id.wanted) == narrower {
				p.target = other
				places = append(places, p)
			}
		}
	}
	return append(places, self), nil
}

// plainType returns a type without a collation or a counter of its own.
func plainType(sqlType string) string {
	if i := typeModifier.FindStringIndex(strings.ToLower(sqlType)); i != nil {
		sqlType = sqlType[:i[0]]
	}
	return string(pointing(columnType{name: schema.DataType(sqlType)}).name)
}

// alterPostgres returns the statement that makes a column wider, with the collation that it
// has. PostgreSQL keeps the foreign keys at both of its ends.
func (b *binding) alterPostgres(tx *gorm.DB, p place) (string, error) {
	table, sqlType := p.table(b.dialect), p.target.sqlType
	var collation []string
	err := tx.Session(&gorm.Session{NewDB: true}).Raw("SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "+
		"JOIN pg_collation l ON l.oid = a.attcollation JOIN pg_namespace n ON n.oid = l.collnamespace "+
		"WHERE a.attrelid = to_regclass(?) AND a.attname = ? AND a.attcollation <> t.typcollation", table, p.Column).Scan(&collation).Error
	if len(collation) > 0 && sqlType == plainType(sqlType) {
		sqlType += " COLLATE " + collation[0]
	}
	return fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE %s", table, quoteName(b.dialect, p.Column), sqlType), err
}

// widen sends the statements.
func (b *binding) widen(tx *gorm.DB, w widening) error {
	work := func() error {
		for _, statement := range w.statements {
			if err := tx.Exec(statement).Error; err != nil {
				return fmt.Errorf("gormkey: columns are too narrow for the options, and %q failed: %w", statement, err)
			}
		}
		return nil
	}
	if len(w.dropped) == 0 {
		return work()
	}
	return b.withoutForeignKeys(tx, w, work)
}

// refuseCut looks for rows whose user_id an earlier program cut: widening would hide them
// among rows without a user.
func (b *binding) refuseCut(tx *gorm.DB) error {
	users, err := readColumns(tx, b.user.Table)
	if err != nil {
		return err
	}
	for _, s := range b.owned {
		columns, err := readColumns(tx, s.Table)
		if err != nil {
			return err
		}
		n, err := b.countCut(tx, s.Table, columns, users)
		if err != nil {
			return err
		}
		if n > 0 {
			return &MismatchError{Table: s.Table, Type: columns["user_id"].Type, UserTable: b.user.Table, UserType: users[b.userID.DBName].Type, Cut: n}
		}
	}
	return nil
}

// countCut counts the rows of a table without a user whose user_id, or whose user's id,
// fills the narrower of the two columns and begins the other.
func (b *binding) countCut(tx *gorm.DB, table string, columns, users map[string]columnInfo) (n int64, err error) {
	child, user := columns["user_id"].id, users[b.userID.DBName].id
	if b.dialect == "sqlite" || b.sameTypes(table, columns, users) == nil {
		return 0, nil
	}
	cast := map[string]string{"mysql": "CAST(? AS BINARY)", "postgres": "?::text"}[b.dialect]
	from := clause.Table{Name: b.user.Table}
	owner := clause.Expr{SQL: cast, Vars: []any{clause.Column{Table: table, Name: "user_id"}}}
	id := clause.Expr{SQL: cast, Vars: []any{clause.Column{Table: b.user.Table, Name: b.userID.DBName}}}
	var looks clause.Expr
	switch {
	case child.isText() && child.width > 0 && (!user.isText() || user.width == 0 || child.width < user.width):
		looks = clause.Expr{SQL: "CHAR_LENGTH(?) = ? AND ? IN (SELECT LEFT(?, ?) FROM ?)", Vars: []any{owner, child.width, owner, id, child.width, from}}
	case user.isText() && user.width > 0:
		looks = clause.Expr{SQL: "LEFT(?, ?) IN (SELECT ? FROM ? WHERE CHAR_LENGTH(?) = ?)", Vars: []any{owner, user.width, id, from, id, user.width}}
	default:
		return 0, nil
	}
	err = tx.Session(&gorm.Session{NewDB: true}).Raw("SELECT COUNT(*) FROM ? WHERE ? AND ?", clause.Table{Name: table}, b.lacksUser(table, columns, users), looks).Scan(&n).Error
	return n, err
}
