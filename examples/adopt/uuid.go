package main

import (
	"github.com/google/uuid"

	"github.com/gormkey/gormkey"
)

// Member is a user of a table whose ids are uuids.
type Member struct {
	gormkey.User
	Email        string  `gorm:"size:255;uniqueIndex"`
	PasswordHash string  `gorm:"size:255;not null" json:"-"`
	GitHubID     *string `gorm:"column:github_id;size:32"`
}

// newMembers returns the plugin for it. The option is that of the table in docs/adopt.md.
func newMembers(idType gormkey.Option) *gormkey.Plugin[Member] {
	return gormkey.New[Member](
		gormkey.WithTableNames(gormkey.TableNames{User: "users", Key: "user_keys", Session: "user_sessions"}),
		idType, // such as gormkey.WithUserIDType("uuid")
		gormkey.WithUserIDGenerator(uuid.NewString),
	)
}
