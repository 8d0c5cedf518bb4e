package gormkey

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"reflect"
	"regexp"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormkey/gormkey/internal/engine"
)

// migrateLock names the lock that migrating processes wait for.
const (
	migrateLock     = "gormkey:migrate"
	migrateLockID   = 0x676f726d6b6579 // "gormkey"
	migrateLockWait = time.Minute
)

// AutoMigrate creates and extends the plugin's tables, and those of more models of the
// application, as db.AutoMigrate does, under the protection of [Plugin.Migrate]; a
// second run sends no DDL. Rows that a new foreign key would find without a user are an
// [OrphanError].
//
// Id columns that are narrower than the options say are made wider first, with every
// column that points at them by a foreign key, in whatever table. One of another type, or
// one of users' ids that is wider, is a [ColumnError]; rows that an earlier program cut
// are a [MismatchError]. Then nothing is changed.
func (p *Plugin[U]) AutoMigrate(db *gorm.DB, more ...any) error {
	return p.Migrate(db, func(tx *gorm.DB) error { return p.autoMigrate(tx, more) })
}

func (p *Plugin[U]) autoMigrate(tx *gorm.DB, more []any) error {
	b := p.bound.Load()
	if _, err := b.prepare(tx, &p.opts); err != nil {
		return err
	}
	if err := b.explainForeignKey(tx.AutoMigrate(append(p.Models(), more...)...)); err != nil {
		return err
	}
	narrow, err := checkColumns(tx, &p.opts, b.columns)
	b.narrow.Store(narrowest(narrow))
	return err
}

// Migrate runs a migration of the application's, by tx.Migrator() say, so that it loses
// no rows of the plugin's:
//
//   - Any number of processes may call it at once, as at the start of a deployment:
//     they take turns. On MySQL and SQLite one waits a minute at most for its turn; on
//     PostgreSQL as long as the context and lock_timeout let it.
//   - On SQLite it runs with foreign keys unenforced on one connection, since GORM
//     changes and drops columns by rebuilding the table, and dropping the old one would
//     cascade to every key and session.
//   - Cloudflare D1 has no lock to take. There it runs again, five times at most, if
//     another process made the same table, column or index first.
//
// On PostgreSQL it runs in one transaction, the caller's if db is one. On MySQL and
// SQLite it refuses a transaction: DDL would commit it there, and here take a second
// connection.
func (p *Plugin[U]) Migrate(db *gorm.DB, migrate func(tx *gorm.DB) error) error {
	b, db, err := p.migrationHandle(db)
	if err != nil {
		return err
	}
	if migrate == nil {
		return &ArgumentError{"migrate", "is nil"}
	}
	if _, inTx := db.Statement.ConnPool.(gorm.TxCommitter); inTx && b.dialect != "postgres" {
		return &ArgumentError{"db", "is in a transaction; migrations want the root handle on MySQL and SQLite"}
	}
	switch {
	case b.engine.Batches():
		return migrateTogether(db, migrate)
	case b.dialect == "postgres":
		return migratePostgres(db, migrate)
	case b.dialect == "mysql":
		return migrateMySQL(db, migrate)
	}
	return migrateSQLite(db, migrate)
}

// migrationHandle checks a handle, and returns it without what was going on in it.
func (p *Plugin[U]) migrationHandle(db *gorm.DB) (*binding, *gorm.DB, error) {
	b := p.bound.Load()
	if b == nil {
		return nil, nil, fmt.Errorf("%w: %s: call db.Use first, and look at its error", ErrNotRegistered, typeName[U]())
	}
	if db == nil || db.Config == nil || db.Statement == nil {
		return nil, nil, &ArgumentError{"db", "is nil or not opened by gorm.Open"}
	}
	if err := checkHandle(db); err != nil {
		return nil, nil, err
	}
	if schemaCache(db) != b.cache {
		return nil, nil, &ArgumentError{"db", "is another database than the one the plugin is registered with"}
	}
	return b, db.Session(&gorm.Session{NewDB: true}).Set(writeSource, struct{}{}), nil
}

// refuseOrphans finds rows that a foreign key which is to be added would refuse. SQLite,
// where it is added with enforcement off, would not.
func (b *binding) refuseOrphans(tx *gorm.DB) error {
	if !b.foreignKeys {
		return nil
	}
	var users tableInfo
	for i, s := range append([]*schema.Schema{b.user}, b.owned...) {
		table, err := readTable(tx, s.Table, b.user.Table)
		if err != nil {
			return err
		}
		if i == 0 {
			users = table
			continue
		}
		if !table.exists || len(table.foreignKeys) > 0 || b.frozen[s.Table] {
			continue
		}
		n, err := b.countOrphans(tx, s.Table, table, users)
		if err != nil {
			return err
		}
		if n > 0 {
			return cmp.Or(b.sameTypes(s.Table, table.columns, users.columns), error(&OrphanError{s.Table, n}))
		}
	}
	return nil
}

// DropForeignKeys drops the foreign keys of keys and sessions to their user, for a
// plugin with [WithoutForeignKeys] on tables from before: AutoMigrate leaves them. The
// indexes stay. It is safe to repeat.
func (p *Plugin[U]) DropForeignKeys(db *gorm.DB) error {
	return p.Migrate(db, func(tx *gorm.DB) error {
		b := p.bound.Load()
		if b.foreignKeys {
			return &ArgumentError{"plugin", "has foreign keys on, so the next AutoMigrate would add them again; give it WithoutForeignKeys"}
		}
		for _, s := range b.owned {
			table, err := readTable(tx, s.Table, b.user.Table)
			if err != nil {
				return err
			}
			if err := b.dropConstraints(tx, s, table.foreignKeys); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *binding) dropConstraints(tx *gorm.DB, s *schema.Schema, names []string) error {
	if b.dialect != "sqlite" {
		verb := map[string]string{"mysql": "FOREIGN KEY", "postgres": "CONSTRAINT"}[b.dialect]
		for _, name := range names {
			if err := tx.Exec("ALTER TABLE ? DROP "+verb+" ?", clause.Table{Name: s.Table}, clause.Column{Name: name}).Error; err != nil {
				return err
			}
		}
		return nil
	}
	if len(names) == 0 {
		return nil
	}
	name := tx.NamingStrategy.RelationshipFKName(*s.Relationships.Relations["User"])
	if err := tx.Migrator().DropConstraint(reflect.New(s.ModelType).Interface(), name); err != nil {
		return err
	}
	table, err := readTable(tx, s.Table, b.user.Table)
	if err == nil && len(table.foreignKeys) > 0 {
		err = fmt.Errorf("gormkey: %s has a foreign key that another program declared, and SQLite drops none by itself: make the table anew without it", s.Table)
	}
	return err
}

// migratePostgres holds a lock of the transaction, which a pooler in transaction mode
// keeps too.
func migratePostgres(db *gorm.DB, migrate func(*gorm.DB) error) error {
	return db.Transaction(func(tx *gorm.DB) error {
		tx = clean(tx)
		if err := tx.Exec("SELECT pg_advisory_xact_lock(?)", migrateLockID).Error; err != nil {
			return err
		}
		return migrate(tx)
	}, &sql.TxOptions{Isolation: sql.LevelReadCommitted}) // a snapshot from before the lock would not see what the one before us made
}

// migrateMySQL holds a named lock of the server, one a database, on one connection.
func migrateMySQL(db *gorm.DB, migrate func(*gorm.DB) error) error {
	return db.Connection(func(conn *gorm.DB) error {
		conn = clean(conn)
		name, err := mysqlLockName(conn)
		if err != nil {
			return err
		}
		var got sql.NullInt64
		// Written out: some servers evaluate a bound timeout twice.
		if err := conn.Raw(fmt.Sprintf("SELECT GET_LOCK('%s', %d)", name, int(migrateLockWait.Seconds()))).Scan(&got).Error; err != nil {
			return err
		}
		if got.Int64 != 1 {
			return fmt.Errorf("gormkey: another process has been migrating for over %v", migrateLockWait)
		}
		defer func() {
			var released sql.NullInt64
			conn.WithContext(context.WithoutCancel(conn.Statement.Context)).Raw("SELECT RELEASE_LOCK('" + name + "')").Scan(&released)
		}()
		return migrate(conn)
	})
}

// mysqlLockName returns the lock's name for the current database, at most 64 characters,
// the most that MySQL takes. It is hashed here, since MySQL 9.6 has no MD5 function.
func mysqlLockName(conn *gorm.DB) (string, error) {
	var database string
	if err := conn.Raw("SELECT COALESCE(DATABASE(), '')").Scan(&database).Error; err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(database))
	return migrateLock + ":" + hex.EncodeToString(sum[:16]), nil
}

// migrateSQLite holds the write lock from the start.
func migrateSQLite(db *gorm.DB, migrate func(*gorm.DB) error) error {
	return db.Connection(func(conn *gorm.DB) (err error) {
		ctx := conn.Statement.Context
		sqlConn, ok := conn.Statement.ConnPool.(*sql.Conn)
		if !ok {
			return fmt.Errorf("gormkey: AutoMigrate wants a *sql.Conn, got %T", conn.Statement.ConnPool)
		}
		var enforced bool
		if err := sqlConn.QueryRowContext(ctx, "PRAGMA foreign_keys").Scan(&enforced); err != nil {
			return err
		}
		if enforced { // in a transaction the pragma would do nothing
			if _, err := sqlConn.ExecContext(ctx, "PRAGMA foreign_keys = OFF"); err != nil {
				return err
			}
			defer func() { err = restoreForeignKeys(ctx, sqlConn, err) }()
		}
		tx, err := beginImmediate(ctx, sqlConn)
		if err != nil {
			return err
		}
		done := false
		defer func() { // also after a panic
			if !done {
				_ = tx.Rollback()
			}
		}()
		conn.Statement.ConnPool = tx
		if err := migrate(clean(conn)); err != nil {
			return err
		}
		if err := untilFree(ctx, tx.Commit); err != nil {
			return err
		}
		done = true
		return nil
	})
}

// migrateTogether runs a migration beside others of the same: what one finds to be there
// already, it no longer makes when it looks again.
func migrateTogether(db *gorm.DB, migrate func(*gorm.DB) error) error {
	for try := 1; ; try++ {
		err := migrate(clean(db))
		if err == nil || try == engine.MaxTries || !madeAlready.MatchString(err.Error()) {
			return err
		}
		if err := engine.Pause(db.Statement.Context, engine.RetryLongest); err != nil {
			return err
		}
	}
}

var madeAlready = regexp.MustCompile(`already exists|duplicate column name`)

// restoreForeignKeys turns enforcement on again; a connection on which that fails is
// not given back to the pool.
func restoreForeignKeys(ctx context.Context, conn *sql.Conn, err error) error {
	if _, restore := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA foreign_keys = ON"); restore != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		if err == nil {
			err = restore
		}
	}
	return err
}

// clean returns a handle on the same connection or transaction with nothing of a
// statement in it.
func clean(db *gorm.DB) *gorm.DB {
	return db.Session(&gorm.Session{NewDB: true}).Set(writeSource, struct{}{}).Session(&gorm.Session{})
}

// immediateTx is a transaction that has SQLite's write lock from its start, whatever
// the DSN says. GORM takes it for a transaction and nests in it by savepoints.
type immediateTx struct {
	*sql.Conn
	ctx context.Context
}

var _ gorm.TxCommitter = (*immediateTx)(nil)

func beginImmediate(ctx context.Context, conn *sql.Conn) (*immediateTx, error) {
	err := untilFree(ctx, func() error {
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
	if err != nil {
		return nil, err
	}
	return &immediateTx{conn, context.WithoutCancel(ctx)}, nil
}

// untilFree repeats what a busy database refuses, whatever busy timeout the DSN has.
func untilFree(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(migrateLockWait)
	for {
		err := try()
		if err == nil || !Retryable(err) || time.Now().After(deadline) {
			return err
		}
		if err := engine.Pause(ctx, engine.RetryLongest); err != nil {
			return err
		}
	}
}

// Commit commits.
func (t *immediateTx) Commit() error {
	_, err := t.ExecContext(t.ctx, "COMMIT")
	return err
}

// Rollback rolls back; a connection on which that fails is not used again.
func (t *immediateTx) Rollback() error {
	_, err := t.ExecContext(t.ctx, "ROLLBACK")
	if err != nil {
		_ = t.Raw(func(any) error { return driver.ErrBadConn })
	}
	return err
}

// explainForeignKey says what to do about a column of the application that points at the
// user and has another type.
func (b *binding) explainForeignKey(err error) error {
	if code := engine.Code(err); code == "3780" || code == "1005" || code == "42804" {
		return fmt.Errorf("gormkey: a column that is to point at the user's id has another type; the id is %s: take a type that the field has of its own out, and give a column that is there this type: %w",
			b.db.Dialector.DataTypeOf(b.userID), err)
	}
	return err
}
