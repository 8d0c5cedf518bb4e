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

// After a sign-up the user is signed in, without asking for the password again.
func ExampleRepositoryOf_OpenSession() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	session, err := auth.OpenSession(ctx, ada.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.UserID == ada.ID, session.Fresh)
	_, err = auth.OpenSession(ctx, "nobody123456789")
	fmt.Println(err)
	// Output:
	// true true
	// gormkey: user not found
}

// A sign-in ends the session that the browser came with, so a token that somebody planted
// there is worth nothing.
func ExampleRepositoryOf_Replacing() {
	ctx, auth, _, done := exampleAuth()
	defer done()

	before, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	after, err := auth.SignIn(ctx, exampleLogin, auth.Replacing(before.Token))
	if err != nil {
		log.Fatal(err)
	}
	_, err = auth.ValidateSession(ctx, before.Token)
	fmt.Println("before:", err)
	_, err = auth.ValidateSession(ctx, after.Token)
	fmt.Println("after:", err)
	// Output:
	// before: gormkey: invalid session
	// after: <nil>
}

// GetSession reads an idle session and leaves it idle.
func ExampleRepositoryOf_GetSession() {
	clock := authtest.NewClock()
	ctx, auth, _, done := exampleAuth(gormkey.WithClock(clock.Now))
	defer done()

	session, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	clock.Advance(48 * time.Hour)
	read, err := auth.GetSession(ctx, session.Token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(read.State(clock.Now()), read.Fresh)
	// Output: idle false
}

func ExampleRepositoryOf_EndOtherSessions() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	here, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	elsewhere, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(auth.EndOtherSessions(ctx, ada.ID, here.ID))
	_, err = auth.ValidateSession(ctx, here.Token)
	fmt.Println("here:", err)
	_, err = auth.ValidateSession(ctx, elsewhere.Token)
	fmt.Println("elsewhere:", err)
	// Output:
	// <nil>
	// here: <nil>
	// elsewhere: gormkey: invalid session
}

func ExampleRepositoryOf_EndAllSessions() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	for range 3 {
		if _, err := auth.SignIn(ctx, exampleLogin); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(auth.EndAllSessions(ctx, ada.ID))
	sessions, err := auth.UserSessions(ctx, ada.ID)
	fmt.Println(len(sessions), err)
	// Output:
	// <nil>
	// 0 <nil>
}

// A support tool ends a session whose id stands in a log. The id signs nobody in.
func ExampleRepositoryOf_EndSessionOfAnyone() {
	ctx, auth, _, done := exampleAuth()
	defer done()

	session, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	logged := session.ID.String() // 64 hexadecimal digits
	fmt.Println(len(logged), auth.EndSessionOfAnyone(ctx, gormkey.SessionID(logged)))
	_, err = auth.ValidateSession(ctx, session.Token)
	fmt.Println(err)
	// Output:
	// 64 <nil>
	// gormkey: invalid session
}

// A session has a column of the application's own: see NewOf for the type.
func ExampleRepositoryOf_UpdateSessionAttributes() {
	db, done := exampleDatabase()
	defer done()
	plugin := gormkey.NewOf[Account, gormkey.Key[Account], exampleDevice](gormkey.WithPasswordHasher(authtest.FastHasher()))
	auth := exampleMigrate(db, plugin)
	ctx := context.Background()
	if err := auth.CreateUser(ctx, &Account{Email: "ada@example.com"}, exampleLogin); err != nil {
		log.Fatal(err)
	}
	device, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}

	device, err = auth.UpdateSessionAttributes(ctx, device.ID, map[string]any{"UserAgent": "Firefox"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(device.UserAgent)
	_, err = auth.UpdateSessionAttributes(ctx, device.ID, map[string]any{"idle_expires": 0})
	fmt.Println(err)
	// Output:
	// Firefox
	// gormkey: attributes: "idle_expires" is reserved
}

// The user and the application's own rows are made in one transaction, all or nothing.
func ExampleRepositoryOf_With() {
	db, done := exampleDatabase()
	defer done()
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(authtest.FastHasher()))
	auth := exampleMigrate(db, plugin)
	ctx := context.Background()

	err := db.Transaction(func(tx *gorm.DB) error {
		if err := auth.With(tx).CreateUser(ctx, &Account{Email: "ada@example.com"}, exampleLogin); err != nil {
			return err
		}
		return fmt.Errorf("the profile could not be saved")
	})
	fmt.Println(err)
	_, err = auth.GetKey(ctx, exampleLogin.KeyID())
	fmt.Println(err)
	// Output:
	// the profile could not be saved
	// gormkey: key not found
}

// A session is active for a day, then idle for 14 days, by default.
func ExampleSession_State() {
	clock := authtest.NewClock()
	ctx, auth, _, done := exampleAuth(gormkey.WithClock(clock.Now))
	defer done()

	session, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	for _, later := range []time.Duration{0, 25 * time.Hour, 16 * 24 * time.Hour} {
		fmt.Println(session.State(clock.Now().Add(later)))
	}
	// Output:
	// active
	// idle
	// dead
}

// With an absolute lifetime a session ends in spite of its renewals.
func ExampleWithAbsoluteLifetime() {
	clock := authtest.NewClock()
	ctx, auth, _, done := exampleAuth(gormkey.WithClock(clock.Now), gormkey.WithAbsoluteLifetime(72*time.Hour))
	defer done()

	session, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		clock.Advance(30 * time.Hour)
		_, err := auth.ValidateSession(ctx, session.Token)
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// gormkey: invalid session
}

func ExampleWithSessionPeriods() {
	clock := authtest.NewClock()
	ctx, auth, _, done := exampleAuth(gormkey.WithClock(clock.Now), gormkey.WithSessionPeriods(15*time.Minute, time.Hour))
	defer done()

	session, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.ActiveExpires.Time().Sub(clock.Now()), session.IdleExpires.Time().Sub(clock.Now()))
	// Output: 15m0s 1h15m0s
}
