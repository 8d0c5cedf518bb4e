// Turso shows the library on a libSQL server: the one of .ci/engines libsql, or a
// database of Turso's. It prints what happens and exits with 1 on any surprise; it
// leaves the tables, empty of what it made.
//
//	go run .
//	TURSO_DATABASE_URL=libsql://shop-acme.turso.io TURSO_AUTH_TOKEN=… go run .
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/libsql"
)

// Account is the application's user.
type Account struct {
	gormkey.User
	Email     string `gorm:"size:255;uniqueIndex"`
	CreatedAt time.Time
}

func main() {
	config := libsql.Config{
		DSN:       cmp.Or(os.Getenv("TURSO_DATABASE_URL"), "ws://localhost:15380"),
		AuthToken: os.Getenv("TURSO_AUTH_TOKEN"),
	}
	if err := run(context.Background(), config, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, config libsql.Config, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	db, err := gorm.Open(libsql.New(config), &gorm.Config{Logger: logger.Discard, TranslateError: true})
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	plugin := gormkey.New[Account]()
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
	fmt.Fprintln(w, "migrated")

	ada := &Account{Email: "ada@turso.example"}
	login := gormkey.Credentials{Provider: "email", ID: ada.Email, Password: "correct horse battery staple"}
	if err := auth.CreateUser(ctx, ada, login); err != nil {
		return err
	}
	session, err := auth.SignIn(ctx, login)
	if err != nil {
		return err
	}
	if session, err = auth.ValidateSession(ctx, session.Token); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s is signed in\n", session.User.Email)

	// The server's refusals are GORM's errors and the library's.
	err = db.Create(&Account{Email: ada.Email}).Error
	if !errors.Is(err, gorm.ErrDuplicatedKey) {
		return fmt.Errorf("a second account with the address: got %w", err)
	}
	err = auth.CreateUser(ctx, &Account{Email: "other@turso.example"}, login)
	if !errors.Is(err, gormkey.ErrDuplicateKey) {
		return fmt.Errorf("a second account with the key: got %w", err)
	}
	err = db.Create(&gormkey.Session[Account]{ID: "of-nobody", UserID: "nobody"}).Error
	if !errors.Is(err, gorm.ErrForeignKeyViolated) {
		return fmt.Errorf("a session of nobody: got %w", err)
	}
	fmt.Fprintln(w, "a taken address, a taken key and a session of nobody are refused")

	if err := auth.DeleteUser(ctx, ada.ID); err != nil {
		return err
	}
	if _, err := auth.ValidateSession(ctx, session.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		return fmt.Errorf("a session of a deleted user: got %w", err)
	}
	fmt.Fprintln(w, "the deleted user's session is gone")

	findings, err := auth.Audit(ctx)
	if err != nil {
		return err
	}
	for _, finding := range findings {
		fmt.Fprintln(w, finding)
	}
	fmt.Fprintf(w, "%d findings\n", len(findings))
	return nil
}
