package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// User is the same table. Its id is a string in Go, and stays a bigint in the database.
type User struct {
	gormkey.User
	CreatedAt    time.Time
	UpdatedAt    time.Time
	DeletedAt    gorm.DeletedAt `gorm:"index"`
	Email        string         `gorm:"size:255;uniqueIndex"`
	PasswordHash string         `gorm:"size:255;not null" json:"-"` // of the old program; until it is dropped
	GitHubID     *string        `gorm:"column:github_id;size:32"`
}

// Post is the same table too. UserID may also stay a uint.
type Post struct {
	gorm.Model
	UserID string `gorm:"not null;index"`
	User   *User  `gorm:"constraint:OnDelete:CASCADE"`
	Title  string `gorm:"size:255"`
}

// newPlugin returns the plugin for the table users, whose ids have the given SQL type.
func newPlugin(idType string, more ...gormkey.Option) *gormkey.Plugin[User] {
	return gormkey.New[User](append([]gormkey.Option{
		gormkey.WithTableNames(gormkey.TableNames{User: "users", Key: "user_keys", Session: "user_sessions", Token: "user_tokens"}),
		gormkey.WithUserIDType(idType), // "bigint"; on MySQL and MariaDB "bigint unsigned"
		gormkey.WithUserIDGenerator(newUserID),
		gormkey.WithOneTimeTokens(), // to reset passwords by mail
	}, more...)...)
}

// newUserID returns an integer that no user has: the milliseconds since 2026 before 22 random
// bits. It needs no counter, so the old program may go on with its own.
func newUserID() string {
	ms := time.Since(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).Milliseconds()
	return strconv.FormatInt(ms<<22|rand.Int64N(1<<22), 10)
}

// signUp makes a user who is new.
func signUp(ctx context.Context, auth *gormkey.Repository[User], address, password string) (*User, error) {
	address = gormkey.FoldEmail(address)
	user := &User{Email: address}
	err := auth.CreateUser(ctx, user, gormkey.Credentials{Provider: "email", ID: address, Password: password})
	return user, err
}

// forgotPassword returns the token for the link in the mail. auth.ResetPassword takes it, with
// the new password.
func forgotPassword(ctx context.Context, auth *gormkey.Repository[User], address string) (gormkey.Token, error) {
	key, err := auth.GetKey(ctx, gormkey.KeyID{Provider: "email", ID: gormkey.FoldEmail(address)})
	if err != nil {
		return "", err // answer as if a mail had been sent
	}
	return auth.IssueToken(ctx, key.UserID, gormkey.PurposeResetPassword, key.ID, time.Hour)
}

// nextUserID takes an id from the counter of a bigserial or identity column on PostgreSQL.
func nextUserID(ctx context.Context, db *gorm.DB) (id string, err error) {
	err = db.WithContext(ctx).Raw("SELECT nextval(pg_get_serial_sequence('users', 'id'))").Scan(&id).Error
	return id, err
}
