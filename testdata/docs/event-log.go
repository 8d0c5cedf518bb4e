package page

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

type app struct {
	db    *gorm.DB
	auth  *gormkey.Repository[Account]
	web   *httpauth.Auth[Account, gormkey.Session[Account]]
	mails []string
	down  bool
}

func (a *app) mail(_ context.Context, to, subject, id string) error {
	if a.down {
		return errors.New("the mail server is down")
	}
	a.mails = append(a.mails, to+": "+subject)
	return nil
}

func (a *app) signIn(w http.ResponseWriter, r *http.Request) {
	_, err := a.web.SignIn(w, r, gormkey.Credentials{Provider: "email", ID: r.PostFormValue("email"), Password: r.PostFormValue("password")})
	if err != nil {
		a.web.Error(w, r, err)
	}
}

func Check(t *testing.T) {
	ctx, db := t.Context(), kit.DB(t)
	plugin := newPlugin()
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	web, err := httpauth.New(auth)
	kit.Must(t, err)
	a := &app{db: db, auth: auth, web: web}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sign-in", a.signIn)
	mux.Handle("POST /account/password", web.RequireUser(http.HandlerFunc(a.changePassword)))
	mux.Handle("GET /account/activity", web.RequireUser(http.HandlerFunc(a.activity)))
	mux.HandleFunc("GET /account", func(http.ResponseWriter, *http.Request) {})
	ada := &Account{Email: "ada@example.com"}
	kit.Must(t, auth.CreateUser(ctx, ada, gormkey.Credentials{Provider: "email", ID: ada.Email, Password: kit.Password}))

	b := kit.Serve(t, mux)
	b.Post("/sign-in", "email", ada.Email, "password", kit.Password)
	b.Post("/account/password", "password", "wrong", "new", "another good password")
	b.Post("/account/password", "password", kit.Password, "new", "another good password")
	_, body := b.Get("/account/activity")
	lines := strings.Split(strings.TrimSpace(body), "\n")
	want := []string{"password changed", "sign-in failed wrong password", "signed in", "key added", "user created"}
	kit.Equal(t, "lines", len(lines), len(want))
	for i, line := range lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("line %d: got %q, want %q", i, line, want[i])
		}
		if i < 3 && !strings.Contains(line, "127.0.0.1") {
			t.Errorf("line %d: got %q, without the address", i, line)
		}
	}
	events, err := auth.UserEvents(ctx, ada.ID, "", 1)
	kit.Must(t, err)
	kit.Equal(t, "actor", events[0].ActorID, ada.ID)

	a.down = true
	_, err = auth.DeliverEvents(ctx, 100, a.notify)
	if err == nil {
		t.Error("a mail server that is down: no error")
	}
	kit.Must(t, db.Exec("UPDATE auth_event SET claimed_until = 0 WHERE claimed_until IS NOT NULL").Error)
	a.down = false
	_, err = auth.DeliverEvents(ctx, 100, a.notify)
	kit.Must(t, err)
	kit.Must(t, auth.RenameKey(ctx, ada.ID, gormkey.KeyID{Provider: "email", ID: ada.Email}, "new@example.com"))
	often, stop := make(chan time.Time), make(chan struct{})
	running, cancel := context.WithCancel(ctx)
	go func() { a.deliver(running, often); close(stop) }()
	often <- time.Time{}
	often <- time.Time{} // the first one is done
	cancel()
	<-stop
	kit.Equal(t, "mails", strings.Join(a.mails, "; "), "ada@example.com: Your password was changed; ada@example.com: Your address was changed")

	kit.Must(t, auth.DeleteUser(ctx, ada.ID))
	kit.Must(t, a.erased(ctx, ada.ID))
	events, err = auth.UserEvents(ctx, ada.ID, "", 10)
	kit.Must(t, err)
	kit.Equal(t, "events of somebody who was erased", len(events), 0)
	kit.Must(t, a.forget(ctx))
	var left int64
	kit.Must(t, db.Table("auth_event").Count(&left).Error)
	kit.Equal(t, "events of the last 90 days", left > 5, true)
}
