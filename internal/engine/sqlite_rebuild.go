package engine

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Register watches how GORM's SQLite migrator changes some columns, since SQLite has no ALTER
// COLUMN. The migrator sends four statements, and each of them is looked at:
//
//	CREATE TABLE `t__temp` (…)
//	INSERT INTO `t__temp`(…) SELECT … FROM `t`   copyAll, noteIndexes
//	DROP TABLE `t`                               guard
//	ALTER TABLE `t__temp` RENAME TO `t`          restoreIndexes
func (sqlite) Register(db *gorm.DB, name string, tables []string) error {
	r := &rebuilds{tables: tables}
	return errors.Join(
		db.Callback().Raw().Before("gorm:raw").Register(name+":rebuild", func(tx *gorm.DB) {
			r.guard(tx)
			r.copyAll(tx)
			r.noteIndexes(tx)
		}),
		db.Callback().Raw().After("gorm:raw").Register(name+":rebuilt", r.restoreIndexes),
	)
}

// rebuilds gives rebuilt tables their indexes and triggers back, which disappear with the old
// table. GORM's AutoMigrate makes the model's indexes again; its DropColumn, AlterColumn and
// DropConstraint make none. An index on an expression of a column that is dropped cannot be made
// again, and is an error.
type rebuilds struct {
	tables []string
	noted  sync.Map // rebuild → []index
}

// rebuild identifies a rebuild in progress by its transaction and its table.
type rebuild struct {
	pool  gorm.ConnPool
	table string
}

// index is an index or a trigger of a table, and the columns that it needs.
type index struct {
	SQL     string `gorm:"column:sql"`
	Columns string `gorm:"column:columns"` // separated by commas
}

// copyAll makes the copy take every column along. GORM reads the names of the columns out of the
// table's DDL by regular expressions. They miss a name with a letter outside ASCII, a "-" or a
// blank, and such a column would lose its values.
func (r *rebuilds) copyAll(tx *gorm.DB) {
	if tx.Error != nil || tx.DryRun {
		return
	}
	copying := tx.Statement.SQL.String()
	for _, table := range r.tables {
		list, ok := strings.CutPrefix(copying, "INSERT INTO `"+table+"__temp`(")
		if !ok {
			continue
		}
		var columns []string // a generated one is not among them
		err := Fresh(tx).Raw("SELECT o.name FROM pragma_table_info(?) o JOIN pragma_table_info(?) n ON lower(n.name) = lower(o.name) ORDER BY o.cid", table, table+"__temp").Scan(&columns).Error
		if err != nil {
			_ = tx.AddError(err)
			return
		}
		for i, c := range columns {
			columns[i] = "`" + strings.ReplaceAll(c, "`", "``") + "`"
		}
		if all := strings.Join(columns, ","); !strings.HasPrefix(list, all+")") {
			tx.Statement.SQL.Reset()
			fmt.Fprintf(&tx.Statement.SQL, "INSERT INTO `%s__temp`(%s) SELECT %s FROM `%s`", table, all, all, table)
		}
	}
}

// noteIndexes remembers the indexes and triggers of the old table that the new one can have: an
// index on a column that is dropped is not among them.
func (r *rebuilds) noteIndexes(tx *gorm.DB) {
	if tx.Error != nil || tx.DryRun {
		return
	}
	copying := tx.Statement.SQL.String()
	for _, table := range r.tables {
		if !strings.HasPrefix(copying, "INSERT INTO `"+table+"__temp`(") {
			continue
		}
		var all, kept []index
		err := Fresh(tx).Raw("SELECT m.sql AS sql, COALESCE((SELECT group_concat(name) FROM pragma_index_info(m.name) WHERE m.type = 'index'), '') AS columns "+
			"FROM sqlite_master m WHERE m.type IN ('index', 'trigger') AND m.tbl_name = ? AND m.sql IS NOT NULL ORDER BY m.type, m.name", table).Scan(&all).Error
		if err != nil {
			_ = tx.AddError(err)
			return
		}
		for _, i := range all {
			if !slices.ContainsFunc(strings.Split(i.Columns, ","), func(c string) bool { return c != "" && !strings.Contains(copying, "`"+c+"`") }) {
				kept = append(kept, i)
			}
		}
		r.noted.Store(rebuild{tx.Statement.ConnPool, table}, kept)
	}
}

// createIndex finds the words after which IF NOT EXISTS is written.
var createIndex = regexp.MustCompile(`(?i)^CREATE (UNIQUE INDEX|INDEX|TRIGGER)\b`)

// restoreIndexes makes the remembered indexes and triggers again, once the new table has the old
// name.
func (r *rebuilds) restoreIndexes(tx *gorm.DB) {
	if tx.Error != nil || tx.DryRun || !strings.HasPrefix(tx.Statement.SQL.String(), "ALTER TABLE `") {
		return
	}
	for _, table := range r.tables {
		if tx.Statement.SQL.String() != "ALTER TABLE `"+table+"__temp` RENAME TO `"+table+"`" {
			continue
		}
		noted, _ := r.noted.LoadAndDelete(rebuild{tx.Statement.ConnPool, table})
		indexes, _ := noted.([]index)
		for _, i := range indexes {
			// Written down and run again, by Plugin.PendingSQL, it meets itself.
			statement := createIndex.ReplaceAllString(i.SQL, "$0 IF NOT EXISTS")
			if err := Fresh(tx).Exec(statement).Error; err != nil {
				_ = tx.AddError(err)
				return
			}
		}
	}
}

// guard turns a loss of rows into an error. If foreign keys are enforced, the DROP TABLE of a
// rebuild first deletes all rows, which cascades to every key and session, and GORM reports
// success.
func (r *rebuilds) guard(tx *gorm.DB) {
	quoted, dropping := strings.CutPrefix(tx.Statement.SQL.String(), "DROP TABLE ")
	if tx.Error == nil && !tx.DryRun && dropping && !Exporting(tx) {
		_ = tx.AddError(r.refuseLoss(tx, Unquoted(quoted)))
	}
}

// refuseLoss refuses to drop a table if rows of the library's tables would go with it. A table of
// the application is refused as well if the users' table refers to it with a cascade: if accounts
// belong to teams, dropping teams drops every account, and with it its sessions.
func (r *rebuilds) refuseLoss(tx *gorm.DB, table string) error {
	enforced, err := sqlite{}.Enforces(Fresh(tx))
	if err != nil || !enforced {
		return err
	}
	reached, err := pointingAt(tx, table)
	if err != nil {
		return err
	}
	for _, ours := range r.tables {
		if !slices.Contains(reached, strings.ToLower(BareTable(ours))) {
			continue
		}
		var rows []int
		if err := Fresh(tx).Raw("SELECT 1 FROM ? LIMIT 1", clause.Table{Name: ours}).Scan(&rows).Error; err != nil {
			return err
		}
		if len(rows) > 0 {
			return fmt.Errorf("gormkey: SQLite makes this change by dropping %s and making it anew%s, and with foreign keys enforced "+
				"the drop would delete the rows of %s; run it with Plugin.AutoMigrate or in Plugin.Migrate", table, rebuildChange(tx, table), ours)
		}
	}
	return nil
}

// pointingAt returns the tables, in lower case, whose rows are deleted with those of a table, by
// one foreign key or through several. It follows CASCADE alone. The list also ends the search in
// a circle of tables.
func pointingAt(tx *gorm.DB, table string) (reached []string, err error) {
	for next := []string{table}; len(next) > 0; next = next[1:] {
		var children []string
		err := Fresh(tx).Raw(`SELECT DISTINCT lower(m.name) FROM sqlite_master m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table' AND lower(f."table") = lower(?) AND f.on_delete = 'CASCADE'`, next[0]).Scan(&children).Error
		if err != nil {
			return nil, err
		}
		for _, child := range children {
			if !slices.Contains(reached, child) {
				reached, next = append(reached, child), append(next, child)
			}
		}
	}
	return reached, nil
}

// rebuildChange describes how the new table, which is there by now, differs from the old one. The
// error so names the column that caused the rebuild, which the caller may not have expected.
func rebuildChange(tx *gorm.DB, table string) string {
	var ddl []string
	err := Fresh(tx).Raw("SELECT sql FROM sqlite_master WHERE type = 'table' AND name IN (?, ?) ORDER BY length(name)",
		BareTable(table), BareTable(table)+"__temp").Scan(&ddl).Error
	if err != nil || len(ddl) != 2 {
		return ""
	}
	before, after := difference(columnsOf(ddl[0]), columnsOf(ddl[1]))
	switch {
	case before == after:
		return ""
	case before == "":
		return fmt.Sprintf(" with %q more", after)
	case after == "":
		return fmt.Sprintf(" without %q", before)
	}
	return fmt.Sprintf(" with %q in place of %q", after, before)
}

// columnsOf returns what stands between the parentheses of a CREATE TABLE.
func columnsOf(ddl string) string {
	_, columns, _ := strings.Cut(ddl, "(")
	return strings.TrimSuffix(strings.TrimSpace(columns), ")")
}

// difference returns what is between the common start and the common end of two texts.
func difference(a, b string) (string, string) {
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	for start > 0 && (start < len(a) && !utf8.RuneStart(a[start]) || start < len(b) && !utf8.RuneStart(b[start])) {
		start--
	}
	a, b = a[start:], b[start:]
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return strings.Trim(a, ", "), strings.Trim(b, ", ")
}
