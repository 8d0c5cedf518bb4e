package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/throttle"
)

// Account is somebody who signs in by email address.
type Account struct {
	gormkey.User
	Email      string     `gorm:"size:254;uniqueIndex"` // as gormkey.FoldEmail returns it
	VerifiedAt *time.Time // nil until a link that was mailed to the address has been used
	CreatedAt  time.Time
}

// Device is a session that knows where it was opened and when it was last used. When and how it
// was opened is among the facts that gormkey keeps.
type Device struct {
	gormkey.Session[Account]
	UserAgent string    `gorm:"size:255"`
	IP        string    `gorm:"size:45"`
	UsedAt    time.Time // to the hour
}

// repository has the operations, on accounts and their devices.
type repository = gormkey.RepositoryOf[*Account, *gormkey.Key[Account], *Device]

// openDatabase opens a SQLite file and brings its tables up to date.
func openDatabase(file string, now func() time.Time, opts ...gormkey.Option) (*gorm.DB, *repository, error) {
	dsn := "file:" + file + "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Discard, NowFunc: now, PrepareStmt: true})
	if err != nil {
		return nil, nil, err
	}
	plugin := gormkey.NewOf[Account, gormkey.Key[Account], Device](append(opts,
		gormkey.WithOneTimeTokens(),
		gormkey.WithSessionFacts(),
		gormkey.WithEventDelivery(),
		gormkey.WithClock(now))...)
	if err := db.Use(plugin); err != nil {
		return nil, nil, err
	}
	// The throttle's counts are in the same file.
	if err := plugin.AutoMigrate(db, &throttle.Bucket{}); err != nil {
		return nil, nil, err
	}
	auth, err := plugin.Repository()
	return db, auth, err
}

// nobody returns the id of an account with no address and no key, and creates it at the first
// start.
func nobody(db *gorm.DB, auth *repository) (id string, err error) {
	account := new(Account)
	err = db.Where("email = ?", "").Take(account).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		err = auth.CreateUser(context.Background(), account)
	}
	return account.ID, err
}

func closeDatabase(db *gorm.DB) {
	if pool, err := db.DB(); err == nil {
		_ = pool.Close()
	}
}

// keepEvents is for how long people see what happened to their account. It is far longer than a mail
// about it is tried.
const keepEvents = 90 * 24 * time.Hour

// cleanUp deletes what is too old once an hour, so that the file does not grow, and nobody's
// addresses stay for longer than people are told.
func (s *server) cleanUp(ctx context.Context) {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s.deleteOld(ctx)
	}
}

func (s *server) deleteOld(ctx context.Context) {
	_, rows := s.auth.DeleteExpired(ctx)
	_, counts := s.limits.DeleteExpired(ctx)
	_, events := s.auth.PurgeEvents(ctx, s.now().Add(-keepEvents))
	for _, err := range []error{rows, counts, events} {
		if err != nil {
			slog.Error("clean up", "error", err)
		}
	}
}
