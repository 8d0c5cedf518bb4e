package page

import (
	"context"
	"net/http"
	"testing"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

var (
	ctx    = context.Background()
	auth   *gormkey.Repository[Account]
	userID string
)

type app struct {
	web *httpauth.Auth[Account, gormkey.Session[Account]]
}

func use(...any) {}

func Check(t *testing.T) {
	db, ctx := kit.DB(t), t.Context()
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(kit.FastHasher()), gormkey.WithOwned(&Note{}))
	kit.Must(t, db.Use(plugin))
	kit.Must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	web, err := httpauth.New(auth)
	kit.Must(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /in", func(w http.ResponseWriter, r *http.Request) {
		_, err := web.OpenSession(w, r, r.PostFormValue("id"))
		kit.Is(t, "sign-in", err, nil)
	})
	a := &app{web}
	mux.Handle("/", a.adminRoutes(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	b := kit.Serve(t, mux)
	admin := func(want int) {
		t.Helper()
		status, _ := b.Get("/admin/")
		kit.Equal(t, "admin", status, want)
	}
	ada := &Account{Email: "ada@example.com"}
	kit.Must(t, auth.CreateUser(ctx, ada, gormkey.Proved("github", "1")))
	kit.Equal(t, "role", ada.Role, "member")
	admin(401)
	b.Post("/in", "id", ada.ID)
	admin(403)
	_, err = auth.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Role": "admin"})
	kit.Must(t, err)
	admin(200)
	kit.Must(t, db.Exec("UPDATE auth_user SET role = 'member' WHERE email = 'ada@example.com'").Error)
	admin(403)

	bob := &Account{Email: "bob@example.com"}
	kit.Must(t, auth.CreateUser(ctx, bob))
	note := &Note{AccountID: ada.ID, Text: "x"}
	kit.Must(t, db.Create(note).Error)
	_, err = noteOf(ctx, db, ada, note.ID)
	kit.Must(t, err)
	_, err = noteOf(ctx, db, bob, note.ID)
	kit.Is(t, "another's note", err, gorm.ErrRecordNotFound)
	kit.Must(t, auth.DeleteUser(ctx, ada.ID))
	var notes int64
	kit.Must(t, db.Model(&Note{}).Count(&notes).Error)
	kit.Equal(t, "notes", notes, 0)
}
