// Quickstart signs somebody up and in, checks and renews the session, lists and ends
// devices, and deletes the user, on a SQLite file in a temporary folder. It prints what it
// tries and what happens, and exits with 1 if anything else happens.
package main

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
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
)

// Account is the application's user: its own columns, and an id from gormkey.User.
type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

func main() {
	folder, err := os.MkdirTemp("", "gormkey-quickstart-")
	if err != nil {
		log.Fatal(err)
	}
	err = run(context.Background(), filepath.Join(folder, "app.db"))
	_ = os.RemoveAll(folder)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(`
Everything went as it should. Go on with:

	go run ./examples/web    a site with sign-up, devices and links by mail, to click
	README.md                a web service on one page, and what you can do
	docs/README.md           a guide for each task
`)
}

// tour is one user's life. A program of yours needs no clock of its own.
type tour struct {
	auth  *gormkey.Repository[Account]
	now   time.Time
	ada   *Account
	login gormkey.Credentials
}

func run(ctx context.Context, file string) error {
	dsn := "file:" + file + "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Default.LogMode(logger.Error)})
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()

	t := &tour{now: time.Now()}
	plugin := gormkey.New[Account](gormkey.WithClock(func() time.Time { return t.now }))
	if err := db.Use(plugin); err != nil { // right after gorm.Open
		return err
	}
	if err := plugin.AutoMigrate(db); err != nil {
		return err
	}
	if t.auth, err = plugin.Repository(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{t.signUp, t.signIn, t.devices, t.leave} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// signUp creates the user and a key, or neither.
func (t *tour) signUp(ctx context.Context) error {
	address := gormkey.FoldEmail("Ada@example.com")
	t.ada = &Account{Email: address}
	t.login = gormkey.Credentials{Provider: "email", ID: address, Password: "correct horse battery staple"}
	if err := t.auth.CreateUser(ctx, t.ada, t.login); err != nil {
		return err
	}
	say("sign up as "+address, fmt.Sprintf("user id of %d characters", len(t.ada.ID)))

	err := t.auth.CreateUser(ctx, &Account{Email: "other@example.com"}, t.login)
	if err := refused("sign up with the same address again", err, gormkey.ErrDuplicateKey); err != nil {
		return err
	}
	short := gormkey.Credentials{Provider: "email", ID: "bob@example.com", Password: "short"}
	err = t.auth.CreateUser(ctx, &Account{Email: "bob@example.com"}, short)
	return refused("sign up with a short password", err, gormkey.ErrInvalidArgument)
}

// signIn opens a session. string(session.Token) is what a cookie holds; the table has its hash.
func (t *tour) signIn(ctx context.Context) error {
	wrong := t.login
	wrong.Password = "incorrect horse"
	_, err := t.auth.SignIn(ctx, wrong)
	if err := refused("sign in with a wrong password", err, gormkey.ErrInvalidCredentials); err != nil {
		return err
	}
	wrong.ID = "nobody@example.com"
	_, err = t.auth.SignIn(ctx, wrong)
	if err := refused("sign in with an unknown address", err, gormkey.ErrInvalidCredentials); err != nil {
		return err
	}
	session, err := t.auth.SignIn(ctx, t.login)
	if err != nil {
		return err
	}
	say("sign in", "session for "+t.days(session.IdleExpires))

	session, err = t.auth.ValidateSession(ctx, session.Token)
	if err != nil {
		return err
	}
	say("check the session", fmt.Sprintf("%s, %s", session.User.Email, session.State(t.now)))

	t.now = t.now.Add(48 * time.Hour)
	session, err = t.auth.ValidateSession(ctx, session.Token)
	if err != nil {
		return err
	}
	if !session.Fresh {
		return errors.New("an idle session was not renewed")
	}
	say("check it two days later", "renewed for "+t.days(session.IdleExpires))
	return nil
}

// devices signs in twice more, and ends all sessions but one.
func (t *tour) devices(ctx context.Context) error {
	phone, err := t.auth.SignIn(ctx, t.login)
	if err != nil {
		return err
	}
	laptop, err := t.auth.SignIn(ctx, t.login)
	if err != nil {
		return err
	}
	sessions, err := t.auth.UserSessions(ctx, t.ada.ID)
	if err != nil {
		return err
	}
	say("list the devices", fmt.Sprint(len(sessions)))
	if err := t.auth.EndOtherSessions(ctx, t.ada.ID, laptop.ID); err != nil {
		return err
	}
	say("end the other sessions", "done")
	_, err = t.auth.ValidateSession(ctx, phone.Token)
	if err := refused("use the phone's token", err, gormkey.ErrInvalidSession); err != nil {
		return err
	}
	if err := t.auth.SignOut(ctx, laptop.Token); err != nil {
		return err
	}
	say("sign out", "done")
	_, err = t.auth.ValidateSession(ctx, laptop.Token)
	return refused("use the old token after the sign-out", err, gormkey.ErrInvalidSession)
}

// leave deletes the user, with keys and sessions.
func (t *tour) leave(ctx context.Context) error {
	if err := t.auth.DeleteUser(ctx, t.ada.ID); err != nil {
		return err
	}
	say("delete the user", "keys and sessions went too")
	_, err := t.auth.SignIn(ctx, t.login)
	return refused("sign in as the deleted user", err, gormkey.ErrInvalidCredentials)
}

func (t *tour) days(end gormkey.UnixMilli) string {
	return fmt.Sprintf("%.0f days", end.Time().Sub(t.now).Hours()/24)
}

func say(what, happened string) { fmt.Printf("%-38s → %s\n", what, happened) }

// refused prints that something was refused, as it should be, and returns an error if it was not.
func refused(what string, err, want error) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%s: got %v, want %v", what, err, want)
	}
	say(what, fmt.Sprintf("refused, as it should be (%v)", err))
	return nil
}
