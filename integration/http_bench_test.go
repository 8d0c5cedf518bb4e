package integration_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// BenchmarkHTTP: 64 connections ask a real server on the loopback for a page of one user,
// in turns: behind httpauth's middleware, and of a handler that runs the same prepared
// join by hand. Aim: at least 0.8 times the requests ("x-hand-req/s"), and at most 1.5
// times the 99th percentile ("x-hand-p99"). The clients are in the same process, and
// share its processors with both.
//
//	go test -run '^$' -bench HTTP -benchtime 10s -count 3
func BenchmarkHTTP(b *testing.B) {
	const (
		connections = 64
		turn        = 100 * time.Millisecond
	)
	t := newBenchTable(b, 0, 100_000, true)
	p := pool(b, t.db)
	p.SetMaxOpenConns(16)
	web, err := httpauth.New(t.auth)
	app.Must(b, err)
	mux := http.NewServeMux()
	mux.Handle("GET /library", web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, web.User(r.Context()).Name)
	})))
	mux.HandleFunc("GET /hand", t.pageByHand)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	app.Must(b, err)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(func() { _ = server.Close() })

	clients := make([]*rawClient, connections)
	for i := range clients {
		conn, err := net.Dial("tcp", listener.Addr().String())
		app.Must(b, err)
		b.Cleanup(func() { _ = conn.Close() })
		clients[i] = &rawClient{conn: conn, in: bufio.NewReader(conn)}
	}
	// ask lets all of them ask for a page for a turn, and returns the requests a second.
	ask := func(path string, keep func(took []time.Duration)) float64 {
		var wg sync.WaitGroup
		start := time.Now()
		for _, c := range clients {
			wg.Go(func() {
				c.took = c.took[:0]
				for time.Since(start) < turn {
					if err := c.get(path, t.tokens[mathrand.N(len(t.tokens))]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		elapsed, n := time.Since(start), 0
		for _, c := range clients {
			n += len(c.took)
			keep(c.took)
		}
		return float64(n) / elapsed.Seconds()
	}
	paths := [2]string{"/library", "/hand"}
	for _, path := range paths { // so that every connection has prepared its statements
		ask(path, func([]time.Duration) {})
	}
	var rates, took [2][]float64
	var ratios []float64
	for i := 0; b.Loop(); i++ {
		for j := range paths {
			way := (i + j) % 2
			rates[way] = append(rates[way], ask(paths[way], func(latencies []time.Duration) {
				for _, d := range latencies {
					took[way] = append(took[way], d.Seconds()*1e3)
				}
			}))
		}
		ratios = append(ratios, rates[0][i]/rates[1][i])
	}
	at := func(values []float64, quantile float64) float64 {
		slices.Sort(values)
		return values[int(float64(len(values)-1)*quantile)]
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(at(rates[0], 0.5), "req/s")
	b.ReportMetric(at(rates[1], 0.5), "hand-req/s")
	b.ReportMetric(at(ratios, 0.5), "x-hand-req/s")
	b.ReportMetric(at(took[0], 0.99), "p99-ms")
	b.ReportMetric(at(took[1], 0.99), "hand-p99-ms")
	b.ReportMetric(at(took[0], 0.99)/at(took[1], 0.99), "x-hand-p99")
}

// pageByHand does no less than an application must.
func (t *benchTable) pageByHand(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(httpauth.DefaultCookieName)
	if err != nil {
		http.Error(w, "not signed in", http.StatusUnauthorized)
		return
	}
	u := new(Profile)
	s := &gormkey.Session[Profile]{User: u}
	err = t.lookup.QueryRowContext(r.Context(), gormkey.Token(cookie.Value).ID()).Scan(&s.ID, &s.UserID, (*int64)(&s.ActiveExpires), (*int64)(&s.IdleExpires),
		&u.ID, &u.Email, &u.Name, &u.CreatedAt, &u.Age)
	if err != nil || s.State(time.Now()) != gormkey.StateActive {
		http.Error(w, "not signed in", http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, u.Name)
}

// rawClient is one connection, and does as little as it can beside the server's work.
type rawClient struct {
	conn net.Conn
	in   *bufio.Reader
	out  bytes.Buffer
	took []time.Duration
}

// get asks for a page of a user, and notes how long it took.
func (c *rawClient) get(path string, token gormkey.Token) error {
	c.out.Reset()
	_, _ = fmt.Fprintf(&c.out, "GET %s HTTP/1.1\r\nHost: example.com\r\nCookie: %s=%s\r\n\r\n", path, httpauth.DefaultCookieName, string(token))
	start := time.Now()
	if _, err := c.conn.Write(c.out.Bytes()); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("%s: got %s, want 200", path, line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
		if len(line) == 0 {
			break
		}
	}
	if length < len("User Number 0") {
		return errors.New(path + ": the page has no name of a user")
	}
	_, err := c.in.Discard(length)
	c.took = append(c.took, time.Since(start))
	return err
}
