package gormkeytest

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// tokenVerbs calls the operations of one-time tokens.
func tokenVerbs(s *suite, f *accounts, do func(verb string, call func() error)) {
	ctx := s.Context()
	auth, err := from(f.db)
	must(s, err)
	ada := &account{Email: "ada@example.com"}
	must(s, auth.CreateUser(ctx, ada, email(ada.Email)))
	var token gormkey.Token
	issueFor := func(purpose gormkey.Purpose, payload string) func() error {
		return func() (err error) {
			token, err = auth.IssueToken(ctx, ada.ID, purpose, payload, hour)
			return err
		}
	}
	do("IssueToken", issueFor(gormkey.PurposeVerifyEmail, ada.Email))
	do("GetToken", func() error { _, err := auth.GetToken(ctx, gormkey.PurposeVerifyEmail, token); return err })
	do("UseToken", func() error { _, err := auth.UseToken(ctx, gormkey.PurposeVerifyEmail, token, nil); return err })
	must(s, issueFor(gormkey.PurposeMagicLink, "")())
	do("SignInWithToken", func() error { _, err := auth.SignInWithToken(ctx, token); return err })
	must(s, issueFor(gormkey.PurposeResetPassword, "email:"+ada.Email)())
	do("ResetPassword", func() error { _, err := auth.ResetPassword(ctx, token, "a new password"); return err })
	do("VoidTokens", func() error { return auth.VoidTokens(ctx, ada.ID, gormkey.PurposeVerifyEmail) })
	do("RenameKey", func() error { return auth.RenameKey(ctx, ada.ID, keyID("email", ada.Email), "x@example.com") })
	do("DeleteExpired", func() error { _, err := auth.DeleteExpired(ctx); return err })
}

func tokenStatements(s *suite) {
	f := s.withTokens()
	fill(s, f, 200)
	rows := make([]gormkey.OneTimeToken[account], 200)
	for i := range rows {
		rows[i] = gormkey.OneTimeToken[account]{ID: fmt.Sprint("fill-", i), UserID: fmt.Sprint("fill-", i), Purpose: gormkey.PurposeVerifyEmail, Expires: 1e15}
	}
	must(s, f.db.CreateInBatches(rows, 15).Error)
	analyze(s, f.db, "user_token")
	lock := 1
	if s.batches {
		lock = 0
	}
	want := map[string]int{
		"IssueToken": 2 + lock, "GetToken": 1, "UseToken": 2 + lock, "SignInWithToken": 4 + lock, "ResetPassword": 7 + 2*lock,
		"VoidTokens": 1, "RenameKey": 2 + lock + s.readsFirst(), "DeleteExpired": 2,
	}
	if f.db.Name() != "sqlite" {
		want["ResetPassword"] = 9 // the key is read again under its user's lock
	}
	recorder := record(f.db)
	var sent []explained
	tokenVerbs(s, f, func(verb string, call func() error) {
		s.Helper()
		recorder.taken()
		if err := call(); err != nil {
			s.Fatalf("%s: %v", verb, err)
		}
		statements := slices.DeleteFunc(recorder.taken(), requirement)
		if len(statements) != want[verb] {
			s.Errorf("%s: got %d statements, want %d:\n%v", verb, len(statements), want[verb], statements)
		}
		for _, st := range statements {
			sent = append(sent, explained{verb, st})
		}
	})
	s.wantIndexes(f.db, sent)
}

// tokenFaults fails each statement in turn, and then looks whether all or nothing is done.
func tokenFaults(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	for name, op := range map[string]struct {
		purpose gormkey.Purpose
		use     func(token gormkey.Token) error
	}{
		"ResetPassword":   {gormkey.PurposeResetPassword, func(t gormkey.Token) error { _, err := auth.ResetPassword(ctx, t, "a new password"); return err }},
		"SignInWithToken": {gormkey.PurposeMagicLink, func(t gormkey.Token) error { _, err := auth.SignInWithToken(ctx, t); return err }},
		"UseToken and RenameKey": {gormkey.PurposeChangeEmail, func(t gormkey.Token) error {
			_, err := auth.UseToken(ctx, gormkey.PurposeChangeEmail, t, func(tx *gorm.DB, t *gormkey.OneTimeToken[account]) error {
				return auth.With(tx).RenameKey(ctx, t.UserID, keyID("email", t.User.Email), "new-"+t.User.Email)
			})
			return err
		}},
	} {
		for n := 1; ; n++ {
			s.bound(n)
			a := &account{Email: fmt.Sprintf("%s-%d@example.com", strings.ReplaceAll(name, " ", "-"), n)}
			must(s, auth.CreateUser(ctx, a, email(a.Email)))
			must(s, func() error { _, err := auth.OpenSession(ctx, a.ID); return err }())
			token, err := auth.IssueToken(ctx, a.ID, op.purpose, "email:"+a.Email, hour)
			must(s, err)
			var seen atomic.Int64
			recorder.inject = func(string) error {
				if seen.Add(1) == int64(n) {
					return errStop
				}
				return nil
			}
			err = op.use(token)
			recorder.inject = nil
			if err == nil && seen.Load() < int64(n) {
				if n < 4 {
					s.Errorf("%s: got %d statements to fail", name, n-1)
				}
				break
			}
			_, left := auth.GetToken(ctx, op.purpose, token)
			_, signIn := auth.UseKey(ctx, email(a.Email))
			sessions, listed := auth.UserSessions(ctx, a.ID)
			must(s, listed)
			untouched := left == nil && signIn == nil && len(sessions) == 1
			if err != nil && !untouched && !isErr(err, gormkey.ErrOutcomeUnknown) {
				s.Errorf("%s: statement %d failed with %v, and left half: token %v, old key %v, sessions %d", name, n, err, left, signIn, len(sessions))
			}
			if err == nil && left == nil {
				s.Errorf("%s: statement %d failed, got no error, and the token is left", name, n)
			}
		}
	}
}

func tokenMigration(s *suite) {
	db := s.newDB(s.T)
	f := openAccounts(s, db)
	ada := signUp(s, f, "ada")
	again := s.again(db)
	f = openAccounts(s, again, gormkey.WithOneTimeTokens())
	equal(s, "models", len(f.plugin.Models()), 4)
	issue(s, f, ada.ID, gormkey.PurposeVerifyEmail, "")
	pending, err := f.plugin.PendingSQL(again)
	must(s, err)
	equal(s, "pending statements", strings.Join(pending, "; "), "")
	recorder := record(again)
	must(s, f.plugin.AutoMigrate(again))
	for _, st := range recorder.all() {
		if verb, _, _ := strings.Cut(st.sql, " "); verb == "CREATE" || verb == "ALTER" || verb == "DROP" {
			s.Errorf("the second AutoMigrate sent %s", st.sql)
		}
	}
	up, down, err := f.plugin.SQL(again)
	must(s, err)
	equal(s, "tables made", len(slices.DeleteFunc(up, func(q string) bool { return !strings.HasPrefix(q, "CREATE TABLE") })), 4)
	equal(s, "tables dropped", len(down), 4)
	must(s, f.DeleteUser(s.Context(), ada.ID))
	equal(s, "tokens", tokens(s, f), 0)
}

// tokenLucia: the table is added to those of each documented schema, with its foreign key.
func tokenLucia(s *suite) {
	for _, schema := range ofDialect(s) {
		db, auth := luciaMigrated(s, schema, gormkey.WithOneTimeTokens())
		ctx := s.Context()
		ada := &reader{Username: "ada"}
		must(s, auth.CreateUser(ctx, ada, email("ada@example.com")))
		token, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeResetPassword, "email:ada@example.com", hour)
		must(s, err)
		_, err = auth.ResetPassword(ctx, token, "a new password")
		must(s, err)
		token, err = auth.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, "", hour)
		must(s, err)
		session, err := auth.SignInWithToken(ctx, token)
		must(s, err)
		_, err = auth.ValidateSession(ctx, session.Token)
		must(s, err)
		_, err = auth.IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, "", hour)
		must(s, err)
		must(s, auth.DeleteUser(ctx, ada.ID))
		equal(s, schema.name+": tokens", count(s, db, "user_token"), 0)
	}
}
