package gormkey

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey/internal/engine"
	"github.com/gormkey/gormkey/tables"
)

// AutoMigrate creates and extends the plugin's tables, and the tables of more models of the
// application, as db.AutoMigrate does, under the protection of [PluginOf.Migrate]. A second run
// sends no DDL.
//
// Id columns that are narrower than the options say are made wider first, with every column that
// refers to them by a foreign key, in whatever table. An error of the following list comes before
// anything is changed:
//
//   - [tables.ColumnError]: a column is of another type, or holds users' ids and is wider.
//   - [tables.MismatchError]: rows whose user_id an earlier program has cut.
//   - [tables.OrphanError]: rows without a user, which a new foreign key would refuse.
func (p *PluginOf[U, K, S]) AutoMigrate(db *gorm.DB, more ...any) error {
	return p.Migrate(db, func(tx *gorm.DB) error { return p.autoMigrate(tx, more) })
}

// autoMigrate runs inside Migrate. It looks at the columns again at the end: from then on users'
// ids may be as long as the columns are wide now.
func (p *PluginOf[U, K, S]) autoMigrate(tx *gorm.DB, more []any) error {
	b := p.bound.Load()
	if _, err := b.prepare(tx, &p.opts); err != nil {
		return err
	}
	b.warnOfOldNames(tx)
	if err := b.explainForeignKey(tx.AutoMigrate(append(p.Models(), more...)...)); err != nil {
		return err
	}
	narrow, err := b.checkColumns(newCatalog(b.engine, tx), &p.opts)
	b.narrow.Store(narrowest(narrow))
	return err
}

// warnOfOldNames logs if the table of keys is about to be made while one of the default name is
// there: after a change of [WithTableNames] nobody could sign in, and nothing would say why. It may
// be another program's, so it is no error.
func (b *binding) warnOfOldNames(tx *gorm.DB) {
	old, m := tx.NamingStrategy.JoinTableName(defaultKeyTable), tx.Migrator()
	if strings.EqualFold(b.key.Table, old) || m.HasTable(b.key.Table) || !m.HasTable(old) {
		return
	}
	for _, plugin := range tx.Plugins {
		if owner, ok := plugin.(interface{ tables() []string }); ok && slices.Contains(owner.tables(), old) {
			return
		}
	}
	tx.Logger.Warn(tx.Statement.Context, "gormkey: AutoMigrate makes the table %s, and there is %s: if you have changed the tables' names, nobody can sign in until you rename the old tables in Plugin.Migrate", b.key.Table, old)
}

// Migrate runs a migration of the application, for example by tx.Migrator(), so that it loses no
// rows of the plugin's tables:
//
//   - Any number of processes may call it at once, as at the start of a deployment: they take
//     turns. On MySQL and SQLite a process waits for its turn a minute at most; on PostgreSQL as
//     long as the context and lock_timeout let it.
//   - On SQLite it runs with foreign keys unenforced on one connection. GORM changes and drops
//     columns there by rebuilding the table, and dropping the old table would cascade to every
//     key and session.
//   - Cloudflare D1 has no lock to take. There it runs again, five times at most, if another
//     process made the same table, column or index first.
//
// On PostgreSQL it runs in one transaction, or in yours if db is one. On MySQL and SQLite it
// refuses a transaction: on MySQL DDL would commit it, and on SQLite it would need a second
// connection.
func (p *PluginOf[U, K, S]) Migrate(db *gorm.DB, migrate func(tx *gorm.DB) error) error {
	b, db, err := p.migrationHandle(db)
	if err != nil {
		return err
	}
	if migrate == nil {
		return &UsageError{"migrate", "is nil"}
	}
	if _, inTx := db.Statement.ConnPool.(gorm.TxCommitter); inTx && !b.engine.MigratesInTransaction() {
		return &UsageError{"db", "is in a transaction; migrations want the root handle on MySQL and SQLite"}
	}
	return b.engine.Migrate(db, migrate)
}

// migrationHandle checks a handle, and returns it without the statement that it may carry.
func (p *PluginOf[U, K, S]) migrationHandle(db *gorm.DB) (*binding, *gorm.DB, error) {
	b := p.bound.Load()
	if b == nil {
		return nil, nil, fmt.Errorf("%w: %v: call db.Use first, and look at its error", ErrNotRegistered, p.userType())
	}
	if db == nil || db.Config == nil || db.Statement == nil {
		return nil, nil, &UsageError{"db", "is nil or not opened by gorm.Open"}
	}
	if err := checkHandle(db); err != nil {
		return nil, nil, err
	}
	if schemaCache(db) != b.cache {
		return nil, nil, &UsageError{"db", "is another database than the one the plugin is registered with"}
	}
	return b, db.Session(&gorm.Session{NewDB: true}).Set(engine.WriteSource, struct{}{}), nil
}

// refuseOrphans looks for rows that a foreign key which is to be added would refuse. The servers
// would refuse it with a text that does not say what to do. SQLite would not refuse it at all,
// since it is added while enforcement is off.
func (b *binding) refuseOrphans(tx *gorm.DB) error {
	if !b.foreignKeys {
		return nil
	}
	users, err := b.engine.Table(tx, b.user.Table, "", b.user.Table)
	if err != nil {
		return err
	}
	for _, o := range b.owned {
		table, err := b.engine.Table(tx, o.Table, o.owner, b.user.Table)
		if err != nil {
			return err
		}
		if !table.Exists || len(table.ForeignKeys) > 0 || b.frozen[o.Table] {
			continue
		}
		n, err := b.countOrphans(tx, o, table, users)
		if err != nil {
			return err
		}
		if n > 0 {
			return cmp.Or(b.sameTypes(o, table.Columns, users.Columns), error(&tables.OrphanError{Table: o.Table, Count: n}))
		}
	}
	return nil
}

// DropForeignKeys drops the foreign keys by which keys, sessions, one-time tokens and the tables
// of [WithOwned] refer to their user. It is for a plugin with [WithoutForeignKeys] whose tables
// are older than that option, since AutoMigrate leaves foreign keys that exist. The indexes stay.
// It may be repeated.
func (p *PluginOf[U, K, S]) DropForeignKeys(db *gorm.DB) error {
	return p.Migrate(db, func(tx *gorm.DB) error {
		b := p.bound.Load()
		if b.foreignKeys {
			return &UsageError{"plugin", "has foreign keys on, so the next AutoMigrate would add them again; give it WithoutForeignKeys"}
		}
		for _, o := range b.owned {
			table, err := b.engine.Table(tx, o.Table, o.owner, b.user.Table)
			if err != nil {
				return err
			}
			if err := b.dropConstraints(tx, o, table.ForeignKeys); err != nil {
				return err
			}
		}
		return nil
	})
}

// dropConstraints drops foreign keys by their names in the catalog. SQLite's catalog has no
// names, so there GORM rebuilds the table without the constraint.
func (b *binding) dropConstraints(tx *gorm.DB, o owned, names []string) error {
	if verb := b.engine.DropForeignKey(); verb != "" {
		for _, name := range names {
			if err := tx.Exec("ALTER TABLE ? "+verb+" ?", o.table(), clause.Column{Name: name}).Error; err != nil {
				return err
			}
		}
		return nil
	}
	if len(names) == 0 {
		return nil
	}
	if err := tx.Migrator().DropConstraint(reflect.New(o.ModelType).Interface(), o.constraint); err != nil {
		return err
	}
	table, err := b.engine.Table(tx, o.Table, o.owner, b.user.Table)
	if err == nil && len(table.ForeignKeys) > 0 {
		err = fmt.Errorf("gormkey: %s has a foreign key that another program declared, and SQLite drops none by itself: make the table anew without it", o.Table)
	}
	return err
}

// explainForeignKey says what to do about a column of the application that refers to the user and
// has another type than the user's id.
func (b *binding) explainForeignKey(err error) error {
	if engine.IsOtherType(err) {
		return fmt.Errorf("gormkey: a column that is to point at the user's id has another type; the id is %s in %s: if the users are in another table, name it by WithTableNames; if not, take a type that the field has of its own out, and give a column that is there this type: %w",
			b.db.Dialector.DataTypeOf(b.userID), b.user.Table, err)
	}
	return err
}
