package gormkey_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtest"
)

// exampleDatabase opens an empty database.
func exampleDatabase() (db *gorm.DB, done func()) {
	folder, err := os.MkdirTemp("", "gormkey-example-")
	if err != nil {
		log.Fatal(err)
	}
	dsn := "file:" + filepath.Join(folder, "app.db") + sqliteOptions
	db, err = gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		log.Fatal(err)
	}
	return db, func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
		_ = os.RemoveAll(folder)
	}
}

// exampleReopen returns a new handle on a database, as a program has that starts again.
func exampleReopen(db *gorm.DB) *gorm.DB {
	pool, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	again, err := gorm.Open(sqlite.New(sqlite.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		log.Fatal(err)
	}
	return again
}

// exampleMigrate registers a plugin, makes its tables, and returns its operations.
func exampleMigrate[U, K, S any](db *gorm.DB, plugin *gormkey.PluginOf[U, K, S]) *gormkey.RepositoryOf[U, K, S] {
	if err := errors.Join(db.Use(plugin), plugin.AutoMigrate(db)); err != nil {
		log.Fatal(err)
	}
	auth, err := plugin.Repository()
	if err != nil {
		log.Fatal(err)
	}
	return auth
}

func ExampleNew() {
	db, done := exampleDatabase() // gorm.Open
	defer done()

	plugin := gormkey.New[Account](gormkey.WithTableNames(gormkey.TableNames{User: "accounts"}))
	if err := db.Use(plugin); err != nil { // right after gorm.Open
		log.Fatal(err)
	}
	if err := plugin.AutoMigrate(db); err != nil {
		log.Fatal(err)
	}
	fmt.Println(db.Migrator().HasTable("accounts"), db.Migrator().HasTable("user_session"))
	// Output: true true
}

func ExamplePluginOf_Repository() {
	db, done := exampleDatabase()
	defer done()
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(authtest.FastHasher()))

	_, err := plugin.Repository()
	fmt.Println(err)
	auth := exampleMigrate(db, plugin)
	fmt.Println(auth.CreateUser(context.Background(), &Account{Email: "ada@example.com"}, exampleLogin))
	// Output:
	// gormkey: plugin not registered: gormkey_test.Account: call db.Use right after gorm.Open, and look at its error
	// <nil>
}

// A package that has only the handle finds the plugin by the user type.
func ExampleFrom() {
	db, done := exampleDatabase()
	defer done()
	exampleMigrate(db, gormkey.New[Account](gormkey.WithPasswordHasher(authtest.FastHasher())))

	auth, err := gormkey.From[Account](db)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(auth.CreateUser(context.Background(), &Account{Email: "ada@example.com"}, exampleLogin))
	_, err = gormkey.From[Account](db.Where("email = ?", "ada@example.com"))
	fmt.Println(errors.Is(err, gormkey.ErrUsage))
	// Output:
	// <nil>
	// true
}

func ExampleFromOf() {
	db, done := exampleDatabase()
	defer done()
	exampleMigrate(db, gormkey.NewOf[Account, gormkey.Key[Account], exampleDevice]())

	_, err := gormkey.FromOf[Account, gormkey.Key[Account], exampleDevice](db)
	fmt.Println(err)
	_, err = gormkey.From[Account](db) // whose sessions are not devices
	fmt.Println(errors.Is(err, gormkey.ErrNotRegistered))
	// Output:
	// <nil>
	// true
}

// An index that the application adds later is part of the next migration.
func ExamplePluginOf_AutoMigrate() {
	db, done := exampleDatabase()
	defer done()
	plugin := gormkey.New[Account]()
	if err := db.Use(plugin); err != nil {
		log.Fatal(err)
	}

	type Page struct {
		ID    uint
		Title string
	}
	fmt.Println(plugin.AutoMigrate(db, &Page{})) // with a table of the application
	pending, err := plugin.PendingSQL(db, &Page{})
	fmt.Println(len(pending), err)
	// Output:
	// <nil>
	// 0 <nil>
}

// On SQLite GORM drops a column by making the table again. In Migrate that loses no session.
func ExamplePluginOf_Migrate() {
	db, done := exampleDatabase()
	defer done()
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(authtest.FastHasher()))
	auth := exampleMigrate(db, plugin)
	ctx, ada := context.Background(), &Account{Email: "ada@example.com"}
	if err := auth.CreateUser(ctx, ada, exampleLogin); err != nil {
		log.Fatal(err)
	}
	if err := db.Exec("ALTER TABLE auth_user ADD COLUMN nickname text").Error; err != nil {
		log.Fatal(err)
	}

	drop := func(tx *gorm.DB) error { return tx.Migrator().DropColumn(&Account{}, "nickname") }
	fmt.Println(plugin.Migrate(db, drop))
	keys, err := auth.UserKeys(ctx, ada.ID)
	fmt.Println(len(keys), err)
	// Output:
	// <nil>
	// 1 <nil>
}

func ExamplePluginOf_Models() {
	plugin := gormkey.New[Account](gormkey.WithOneTimeTokens())
	for _, model := range plugin.Models() {
		name, _, _ := strings.Cut(fmt.Sprintf("%T", model), "[")
		fmt.Println(name)
	}
	// Output:
	// *gormkey_test.Account
	// *gormkey.KeyOf
	// *gormkey.SessionOf
	// *gormkey.OneTimeTokenOf
}

func ExamplePluginOf_Name() {
	name, number, _ := strings.Cut(gormkey.New[Account]().Name(), "#")
	fmt.Println(name, number != "")
	// Output: gormkey:github.com/gormkey/gormkey_test.Account true
}

// The statements for a migration tool, without a database.
func ExamplePluginOf_SQL() {
	db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: gormkey.Offline()}), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	plugin := gormkey.New[Account]()
	if err := db.Use(plugin); err != nil {
		log.Fatal(err)
	}
	up, down, err := plugin.SQL(db)
	if err != nil {
		log.Fatal(err)
	}
	for _, statement := range append(up, down...) {
		before, _, _ := strings.Cut(statement, "(")
		fmt.Println(strings.TrimSpace(before))
	}
	// Output:
	// CREATE TABLE `auth_user`
	// CREATE UNIQUE INDEX `idx_auth_user_email` ON `auth_user`
	// CREATE TABLE `user_key`
	// CREATE INDEX `idx_user_key_user_id` ON `user_key`
	// CREATE TABLE `user_session`
	// CREATE INDEX `idx_user_session_idle_expires` ON `user_session`
	// CREATE INDEX `idx_user_session_user_id` ON `user_session`
	// DROP TABLE `user_session`
	// DROP TABLE `user_key`
	// DROP TABLE `auth_user`
}

// A new option wants a column: the statement for a tool that migrates the live database.
func ExamplePluginOf_PendingSQL() {
	db, done := exampleDatabase()
	defer done()
	exampleMigrate(db, gormkey.New[Account]())

	db = exampleReopen(db)
	plugin := gormkey.New[Account](gormkey.WithAbsoluteLifetime(90 * 24 * time.Hour))
	if err := db.Use(plugin); err != nil {
		log.Fatal(err)
	}
	statements, err := plugin.PendingSQL(db)
	if err != nil {
		log.Fatal(err)
	}
	for _, statement := range statements {
		fmt.Println(statement)
	}
	// Output: ALTER TABLE `user_session` ADD `absolute_expires` bigint
}

func ExampleOffline() {
	db, err := gorm.Open(sqlite.New(sqlite.Config{Conn: gormkey.Offline()}), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(db.Exec("DROP TABLE anything").Error)
	// Output: <nil>
}

// The tables were made with foreign keys, and the next release goes without.
func ExamplePluginOf_DropForeignKeys() {
	db, done := exampleDatabase()
	defer done()
	exampleMigrate(db, gormkey.New[Account]())

	db = exampleReopen(db)
	plugin := gormkey.New[Account](gormkey.WithoutForeignKeys())
	auth := exampleMigrate(db, plugin)
	ctx := context.Background()
	findings, err := auth.Audit(ctx)
	fmt.Println(len(findings), err)
	fmt.Println(plugin.DropForeignKeys(db))
	findings, err = auth.Audit(ctx)
	fmt.Println(len(findings), err)
	// Output:
	// 2 <nil>
	// <nil>
	// 0 <nil>
}

// Another program has deleted a user by SQL, on a connection without foreign keys.
func ExampleRepositoryOf_Audit() {
	auth, done := exampleOrphan()
	defer done()

	findings, err := auth.Audit(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, finding := range findings {
		fmt.Println(finding)
	}
	// Output:
	// user_key.user_id: orphans (1): delete them with Repository.Repair
}

func ExampleRepositoryOf_Repair() {
	auth, done := exampleOrphan()
	defer done()

	fmt.Println(auth.Repair(context.Background()))
	findings, err := auth.Audit(context.Background())
	fmt.Println(len(findings), err)
	// Output:
	// 1 <nil>
	// 0 <nil>
}

// exampleOrphan opens a database with a key whose user is gone.
func exampleOrphan() (*gormkey.Repository[Account], func()) {
	db, done := exampleDatabase()
	plugin := gormkey.New[Account](gormkey.WithoutForeignKeys(), gormkey.WithPasswordHasher(authtest.FastHasher()))
	auth := exampleMigrate(db, plugin)
	if err := auth.CreateUser(context.Background(), &Account{Email: "ada@example.com"}, exampleLogin); err != nil {
		log.Fatal(err)
	}
	if err := db.Exec("DELETE FROM auth_user").Error; err != nil {
		log.Fatal(err)
	}
	return auth, done
}

// A hook's transaction, or one of the application's own, may have to run again.
func ExampleRetryable() {
	db, done := exampleDatabase()
	defer done()
	exampleMigrate(db, gormkey.New[Account]())

	work := func(tx *gorm.DB) error { return tx.Create(&Account{Email: "ada@example.com"}).Error }
	var err error
	for range 5 {
		if err = db.Transaction(work); !gormkey.Retryable(err) {
			break
		}
	}
	fmt.Println(err)
	// Output: <nil>
}

// Notes go with their user.
func ExampleWithOwned() {
	type Note struct {
		ID        uint
		AccountID string   `gorm:"index"`
		Account   *Account `gorm:"constraint:OnDelete:CASCADE"`
	}
	db, done := exampleDatabase()
	defer done()
	plugin := gormkey.New[Account](gormkey.WithOwned(&Note{}), gormkey.WithoutForeignKeys())
	auth := exampleMigrate(db, plugin)
	ctx, ada := context.Background(), &Account{Email: "ada@example.com"}
	if err := auth.CreateUser(ctx, ada); err != nil {
		log.Fatal(err)
	}
	fmt.Println(db.Create(&Note{AccountID: ada.ID}).Error)
	fmt.Println(errors.Is(db.Create(&Note{AccountID: "nobody"}).Error, gorm.ErrForeignKeyViolated))
	fmt.Println(auth.DeleteUser(ctx, ada.ID))
	var left int64
	fmt.Println(db.Model(&Note{}).Count(&left).Error, left)
	// Output:
	// <nil>
	// true
	// <nil>
	// <nil> 0
}

// Ids of 26 characters from another generator.
func ExampleWithUserIDGenerator() {
	ctx, auth, _, done := exampleAuth(gormkey.WithUserIDLength(26), gormkey.WithUserIDGenerator(rand.Text))
	defer done()

	bob := &Account{Email: "bob@example.com"}
	fmt.Println(auth.CreateUser(ctx, bob), len(bob.ID))
	// Output: <nil> 26
}
