package main

import (
	"github.com/libtnb/sqlite"
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// Account is the application's user. An address is two columns, since anybody may type
// anybody's: what was only typed is not unique, keeps nobody out and links nothing.
type Account struct {
	gormkey.User
	Email         string  `gorm:"size:255"`             // as typed, or as a provider says
	VerifiedEmail *string `gorm:"size:255;uniqueIndex"` // proven to be theirs, in lower case; nil before
}

// open opens a database and migrates it. This one is in memory, and gone with the program.
func open() (*gorm.DB, *gormkey.Repository[Account], error) {
	db, err := gorm.Open(sqlite.Open("file:demo?mode=memory&_pragma=foreign_keys(1)"), &gorm.Config{})
	if err != nil {
		return nil, nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, nil, err
	}
	pool.SetMaxOpenConns(1) // a database in memory lives in one connection
	plugin := gormkey.New[Account](gormkey.WithOneTimeTokens())
	if err := db.Use(plugin); err != nil {
		return nil, nil, err
	}
	if err := plugin.AutoMigrate(db); err != nil {
		return nil, nil, err
	}
	auth, err := plugin.Repository()
	return db, auth, err
}
