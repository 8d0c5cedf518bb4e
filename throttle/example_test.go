package throttle_test

import (
	"context"
	"crypto/rand"
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
	db, done := exampleDatabase()
	defer done()
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

// A stranger uses up the places of an account. The user's own browser, which is known, gets in.
func ExampleThrottle_Trust() {
	limits, done := exampleThrottle()
	defer done()
	ctx, account := context.Background(), "email:ada@example.com"
	browser := throttle.Client{Address: netip.MustParseAddr("192.0.2.7"), Device: rand.Text()} // kept in a cookie
	if err := limits.Trust(ctx, account, browser); err != nil {
		log.Fatal(err)
	}

	stranger := throttle.Client{Address: netip.MustParseAddr("198.51.100.9")}
	wrong := func() error { return gormkey.ErrInvalidCredentials }
	for range 5 {
		_ = limits.Do(ctx, account, stranger, wrong)
	}
	right := func() error { return nil }
	fmt.Println("stranger:", limits.Do(ctx, account, stranger, right))
	fmt.Println("browser:", limits.Do(ctx, account, browser, right))
	// Output:
	// stranger: throttle: too many failed attempts; retry after 10m0s
	// browser: <nil>
}

// After a password was reset by mail, the guesses at the old one do not count.
func ExampleThrottle_Forget() {
	limits, done := exampleThrottle()
	defer done()
	ctx, account := context.Background(), "email:ada@example.com"
	client := throttle.Client{Address: netip.MustParseAddr("192.0.2.7")}
	for range 5 {
		_ = limits.Do(ctx, account, client, func() error { return gormkey.ErrInvalidCredentials })
	}
	fmt.Println(limits.Forget(ctx, account))
	fmt.Println(limits.Do(ctx, account, client, func() error { return nil }))
	// Output:
	// <nil>
	// <nil>
}

// The answer 429 has a Retry-After.
func ExampleError() {
	limits, done := exampleThrottle(throttle.WithAccountLimit(1, time.Minute))
	defer done()
	client := throttle.Client{Address: netip.MustParseAddr("192.0.2.7")}
	var err error
	for range 2 {
		err = limits.Do(context.Background(), "email:ada@example.com", client, func() error { return gormkey.ErrInvalidCredentials })
	}
	var refused *throttle.Error
	if errors.As(err, &refused) {
		fmt.Println("Retry-After:", int(refused.RetryAfter.Seconds()))
	}
	// Output: Retry-After: 60
}

func ExampleThrottle_DeleteExpired() {
	clock := authtest.NewClock()
	limits, done := exampleThrottle(throttle.WithClock(clock.Now))
	defer done()
	ctx := context.Background()
	client := throttle.Client{Address: netip.MustParseAddr("192.0.2.7")}
	_ = limits.Do(ctx, "email:ada@example.com", client, func() error { return gormkey.ErrInvalidCredentials })

	fmt.Println(limits.DeleteExpired(ctx))
	clock.Advance(24 * time.Hour)
	fmt.Println(limits.DeleteExpired(ctx)) // the row of the account, and that of the address
	// Output:
	// 0 <nil>
	// 2 <nil>
}

func ExampleNew() {
	db, done := exampleDatabase() // gorm.Open
	defer done()

	_, err := throttle.New(db, throttle.WithAccountLimit(3, 20*time.Minute), throttle.WithAddressLimit(50, time.Minute))
	fmt.Println(err)
	err = db.Transaction(func(tx *gorm.DB) error {
		_, err := throttle.New(tx) // whose counts would be undone with it
		return err
	})
	fmt.Println(err)
	// Output:
	// <nil>
	// throttle: db is in a transaction; give the root handle
}

func ExampleThrottle_AutoMigrate() {
	db, done := exampleDatabase()
	defer done()
	limits, err := throttle.New(db, throttle.WithTable("failed_sign_ins"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(limits.AutoMigrate())
	fmt.Println(db.Migrator().HasTable("failed_sign_ins"), db.Migrator().HasTable(throttle.DefaultTable))
	// Output:
	// <nil>
	// true false
}

// The table is made along with those of the plugin, so AutoMigrate is not needed.
func ExampleBucket() {
	db, done := exampleDatabase()
	defer done()
	plugin := gormkey.New[Account]()
	if err := errors.Join(db.Use(plugin), plugin.AutoMigrate(db, &throttle.Bucket{})); err != nil {
		log.Fatal(err)
	}
	limits, err := throttle.New(db)
	if err != nil {
		log.Fatal(err)
	}
	client := throttle.Client{Address: netip.MustParseAddr("192.0.2.7")}
	err = limits.Do(context.Background(), "email:ada@example.com", client, func() error { return gormkey.ErrInvalidCredentials })
	var rows int64
	fmt.Println(err, db.Model(&throttle.Bucket{}).Count(&rows).Error, rows) // the account and the address
	// Output: gormkey: invalid credentials <nil> 2
}

// The addresses of one IPv6 network of 64 bits count as one client.
func ExampleClient() {
	limits, done := exampleThrottle(throttle.WithAddressLimit(1, time.Minute))
	defer done()
	for _, address := range []string{"2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"} {
		client := throttle.Client{Address: netip.MustParseAddr(address)}
		account := "email:" + rand.Text() + "@example.com"
		fmt.Println(limits.Do(context.Background(), account, client, func() error { return gormkey.ErrInvalidCredentials }))
	}
	// Output:
	// gormkey: invalid credentials
	// throttle: too many failed attempts; retry after 1m0s
	// gormkey: invalid credentials
}

// Somebody tries one common password at many accounts.
func ExampleWithAddressLimit() {
	limits, done := exampleThrottle(throttle.WithAddressLimit(3, time.Minute))
	defer done()
	client := throttle.Client{Address: netip.MustParseAddr("192.0.2.7")}
	for _, name := range []string{"ada", "bob", "eve", "joe"} {
		err := limits.Do(context.Background(), "email:"+name+"@example.com", client, func() error { return gormkey.ErrInvalidCredentials })
		fmt.Println(name, errors.Is(err, throttle.ErrTooMany))
	}
	// Output:
	// ada false
	// bob false
	// eve false
	// joe true
}

// exampleDatabase opens an empty database.
func exampleDatabase() (db *gorm.DB, done func()) {
	db, err := gorm.Open(sqlite.Open("file:limits?mode=memory&_pragma=foreign_keys(1)"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	pool.SetMaxOpenConns(1) // a database in memory lives in one connection
	return db, func() { _ = pool.Close() }
}

// exampleThrottle makes a throttle on an empty database, with a clock that stands still.
func exampleThrottle(opts ...throttle.Option) (limits *throttle.Throttle, done func()) {
	db, done := exampleDatabase()
	limits, err := throttle.New(db, append([]throttle.Option{throttle.WithClock(authtest.NewClock().Now)}, opts...)...)
	if err == nil {
		err = limits.AutoMigrate()
	}
	if err != nil {
		log.Fatal(err)
	}
	return limits, done
}
