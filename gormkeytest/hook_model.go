package gormkeytest

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

// refuser is a user model whose hooks return what the context says.
type refuser struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

// refusal is which hook returns what.
type refusal struct {
	hook string
	err  error
}

type refusalKey struct{}

func refused(tx *gorm.DB, hook string) error {
	if r, ok := tx.Statement.Context.Value(refusalKey{}).(refusal); ok && r.hook == hook {
		return r.err
	}
	return nil
}

func (*refuser) BeforeCreate(tx *gorm.DB) error { return refused(tx, "BeforeCreate") }
func (*refuser) AfterCreate(tx *gorm.DB) error  { return refused(tx, "AfterCreate") }
func (*refuser) BeforeUpdate(tx *gorm.DB) error { return refused(tx, "BeforeUpdate") }
func (*refuser) AfterUpdate(tx *gorm.DB) error  { return refused(tx, "AfterUpdate") }
func (*refuser) BeforeDelete(tx *gorm.DB) error { return refused(tx, "BeforeDelete") }
func (*refuser) AfterDelete(tx *gorm.DB) error  { return refused(tx, "AfterDelete") }
func (*refuser) AfterFind(tx *gorm.DB) error    { return refused(tx, "AfterFind") }

// refusedDevice and refusedLogin do the same for sessions and keys.
type refusedDevice struct {
	gormkey.Session[refuser]
	Country string `gorm:"size:2;uniqueIndex"`
}

func (*refusedDevice) BeforeCreate(tx *gorm.DB) error { return refused(tx, "BeforeCreate") }
func (*refusedDevice) AfterCreate(tx *gorm.DB) error  { return refused(tx, "AfterCreate") }
func (*refusedDevice) AfterUpdate(tx *gorm.DB) error  { return refused(tx, "AfterUpdate") }

type refusedLogin struct {
	gormkey.Key[refuser]
	Label string `gorm:"size:64;uniqueIndex"`
}

func (*refusedLogin) BeforeCreate(tx *gorm.DB) error { return refused(tx, "BeforeCreate") }
func (*refusedLogin) AfterCreate(tx *gorm.DB) error  { return refused(tx, "AfterCreate") }

// hookModels: whatever error a hook of the application's model returns, bare or wrapped, it
// is what the caller gets, undoes the operation, and means nothing to us: neither that a
// row is not there, nor that one is taken.
func hookModels(s *suite) {
	clock := NewClock()
	db := s.newDB(s.T)
	f := openOf[refuser, refusedLogin, refusedDevice](s, db, gormkey.WithClock(clock.Now))
	ada := &refuser{Email: "ada@example.com"}
	must(s, f.CreateUser(s.Context(), ada, email(ada.Email)))
	_, err := f.OpenSession(s.Context(), ada.ID)
	must(s, err)
	session, err := f.OpenSession(s.Context(), ada.ID, as(refusedDevice{Country: "NL"}))
	must(s, err)
	before := rows(s, f.db)
	tried := map[string]bool{}
	for _, c := range []struct {
		hooks []string
		call  func(ctx context.Context) error
	}{
		{[]string{"BeforeCreate", "AfterCreate"}, func(ctx context.Context) error { return f.CreateUser(ctx, &refuser{Email: "b"}, email("b")) }},
		{[]string{"BeforeCreate", "AfterCreate"}, func(ctx context.Context) error {
			return second(f.AddKey(ctx, ada.ID, email("c"), as(refusedLogin{Label: "c"})))
		}},
		{[]string{"BeforeCreate", "AfterCreate"}, func(ctx context.Context) error {
			return second(f.OpenSession(ctx, ada.ID, as(refusedDevice{Country: "BE"})))
		}},
		{[]string{"BeforeUpdate", "AfterUpdate", "AfterFind"}, func(ctx context.Context) error {
			_, err := f.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Email": "x@example.com"})
			return err
		}},
		{[]string{"AfterUpdate", "AfterFind"}, func(ctx context.Context) error {
			_, err := f.UpdateSessionAttributes(ctx, session.ID, map[string]any{"Country": "DE"})
			return err
		}},
		{[]string{"AfterFind"}, func(ctx context.Context) error { _, err := f.GetUser(ctx, ada.ID); return err }},
		{[]string{"AfterFind"}, func(ctx context.Context) error { _, err := f.ValidateSession(ctx, session.Token); return err }},
		{[]string{"AfterFind"}, func(ctx context.Context) error { _, err := f.UseKey(ctx, email(ada.Email)); return err }},
		{[]string{"BeforeDelete", "AfterDelete", "AfterFind"}, func(ctx context.Context) error { return f.DeleteUser(ctx, ada.ID) }},
	} {
		for _, hook := range c.hooks {
			tried[hook] = true
			if s.batches && hook == "AfterFind" && len(c.hooks) > 1 {
				continue // a batch is read after it was written
			}
			for _, sentinel := range publicErrors {
				for _, err := range []error{sentinel, fmt.Errorf("%w: %w", errStop, sentinel)} {
					got := c.call(context.WithValue(s.Context(), refusalKey{}, refusal{hook, err}))
					what := fmt.Sprintf("%s returns %v", hook, err)
					wantErr(s, what, got, sentinel)
					if err != sentinel {
						wantErr(s, what, got, errStop)
					}
					for _, other := range []error{gormkey.ErrDuplicateAttribute, gormkey.ErrDuplicateKey, gormkey.ErrDuplicateUser, gormkey.ErrDuplicateSession, gormkey.ErrUserNotFound} {
						if sentinel != other && isErr(got, other) {
							s.Errorf("%s: got %v, which is %v", what, got, other)
						}
					}
					equal(s, what+": rows", rows(s, f.db), before)
				}
			}
		}
	}
	equal(s, "hooks that were tried", len(tried), 7)
	var stored refuser
	must(s, f.db.First(&stored, "id = ?", ada.ID).Error)
	equal(s, "email", stored.Email, ada.Email)
	// And what is taken is still told.
	_, err = f.OpenSession(s.Context(), ada.ID, as(refusedDevice{Country: "NL"}))
	wantErr(s, "a taken value", err, gormkey.ErrDuplicateAttribute)
	_, err = f.UpdateUserAttributes(s.Context(), ada.ID, map[string]any{"Email": "free@example.com"})
	must(s, err)
}

// MySQLError has the shape of go-sql-driver/mysql's.
type MySQLError struct{ Number uint16 }

func (e *MySQLError) Error() string { return fmt.Sprint("injected ", e.Number) }

// hookIgnores: a hook that ignores the error of a statement of its own does not leave half
// of an operation behind, and the caller is told what became of it.
func hookIgnores(s *suite) {
	statement := "SELECT nothing FROM nowhere"
	f := s.accounts(gormkey.WithHook(func(tx *gorm.DB, e event.Event) error {
		if e.Type == event.UserCreated || e.Type == event.SessionOpened {
			_ = tx.Exec(statement).Error
		}
		return nil
	}))
	ctx := s.Context()
	ada := &account{Email: "ada@example.com"}
	err := f.CreateUser(ctx, ada, email(ada.Email))
	if f.db.Name() == "postgres" {
		wantErr(s, "a failed statement that was ignored", err, gormkey.ErrRolledBack)
		if isErr(err, gormkey.ErrOutcomeUnknown) {
			s.Errorf("the outcome is known: %v", err)
		}
		equal(s, "rows", rows(s, f.db), [3]int64{0, 0, 0})
	} else {
		must(s, err) // the statement alone is undone
		equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 0})
	}

	statement = "SELECT 1"
	bob := &account{Email: "bob@example.com"}
	must(s, f.CreateUser(ctx, bob, email(bob.Email)))
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	before, deadlocks := rows(s, f.db), 0
	recorder.inject = func(sql string) error {
		if sql == statement {
			deadlocks++
			return &MySQLError{1213} // after which the server has undone everything
		}
		return nil
	}
	_, err = auth.OpenSession(ctx, bob.ID)
	recorder.inject = nil
	var database *gormkey.DatabaseError
	if !errors.As(err, &database) || database.Code != "1213" {
		s.Errorf("an ignored deadlock: got error %v, want the deadlock", err)
	}
	equal(s, "deadlocks, one a try", deadlocks, 5)
	equal(s, "rows", rows(s, f.db), before)
}

// workIgnores: work of UseToken that ignores a deadlock, after which the server has undone
// everything, uses nothing up, and the caller is told.
func workIgnores(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	token := issue(s, f, ada.ID, gormkey.PurposeMagicLink, "")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	deadlocks := 0
	recorder.inject = func(sql string) error {
		if sql == "SELECT 1" {
			deadlocks++
			return &MySQLError{1213}
		}
		return nil
	}
	_, err = auth.UseToken(ctx, gormkey.PurposeMagicLink, token, func(tx *gorm.DB, _ *gormkey.OneTimeToken[account]) error {
		_ = tx.Exec("SELECT 1").Error
		return nil
	})
	recorder.inject = nil
	var database *gormkey.DatabaseError
	if !errors.As(err, &database) || database.Code != "1213" {
		s.Errorf("an ignored deadlock: got error %v, want the deadlock", err)
	}
	equal(s, "deadlocks, one a try", deadlocks, 5)
	_, err = f.GetToken(ctx, gormkey.PurposeMagicLink, token)
	must(s, err)
}
