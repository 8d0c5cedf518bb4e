package main

import (
	"errors"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/password"
)

// OldUser is the user of the application as it was: its own id, hash and soft delete.
type OldUser struct {
	gorm.Model
	Email        string  `gorm:"size:255;uniqueIndex"`
	PasswordHash string  `gorm:"size:255;not null"` // bcrypt; the oldest rows have MD5
	GitHubID     *string `gorm:"column:github_id;size:32"`
}

// TableName is that of the table which gormkey takes over.
func (OldUser) TableName() string { return "users" }

// OldPost points at its user by a foreign key.
type OldPost struct {
	gorm.Model
	UserID uint     `gorm:"not null;index"`
	User   *OldUser `gorm:"foreignKey:UserID;constraint:fk_posts_user,OnDelete:CASCADE"`
	Title  string   `gorm:"size:255"`
}

// TableName is that of the posts.
func (OldPost) TableName() string { return "posts" }

const oldPassword = "correct horse battery staple"

// before makes the tables of the old application, with a user of each kind.
func before(db *gorm.DB) error {
	if err := db.AutoMigrate(&OldUser{}, &OldPost{}); err != nil {
		return err
	}
	bcrypt, err := password.Bcrypt{}.Hash(oldPassword)
	if err != nil {
		return err
	}
	github := "4711"
	users := []OldUser{
		{Email: "Ada@Example.com", PasswordHash: bcrypt},
		{Email: "bob@example.com", GitHubID: &github},
		{Email: "carol@example.com", PasswordHash: "5f4dcc3b5aa765d61d8327deb882cf99"}, // MD5
		{Email: "dan@example.com", PasswordHash: bcrypt},
	}
	if err := db.Create(&users).Error; err != nil {
		return err
	}
	dan := users[3]
	return errors.Join(
		db.Create([]OldPost{{UserID: users[0].ID, Title: "Hello"}, {UserID: dan.ID, Title: "Goodbye"}}).Error,
		db.Delete(&dan).Error, // softly
	)
}
