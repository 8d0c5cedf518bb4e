package gormkeytest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/throttle"
)

var throttleBoundCases = []testCase{
	{"throttle/names that one address makes up", throttleMadeUp},
	{"throttle/R27 of 64 made-up names at once 5 are let in", throttleMadeUpParallel},
	{"throttle/R27 of 64 addresses at one account 1 is let in", throttleAddressesParallel},
	{"throttle/what is no failure leaves no row", throttleNoRow},
	{"throttle/credentials that are none", throttleNoCredentials},
	{"throttle/statements", throttleStatements},
	{"throttle/the database fails in between", throttleBetween},
}

func throttleRows(s *suite, f *accounts) int64 {
	s.Helper()
	return count(s, f.db, throttle.DefaultTable)
}

// throttleMadeUp: the rows that one address causes are bounded by its limit.
func throttleMadeUp(s *suite) {
	f := s.accounts()
	t := limits(s, f, throttle.WithAddressLimit(10, time.Minute))
	client := throttle.Client{Address: netip.MustParseAddr("192.0.2.1")}
	let, names := 0, 0
	try := func() error {
		names++
		return t.Do(s.Context(), fmt.Sprintf("email:%d@example.com", names), client, func() error { let++; return gormkey.ErrInvalidCredentials })
	}
	for range 10 {
		wantErr(s, "a name", try(), gormkey.ErrInvalidCredentials)
	}
	for range 50 {
		equal(s, "retry after", retryAfter(s, "a name too many", try()), time.Minute)
	}
	equal(s, "attempts let in", let, 10)
	equal(s, "rows", throttleRows(s, f), 11)
	f.clock.Advance(time.Minute)
	wantErr(s, "a minute later", try(), gormkey.ErrInvalidCredentials)
	retryAfter(s, "another one", try())
	equal(s, "rows a minute later", throttleRows(s, f), 12)

	// With the account full too, the wait is the longer one.
	client = throttle.Client{Address: netip.MustParseAddr("192.0.2.2")}
	fail := func() error {
		return t.Do(s.Context(), "email:ada@example.com", client, func() error { return gormkey.ErrInvalidCredentials })
	}
	for range 5 {
		wantErr(s, "a guess", fail(), gormkey.ErrInvalidCredentials)
	}
	for range 5 {
		wantErr(s, "a name", try(), gormkey.ErrInvalidCredentials)
	}
	equal(s, "retry after, both are full", retryAfter(s, "both are full", fail()), 10*time.Minute)
}

func throttleMadeUpParallel(s *suite) {
	f := s.accounts()
	t := limits(s, f, throttle.WithAddressLimit(5, time.Hour))
	client := throttle.Client{Address: netip.MustParseAddr("192.0.2.1")}
	let, refused := together(64, func(i int, attempt func() error) error {
		return t.Do(s.Context(), fmt.Sprintf("email:%d@example.com", i), client, attempt)
	})
	equal(s, "let in", let, 5)
	equal(s, "refused", refused, 59)
	equal(s, "rows", throttleRows(s, f), 6)
}

// throttleAddressesParallel: what the account refuses leaves no row of an address that was
// not seen before.
func throttleAddressesParallel(s *suite) {
	f := s.accounts()
	t := limits(s, f, throttle.WithAccountLimit(1, time.Hour))
	let, refused := together(64, func(i int, attempt func() error) error {
		return t.Do(s.Context(), "email:ada@example.com", throttle.Client{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}, attempt)
	})
	equal(s, "let in", let, 1)
	equal(s, "refused", refused, 63)
	equal(s, "rows", throttleRows(s, f), 2)
}

// together makes attempts at the same time, each of which fails.
func together(n int, do func(i int, attempt func() error) error) (let, refused int64) {
	var in, out atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			err := do(i, func() error { in.Add(1); return gormkey.ErrInvalidCredentials })
			if errors.Is(err, throttle.ErrTooMany) {
				out.Add(1)
			}
		})
	}
	wg.Wait()
	return in.Load(), out.Load()
}

// throttleNoRow: an attempt that neither passes nor fails leaves what it found.
func throttleNoRow(s *suite) {
	f := s.accounts()
	t := limits(s, f, throttle.WithAccountLimit(2, time.Hour))
	client := throttle.Client{Address: netip.MustParseAddr("192.0.2.1"), Device: strings.Repeat("d", 26)}
	do := func(account string, attempt func() error) error { return t.Do(s.Context(), account, client, attempt) }
	none := []error{gormkey.ErrBusy, errors.New("the database is down"), gormkey.ErrOutcomeUnknown, &gormkey.ArgumentError{Argument: "id", Reason: "is empty"}}
	for i, err := range none {
		wantErr(s, "an attempt that was none", do(fmt.Sprintf("email:%d", i), func() error { return err }), err)
	}
	equal(s, "rows after attempts that were none", throttleRows(s, f), 0)

	// A failure of another one at the same time stays.
	wantErr(s, "one around another", do("email:ada", func() error {
		wantErr(s, "the other", do("email:ada", func() error { return gormkey.ErrInvalidCredentials }), gormkey.ErrInvalidCredentials)
		return gormkey.ErrBusy
	}), gormkey.ErrBusy)
	equal(s, "rows of a failure", throttleRows(s, f), 2)
	wantErr(s, "the second failure", do("email:ada", func() error { return gormkey.ErrInvalidCredentials }), gormkey.ErrInvalidCredentials)
	equal(s, "retry after", retryAfter(s, "the third", do("email:ada", func() error { return nil })), time.Hour)
	for _, err := range none {
		wantErr(s, "an attempt that was none, with rows", do("email:bob", func() error { return err }), err)
	}
	f.clock.Advance(time.Hour)
	for _, err := range none {
		wantErr(s, "an attempt that was none, with rows", do("email:ada", func() error { return err }), err)
	}
	equal(s, "rows that were there", throttleRows(s, f), 2)
	wantErr(s, "one place", do("email:ada", func() error { return gormkey.ErrInvalidCredentials }), gormkey.ErrInvalidCredentials)
	retryAfter(s, "and no other", do("email:ada", func() error { return nil }))
}

// throttleNoCredentials: what cannot be anybody's is refused before it is counted.
func throttleNoCredentials(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	t := limits(s, f)
	good := email(ada.Email)
	changed := func(change func(c *gormkey.Credentials)) gormkey.Credentials {
		c := good
		change(&c)
		return c
	}
	for what, c := range map[string]gormkey.Credentials{
		"an id of 64 KiB":         changed(func(c *gormkey.Credentials) { c.ID = strings.Repeat("x", 64<<10) }),
		"an empty id":             changed(func(c *gormkey.Credentials) { c.ID = "" }),
		"an id that is no UTF-8":  changed(func(c *gormkey.Credentials) { c.ID = "\xff" }),
		"an id with a NUL":        changed(func(c *gormkey.Credentials) { c.ID = "a\x00" }),
		"an id with a blank":      changed(func(c *gormkey.Credentials) { c.ID = " a" }),
		"no provider":             changed(func(c *gormkey.Credentials) { c.Provider = "" }),
		"a provider with a colon": changed(func(c *gormkey.Credentials) { c.Provider = "e:mail" }),
		"a password of 5 kB":      changed(func(c *gormkey.Credentials) { c.Password = strings.Repeat("x", 5000) }),
		"a password not in UTF-8": changed(func(c *gormkey.Credentials) { c.Password = "\xff\xfe\xfd password" }),
		"nothing":                 {},
	} {
		wantErr(s, "CheckCredentials, "+what, f.CheckCredentials(c), gormkey.ErrInvalidArgument)
		_, err := f.SignIn(s.Context(), c)
		wantErr(s, "SignIn, "+what, err, gormkey.ErrInvalidArgument)
		_, err = f.UseKey(s.Context(), c)
		wantErr(s, "UseKey, "+what, err, gormkey.ErrInvalidArgument)
		err = t.Do(s.Context(), c.Provider+":"+c.ID, throttle.Client{}, func() error { _, err := f.SignIn(s.Context(), c); return err })
		wantErr(s, "Do, "+what, err, gormkey.ErrInvalidArgument)
	}
	equal(s, "rows", throttleRows(s, f), 0)
	for what, c := range map[string]gormkey.Credentials{
		"good": good, "unknown": email("nobody@example.com"), "wrong": changed(func(c *gormkey.Credentials) { c.Password = "wrong" }),
		"empty password": changed(func(c *gormkey.Credentials) { c.Password = "" }),
		"without one":    gormkey.Proved("github", "1"),
	} {
		if err := f.CheckCredentials(c); err != nil {
			s.Errorf("CheckCredentials, %s: got error %v", what, err)
		}
	}
}

// throttleStatements: a refusal is one SELECT.
func throttleStatements(s *suite) {
	f := s.accounts()
	sent := record(f.db)
	t := limits(s, f, throttle.WithAccountLimit(2, time.Hour), throttle.WithAddressLimit(4, time.Hour))
	unknown := throttle.Client{Address: netip.MustParseAddr("192.0.2.1"), Device: strings.Repeat("u", 26)}
	known := throttle.Client{Address: unknown.Address, Device: strings.Repeat("k", 26)}
	fail := func() error { return gormkey.ErrInvalidCredentials }
	pass := func() error { return nil }
	do := func(what, account string, client throttle.Client, attempt func() error, want ...string) {
		s.Helper()
		sent.reset()
		err := t.Do(s.Context(), account, client, attempt)
		var verbs, texts []string
		for _, st := range sent.taken() {
			verb, _, _ := strings.Cut(st.sql, " ")
			verbs, texts = append(verbs, verb), append(texts, st.sql)
		}
		if !slices.Equal(verbs, want) {
			s.Errorf("%s (error %v): got the statements\n  %s\nwant %q", what, err, strings.Join(texts, "\n  "), want)
		}
	}
	do("the first failure", "email:ada", unknown, fail, "SELECT", "INSERT", "INSERT")
	do("the second failure", "email:ada", unknown, fail, "SELECT", "UPDATE", "UPDATE")
	do("a full account", "email:ada", unknown, pass, "SELECT")
	do("a full account, no device", "email:ada", throttle.Client{Address: unknown.Address}, pass, "SELECT")
	do("a full account, no address", "email:ada", throttle.Client{}, pass, "SELECT")
	do("a new account", "email:bob", throttle.Client{Address: unknown.Address}, pass, "SELECT", "UPDATE", "INSERT", "UPDATE", "UPDATE")
	must(s, t.Trust(s.Context(), "email:ada", known))
	do("a known device", "email:ada", known, pass, "SELECT", "UPDATE", "UPDATE")
	do("a known device's failure", "email:ada", known, fail, "SELECT", "UPDATE")
	do("a known device's second failure", "email:ada", known, fail, "SELECT", "UPDATE")
	do("a full device", "email:ada", known, pass, "SELECT")
	do("a made-up name", "email:1", unknown, fail, "SELECT", "UPDATE", "INSERT")
	do("another", "email:2", unknown, fail, "SELECT", "UPDATE", "INSERT")
	do("a full address", "email:3", unknown, pass, "SELECT")
	do("a full address, a known name", "email:1", unknown, pass, "SELECT")
}

// throttleBetween: if the account's place cannot be taken, the address's is given back.
func throttleBetween(s *suite) {
	f := s.accounts()
	sent := record(f.db)
	t := limits(s, f, throttle.WithAddressLimit(1, time.Hour))
	client := throttle.Client{Address: netip.MustParseAddr("192.0.2.1")}
	down := errors.New("the database is down")
	for n := 1; n <= 3; n++ { // the SELECT, the INSERT for the address, that for the account
		i := 0
		sent.inject = func(string) error {
			if i++; i == n {
				return down
			}
			return nil
		}
		err := t.Do(s.Context(), "email:ada", client, func() error { s.Error("let in"); return nil })
		sent.inject = nil
		if !errors.Is(err, down) || errors.Is(err, throttle.ErrTooMany) {
			s.Errorf("statement %d fails: got error %v", n, err)
		}
		equal(s, fmt.Sprintf("rows after statement %d has failed", n), throttleRows(s, f), 0)
	}
	must(s, t.Do(s.Context(), "email:ada", client, func() error { return nil }))
}
