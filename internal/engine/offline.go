package engine

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"strings"
)

// Offline returns a connection to nowhere: every statement succeeds and does nothing, and
// every query finds nothing.
func Offline() *sql.DB { return sql.OpenDB(offline{}) }

// offline is the connector, the driver and the connection in one. It implements as much of
// database/sql/driver as GORM's dialects and migrators use.
type offline struct{}

var (
	_ driver.Connector      = offline{}
	_ driver.Driver         = offline{}
	_ driver.ExecerContext  = offline{}
	_ driver.QueryerContext = offline{}
)

func (offline) Connect(context.Context) (driver.Conn, error) { return offline{}, nil }
func (offline) Driver() driver.Driver                        { return offline{} }
func (offline) Open(string) (driver.Conn, error)             { return offline{}, nil }
func (offline) Close() error                                 { return nil }
func (offline) Begin() (driver.Tx, error)                    { return offline{}, nil }
func (offline) Commit() error                                { return nil }
func (offline) Rollback() error                              { return nil }
func (offline) Prepare(query string) (driver.Stmt, error)    { return offlineStmt{query: query}, nil }

// ExecContext reports that no row was changed.
func (offline) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(0), nil
}

// QueryContext finds nothing, so GORM's migrator takes the database for empty and makes every
// table.
func (offline) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	rows := &offlineRows{}
	if strings.Contains(query, "sqlite_version()") { // the dialect of SQLite does not open without it
		rows.values = []driver.Value{"3.45.0"}
	}
	return rows, nil
}

// offlineStmt is a prepared statement, for handles with PrepareStmt. NumInput is -1, by which
// database/sql does not count the values.
type offlineStmt struct {
	offline
	query string
}

func (offlineStmt) NumInput() int                              { return -1 }
func (offlineStmt) Exec([]driver.Value) (driver.Result, error) { return driver.RowsAffected(0), nil }
func (s offlineStmt) Query([]driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), s.query, nil)
}

// offlineRows is one row of one column, or none.
type offlineRows struct{ values []driver.Value }

func (*offlineRows) Columns() []string { return []string{"value"} }
func (*offlineRows) Close() error      { return nil }

func (r *offlineRows) Next(dest []driver.Value) error {
	if len(r.values) == 0 {
		return io.EOF
	}
	dest[0], r.values = r.values[0], r.values[1:]
	return nil
}
