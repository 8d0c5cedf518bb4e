package password_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/gormkey/gormkey/password"
)

func ExampleArgon2id() {
	hasher := password.Argon2id{Memory: 64, Iterations: 1} // Argon2id{} in a program
	hash, err := hasher.Hash("correct horse battery staple")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(hash[:strings.LastIndex(hash[:len("$argon2id$v=19$m=64,t=1,p=1$")], "$")])
	fmt.Println(hasher.Verify("correct horse battery staple", hash))
	fmt.Println(hasher.Verify("incorrect horse", hash))
	fmt.Println("outdated:", password.Argon2id{}.Outdated(hash))
	// Output:
	// $argon2id$v=19$m=64,t=1,p=1
	// true <nil>
	// false <nil>
	// outdated: true
}

// Hashes of an older system are verified, and are outdated, so that a sign-in replaces them.
func ExampleAny() {
	old, err := bcrypt.GenerateFromPassword([]byte("correct horse battery staple"), bcrypt.MinCost)
	if err != nil {
		log.Fatal(err)
	}
	hasher := password.Any{Hasher: password.Argon2id{Memory: 64, Iterations: 1}}
	fmt.Println(hasher.Verify("correct horse battery staple", string(old)))
	fmt.Println("outdated:", hasher.Outdated(string(old)))
	_, err = hasher.Verify("correct horse battery staple", "plain text")
	fmt.Println(err)
	// Output:
	// true <nil>
	// outdated: true
	// password: unknown hash format
}

// A policy is any function that takes a password and returns an error.
func ExampleMinLength() {
	atLeast := password.MinLength(8)
	fmt.Println(atLeast("short"))
	fmt.Println(atLeast("pässwörd"))
	// Output:
	// password: too short: at least 8 characters are needed
	// <nil>
}

// The key of a pepper is kept apart from the database.
func ExamplePepper() {
	hasher := password.Pepper{
		Keys:    map[string][]byte{"2026": []byte(strings.Repeat("k", 32))}, // 32 random bytes in a program
		Current: "2026",
		Hasher:  password.Argon2id{Memory: 64, Iterations: 1},
	}
	hash, err := hasher.Hash("correct horse battery staple")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(hash[:len("pepper:2026:$argon2id$")])
	fmt.Println(hasher.Verify("correct horse battery staple", hash))
	// Output:
	// pepper:2026:$argon2id$
	// true <nil>
}

// One hash at a time, and nobody in the queue for longer than the context lasts.
func ExampleLimiter() {
	limiter := password.NewLimiter(1, 1, 0)
	ctx, cancel := context.WithCancel(context.Background())
	err := limiter.Do(ctx, func() error {
		fmt.Println("running:", limiter.Running())
		cancel()
		return limiter.Do(ctx, func() error { return nil })
	})
	fmt.Println(errors.Is(err, context.Canceled))
	// Output:
	// running: 1
	// true
}

// A hash does not get into a log by mistake.
func ExampleHash() {
	hash := password.Hash("a hash of a password")
	fmt.Printf("%s %q\n", hash, struct{ Hash password.Hash }{hash})
	// Output: [redacted] {[redacted]}
}
