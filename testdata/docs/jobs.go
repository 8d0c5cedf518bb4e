package page

import (
	"context"
	"testing"
	"time"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/throttle"
)

type Account struct {
	gormkey.User
	Email      string `gorm:"size:255;uniqueIndex"`
	VerifiedAt *time.Time
	CreatedAt  time.Time
}

var (
	ctx  = context.Background()
	auth *gormkey.Repository[Account]
)

type app struct {
	db              *gorm.DB
	auth            *gormkey.Repository[Account]
	limits, signUps *throttle.Throttle
}

func use(...any) {}

func Check(t *testing.T) {
	db, ctx, clock, ended := kit.DB(t), t.Context(), kit.NewClock(), 0
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(kit.FastHasher()), gormkey.WithOneTimeTokens(), gormkey.WithClock(clock.Now),
		gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
			if e.Type == event.SessionEnded {
				ended++
			}
			return nil
		}))
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db, &throttle.Bucket{}))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	limits, err := throttle.New(db, throttle.WithClock(clock.Now))
	kit.Must(t, err)
	signUps, err := throttle.New(db, throttle.WithTable("sign_up_throttle"), throttle.WithClock(clock.Now))
	kit.Must(t, err)
	kit.Must(t, signUps.AutoMigrate())
	a := &app{db, auth, limits, signUps}
	now := time.Now()
	for email, verified := range map[string]*time.Time{"ada@example.com": &now, "bob@example.com": nil} {
		account := &Account{Email: email, VerifiedAt: verified}
		kit.Must(t, auth.CreateUser(ctx, account, gormkey.Proved("email", email)))
		_, err := auth.OpenSession(ctx, account.ID)
		kit.Must(t, err)
		_, err = auth.IssueToken(ctx, account.ID, gormkey.PurposeMagicLink, "", time.Hour)
		kit.Must(t, err)
		for _, counts := range a.throttles() {
			kit.Is(t, "a guess", counts.Do(ctx, "email:"+email, throttle.Client{}, func() error { return gormkey.ErrInvalidCredentials }), gormkey.ErrInvalidCredentials)
		}
	}
	rows := func(table string) (n int64) {
		kit.Must(t, db.Table(table).Count(&n).Error)
		return n
	}
	jobs, cancel := context.WithCancel(ctx)
	hourly, stopped := make(chan time.Time), make(chan struct{})
	go func() { a.cleanUp(jobs, hourly); close(stopped) }()
	hourly <- now
	hourly <- now // the first is over
	for _, table := range []string{"user_session", "user_token", "auth_throttle", "sign_up_throttle"} {
		kit.Equal(t, table+" before its time", rows(table), 2)
	}
	clock.Advance(16 * 24 * time.Hour)
	hourly <- now
	cancel()
	<-stopped
	if _, err := auth.DeleteExpired(ctx); err != nil { // as the last run was canceled on its way
		t.Error(err)
	}
	for _, counts := range a.throttles() {
		_, err = counts.DeleteExpired(ctx)
		kit.Must(t, err)
	}
	for _, table := range []string{"user_session", "user_token", "auth_throttle", "sign_up_throttle"} {
		kit.Equal(t, table, rows(table), 0)
	}
	kit.Equal(t, "told of dead sessions", ended, 0)

	kit.Must(t, auth.CreateUser(ctx, &Account{}, gormkey.Proved("github", "1"))) // without an address
	kit.Must(t, a.deleteUnverified(ctx, now.Add(-time.Hour)))
	kit.Equal(t, "users", rows("auth_user"), 3)
	kit.Must(t, a.deleteUnverified(ctx, time.Now().Add(time.Hour)))
	kit.Equal(t, "users", rows("auth_user"), 2)
	kit.Equal(t, "keys", rows("user_key"), 2)
	findings, err := auth.Audit(ctx)
	kit.Must(t, err)
	kit.Equal(t, "findings", len(findings), 0)
}
