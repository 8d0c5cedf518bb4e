package gormkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
	"github.com/gormkey/gormkey/event"
)

var exampleLogin = gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse battery staple"}

// exampleAuth opens a database with one account, ada@example.com.
func exampleAuth(opts ...gormkey.Option) (ctx context.Context, auth *gormkey.Repository[Account], ada *Account, done func()) {
	db, done := exampleDatabase()
	auth = exampleMigrate(db, gormkey.New[Account](append([]gormkey.Option{gormkey.WithPasswordHasher(authtest.FastHasher())}, opts...)...))
	ada = &Account{Email: "ada@example.com"}
	if err := auth.CreateUser(context.Background(), ada, exampleLogin); err != nil {
		log.Fatal(err)
	}
	return context.Background(), auth, ada, done
}

func ExampleRepositoryOf_CreateUser() {
	ctx, auth, _, done := exampleAuth()
	defer done()

	bob := &Account{Email: "bob@example.com"}
	err := auth.CreateUser(ctx, bob,
		gormkey.Credentials{Provider: "email", ID: "bob@example.com", Password: "a good password"},
		gormkey.Proved("github", "42"))
	fmt.Println(len(bob.ID), err)

	err = auth.CreateUser(ctx, &Account{Email: "eve@example.com"}, exampleLogin)
	fmt.Println(err)
	// Output:
	// 15 <nil>
	// gormkey: duplicate key
}

func ExampleRepositoryOf_UpdateUserAttributes() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	ada, err := auth.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Email": "lovelace@example.com"})
	fmt.Println(ada.Email, err)
	_, err = auth.UpdateUserAttributes(ctx, ada.ID, map[string]any{"id": "mallory"})
	fmt.Println(err)
	// Output:
	// lovelace@example.com <nil>
	// gormkey: attributes: "id" is reserved
}

func ExampleRepositoryOf_DeleteUser() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	fmt.Println(auth.DeleteUser(ctx, ada.ID))
	_, err := auth.GetUser(ctx, ada.ID)
	fmt.Println(err)
	// Output:
	// <nil>
	// gormkey: user not found
}

func ExampleRepositoryOf_SignIn() {
	ctx, auth, _, done := exampleAuth()
	defer done()

	session, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	cookie := string(session.Token)
	fmt.Println(len(cookie), session.User.Email, session.Token)

	wrong := exampleLogin
	wrong.Password = "incorrect horse"
	_, err = auth.SignIn(ctx, wrong)
	fmt.Println(err)
	// Output:
	// 40 ada@example.com [redacted]
	// gormkey: invalid credentials
}

// A callback of an OAuth provider has proved who it is: there is no password.
func ExampleRepositoryOf_SignIn_withoutPassword() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	github := gormkey.Proved("github", "42")
	if _, err := auth.AddKey(ctx, ada.ID, github); err != nil {
		log.Fatal(err)
	}
	session, err := auth.SignIn(ctx, github)
	fmt.Println(session.User.Email, err)
	// Output: ada@example.com <nil>
}

func ExampleRepositoryOf_ValidateSession() {
	clock := authtest.NewClock()
	ctx, auth, _, done := exampleAuth(gormkey.WithClock(clock.Now))
	defer done()

	session, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	cookie := session.Token
	for _, later := range []time.Duration{time.Hour, 48 * time.Hour, 16 * 24 * time.Hour} {
		clock.Advance(later)
		session, err = auth.ValidateSession(ctx, cookie)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(session.User.Email, "renewed:", session.Fresh)
	}
	// Output:
	// ada@example.com renewed: false
	// ada@example.com renewed: true
	// gormkey: invalid session
}

func ExampleRepositoryOf_UserSessions() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	var here *gormkey.Session[Account]
	for range 3 {
		session, err := auth.SignIn(ctx, exampleLogin)
		if err != nil {
			log.Fatal(err)
		}
		here = session
	}
	devices, err := auth.UserSessions(ctx, ada.ID)
	fmt.Println(len(devices), err)
	if err := auth.EndOtherSessions(ctx, ada.ID, here.ID); err != nil {
		log.Fatal(err)
	}
	devices, err = auth.UserSessions(ctx, ada.ID)
	fmt.Println(len(devices), err)
	// Output:
	// 3 <nil>
	// 1 <nil>
}

func ExampleRepositoryOf_ShareKey() {
	ctx, auth, _, done := exampleAuth()
	defer done()

	name := gormkey.KeyID{Provider: "username", ID: "ada"}
	if _, err := auth.ShareKey(ctx, name, exampleLogin.KeyID()); err != nil {
		log.Fatal(err)
	}
	session, err := auth.SignIn(ctx, gormkey.Credentials{Provider: "username", ID: "ada", Password: exampleLogin.Password})
	fmt.Println(session.User.Email, err)
	// Output: ada@example.com <nil>
}

func ExampleRepositoryOf_ChangePassword() {
	ctx, auth, _, done := exampleAuth()
	defer done()

	here, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	elsewhere, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	// The credentials have the old password. The session that asks stays.
	if _, err := auth.ChangePassword(ctx, exampleLogin, "another good password", here.ID); err != nil {
		log.Fatal(err)
	}
	_, err = auth.ValidateSession(ctx, here.Token)
	fmt.Println("here:", err)
	_, err = auth.ValidateSession(ctx, elsewhere.Token)
	fmt.Println("elsewhere:", err)
	// Output:
	// here: <nil>
	// elsewhere: gormkey: invalid session
}

// An administrator sets a password without knowing the old one: every session of the user ends.
func ExampleRepositoryOf_OverwritePassword() {
	ctx, auth, _, done := exampleAuth()
	defer done()

	changed := exampleLogin
	changed.Password = "another good password"
	if _, err := auth.OverwritePassword(ctx, changed, ""); err != nil {
		log.Fatal(err)
	}
	_, err := auth.SignIn(ctx, exampleLogin)
	fmt.Println("the old one:", err)
	_, err = auth.SignIn(ctx, changed)
	fmt.Println("the new one:", err)
	// Output:
	// the old one: gormkey: invalid credentials
	// the new one: <nil>
}

func ExampleRepositoryOf_RemoveKey() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	key := exampleLogin.KeyID()
	fmt.Println(auth.RemoveKey(ctx, ada.ID, key))
	fmt.Println(auth.RemoveKey(ctx, "another-user", key))
	fmt.Println(auth.RemoveKey(ctx, ada.ID, key, gormkey.AllowLastKey()))
	// Output:
	// gormkey: last key of the user
	// gormkey: key not found
	// <nil>
}

// A user ends one of their sessions from a page that lists them.
func ExampleRepositoryOf_EndSession() {
	ctx, auth, ada, done := exampleAuth()
	defer done()

	phone, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(auth.EndSession(ctx, "another-user", phone.ID))
	fmt.Println(auth.EndSession(ctx, ada.ID, phone.ID))
	// Output:
	// gormkey: invalid session
	// <nil>
}

// exampleDevice is a session with a column of the application's own.
type exampleDevice struct {
	gormkey.Session[Account]
	UserAgent string `gorm:"size:255"`
}

func ExampleNewOf() {
	folder, err := os.MkdirTemp("", "gormkey-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	dsn := "file:" + filepath.Join(folder, "app.db") + sqliteOptions
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	plugin := gormkey.NewOf[Account, gormkey.Key[Account], exampleDevice](gormkey.WithPasswordHasher(authtest.FastHasher()))
	if err := errors.Join(db.Use(plugin), plugin.AutoMigrate(db)); err != nil {
		log.Fatal(err)
	}
	auth, err := plugin.Repository()
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if err := auth.CreateUser(ctx, &Account{Email: "ada@example.com"}, exampleLogin); err != nil {
		log.Fatal(err)
	}
	device, err := auth.SignIn(ctx, exampleLogin, func(d *exampleDevice) { d.UserAgent = "Firefox" })
	if err != nil {
		log.Fatal(err)
	}
	device, err = auth.ValidateSession(ctx, device.Token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(device.User.Email, device.UserAgent)
	if pool, err := db.DB(); err == nil {
		_ = pool.Close()
	}
	// Output: ada@example.com Firefox
}

func ExampleRepositoryOf_SignOut() {
	ctx, auth, _, done := exampleAuth()
	defer done()

	session, err := auth.SignIn(ctx, exampleLogin)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(auth.SignOut(ctx, session.Token))
	_, err = auth.ValidateSession(ctx, session.Token)
	fmt.Println(err)
	// Output:
	// <nil>
	// gormkey: invalid session
}

func ExampleRepositoryOf_DeleteExpired() {
	clock := authtest.NewClock()
	ctx, auth, ada, done := exampleAuth(gormkey.WithClock(clock.Now))
	defer done()

	for range 5 {
		if _, err := auth.OpenSession(ctx, ada.ID); err != nil {
			log.Fatal(err)
		}
	}
	clock.Advance(30 * 24 * time.Hour)
	deleted, err := auth.DeleteExpired(ctx, gormkey.WithBatchSize(2), gormkey.WithProgress(func(deleted int64) error {
		fmt.Println(deleted, "so far")
		return nil
	}))
	fmt.Println(deleted, err)
	// Output:
	// 2 so far
	// 4 so far
	// 5 so far
	// 5 <nil>
}

func ExampleWithHook() {
	ctx, auth, _, done := exampleAuth(gormkey.WithHook(func(tx *gorm.DB, e event.Event) error {
		fmt.Println(e.Type, e.KeyID, e.Err)
		return nil
	}))
	defer done()

	_, _ = auth.SignIn(ctx, gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "incorrect horse"})
	// Output:
	// user created  <nil>
	// key added email:ada@example.com <nil>
	// sign-in failed email:ada@example.com gormkey: invalid password
}
