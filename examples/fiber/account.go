package main

import (
	"net/http"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// Account is the application's user.
type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

// open opens a database and migrates it. This one is in memory, and gone with the program.
func open() (*gormkey.Repository[Account], error) {
	db, err := gorm.Open(sqlite.Open("file:demo?mode=memory&_pragma=foreign_keys(1)"), &gorm.Config{})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1) // a database in memory lives in one connection
	plugin := gormkey.New[Account]()
	if err := db.Use(plugin); err != nil {
		return nil, err
	}
	if err := plugin.AutoMigrate(db); err != nil {
		return nil, err
	}
	return plugin.Repository()
}

// login returns what a form says, with the address in the one form that its key has.
func login(r *http.Request) gormkey.Credentials {
	return gormkey.Credentials{
		Provider: "email",
		ID:       gormkey.FoldEmail(r.PostFormValue("email")),
		Password: r.PostFormValue("password"),
	}
}
