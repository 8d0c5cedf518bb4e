package page

import (
	"net/http"
	"testing"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

type app struct {
	db   *gorm.DB
	auth *gormkey.Repository[Account]
	web  *httpauth.Auth[Account, gormkey.Session[Account]]
}

func Check(t *testing.T) {
	db, ctx := kit.DB(t), t.Context()
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(kit.FastHasher()))
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	web, err := httpauth.New(auth)
	kit.Must(t, err)
	a := &app{db, auth, web}
	who := identity{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /callback", func(w http.ResponseWriter, r *http.Request) { // a POST, so that the check needs no state
		if err := a.finish(w, r, who); err != nil {
			web.Error(w, r, err)
		}
	})
	mux.Handle("GET /me", web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(web.User(r.Context()).ID))
	})))
	b := kit.Serve(t, mux)
	come := func(as identity) *Account {
		t.Helper()
		who = as
		b := b.Another()
		if status, body := b.Post("/callback"); status != 200 {
			t.Fatalf("callback: got %d %q", status, body)
		}
		_, id := b.Get("/me")
		user, err := auth.GetUser(ctx, id)
		kit.Must(t, err)
		return user
	}

	first := come(identity{"1", "Ada@example.com", true})
	kit.Equal(t, "the address", *first.VerifiedEmail, "ada@example.com")
	kit.Equal(t, "again", come(identity{"1", "other@example.com", true}).ID, first.ID)

	// The attacker was first, with an address that is not proved.
	login := gormkey.Credentials{Provider: "email", ID: "bob@example.com", Password: kit.Password}
	trap := &Account{Email: login.ID}
	kit.Must(t, auth.CreateUser(ctx, trap, login))
	bob := come(identity{"2", "bob@example.com", true})
	kit.Equal(t, "in the attacker's account", bob.ID == trap.ID, false)

	// The provider has not verified.
	mallory := come(identity{"3", "ada@example.com", false})
	kit.Equal(t, "in the victim's account", mallory.ID == first.ID, false)
	kit.Equal(t, "proved", mallory.VerifiedEmail == nil, true)

	// Both sides have.
	address := "eve@example.com"
	eve := &Account{Email: address, VerifiedEmail: &address}
	kit.Must(t, auth.CreateUser(ctx, eve, gormkey.Credentials{Provider: "email", ID: address, Password: kit.Password}))
	kit.Equal(t, "linked", come(identity{"4", "Eve@Example.com", true}).ID, eve.ID)

	session, err := auth.OpenSession(ctx, trap.ID)
	kit.Must(t, err)
	kit.Is(t, "an account that is not verified", a.link(ctx, session, identity{Subject: "5"}), errNotVerified)
	session, err = auth.OpenSession(ctx, eve.ID)
	kit.Must(t, err)
	kit.Is(t, "another's key", a.link(ctx, session, identity{Subject: "1"}), gormkey.ErrDuplicateKey)
	kit.Must(t, a.link(ctx, session, identity{Subject: "5"}))
	kit.Equal(t, "linked", come(identity{Subject: "5"}).ID, eve.ID)
	keys, err := auth.UserKeys(ctx, eve.ID)
	kit.Must(t, err)
	kit.Equal(t, "keys", len(keys), 3)

	// Proved signs in by keys without a password alone.
	_, err = auth.SignIn(ctx, gormkey.Proved("email", address))
	kit.Is(t, "Proved for a key with a password", err, gormkey.ErrInvalidCredentials)
	google := gormkey.KeyID{Provider: "google", ID: "1"}
	kit.Is(t, "the last key", auth.RemoveKey(ctx, first.ID, google), gormkey.ErrLastKey)
	kit.Must(t, auth.RemoveKey(ctx, first.ID, google, gormkey.AllowLastKey()))
}
