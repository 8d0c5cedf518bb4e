package lucia_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gormkey/gormkey"
)

// schema is the tables that a page of Lucia's documentation makes, with the attributes
// of the suite.
type schema struct {
	engine, page  string
	tables        gormkey.TableNames
	userID        string // type of a user's id and every user_id
	keyID, hash   string
	sessionID     string
	expires       string
	noForeignKeys bool
	cascade       bool
	settings      string
}

var (
	serverTables = gormkey.TableNames{User: "auth_user", Key: "user_key", Session: "user_session"}
	sqliteTables = gormkey.TableNames{User: "user", Key: "user_key", Session: "user_session"}
	oldTables    = gormkey.TableNames{User: "auth_user", Key: "auth_key", Session: "auth_session"}
	prismaTables = gormkey.TableNames{User: "User", Key: "Key", Session: "Session"}
)

var schemas = []schema{
	{engine: "sqlite", page: "better-sqlite3", tables: sqliteTables, userID: "TEXT", keyID: "TEXT", hash: "TEXT", sessionID: "TEXT", expires: "INTEGER"},
	{engine: "sqlite", page: "libsql", tables: sqliteTables, userID: "VARCHAR(15)", keyID: "VARCHAR(255)", hash: "VARCHAR(255)", sessionID: "VARCHAR(127)", expires: "BIGINT"},
	{engine: "sqlite", page: "drizzle", tables: sqliteTables, userID: "text", keyID: "text", hash: "text", sessionID: "text", expires: "blob"},
	{engine: "sqlite", page: "prisma", tables: prismaTables, userID: "TEXT", keyID: "TEXT", hash: "TEXT", sessionID: "TEXT", expires: "BIGINT", cascade: true},
	{engine: "sqlite", page: "from v1", tables: oldTables, userID: "VARCHAR(15)", keyID: "VARCHAR(255)", hash: "VARCHAR(255)", sessionID: "VARCHAR(127)", expires: "BIGINT"},

	{engine: "postgres", page: "pg", tables: serverTables, userID: "TEXT", keyID: "TEXT", hash: "TEXT", sessionID: "TEXT", expires: "BIGINT"},
	{engine: "postgres", page: "drizzle", tables: serverTables, userID: "varchar(15)", keyID: "varchar(255)", hash: "varchar(255)", sessionID: "varchar(128)", expires: "bigint"},
	{engine: "postgres", page: "prisma", tables: prismaTables, userID: "TEXT", keyID: "TEXT", hash: "TEXT", sessionID: "TEXT", expires: "BIGINT", cascade: true},

	{engine: "mysql", page: "mysql2", tables: serverTables, userID: "VARCHAR(15)", keyID: "VARCHAR(255)", hash: "VARCHAR(255)", sessionID: "VARCHAR(127)", expires: "BIGINT UNSIGNED"},
	{engine: "mysql", page: "planetscale", tables: serverTables, userID: "VARCHAR(15)", keyID: "VARCHAR(255)", hash: "VARCHAR(255)", sessionID: "VARCHAR(127)", expires: "BIGINT UNSIGNED", noForeignKeys: true},
	{engine: "mysql", page: "drizzle", tables: serverTables, userID: "varchar(15)", keyID: "varchar(255)", hash: "varchar(255)", sessionID: "varchar(128)", expires: "bigint"},
	{engine: "mysql", page: "prisma", tables: prismaTables, userID: "VARCHAR(191)", keyID: "VARCHAR(191)", hash: "VARCHAR(191)", sessionID: "VARCHAR(191)", expires: "BIGINT", cascade: true,
		settings: " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"},
}

// engines has the first schema of each engine: what its own adapter's page has.
var engines = []schema{schemas[0], schemas[5], schemas[8]}

func (s schema) name() string { return s.engine + "/" + s.page }

// flag returns the tables as the bridge takes them.
func (s schema) flag() string {
	return fmt.Sprintf("user=%s,key=%s,session=%s", s.tables.User, s.tables.Key, s.tables.Session)
}

// newDatabase makes a database with the schema's tables.
func (s schema) newDatabase(t testing.TB) database {
	t.Helper()
	db := newDatabase(t, s.engine)
	for _, statement := range s.ddl() {
		run(t, db.DB, statement)
	}
	return db
}

func (s schema) ddl() []string {
	owner := ", user_id " + s.userID + " NOT NULL"
	reference := ""
	if !s.noForeignKeys {
		reference = ", FOREIGN KEY (user_id) REFERENCES " + s.quote(s.tables.User) + " (id)"
	}
	if s.cascade {
		reference += " ON DELETE CASCADE ON UPDATE CASCADE"
	}
	table := func(name, idType, columns string) string {
		return "CREATE TABLE " + s.quote(name) + " (id " + idType + " NOT NULL PRIMARY KEY" + columns + ")" + s.settings
	}
	return []string{
		table(s.tables.User, s.userID, ", username VARCHAR(255)"),
		table(s.tables.Key, s.keyID, owner+", hashed_password "+s.hash+reference),
		table(s.tables.Session, s.sessionID,
			owner+", active_expires "+s.expires+" NOT NULL, idle_expires "+s.expires+" NOT NULL, country VARCHAR(255)"+reference),
	}
}

func (s schema) quote(name string) string {
	if s.engine == "mysql" {
		return "`" + name + "`"
	}
	return `"` + strings.ReplaceAll(name, ".", `"."`) + `"`
}
