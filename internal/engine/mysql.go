package engine

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// mysql is MySQL and MariaDB.
type mysql struct {
	rowLocks
	transactions
	inexact bool
}

// ReadLatest locks the rows that it reads. In a caller's transaction at REPEATABLE READ, which is
// MySQL's default, a plain read would see the snapshot of the transaction's first read.
func (mysql) ReadLatest(tx *gorm.DB) *gorm.DB {
	if !inTransaction(tx) {
		return tx
	}
	return tx.Clauses(clause.Locking{Strength: "UPDATE"})
}

// ShareLock uses the older form of the words, because MariaDB knows no FOR SHARE.
func (mysql) ShareLock(...string) clause.Interface { return shareLock{sql: "LOCK IN SHARE MODE"} }
func (mysql) ShareRows() string                    { return " LOCK IN SHARE MODE" }
func (mysql) JoinInOrder() string                  { return "STRAIGHT_JOIN" }

// sameUTF8 compares the bytes of two texts. It first converts both to one character set: the
// column may be latin1 and the connection utf8mb4, and then equal texts have different bytes.
const sameUTF8 = "CAST(CONVERT(? USING utf8mb4) AS BINARY) = CAST(CONVERT(? USING utf8mb4) AS BINARY)"

// SameBytes has two conditions if the column may compare inexactly. The first uses the column's
// index and finds a few rows; the second compares the bytes of these.
func (m mysql) SameBytes(column clause.Column, id string) clause.Expression {
	if !m.inexact {
		return sameBytes(column, id)
	}
	return clause.Expr{SQL: "? = ? AND " + sameUTF8, Vars: []any{column, id, column, id}}
}

// Among cannot use IN for a column that compares inexactly: each id needs both conditions of
// SameBytes.
func (m mysql) Among(column clause.Column, ids []string) clause.Expression {
	if !m.inexact || len(ids) == 0 {
		return among(column, ids)
	}
	same := make([]clause.Expression, len(ids))
	for i, id := range ids {
		same[i] = clause.Expr{SQL: "(?)", Vars: []any{m.SameBytes(column, id)}}
	}
	return clause.Or(same...)
}

// SameColumns needs no cast, since MySQL compares columns of any two types.
func (m mysql) SameColumns(a, b clause.Column, _ bool) clause.Expression {
	if !m.inexact {
		return sameColumns(a, b)
	}
	return clause.Expr{SQL: "? = ? AND " + sameUTF8, Vars: []any{a, b, a, b}}
}

// Text casts to BINARY, since the widths of VARBINARY columns are counted in bytes.
func (mysql) Text(column clause.Column) clause.Expression {
	return clause.Expr{SQL: "CAST(? AS BINARY)", Vars: []any{column}}
}

// CurrentSchema is "" on a connection that has chosen no database.
func (mysql) CurrentSchema(db *gorm.DB) (name string, err error) {
	err = db.Raw("SELECT COALESCE(DATABASE(), '')").Scan(&name).Error
	return name, err
}

// Ask refuses servers on which the locks do not hold, and settings that change what a read sees.
func (m mysql) Ask(db *gorm.DB, s Settings) (Engine, error) { return m, checkMySQL(db, s) }

// DeletesWithLimit: MySQL takes no LIMIT in the subquery of an IN.
func (mysql) DeletesWithLimit() bool { return true }

// InsertUnlessThere: with ON DUPLICATE KEY a row that is there may count as changed.
func (mysql) InsertUnlessThere() (verb, suffix string) { return "INSERT IGNORE", "" }

// mysqlServers are the servers that speak MySQL's protocol. Each distribution writes its own name
// into @@version_comment, so the list of the known ones is long.
var mysqlServers = servers{
	known: regexp.MustCompile(`(?i)mariadb|mysql|percona|vitess|planetscale|aurora|source distribution|google|debian|ubuntu|homebrew|alpine|wolfi|red ?hat|fedora|suse|arch linux|freebsd|conda|azure|cloud ?sql|alisql|tencent|^$`),
	broken: []brokenServer{
		{regexp.MustCompile(`(?i)tidb`), "TiDB takes no shared row locks, so that sessions outlive a changed password and their user"},
		{regexp.MustCompile(`(?i)dolt`), "Dolt keeps no row locks, so that ended sessions live on and keys outlive their user"},
		{regexp.MustCompile(`(?i)oceanbase|singlestore|memsql|starrocks|doris|clickhouse|databend|manticore|go-mysql-server`), "its row locks are not MySQL's"},
	},
}

// checkMySQL asks for the version, for the comment, and for autocommit. With autocommit=0 a plain
// read opens a transaction that keeps its snapshot, and a session that was ended elsewhere would
// validate for as long as the connection lives.
func checkMySQL(db *gorm.DB, s Settings) error {
	var version, comment string
	if err := db.Raw("SELECT VERSION()").Scan(&version).Error; err != nil {
		return fmt.Errorf("reading the server's version: %w", err)
	}
	if err := db.Raw("SELECT @@version_comment").Scan(&comment).Error; err != nil {
		return fmt.Errorf("reading @@version_comment: %w", err)
	}
	var autocommit sql.NullBool
	if err := db.Raw("SELECT @@autocommit").Scan(&autocommit).Error; err != nil {
		return fmt.Errorf("reading @@autocommit: %w", err)
	}
	if autocommit.Valid && !autocommit.Bool {
		return errors.New("the connection has autocommit=0, under which a read keeps its snapshot, and a session that was ended elsewhere still validates: take it out of the DSN or the server's settings, and begin transactions where you want them")
	}
	return mysqlServers.judge(version, comment, s.Unknown)
}

// Migrate holds a named lock of the server while it runs, one for each database. A named lock
// belongs to a connection, so everything runs on one. There is no transaction: MySQL commits
// before and after each DDL statement.
func (mysql) Migrate(db *gorm.DB, migrate func(*gorm.DB) error) error {
	return db.Connection(func(conn *gorm.DB) error {
		conn = Clean(conn)
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
			// The context may have ended, and the lock has to go all the same: the connection
			// returns to the pool.
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

func (mysql) MigratesInTransaction() bool { return false }
func (mysql) DropForeignKey() string      { return "DROP FOREIGN KEY" }
