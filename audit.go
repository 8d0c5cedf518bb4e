package gormkey

import (
	"context"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// Problem is what a [Finding] is about.
type Problem string

// The problems that [RepositoryOf.Audit] finds.
const (
	MissingTable  Problem = "missing table"
	MissingColumn Problem = "missing column"
	// MissingIndex: a delete or a cleanup reads the whole table.
	MissingIndex Problem = "missing index"
	// InexactID: an id column matches ids that differ in case, accents or blanks, so a
	// statement may find another person's row.
	InexactID Problem = "inexact id"
	// WrongExpiryType: an expiry column cannot hold 64-bit milliseconds, or compares
	// them as text.
	WrongExpiryType Problem = "wrong expiry type"
	// NarrowColumn: a column is narrower than the library, or the options, fill it. Until
	// it is widened, longer users' ids are refused.
	NarrowColumn Problem = "narrow column"
	// WrongColumnType: a column has a type that a migration would cut or misread; see
	// [ColumnError].
	WrongColumnType Problem = "wrong column type"
	// CutIDs: rows whose user_id an earlier program has cut; see [MismatchError].
	CutIDs Problem = "cut ids"
	// Orphans: keys or sessions without a user.
	Orphans Problem = "orphans"
	// ForeignKeyMissing: the plugin has foreign keys on, and the table has none.
	ForeignKeyMissing Problem = "foreign key missing"
	// ForeignKeyPresent: the plugin has them off, and the table has one.
	ForeignKeyPresent Problem = "foreign key present"
	// ForeignKeysUnenforced: the connection's PRAGMA foreign_keys is off. The plugin's
	// callbacks stand in for it.
	ForeignKeysUnenforced Problem = "foreign keys unenforced"
)

// Finding is one thing that [RepositoryOf.Audit] found.
type Finding struct {
	Problem Problem
	Table   string
	Column  string // "" where it is about the table
	Count   int64  // rows, of Orphans and CutIDs
	Found   string // what is there: a type, or a constraint's name
	Action  string // what to do: a call, or a statement to run
}

// String returns the finding in one line.
func (f Finding) String() string {
	name := f.Table
	if f.Column != "" {
		name += "." + f.Column
	}
	text := fmt.Sprintf("%s: %s", name, f.Problem)
	switch {
	case f.Count > 0:
		text += fmt.Sprintf(" (%d)", f.Count)
	case f.Found != "":
		text += fmt.Sprintf(" (%s)", f.Found)
	}
	return text + ": " + f.Action
}

// Audit compares the tables with what the plugin expects of them, and looks for keys and
// sessions without a user. It changes nothing. No finding is nil.
//
// It reads the catalog, and the keys and sessions once by their index on user_id; its
// memory does not grow with them. Among a million sessions it took 0.1 to 0.8 seconds:
// run it from a job or a command, not in a request.
func (r *RepositoryOf[U, K, S]) Audit(ctx context.Context) ([]Finding, error) {
	db, err := r.session(ctx)
	if err != nil {
		return nil, err
	}
	const op = "audit"
	var findings []Finding
	users, err := r.b.engine.Table(db, r.b.user.Table, r.b.user.Table)
	if err != nil {
		return nil, callerError(ctx, op, err)
	}
	findings = append(findings, r.auditColumns(r.b.user, users)...)
	for _, s := range r.b.owned {
		table, err := r.b.engine.Table(db, s.Table, r.b.user.Table)
		if err != nil {
			return nil, callerError(ctx, op, err)
		}
		findings = append(findings, r.auditColumns(s, table)...)
		if !table.Exists {
			continue
		}
		findings = append(findings, r.auditForeignKeys(s.Table, table)...)
		cut, err := r.b.countCut(db, s.Table, table.Columns, users.Columns)
		if err != nil {
			return nil, callerError(ctx, op, err)
		}
		if cut > 0 {
			findings = append(findings, Finding{Problem: CutIDs, Table: s.Table, Column: "user_id", Count: cut,
				Action: "write the whole id of their user into them, from a backup or by docs/migrations.md, before anything is deleted"})
		}
		n, err := r.b.countOrphans(db, s.Table, table, users)
		if err != nil {
			return nil, callerError(ctx, op, err)
		}
		if n > 0 {
			action := "delete them with Repository.Repair"
			if r.b.sameTypes(s.Table, table.Columns, users.Columns) != nil {
				action = "give user_id the type of the user's id first: by their types, rows of existing users may look like these"
			}
			findings = append(findings, Finding{Problem: Orphans, Table: s.Table, Column: "user_id", Count: n, Action: action})
		}
	}
	if r.b.foreignKeys {
		enforced, err := r.b.engine.Enforces(db)
		if err != nil {
			return nil, callerError(ctx, op, err)
		}
		if !enforced {
			findings = append(findings, Finding{Problem: ForeignKeysUnenforced, Table: r.b.user.Table,
				Action: "turn them on for every connection in the DSN, by _pragma=foreign_keys(1) or _foreign_keys=on"})
		}
	}
	return findings, nil
}

// auditColumns compares a table's columns and indexes with those of its model.
func (r *RepositoryOf[U, K, S]) auditColumns(s *schema.Schema, table engine.Table) (findings []Finding) {
	const migrate = "run Plugin.AutoMigrate, or the statements of Plugin.PendingSQL"
	if !table.Exists {
		return []Finding{{Problem: MissingTable, Table: s.Table, Action: migrate}}
	}
	for _, name := range s.DBNames {
		if _, ok := table.Columns[name]; !ok && (r.b.frozen[s.Table] || !s.FieldsByDBName[name].IgnoreMigration) {
			findings = append(findings, Finding{Problem: MissingColumn, Table: s.Table, Column: name, Action: migrate})
		}
	}
	var ids, indexes, expiries []string // of the embedded struct
	switch s {
	case r.b.user:
		ids = []string{r.b.userID.DBName}
	case r.b.key:
		ids, indexes = []string{"id", "user_id"}, []string{"user_id"}
	case r.b.session:
		ids, indexes = []string{"id", "user_id"}, []string{"user_id", "idle_expires"}
		expiries = []string{"active_expires", "idle_expires", "absolute_expires"}
	case r.b.token:
		ids, indexes, expiries = []string{"id", "user_id"}, []string{"user_id", "expires"}, []string{"expires"}
	}
	for _, name := range indexes {
		if _, ok := table.Columns[name]; ok && !table.Leading[name] {
			action := migrate
			if r.b.frozen[s.Table] {
				action = fmt.Sprintf("run CREATE INDEX idx_%s_%s ON %s (%s)", engine.BareTable(s.Table), name, s.Table, name)
			}
			findings = append(findings, Finding{Problem: MissingIndex, Table: s.Table, Column: name, Action: action})
		}
	}
	for _, name := range ids {
		ofUser := name == "user_id" || s == r.b.user
		if c, ok := table.Columns[name]; ok && !c.Exact && !r.opts.lucia && (!ofUser || r.opts.userIDType == "") {
			findings = append(findings, Finding{Problem: InexactID, Table: s.Table, Column: name, Found: c.SQLType, Action: r.exactAction(s, name)})
		}
	}
	findings = append(findings, r.auditTypes(s, table, migrate)...)
	for _, name := range expiries {
		if c, ok := table.Columns[name]; ok && !r.b.engine.HoldsMillis(c.SQLType) {
			findings = append(findings, Finding{Problem: WrongExpiryType, Table: s.Table, Column: name, Found: c.SQLType,
				Action: "change it to bigint (SQLite: INTEGER); the values are milliseconds since 1970"})
		}
	}
	return findings
}

// auditTypes looks at the types and widths of the plugin's own columns.
func (r *RepositoryOf[U, K, S]) auditTypes(s *schema.Schema, table engine.Table, migrate string) (findings []Finding) {
	if r.opts.lucia { // whose columns may be any
		return nil
	}
	for _, c := range r.b.columns {
		found, ok := table.Columns[c.name]
		if c.found = found; !ok || c.table != s.Table {
			continue
		}
		f := Finding{Table: c.table, Column: c.name, Found: found.SQLType}
		switch {
		case c.refuses(r.b.engine) || c.noText(r.b.engine):
			f.Problem, f.Action = WrongColumnType, "make it "+c.wanted.SQLType+", or give the option that says what it is; a new db.Use names it"
			findings = append(findings, f)
		case c.fit(r.b.engine) == engine.Narrower:
			f.Problem, f.Action = NarrowColumn, migrate
			findings = append(findings, f)
		}
	}
	return findings
}

// exactAction says how to make a column of ids exact.
func (r *RepositoryOf[U, K, S]) exactAction(s *schema.Schema, column string) string {
	sqlType := ""
	for _, c := range r.b.columns {
		if c.table == s.Table && c.name == column {
			sqlType = c.wanted.SQLType
		}
	}
	return r.b.engine.ExactAction(s.Table, column, sqlType)
}

func (r *RepositoryOf[U, K, S]) auditForeignKeys(name string, table engine.Table) []Finding {
	switch {
	case r.b.foreignKeys && len(table.ForeignKeys) == 0 && !r.b.frozen[name]:
		return []Finding{{Problem: ForeignKeyMissing, Table: name, Column: "user_id", Action: "run Repository.Repair, then Plugin.AutoMigrate"}}
	case !r.b.foreignKeys && len(table.ForeignKeys) > 0:
		return []Finding{{Problem: ForeignKeyPresent, Table: name, Column: "user_id", Found: strings.Join(table.ForeignKeys, ", "), Action: "drop it with Plugin.DropForeignKeys"}}
	}
	return nil
}

// orphaned is the condition that a row of the table has no user.
func (b *binding) orphaned(table string) clause.Expression { return b.noUser(table, true) }

// lacksUser is orphaned for columns of types that the database may not compare as they are.
func (b *binding) lacksUser(table string, columns, users map[string]engine.Column) clause.Expression {
	return b.noUser(table, columns["user_id"].Type.Family == users[b.userID.DBName].Type.Family)
}

func (b *binding) noUser(table string, alike bool) clause.Expression {
	owner, id := clause.Column{Table: table, Name: "user_id"}, clause.Column{Table: b.user.Table, Name: b.userID.DBName}
	return clause.Expr{SQL: "NOT EXISTS (SELECT 1 FROM ? WHERE ?)", Vars: []any{clause.Table{Name: b.user.Table}, b.engine.SameColumns(id, owner, alike)}}
}

// countOrphans counts the rows of a table without a user.
func (b *binding) countOrphans(db *gorm.DB, name string, table, users engine.Table) (n int64, err error) {
	if _, ok := table.Columns["user_id"]; !ok {
		return 0, nil
	}
	query, vars := "SELECT COUNT(*) FROM ?", []any{clause.Table{Name: name}}
	if users.Exists {
		query, vars = query+" WHERE ?", append(vars, b.lacksUser(name, table.Columns, users.Columns))
	}
	err = db.Session(&gorm.Session{NewDB: true}).Raw(query, vars...).Scan(&n).Error
	return n, err
}

// Repair deletes the keys and sessions that have no user, in batches that each commit by
// themselves, and returns how many it deleted, also beside an error: it may be stopped
// through ctx and called again. A user without a key is left as it is. Where user_id and
// the user's id have different types or widths, it deletes nothing and returns a
// [MismatchError].
func (r *RepositoryOf[U, K, S]) Repair(ctx context.Context, opts ...CleanupOption) (deleted int64, err error) {
	o, err := newCleanup(opts)
	if err != nil {
		return 0, err
	}
	if err := r.sameTypes(ctx); err != nil {
		return 0, err
	}
	for _, s := range r.b.owned {
		var after []any // the id that the next batch begins behind
		for {
			ids, n, err := r.repairBatch(ctx, s.Table, after, o.batch)
			deleted += n
			if err != nil {
				return deleted, err
			}
			if len(ids) == 0 {
				break
			}
			after = []any{ids[len(ids)-1]}
			if n > 0 {
				if err := o.progress(deleted); err != nil {
					return deleted, err
				}
			}
		}
	}
	return deleted, nil
}

// sameTypes refuses to take rows for orphans that only their types make so.
func (r *RepositoryOf[U, K, S]) sameTypes(ctx context.Context) error {
	db, err := r.session(ctx)
	if err != nil {
		return err
	}
	users, err := r.b.engine.Columns(db, r.b.user.Table)
	if err != nil {
		return callerError(ctx, "repair", err)
	}
	for _, s := range r.b.owned {
		columns, err := r.b.engine.Columns(db, s.Table)
		if err != nil {
			return callerError(ctx, "repair", err)
		}
		if err := r.b.sameTypes(s.Table, columns, users); err != nil {
			return err
		}
	}
	return nil
}

// repairBatch finds orphans by their ids, in order, and deletes those that still are.
func (r *RepositoryOf[U, K, S]) repairBatch(ctx context.Context, table string, after []any, size int) (ids []string, deleted int64, err error) {
	const op = "repair"
	db, err := r.session(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := r.checkReadsBack(); err != nil {
		return nil, 0, err
	}
	size = min(size, r.b.engine.MostIDs())
	id := clause.Column{Table: table, Name: "id"}
	behind := clause.Expr{SQL: "1 = 1"}
	if len(after) > 0 {
		behind = clause.Expr{SQL: "? > ?", Vars: []any{id, after[0]}}
	}
	err = db.Raw("SELECT ? FROM ? WHERE ? AND ? ORDER BY ? LIMIT "+fmt.Sprint(size), id, clause.Table{Name: table}, behind, r.b.orphaned(table), id).Scan(&ids).Error
	if err != nil || len(ids) == 0 {
		return nil, 0, callerError(ctx, op, err)
	}
	var result *gorm.DB
	err = r.do(ctx, op, func(u *unit) error {
		if r.b.engine.RowLocks() {
			// A DELETE of PostgreSQL would see a row that changed while it waited, but not the
			// user that came with the change: the next statement sees both.
			if err := u.tx.Exec("SELECT ? FROM ? WHERE ? FOR UPDATE", id, clause.Table{Name: table}, r.b.among(id, ids)).Error; err != nil {
				return err
			}
		}
		u.then(func(tx *gorm.DB) error {
			result = tx.Exec("DELETE FROM ? WHERE ? AND ?", clause.Table{Name: table}, r.b.among(id, ids), r.b.orphaned(table))
			return result.Error
		})
		return nil
	})
	if err != nil {
		return ids, 0, err
	}
	return ids, r.b.rowsOf([]*gorm.DB{result}), nil
}
