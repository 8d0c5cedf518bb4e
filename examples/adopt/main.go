// Adopt shows how gormkey takes over a table of users that an application with GORM has
// already: gorm.Model with its bigint ids, bcrypt hashes, and posts that point at the users.
// docs/adopt.md explains each step.
//
//	go run .                                          # on SQLite, in a temporary file
//	go run . -postgres "host=127.0.0.1 dbname=empty"  # or -mysql; an empty database
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/libtnb/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
)

func main() {
	pg := flag.String("postgres", "", "the DSN of an empty database")
	my := flag.String("mysql", "", "the DSN of an empty database, with parseTime=true")
	flag.Parse()
	folder, err := os.MkdirTemp("", "gormkey-adopt-")
	if err != nil {
		log.Fatal(err)
	}
	dialector, idType := sqlite.Open(sqliteDSN(folder)), "integer"
	switch {
	case *pg != "":
		dialector, idType = postgres.Open(*pg), "bigint"
	case *my != "":
		dialector, idType = mysql.Open(*my), "bigint unsigned"
	}
	err = run(context.Background(), os.Stdout, dialector, idType)
	_ = os.RemoveAll(folder)
	if err != nil {
		log.Fatal(err)
	}
}

func sqliteDSN(folder string) string {
	return "file:" + filepath.Join(folder, "app.db") + "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_txlock=immediate"
}

// run makes the old application's tables and takes them over.
func run(ctx context.Context, w io.Writer, dialector gorm.Dialector, idType string) error {
	old, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	if err := before(old); err != nil {
		return err
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	plugin := newPlugin(idType)
	if err := adopt(ctx, w, db, plugin); err != nil {
		return err
	}
	auth, err := plugin.Repository()
	if err != nil {
		return err
	}
	session, err := auth.SignIn(ctx, gormkey.Credentials{Provider: "email", ID: gormkey.FoldEmail("Ada@Example.com"), Password: oldPassword})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "user %s signed in with the password from before\n", session.UserID)
	return err
}

// adopt is the whole of it. To repeat it changes nothing.
func adopt(ctx context.Context, w io.Writer, db *gorm.DB, plugin *gormkey.Plugin[User]) error {
	if err := db.Use(plugin); err != nil {
		return err
	}
	pending, err := plugin.PendingSQL(db, &Post{})
	if err != nil {
		return err
	}
	for _, statement := range pending {
		if _, err := fmt.Fprintln(w, statement); err != nil {
			return err
		}
	}
	if err := plugin.AutoMigrate(db, &Post{}); err != nil {
		return err
	}
	auth, err := plugin.Repository()
	if err != nil {
		return err
	}
	return importKeys(ctx, db, auth, func(users int) { _, _ = fmt.Fprintln(w, users, "users have keys") })
}
