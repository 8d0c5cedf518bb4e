package libsql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// unwindWait is for how long a ROLLBACK and a check of an idle connection may take.
const unwindWait = 5 * time.Second

// connector opens connections by the client's own.
type connector struct {
	inner     driver.Connector
	token     string
	webSocket bool
	idleCheck time.Duration
}

var _ driver.Connector = (*connector)(nil)

// Format writes no secrets, whatever the verb, of a connection either.
func (*connector) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "libsql.connector{…}") }

// LogValue shows no secrets.
func (*connector) LogValue() slog.Value { return slog.StringValue("libsql.connector{…}") }

// Driver returns the client's.
func (c *connector) Driver() driver.Driver { return c.inner.Driver() }

// Connect obeys ctx, which the client does not: one that is given up is closed when it
// comes about, which the client's own limit of two minutes bounds.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !c.webSocket { // nothing is dialed yet
		return c.connect(ctx)
	}
	type result struct {
		conn driver.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := c.connect(ctx)
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				_ = r.conn.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

func (c *connector) connect(ctx context.Context) (_ driver.Conn, err error) {
	defer func() { // the client's, at an answer that it does not expect
		if r := recover(); r != nil {
			err = errors.New("libsql: connect: the server does not speak the client's protocol")
		}
	}()
	inner, err := c.inner.Connect(ctx)
	if err != nil {
		return nil, dialError(err, c.token)
	}
	session, ok := inner.(session)
	if !ok {
		return nil, fmt.Errorf("libsql: connect: %T is no connection of the client's", inner)
	}
	return &conn{session: session, connector: c, used: time.Now()}, nil
}

// session is a connection of the client's.
type session interface {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
}

// conn is one WebSocket, or one stream over http.
type conn struct {
	session
	*connector
	used    time.Time // when it was last
	inTx    bool      // by BeginTx or by a BEGIN of the application's
	failed  error     // why it is not used again
	refused *Error    // with which the server ended the transaction
}

var (
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
)

// ExecContext runs a statement.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	err = c.send(ctx, query, func() (err error) {
		result, err = c.session.ExecContext(ctx, query, args)
		return err
	})
	return result, err
}

// QueryContext runs a statement that returns rows, all of which it holds.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Rows, err error) {
	err = c.send(ctx, query, func() error {
		inner, err := c.session.QueryContext(ctx, query, args)
		if err == nil {
			result = newRows(inner)
		}
		return err
	})
	return result, err
}

// Ping asks the server.
func (c *conn) Ping(ctx context.Context) error {
	_, err := c.ExecContext(ctx, "SELECT 1", nil)
	return err
}

// send runs one request, and says in database/sql's words what became of it.
func (c *conn) send(ctx context.Context, query string, request func() error) error {
	switch {
	case c.refused != nil:
		return c.refused
	case c.failed != nil:
		return driver.ErrBadConn
	}
	err := protect(request)
	c.used = time.Now()
	if err == nil {
		c.inTx = (c.inTx || hasVerb(query, "BEGIN")) && !endsTx(query)
		return nil
	}
	text := hide(err.Error(), c.token)
	if ended := ctx.Err(); ended != nil { // which has cut the connection, or may have
		c.failed = ended
		if endsTx(query) {
			return &LostError{ended.Error(), ended}
		}
		return ended
	}
	switch what := classify(err); {
	case what == refused:
		e := refusal(text, query)
		if isStatus(err) { // with which the stream ends, too
			c.failed = e
		}
		if c.inTx && (c.failed != nil || e.ExtendedCode == codeTimeout) {
			return c.undone(e)
		}
		return e
	case c.inTx && (what != lost || !endsTx(query)): // without a COMMIT nothing stays
		text = withoutStatement(text, query)
		return c.undone(&Error{codeTimeout, "the connection was lost in a transaction, which is rolled back: " + text})
	case what == noServer: // a try more is the caller's
		c.failed = err
		return dialError(err, c.token)
	case what == unsent || hasVerb(query, "SELECT") || hasVerb(query, "BEGIN"):
		c.failed = err
		return driver.ErrBadConn
	default:
		c.failed = err
		return &LostError{Message: withoutStatement(text, query)}
	}
}

// undone remembers that the transaction is: what follows would commit by itself.
func (c *conn) undone(e *Error) error {
	c.failed, c.refused = e, e
	return e
}

// protect turns a panic of the client, at an answer that it does not expect, into an error.
func protect(request func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the server does not speak the client's protocol")
		}
	}()
	return request()
}

func withoutStatement(text, query string) string {
	text = strings.TrimPrefix(text, "driver: bad connection: ")
	return strings.TrimPrefix(strings.ReplaceAll(text, query, "…"), "failed to execute SQL:\n")
}

// endsTx reports whether a statement ends the transaction, as ROLLBACK TO does not.
func endsTx(query string) bool {
	return hasVerb(query, "COMMIT") || hasVerb(query, "END") ||
		hasVerb(query, "ROLLBACK") && !strings.Contains(strings.ToUpper(query), " TO ")
}

func hasVerb(query, verb string) bool {
	query = strings.TrimLeft(query, " \t\r\n")
	return len(query) >= len(verb) && strings.EqualFold(query[:len(verb)], verb)
}

// Begin is for callers of old.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx takes the write lock, and waits for it as long as the server lets it, five
// seconds. SQLite has one level of isolation, serializable.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	const levelSerializable = 6 // of database/sql
	if opts.ReadOnly || opts.Isolation != 0 && opts.Isolation != levelSerializable {
		return nil, errors.New("libsql: transactions are serializable and may write; ask for nothing else")
	}
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return nil, err
	}
	return tx{c, ctx}, nil
}

// tx is a transaction, with the context that it began with.
type tx struct {
	c   *conn
	ctx context.Context
}

// Commit commits, within the time that the transaction's context leaves. After a
// [LostError] nobody knows whether it did.
func (t tx) Commit() error {
	_, err := t.c.ExecContext(t.ctx, "COMMIT", nil)
	if err != nil { // a refused COMMIT leaves the transaction open
		_ = t.Rollback()
	}
	return err
}

// Rollback rolls back. Where that fails the connection is closed, which rolls back too.
func (t tx) Rollback() error {
	c := t.c
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), unwindWait)
	defer cancel()
	switch {
	case c.refused != nil: // the server has
		return nil
	case c.failed != nil:
		return driver.ErrBadConn
	}
	if _, err := c.ExecContext(ctx, "ROLLBACK", nil); err != nil {
		c.failed = err
		return err
	}
	return nil
}

// ResetSession prepares the connection for its next user: database/sql closes one for
// which this fails and takes another. The client starts a new stream over http.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.failed != nil || c.inTx { // by a BEGIN that nobody ended
		return driver.ErrBadConn
	}
	if resetter, ok := c.session.(driver.SessionResetter); ok {
		return resetter.ResetSession(ctx)
	}
	if c.idleCheck > 0 && time.Since(c.used) > c.idleCheck {
		ctx, cancel := context.WithTimeout(ctx, unwindWait)
		defer cancel()
		if c.Ping(ctx) != nil {
			return driver.ErrBadConn
		}
	}
	return nil
}

// Close ends it. How the server takes that changes nothing for anybody.
func (c *conn) Close() error {
	_ = c.session.Close()
	return nil
}

// IsValid reports whether the connection may be used again.
func (c *conn) IsValid() bool { return c.failed == nil }

// Prepare is for callers of old.
func (c *conn) Prepare(query string) (driver.Stmt, error) { return stmt{c, query}, nil }

// PrepareContext sends nothing: the client sends the statement's text each time.
func (c *conn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return stmt{c, query}, nil
}
