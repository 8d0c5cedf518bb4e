package libsql_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between a database's clients and the server. What it closes it closes on
// the server's side: a client knows of it when it next uses the connection.
type proxy struct {
	net.Listener
	mu     sync.Mutex
	conns  []net.Conn // the clients' and the server's ends
	opened int
	losing bool
}

// newProxy has the connections to a database, from now on, go through one.
func newProxy(t testing.TB, name string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{Listener: listener}
	wireOf(name).through(listener.Addr().String())
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	behind, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer func() { _ = behind.Close() }()
	p.mu.Lock()
	p.conns, p.opened = append(p.conns, client, behind), p.opened+1
	p.mu.Unlock()
	go func() {
		_, _ = io.Copy(behind, client)
		_ = behind.Close()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := behind.Read(buffer)
		if n > 0 && p.loses() {
			return
		}
		if _, failed := client.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

// lose keeps the server's next answer back, and closes the connection in its place. By
// then the server has done what was asked.
func (p *proxy) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.losing = true
}

func (p *proxy) loses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	losing := p.losing
	p.losing = false
	return losing
}

// cut closes every connection, as a server does with those that lie idle.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// connections returns how many there have been.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}
