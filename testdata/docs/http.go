package page

import (
	"context"
	"net/http"
	"testing"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

var (
	ctx                      = context.Background()
	db                       *gorm.DB
	auth                     *gormkey.Repository[Account]
	account                  *Account
	limits                   *throttle.Throttle
	web                      *httpauth.Auth[Account, gormkey.Session[Account]]
	w                        http.ResponseWriter
	r                        *http.Request
	accountPage, home, apiMe http.Handler
)

func use(...any) {}

// Check proves the table of what another site can do.
func Check(t *testing.T) {
	db := kit.DB(t)
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(kit.FastHasher()), gormkey.WithOneTimeTokens())
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	web, err := httpauth.New(auth)
	kit.Must(t, err)
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: kit.Password}
	ada := &Account{Email: login.ID}
	kit.Must(t, auth.CreateUser(t.Context(), ada, login))

	before, after := 0, 0 // of the call, in a handler that a POST from another site reached
	mux := http.NewServeMux()
	plain := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { before++; after++ })
	call := func(do func(w http.ResponseWriter, r *http.Request) error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			before++
			if err := do(w, r); err != nil {
				kit.Is(t, "the call", err, httpauth.ErrCrossOrigin)
				web.Error(w, r, err)
				return
			}
			after++
		})
	}
	mux.HandleFunc("POST /in", func(w http.ResponseWriter, r *http.Request) {
		_, err := web.SignIn(w, r, login)
		kit.Is(t, "sign-in of the own page", err, nil)
	})
	mux.Handle("/RequireUser", web.RequireUser(plain))
	mux.Handle("/OptionalUser", web.OptionalUser(plain))
	mux.Handle("/RequireBearer", web.RequireBearer(plain))
	mux.Handle("/SignIn", call(func(w http.ResponseWriter, r *http.Request) error { _, err := web.SignIn(w, r, login); return err }))
	mux.Handle("/OpenSession", call(func(w http.ResponseWriter, r *http.Request) error {
		_, err := web.OpenSession(w, r, ada.ID)
		return err
	}))
	mux.Handle("/SignInWithToken", call(func(w http.ResponseWriter, r *http.Request) error {
		_, err := web.SignInWithToken(w, r, gormkey.Token(r.PostFormValue("token")))
		return err
	}))
	mux.Handle("/SignOut", call(func(w http.ResponseWriter, r *http.Request) error { return web.SignOut(w, r) }))
	mux.Handle("/Validate", call(func(w http.ResponseWriter, r *http.Request) error { _, err := web.Validate(w, r); return err }))
	mux.Handle("/none", plain)
	mux.Handle("/CheckOrigin", call(func(_ http.ResponseWriter, r *http.Request) error { return web.CheckOrigin(r) }))
	b := kit.Serve(t, mux)
	status, _ := b.Post("/in")
	kit.Equal(t, "in", status, 200)
	evil := b.With("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
	for path, want := range map[string][3]int{ // the status, and how far the handler came
		"/RequireUser":     {403, 0, 0},
		"/OptionalUser":    {403, 0, 0},
		"/RequireBearer":   {401, 0, 0},
		"/SignIn":          {403, 1, 0},
		"/OpenSession":     {403, 1, 0},
		"/SignInWithToken": {403, 1, 0},
		"/SignOut":         {403, 1, 0},
		"/Validate":        {403, 1, 0},
		"/none":            {200, 1, 1},
		"/CheckOrigin":     {403, 1, 0},
	} {
		before, after = 0, 0
		status, _ := evil.Post(path)
		kit.Equal(t, path, [3]int{status, before, after}, want)
	}
	sessions, err := auth.UserSessions(t.Context(), ada.ID)
	kit.Must(t, err)
	kit.Equal(t, "sessions", len(sessions), 1)
}
