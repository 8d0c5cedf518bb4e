package gormkeytest

import (
	"fmt"
	"sync/atomic"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

// passwordRaceCases have keys that share a password whose hash is outdated, so that a
// sign-in writes it too.
var passwordRaceCases = []testCase{
	{"race/R08 shared keys, change against rehash", func(s *suite) {
		raceRehash(s, func(f *accounts, _ *account, name, next string) error {
			_, err := f.OverwritePassword(s.Context(), gormkey.Credentials{Provider: "username", ID: name, Password: next}, "")
			return err
		})
	}},
	{"race/R08 shared keys, reset against rehash", func(s *suite) {
		raceRehash(s, func(f *accounts, a *account, name, next string) error {
			token, err := f.IssueToken(s.Context(), a.ID, gormkey.PurposeResetPassword, "username:"+name, hour)
			if err == nil {
				_, err = f.ResetPassword(s.Context(), token, next)
			}
			return err
		})
	}},
	{"race/R08 sharing a key against change and rehash", raceShare},
}

// oldHash is bcrypt's of goodPassword, which no hasher of the contract makes.
const oldHash password.Hash = "$2b$04$abcdefghijklmnopqrstuu7EJV7kdjBBQxyb0HjTh9KS7.Lah/6CG"

// raceRehash: however a change and the rehash of a sign-in meet, no key keeps the old
// password, and each has the new one.
func raceRehash(s *suite, change func(f *accounts, a *account, name, next string) error) {
	f := s.withTokens()
	ctx := s.Context()
	var used, refused atomic.Int64
	for round := range max(4, fullRounds(30, 300)) {
		name, next := fmt.Sprint("user", round), fmt.Sprint("the next password ", round)
		a := &account{Email: name}
		must(s, f.CreateUser(ctx, a,
			gormkey.Imported("email", name, oldHash),
			gormkey.Imported("username", name, oldHash)))
		turns := newTurns(round)
		fs := repeat(2, func(i int) {
			turns.afterSecond(i)
			defer turns.firstDone()
			_, err := f.UseKey(ctx, gormkey.Credentials{Provider: []string{"email", "username"}[i], ID: name, Password: goodPassword})
			switch {
			case err == nil:
				used.Add(1)
			case isErr(err, gormkey.ErrInvalidCredentials):
				refused.Add(1)
			default:
				s.Errorf("round %d: UseKey: %v", round, err)
			}
		})
		fs = append(fs, func() {
			turns.afterFirst()
			defer turns.secondDone()
			if err := change(f, a, name, next); err != nil {
				s.Errorf("round %d: changing the password: %v", round, err)
			}
		})
		atOnce(fs...)
		wantPassword(s, f, name, next, goodPassword)
	}
	if used.Load() == 0 || refused.Load() == 0 {
		s.Fatalf("the old password was good %d times and refused %d: one side always won, so nothing was raced", used.Load(), refused.Load())
	}
}

// wantPassword wants both keys of a name to have a password, and not the old one.
func wantPassword(s *suite, f *accounts, name, password, old string) {
	s.Helper()
	for _, provider := range []string{"email", "username"} {
		c := gormkey.Credentials{Provider: provider, ID: name, Password: old}
		if _, err := f.UseKey(s.Context(), c); !isErr(err, gormkey.ErrInvalidCredentials) {
			s.Fatalf("%s:%s with the old password: got error %v, want %v", provider, name, err, gormkey.ErrInvalidCredentials)
		}
		c.Password = password
		if _, err := f.UseKey(s.Context(), c); err != nil {
			s.Fatalf("%s:%s with the new password: %v", provider, name, err)
		}
	}
}

// raceShare: a key that is shared while the password changes and is rehashed has the
// other's password from then on, whatever it is.
func raceShare(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	changedBefore, changedAfter := 0, 0
	for round := range fullRounds(30, 300) {
		name, next := fmt.Sprint("user", round), fmt.Sprint("the next password ", round)
		login := gormkey.Credentials{Provider: "email", ID: name, Password: goodPassword}
		must(s, f.CreateUser(ctx, &account{Email: name}, gormkey.Imported("email", name, oldHash)))
		atOnce(
			func() {
				if _, err := f.UseKey(ctx, login); err != nil && !isErr(err, gormkey.ErrInvalidCredentials) {
					s.Errorf("round %d: UseKey: %v", round, err)
				}
			},
			func() {
				if _, err := f.ShareKey(ctx, keyID("username", name), keyID("email", name)); err != nil {
					s.Errorf("round %d: ShareKey: %v", round, err)
				}
			},
			func() {
				if round%2 == 0 { // so that half of the rounds are sharing against the rehash alone
					changed := login
					changed.Password = next
					if _, err := f.OverwritePassword(ctx, changed, ""); err != nil {
						s.Errorf("round %d: ChangePassword: %v", round, err)
					}
				}
			},
		)
		if round%2 == 0 {
			wantPassword(s, f, name, next, goodPassword)
			changedBefore++
		}
		last := "the last password"
		_, err := f.OverwritePassword(ctx, gormkey.Credentials{Provider: "username", ID: name, Password: last}, "")
		must(s, err)
		wantPassword(s, f, name, last, goodPassword)
		changedAfter++
	}
	if changedAfter == 0 || changedBefore == 0 {
		s.Fatalf("%d and %d rounds: nothing was tried", changedBefore, changedAfter)
	}
}
