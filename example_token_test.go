package gormkey_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
)

// The user proves an address by a link that is sent there. The token is the only secret in it.
func ExampleRepositoryOf_IssueToken() {
	ctx, auth, ada, done := exampleAuth(gormkey.WithOneTimeTokens())
	defer done()

	token, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, "ada@example.com", 24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	link := "https://example.com/verify?token=" + string(token)
	fmt.Println(len(link), token)

	_, err = auth.IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, "ada@example.com", 60*24*time.Hour)
	fmt.Println(err)
	// Output:
	// 73 [redacted]
	// gormkey: lifetime: is 1440h0m0s, outside whole milliseconds from 1ms to 30 days
}

// A GET shows the form and leaves the token, since programs that scan mail follow links too.
func ExampleRepositoryOf_GetToken() {
	ctx, auth, ada, done := exampleAuth(gormkey.WithOneTimeTokens())
	defer done()

	token, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, "ada@example.com", time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		seen, err := auth.GetToken(ctx, gormkey.PurposeVerifyEmail, token)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(seen.Payload, seen.User.ID == ada.ID)
	}
	_, err = auth.GetToken(ctx, gormkey.PurposeMagicLink, token)
	fmt.Println(err)
	// Output:
	// ada@example.com true
	// ada@example.com true
	// gormkey: invalid one-time token
}

// The new address is stored in the transaction that uses the token up.
func ExampleRepositoryOf_UseToken() {
	ctx, auth, ada, done := exampleAuth(gormkey.WithOneTimeTokens())
	defer done()

	token, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeChangeEmail, gormkey.FoldEmail("Lovelace@example.com"), time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	change := func(tx *gorm.DB, t *gormkey.OneTimeToken[Account]) error {
		auth := auth.With(tx)
		if err := auth.RenameKey(ctx, t.UserID, exampleLogin.KeyID(), t.Payload); err != nil {
			return err
		}
		_, err := auth.UpdateUserAttributes(ctx, t.UserID, map[string]any{"Email": t.Payload})
		return err
	}
	_, err = auth.UseToken(ctx, gormkey.PurposeChangeEmail, token, change)
	fmt.Println("first:", err)
	_, err = auth.UseToken(ctx, gormkey.PurposeChangeEmail, token, change)
	fmt.Println("again:", err)
	ada, err = auth.GetUser(ctx, ada.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ada.Email)
	// Output:
	// first: <nil>
	// again: gormkey: invalid one-time token
	// lovelace@example.com
}

func ExampleRepositoryOf_ResetPassword() {
	ctx, auth, ada, done := exampleAuth(gormkey.WithOneTimeTokens())
	defer done()

	// The payload names the key whose password is to be set.
	token, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeResetPassword, exampleLogin.KeyID().String(), time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	_, err = auth.ResetPassword(ctx, token, "short") // the token can still be used
	fmt.Println(err)
	if _, err = auth.ResetPassword(ctx, token, "another good password"); err != nil {
		log.Fatal(err)
	}
	changed := exampleLogin
	changed.Password = "another good password"
	_, err = auth.SignIn(ctx, changed)
	fmt.Println(err)
	// Output:
	// gormkey: new password: too short: at least 8 characters are needed
	// <nil>
}

func ExampleRepositoryOf_SignInWithToken() {
	clock := authtest.NewClock()
	ctx, auth, ada, done := exampleAuth(gormkey.WithOneTimeTokens(), gormkey.WithClock(clock.Now))
	defer done()

	link := func() gormkey.Token {
		token, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, "", 15*time.Minute)
		if err != nil {
			log.Fatal(err)
		}
		return token
	}
	session, err := auth.SignInWithToken(ctx, link())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.User.Email)

	late := link()
	clock.Advance(16 * time.Minute)
	_, err = auth.SignInWithToken(ctx, late)
	fmt.Println(err)
	// Output:
	// ada@example.com
	// gormkey: invalid one-time token
}

func ExampleRepositoryOf_VoidTokens() {
	ctx, auth, ada, done := exampleAuth(gormkey.WithOneTimeTokens())
	defer done()

	link, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, "", time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	proof, err := auth.IssueToken(ctx, ada.ID, gormkey.PurposeVerifyEmail, "ada@example.com", time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(auth.VoidTokens(ctx, ada.ID, gormkey.PurposeMagicLink))
	_, err = auth.GetToken(ctx, gormkey.PurposeMagicLink, link)
	fmt.Println("link:", err)
	_, err = auth.GetToken(ctx, gormkey.PurposeVerifyEmail, proof)
	fmt.Println("proof:", err)
	// Output:
	// <nil>
	// link: gormkey: invalid one-time token
	// proof: <nil>
}

// A Lucia's rows hold the tokens themselves. They are replaced by hashes, and nobody is signed out.
func ExampleRepositoryOf_HashStoredTokens() {
	db, done := exampleDatabase()
	defer done()
	before := gormkey.New[Account](gormkey.WithLuciaV2(), gormkey.WithPasswordHasher(authtest.FastHasher()))
	auth := exampleMigrate(db, before)
	ctx := context.Background()
	if err := auth.CreateUser(ctx, &Account{Email: "ada@example.com"}, exampleLogin); err != nil {
		log.Fatal(err)
	}
	session, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}

	// The next release of the program, on the same database:
	db = exampleReopen(db)
	after := gormkey.New[Account](gormkey.WithLuciaV2(), gormkey.WithHashedTokens(), gormkey.WithPasswordHasher(authtest.FastHasher()))
	auth = exampleMigrate(db, after)
	fmt.Println(auth.HashStoredTokens(ctx))
	_, err = auth.ValidateSession(ctx, session.Token)
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// <nil>
}
