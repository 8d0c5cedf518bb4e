package page

import (
	"context"
	"testing"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

var (
	ctx      = context.Background()
	auth     *gormkey.Repository[Account]
	password string
)

func use(...any) {}

func Check(t *testing.T) {
	db := kit.DB(t)
	plugin := gormkey.New[Account](gormkey.WithPasswordHasher(kit.FastHasher()), gormkey.WithOneTimeTokens())
	kit.Must(t, db.Use(plugin))
	kit.Must(t, filterTenants(db))
	kit.Must(t, plugin.AutoMigrate(db))
	auth, err := plugin.Repository()
	kit.Must(t, err)
	acme, other := withTenant(t.Context(), "acme"), withTenant(t.Context(), "other")
	acmes, others := login("acme", "Ada@example.com", kit.Password), login("other", "ada@example.com", kit.Password)
	ada, namesake := &Account{Tenant: "acme", Email: "ada@example.com"}, &Account{Tenant: "other", Email: "ada@example.com"}
	kit.Must(t, auth.CreateUser(acme, ada, acmes))
	kit.Must(t, auth.CreateUser(other, namesake, others)) // one address in two tenants
	session, err := auth.SignIn(acme, acmes)
	kit.Must(t, err)
	_, err = auth.ValidateSession(acme, session.Token)
	kit.Must(t, err)
	_, err = auth.SignIn(other, others)
	kit.Must(t, err)

	// In another tenant.
	_, err = auth.ValidateSession(other, session.Token)
	kit.Is(t, "session", err, gormkey.ErrInvalidSession)
	_, err = auth.SignIn(other, acmes)
	kit.Is(t, "sign-in", err, gormkey.ErrInvalidCredentials)
	_, err = auth.UseKey(other, acmes)
	kit.Is(t, "key", err, gormkey.ErrInvalidCredentials)
	_, err = auth.GetUser(other, ada.ID)
	kit.Is(t, "user", err, gormkey.ErrUserNotFound)
	_, err = auth.UpdateUserAttributes(other, ada.ID, map[string]any{"Email": "eve@example.com"})
	kit.Is(t, "update", err, gormkey.ErrUserNotFound)
	_, err = auth.OpenSession(other, ada.ID)
	kit.Is(t, "open", err, gormkey.ErrUserNotFound)
	_, err = auth.AddKey(other, ada.ID, gormkey.Proved("github", "1"))
	kit.Is(t, "add key", err, gormkey.ErrUserNotFound)
	_, err = auth.IssueToken(other, ada.ID, gormkey.PurposeMagicLink, "", 1e9)
	kit.Is(t, "token", err, gormkey.ErrUserNotFound)
	kit.Must(t, auth.DeleteUser(other, ada.ID)) // finds none
	user, err := auth.GetUser(acme, ada.ID)
	kit.Must(t, err)
	kit.Equal(t, "address", user.Email, "ada@example.com")

	// Without a tenant.
	_, err = auth.ValidateSession(t.Context(), session.Token)
	if err == nil {
		t.Error("a context without a tenant: got no error")
	}
	kit.Is(t, "plain query", db.WithContext(t.Context()).First(&Account{}).Error, errNoTenant)

	// Plain queries, also with an Or, and a delete that names nobody.
	var found []Account
	kit.Must(t, db.WithContext(other).Where("email = ?", "x").Or("email = ?", "ada@example.com").Find(&found).Error)
	if len(found) != 1 || found[0].Tenant != "other" {
		t.Errorf("Or: got %+v", found)
	}
	kit.Is(t, "a delete of all", db.WithContext(acme).Delete(&Account{}).Error, gorm.ErrMissingWhereClause)

	// By the id alone.
	_, err = auth.GetKey(other, acmes.KeyID())
	kit.Is(t, "GetKey", err, nil)
	kit.Must(t, auth.EndAllSessions(other, ada.ID))
	_, err = auth.ValidateSession(acme, session.Token)
	kit.Is(t, "after EndAllSessions", err, gormkey.ErrInvalidSession)

	// Conditions.
	_, err = gormkey.From[Account](db.Where("tenant = ?", "acme"))
	kit.Is(t, "Where", err, gormkey.ErrUsage)
	_, err = gormkey.From[Account](db.Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Where("tenant = ?", "acme") }))
	kit.Is(t, "Scopes", err, gormkey.ErrUsage)

	// The whole of a tenant's own.
	kit.Must(t, auth.DeleteUser(acme, ada.ID))
	_, err = auth.SignIn(other, others)
	kit.Is(t, "the namesake", err, nil)

	pool, err := kit.DB(t).DB()
	kit.Must(t, err)
	a, err := openTenant(pool, "acme")
	kit.Must(t, err)
	b, err := openTenant(pool, "other")
	kit.Must(t, err)
	same := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: kit.Password}
	kit.Must(t, a.CreateUser(t.Context(), &Person{Email: same.ID}, same))
	_, err = b.SignIn(t.Context(), same)
	kit.Is(t, "another's tables", err, gormkey.ErrInvalidCredentials)
	kit.Must(t, b.CreateUser(t.Context(), &Person{Email: same.ID}, same))
	first, err := a.SignIn(t.Context(), same)
	kit.Must(t, err)
	_, err = b.ValidateSession(t.Context(), first.Token)
	kit.Is(t, "another's token", err, gormkey.ErrInvalidSession)
	_, err = openTenant(pool, "a b")
	if err == nil {
		t.Error("a tenant with a blank: got no error")
	}
}
