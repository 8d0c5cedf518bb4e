package gormkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/password"
)

// The users' table has numbers as ids.
func ExampleWithUserIDType() {
	var last atomic.Int64 // a real one asks a sequence of the database
	ctx, auth, ada, done := exampleAuth(gormkey.WithUserIDType("bigint"), gormkey.WithUserIDGenerator(func() string {
		return strconv.FormatInt(1000+last.Add(1), 10)
	}))
	defer done()

	_, err := strconv.Atoi(ada.ID)
	fmt.Println(err)
	bob := &Account{Email: "bob@example.com"}
	bob.ID = "007" // which the database would return as 7
	fmt.Println(auth.CreateUser(ctx, bob))
	// Output:
	// <nil>
	// gormkey: user id: is no integer that the column holds, in its shortest form
}

// Users of another system keep their ids, which are longer than the default of 15 bytes.
func ExampleWithUserIDLength() {
	for _, opts := range [][]gormkey.Option{nil, {gormkey.WithUserIDLength(36)}} {
		ctx, auth, _, done := exampleAuth(opts...)
		defer done()
		bob := &Account{Email: "bob@example.com"}
		bob.ID = "0194c1b2-7c1e-7d3a-9f60-5f2b8a1c4e77"
		fmt.Println(auth.CreateUser(ctx, bob))
	}
	// Output:
	// gormkey: user id: is 36 bytes long, over 15
	// <nil>
}

// A new release hashes in another way. Each old hash is replaced at its user's next sign-in.
func ExampleWithPasswordHasher() {
	db, done := exampleDatabase()
	defer done()
	ctx := context.Background()
	before := exampleMigrate(db, gormkey.New[Account](gormkey.WithPasswordHasher(password.Bcrypt{Cost: 10})))
	if err := before.CreateUser(ctx, &Account{Email: "ada@example.com"}, exampleLogin); err != nil {
		log.Fatal(err)
	}

	after := gormkey.New[Account](gormkey.WithPasswordHasher(password.Argon2id{Memory: 64, Iterations: 1})) // low, for the example
	auth := exampleMigrate(exampleReopen(db), after)
	for range 2 {
		key, err := auth.GetKey(ctx, exampleLogin.KeyID())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(*key.HashedPassword)[:7])
		_, err = auth.SignIn(ctx, exampleLogin)
		fmt.Println(err)
	}
	// Output:
	// $2a$10$
	// <nil>
	// $argon2
	// <nil>
}

// The limiter is shared by all that hashes in a process. A sign-in that gets no place is refused.
func ExampleWithPasswordLimiter() {
	limiter := password.NewLimiter(1, 1, time.Millisecond)
	ctx, auth, _, done := exampleAuth(gormkey.WithPasswordLimiter(limiter))
	defer done()

	err := limiter.Do(ctx, func() error { // the sign-in of another plugin, for example
		_, err := auth.SignIn(ctx, exampleLogin)
		return err
	})
	fmt.Println(errors.Is(err, gormkey.ErrBusy)) // answer 503
	_, err = auth.SignIn(ctx, exampleLogin)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// Somebody who was signed in by Lucia stays signed in.
func ExampleWithLuciaV2() {
	db, done := exampleDatabase()
	defer done()
	token, expires := "k3x9v0q7m2b8n4c6z1l5j0h3g7f2d9s8a4p6o1i5", time.Now().Add(time.Hour).UnixMilli()
	for _, statement := range []string{
		"CREATE TABLE auth_user (id VARCHAR(15) NOT NULL PRIMARY KEY, email VARCHAR(255))",
		"CREATE TABLE user_key (id VARCHAR(255) NOT NULL PRIMARY KEY, user_id VARCHAR(15) NOT NULL, hashed_password VARCHAR(255), FOREIGN KEY (user_id) REFERENCES auth_user(id))",
		"CREATE TABLE user_session (id VARCHAR(127) NOT NULL PRIMARY KEY, user_id VARCHAR(15) NOT NULL, active_expires BIGINT NOT NULL, idle_expires BIGINT NOT NULL, FOREIGN KEY (user_id) REFERENCES auth_user(id))",
		"INSERT INTO auth_user VALUES ('lucia1234567890', 'ada@example.com')",
		fmt.Sprintf("INSERT INTO user_session VALUES ('%s', 'lucia1234567890', %d, %d)", token, expires, expires),
	} {
		if err := db.Exec(statement).Error; err != nil {
			log.Fatal(err)
		}
	}
	auth := exampleMigrate(db, gormkey.New[Account](gormkey.WithLuciaV2()))
	session, err := auth.ValidateSession(context.Background(), gormkey.Token(token))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.User.Email, string(session.ID) == token)
	// Output: ada@example.com true
}

// A job that may run for a minute stops after a batch. The next run goes on from there.
func ExampleWithProgress() {
	clock := authtest.NewClock()
	ctx, auth, ada, done := exampleAuth(gormkey.WithClock(clock.Now))
	defer done()
	for range 5 {
		if _, err := auth.OpenSession(ctx, ada.ID); err != nil {
			log.Fatal(err)
		}
	}
	clock.Advance(30 * 24 * time.Hour)

	end := clock.Now().Add(time.Minute)
	stop := gormkey.WithProgress(func(int64) error {
		if clock.Advance(40 * time.Second); clock.Now().After(end) { // each batch takes so long
			return errors.New("the time is over")
		}
		return nil
	})
	fmt.Println(auth.DeleteExpired(ctx, gormkey.WithBatchSize(2), stop))
	fmt.Println(auth.DeleteExpired(ctx))
	// Output:
	// 4 the time is over
	// 1 <nil>
}
