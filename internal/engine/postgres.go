package engine

import (
	"database/sql"
	"fmt"
	"regexp"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// postgres is PostgreSQL, through pgx or lib/pq, and through PgBouncer as well.
type postgres struct {
	rowLocks
	transactions
	rowSecurity bool
}

// ShareLock locks the user's row with FOR KEY SHARE, which holds it against a delete and lets the
// application update the user's other columns meanwhile. The key's row needs FOR SHARE: FOR KEY
// SHARE would let a new password pass.
func (postgres) ShareLock(tables ...string) clause.Interface {
	bare := func(table string) clause.Column { return clause.Column{Name: BareTable(table)} }
	lock := shareLock{sql: "FOR KEY SHARE OF ?", vars: []any{bare(tables[0])}}
	if len(tables) > 1 {
		lock.sql, lock.vars = lock.sql+" FOR SHARE OF ?", append(lock.vars, bare(tables[1]))
	}
	return lock
}

// ShareRows is the lock that PostgreSQL itself takes to check a foreign key.
func (postgres) ShareRows() string { return " FOR KEY SHARE" }

func (postgres) SameBytes(column clause.Column, id string) clause.Expression {
	return sameBytes(column, id)
}

func (postgres) Among(column clause.Column, ids []string) clause.Expression {
	return among(column, ids)
}

// SameColumns casts columns that are not alike. PostgreSQL has no operator for uuid = varchar.
func (p postgres) SameColumns(a, b clause.Column, alike bool) clause.Expression {
	if alike {
		return sameColumns(a, b)
	}
	return clause.Expr{SQL: "? = ?", Vars: []any{p.Text(a), p.Text(b)}}
}

func (postgres) Text(column clause.Column) clause.Expression {
	return clause.Expr{SQL: "?::text", Vars: []any{column}}
}

// HidesRows: row level security may have a policy for SELECT that lets a row through, and none
// for UPDATE or DELETE that does. The statement then changes no row, without an error.
func (postgres) HidesRows() bool     { return true }
func (p postgres) RowSecurity() bool { return p.rowSecurity }

// Snapshot asks for the level of the transaction. PostgreSQL runs READ UNCOMMITTED as READ
// COMMITTED. At the two higher levels each statement sees the state at the transaction's first
// one.
func (postgres) Snapshot(tx *gorm.DB) (level string, err error) {
	if err := tx.Raw("SHOW transaction_isolation").Scan(&level).Error; err != nil {
		return "", err
	}
	if level == "read committed" || level == "read uncommitted" {
		return "", nil
	}
	return level, nil
}

func (postgres) CurrentSchema(db *gorm.DB) (name string, err error) {
	err = db.Raw("SELECT COALESCE(current_schema(), '')").Scan(&name).Error
	return name, err
}

// postgresServers are the servers that speak PostgreSQL's protocol. Many others begin their
// version with "PostgreSQL" as well, so those whose row locks differ are looked for first.
var postgresServers = servers{
	known: regexp.MustCompile(`^(PostgreSQL [0-9]|$)`),
	broken: []brokenServer{
		{regexp.MustCompile(`(?i)-YB-|yugabyte|cockroach|redshift|greenplum|materialize|questdb|risingwave|cratedb|dsql`), "its row locks are not PostgreSQL's"},
	},
}

// Ask reads the version, and whether row level security is on for one of the tables. It is asked
// once here, since asking in every operation would cost a statement each time.
func (p postgres) Ask(db *gorm.DB, s Settings) (Engine, error) {
	var version string
	if err := db.Raw("SELECT version()").Scan(&version).Error; err != nil {
		return nil, fmt.Errorf("reading the server's version: %w", err)
	}
	if err := postgresServers.judge(version, "", s.Unknown); err != nil {
		return nil, err
	}
	for _, table := range s.Tables {
		var active bool // for this role
		err := db.Raw("SELECT COALESCE(row_security_active(to_regclass(?)::oid), false)", db.Statement.Quote(table)).Scan(&active).Error
		if err != nil && !s.Unknown {
			return nil, fmt.Errorf("reading whether row level security is on for %s: %w", table, err)
		}
		p.rowSecurity = p.rowSecurity || active
	}
	return p, nil
}

// Migrate is one transaction that holds an advisory lock. The lock belongs to the transaction and
// not to the session, so it also holds through a pooler that gives each transaction another
// connection.
func (postgres) Migrate(db *gorm.DB, migrate func(*gorm.DB) error) error {
	return db.Transaction(func(tx *gorm.DB) error {
		tx = Clean(tx)
		if err := tx.Exec("SELECT pg_advisory_xact_lock(?)", migrateLockID).Error; err != nil {
			return err
		}
		return migrate(tx)
	}, &sql.TxOptions{Isolation: sql.LevelReadCommitted}) // a snapshot from before the lock would not see what the one before us made
}

func (postgres) MigratesInTransaction() bool { return true }
func (postgres) DropForeignKey() string      { return "DROP CONSTRAINT" }
