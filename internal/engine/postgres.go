package engine

import (
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type postgres struct {
	rowLocks
	transactions
}

// ShareLock locks the second table's rows against any change: FOR KEY SHARE lets pass what
// changes no key of the row, a new password for example.
func (postgres) ShareLock(tables ...string) clause.Interface {
	bare := func(table string) clause.Column { return clause.Column{Name: table[strings.LastIndex(table, ".")+1:]} }
	lock := shareLock{sql: "FOR KEY SHARE OF ?", vars: []any{bare(tables[0])}}
	if len(tables) > 1 {
		lock.sql, lock.vars = lock.sql+" FOR SHARE OF ?", append(lock.vars, bare(tables[1]))
	}
	return lock
}

func (postgres) ShareRows() string { return " FOR KEY SHARE" }

func (postgres) SameBytes(column clause.Column, id string) clause.Expression {
	return sameBytes(column, id)
}

func (postgres) Among(column clause.Column, ids []string) clause.Expression {
	return among(column, ids)
}

// HidesRows: row level security may have a policy for one command and not for another.
func (postgres) HidesRows() bool { return true }

func (postgres) Snapshot(tx *gorm.DB) (level string, err error) {
	if err := tx.Raw("SHOW transaction_isolation").Scan(&level).Error; err != nil {
		return "", err
	}
	if level == "read committed" || level == "read uncommitted" {
		return "", nil
	}
	return level, nil
}

func (postgres) Home(db *gorm.DB) (home string, err error) {
	err = db.Raw("SELECT COALESCE(current_schema(), '')").Scan(&home).Error
	return home, err
}

func checkPostgres(db *gorm.DB, s Settings) error {
	var version string
	if err := db.Raw("SELECT version()").Scan(&version).Error; err != nil {
		return fmt.Errorf("reading the server's version: %w", err)
	}
	return JudgeServer("postgres", version, "", s.Unknown)
}
