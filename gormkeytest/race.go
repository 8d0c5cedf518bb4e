package gormkeytest

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

var raceCases = []testCase{
	{"race/R34 one key, eight takers", raceOneKey},
	{"race/R07 delete against create and sign-in", func(s *suite) { raceDelete(s) }},
	{"race/R07 the same with a hook, in transactions", func(s *suite) { raceDelete(s, withNoHook) }},
	{"race/R08 password change against sign-in", func(s *suite) { racePasswordChange(s) }},
	{"race/R08 the same with a hook, in transactions", func(s *suite) { racePasswordChange(s, withNoHook) }},
	{"race/R06 invalidate against validate", raceInvalidate},
	{"race/R10 renewals at once", raceRenewals},
	{"race/the last two keys", raceLastKeys},
	{"race/cleanups at once", raceCleanups},
	{"race/R44 mixed use of one handle", raceMixed},
}

// rounds returns how often a race is run.
func rounds(n int) int {
	if testing.Short() {
		return max(1, n/10)
	}
	return n
}

// fullRounds is rounds for a race that GORMKEY_FULL=1 runs at its whole size.
func fullRounds(n, full int) int {
	if os.Getenv("GORMKEY_FULL") == "1" {
		return full
	}
	return rounds(n)
}

// atOnce runs the functions together and waits for them.
func atOnce(fs ...func()) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for _, f := range fs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			<-start
			f()
		}()
	}
	close(start)
	wg.Wait()
}

// turns makes sure that in a race of many against one each side comes first in some rounds,
// however slow the engine is: in one round of four the one waits for one of the many, and in
// another the first of the many waits for the one.
type turns struct {
	round         int
	first, second chan struct{}
	once          *sync.Once
}

func newTurns(round int) turns {
	return turns{round % 4, make(chan struct{}), make(chan struct{}), new(sync.Once)}
}

func (t turns) firstDone()  { t.once.Do(func() { close(t.first) }) }
func (t turns) secondDone() { close(t.second) }

func (t turns) afterFirst() {
	if t.round == 0 {
		<-t.first
	}
}

func (t turns) afterSecond(i int) {
	if t.round == 1 && i == 0 {
		<-t.second
	}
}

func repeat(n int, f func(i int)) (fs []func()) {
	for i := range n {
		fs = append(fs, func() { f(i) })
	}
	return fs
}

func raceOneKey(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	for round := range rounds(20) {
		var won, lost atomic.Int64
		atOnce(repeat(8, func(i int) {
			err := f.CreateUser(ctx, &account{Email: fmt.Sprintf("%d-%d", round, i)}, email(fmt.Sprintf("taken-%d", round)))
			switch {
			case err == nil:
				won.Add(1)
			case isErr(err, gormkey.ErrDuplicateKey):
				lost.Add(1)
			default:
				s.Errorf("round %d: %v", round, err)
			}
		})...)
		if won.Load() != 1 || lost.Load() != 7 {
			s.Fatalf("round %d: %d winners, %d duplicates; want 1 and 7", round, won.Load(), lost.Load())
		}
	}
	n := int64(rounds(20))
	equal(s, "rows", rows(s, f.db), [3]int64{n, n, 0})
}

// withNoHook makes operations of one statement run in a transaction, at READ COMMITTED,
// where they depend on their locks alone.
var withNoHook = gormkey.WithHook(func(*gorm.DB, event.Event) error { return nil })

func raceDelete(s *suite, opts ...gormkey.Option) {
	f := s.accounts(opts...)
	ctx := s.Context()
	var created, refused atomic.Int64
	note := func(what string, err error) {
		switch {
		case err == nil:
			created.Add(1)
		case isErr(err, gormkey.ErrUserNotFound), isErr(err, gormkey.ErrInvalidCredentials):
			refused.Add(1)
		default:
			s.Errorf("%s: %v", what, err)
		}
	}
	for round := range fullRounds(60, 1000) {
		u := &account{Email: fmt.Sprint(round)}
		must(s, f.CreateUser(ctx, u, email(u.Email)))
		turns := newTurns(round)
		fs := repeat(4, func(i int) {
			turns.afterSecond(i)
			_, err := f.OpenSession(ctx, u.ID)
			note("OpenSession", err)
			turns.firstDone()
		})
		fs = append(fs, repeat(2, func(i int) {
			_, err := f.AddKey(ctx, u.ID, gormkey.Proved("github", fmt.Sprintf("%d-%d", round, i)))
			note("AddKey", err)
		})...)
		fs = append(fs, repeat(2, func(int) {
			_, err := f.SignIn(ctx, email(u.Email))
			note("SignIn", err)
		})...)
		fs = append(fs, func() {
			turns.afterFirst()
			if err := f.DeleteUser(ctx, u.ID); err != nil {
				s.Errorf("DeleteUser: %v", err)
			}
			turns.secondDone()
		})
		atOnce(fs...)
	}
	equal(s, "orphans", orphans(s, f.db), 0)
	equal(s, "rows", rows(s, f.db), [3]int64{0, 0, 0})
	if created.Load() == 0 || refused.Load() == 0 {
		s.Fatalf("%d created, %d refused: one side always won, so nothing was raced", created.Load(), refused.Load())
	}
}

func racePasswordChange(s *suite, opts ...gormkey.Option) {
	f := s.accounts(opts...)
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	opened, stale := 0, 0
	var refused atomic.Int64
	old := email(ada.Email)
	for round := range rounds(60) {
		next := old
		next.Password = fmt.Sprintf("password of round %d", round)
		var sessions [3]*device
		turns := newTurns(round)
		fs := repeat(3, func(i int) {
			turns.afterSecond(i)
			defer turns.firstDone()
			session, err := f.SignIn(ctx, old)
			if isErr(err, gormkey.ErrInvalidCredentials) {
				refused.Add(1)
			} else if err != nil {
				s.Errorf("SignIn: %v", err)
			}
			sessions[i] = session
		})
		fs = append(fs, func() {
			turns.afterFirst()
			defer turns.secondDone()
			if _, err := f.OverwritePassword(ctx, next, ""); err != nil {
				s.Errorf("ChangePassword: %v", err)
			}
		})
		atOnce(fs...)
		for _, session := range sessions {
			if session == nil {
				continue
			}
			opened++
			if _, err := f.ValidateSession(ctx, session.Token); err == nil {
				stale++
			}
		}
		old = next
	}
	equal(s, "sessions of an old password that live", stale, 0)
	equal(s, "sessions", count(s, f.db, "user_session"), 0)
	if opened == 0 || refused.Load() == 0 {
		s.Fatalf("%d sign-ins came before the change and %d after: one side always won, so nothing was raced", opened, refused.Load())
	}
}

func raceInvalidate(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	var valid, refused atomic.Int64
	for round := range rounds(40) {
		session, err := f.OpenSession(ctx, ada.ID)
		must(s, err)
		f.clock.Advance(ActivePeriod + time.Minute) // each validation wants to renew
		var ended atomic.Bool
		turns := newTurns(round)
		fs := repeat(6, func(i int) {
			turns.afterSecond(i)
			for range 4 {
				after := ended.Load()
				_, err := f.ValidateSession(ctx, session.Token)
				switch {
				case err == nil && after:
					s.Errorf("round %d: validated after it was ended", round)
				case err == nil:
					valid.Add(1)
				case isErr(err, gormkey.ErrInvalidSession):
					refused.Add(1)
				default:
					s.Errorf("ValidateSession: %v", err)
				}
				turns.firstDone()
			}
		})
		fs = append(fs, func() {
			turns.afterFirst()
			defer turns.secondDone()
			if err := f.EndSessionOfAnyone(ctx, session.ID); err != nil {
				s.Errorf("EndSessionOfAnyone: %v", err)
			}
			ended.Store(true)
		})
		atOnce(fs...)
	}
	equal(s, "sessions", count(s, f.db, "user_session"), 0)
	if valid.Load() == 0 || refused.Load() == 0 {
		s.Fatalf("%d validations came before the end and %d after: one side always won, so nothing was raced", valid.Load(), refused.Load())
	}
}

func raceRenewals(s *suite) {
	f := s.accounts(gormkey.WithHook(func(tx *gorm.DB, e event.Event) error {
		if e.Type == event.SessionRenewed {
			return tx.Create(&renewal{}).Error
		}
		return nil
	}))
	must(s, f.db.AutoMigrate(&renewal{}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	n := rounds(20)
	for range n {
		f.clock.Advance(ActivePeriod + time.Minute)
		want := gormkey.UnixMilli(f.clock.Now().Add(ActivePeriod + IdlePeriod).UnixMilli())
		atOnce(repeat(8, func(int) {
			got, err := f.ValidateSession(ctx, session.Token)
			if err != nil || got.IdleExpires != want {
				s.Errorf("ValidateSession: got %+v, %v", got, err)
			}
		})...)
	}
	equal(s, "renewals", count(s, f.db, "renewals"), int64(n))
}

// renewal is a row that a hook writes.
type renewal struct {
	ID string `gorm:"primaryKey;size:36"`
}

// BeforeCreate makes the id.
func (r *renewal) BeforeCreate(*gorm.DB) error {
	r.ID = rand.Text()
	return nil
}

// ofSnapshot is for a transaction of a caller's that goes on seeing what it has seen, as at
// MySQL's own level. A server of it may be at SERIALIZABLE, where a read holds off others.
func ofSnapshot(db *gorm.DB) *sql.TxOptions {
	if db.Name() == "mysql" {
		return &sql.TxOptions{Isolation: sql.LevelRepeatableRead}
	}
	return nil
}

func raceLastKeys(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	for round := range rounds(30) {
		u := &account{Email: fmt.Sprint(round)}
		must(s, f.CreateUser(ctx, u, email(u.Email+"a"), email(u.Email+"b")))
		var kept atomic.Int64
		atOnce(repeat(2, func(i int) {
			err := f.RemoveKey(ctx, u.ID, keyID("email", u.Email+[]string{"a", "b"}[i]))
			if isErr(err, gormkey.ErrLastKey) {
				kept.Add(1)
			} else if err != nil {
				s.Errorf("RemoveKey: %v", err)
			}
		})...)
		if kept.Load() != 1 {
			s.Fatalf("round %d: %d refusals, want 1", round, kept.Load())
		}
	}
	equal(s, "keys", count(s, f.db, "user_key"), int64(rounds(30)))
	if f.db.Name() == "sqlite" {
		return // where two transactions of a caller cannot write at once
	}
	for round := range rounds(30) { // in callers' transactions, at the server's own level
		u := &account{Email: fmt.Sprint("tx", round)}
		must(s, f.CreateUser(ctx, u, email(u.Email+"a"), email(u.Email+"b")))
		atOnce(repeat(2, func(i int) {
			err := f.db.Transaction(func(tx *gorm.DB) error {
				if err := tx.Find(&account{}, "id = ?", u.ID).Error; err != nil { // begins a snapshot
					return err
				}
				return f.With(tx).RemoveKey(ctx, u.ID, keyID("email", u.Email+[]string{"a", "b"}[i]))
			})
			// At SERIALIZABLE, if that is the server's level, one may be a deadlock's victim.
			if err != nil && !isErr(err, gormkey.ErrLastKey) && !gormkey.Retryable(err) {
				s.Errorf("RemoveKey in a transaction: %v", err)
			}
		})...)
		equal(s, "keys left by callers' transactions", count(s, f.db, "user_key", "user_id = ?", u.ID), 1)
	}
}

func raceCleanups(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	fill(s, f, 300)
	f.clock.Advance(50 * 365 * 24 * time.Hour)
	var deleted atomic.Int64
	atOnce(repeat(4, func(int) {
		n, err := f.DeleteExpired(ctx, gormkey.WithBatchSize(37))
		if err != nil {
			s.Errorf("DeleteExpired: %v", err)
		}
		deleted.Add(n)
	})...)
	equal(s, "deleted", deleted.Load(), 300)
	if f.db.Name() == "sqlite" {
		return // where nobody else writes during a transaction
	}
	ada := signUp(s, f, "ada")
	_, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	f.clock.Advance(365 * 24 * time.Hour)
	must(s, f.db.Transaction(func(tx *gorm.DB) error { // whose snapshot may show what is gone
		if err := tx.Find(&[]device{}).Error; err != nil {
			return err
		}
		if _, err := f.DeleteExpired(ctx); err != nil {
			return err
		}
		n, err := f.With(tx).DeleteExpired(ctx)
		equal(s, "deleted for the second time", n, 0)
		return err
	}, ofSnapshot(f.db)))
}

// raceMixed is for -race: everything at once on one repository, and then the invariants.
func raceMixed(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	const people = 5
	allowed := []error{gormkey.ErrUserNotFound, gormkey.ErrInvalidCredentials, gormkey.ErrInvalidSession, gormkey.ErrKeyNotFound, gormkey.ErrDuplicateKey, gormkey.ErrDuplicateAttribute, gormkey.ErrLastKey}
	atOnce(repeat(6, func(worker int) {
		for i := range rounds(30) {
			name := fmt.Sprintf("p%d", (worker+i)%people)
			check := func(verb string, err error) {
				if err == nil {
					return
				}
				for _, a := range allowed {
					if isErr(err, a) {
						return
					}
				}
				s.Errorf("%s: %v", verb, err)
			}
			u := &account{Email: name}
			check("CreateUser", f.CreateUser(ctx, u, email(name)))
			session, err := f.SignIn(ctx, email(name))
			check("SignIn", err)
			if err != nil {
				continue
			}
			_, err = f.ValidateSession(ctx, session.Token)
			check("ValidateSession", err)
			switch i % 4 {
			case 0:
				check("SignOut", f.SignOut(ctx, session.Token))
			case 1:
				_, err = f.OverwritePassword(ctx, email(name), session.ID)
				check("ChangePassword", err)
			case 2:
				check("DeleteUser", f.DeleteUser(ctx, session.UserID))
			case 3:
				_, err = f.AddKey(ctx, session.UserID, gormkey.Proved("github", name))
				check("AddKey", err)
				check("RemoveKey", f.RemoveKey(ctx, session.UserID, keyID("github", name)))
			}
		}
	})...)
	equal(s, "orphans", orphans(s, f.db), 0)
	equal(s, "users without a key", count(s, f.db, "auth_user", "id NOT IN (SELECT user_id FROM user_key)"), 0)
	pool, err := f.db.DB()
	must(s, err)
	equal(s, "connections in use", pool.Stats().InUse, 0)
}
