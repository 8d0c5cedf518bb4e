package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gormkey/gormkey"
)

const (
	maxLine = 1 << 20         // bytes of a request
	grace   = 4 * time.Second // for what is under way at the end of input
	parting = 500 * time.Millisecond
)

// server reads requests and writes answers. Each request has a goroutine of its own; the
// pool bounds what they do at once, and nothing keeps the end of input from being seen.
type server struct {
	tables gormkey.TableNames
	open   func(gormkey.TableNames) (*adapter, error)

	running sync.WaitGroup
	mu      sync.Mutex // one line at a time
	out     io.Writer
	opened  *opening // by hello; the reader's alone
}

// opening is a database that is being opened; it is there once ready is closed.
type opening struct {
	ready   chan struct{}
	adapter *adapter
	err     error
}

type request struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Args   []json.RawMessage `json:"args"`
	Params json.RawMessage   `json:"params"` // hello's, where it has no args
}

func newServer(out io.Writer, tables gormkey.TableNames, open func(gormkey.TableNames) (*adapter, error)) *server {
	return &server{out: out, tables: tables, open: open}
}

// serve returns at the end of input, with what is under way finished or given up.
func (s *server) serve(in io.Reader) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	lines := bufio.NewReaderSize(in, 64<<10)
	var err error
	for err == nil {
		var line []byte
		if line, err = readLine(lines); errors.Is(err, errLongLine) {
			s.answer(nil, nil, err)
			err = nil
		} else if line = bytes.TrimSpace(line); len(line) > 0 {
			s.accept(ctx, line)
		}
	}
	s.finish(cancel)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// accept starts what a line asks for.
func (s *server) accept(ctx context.Context, line []byte) {
	var r request
	if err := r.parse(line); err != nil {
		s.answer(r.ID, nil, err)
		return
	}
	if r.Method == "hello" {
		names, err := r.hello(s.tables)
		if err == nil && s.opened != nil {
			err = &failure{"INVALID_REQUEST", "hello was said before"}
		}
		if err != nil {
			s.answer(r.ID, nil, err)
			return
		}
		s.opened = &opening{ready: make(chan struct{})}
		s.run(r, func() (any, error) { return s.hello(s.opened, names) })
		return
	}
	o := s.opened
	method, known := methods[r.Method]
	switch {
	case !known:
		s.answer(r.ID, nil, &failure{"INVALID_REQUEST", "the method is not known"})
	case o == nil:
		s.answer(r.ID, nil, &failure{"INVALID_REQUEST", "hello comes first"})
	case len(r.Args) != method.args:
		s.answer(r.ID, nil, invalid("%s has %d arguments, not %d", r.Method, len(r.Args), method.args))
	default:
		s.run(r, func() (any, error) {
			select {
			case <-o.ready:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if o.err != nil {
				return nil, o.err
			}
			result, err := method.call(o.adapter.with(ctx), r.Args)
			return result, describe(r.Method, err)
		})
	}
}

// hello opens the database. Everything after it waits for it.
func (s *server) hello(o *opening, names gormkey.TableNames) (any, error) {
	defer close(o.ready)
	o.err = &failure{"INTERNAL", "the database was not opened"} // if open panics
	o.adapter, o.err = s.open(names)
	if o.err != nil {
		return nil, o.err
	}
	return map[string]any{
		"protocol": protocol, "name": "gormkey", "capabilities": map[string]bool{"getSessionAndUser": true},
	}, nil
}

// run answers a request on a goroutine of its own, also if the work panics.
func (s *server) run(r request, work func() (any, error)) {
	s.running.Go(func() {
		var result any
		err := error(&failure{"INTERNAL", r.Method + " panicked"})
		defer func() {
			_ = recover() // its text may have values
			s.answer(r.ID, result, err)
		}()
		result, err = work()
	})
}

// answer writes one line, in one piece.
func (s *server) answer(id json.RawMessage, result any, err error) {
	if id == nil {
		id = json.RawMessage("null")
	}
	var line []byte
	if err == nil {
		line, err = json.Marshal(struct {
			ID     json.RawMessage `json:"id"`
			Result any             `json:"result"`
		}{id, result})
	}
	if err != nil {
		line, _ = json.Marshal(struct {
			ID    json.RawMessage `json:"id"`
			Error *failure        `json:"error"`
		}{id, asFailure(err)})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.out.Write(append(line, '\n')) // a reader that is gone wants no answer
}

// finish waits for what is under way, then cancels it.
func (s *server) finish(cancel context.CancelFunc) {
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(grace):
		cancel()
		select {
		case <-done:
		case <-time.After(parting):
			return // a driver does not listen; the end of the process ends it
		}
	}
	if s.opened != nil && s.opened.adapter != nil {
		s.opened.adapter.close()
	}
}

var errLongLine = &failure{"INVALID_REQUEST", "the line is over 1 MiB long"}

// readLine returns the next line; it drops one that is too long.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case long:
			return nil, errLongLine
		default:
			return line, err
		}
	}
}

// parse reads a line. After an error the id is what the line has for one, or nil.
func (r *request) parse(line []byte) error {
	malformed := &failure{"INVALID_REQUEST", "the line is no request"}
	if !utf8.Valid(line) {
		return malformed // which the decoder would make valid, and another id
	}
	var only struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(line, &only) != nil {
		return malformed
	}
	id := bytes.TrimSpace(only.ID)
	if len(id) == 0 || id[0] != '"' && id[0] != '-' && (id[0] < '0' || id[0] > '9') {
		return &failure{"INVALID_REQUEST", "the request has no id that is a number or a string"}
	}
	err := json.Unmarshal(line, r)
	if r.ID = id; err != nil {
		return malformed
	}
	return nil
}
