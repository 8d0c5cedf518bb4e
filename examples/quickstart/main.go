// Quickstart signs somebody up and in, checks and renews the session, lists and ends
// devices, and deletes the user, on a SQLite file in a temporary folder. It prints what
// happens and exits with 1 on any surprise.
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

	// 1. Register the plugin and migrate. A program of yours needs no clock of its own.
	now := time.Now()
	plugin := gormkey.New[Account](gormkey.WithClock(func() time.Time { return now }))
	if err := db.Use(plugin); err != nil {
		return err
	}
	if err := plugin.AutoMigrate(db); err != nil {
		return err
	}
	auth, err := plugin.Repository()
	if err != nil {
		return err
	}

	// 2. Sign up: the user and a key, or neither.
	ada := &Account{Email: "ada@example.com"}
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse battery staple"}
	if err := auth.CreateUser(ctx, ada, login); err != nil {
		return err
	}
	fmt.Printf("signed up      %s, user id of %d characters\n", ada.Email, len(ada.ID))

	// 3. The same key again is refused, and leaves no half user behind.
	err = auth.CreateUser(ctx, &Account{Email: "other@example.com"}, login)
	if !errors.Is(err, gormkey.ErrDuplicateKey) {
		return fmt.Errorf("signing up twice: got %v", err)
	}
	fmt.Printf("refused        %v\n", err)

	// 4. A wrong password and an unknown address get the same answer after the same work.
	wrong := login
	wrong.Password = "incorrect horse"
	if _, err = auth.SignIn(ctx, wrong); !errors.Is(err, gormkey.ErrInvalidCredentials) {
		return fmt.Errorf("a wrong password: got %v", err)
	}
	fmt.Printf("refused        %v\n", err)

	// 5. Sign in. string(session.Token) is what a cookie would hold; the table has its hash.
	session, err := auth.SignIn(ctx, login)
	if err != nil {
		return err
	}
	fmt.Printf("signed in      until %s, token %v\n", period(now, session.IdleExpires), session.Token)

	// 6. On each request: who is it?
	session, err = auth.ValidateSession(ctx, session.Token)
	if err != nil {
		return err
	}
	if session.User.Email != ada.Email || session.Fresh {
		return fmt.Errorf("validated: got %s, fresh %v", session.User.Email, session.Fresh)
	}
	fmt.Printf("validated      %s, session is %s\n", session.User.Email, session.State(now))

	// 7. Two days later the session is idle: validating renews it.
	now = now.Add(48 * time.Hour)
	session, err = auth.ValidateSession(ctx, session.Token)
	if err != nil {
		return err
	}
	if !session.Fresh {
		return errors.New("an idle session was not renewed")
	}
	fmt.Printf("renewed        until %s, send the cookie again\n", period(now, session.IdleExpires))

	// 8. A second device; then end all but this one.
	phone, err := auth.SignIn(ctx, login)
	if err != nil {
		return err
	}
	devices, err := auth.UserSessions(ctx, ada.ID)
	if err != nil {
		return err
	}
	fmt.Printf("devices        %d\n", len(devices))
	if err := auth.EndOtherSessions(ctx, ada.ID, session.ID); err != nil {
		return err
	}
	if _, err = auth.ValidateSession(ctx, phone.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		return fmt.Errorf("an ended session: got %v", err)
	}
	fmt.Printf("other ended    %v\n", err)

	// 9. Sign out.
	if err := auth.SignOut(ctx, session.Token); err != nil {
		return err
	}
	if _, err = auth.ValidateSession(ctx, session.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		return fmt.Errorf("after signing out: got %v", err)
	}
	fmt.Printf("signed out     %v\n", err)

	// 10. Delete: keys and sessions go along.
	if err := auth.DeleteUser(ctx, ada.ID); err != nil {
		return err
	}
	if _, err = auth.SignIn(ctx, login); !errors.Is(err, gormkey.ErrInvalidCredentials) {
		return fmt.Errorf("after deleting: got %v", err)
	}
	fmt.Printf("deleted        %v\n", err)
	return nil
}

func period(now time.Time, end gormkey.UnixMilli) string {
	return fmt.Sprintf("%.0f days from now", end.Time().Sub(now).Hours()/24)
}
