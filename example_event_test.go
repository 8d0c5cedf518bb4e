package gormkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/event"
)

// A user is kept out for a week, and is told so, since the password was right.
func ExampleRepositoryOf_Suspend() {
	clock := authtest.NewClock()
	ctx, auth, ada, done := exampleAuth(gormkey.WithSuspension(), gormkey.WithClock(clock.Now))
	defer done()

	if err := auth.Suspend(ctx, ada.ID, clock.Now().AddDate(0, 0, 7), "spam", "root"); err != nil {
		log.Fatal(err)
	}
	_, err := auth.SignIn(ctx, exampleLogin)
	if suspended := new(gormkey.SuspendedError); errors.As(err, &suspended) {
		fmt.Println(suspended.Reason, suspended.Until.Sub(clock.Now()))
	}
	wrong := exampleLogin
	wrong.Password = "a wrong password"
	_, err = auth.SignIn(ctx, wrong)
	fmt.Println(err)
	clock.Advance(8 * 24 * time.Hour)
	_, err = auth.SignIn(ctx, exampleLogin)
	fmt.Println(err)
	// Output:
	// spam 168h0m0s
	// gormkey: invalid credentials
	// <nil>
}

// An administrator looks why somebody is kept out, and lets them in again.
func ExampleRepositoryOf_GetSuspension() {
	ctx, auth, ada, done := exampleAuth(gormkey.WithSuspension())
	defer done()

	if err := auth.Suspend(ctx, ada.ID, time.Time{}, "chargeback", "root"); err != nil {
		log.Fatal(err)
	}
	suspension, err := auth.GetSuspension(ctx, ada.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(suspension.Reason, "by", suspension.By, "for ever:", suspension.Until == 0)
	if err := auth.Unsuspend(ctx, ada.ID, "root"); err != nil {
		log.Fatal(err)
	}
	suspension, err = auth.GetSuspension(ctx, ada.ID)
	fmt.Println(suspension, err)
	// Output:
	// chargeback by root for ever: true
	// <nil> <nil>
}

// A page shows what happened to an account, the newest first.
func ExampleRepositoryOf_UserEvents() {
	ctx, auth, ada, done := exampleAuth(gormkey.WithEventLog())
	defer done()

	ctx = event.WithOrigin(ctx, event.Origin{Address: "192.0.2.7", Agent: "curl/8"})
	wrong := exampleLogin
	wrong.Password = "a wrong password"
	_, _ = auth.SignIn(ctx, wrong)
	if _, err := auth.SignIn(ctx, exampleLogin); err != nil {
		log.Fatal(err)
	}
	events, err := auth.UserEvents(ctx, ada.ID, "", 2)
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range events {
		fmt.Println(e.Type, e.Methods, e.Reason, e.Address)
	}
	// Output:
	// signed in pwd  192.0.2.7
	// sign-in failed  wrong password 192.0.2.7
}

// A job mails what happened. The first try fails, and nothing is lost.
func ExampleRepositoryOf_DeliverEvents() {
	clock := authtest.NewClock()
	ctx, auth, _, done := exampleAuth(gormkey.WithEventDelivery(), gormkey.WithClock(clock.Now))
	defer done()

	down := true
	mail := func(_ context.Context, e *gormkey.LoggedEvent[Account]) error {
		if down {
			return errors.New("the mail server is down")
		}
		fmt.Println("mail:", e.Type)
		return nil
	}
	n, err := auth.DeliverEvents(ctx, 10, mail)
	fmt.Println(n, err != nil)
	down = false
	clock.Advance(time.Minute)
	n, err = auth.DeliverEvents(ctx, 10, mail)
	fmt.Println(n, err)
	// Output:
	// 0 true
	// mail: user created
	// mail: key added
	// 2 <nil>
}

// The log keeps what happened for 90 days, and who it was for as long as they have an account.
func ExampleRepositoryOf_AnonymizeUser() {
	ctx, auth, ada, done := exampleAuth(gormkey.WithEventLog())
	defer done()

	if err := auth.DeleteUser(ctx, ada.ID); err != nil {
		log.Fatal(err)
	}
	n, err := auth.AnonymizeUser(ctx, ada.ID)
	fmt.Println(n, err)
	n, err = auth.PurgeEvents(ctx, time.Now().AddDate(0, 0, -90))
	fmt.Println(n, err)
	// Output:
	// 3 <nil>
	// 0 <nil>
}
