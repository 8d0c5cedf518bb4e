package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/integration/internal/app"
)

// The answer is lost at each of its bytes in turn: after none of them may there be a
// user without their key; a success must be in the database; and what is in the
// database although there was an error must be called an unknown outcome, the answer to
// COMMIT being lost.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		dsn := newPostgres(t)
		config, err := pgx.ParseConfig(dsn)
		app.Must(t, err)
		p := newProxy(t, net.JoinHostPort(config.Host, fmt.Sprint(config.Port)))
		host, port, _ := net.SplitHostPort(p.address())
		sweepLostAnswers(t, p, open(t, postgres.Open(dsn), &gorm.Config{}), postgres.Open(postgresDSN(dsn, "host", host, "port", port)))
	})
	onEach(t, mysqlServers, func(t *testing.T, s *server) {
		dsn := s.newDSN(t)
		config, err := mysqldriver.ParseDSN(dsn)
		app.Must(t, err)
		p := newProxy(t, config.Addr)
		config.Addr = p.address()
		sweepLostAnswers(t, p, open(t, mysql.Open(dsn), &gorm.Config{}), mysql.Open(config.FormatDSN()))
	})
}

func sweepLostAnswers(t *testing.T, p *proxy, direct *gorm.DB, proxied gorm.Dialector) {
	app.Install(t, direct, app.New())
	db := open(t, proxied, &gorm.Config{})
	auth := app.Install(t, db, app.New())
	pool(t, db).SetMaxOpenConns(1)

	unknown := 0
	for n := 0; ; n++ {
		app.Must(t, pool(t, db).PingContext(t.Context()))
		a := &app.Account{Email: fmt.Sprintf("%06d@example.com", n)}
		p.loseAnswersAfter(n)
		err := auth.CreateUser(t.Context(), a, app.Email(a.Email))
		lost := p.restore()
		checkOutcome(t, fmt.Sprintf("create user, answer lost after %d bytes", n), err, rowsOf(t, direct, a.Email), [2]int{1, 1})
		if errors.Is(err, gormkey.ErrOutcomeUnknown) {
			unknown++
		}
		if !lost {
			t.Logf("%d bytes of answers; outcome unknown at %d of them", n, unknown)
			break
		}
	}
	if unknown == 0 {
		t.Error("no cut fell on the answer to COMMIT")
	}
	sweepSignIn(t, p, direct, auth)
}

// sweepSignIn does the same to the one statement, without a transaction, of a sign-in.
func sweepSignIn(t *testing.T, p *proxy, direct *gorm.DB, auth *gormkey.Repository[app.Account]) {
	a := &app.Account{Email: "ada@example.com"}
	app.Must(t, auth.CreateUser(t.Context(), a, app.Email(a.Email)))
	for n := 0; ; n++ {
		_, err := auth.GetUser(t.Context(), a.ID) // reconnects
		app.Must(t, err)
		p.loseAnswersAfter(n)
		_, err = auth.SignIn(t.Context(), app.Email(a.Email))
		lost := p.restore()
		sessions := direct.Delete(&gormkey.Session[app.Account]{}, "user_id = ?", a.ID)
		app.Must(t, sessions.Error)
		checkOutcome(t, fmt.Sprintf("sign in, answer lost after %d bytes", n), err, [2]int{int(sessions.RowsAffected)}, [2]int{1})
		if !lost {
			return
		}
	}
}

// checkOutcome compares an operation's error with the rows that it left.
func checkOutcome(t *testing.T, what string, err error, rows, whole [2]int) {
	t.Helper()
	none := [2]int{}
	switch {
	case rows != none && rows != whole:
		t.Errorf("%s: got rows %v and error %v, want %v or %v", what, rows, err, none, whole)
	case err == nil && rows != whole:
		t.Errorf("%s: got success and rows %v, want %v", what, rows, whole)
	case err != nil && rows == whole && !errors.Is(err, gormkey.ErrOutcomeUnknown):
		t.Errorf("%s: got error %v and rows %v, want %v", what, err, rows, gormkey.ErrOutcomeUnknown)
	}
}

// rowsOf counts the users and keys of an email address, in one snapshot.
func rowsOf(t testing.TB, db *gorm.DB, email string) (rows [2]int) {
	t.Helper()
	app.Must(t, db.WithContext(context.WithoutCancel(t.Context())).
		Raw("SELECT (SELECT count(*) FROM auth_user WHERE email = ?), (SELECT count(*) FROM user_key WHERE id = ?)", email, "email:"+email).
		Row().Scan(&rows[0], &rows[1]))
	return rows
}

// proxy passes bytes between clients and a server, and can lose the server's answers:
// the server has done its work then, and the client cannot know.
type proxy struct {
	listener net.Listener
	server   string
	mu       sync.Mutex
	losing   bool // until the budget is used up once
	budget   int  // bytes of answers that still pass
	lost     bool
	open     sync.WaitGroup
}

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	app.Must(t, err)
	p := &proxy{listener: l, server: server}
	p.open.Go(p.accept)
	t.Cleanup(func() { _ = l.Close(); p.open.Wait() })
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		var closed atomic.Bool
		done := func() {
			if closed.CompareAndSwap(false, true) {
				_, _ = client.Close(), server.Close()
			}
		}
		p.open.Go(func() { defer done(); _, _ = io.Copy(server, client) })
		p.open.Go(func() { defer done(); p.answer(client, server) })
	}
}

// answer passes what the budget allows, and ends the connection at the first byte above.
func (p *proxy) answer(client io.Writer, server io.Reader) {
	buffer := make([]byte, 4096)
	for {
		n, err := server.Read(buffer)
		pass, lost := p.spend(n)
		if _, e := client.Write(buffer[:pass]); err != nil || e != nil || lost {
			return
		}
	}
}

func (p *proxy) spend(n int) (pass int, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.losing {
		return n, false
	}
	pass = min(n, p.budget)
	p.budget -= pass
	if pass < n {
		p.losing, p.lost = false, true
	}
	return pass, pass < n
}

// loseAnswersAfter lets n more bytes of answers pass, then ends that connection; the
// next one is whole again.
func (p *proxy) loseAnswersAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.losing, p.budget, p.lost = true, n, false
}

// restore loses nothing any more, and reports whether something was lost.
func (p *proxy) restore() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.losing = false
	return p.lost
}
