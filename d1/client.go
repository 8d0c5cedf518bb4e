package d1

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxTries    = 4
	firstPause  = 100 * time.Millisecond // doubled with each try
	longestWait = 10 * time.Second       // that Retry-After may ask for
)

// client sends statements to one database. It is safe for concurrent use.
type client struct {
	url, token string
	timeout    time.Duration
	http       *http.Client
	owned      bool // the HTTP client is the package's own
}

// statement is one with its parameters converted.
type statement struct {
	text
	sql    string
	params []any
}

func newStatement(sql string, t text, params []any) statement { return statement{t, sql, params} }

// outcome is what a statement did.
type outcome struct {
	columns           []string
	rows              [][]any
	changed, insertID int64
}

// query is a statement in the API's JSON.
type query struct {
	SQL    string `json:"sql"`
	Params []any  `json:"params,omitempty"`
}

// answer is the API's JSON.
type answer struct {
	Success bool `json:"success"`
	Errors  []struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"errors"`
	Result []struct {
		Success *bool `json:"success"`
		Results struct {
			Columns []string `json:"columns"`
			Rows    [][]any  `json:"rows"`
		} `json:"results"`
		Meta struct {
			LastRowID int64 `json:"last_row_id"`
		} `json:"meta"`
	} `json:"result"`
}

// countChanges asks for the number without rows that cascades and triggers changed.
var countChanges = query{SQL: "SELECT changes()"}

// run sends statements, as one batch if there are several, and returns what each did.
func (c *client) run(ctx context.Context, statements []statement) ([]outcome, error) {
	if len(statements) == 0 {
		return nil, nil
	}
	var queries []query
	writes := false
	for _, s := range statements {
		queries = append(queries, query{s.sql, s.params})
		if s.kind == change {
			queries = append(queries, countChanges)
		}
		writes = writes || s.kind != read
	}
	var request any = queries[0]
	if len(queries) > 1 {
		request = map[string]any{"batch": queries}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("d1: %w", err)
	}
	a, err := c.send(ctx, body, len(queries), writes)
	if err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(statements))
	next := 0
	for i, s := range statements {
		r := a.Result[next]
		next++
		o := outcome{columns: r.Results.Columns, rows: r.Results.Rows}
		if s.kind == change {
			counted := a.Result[next].Results.Rows
			next++
			if len(counted) != 1 || len(counted[0]) != 1 {
				return nil, &outcomeError{errors.New("d1: the number of changes is missing in the answer")}
			}
			n, err := column(counted[0][0])
			changed, ok := n.(int64)
			if err != nil || !ok {
				return nil, &outcomeError{errors.New("d1: the number of changes is no number in the answer")}
			}
			o.changed = changed
			if s.inserts && changed > 0 { // otherwise it is that of an earlier statement
				o.insertID = r.Meta.LastRowID
			}
		}
		outcomes[i] = o
	}
	return outcomes, nil
}

// send sends a request, and again where nothing can have been written.
func (c *client) send(ctx context.Context, body []byte, results int, writes bool) (*answer, error) {
	for try := 1; ; try++ {
		a, f := c.try(ctx, body, results)
		if f == nil {
			return a, nil
		}
		wait := max(f.retryAfter, firstPause<<(try-1))
		again := try < maxTries && ctx.Err() == nil && wait <= longestWait && (f.again || f.lost && !writes)
		if again && pause(ctx, wait) == nil {
			continue
		}
		if f.lost && writes {
			return nil, &outcomeError{f.err}
		}
		return nil, f.err
	}
}

// failure is a try without an answer.
type failure struct {
	err        error
	again      bool // nothing was done, and another try may do it
	lost       bool // it may have been done
	retryAfter time.Duration
}

func (c *client) try(parent context.Context, body []byte, results int) (*answer, *failure) {
	if err := parent.Err(); err != nil {
		return nil, &failure{err: err}
	}
	ctx, cancel := context.WithTimeout(parent, c.timeout)
	defer cancel()
	// Without a connection nothing can have been sent. A transport of the program's may
	// not say that it asks for one.
	var asked, connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, &failure{err: c.hide(err)}
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		sent := connected.Load() || !asked.Load()
		return nil, &failure{err: c.hide(err), again: !sent && parent.Err() == nil, lost: sent}
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, &failure{err: c.hide(err), lost: response.StatusCode/100 == 2 || response.StatusCode >= 500}
	}
	return c.read(response, content, results)
}

// read reads an answer that came in whole.
func (c *client) read(response *http.Response, content []byte, results int) (*answer, *failure) {
	status := response.StatusCode
	var a answer
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	malformed := decoder.Decode(&a)
	e := &Error{Status: status, Message: http.StatusText(status)}
	if malformed == nil && len(a.Errors) > 0 {
		e.APICode, e.Message = a.Errors[0].Code, c.redact(a.Errors[0].Message)
		e.ExtendedCode = extendedCode(e.Message)
	}
	switch {
	case e.ExtendedCode != 0: // the engine's own word, with whatever status
		return nil, &failure{err: e}
	case status == http.StatusTooManyRequests:
		return nil, &failure{err: e, again: true, retryAfter: retryAfter(response)}
	// What is lost below is no Error, which would say that nothing was done.
	case status >= 500 || status == http.StatusRequestTimeout:
		return nil, &failure{err: errors.New(e.Error()), lost: true, retryAfter: retryAfter(response)}
	case status >= 400 && transient(e.Message):
		return nil, &failure{err: errors.New(e.Error()), lost: true}
	case status/100 != 2: // also a redirect: where it points, nothing was sent
		return nil, &failure{err: e}
	case malformed != nil:
		return nil, &failure{err: fmt.Errorf("d1: the answer is no JSON of the API: %w", malformed), lost: true}
	case !a.Success && len(a.Errors) > 0:
		if transient(e.Message) {
			return nil, &failure{err: errors.New(e.Error()), lost: true}
		}
		return nil, &failure{err: e}
	case !a.Success || len(a.Result) != results:
		return nil, &failure{err: fmt.Errorf("d1: the answer has %d results, not %d", len(a.Result), results), lost: true}
	}
	for _, r := range a.Result {
		if r.Success != nil && !*r.Success {
			return nil, &failure{err: errors.New("d1: the answer says success, and one of its results does not"), lost: true}
		}
	}
	return &a, nil
}

// transient tells D1's errors of its own machinery from those of a statement. They come
// with various statuses, and some when the statement was running.
func transient(message string) bool {
	for _, part := range []string{
		"Network connection lost", "storage caused object to be reset", "reset because its code was updated", "object to be reset",
		"internal error", "Internal error", "exceeded timeout", "timed out", "Cannot resolve D1 DB due to transient issue",
	} {
		if strings.Contains(message, part) {
			return true
		}
	}
	return false
}

func retryAfter(response *http.Response) time.Duration {
	value := response.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 1<<20)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// pause waits, or returns an error if ctx would end before.
func pause(ctx context.Context, wait time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hide keeps the token out of the error of an HTTP client, which may be the program's. If
// the text had it, so have the links of its chain, which go too.
func (c *client) hide(err error) error {
	if strings.Contains(err.Error(), c.token) {
		return errors.New("d1: " + c.redact(err.Error()))
	}
	return fmt.Errorf("d1: %w", err)
}

func (c *client) redact(text string) string { return strings.ReplaceAll(text, c.token, "[token]") }
