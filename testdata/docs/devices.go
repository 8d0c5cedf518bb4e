package page

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"docs/kit"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

func login(r *http.Request) gormkey.Credentials {
	return gormkey.Credentials{Provider: "email", ID: r.PostFormValue("email"), Password: kit.Password}
}

func (a *app) answer(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		a.web.Error(w, r, err)
	}
}

func Check(t *testing.T) {
	db, ctx := kit.DB(t), t.Context()
	plugin := newPlugin()
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	web, err := httpauth.New(auth)
	kit.Must(t, err)
	a := &app{auth, web}
	for _, email := range []string{"ada@example.com", "bob@example.com"} {
		kit.Must(t, auth.CreateUser(ctx, &Account{Email: email}, gormkey.Credentials{Provider: "email", ID: email, Password: kit.Password}))
	}
	private := func(h http.HandlerFunc) http.Handler { return web.RequireUser(a.seen(h)) }
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sign-in", a.signIn)
	mux.Handle("GET /devices", private(a.devices))
	mux.Handle("POST /devices/end", private(a.endDevice))
	mux.Handle("POST /devices/end-others", private(a.endOthers))
	laptop := kit.Serve(t, mux)
	phone, tablet, bob := laptop.Another(), laptop.Another(), laptop.Another()
	for _, b := range []*kit.Browser{laptop, phone, tablet} {
		agent := "\xffé" + strings.Repeat("é", 200)
		status, body := b.With("Sec-Fetch-Site", "same-origin", "User-Agent", agent).Post("/sign-in", "email", "ada@example.com")
		if status != 200 {
			t.Fatalf("sign-in: got %d %q", status, body)
		}
	}
	bob.Post("/sign-in", "email", "bob@example.com")

	list := func(b *kit.Browser) (all []listed, this, others gormkey.SessionID) {
		t.Helper()
		kit.Equal(t, "devices", b.JSON("GET", "/devices", nil, &all), 200)
		for _, d := range all {
			if d.This {
				this = d.ID
			} else {
				others = d.ID
			}
		}
		return all, this, others
	}
	all, this, other := list(laptop)
	kit.Equal(t, "devices", len(all), 3)
	if n := len(all[0].UserAgent); n != 254 || all[0].IP != "127.0.0.1" || this == "" {
		t.Errorf("got %d bytes of agent, %q", n, all[0].IP)
	}
	status, _ := bob.Post("/devices/end", "id", string(other))
	kit.Equal(t, "somebody else's", status, 200)
	all, _, _ = list(laptop)
	kit.Equal(t, "devices", len(all), 3)
	status, _ = laptop.Post("/devices/end", "id", string(other))
	kit.Equal(t, "one", status, 200)
	all, _, _ = list(laptop)
	kit.Equal(t, "devices", len(all), 2)
	status, _ = laptop.Post("/devices/end-others")
	kit.Equal(t, "the others", status, 200)
	all, same, _ := list(laptop)
	kit.Equal(t, "devices", len(all), 1)
	kit.Equal(t, "this", same, this)
	for _, b := range []*kit.Browser{phone, tablet} {
		status, _ := b.Get("/devices")
		kit.Equal(t, "an ended session", status, 401)
	}

	// Seen is written once an hour.
	long := time.Now().Add(-2 * time.Hour)
	kit.Must(t, db.Model(&Device{}).Where("id = ?", string(this)).Update("seen_at", long).Error)
	list(laptop)
	all, _, _ = list(laptop)
	if since := time.Since(all[0].SeenAt); since > time.Hour {
		t.Errorf("seen %v ago", since)
	}
	before := all[0].SeenAt
	all, _, _ = list(laptop)
	kit.Equal(t, "seen", all[0].SeenAt.Equal(before), true)
}
