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

// Words that an attacker knows are given as they are.
func ExampleNotCommon() {
	notCommon := password.NotCommon("Acme Notes", "ada@example.com")
	for _, typed := range []string{"sunshine", "WalrusWalrus", "asdf1234qwer", "Acme2026!", "sunshine over acme hill"} {
		fmt.Println(notCommon(typed))
	}
	// Output:
	// password: too common: it is on a list of passwords that are guessed first
	// password: too common: it is a short text repeated, or a row of neighbouring keys, letters or digits
	// password: too common: it is a short text repeated, or a row of neighbouring keys, letters or digits
	// password: too common: it is little more than a name that everybody tries
	// <nil>
}

func ExampleDefault() {
	policy := password.Default("Acme Notes")
	fmt.Println(policy("short"))
	fmt.Println(policy("Password1"))
	fmt.Println(policy("a walrus in a tea cup"))
	// Output:
	// password: too short: at least 8 characters are needed
	// password: too common: it is on a list of passwords that are guessed first
	// <nil>
}

func ExampleNIST() {
	policy := password.NIST("Acme Notes")
	fmt.Println(policy("fourteen chars"))
	fmt.Println(policy("sunshinesunshine"))
	fmt.Println(policy("no digit, no capital"))
	// Output:
	// password: too short: at least 15 characters are needed
	// password: too common: it is a short text repeated, or a row of neighbouring keys, letters or digits
	// <nil>
}

func ExampleNISTWithMFA() {
	policy := password.NISTWithMFA("Acme Notes")
	fmt.Println(policy("tea walrus"))
	fmt.Println(policy("baseball"))
	// Output:
	// <nil>
	// password: too common: it is on a list of passwords that are guessed first
}

// A rule of the application's own comes after the others.
func ExampleAll() {
	noTeam := func(typed string) error {
		if strings.EqualFold(typed, "acme rovers") {
			return errors.New("is our team, which everybody tries")
		}
		return nil
	}
	policy := password.All(password.Default(), noTeam)
	fmt.Println(policy("Acme Rovers"))
	fmt.Println(policy("acme"))
	// Output:
	// is our team, which everybody tries
	// password: too short: at least 8 characters are needed
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
