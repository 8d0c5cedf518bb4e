package gormkeytest

import (
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/tables"
)

var tokenCases = []testCase{
	{"token/R42 bound, hashed, single use", tokenUse},
	{"token/R42 expiry to the millisecond", tokenExpiry},
	{"token/R42 a later one voids the older", tokenVoided},
	{"token/what it is for is done or it stays", tokenWork},
	{"token/reset password", tokenReset},
	{"token/reset password of a key that is gone", tokenResetGone},
	{"token/magic link", tokenMagicLink},
	{"token/a model that refuses to be found", tokenAfterFind},
	{"token/rename key", tokenRename},
	{"token/what ends which", tokenEnds},
	{"token/asked for in a stolen session", tokenOfThief},
	{"token/bad input", tokenInput},
	{"token/without the option", tokenAbsent},
	{"token/goes with its user", tokenOfDeleted},
	{"token/cleanup", tokenCleanup},
	{"token/R40 events", tokenEvents},
	{"token/R46 statements and indexes", tokenStatements},
	{"token/R34 the n-th statement fails", tokenFaults},
	{"token/the table is added to a live database", tokenMigration},
	{"token/beside the tables of a Lucia v2", tokenLucia},
	{"race/R42 sixteen consumers", raceConsumers},
	{"race/R42 two changes of an address", raceIssuers},
	{"race/R42 issue and use against delete", raceTokenDelete},
	{"race/R42 issue against what voids tokens", raceIssueEnd},
}

const hour = time.Hour

func (s *suite) withTokens(opts ...gormkey.Option) *accounts {
	s.Helper()
	return s.accounts(append(opts, gormkey.WithOneTimeTokens())...)
}

func tokens(s *suite, f *accounts) int64 { return count(s, f.db, "user_token") }

func issue(s *suite, f *accounts, userID string, purpose gormkey.Purpose, payload string) gormkey.Token {
	s.Helper()
	token, err := f.IssueToken(s.Context(), userID, purpose, payload, hour)
	must(s, err)
	return token
}

func tokenUse(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	token := issue(s, f, ada.ID, gormkey.PurposeVerifyEmail, "ada@example.com")
	issue(s, f, bob.ID, gormkey.PurposeVerifyEmail, "bob@example.com")
	equal(s, "token's length", len(token), 40)

	var row gormkey.OneTimeToken[account]
	must(s, f.db.First(&row, "user_id = ?", ada.ID).Error)
	equal(s, "stored id", row.ID, string(token.ID()))
	equal(s, "stored end", row.Expires, gormkey.UnixMilli(f.clock.Now().Add(hour).UnixMilli()))

	for range 2 {
		seen, err := f.GetToken(ctx, gormkey.PurposeVerifyEmail, token)
		must(s, err)
		equal(s, "payload", seen.Payload, "ada@example.com")
		equal(s, "user's id", seen.UserID, ada.ID)
		equal(s, "user", seen.User.Email, ada.Email)
	}
	for _, purpose := range []gormkey.Purpose{gormkey.PurposeChangeEmail, gormkey.PurposeResetPassword, gormkey.PurposeMagicLink, "verify-emai", "verify-email-"} {
		_, err := f.UseToken(ctx, purpose, token, nil)
		wantErr(s, "of another purpose, "+string(purpose), err, gormkey.ErrInvalidToken)
	}
	_, err := f.SignInWithToken(ctx, token)
	wantErr(s, "SignInWithToken", err, gormkey.ErrInvalidToken)
	_, err = f.ResetPassword(ctx, token, goodPassword+"2")
	wantErr(s, "ResetPassword", err, gormkey.ErrInvalidToken)
	for _, wrong := range []gormkey.Token{newToken(), gormkey.Token(token.ID()), token[1:], token + "x", "", "' OR 1=1 --", gormkey.Token(strings.ToUpper(string(token)))} {
		_, err := f.UseToken(ctx, gormkey.PurposeVerifyEmail, wrong, nil)
		wantErr(s, "another token", err, gormkey.ErrInvalidToken)
	}
	used, err := f.UseToken(ctx, gormkey.PurposeVerifyEmail, token, nil)
	must(s, err)
	equal(s, "payload", used.Payload, "ada@example.com")
	equal(s, "user", used.User.Email, ada.Email)
	for range 2 {
		_, err = f.UseToken(ctx, gormkey.PurposeVerifyEmail, token, nil)
		wantErr(s, "used again", err, gormkey.ErrInvalidToken)
	}
	equal(s, "tokens left, bob's", tokens(s, f), 1)
}

func tokenExpiry(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	token, err := f.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, "", 1500*time.Millisecond)
	must(s, err)
	f.clock.Advance(1500*time.Millisecond - time.Millisecond)
	_, err = f.GetToken(ctx, gormkey.PurposeMagicLink, token)
	must(s, err)
	f.clock.Advance(time.Millisecond)
	_, err = f.GetToken(ctx, gormkey.PurposeMagicLink, token)
	must(s, err)
	f.clock.Advance(time.Millisecond)
	_, err = f.GetToken(ctx, gormkey.PurposeMagicLink, token)
	wantErr(s, "GetToken after its last millisecond", err, gormkey.ErrInvalidToken)
	_, err = f.UseToken(ctx, gormkey.PurposeMagicLink, token, nil)
	wantErr(s, "UseToken after its last millisecond", err, gormkey.ErrInvalidToken)
	_, err = f.SignInWithToken(ctx, token)
	wantErr(s, "SignInWithToken after its last millisecond", err, gormkey.ErrInvalidToken)
	f.clock.Advance(-time.Millisecond)
	_, err = f.SignInWithToken(ctx, token)
	must(s, err)
}

func tokenVoided(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	older := issue(s, f, ada.ID, gormkey.PurposeResetPassword, "email:ada@example.com")
	other := issue(s, f, ada.ID, gormkey.PurposeVerifyEmail, "x")
	bobs := issue(s, f, bob.ID, gormkey.PurposeResetPassword, "email:bob@example.com")
	later := issue(s, f, ada.ID, gormkey.PurposeResetPassword, "email:ada@example.com")
	valid := func(purpose gormkey.Purpose, token gormkey.Token, want error) {
		s.Helper()
		_, err := f.GetToken(ctx, purpose, token)
		if want == nil {
			must(s, err)
			return
		}
		wantErr(s, string(purpose), err, want)
	}
	valid(gormkey.PurposeResetPassword, older, gormkey.ErrInvalidToken)
	valid(gormkey.PurposeResetPassword, later, nil)
	valid(gormkey.PurposeVerifyEmail, other, nil)
	valid(gormkey.PurposeResetPassword, bobs, nil)

	magic := issue(s, f, ada.ID, gormkey.PurposeMagicLink, "")
	changed := email(ada.Email)
	changed.Password += "2"
	_, err := f.OverwritePassword(ctx, changed, "")
	must(s, err)
	valid(gormkey.PurposeResetPassword, later, gormkey.ErrInvalidToken)
	valid(gormkey.PurposeMagicLink, magic, gormkey.ErrInvalidToken)
	valid(gormkey.PurposeVerifyEmail, other, nil)
	valid(gormkey.PurposeResetPassword, bobs, nil)

	must(s, f.VoidTokens(ctx, ada.ID, gormkey.PurposeChangeEmail, gormkey.PurposeMagicLink))
	valid(gormkey.PurposeVerifyEmail, other, nil)
	must(s, f.VoidTokens(ctx, ada.ID))
	valid(gormkey.PurposeVerifyEmail, other, gormkey.ErrInvalidToken)
	valid(gormkey.PurposeResetPassword, bobs, nil)
	must(s, f.VoidTokens(ctx, "nobody-is-here"))
}

func tokenWork(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	token := issue(s, f, ada.ID, gormkey.PurposeChangeEmail, "ada@example.org")
	_, err := f.UseToken(ctx, gormkey.PurposeChangeEmail, token, func(tx *gorm.DB, t *gormkey.OneTimeToken[account]) error {
		if err := tx.Model(&account{User: gormkey.User{ID: t.UserID}}).Update("name", "half").Error; err != nil {
			return err
		}
		return errStop
	})
	wantErr(s, "an error of work", err, errStop)
	user, err := f.GetUser(ctx, ada.ID)
	must(s, err)
	equal(s, "name", user.Name, "ada")

	change := func(tx *gorm.DB, t *gormkey.OneTimeToken[account]) error {
		auth := f.With(tx)
		if err := auth.RenameKey(ctx, t.UserID, keyID("email", t.User.Email), t.Payload); err != nil {
			return err
		}
		return tx.Model(&account{User: gormkey.User{ID: t.UserID}}).Update("email", t.Payload).Error
	}
	_, err = f.UseToken(ctx, gormkey.PurposeChangeEmail, token, change)
	must(s, err)
	_, err = f.SignIn(ctx, email("ada@example.org"))
	must(s, err)
	_, err = f.SignIn(ctx, email("ada@example.com"))
	wantErr(s, "the old address", err, gormkey.ErrInvalidCredentials)
	user, err = f.GetUser(ctx, ada.ID)
	must(s, err)
	equal(s, "email", user.Email, "ada@example.org")
	_, err = f.UseToken(ctx, gormkey.PurposeChangeEmail, token, change)
	wantErr(s, "used again", err, gormkey.ErrInvalidToken)
}

func tokenInput(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	for _, test := range []struct {
		name, userID, payload string
		purpose               gormkey.Purpose
		lifetime              time.Duration
	}{
		{"no user", "", "", gormkey.PurposeVerifyEmail, hour},
		{"no purpose", ada.ID, "", "", hour},
		{"a purpose in capitals", ada.ID, "", "Verify", hour},
		{"a purpose too long", ada.ID, "", gormkey.Purpose(strings.Repeat("p", 33)), hour},
		{"a hostile purpose", ada.ID, "", "x' OR '1'='1", hour},
		{"a payload too long", ada.ID, strings.Repeat("é", 512) + "x", gormkey.PurposeVerifyEmail, hour},
		{"a payload with NUL", ada.ID, "a\x00b", gormkey.PurposeVerifyEmail, hour},
		{"a payload that is not UTF-8", ada.ID, "\xff", gormkey.PurposeVerifyEmail, hour},
		{"a reset of no key", ada.ID, "", gormkey.PurposeResetPassword, hour},
		{"a reset without a provider", ada.ID, ":x", gormkey.PurposeResetPassword, hour},
		{"no lifetime", ada.ID, "", gormkey.PurposeVerifyEmail, 0},
		{"a negative lifetime", ada.ID, "", gormkey.PurposeVerifyEmail, -hour},
		{"parts of a millisecond", ada.ID, "", gormkey.PurposeVerifyEmail, time.Millisecond + time.Microsecond},
		{"over 30 days", ada.ID, "", gormkey.PurposeVerifyEmail, 30*24*hour + time.Millisecond},
	} {
		_, err := auth.IssueToken(ctx, test.userID, test.purpose, test.payload, test.lifetime)
		want := gormkey.ErrInvalidArgument
		if test.lifetime != hour {
			want = gormkey.ErrUsage
		}
		wantErr(s, test.name, err, want)
	}
	_, err = auth.UseToken(ctx, "Verify", newToken(), nil)
	wantErr(s, "UseToken with a bad purpose", err, gormkey.ErrInvalidArgument)
	_, err = auth.GetToken(ctx, "", newToken())
	wantErr(s, "GetToken with no purpose", err, gormkey.ErrInvalidArgument)
	wantErr(s, "VoidTokens of nobody", auth.VoidTokens(ctx, ""), gormkey.ErrInvalidArgument)
	wantErr(s, "VoidTokens with a bad purpose", auth.VoidTokens(ctx, ada.ID, gormkey.PurposeMagicLink, "Verify"), gormkey.ErrInvalidArgument)
	for _, malformed := range []gormkey.Token{"", "short", gormkey.Token(strings.Repeat("x", 128)), "with blanks in its middle now"} {
		_, err = auth.GetToken(ctx, gormkey.PurposeVerifyEmail, malformed)
		wantErr(s, "a malformed token", err, gormkey.ErrInvalidToken)
		_, err = auth.ResetPassword(ctx, malformed, goodPassword)
		wantErr(s, "ResetPassword with a malformed token", err, gormkey.ErrInvalidToken)
	}
	equal(s, "statements", len(recorder.taken()), 0)

	for _, payload := range []string{"", strings.Repeat("é", 512), "line one\nline two", `{"address":"ada@example.com"}`} {
		token, err := auth.IssueToken(ctx, ada.ID, gormkey.Purpose(strings.Repeat("p", 32)), payload, 30*24*hour)
		must(s, err)
		t, err := auth.UseToken(ctx, gormkey.Purpose(strings.Repeat("p", 32)), token, nil)
		must(s, err)
		equal(s, "payload", t.Payload, payload)
	}
	_, err = auth.IssueToken(ctx, "nobody-is-here", gormkey.PurposeVerifyEmail, "", hour)
	wantErr(s, "a user who is not there", err, gormkey.ErrUserNotFound)
	equal(s, "tokens", tokens(s, f), 0)
}

func tokenAbsent(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	for name, call := range map[string]func() error{
		"IssueToken":      func() error { _, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, "", hour); return err },
		"GetToken":        func() error { _, err := auth.GetToken(ctx, gormkey.PurposeVerifyEmail, newToken()); return err },
		"UseToken":        func() error { _, err := auth.UseToken(ctx, gormkey.PurposeVerifyEmail, newToken(), nil); return err },
		"ResetPassword":   func() error { _, err := auth.ResetPassword(ctx, newToken(), goodPassword); return err },
		"SignInWithToken": func() error { _, err := auth.SignInWithToken(ctx, newToken()); return err },
		"VoidTokens":      func() error { return auth.VoidTokens(ctx, ada.ID) },
	} {
		wantErr(s, name, call(), gormkey.ErrUsage)
	}
	equal(s, "statements", len(recorder.taken()), 0)
	equal(s, "table", f.db.Migrator().HasTable("user_token"), false)
	must(s, auth.RenameKey(ctx, ada.ID, keyID("email", ada.Email), "x@example.com")) // works without

	db := s.newDB(s.T)
	err = db.Use(newAccounts(s, gormkey.WithTableNames(gormkey.TableNames{Token: "links"})))
	if err == nil || !strings.Contains(err.Error(), "WithOneTimeTokens") {
		s.Errorf("a table's name without the option: got error %v", err)
	}
}

func tokenOfDeleted(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	var ids []string
	for _, name := range []string{"ada", "bob", "cy"} {
		a := signUp(s, f, name)
		issue(s, f, a.ID, gormkey.PurposeVerifyEmail, "")
		issue(s, f, a.ID, gormkey.PurposeMagicLink, "")
		ids = append(ids, a.ID)
	}
	must(s, f.DeleteUser(ctx, ids[0]))
	equal(s, "tokens after DeleteUser", tokens(s, f), 4)
	must(s, f.db.Delete(&account{User: gormkey.User{ID: ids[1]}}).Error)
	if !s.enforced && s.declared {
		equal(s, "tokens of deleted users", count(s, f.db, "user_token", "user_id NOT IN (SELECT id FROM auth_user)"), 0)
	}
	equal(s, "tokens after a plain delete", tokens(s, f), 2)
	err := f.db.Create(&gormkey.OneTimeToken[account]{ID: "x", UserID: "nobody-is-here", Purpose: "x", Expires: 1}).Error
	if err == nil {
		s.Errorf("a plain create of a token for nobody: got no error")
	}
	findings, err := f.Audit(ctx)
	must(s, err)
	for _, finding := range findings {
		if finding.Problem != tables.ProblemForeignKeysUnenforced {
			s.Errorf("got finding %v", finding)
		}
	}
}

func tokenCleanup(s *suite) {
	f := s.withTokens()
	ctx := s.Context()
	for i := range 7 {
		a := signUp(s, f, fmt.Sprint("user", i))
		_, err := f.IssueToken(ctx, a.ID, gormkey.PurposeVerifyEmail, "", time.Duration(i+1)*hour)
		must(s, err)
		_, err = f.OpenSession(ctx, a.ID)
		must(s, err)
	}
	f.clock.Advance(5 * hour) // the fifth can be used still
	var seen []int64
	deleted, err := f.DeleteExpired(ctx, gormkey.WithBatchSize(3), gormkey.WithProgress(func(n int64) error {
		seen = append(seen, n)
		return nil
	}))
	must(s, err)
	equal(s, "deleted", deleted, 4)
	equal(s, "progress", fmt.Sprint(seen), "[3 4]")
	equal(s, "left", tokens(s, f), 3)
	deleted, err = f.DeleteExpired(ctx)
	must(s, err)
	equal(s, "deleted again", deleted, 0)
}

func tokenEvents(s *suite) {
	var got []string
	f := s.withTokens(gormkey.WithHook(func(tx *gorm.DB, e event.Event) error {
		got = append(got, string(e.Type)+" "+string(e.Purpose))
		return nil
	}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	_, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	check := func(what string, want ...string) {
		s.Helper()
		equal(s, what, strings.Join(got, ", "), strings.Join(want, ", "))
		got = nil
	}
	got = nil
	reset := issue(s, f, ada.ID, gormkey.PurposeResetPassword, "email:"+ada.Email)
	check("IssueToken", "token issued reset-password")
	_, err = f.ResetPassword(ctx, reset, "a new password")
	must(s, err)
	check("ResetPassword", "token used reset-password", "session ended ", "password changed ")
	magic := issue(s, f, ada.ID, gormkey.PurposeMagicLink, "")
	_, err = f.SignInWithToken(ctx, magic)
	must(s, err)
	check("SignInWithToken", "token issued magic-link", "token used magic-link", "session opened ", "signed in ")
	_, err = f.UseToken(ctx, "invite", issue(s, f, ada.ID, "invite", ""), nil)
	must(s, err)
	check("UseToken", "token issued invite", "token used invite")
	must(s, f.RenameKey(ctx, ada.ID, keyID("email", ada.Email), "x@example.com"))
	check("RenameKey", "key removed ", "key added ")
}
