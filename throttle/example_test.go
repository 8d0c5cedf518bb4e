package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/throttle"
)

type Account struct{ gormkey.User }

func ExampleThrottle_Do() {
	db, err := gorm.Open(sqlite.Open("file:throttle?mode=memory&_pragma=foreign_keys(1)"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if pool, err := db.DB(); err == nil {
		pool.SetMaxOpenConns(1) // a database in memory lives in one connection
	}
	clock := authtest.NewClock()
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(authtest.FastHasher()))
	limits, err := throttle.New(db, throttle.WithClock(clock.Now))
	if err := errors.Join(err, db.Use(plugin), plugin.AutoMigrate(db), limits.AutoMigrate()); err != nil {
		log.Fatal(err)
	}
	auth, err := gormkey.From[Account](db)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse battery staple"}
	if err := auth.CreateUser(ctx, &Account{}, login); err != nil {
		log.Fatal(err)
	}

	client := throttle.Client{Address: netip.MustParseAddr("192.0.2.7")}
	signIn := func(password string) error {
		return limits.Do(ctx, "email:ada@example.com", client, func() error {
			_, err := auth.SignIn(ctx, gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: password})
			return err
		})
	}
	for range 5 {
		fmt.Println(signIn("a guess"))
	}
	fmt.Println(signIn(login.Password))
	clock.Advance(10 * time.Minute)
	fmt.Println(signIn(login.Password))
	// Output:
	// gormkey: invalid credentials
	// gormkey: invalid credentials
	// gormkey: invalid credentials
	// gormkey: invalid credentials
	// gormkey: invalid credentials
	// throttle: too many failed attempts; retry after 10m0s
	// <nil>
}
