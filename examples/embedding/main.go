// Embedding shows an application that has columns of its own on users, keys and
// sessions, table names of its own, a table that points at the user, an audit log by a
// hook, and plain GORM on all of it. It prints what happens and exits with 1 on any
// surprise.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

// Account is a user with columns, a soft delete and its sessions.
type Account struct {
	gormkey.User
	Email     string `gorm:"size:255;uniqueIndex"`
	CreatedAt time.Time
	DeletedAt gorm.DeletedAt `gorm:"index"`
	Devices   []Device       `gorm:"foreignKey:UserID"`
}

// Login is a key that has a label.
type Login struct {
	gormkey.Key[Account]
	Label string `gorm:"size:64"`
}

// Device is a session that knows where it was opened.
type Device struct {
	gormkey.Session[Account]
	UserAgent string `gorm:"size:255"`
	IP        string `gorm:"size:45"`
}

// Post is a table of the application that points at the user.
type Post struct {
	ID        uint
	AccountID string
	Account   *Account
	Title     string `gorm:"size:255"`
}

// AuditEntry is a line of the audit log.
type AuditEntry struct {
	ID     uint
	At     time.Time
	What   string `gorm:"size:32"`
	UserID string `gorm:"size:15;index"`
	Detail string `gorm:"size:255"`
}

// audit writes each event in the transaction of the operation that it belongs to.
func audit(tx *gorm.DB, e event.Event) error {
	entry := AuditEntry{At: e.At.Time(), What: string(e.Type), UserID: e.UserID, Detail: e.KeyID.String()}
	if e.Err != nil {
		entry.Detail += ": " + e.Err.Error()
	}
	return tx.Create(&entry).Error
}

func main() {
	folder, err := os.MkdirTemp("", "gormkey-embedding-")
	if err != nil {
		log.Fatal(err)
	}
	err = run(context.Background(), filepath.Join(folder, "app.db"))
	_ = os.RemoveAll(folder)
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	dsn := "file:" + file + "?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Default.LogMode(logger.Error)})
	if err != nil {
		return err
	}
	plugin := gormkey.NewOf[Account, Login, Device](
		gormkey.WithTableNames(gormkey.TableNames{User: "accounts", Key: "logins", Session: "devices"}),
		gormkey.WithHook(audit),
	)
	if err := db.Use(plugin); err != nil {
		return err
	}
	if err := plugin.AutoMigrate(db, &Post{}, &AuditEntry{}); err != nil {
		return err
	}
	auth, err := plugin.Repository()
	if err != nil {
		return err
	}

	// Sign up together with rows of the application's own, in one transaction.
	ada := &Account{Email: "ada@example.com"}
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: "correct horse battery staple"}
	err = db.Transaction(func(tx *gorm.DB) error {
		if err := auth.With(tx).CreateUser(ctx, ada, login); err != nil {
			return err
		}
		return tx.Create(&Post{AccountID: ada.ID, Title: "Hello"}).Error
	})
	if err != nil {
		return err
	}

	// A key with a label, and a username that shares the password.
	github, err := auth.AddKey(ctx, ada.ID, gormkey.Proved("github", "42"), func(l *Login) { l.Label = "work" })
	if err != nil {
		return err
	}
	fmt.Printf("%s is a key with the label %s\n", github.KeyID(), github.Label)
	name := gormkey.Credentials{Provider: "username", ID: "ada", Password: login.Password}
	if _, err := auth.ShareKey(ctx, name.KeyID(), login.KeyID()); err != nil {
		return err
	}

	// Sign in from a device, and read it back with the application's own columns.
	device, err := auth.SignIn(ctx, name, func(d *Device) { d.UserAgent, d.IP = "Firefox", "192.0.2.7" })
	if err != nil {
		return err
	}
	got, err := auth.ValidateSession(ctx, device.Token)
	if err != nil {
		return err
	}
	fmt.Printf("%s signed in from %s, %s\n", got.User.Email, got.UserAgent, got.IP)

	// Plain GORM: Preload, Joins, conditions.
	var account Account
	if err := db.WithContext(ctx).Preload("Devices").First(&account, "email = ?", "ada@example.com").Error; err != nil {
		return err
	}
	var joined Device
	if err := db.WithContext(ctx).Joins("User").First(&joined, "devices.user_agent = ?", "Firefox").Error; err != nil {
		return err
	}
	if len(account.Devices) != 1 || joined.User.Email != account.Email {
		return fmt.Errorf("plain GORM: got %d devices, owner %s", len(account.Devices), joined.User.Email)
	}
	fmt.Printf("plain GORM: %s has %d device\n", joined.User.Email, len(account.Devices))

	// The audit log.
	var entries []AuditEntry
	if err := db.WithContext(ctx).Order("id").Find(&entries).Error; err != nil {
		return err
	}
	for _, e := range entries {
		fmt.Printf("audit: %-16s %s\n", e.What, e.Detail)
	}

	// A soft delete by plain GORM keeps keys and sessions, which stop working.
	if err := db.WithContext(ctx).Delete(&account).Error; err != nil {
		return err
	}
	if _, err := auth.ValidateSession(ctx, device.Token); err == nil {
		return fmt.Errorf("the session of a soft-deleted user is valid")
	}
	fmt.Println("soft-deleted: the session no longer validates")
	pool, err := db.DB()
	if err != nil {
		return err
	}
	return pool.Close()
}
