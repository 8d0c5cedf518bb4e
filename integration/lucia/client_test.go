package lucia_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// secret is a part of every id and value of these tests. No message may have it.
const secret = "zz9"

// client speaks to a bridge that runs.
type client struct {
	t       testing.TB
	command *exec.Cmd
	stdin   io.WriteCloser
	stderr  bytes.Buffer
	ended   chan error
	anyID   chan answer // whose id is no request's of ours

	mu      sync.Mutex
	lastID  int
	pending map[string]chan answer
}

type answer struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct{ Code, Message string }
}

// String returns a result as it came, or the code of an error.
func (a answer) String() string {
	if a.Error != nil {
		return a.Error.Code
	}
	return string(a.Result)
}

// startBridge starts a bridge, which is ended after the test.
func startBridge(t testing.TB, args ...string) *client {
	t.Helper()
	c := &client{
		t: t, command: exec.Command(bridgePath, args...), ended: make(chan error, 1),
		anyID: make(chan answer, 100), pending: map[string]chan answer{},
	}
	stdout, err := c.command.StdoutPipe()
	must(t, err)
	c.stdin, err = c.command.StdinPipe()
	must(t, err)
	c.command.Stderr = &c.stderr
	must(t, c.command.Start())
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			c.receive(lines.Bytes())
		}
		c.ended <- c.command.Wait()
	}()
	t.Cleanup(func() { c.end(5 * time.Second) })
	return c
}

// openBridge starts a bridge on a schema's tables.
func openBridge(t testing.TB, s schema, db database) *client {
	t.Helper()
	c := startBridge(t, "--dsn", db.url, "--tables", s.flag())
	c.want(`{"capabilities":{"getSessionAndUser":true},"name":"gormkey","protocol":1}`, "hello", `{"protocol":1}`)
	return c
}

func (c *client) receive(line []byte) {
	var a answer
	if err := json.Unmarshal(line, &a); err != nil || (a.Error == nil) == (a.Result == nil) {
		c.t.Errorf("the answer is %q: %v", line, err)
		return
	}
	if a.Error != nil && (strings.Contains(a.Error.Message, secret) || a.Error.Code == "INTERNAL") {
		c.t.Errorf("the error is %+v", *a.Error)
	}
	c.mu.Lock()
	waiting, ok := c.pending[string(a.ID)]
	delete(c.pending, string(a.ID))
	c.mu.Unlock()
	if !ok {
		waiting = c.anyID
	}
	waiting <- a
}

// send sends a request, whose arguments are JSON, and returns where its answer comes.
func (c *client) send(method string, args ...string) chan answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	id := fmt.Sprint(c.lastID)
	waiting := make(chan answer, 1)
	c.pending[id] = waiting
	c.write(fmt.Sprintf(`{"id":%s,"method":%q,"args":[%s]}`, id, method, strings.Join(args, ",")))
	return waiting
}

func (c *client) write(line string) {
	if _, err := io.WriteString(c.stdin, line+"\n"); err != nil {
		c.t.Errorf("the bridge takes no input: %v", err)
	}
}

func (c *client) receiveFrom(waiting chan answer) answer {
	c.t.Helper()
	select {
	case a := <-waiting:
		return a
	case <-time.After(30 * time.Second):
		c.t.Fatal("no answer")
		return answer{}
	}
}

// want compares the result of a method, or its error's code.
func (c *client) want(want, method string, args ...string) {
	c.t.Helper()
	if got := c.receiveFrom(c.send(method, args...)); got.String() != want {
		c.t.Errorf("%s(%s) = %v, not %s", method, strings.Join(args, ", "), got, want)
	}
}

// end ends the input, and checks that the bridge then ends by itself, in time and well.
func (c *client) end(within time.Duration) {
	c.t.Helper()
	if c.ended == nil {
		return
	}
	_ = c.stdin.Close()
	select {
	case err := <-c.ended:
		if err != nil {
			c.t.Errorf("the bridge ended with %v", err)
		}
	case <-time.After(within):
		_ = c.command.Process.Kill()
		c.t.Errorf("the bridge did not end within %v", within)
	}
	c.ended = nil
	if c.stderr.Len() > 0 {
		c.t.Errorf("the bridge wrote to standard error: %s", &c.stderr)
	}
}
