package page

import (
	"context"
	"errors"
	"testing"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

var (
	ctx     = context.Background()
	auth    *gormkey.Repository[Account]
	account *Account
	login   gormkey.Credentials
	mail    func(to, subject string) error
)

func use(...any) {}

// busy has the code of a serialization failure, which runs a transaction again.
type busy struct{}

func (busy) Error() string    { return "busy" }
func (busy) SQLState() string { return "40001" }

func Check(t *testing.T) {
	db, ctx := kit.DB(t), t.Context()
	runs, failing := 0, error(nil)
	happened := map[event.Type]int{}
	last := gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		if e.Type != event.PasswordChanged {
			return nil
		}
		runs++
		if runs == 1 {
			return failing
		}
		return nil
	})
	plugin := gormkey.New[Account](gormkey.WithHook(audit), gormkey.WithHook(notify), last, counted(happened), gormkey.WithPasswordHasher(kit.FastHasher()))
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db, &AuditLine{}, &Outgoing{}))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: kit.Password}
	kit.Must(t, auth.CreateUser(ctx, &Account{Email: login.ID}, login))
	count := func(model any) int {
		var n int64
		kit.Must(t, db.Model(model).Count(&n).Error)
		return int(n)
	}
	kit.Equal(t, "lines", count(&AuditLine{}), 2) // the user and the key

	wrong := login
	wrong.Password = "wrong"
	_, err = auth.SignIn(ctx, wrong)
	kit.Is(t, "a wrong password", err, gormkey.ErrInvalidCredentials)
	unknown := gormkey.Credentials{Provider: "email", ID: "nobody@example.com", Password: "wrong"}
	_, err = auth.SignIn(ctx, unknown)
	kit.Is(t, "an unknown address", err, gormkey.ErrInvalidCredentials)
	var lines []AuditLine
	kit.Must(t, db.Order("id").Find(&lines).Error)
	kit.Equal(t, "reason", lines[2].Reason, gormkey.ErrInvalidPassword.Error())
	kit.Equal(t, "reason", lines[3].Reason, gormkey.ErrKeyNotFound.Error())
	kit.Equal(t, "key", lines[3].Key, "email:nobody@example.com")

	// An error undoes everything, the rows of other hooks too.
	before := count(&AuditLine{})
	failing = errors.New("not now")
	_, err = auth.ChangePassword(ctx, login, "another good password", "")
	kit.Is(t, "a hook's error", err, failing)
	kit.Equal(t, "lines", count(&AuditLine{}), before)
	kit.Equal(t, "mails", count(&Outgoing{}), 0)
	_, err = auth.UseKey(ctx, login)
	kit.Is(t, "the old password", err, nil)

	// A busy database: the hook runs twice, and its rows are there once.
	runs, failing = 0, busy{}
	_, err = auth.ChangePassword(ctx, login, "another good password", "")
	kit.Must(t, err)
	kit.Equal(t, "runs", runs, 2)
	kit.Equal(t, "mails", count(&Outgoing{}), 1)
	sent := ""
	kit.Must(t, sendOutgoing(ctx, db, func(to, subject string) error { sent += to + ": " + subject; return nil }))
	kit.Equal(t, "sent", sent, "ada@example.com: Your password was changed")
	kit.Equal(t, "mails", count(&Outgoing{}), 0)
	if newPlugin() == nil {
		t.Error("no plugin")
	}
	kit.Equal(t, "passwords that were changed, by WithAfterCommit", happened[event.PasswordChanged], 1)
	kit.Equal(t, "users", happened[event.UserCreated], 1)
}
