package d1

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// sqliteVersion is answered for D1, which does not tell: the oldest that has RETURNING,
// which is the newest of what GORM asks for.
const sqliteVersion = "3.35.0"

// OpenDB returns a pool of connections for database/sql. They are no more than places
// for a transaction's statements, so SetMaxOpenConns bounds the requests at a time, and
// nothing else. What is wrong with c is an error that is [ErrConfig] of the first use.
func OpenDB(c Config) *sql.DB {
	return sql.OpenDB(newConnector(c))
}

// connector is one database with its settings.
type connector struct {
	client *client
	err    error
}

var (
	_ driver.Connector = (*connector)(nil)
	_ io.Closer        = (*connector)(nil)
)

func newConnector(c Config) *connector {
	client, err := c.client()
	return &connector{client, err}
}

// Format leaves the client out, which has the token.
func (*connector) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "d1.connector{…}") }

// LogValue leaves the client out.
func (*connector) LogValue() slog.Value { return slog.StringValue("d1.connector{…}") }

// Connect sends nothing.
func (k *connector) Connect(context.Context) (driver.Conn, error) {
	if k.err != nil {
		return nil, k.err
	}
	return &conn{client: k.client}, nil
}

// Driver returns the package's driver.
func (*connector) Driver() driver.Driver { return dsnDriver{} }

// Close lets go of idle connections.
func (k *connector) Close() error {
	if k.err == nil && k.client.owned {
		k.client.http.CloseIdleConnections()
	}
	return nil
}

// dsnDriver opens by DSN, with the token of the environment.
type dsnDriver struct{}

func (dsnDriver) Open(dsn string) (driver.Conn, error) {
	c, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return &conn{client: client}, nil
}

// conn is used by one goroutine at a time, as database/sql sees to.
type conn struct {
	client *client
	tx     *tx // nil outside of a transaction
}

var (
	_ driver.Conn               = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
)

// Format leaves the client out, which has the token.
func (*conn) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "d1.conn{…}") }

// LogValue leaves the client out.
func (*conn) LogValue() slog.Value { return slog.StringValue("d1.conn{…}") }

func (c *conn) Close() error { return nil }

// Ping asks for a row.
func (c *conn) Ping(ctx context.Context) error {
	_, err := c.client.run(ctx, []statement{newStatement("SELECT 1", text{kind: read}, nil)})
	return err
}

// ExecContext runs a statement, or adds it to the transaction.
func (c *conn) ExecContext(ctx context.Context, sql string, args []driver.NamedValue) (driver.Result, error) {
	s, err := prepare(sql, args)
	if err != nil {
		return nil, err
	}
	if c.tx != nil {
		return c.tx.exec(s)
	}
	if s.kind == savepoint || s.kind == release || s.kind == rollbackTo {
		return nil, fmt.Errorf("%w: a savepoint outside of one", ErrTransaction)
	}
	outcomes, err := c.client.run(ctx, []statement{s})
	if err != nil {
		return nil, err
	}
	return result(outcomes[0]), nil
}

// QueryContext runs a statement for its rows.
func (c *conn) QueryContext(ctx context.Context, sql string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := prepare(sql, args)
	if err != nil {
		return nil, err
	}
	if asksVersion(sql) {
		return &rows{columns: []string{"sqlite_version()"}, values: [][]driver.Value{{sqliteVersion}}}, nil
	}
	if c.tx != nil {
		if err := c.tx.mayQuery(s); err != nil {
			return nil, err
		}
	}
	outcomes, err := c.client.run(ctx, []statement{s})
	if err != nil {
		return nil, err
	}
	return newRows(outcomes[0])
}

// prepare checks a statement before anything is sent.
func prepare(sql string, args []driver.NamedValue) (statement, error) {
	params, err := parameters(args)
	if err != nil {
		return statement{}, err
	}
	t := classify(sql)
	switch {
	case t.several:
		return statement{}, ErrSeveralStatements
	case t.kind == begin:
		return statement{}, fmt.Errorf("%w: begin and end them by database/sql", ErrTransaction)
	case t.kind == unenforce:
		return statement{}, ErrForeignKeys
	}
	return newStatement(sql, t, params), nil
}

func asksVersion(sql string) bool {
	return len(sql) < 40 && strings.ToLower(strings.Join(strings.Fields(strings.TrimRight(sql, "; ")), " ")) == "select sqlite_version()"
}

// PrepareContext sends nothing.
func (c *conn) PrepareContext(_ context.Context, sql string) (driver.Stmt, error) {
	return &stmt{c, sql}, nil
}

func (c *conn) Prepare(sql string) (driver.Stmt, error) { return &stmt{c, sql}, nil }

// stmt is a text on a connection.
type stmt struct {
	conn *conn
	sql  string
}

var (
	_ driver.StmtExecContext  = (*stmt)(nil)
	_ driver.StmtQueryContext = (*stmt)(nil)
)

func (s *stmt) Close() error  { return nil }
func (s *stmt) NumInput() int { return -1 } // D1 counts them

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.sql, args)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.sql, args)
}

// Exec is for callers of old; database/sql calls ExecContext.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

// Query is for callers of old; database/sql calls QueryContext.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

func named(args []driver.Value) []driver.NamedValue {
	values := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return values
}

// result is what a statement changed.
type result outcome

func (r result) LastInsertId() (int64, error) { return r.insertID, nil }
func (r result) RowsAffected() (int64, error) { return r.changed, nil }

// rows are there in whole.
type rows struct {
	columns []string
	values  [][]driver.Value
}

// newRows converts all values at once, so that one that cannot be is the query's error.
func newRows(o outcome) (*rows, error) {
	values, err := o.values()
	if err != nil {
		return nil, err
	}
	return &rows{o.columns, values}, nil
}

func (o outcome) values() ([][]driver.Value, error) {
	all := make([][]driver.Value, len(o.rows))
	for i, row := range o.rows {
		if len(row) != len(o.columns) {
			return nil, fmt.Errorf("d1: a row of %d values in %d columns", len(row), len(o.columns))
		}
		all[i] = make([]driver.Value, len(row))
		for j, value := range row {
			v, err := column(value)
			if err != nil {
				return nil, fmt.Errorf("%w (column %q)", err, o.columns[j])
			}
			all[i][j] = v
		}
	}
	return all, nil
}

func (r *rows) Columns() []string { return r.columns }
func (r *rows) Close() error      { return nil }

func (r *rows) Next(dest []driver.Value) error {
	if len(r.values) == 0 {
		return io.EOF
	}
	copy(dest, r.values[0])
	r.values = r.values[1:]
	return nil
}
