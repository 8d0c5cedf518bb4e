package gormkeytest

import (
	"context"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

var transactionCases = []testCase{
	{"transaction/R20 R35 a rehash that fails", transactionRehash},
	{"transaction/R38 inside the caller's transaction", transactionOfCaller},
	{"transaction/R38 one connection", transactionOneConnection},
}

func transactionOfCaller(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	var token gormkey.Token
	err := f.db.Transaction(func(tx *gorm.DB) error {
		auth := f.With(tx)
		bob := &account{Email: "bob@example.com"}
		must(s, auth.CreateUser(ctx, bob, email(bob.Email)))
		// Each failure undoes itself alone: the transaction goes on.
		wantErr(s, "taken key", auth.CreateUser(ctx, &account{Email: "c"}, email(ada.Email)), gormkey.ErrDuplicateKey)
		wantErr(s, "taken email", auth.CreateUser(ctx, &account{Email: ada.Email}), gormkey.ErrDuplicateAttribute)
		_, err := auth.AddKey(ctx, bob.ID, email(ada.Email))
		wantErr(s, "taken key", err, gormkey.ErrDuplicateKey)
		_, err = auth.OpenSession(ctx, "nobody")
		wantErr(s, "session of nobody", err, gormkey.ErrUserNotFound)
		_, err = auth.UpdateUserAttributes(ctx, bob.ID, map[string]any{"Email": ada.Email})
		wantErr(s, "taken email", err, gormkey.ErrDuplicateAttribute)
		wantErr(s, "last key", auth.RemoveKey(ctx, bob.ID, keyID("email", bob.Email)), gormkey.ErrLastKey)
		session, err := auth.SignIn(ctx, email(bob.Email))
		must(s, err)
		_, err = auth.ValidateSession(ctx, session.Token)
		must(s, err)
		_, err = auth.OverwritePassword(ctx, email(bob.Email), session.ID)
		must(s, err)
		token = session.Token
		return tx.Create(&account{Email: "plain@example.com"}).Error
	})
	must(s, err)
	_, err = f.ValidateSession(ctx, token)
	must(s, err)
	equal(s, "rows", rows(s, f.db), [3]int64{3, 2, 1})

	before := snapshot(s, f)
	err = f.db.Transaction(func(tx *gorm.DB) error {
		auth := f.With(tx)
		must(s, auth.DeleteUser(ctx, ada.ID))
		_, err := auth.SignIn(ctx, email("bob@example.com"))
		must(s, err)
		return errStop
	})
	wantErr(s, "rolled back", err, errStop)
	if got := snapshot(s, f); got != before {
		s.Errorf("a rolled-back transaction changed\n%s\nto\n%s", before, got)
	}
}

func transactionOneConnection(s *suite) {
	f := s.accounts(gormkey.WithHook(func(tx *gorm.DB, _ event.Event) error { return tx.Exec("SELECT 1").Error }))
	pool, err := f.db.DB()
	must(s, err)
	pool.SetMaxOpenConns(1)
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	ada := &account{Email: "ada@example.com"}
	must(s, f.CreateUser(ctx, ada, email(ada.Email)))
	wantErr(s, "taken email", f.CreateUser(ctx, &account{User: gormkey.User{ID: "own-id-x"}, Email: ada.Email}), gormkey.ErrDuplicateAttribute)
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	f.clock.Advance(ActivePeriod + time.Minute)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	_, err = f.OverwritePassword(ctx, email(ada.Email), session.ID)
	must(s, err)
	must(s, f.plugin.AutoMigrate(f.db.WithContext(ctx)))
	must(s, f.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		_, err := f.With(tx).SignIn(ctx, email(ada.Email))
		return err
	}))
	_, err = f.DeleteExpired(ctx)
	must(s, err)
	must(s, f.DeleteUser(ctx, ada.ID))
	equal(s, "connections in use", pool.Stats().InUse, 0)
}

// transactionRehash: a failed rehash does not fail a sign-in, except in the caller's
// transaction, which a deadlock may have undone as a whole.
func transactionRehash(s *suite) {
	hasher := &countingHasher{Hasher: FastHasher(), OutdatedAlways: true}
	f := s.accounts(gormkey.WithPasswordHasher(hasher))
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	recorder.inject = func(sql string) error {
		if strings.HasPrefix(sql, "UPDATE") && strings.Contains(sql, "hashed_password") {
			return codedError("40P01")
		}
		return nil
	}
	session, err := auth.SignIn(s.Context(), email(ada.Email))
	must(s, err)
	err = f.db.Transaction(func(tx *gorm.DB) error {
		_, err := auth.With(tx).SignIn(s.Context(), email(ada.Email))
		return err
	})
	recorder.inject = nil
	wantErr(s, "in the caller's transaction", err, codedError("40P01"))
	_, err = f.ValidateSession(s.Context(), session.Token)
	must(s, err)
	equal(s, "sessions", count(s, f.db, "user_session"), 1)
}
