package d1_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/d1"
	"github.com/gormkey/gormkey/gormkeytest"
)

// A fault is what happens to a request on its way: it gets an answer that the engine did
// not give, or none.
type fault struct {
	name   string
	status int    // of the answer; 0: there is none
	body   string // of the answer; "half": half of the engine's
	reach  bool   // the engine gets the request, and does it
	cancel bool   // the caller gives up meanwhile
}

var faults = []fault{
	{name: "429", status: 429, body: `{"success":false,"errors":[{"code":971,"message":"too many requests"}]}`},
	{name: "500 for nothing", status: 500, body: `{"success":false,"errors":[{"code":7500,"message":"internal error"}]}`},
	{name: "500 for what was done", status: 500, body: `{"success":false,"errors":[{"code":7500,"message":"internal error"}]}`, reach: true},
	{name: "502", status: 502, body: "<html><h1>Bad gateway</h1></html>"},
	{name: "a timeout before the request arrived"},
	{name: "a timeout after it was done", reach: true},
	{name: "a body that is cut", status: 200, body: "half", reach: true},
	{name: "no body", status: 200, reach: true},
	{name: "given up before the request arrived", cancel: true},
	{name: "given up after it was done", reach: true, cancel: true},
}

// faulty is a transport on which, from one request on, the fault happens to each.
type faulty struct {
	fault  *fault // nil: none
	after  int    // so many requests are left alone
	seen   int
	cancel context.CancelFunc
}

func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	f.seen++
	if f.fault == nil || f.seen <= f.after {
		return http.DefaultTransport.RoundTrip(r)
	}
	content := []byte(f.fault.body)
	if f.fault.reach {
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		done, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			return nil, err
		}
		if f.fault.body == "half" {
			content = done[:len(done)/2]
		}
	}
	if f.fault.cancel {
		f.cancel()
		return nil, r.Context().Err()
	}
	if f.fault.status == 0 {
		return nil, os.ErrDeadlineExceeded
	}
	body := io.Reader(bytes.NewReader(content))
	if f.fault.body == "half" {
		body = io.MultiReader(body, broken{})
	}
	return &http.Response{StatusCode: f.fault.status, Header: http.Header{}, Body: io.NopCloser(body), Request: r}, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Whatever happens to whichever request of an operation: it is done as a whole and says
// so, or is not done and says so, or does not know. It never takes the database's failure
// for an answer.
func TestFaults(t *testing.T) {
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse battery staple"}
	other := gormkey.Proved("github", "1")
	fresh := login
	fresh.Password = "another horse, another staple"
	for _, op := range []struct {
		name string
		do   func(context.Context, *gormkey.Repository[account], *gormkey.Session[account]) error
		late bool // when the session is idle
		dead bool // when it is dead; in batches, each of which is whole
	}{
		{name: "CreateUser", do: func(ctx context.Context, auth *gormkey.Repository[account], _ *gormkey.Session[account]) error {
			return auth.CreateUser(ctx, &account{Email: "new@example.com"}, gormkey.Credentials{Provider: "email", ID: "new@example.com", Password: login.Password},
				gormkey.Proved("github", "new"))
		}},
		{name: "GetUser", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			_, err := auth.GetUser(ctx, s.UserID)
			return err
		}},
		{name: "UpdateUserAttributes", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			_, err := auth.UpdateUserAttributes(ctx, s.UserID, map[string]any{"Email": "changed@example.com"})
			return err
		}},
		{name: "DeleteUser", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			return auth.DeleteUser(ctx, s.UserID)
		}},
		{name: "AddKey", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			_, err := auth.AddKey(ctx, s.UserID, gormkey.Credentials{Provider: "username", ID: "ada", Password: login.Password})
			return err
		}},
		{name: "ShareKey", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			_, err := auth.ShareKey(ctx, gormkey.KeyID{Provider: "username", ID: "ada"}, login.KeyID())
			return err
		}},
		{name: "UseKey", do: func(ctx context.Context, auth *gormkey.Repository[account], _ *gormkey.Session[account]) error {
			_, err := auth.UseKey(ctx, login)
			return err
		}},
		{name: "UserKeys", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			_, err := auth.UserKeys(ctx, s.UserID)
			return err
		}},
		{name: "OverwritePassword", do: func(ctx context.Context, auth *gormkey.Repository[account], _ *gormkey.Session[account]) error {
			_, err := auth.OverwritePassword(ctx, fresh, "")
			return err
		}},
		{name: "ChangePassword", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			_, err := auth.ChangePassword(ctx, login, fresh.Password, s.ID)
			return err
		}},
		{name: "RemoveKey", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			return auth.RemoveKey(ctx, s.UserID, other.KeyID())
		}},
		{name: "OpenSession", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			_, err := auth.OpenSession(ctx, s.UserID)
			return err
		}},
		{name: "SignIn", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			_, err := auth.SignIn(ctx, login, auth.Replacing(s.Token))
			return err
		}},
		{name: "ValidateSession", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			_, err := auth.ValidateSession(ctx, s.Token)
			return err
		}},
		{name: "ValidateSession, renewing", late: true, do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			_, err := auth.ValidateSession(ctx, s.Token)
			return err
		}},
		{name: "SignOut", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			return auth.SignOut(ctx, s.Token)
		}},
		{name: "EndSession", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			return auth.EndSession(ctx, s.UserID, s.ID)
		}},
		{name: "EndOtherSessions", do: func(ctx context.Context, auth *gormkey.Repository[account], s *gormkey.Session[account]) error {
			return auth.EndOtherSessions(ctx, s.UserID, s.ID)
		}},
		{name: "DeleteExpired", dead: true, do: func(ctx context.Context, auth *gormkey.Repository[account], _ *gormkey.Session[account]) error {
			_, err := auth.DeleteExpired(ctx)
			return err
		}},
	} {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			c := newDatabase(t)
			plain := d1.OpenDB(c)
			t.Cleanup(func() { _ = plain.Close() })
			transport := &faulty{}
			c.HTTPClient = &http.Client{Transport: transport}
			var logged strings.Builder
			db, err := gorm.Open(d1.New(c), &gorm.Config{Logger: logger.New(printer{&logged}, logger.Config{LogLevel: logger.Info})})
			must(t, err)
			pool, err := db.DB()
			must(t, err)
			t.Cleanup(func() { _ = pool.Close() })
			clock := gormkeytest.NewClock()
			plugin := gormkey.New[account](gormkey.WithPasswordHasher(gormkeytest.FastHasher()), gormkey.WithClock(clock.Now))
			must(t, db.Use(plugin))
			must(t, plugin.AutoMigrate(db))
			auth, err := gormkey.From[account](db)
			must(t, err)
			ada := &account{Email: login.ID}
			must(t, auth.CreateUser(t.Context(), ada, login, other))
			session, err := auth.OpenSession(t.Context(), ada.ID)
			must(t, err)
			_, err = auth.OpenSession(t.Context(), ada.ID)
			must(t, err)
			switch {
			case op.late:
				clock.Advance(gormkeytest.ActivePeriod + 1e6)
			case op.dead:
				clock.Advance(gormkeytest.ActivePeriod + gormkeytest.IdlePeriod + 1e6)
			}

			before := snapshot(t, plain)
			transport.seen = 0
			must(t, op.do(t.Context(), auth, session))
			requests, done := transport.seen, shape(before, snapshot(t, plain))
			for _, f := range faults {
				for after := range requests {
					restore(t, plain, before)
					logged.Reset()
					ctx, cancel := context.WithCancel(t.Context())
					*transport = faulty{fault: &f, after: after, cancel: cancel}
					err := op.do(ctx, auth, session)
					cancel()
					*transport = faulty{}

					what := fmt.Sprintf("request %d of %d gets %s: %v", after+1, requests, f.name, err)
					state := shape(before, snapshot(t, plain))
					unchanged := reflect.DeepEqual(state, shape(before, before))
					whole := reflect.DeepEqual(state, done)
					switch {
					case err == nil && whole:
					case err != nil && unchanged && !isAnswer(err):
					case errors.Is(err, gormkey.ErrOutcomeUnknown) && whole:
					case err != nil && op.dead && after > 0 && whole:
					case f.cancel && errors.Is(err, context.Canceled) && whole: // the same doubt
					default:
						t.Errorf("%s\ngot  %q\nfrom %q\nto   %q", what, state, shape(before, before), done)
					}
					if text := fmt.Sprintf("%v %+v", err, err) + logged.String(); strings.Contains(text, c.Token) || strings.Contains(text, string(session.Token)) || strings.Contains(text, "horse") {
						t.Errorf("%s: a secret is in the error or the log", what)
					}
				}
			}
		})
	}
}

// isAnswer tells whether an error says something about users, keys and sessions.
func isAnswer(err error) bool {
	for _, answer := range []error{
		gormkey.ErrUserNotFound, gormkey.ErrKeyNotFound, gormkey.ErrInvalidSession, gormkey.ErrInvalidPassword, gormkey.ErrInvalidCredentials,
		gormkey.ErrDuplicateUser, gormkey.ErrDuplicateKey, gormkey.ErrDuplicateSession, gormkey.ErrDuplicateAttribute, gormkey.ErrLastKey,
		gormkey.ErrInvalidArgument, gormkey.ErrUsage,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// printer has a logger write to a buffer.
type printer struct{ w io.Writer }

func (p printer) Printf(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }

// rows are those of the users, keys and sessions.
type rows [3][][]any

var tables = [3]string{"auth_user", "user_key", "user_session"}

// snapshot reads all rows.
func snapshot(t *testing.T, pool *sql.DB) (all rows) {
	t.Helper()
	var reads []d1.Statement
	for _, table := range tables {
		reads = append(reads, d1.Statement{SQL: "SELECT * FROM " + table})
	}
	results, err := d1.Batch(t.Context(), pool, reads)
	must(t, err)
	for i, result := range results {
		all[i] = result.Rows
	}
	return all
}

// restore makes the rows those of a snapshot.
func restore(t *testing.T, pool *sql.DB, all rows) {
	t.Helper()
	writes := []d1.Statement{{SQL: "DELETE FROM auth_user"}} // and by cascade the others
	for i, table := range all {
		for _, row := range table {
			writes = append(writes, d1.Statement{SQL: "INSERT INTO " + tables[i] + " VALUES (?" + strings.Repeat(", ?", len(row)-1) + ")", Args: row})
		}
	}
	_, err := d1.Batch(t.Context(), pool, writes)
	must(t, err)
}

// shape is what rows say without what is made at random: of ids and hashes that were not
// there before it has that they are new.
func shape(before, now rows) []string {
	var known []any
	for _, table := range before {
		for _, row := range table {
			known = append(known, row...)
		}
	}
	var lines []string
	for i, table := range now {
		for _, row := range table {
			line := tables[i]
			for _, value := range row {
				if text, ok := value.(string); ok && !strings.ContainsAny(text, ":@") && !slices.Contains(known, value) {
					value = "new" // an id or a hash
				}
				line += fmt.Sprintf(" %v", value)
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}
