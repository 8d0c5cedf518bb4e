package lucia_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// node is a process of interop/obey.js: Lucia itself.
type node struct {
	t       testing.TB
	command *exec.Cmd
	stdin   io.WriteCloser
	ended   chan struct{}

	mu      sync.Mutex
	lastID  int
	pending map[int]chan nodeAnswer
}

type nodeAnswer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *nodeError      `json:"error"`
}

// nodeError is a LuciaError, or what came from the driver.
type nodeError struct {
	Message, Code string
	Lucia         bool
}

func (e *nodeError) Error() string { return fmt.Sprintf("lucia: %s %s", e.Message, e.Code) }

var errNodeEnded = errors.New("the Node process has ended")

// startNode starts Lucia, which is ended after the test.
func startNode(t testing.TB, args ...string) *node {
	t.Helper()
	n := &node{
		t: t, command: exec.Command(installInterop(t), append([]string{"obey.js"}, args...)...),
		ended: make(chan struct{}), pending: map[int]chan nodeAnswer{},
	}
	n.command.Dir, n.command.Stderr = "interop", os.Stderr
	stdout, err := n.command.StdoutPipe()
	must(t, err)
	n.stdin, err = n.command.StdinPipe()
	must(t, err)
	must(t, n.command.Start())
	go n.receive(stdout)
	t.Cleanup(n.end)
	return n
}

func (n *node) receive(stdout io.Reader) {
	defer close(n.ended)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a nodeAnswer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			n.t.Errorf("Lucia answers %q: %v", lines.Bytes(), err)
			continue
		}
		n.mu.Lock()
		n.pending[a.ID] <- a
		delete(n.pending, a.ID)
		n.mu.Unlock()
	}
}

// call calls a method and reads its result into dest, if that is not nil. Calls overlap.
func (n *node) call(dest any, method string, args ...any) error {
	waiting := make(chan nodeAnswer, 1)
	n.mu.Lock()
	n.lastID++
	n.pending[n.lastID] = waiting
	if args == nil {
		args = []any{}
	}
	request, err := json.Marshal(map[string]any{"id": n.lastID, "method": method, "args": args})
	if err == nil {
		_, err = n.stdin.Write(append(request, '\n'))
	}
	n.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case a := <-waiting:
		if a.Error != nil {
			return a.Error
		}
		if dest == nil {
			return nil
		}
		return json.Unmarshal(a.Result, dest)
	case <-n.ended:
		return errNodeEnded
	case <-time.After(2 * time.Minute):
		return fmt.Errorf("%s: Lucia does not answer", method)
	}
}

func (n *node) end() {
	_ = n.stdin.Close()
	select {
	case <-n.ended:
	case <-time.After(10 * time.Second):
		_ = n.command.Process.Kill()
		n.t.Error("Lucia did not end")
		<-n.ended
	}
	if err := n.command.Wait(); err != nil {
		n.t.Errorf("Lucia ended with %v", err)
	}
}

var interopCI sync.Once

// installInterop returns Node after it installed what interop/package-lock.json has.
func installInterop(t testing.TB) (path string) {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		missing(t, "no node; install Node 20 or later")
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		missing(t, "no npm; install Node 20 or later")
	}
	lock := filepath.Join("interop", "package-lock.json")
	done := filepath.Join("interop", "node_modules", ".package-lock.json") // npm writes it last
	interopCI.Do(func() {
		if newer(done, lock) {
			return
		}
		command := exec.Command(npm, "ci", "--ignore-scripts")
		command.Dir = "interop"
		if output, err := command.CombinedOutput(); err != nil {
			t.Logf("npm ci: %v\n%s", err, output)
		}
	})
	if !newer(done, lock) {
		missing(t, "npm ci in integration/lucia/interop failed; it needs the npm registry once")
	}
	return path
}

func newer(path, than string) bool {
	a, err := os.Stat(path)
	if err != nil {
		return false
	}
	b, err := os.Stat(than)
	return err == nil && !a.ModTime().Before(b.ModTime())
}
