package gormkeytest

import (
	"fmt"
	"strings"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// snapshot returns the content of the three tables as a text.
func snapshot[U, K, S any](s *suite, f *fixtureOf[U, K, S]) string {
	s.Helper()
	return rowsOf(s, f, "auth_user") + rowsOf(s, f, "user_key") + rowsOf(s, f, "user_session")
}

func rowsOf[U, K, S any](s *suite, f *fixtureOf[U, K, S], table string) string {
	s.Helper()
	var out strings.Builder
	var all []map[string]any
	must(s, f.db.Session(&gorm.Session{NewDB: true}).Table(table).Order("id").Find(&all).Error)
	for _, row := range all {
		for name, value := range row {
			if text, ok := value.([]byte); ok {
				row[name] = string(text) // of a VARBINARY
			}
		}
		fmt.Fprintf(&out, "%s %v\n", table, row)
	}
	return out.String()
}

// restore makes the tables again what they were before an operation that passed.
func restore(s *suite, f *accounts, ada *account, session *device) {
	s.Helper()
	db := f.db.Session(&gorm.Session{NewDB: true, AllowGlobalUpdate: true})
	must(s, db.Delete(&gormkey.Session[account]{}).Error)
	must(s, db.Delete(&gormkey.Key[account]{}).Error)
	must(s, db.Unscoped().Delete(&account{}).Error)
	again := &account{User: gormkey.User{ID: ada.ID}, Email: ada.Email}
	must(s, f.CreateUser(s.Context(), again, email(ada.Email)))
	must(s, second(f.OpenSession(s.Context(), ada.ID, func(d *device) { d.Token = session.Token })))
}
