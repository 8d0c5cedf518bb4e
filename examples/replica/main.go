// Replica shows the library on an embedded replica: a local file that follows a libSQL
// server. Checks of sessions read the file, and writes go to the server: the one of
// .ci/engines libsql, or a database of Turso's. It needs cgo. It prints what happens and
// exits with 1 on any surprise; it leaves the tables, empty of what it made.
//
//	go run .
//	TURSO_DATABASE_URL=libsql://shop-acme.turso.io TURSO_AUTH_TOKEN=… go run .
package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/glebarez/sqlite"
	"github.com/tursodatabase/go-libsql"
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
	server := cmp.Or(os.Getenv("TURSO_DATABASE_URL"), "http://localhost:15380")
	if err := run(context.Background(), server, os.Getenv("TURSO_AUTH_TOKEN"), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server, token string, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "replica")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	here, err := open(filepath.Join(dir, "here.db"), server, token)
	if err != nil {
		return err
	}
	defer here.close()
	there, err := open(filepath.Join(dir, "there.db"), server, token)
	if err != nil {
		return err
	}
	defer there.close()

	ada := &Account{Email: "ada@replica.example"}
	login := gormkey.Credentials{Provider: "email", ID: ada.Email, Password: "correct horse battery staple"}
	if err := here.auth.CreateUser(ctx, ada, login); err != nil {
		return err
	}
	session, err := here.auth.SignIn(ctx, login)
	if err != nil {
		return err
	}
	if _, err := here.auth.ValidateSession(ctx, session.Token); err != nil {
		return err // a replica sees what was written through it
	}
	fmt.Fprintln(w, "signed in here")
	if _, err := there.auth.ValidateSession(ctx, session.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		return fmt.Errorf("a session that the other replica has not heard of: got %w", err)
	}
	if _, err := there.connector.Sync(); err != nil {
		return err
	}
	if _, err := there.auth.ValidateSession(ctx, session.Token); err != nil {
		return err
	}
	fmt.Fprintln(w, "signed in there, after a sync")

	if err := here.auth.SignOut(ctx, session.Token); err != nil {
		return err
	}
	if _, err := there.auth.ValidateSession(ctx, session.Token); err != nil {
		return fmt.Errorf("a session that ended elsewhere: got %w", err)
	}
	fmt.Fprintln(w, "signed out here, and still in there")
	if _, err := there.connector.Sync(); err != nil {
		return err
	}
	if _, err := there.auth.ValidateSession(ctx, session.Token); !errors.Is(err, gormkey.ErrInvalidSession) {
		return fmt.Errorf("a session that ended elsewhere, after a sync: got %w", err)
	}
	fmt.Fprintln(w, "signed out there, after a sync")
	return here.auth.DeleteUser(ctx, ada.ID)
}

// replica is a file with the library on it.
type replica struct {
	auth      *gormkey.Repository[Account]
	connector *libsql.Connector
	pool      *sql.DB
}

func open(path, server, token string) (*replica, error) {
	options := []libsql.Option{libsql.WithReadYourWrites(true)}
	if token != "" {
		options = append(options, libsql.WithAuthToken(token))
	}
	connector, err := libsql.NewEmbeddedReplicaConnector(path, server, options...)
	if err != nil {
		return nil, err
	}
	r := &replica{connector: connector, pool: sql.OpenDB(connector)}
	db, err := gorm.Open(sqlite.Dialector{Conn: r.pool}, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	plugin := gormkey.New[Account]()
	if err := db.Use(plugin); err != nil {
		return nil, err
	}
	if err := plugin.AutoMigrate(db); err != nil {
		return nil, err
	}
	r.auth, err = plugin.Repository()
	return r, err
}

func (r *replica) close() {
	_ = r.pool.Close()
	_ = r.connector.Close()
}
