package gormkeytest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/throttle"
)

var throttleCases = concat([]testCase{
	{"throttle/R27 of 64 guesses at once 5 are let in", throttleParallel},
	{"throttle/failures decay one by one", throttleDecay},
	{"throttle/what is no failure", throttleNoFailure},
	{"throttle/a known device", throttleDevice},
	{"throttle/trust and forget", throttleTrust},
	{"throttle/addresses", throttleAddress},
	{"throttle/refused by one bucket, counted in none", throttleRefused},
	{"throttle/cleanup", throttleCleanup},
	{"throttle/migrated twice", throttleMigrate},
	{"throttle/the database fails", throttleDatabase},
}, throttleBoundCases)

// limits makes a throttle in the fixture's database, on its clock.
func limits(s *suite, f *accounts, opts ...throttle.Option) *throttle.Throttle {
	s.Helper()
	t, err := throttle.New(f.db, append([]throttle.Option{throttle.WithClock(f.clock.Now)}, opts...)...)
	must(s, err)
	must(s, t.AutoMigrate())
	return t
}

// attempt is what a sign-in with a password comes to.
type attempt struct {
	f      *accounts
	t      *throttle.Throttle
	client throttle.Client
	hashed int
}

func (a *attempt) signIn(ctx context.Context, id, password string) error {
	return a.t.Do(ctx, "email:"+id, a.client, func() error {
		a.hashed++
		_, err := a.f.SignIn(ctx, gormkey.Credentials{Provider: "email", ID: id, Password: password})
		return err
	})
}

// retryAfter wants an attempt to be refused, and returns for how long.
func retryAfter(s *suite, what string, err error) time.Duration {
	s.Helper()
	var refused *throttle.Error
	if !errors.As(err, &refused) || !errors.Is(err, throttle.ErrTooMany) {
		s.Fatalf("%s: got error %v, want one of the throttle", what, err)
	}
	return refused.RetryAfter
}

// throttleTrust: a device is known without a sign-in, and a reset password is not paid for
// with the failures of the old one.
func throttleTrust(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	t := limits(s, f)
	ctx := s.Context()
	known, unknown := throttle.Client{Device: strings.Repeat("k", 26)}, throttle.Client{Device: strings.Repeat("u", 26)}
	must(s, t.Trust(ctx, "email:"+ada.Email, known))
	must(s, t.Trust(ctx, "email:"+ada.Email, known))
	must(s, t.Trust(ctx, "email:"+ada.Email, throttle.Client{}))
	stranger := &attempt{f: f, t: t}
	for range 5 {
		wantErr(s, "a guess", stranger.signIn(ctx, ada.Email, "a guess"), gormkey.ErrInvalidCredentials)
	}
	retryAfter(s, "a stranger", stranger.signIn(ctx, ada.Email, goodPassword))
	retryAfter(s, "an unknown device", (&attempt{f: f, t: t, client: unknown}).signIn(ctx, ada.Email, goodPassword))
	must(s, (&attempt{f: f, t: t, client: known}).signIn(ctx, ada.Email, goodPassword))

	must(s, t.Forget(ctx, "email:bob@example.com"))
	retryAfter(s, "after another account's was forgotten", stranger.signIn(ctx, ada.Email, goodPassword))
	must(s, t.Forget(ctx, "email:"+ada.Email))
	must(s, stranger.signIn(ctx, ada.Email, goodPassword))
	for what, err := range map[string]error{
		"Trust without an account":  t.Trust(ctx, "", known),
		"Trust of a short device":   t.Trust(ctx, "email:x", throttle.Client{Device: "short"}),
		"Forget without an account": t.Forget(ctx, ""),
	} {
		if err == nil {
			s.Errorf("%s: got no error", what)
		}
	}
}

func throttleParallel(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	t := limits(s, f)
	var let, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			password := fmt.Sprintf("guess number %d", i)
			if i == 63 {
				password = goodPassword
			}
			failed := errors.New("not called")
			err := t.Do(s.Context(), "email:"+ada.Email, throttle.Client{}, func() error {
				let.Add(1)
				_, failed = f.SignIn(s.Context(), gormkey.Credentials{Provider: "email", ID: ada.Email, Password: password})
				if failed == nil { // so that the good one's place does not let another in
					failed = gormkey.ErrInvalidCredentials
				}
				return failed
			})
			if errors.Is(err, throttle.ErrTooMany) {
				refused.Add(1)
			} else if !isErr(err, gormkey.ErrInvalidCredentials) {
				s.Errorf("guess %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if let.Load() != 5 || refused.Load() != 59 {
		s.Errorf("%d guesses were let in and %d refused, want 5 and 59", let.Load(), refused.Load())
	}
}

func throttleDecay(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	a := &attempt{f: f, t: limits(s, f, throttle.WithAccountLimit(3, time.Minute))}
	for range 3 {
		wantErr(s, "a wrong password", a.signIn(s.Context(), ada.Email, "wrong"), gormkey.ErrInvalidCredentials)
		f.clock.Advance(time.Second)
	}
	// The first was three seconds ago.
	for range 20 { // refused ones put nothing off
		equal(s, "retry after", retryAfter(s, "the right password", a.signIn(s.Context(), ada.Email, goodPassword)), 57*time.Second)
	}
	equal(s, "passwords that were looked at", a.hashed, 3)
	f.clock.Advance(57*time.Second - time.Millisecond)
	equal(s, "retry after", retryAfter(s, "a millisecond early", a.signIn(s.Context(), ada.Email, goodPassword)), time.Millisecond)
	f.clock.Advance(time.Millisecond)
	must(s, a.signIn(s.Context(), ada.Email, goodPassword))
	must(s, a.signIn(s.Context(), ada.Email, goodPassword)) // which gave its place back
	wantErr(s, "one more", a.signIn(s.Context(), ada.Email, "wrong"), gormkey.ErrInvalidCredentials)
	retryAfter(s, "one too many", a.signIn(s.Context(), ada.Email, "wrong"))
	f.clock.Advance(3 * time.Minute)
	for range 3 {
		wantErr(s, "after a rest", a.signIn(s.Context(), ada.Email, "wrong"), gormkey.ErrInvalidCredentials)
	}
	retryAfter(s, "after a rest", a.signIn(s.Context(), ada.Email, "wrong"))
	retryAfter(s, "an account that nobody has, as one that somebody has", func() error {
		for range 3 {
			wantErr(s, "an unknown account", a.signIn(s.Context(), "nobody@example.com", "wrong"), gormkey.ErrInvalidCredentials)
		}
		return a.signIn(s.Context(), "nobody@example.com", "wrong")
	}())
}

func throttleNoFailure(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	a := &attempt{f: f, t: limits(s, f, throttle.WithAccountLimit(1, time.Hour), throttle.WithAddressLimit(1, time.Hour)),
		client: throttle.Client{Address: netip.MustParseAddr("192.0.2.1")}}
	for range 10 {
		must(s, a.signIn(s.Context(), ada.Email, goodPassword))
	}
	for _, other := range []error{gormkey.ErrBusy, errors.New("the database is down"), gormkey.ErrOutcomeUnknown} {
		for range 2 {
			wantErr(s, "an attempt that was none", a.t.Do(s.Context(), "email:"+ada.Email, a.client, func() error { return other }), other)
		}
	}
	func() {
		defer func() { _ = recover() }()
		_ = a.t.Do(s.Context(), "email:"+ada.Email, a.client, func() error { panic("in the attempt") })
	}()
	retryAfter(s, "after a panic, of which nobody knows what it had done", a.signIn(s.Context(), ada.Email, goodPassword))

	// Whoever goes away before the answer has guessed all the same.
	ctx, cancel := context.WithCancel(s.Context())
	err := a.t.Do(ctx, "email:other@example.com", throttle.Client{}, func() error {
		cancel()
		_, err := f.SignIn(ctx, email(ada.Email))
		return err
	})
	wantErr(s, "a guess that was given up", err, context.Canceled)
	a.client = throttle.Client{}
	retryAfter(s, "after it", a.signIn(s.Context(), "other@example.com", goodPassword))
}

func throttleDevice(s *suite) {
	f := s.accounts()
	ada, grace := signUp(s, f, "ada"), signUp(s, f, "grace")
	t := limits(s, f, throttle.WithAccountLimit(2, time.Hour), throttle.WithAddressLimit(4, time.Hour), throttle.WithDeviceTrust(48*time.Hour))
	address := netip.MustParseAddr("192.0.2.1")
	own := &attempt{f: f, t: t, client: throttle.Client{Address: address, Device: strings.Repeat("d", 40)}}
	stranger := &attempt{f: f, t: t, client: throttle.Client{Address: address, Device: strings.Repeat("e", 40)}}
	must(s, own.signIn(s.Context(), ada.Email, goodPassword))

	for range 2 {
		wantErr(s, "a stranger's guess", stranger.signIn(s.Context(), ada.Email, "wrong"), gormkey.ErrInvalidCredentials)
		wantErr(s, "a stranger's guess", stranger.signIn(s.Context(), "nobody@example.com", "wrong"), gormkey.ErrInvalidCredentials)
	}
	retryAfter(s, "a stranger with the password", stranger.signIn(s.Context(), ada.Email, goodPassword))
	retryAfter(s, "the device at another's account", own.signIn(s.Context(), grace.Email, goodPassword))
	must(s, own.signIn(s.Context(), ada.Email, goodPassword))

	for range 2 {
		wantErr(s, "the device's own failure", own.signIn(s.Context(), ada.Email, "wrong"), gormkey.ErrInvalidCredentials)
	}
	retryAfter(s, "after the device's own failures", own.signIn(s.Context(), ada.Email, goodPassword))
	f.clock.Advance(time.Hour)
	must(s, own.signIn(s.Context(), ada.Email, goodPassword))

	f.clock.Advance(48 * time.Hour) // the last millisecond
	for range 2 {
		wantErr(s, "a stranger's guess", stranger.signIn(s.Context(), ada.Email, "wrong"), gormkey.ErrInvalidCredentials)
	}
	must(s, own.signIn(s.Context(), ada.Email, goodPassword))
	f.clock.Advance(48*time.Hour + time.Millisecond)
	for range 2 {
		wantErr(s, "a stranger's guess", stranger.signIn(s.Context(), ada.Email, "wrong"), gormkey.ErrInvalidCredentials)
	}
	retryAfter(s, "a device that is no longer known", own.signIn(s.Context(), ada.Email, goodPassword))

	f.clock.Advance(2 * time.Hour)
	must(s, own.signIn(s.Context(), ada.Email, goodPassword)) // as a stranger's

	for _, device := range []string{"web", strings.Repeat("x", 21), strings.Repeat("x", 257)} {
		err := t.Do(s.Context(), "email:"+ada.Email, throttle.Client{Device: device}, func() error { s.Error("let in"); return nil })
		if err == nil || strings.Contains(err.Error(), device) {
			s.Errorf("a device of %d bytes: got error %v", len(device), err)
		}
	}
}

func throttleAddress(s *suite) {
	f := s.accounts()
	t := limits(s, f, throttle.WithAddressLimit(2, time.Minute))
	accounts := 0
	from := func(address string) error {
		accounts++
		return t.Do(s.Context(), fmt.Sprintf("email:%d", accounts), throttle.Client{Address: netip.MustParseAddr(address)}, func() error { return gormkey.ErrInvalidCredentials })
	}
	for _, same := range [][]string{
		{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:0DB8:1:2::3"},
		{"fe80::1%eth0", "fe80::2%eth1", "fe80::1"},
	} {
		wantErr(s, same[0], from(same[0]), gormkey.ErrInvalidCredentials)
		wantErr(s, same[1], from(same[1]), gormkey.ErrInvalidCredentials)
		equal(s, same[2], retryAfter(s, same[2], from(same[2])), time.Minute)
	}
	for _, other := range []string{"192.0.2.2", "2001:db8:1:3::1"} {
		wantErr(s, other, from(other), gormkey.ErrInvalidCredentials)
	}
}

func throttleRefused(s *suite) {
	f := s.accounts()
	t := limits(s, f, throttle.WithAccountLimit(2, time.Minute), throttle.WithAddressLimit(1, time.Hour))
	fail := func(account, address string) error {
		return t.Do(s.Context(), account, throttle.Client{Address: netip.MustParseAddr(address)}, func() error { return gormkey.ErrInvalidCredentials })
	}
	wantErr(s, "the first", fail("email:a", "192.0.2.1"), gormkey.ErrInvalidCredentials)
	for range 3 {
		equal(s, "its address", retryAfter(s, "its address", fail("email:b", "192.0.2.1")), time.Hour)
	}
	wantErr(s, "the other account", fail("email:b", "192.0.2.2"), gormkey.ErrInvalidCredentials)
	wantErr(s, "the other account", fail("email:b", "192.0.2.3"), gormkey.ErrInvalidCredentials)
	equal(s, "the account", retryAfter(s, "the account", fail("email:b", "192.0.2.4")), time.Minute)
	wantErr(s, "the address that it came from", fail("email:c", "192.0.2.4"), gormkey.ErrInvalidCredentials)
	if err := t.Do(s.Context(), "", throttle.Client{}, func() error { s.Error("let in"); return nil }); err == nil {
		s.Error("an empty account: no error")
	}
}

func throttleCleanup(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	a := &attempt{f: f, t: limits(s, f, throttle.WithAccountLimit(2, time.Hour)), client: throttle.Client{Device: strings.Repeat("d", 40)}}
	must(s, a.signIn(s.Context(), ada.Email, goodPassword)) // a device's row
	a.client.Device = ""
	const others = 3
	for i := range others {
		wantErr(s, "a failure", a.signIn(s.Context(), fmt.Sprintf("%d@example.com", i), "wrong"), gormkey.ErrInvalidCredentials)
	}
	f.clock.Advance(2 * time.Hour)
	wantErr(s, "a failure", a.signIn(s.Context(), "0@example.com", "wrong"), gormkey.ErrInvalidCredentials)
	equal(s, "rows", count(s, f.db, throttle.DefaultTable), others+2)
	deleted, err := a.t.DeleteExpired(s.Context())
	must(s, err)
	equal(s, "rows in their last millisecond", deleted, 0)
	f.clock.Advance(time.Millisecond)
	deleted, err = a.t.DeleteExpired(s.Context())
	must(s, err)
	equal(s, "deleted", deleted, others) // the account's that signed in, too
	equal(s, "rows left", count(s, f.db, throttle.DefaultTable), 2)
	wantErr(s, "a failure", a.signIn(s.Context(), "0@example.com", "wrong"), gormkey.ErrInvalidCredentials)
	retryAfter(s, "what was counted before the cleanup", a.signIn(s.Context(), "0@example.com", "wrong"))
}

func throttleMigrate(s *suite) {
	f := s.accounts()
	record := recordDDL(f.db)
	t := limits(s, f, throttle.WithTable("attempts"))
	wantErr(s, "a failure", t.Do(s.Context(), "email:a", throttle.Client{}, func() error { return gormkey.ErrInvalidCredentials }), gormkey.ErrInvalidCredentials)
	equal(s, "rows in the table of that name", count(s, f.db, "attempts"), 1)
	record.taken()
	must(s, t.AutoMigrate())
	if sent := record.taken(); len(sent) > 0 {
		s.Errorf("migrated again: %q", sent)
	}
	equal(s, "rows after it", count(s, f.db, "attempts"), 1)
}

func throttleDatabase(s *suite) {
	f := s.accounts()
	t := limits(s, f)
	must(s, f.db.Migrator().DropTable(throttle.DefaultTable))
	called := false
	err := t.Do(s.Context(), "email:a", throttle.Client{}, func() error { called = true; return nil })
	if err == nil || called || errors.Is(err, throttle.ErrTooMany) {
		s.Errorf("without a table: got error %v, attempt called %t", err, called)
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	err = t.Do(ctx, "email:a", throttle.Client{}, func() error { called = true; return nil })
	if err == nil || called {
		s.Errorf("with a context that ended: got error %v, attempt called %t", err, called)
	}
	if _, err := throttle.New(nil); err == nil {
		s.Error("a nil handle: no error")
	}
	must(s, f.db.Transaction(func(tx *gorm.DB) error {
		if _, err := throttle.New(tx); err == nil {
			s.Error("a transaction: no error")
		}
		return nil
	}))
}
