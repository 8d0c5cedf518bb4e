package gormkey

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/tables"
)

// Audit compares the tables with what the plugin expects of them, and looks for keys and sessions
// without a user. It changes nothing. It returns nil if it finds nothing. Each [tables.Finding]
// says in its Action what to do.
//
// It reads the catalog, and the keys and sessions once by their index on user_id. Its memory does
// not grow with the tables. With a million sessions it took 0.1 to 0.7 seconds, so run it from a
// job or a command and not in a request.
func (r *RepositoryOf[U, K, S]) Audit(ctx context.Context) ([]tables.Finding, error) {
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	const op = "audit"
	var findings []tables.Finding
	users, err := r.b.engine.Table(db, r.b.user.Table, "", r.b.user.Table)
	if err != nil {
		return nil, callerError(ctx, op, err)
	}
	findings = append(findings, r.auditColumns(r.b.user, users)...)
	for _, a := range r.b.added {
		if a.owned {
			continue // is one of those below
		}
		table, err := r.b.engine.Table(db, a.Table, "", r.b.user.Table)
		if err != nil {
			return nil, callerError(ctx, op, err)
		}
		findings = append(findings, r.auditColumns(a.Schema, table)...)
	}
	seen := map[*schema.Schema]bool{}
	for _, o := range r.b.owned {
		table, err := r.b.engine.Table(db, o.Table, o.owner, r.b.user.Table)
		if err != nil {
			return nil, callerError(ctx, op, err)
		}
		// An audit of a table that refers to users twice reports its columns once, and its rows
		// for each column.
		if !seen[o.Schema] {
			seen[o.Schema] = true
			findings = append(findings, r.auditColumns(o.Schema, table)...)
		}
		if !table.Exists {
			continue
		}
		findings = append(findings, r.auditForeignKeys(o, table)...)
		rows, err := r.auditRows(db, o, table, users)
		if err != nil {
			return nil, callerError(ctx, op, err)
		}
		findings = append(findings, rows...)
	}
	if r.b.foreignKeys {
		// The answer is that of one connection of the pool. SQLite has the pragma for each
		// connection, so the action speaks of the DSN, which sets it for all of them.
		enforced, err := r.b.engine.Enforces(db)
		if err != nil {
			return nil, callerError(ctx, op, err)
		}
		if !enforced {
			findings = append(findings, tables.Finding{Problem: tables.ProblemForeignKeysUnenforced, Table: r.b.user.Table,
				Action: "turn them on for every connection in the DSN, by _pragma=foreign_keys(1) or _foreign_keys=on"})
		}
	}
	return findings, nil
}

// auditRows looks for rows without a user, and for rows that only look so. If a program with
// shorter ids has cut a user_id, its row has no user by the database's comparison, and yet it
// belongs to somebody. Such rows are reported first and on their own: the advice to delete
// orphans would sign these people out and delete their passwords.
func (r *RepositoryOf[U, K, S]) auditRows(db *gorm.DB, o owned, table, users engine.Table) (findings []tables.Finding, err error) {
	cut, err := r.b.countCut(db, o, table.Columns, users.Columns)
	if err != nil {
		return nil, err
	}
	if cut > 0 {
		findings = append(findings, tables.Finding{Problem: tables.ProblemCutIDs, Table: o.Table, Column: o.owner, Count: cut,
			Action: "write the whole id of their user into them, from a backup or by docs/migrations.md, before anything is deleted"})
	}
	n, err := r.b.countOrphans(db, o, table, users)
	if err != nil || n == 0 {
		return findings, err
	}
	// Repair refuses to work while the types differ, so the action must not name it then.
	action := "delete them with Repository.Repair"
	switch {
	case r.b.sameTypes(o, table.Columns, users.Columns) != nil:
		action = "give " + o.owner + " the type of the user's id first: by their types, rows of existing users may look like these"
	case o.onDelete == setNull:
		action = "take their user from them with Repository.Repair"
	case o.onDelete == restrict:
		action = "give them a user, or delete them; Repository.Repair leaves them as they are"
	}
	return append(findings, tables.Finding{Problem: tables.ProblemOrphans, Table: o.Table, Column: o.owner, Count: n, Action: action}), nil
}

// auditColumns compares a table's columns and indexes with those of its model.
func (r *RepositoryOf[U, K, S]) auditColumns(s *schema.Schema, table engine.Table) (findings []tables.Finding) {
	const migrate = "run Plugin.AutoMigrate, or the statements of Plugin.PendingSQL"
	if !table.Exists {
		return []tables.Finding{{Problem: tables.ProblemMissingTable, Table: s.Table, Action: migrate}}
	}
	for _, name := range s.DBNames {
		// A field with the tag gorm:"-:migration" is a column that the application makes by
		// itself. On Lucia's tables leaveTablesAlone has set that mark on the library's own
		// fields, so there it means nothing.
		if _, ok := table.Columns[name]; !ok && (r.b.frozen[s.Table] || !s.FieldsByDBName[name].IgnoreMigration) {
			findings = append(findings, tables.Finding{Problem: tables.ProblemMissingColumn, Table: s.Table, Column: name, Action: migrate})
		}
	}
	// The application's own columns and indexes are its business. For a table of WithOwned only the
	// index on the owner is looked for: without it each delete of a user reads the whole table.
	var ids, indexes, expiries []string
	switch s {
	case r.b.user:
		ids = []string{r.b.userID.DBName}
	case r.b.key:
		ids, indexes = []string{"id", "user_id"}, []string{"user_id"}
	case r.b.session:
		ids, indexes = []string{"id", "user_id"}, []string{"user_id", "idle_expires"}
		expiries = []string{"active_expires", "idle_expires", "absolute_expires"}
	default:
		if a := r.b.addedOf(s); a != nil {
			ids, indexes, expiries = a.ids(), a.indexes, a.moments
		}
		for _, o := range r.b.applications() {
			if o.Schema == s {
				indexes = append(indexes, o.owner)
			}
		}
	}
	findings = append(findings, r.auditIndexes(s, table, indexes, migrate)...)
	for _, name := range ids {
		// With WithLuciaV2 the statements compare bytes themselves. With WithUserIDType the
		// application chose how users' ids compare.
		ofUser := name == "user_id" || s == r.b.user
		if c, ok := table.Columns[name]; ok && !c.Exact && !r.opts.lucia && (!ofUser || r.opts.userIDType == "") {
			findings = append(findings, tables.Finding{Problem: tables.ProblemInexactID, Table: s.Table, Column: name, Found: c.SQLType, Action: r.exactAction(s, name)})
		}
	}
	findings = append(findings, r.auditTypes(s, table, migrate)...)
	for _, name := range expiries {
		if c, ok := table.Columns[name]; ok && !r.b.engine.HoldsMillis(c.SQLType) {
			findings = append(findings, tables.Finding{Problem: tables.ProblemWrongExpiryType, Table: s.Table, Column: name, Found: c.SQLType,
				Action: "change it to bigint (SQLite: INTEGER); the values are milliseconds since 1970"})
		}
	}
	return findings
}

// auditIndexes looks for an index that begins with each of the columns.
func (r *RepositoryOf[U, K, S]) auditIndexes(s *schema.Schema, table engine.Table, indexes []string, migrate string) (findings []tables.Finding) {
	for _, name := range indexes {
		if _, ok := table.Columns[name]; ok && !table.Leading[name] {
			action := migrate
			if slices.ContainsFunc(r.b.applications(), func(o owned) bool { return o.Schema == s }) {
				action = "give its field the tag index, and " + migrate
			}
			// AutoMigrate adds no index to a table of Lucia's, so the statement is written out.
			if r.b.frozen[s.Table] {
				action = fmt.Sprintf("run CREATE INDEX idx_%s_%s ON %s (%s)", engine.BareTable(s.Table), name, s.Table, name)
			}
			findings = append(findings, tables.Finding{Problem: tables.ProblemMissingIndex, Table: s.Table, Column: name, Action: action})
		}
	}
	return findings
}

// auditTypes looks at the types and widths of the plugin's own columns. db.Use refuses most of
// what it finds; a column may also have been changed since.
func (r *RepositoryOf[U, K, S]) auditTypes(s *schema.Schema, table engine.Table, migrate string) (findings []tables.Finding) {
	if r.opts.lucia { // Lucia documents several types for each column
		return nil
	}
	for _, c := range r.b.columns {
		found, ok := table.Columns[c.name]
		if c.found = found; !ok || c.table != s.Table {
			continue
		}
		f := tables.Finding{Table: c.table, Column: c.name, Found: found.SQLType}
		switch {
		case c.refuses(r.b.engine) || c.noText(r.b.engine):
			f.Problem, f.Action = tables.ProblemWrongColumnType, "make it "+c.wanted.SQLType+", or give the option that says what it is; a new db.Use names it"
			findings = append(findings, f)
		case c.fit(r.b.engine) == engine.Narrower:
			f.Problem, f.Action = tables.ProblemNarrowColumn, migrate
			findings = append(findings, f)
		}
	}
	return findings
}

// exactAction says how to make a column of ids exact, with the type that the options want for it.
func (r *RepositoryOf[U, K, S]) exactAction(s *schema.Schema, column string) string {
	sqlType := ""
	for _, c := range r.b.columns {
		if c.table == s.Table && c.name == column {
			sqlType = c.wanted.SQLType
		}
	}
	return r.b.engine.ExactAction(s.Table, column, sqlType)
}

// auditForeignKeys reports a foreign key that is missing with foreign keys on, and one that is
// there with [WithoutForeignKeys]. A table of Lucia's may lack it, since AutoMigrate leaves such
// a table as it is.
func (r *RepositoryOf[U, K, S]) auditForeignKeys(o owned, table engine.Table) []tables.Finding {
	switch {
	case r.b.foreignKeys && len(table.ForeignKeys) == 0 && !r.b.frozen[o.Table]:
		return []tables.Finding{{Problem: tables.ProblemForeignKeyMissing, Table: o.Table, Column: o.owner, Action: "run Repository.Repair, then Plugin.AutoMigrate"}}
	case !r.b.foreignKeys && len(table.ForeignKeys) > 0:
		return []tables.Finding{{Problem: tables.ProblemForeignKeyPresent, Table: o.Table, Column: o.owner, Found: strings.Join(table.ForeignKeys, ", "), Action: "drop it with Plugin.DropForeignKeys"}}
	}
	return nil
}

// orphaned is the condition that a row's user is not there. Its columns must be of one type.
func (b *binding) orphaned(o owned) clause.Expression { return b.noUser(o, true) }

// lacksUser is the same condition for columns whose types may differ. PostgreSQL refuses to
// compare a uuid with a varchar, so they are compared as texts there.
func (b *binding) lacksUser(o owned, columns, users map[string]engine.Column) clause.Expression {
	return b.noUser(o, columns[o.owner].Type.Family == users[b.userID.DBName].Type.Family)
}

// noUser is the condition behind both. A nullable owner that is NULL names nobody, so its row is
// no orphan.
func (b *binding) noUser(o owned, alike bool) clause.Expression {
	owner, id := clause.Column{Table: o.Table, Name: o.owner}, clause.Column{Table: b.user.Table, Name: b.userID.DBName}
	sql, vars := "NOT EXISTS (SELECT 1 FROM ? WHERE ?)", []any{clause.Table{Name: b.user.Table}, b.engine.SameColumns(id, owner, alike)}
	if o.nullable() {
		sql, vars = "? IS NOT NULL AND "+sql, append([]any{owner}, vars...)
	}
	return clause.Expr{SQL: sql, Vars: vars}
}

// countOrphans counts the rows of a table without a user. If there is no table of users, every
// row is one.
func (b *binding) countOrphans(db *gorm.DB, o owned, table, users engine.Table) (n int64, err error) {
	if _, ok := table.Columns[o.owner]; !ok {
		return 0, nil
	}
	query, vars := "SELECT COUNT(*) FROM ?", []any{o.table()}
	if users.Exists {
		query, vars = query+" WHERE ?", append(vars, b.lacksUser(o, table.Columns, users.Columns))
	}
	err = db.Session(&gorm.Session{NewDB: true}).Raw(query, vars...).Scan(&n).Error
	return n, err
}
