package main

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

// oldRow holds the columns that the import reads.
type oldRow struct {
	ID, Email, PasswordHash string
	GitHubID                *string `gorm:"column:github_id"`
}

// keysOf returns the ways in which a user signs in.
func keysOf[U any](row oldRow) (keys []gormkey.Key[U]) {
	if row.Email != "" {
		id := gormkey.KeyID{Provider: "email", ID: gormkey.FoldEmail(row.Email)}
		key := gormkey.Key[U]{ID: id.String(), UserID: row.ID}
		if hash := password.Hash(row.PasswordHash); (password.Any{}).CheckHash(row.PasswordHash) == nil {
			key.HashedPassword = &hash
		} // else there is no password, or one that cannot be verified: the user resets it by mail
		keys = append(keys, key)
	}
	if row.GitHubID != nil {
		id := gormkey.KeyID{Provider: "github", ID: *row.GitHubID}
		keys = append(keys, gormkey.Key[U]{ID: id.String(), UserID: row.ID})
	}
	return keys
}

// importKeys gives keys to all users who have none and are not deleted, a thousand at a time.
// It may be stopped and called again: it goes on where it was, and changes no key that is there.
// The error names each user whose address or GitHub account another user has.
func importKeys[U any](ctx context.Context, db *gorm.DB, auth *gormkey.Repository[U], progress func(users int)) error {
	db = db.WithContext(ctx).Session(&gorm.Session{Logger: logger.Discard}) // it would print the hashes
	var taken []error
	for done, last := 0, ""; ; {
		query := db.Model(new(U)).Where("NOT EXISTS (SELECT 1 FROM user_keys WHERE user_keys.user_id = users.id)")
		if last != "" {
			query = query.Where("id > ?", last)
		}
		var rows []oldRow
		if err := query.Order("id").Limit(1000).Find(&rows).Error; err != nil {
			return err
		}
		if len(rows) == 0 {
			return errors.Join(taken...)
		}
		var keys []gormkey.Key[U]
		for _, row := range rows {
			keys = append(keys, keysOf[U](row)...)
		}
		if err := create(ctx, db, auth, keys, &taken); err != nil {
			return err
		}
		done, last = done+len(rows), rows[len(rows)-1].ID
		progress(done)
	}
}

// create inserts keys in one statement. If it fails, then it inserts them one by one, to find
// out which of them are taken.
func create[U any](ctx context.Context, db *gorm.DB, auth *gormkey.Repository[U], keys []gormkey.Key[U], taken *[]error) error {
	if len(keys) == 0 || db.Omit(clause.Associations).Create(&keys).Error == nil {
		return nil
	}
	for _, key := range keys {
		id := key.KeyID()
		login := gormkey.Proved(id.Provider, id.ID) // without a password
		if key.HashedPassword != nil {
			login = gormkey.Imported(id.Provider, id.ID, *key.HashedPassword)
		}
		_, err := auth.AddKey(ctx, key.UserID, login)
		if err != nil && !errors.Is(err, gormkey.ErrDuplicateKey) && !errors.Is(err, gormkey.ErrInvalidArgument) {
			return err
		}
		if err != nil {
			*taken = append(*taken, fmt.Errorf("user %s, %s: %w", key.UserID, id, err))
		}
	}
	return nil
}

// foldEmails writes each address as signUp does. It is for when the old program is gone, which
// looks for addresses as they were typed.
func foldEmails(ctx context.Context, db *gorm.DB) error {
	var users []User
	return db.WithContext(ctx).Unscoped().Select("id", "email").FindInBatches(&users, 1000, func(*gorm.DB, int) error {
		for _, user := range users {
			folded := gormkey.FoldEmail(user.Email)
			if folded == user.Email {
				continue
			}
			if err := db.WithContext(ctx).Unscoped().Model(&user).UpdateColumn("email", folded).Error; err != nil {
				return err
			}
		}
		return nil
	}).Error
}
