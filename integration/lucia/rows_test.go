package lucia_test

import (
	"fmt"
	"strings"
	"testing"
)

// Expiries are read in every form in which Lucia and Drizzle leave them in a schema, and
// a renewal through the models is read again.
func TestBridgeExpiries(t *testing.T) {
	for _, s := range schemas {
		forms := []string{"1795522416847"}
		if s.engine == "sqlite" {
			forms = append(forms, "1795522416847.0") // as JavaScript binds it
		}
		if s.expires == "blob" {
			forms = append(forms, "CAST('1795522416847' AS BLOB)") // Drizzle's
		}
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()
			db := s.newDatabase(t)
			dsns := []string{db.url}
			if s.engine == "mysql" { // values arrive in another form
				dsns = append(dsns, db.url+"?interpolateParams=true")
			}
			run(t, db.DB, "INSERT INTO "+s.quote(s.tables.User)+" (id, username) VALUES ('ada_zz9', 'Ada')")
			for i, form := range forms {
				run(t, db.DB, fmt.Sprintf("INSERT INTO %s (id, user_id, active_expires, idle_expires, country) VALUES ('%d_zz9', 'ada_zz9', %s, %s, NULL)",
					s.quote(s.tables.Session), i, form, form))
			}
			for _, dsn := range dsns {
				c := startBridge(t, "--dsn", dsn, "--tables", s.flag())
				c.receiveFrom(c.send("hello", `{"protocol":1}`))
				for i := range forms {
					id := fmt.Sprintf("%d_zz9", i)
					row := fmt.Sprintf(`{"id":%q,"user_id":"ada_zz9","active_expires":1795522416847,"idle_expires":1795522416847,"country":null}`, id)
					quoted := `"` + id + `"`
					c.want(row, "getSession", quoted)
					c.want(`[`+row+`,`+ada+`]`, "getSessionAndUser", quoted)
					c.want(`null`, "updateSession", quoted, `{"active_expires":1,"idle_expires":2}`)
					c.want(strings.NewReplacer(`active_expires":1795522416847`, `active_expires":1`, `idle_expires":1795522416847`, `idle_expires":2`).Replace(row), "getSession", quoted)
					c.want(`null`, "updateSession", quoted, `{"active_expires":1795522416847,"idle_expires":1795522416847}`)
				}
			}
		})
	}
}

// A session that names its user in another case, as MySQL's foreign key lets it, is
// nobody's.
func TestBridgeInexactOwner(t *testing.T) {
	for _, s := range schemas {
		if s.engine != "mysql" {
			continue
		}
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()
			db := s.newDatabase(t)
			c := openBridge(t, s, db)
			c.want(`null`, "setUser", ada, `null`)
			run(t, db.DB, "INSERT INTO "+s.quote(s.tables.Session)+" (id, user_id, active_expires, idle_expires) VALUES ('at_zz9', 'ADA_zz9', 1, 2)")
			c.want(`[null,null]`, "getSessionAndUser", `"at_zz9"`)
			c.want(`[]`, "getSessionsByUserId", `"ada_zz9"`)
			c.want(`null`, "deleteSessionsByUserId", `"ada_zz9"`)
			c.want(`{"id":"at_zz9","user_id":"ADA_zz9","active_expires":1,"idle_expires":2,"country":null}`, "getSession", `"at_zz9"`)
		})
	}
}
