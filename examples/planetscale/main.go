// Planetscale shows the mode without foreign keys on any MySQL DSN: PlanetScale, a Vitess
// of your own, MySQL or MariaDB. It prints what happens and exits with 1 on any surprise;
// it leaves the tables, empty of what it made.
//
//	DATABASE_URL='user:pscale_pw_…@tcp(aws.connect.psdb.cloud)/shop?tls=true&parseTime=true&interpolateParams=true' go run .
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
)

// Account is the application's user.
type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

func main() {
	dsn := os.Getenv("DATABASE_URL")
	if dsn == "" {
		log.Fatal("set DATABASE_URL to a DSN of github.com/go-sql-driver/mysql: user:password@tcp(host)/database?tls=true&parseTime=true")
	}
	if err := run(context.Background(), dsn, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dsn string, w io.Writer) error {
	db, err := gorm.Open(mysql.Open(dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	plugin := gormkey.New[Account](gormkey.WithPlanetScale())
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
	pending, err := plugin.PendingSQL(db)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "migrated; %d statements pending\n", len(pending))

	ada := &Account{Email: "ada@planetscale.example"}
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

	// No foreign key refuses this: the plugin does.
	err = db.Create(&gormkey.Session[Account]{ID: "of-nobody", UserID: "nobody"}).Error
	if !errors.Is(err, gorm.ErrForeignKeyViolated) {
		return fmt.Errorf("a session of nobody: got %w", err)
	}
	fmt.Fprintln(w, "a session of nobody is refused")

	// And no foreign key cascades here.
	if err := db.Delete(ada).Error; err != nil {
		return err
	}
	if _, err := auth.ValidateSession(ctx, session.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		return fmt.Errorf("a session of a deleted user: got %w", err)
	}
	fmt.Fprintln(w, "a plain delete of the user took the key and the session along")

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
