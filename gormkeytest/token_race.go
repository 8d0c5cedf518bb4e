package gormkeytest

import (
	"fmt"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

func raceConsumers(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	for round := range fullRounds(10, 200) {
		token := issue(s, f, ada.ID, gormkey.PurposeVerifyEmail, "")
		var won, lost, winner atomic.Int64
		atOnce(repeat(16, func(i int) {
			_, err := f.UseToken(ctx, gormkey.PurposeVerifyEmail, token, func(tx *gorm.DB, t *gormkey.OneTimeToken[account]) error {
				return tx.Model(&account{User: gormkey.User{ID: t.UserID}}).Update("name", fmt.Sprintf("%d-%d", round, i)).Error
			})
			switch {
			case err == nil:
				won.Add(1)
				winner.Store(int64(i))
			case isErr(err, gormkey.ErrInvalidToken):
				lost.Add(1)
			default:
				s.Errorf("round %d: got error %v", round, err)
			}
		})...)
		equal(s, fmt.Sprintf("winners of round %d", round), won.Load(), 1)
		equal(s, fmt.Sprintf("losers of round %d", round), lost.Load(), 15)
		user, err := f.GetUser(ctx, ada.ID)
		must(s, err)
		equal(s, "what was done", user.Name, fmt.Sprintf("%d-%d", round, winner.Load()))
	}
}

// raceIssuers: of changes that are asked for at once one token is good, and for the address
// that it was sent to.
func raceIssuers(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	for round := range fullRounds(10, 200) {
		sent := make([]gormkey.Token, 4)
		address := func(i int) string { return fmt.Sprintf("%d-%d@example.com", round, i) }
		atOnce(repeat(len(sent), func(i int) {
			token, err := f.IssueToken(ctx, ada.ID, gormkey.PurposeChangeEmail, address(i), hour)
			if err != nil {
				s.Errorf("round %d: got error %v", round, err)
			}
			sent[i] = token
		})...)
		equal(s, fmt.Sprintf("tokens of round %d", round), tokens(s, f), 1)
		good := 0
		for i, token := range sent {
			t, err := f.UseToken(ctx, gormkey.PurposeChangeEmail, token, nil)
			if isErr(err, gormkey.ErrInvalidToken) {
				continue
			}
			must(s, err)
			good++
			equal(s, "address", t.Payload, address(i))
		}
		equal(s, fmt.Sprintf("good tokens of round %d", round), good, 1)
	}
}

func raceTokenDelete(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	verbs := []string{"IssueToken", "SignInWithToken", "ResetPassword"}
	var done, refused [3]atomic.Int64
	for round := range max(12, fullRounds(12, 300)) { // twelve, so that each verb comes first once, and last once
		a := signUp(s, f, fmt.Sprint("user", round))
		token := issue(s, f, a.ID, gormkey.PurposeMagicLink, "")
		reset := issue(s, f, a.ID, gormkey.PurposeResetPassword, "email:"+a.Email)
		calls := []func() error{
			func() error { return second(f.IssueToken(ctx, a.ID, gormkey.PurposeVerifyEmail, "", hour)) },
			func() error { return second(f.SignInWithToken(ctx, token)) },
			func() error { return second(f.ResetPassword(ctx, reset, "a new password")) },
		}
		turns, one := newTurns(round), round/4%len(calls)
		fs := repeat(len(calls), func(i int) {
			if i != one {
				turns.afterFirst() // since one of them may void the token of another
			} else {
				turns.afterSecond(0)
				defer turns.firstDone()
			}
			switch err := calls[i](); {
			case err == nil:
				done[i].Add(1)
			case isErr(err, []error{gormkey.ErrUserNotFound, gormkey.ErrInvalidToken, gormkey.ErrInvalidToken}[i]):
				refused[i].Add(1)
			default:
				s.Errorf("round %d: %s: got error %v", round, verbs[i], err)
			}
		})
		atOnce(append(fs, func() {
			turns.afterFirst()
			defer turns.secondDone()
			if err := f.DeleteUser(ctx, a.ID); err != nil {
				s.Errorf("round %d: DeleteUser: %v", round, err)
			}
		})...)
	}
	for i, verb := range verbs {
		if done[i].Load() == 0 || refused[i].Load() == 0 {
			s.Errorf("%s was done %d times and refused %d: one side always won, so nothing was raced", verb, done[i].Load(), refused[i].Load())
		}
	}
	equal(s, "tokens without a user", count(s, f.db, "user_token", "user_id NOT IN (SELECT id FROM auth_user)"), 0)
	equal(s, "orphans", orphans(s, f.db), 0)
	equal(s, "tokens", tokens(s, f), 0)
}
