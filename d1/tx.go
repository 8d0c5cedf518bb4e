package d1

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
)

// tx is the list of statements that Commit sends as one batch.
type tx struct {
	conn       *conn
	ctx        context.Context // BeginTx's, since Commit has none
	statements []statement
	results    []*pending // of the statements
	savepoints []mark
}

// mark is a savepoint: how long the list was.
type mark struct {
	name   string
	length int
}

var _ driver.Tx = (*tx)(nil)

func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins a list. It refuses what a batch does not keep: its reads are isolated
// from nothing.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	switch {
	case c.tx != nil:
		return nil, fmt.Errorf("%w: one is open on this connection", ErrTransaction)
	case opts.Isolation != driver.IsolationLevel(sql.LevelDefault):
		return nil, fmt.Errorf("%w: they have no isolation level", ErrTransaction)
	case opts.ReadOnly:
		return nil, fmt.Errorf("%w: none gives its reads one view of the database", ErrTransaction)
	}
	c.tx = &tx{conn: c, ctx: ctx}
	return c.tx, nil
}

// exec adds a statement, or acts on the list by a savepoint.
func (t *tx) exec(s statement) (driver.Result, error) {
	switch s.kind {
	case savepoint:
		if s.savepoint == "" {
			return nil, fmt.Errorf("%w: a savepoint without a name", ErrTransaction)
		}
		t.savepoints = append(t.savepoints, mark{s.savepoint, len(t.statements)})
		return result{}, nil
	case release, rollbackTo:
		i := len(t.savepoints) - 1
		for i >= 0 && t.savepoints[i].name != s.savepoint {
			i--
		}
		if i < 0 {
			return nil, fmt.Errorf("%w: no savepoint %q", ErrTransaction, s.savepoint)
		}
		if s.kind == release {
			t.savepoints = t.savepoints[:i]
			return result{}, nil
		}
		// As in SQLite the savepoint itself stays.
		t.savepoints = t.savepoints[:i+1]
		t.forget(t.savepoints[i].length)
		return result{}, nil
	}
	p := &pending{err: ErrPending}
	t.statements, t.results = append(t.statements, s), append(t.results, p)
	return p, nil
}

// mayQuery refuses a query that could not be answered, or would write by itself.
func (t *tx) mayQuery(s statement) error {
	switch {
	case s.kind != read:
		return ErrReturning
	case len(t.statements) > 0:
		return ErrReadAfterWrite
	}
	return nil
}

// forget drops the statements from an index on.
func (t *tx) forget(from int) {
	for _, p := range t.results[from:] {
		p.err = sql.ErrTxDone
	}
	t.statements, t.results = t.statements[:from], t.results[:from]
}

// Commit sends the list.
func (t *tx) Commit() error {
	t.conn.tx = nil
	outcomes, err := t.conn.client.run(t.ctx, t.statements)
	for i, p := range t.results {
		if p.err = err; err == nil {
			p.outcome = outcomes[i]
		}
	}
	return err
}

// Rollback forgets the list. Nothing was sent.
func (t *tx) Rollback() error {
	t.conn.tx = nil
	t.forget(0)
	return nil
}

// pending is the result of a statement on the list. After Commit it knows; after Commit
// failed it returns that error, and sql.ErrTxDone after a rollback. The number that goes
// with an error is -1, as GORM looks at it alone.
type pending struct {
	outcome
	err error
}

var _ driver.Result = (*pending)(nil)

func (p *pending) LastInsertId() (int64, error) {
	if p.err != nil {
		return -1, p.err
	}
	return p.insertID, nil
}

func (p *pending) RowsAffected() (int64, error) {
	if p.err != nil {
		return -1, p.err
	}
	return p.changed, nil
}
