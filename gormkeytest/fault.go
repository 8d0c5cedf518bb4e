package gormkeytest

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

var faultCases = []testCase{
	{"fault/an idle session without writes", faultReadOnly},
	{"fault/R34 R35 the n-th statement fails", faultNth},
	{"fault/R35 retries of our own transaction", faultRetry},
	{"fault/R36 lost answer to COMMIT", faultCommit},
	{"fault/R37 cancelled in the middle", faultCancel},
	{"fault/R18 a broken database is no invalid session", faultBroken},
}

// codedError is an error of a database with an SQLSTATE.
type codedError string

func (e codedError) Error() string    { return "injected " + string(e) }
func (e codedError) SQLState() string { return string(e) }

// changing is changed by its hook.
type changing struct {
	gormkey.User
	Name string `gorm:"size:64"`
}

// BeforeCreate appends to the name.
func (c *changing) BeforeCreate(*gorm.DB) error {
	c.Name += "!"
	return nil
}

// writes are the operations of more than one statement.
func writes(f *accounts, ctx context.Context, ada *account, session *device) map[string]func(auth *accountsAuth) error {
	return map[string]func(auth *accountsAuth) error{
		"CreateUser": func(auth *accountsAuth) error {
			return auth.CreateUser(ctx, &account{Email: "new@example.com"}, email("new@example.com"), gormkey.Proved("github", "9"))
		},
		"AddKey": func(auth *accountsAuth) error {
			_, err := auth.AddKey(ctx, ada.ID, email("more@example.com"))
			return err
		},
		"ShareKey": func(auth *accountsAuth) error {
			_, err := auth.ShareKey(ctx, keyID("username", "ada"), keyID("email", ada.Email))
			return err
		},
		"ChangePassword": func(auth *accountsAuth) error {
			_, err := auth.OverwritePassword(ctx, email(ada.Email), "")
			return err
		},
		"SignIn, replacing": func(auth *accountsAuth) error {
			_, err := auth.SignIn(ctx, email(ada.Email), auth.Replacing(session.Token))
			return err
		},
		"SignOut": func(auth *accountsAuth) error { return auth.SignOut(ctx, session.Token) },
		"RemoveKey": func(auth *accountsAuth) error {
			return auth.RemoveKey(ctx, ada.ID, keyID("email", ada.Email), gormkey.AllowLastKey())
		},
		"OverwritePassword": func(auth *accountsAuth) error {
			_, err := auth.OverwritePassword(ctx, email(ada.Email), "")
			return err
		},
		"RenameKey": func(auth *accountsAuth) error {
			return auth.RenameKey(ctx, ada.ID, keyID("email", ada.Email), "new-"+ada.Email)
		},
		"UpdateUserAttributes": func(auth *accountsAuth) error {
			_, err := auth.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Name": "new"})
			return err
		},
		"UpdateSessionAttributes": func(auth *accountsAuth) error {
			_, err := auth.UpdateSessionAttributes(ctx, session.ID, map[string]any{"Country": "NO"})
			return err
		},
		"EndSession": func(auth *accountsAuth) error {
			return auth.EndSession(ctx, ada.ID, session.ID)
		},
		"EndSessionOfAnyone": func(auth *accountsAuth) error { return auth.EndSessionOfAnyone(ctx, session.ID) },
		"EndOtherSessions": func(auth *accountsAuth) error {
			return auth.EndOtherSessions(ctx, ada.ID, "another")
		},
		"EndAllSessions": func(auth *accountsAuth) error {
			return auth.EndAllSessions(ctx, ada.ID)
		},
		"DeleteUser": func(auth *accountsAuth) error { return auth.DeleteUser(ctx, ada.ID) },
	}
}

// faultNth fails the first statement of each operation, then the second, and so on,
// until it passes: after each failure nothing has changed, and nothing was sent after
// the failure but ROLLBACK.
func faultNth(s *suite) {
	f := s.withTokens()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(s.Context(), email(ada.Email))
	must(s, err)
	// A link that the operations void, most of them, in the same transaction.
	issue(s, f, ada.ID, gormkey.PurposeMagicLink, "")
	content := func() string { return snapshot(s, f) + rowsOf(s, f, "user_token") }
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	errInjected := errors.New("injected")
	for verb, call := range writes(f, s.Context(), ada, session) {
		if s.batches && strings.HasPrefix(verb, "Update") && strings.HasSuffix(verb, "Attributes") {
			continue // which reads after its batch, and then says that the outcome is unknown
		}
		before := content()
		for n := 1; ; n++ {
			s.bound(n)
			seen, fired := 0, false
			var after []string
			recorder.inject = func(sql string) error {
				if seen++; seen == n {
					fired = true
					return errInjected
				}
				if fired {
					after = append(after, sql)
				}
				return nil
			}
			err := call(auth)
			recorder.inject = nil
			if fired && err == nil {
				s.Fatalf("%s, statement %d: the failure was swallowed", verb, n)
			}
			if !fired {
				must(s, err)
				if n == 1 {
					s.Errorf("%s sent nothing", verb)
				}
				break
			}
			if !errors.Is(err, errInjected) {
				s.Errorf("%s, statement %d: got %v", verb, n, err)
			}
			for _, sql := range after {
				if sql != "ROLLBACK" && !strings.HasPrefix(sql, "ROLLBACK TO") {
					s.Errorf("%s, statement %d: sent %q after the failure", verb, n, sql)
				}
			}
			if got := content(); got != before {
				s.Fatalf("%s, statement %d: changed\n%s\nto\n%s", verb, n, before, got)
			}
		}
		restore(s, f, ada, session)
		issue(s, f, ada.ID, gormkey.PurposeMagicLink, "")
	}
}

func faultRetry(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(s.Context(), email(ada.Email))
	must(s, err)
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	for verb, call := range writes(f, s.Context(), ada, session) {
		{
			const code = codedError("40001") // TestR35RetryableCodes has the others
			failures, tries := 2, 0
			recorder.inject = func(sql string) error {
				first := strings.HasPrefix(sql, "INSERT") || strings.HasPrefix(sql, "DELETE") || strings.HasPrefix(sql, "UPDATE")
				if first && tries < failures {
					tries++
					return code
				}
				return nil
			}
			if err := call(auth); err != nil {
				s.Errorf("%s, %s twice: %v", verb, code, err)
			}
			recorder.inject = nil
			restore(s, f, ada, session)
			if !s.declared && !s.vitess {
				continue // what follows takes seconds, and does not depend on foreign keys
			}
			tries, failures = 0, 1000
			recorder.inject = func(sql string) error {
				if strings.HasPrefix(sql, "INSERT") || strings.HasPrefix(sql, "DELETE") || strings.HasPrefix(sql, "UPDATE") {
					tries++
					return code
				}
				return nil
			}
			err := call(auth)
			recorder.inject = nil
			var database *gormkey.DatabaseError
			if !errors.As(err, &database) || database.Code != string(code) || tries != 5 {
				s.Errorf("%s, %s for ever: %d tries and %v, want 5 and the code", verb, code, tries, err)
			}
		}
	}
	// Hooks of the model see it as it came, on each try.
	failures, tries := 2, 0
	recorder.inject = func(sql string) error {
		if strings.HasPrefix(sql, "INSERT") && tries < failures {
			tries++
			return codedError("40001")
		}
		return nil
	}
	retried := open[changing](s, f.db, gormkey.WithTableNames(gormkey.TableNames{User: "changing", Key: "changing_key", Session: "changing_session"}))
	changed := &changing{Name: "ada"}
	must(s, retried.CreateUser(s.Context(), changed, email("changing")))
	recorder.inject = nil
	equal(s, "name after two retries", changed.Name, "ada!")
	// Never inside somebody's transaction.
	tries = 0
	err = f.db.Transaction(func(tx *gorm.DB) error {
		recorder.inject = func(sql string) error {
			if strings.HasPrefix(sql, "INSERT") {
				tries++
				return codedError("40001")
			}
			return nil
		}
		return auth.With(tx).CreateUser(s.Context(), &account{Email: "x"}, email("x"))
	})
	recorder.inject = nil
	if err == nil || tries != 1 {
		s.Errorf("in the caller's transaction: %d tries and %v, want 1 and an error", tries, err)
	}
}

func faultCommit(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(s.Context(), email(ada.Email))
	must(s, err)
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	for verb, call := range writes(f, s.Context(), ada, session) {
		recorder.reset()
		commits := 0
		recorder.inject = func(sql string) error {
			if sql == "COMMIT" {
				commits++
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		err := call(auth)
		recorder.inject = nil
		if commits == 0 { // one statement, which needs no COMMIT
			must(s, err)
			restore(s, f, ada, session)
			continue
		}
		wantErr(s, verb, err, gormkey.ErrOutcomeUnknown)
		wantErr(s, verb, err, io.ErrUnexpectedEOF)
		equal(s, verb+": commits", commits, 1)

		tries := 0
		recorder.inject = func(sql string) error {
			if sql == "COMMIT" {
				if tries++; tries == 1 {
					return codedError("40001") // a refusal, not a lost answer
				}
			}
			return nil
		}
		err = call(auth)
		recorder.inject = nil
		must(s, err)
		restore(s, f, ada, session)
	}
	// A single statement whose connection breaks.
	recorder.inject = func(sql string) error {
		if strings.HasPrefix(sql, "INSERT") {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	_, err = auth.OpenSession(s.Context(), ada.ID)
	recorder.inject = nil
	wantErr(s, "OpenSession", err, gormkey.ErrOutcomeUnknown)
}

func faultCancel(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(s.Context(), email(ada.Email))
	must(s, err)
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	ctx, cancel := context.WithCancel(s.Context())
	for verb := range writes(f, ctx, ada, session) {
		before := snapshot(s, f)
		for n := 1; n < 12; n++ {
			ctx, cancel = context.WithCancel(s.Context())
			call := writes(f, ctx, ada, session)[verb]
			seen := 0
			recorder.inject = func(string) error {
				if seen++; seen == n {
					cancel()
				}
				return nil
			}
			err := call(auth)
			recorder.inject = nil
			cancel()
			if seen < n {
				must(s, err)
				break
			}
			if err == nil {
				s.Fatalf("%s, cancelled at statement %d of %d: got no error", verb, n, seen)
			}
			if !errors.Is(err, context.Canceled) && !errors.Is(err, gormkey.ErrOutcomeUnknown) {
				s.Errorf("%s, cancelled at statement %d: got %v", verb, n, err)
			}
			settle(s, f)
			if got := snapshot(s, f); got != before && !errors.Is(err, gormkey.ErrOutcomeUnknown) {
				s.Fatalf("%s, cancelled at statement %d: changed\n%s\nto\n%s", verb, n, before, got)
			}
		}
		settle(s, f)
		restore(s, f, ada, session)
	}
	cancelled, stop := context.WithTimeout(s.Context(), -time.Second)
	defer stop()
	recorder.reset()
	_, err = auth.ValidateSession(cancelled, session.Token)
	wantErr(s, "ended context", err, context.DeadlineExceeded)
	equal(s, "statements on an ended context", len(recorder.taken()), 0)
}

// settle waits until database/sql has rolled back what a context cut short.
func settle(s *suite, f *accounts) {
	s.Helper()
	pool, err := f.db.DB()
	must(s, err)
	for range 500 {
		if pool.Stats().InUse == 0 {
			return
		}
		pauseBriefly()
	}
	s.Fatalf("%d connections are still in use", pool.Stats().InUse)
}

func pauseBriefly() {
	timer := time.NewTimer(2 * time.Millisecond)
	<-timer.C
}

func faultBroken(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(s.Context(), email(ada.Email))
	must(s, err)
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	for _, injected := range []error{codedError("57P01"), io.EOF, errors.New("dial tcp: connection refused"), codedError("XX000")} {
		recorder.inject = func(string) error { return injected }
		_, err := auth.ValidateSession(s.Context(), session.Token)
		if !errors.Is(err, injected) || errors.Is(err, gormkey.ErrInvalidSession) {
			s.Errorf("ValidateSession with %v: got %v", injected, err)
		}
		_, err = auth.SignIn(s.Context(), email(ada.Email))
		if !errors.Is(err, injected) || errors.Is(err, gormkey.ErrInvalidCredentials) {
			s.Errorf("SignIn with %v: got %v", injected, err)
		}
		_, err = auth.GetUser(s.Context(), ada.ID)
		if !errors.Is(err, injected) || errors.Is(err, gormkey.ErrUserNotFound) {
			s.Errorf("GetUser with %v: got %v", injected, err)
		}
		recorder.inject = nil
		_, err = auth.ValidateSession(s.Context(), session.Token)
		must(s, err)
	}
}

// faultReadOnly: an idle session is valid on a database that takes no writes, and an error
// of a hook is still one.
func faultReadOnly(s *suite) {
	refuse := false
	f := s.accounts(gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		if refuse && e.Type == event.SessionRenewed {
			return codedError("25006")
		}
		return nil
	}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	session, err := auth.OpenSession(ctx, ada.ID)
	must(s, err)
	f.clock.Advance(ActivePeriod + time.Minute)
	for _, code := range []error{codedError("25006"), codedError("42501"), codedError("53100"), &MySQLError{1290}, &MySQLError{1836}, &MySQLError{1142}} {
		recorder.inject = func(sql string) error {
			if strings.HasPrefix(sql, "UPDATE") && strings.Contains(sql, "idle_expires") {
				return code
			}
			return nil
		}
		got, err := auth.ValidateSession(ctx, session.Token)
		recorder.inject = nil
		must(s, err)
		if got.Fresh || got.IdleExpires != session.IdleExpires || got.User == nil {
			s.Errorf("%v: got %+v, want the session as it is", code, got)
		}
	}
	refuse = true
	_, err = auth.ValidateSession(ctx, session.Token)
	wantErr(s, "a hook that refuses", err, codedError("25006"))
	refuse = false
	got, err := auth.ValidateSession(ctx, session.Token)
	must(s, err)
	equal(s, "renewed", got.Fresh, true)
	f.clock.Advance(365 * 24 * time.Hour)
	_, err = auth.ValidateSession(ctx, session.Token)
	wantErr(s, "a dead session", err, gormkey.ErrInvalidSession)
}
