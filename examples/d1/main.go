// D1 shows the library on Cloudflare D1: on the engine of .ci/engines d1, or on a database
// of Cloudflare's. It prints what happens and exits with 1 on any surprise; it leaves the
// tables, empty of what it made.
//
//	go run .
//	D1_DATABASE=d1://<account>/<database> CLOUDFLARE_API_TOKEN=… go run .
package main

import (
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
	"github.com/gormkey/gormkey/d1"
)

// Account is the application's user.
type Account struct {
	gormkey.User
	Email     string `gorm:"size:255;uniqueIndex"`
	CreatedAt time.Time
}

// Profile is a table of the application's.
type Profile struct {
	AccountID string   `gorm:"primaryKey;size:15"`
	Account   *Account `gorm:"constraint:OnDelete:CASCADE"`
	Name      string
}

// local is the engine of .ci/engines d1.
var local = d1.Config{Account: "test", Database: "gormkey0", Token: "gormkey-test", Endpoint: "http://127.0.0.1:18787/client/v4"}

func main() {
	config := local
	if dsn := os.Getenv("D1_DATABASE"); dsn != "" {
		var err error
		if config, err = d1.ParseDSN(dsn); err != nil {
			log.Fatal(err)
		}
	}
	if err := run(context.Background(), config, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, config d1.Config, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	db, err := gorm.Open(d1.New(config), &gorm.Config{Logger: logger.Discard, TranslateError: true})
	if err != nil {
		return err
	}
	plugin := gormkey.New[Account]()
	if err := db.Use(plugin); err != nil {
		return err
	}
	if err := plugin.AutoMigrate(db, &Profile{}); err != nil {
		return err
	}
	auth, err := plugin.Repository()
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "migrated")

	// A user, the key and the profile are written together: as one batch, in one request.
	ada := &Account{Email: "ada@d1.example"}
	login := gormkey.Credentials{Provider: "email", ID: ada.Email, Password: "correct horse battery staple"}
	err = db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := auth.With(tx).CreateUser(ctx, ada, login); err != nil {
			return err
		}
		return tx.Create(&Profile{AccountID: ada.ID, Name: "Ada"}).Error
	})
	if err != nil {
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

	// What a batch violates is known when it is sent, and then nothing of it is done.
	err = db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		grace := &Account{Email: "grace@d1.example"}
		if err := auth.With(tx).CreateUser(ctx, grace, login); err != nil {
			return err
		}
		return tx.Create(&Profile{AccountID: grace.ID, Name: "Grace"}).Error
	})
	if err == nil {
		return errors.New("a second account with the key was let in")
	}
	var n int64
	if err := db.WithContext(ctx).Model(&Account{}).Where("email = ?", "grace@d1.example").Count(&n).Error; err != nil || n != 0 {
		return fmt.Errorf("%d accounts are left of a batch that failed: %w", n, err)
	}
	err = auth.CreateUser(ctx, &Account{Email: "grace@d1.example"}, login)
	if !errors.Is(err, gormkey.ErrDuplicateKey) {
		return fmt.Errorf("a second account with the key: got %w", err)
	}
	fmt.Fprintln(w, "a taken key is refused, and nothing of its account is left")

	// A batch cannot read what it has yet to write.
	err = db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&gormkey.Session[Account]{ID: "of-ada", UserID: ada.ID}).Error; err != nil {
			return err
		}
		return tx.First(&gormkey.Session[Account]{}, "id = ?", "of-ada").Error
	})
	if !errors.Is(err, d1.ErrReadAfterWrite) {
		return fmt.Errorf("a read after a write in a transaction: got %w", err)
	}
	fmt.Fprintln(w, "a read after a write in a transaction is refused")

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
