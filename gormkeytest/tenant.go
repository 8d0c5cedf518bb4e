package gormkeytest

import (
	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// tenanted belongs to one tenant; a Query callback filters by it.
type tenanted struct {
	gormkey.User
	Tenant string `gorm:"size:8;not null"`
}

func sessionTenant(s *suite) {
	db := s.newDB(s.T)
	f := open[tenanted](s, db)
	ctx := s.Context()
	u := &tenanted{Tenant: "a"}
	must(s, f.CreateUser(ctx, u, email("u@example.com")))
	session, err := f.SignIn(ctx, email("u@example.com"))
	must(s, err)
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err) // compiles the statement, before the callback comes
	tenant := "a"
	must(s, db.Callback().Query().Before("gorm:query").Register("app:tenant", func(tx *gorm.DB) {
		if tx.Statement.Schema != nil && tx.Statement.Schema.LookUpField("Tenant") != nil {
			tx.Where("auth_user.tenant = ?", tenant)
		}
	}))
	for _, t := range []struct {
		tenant string
		ok     bool
	}{{"a", true}, {"b", false}, {"a", true}} {
		tenant = t.tenant
		got, err := f.ValidateSession(ctx, session.Token)
		_, signInErr := f.SignIn(ctx, email("u@example.com"))
		_, getErr := f.GetUser(ctx, u.ID)
		_, createErr := f.OpenSession(ctx, u.ID)
		if !t.ok {
			wantErr(s, "session in another tenant", err, gormkey.ErrInvalidSession)
			wantErr(s, "sign-in in another tenant", signInErr, gormkey.ErrInvalidCredentials)
			wantErr(s, "user of another tenant", getErr, gormkey.ErrUserNotFound)
			wantErr(s, "new session in another tenant", createErr, gormkey.ErrUserNotFound)
			before := rows(s, db)
			must(s, f.DeleteUser(ctx, u.ID))
			equal(s, "rows after a delete in another tenant", rows(s, db), before)
			continue
		}
		must(s, err)
		must(s, signInErr)
		must(s, getErr)
		must(s, createErr)
		equal(s, "tenant", got.User.Tenant, "a")
	}
}
