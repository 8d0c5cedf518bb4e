package gormkeytest

import (
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormkey/gormkey"
)

func integrityDelete(s *suite) {
	f := open[owned](s, s.newDB(s.T))
	ctx := s.Context()
	user := func(id string) owned { return owned{User: gormkey.User{ID: id}} }
	one := func(id string) *owned { u := user(id); return &u }
	forms := []struct {
		name string
		left int64 // users, and with them keys and sessions
		run  func(db *gorm.DB) error
	}{
		{"struct", 3, func(db *gorm.DB) error { return db.Delete(one("u0")).Error }},
		{"conditions", 2, func(db *gorm.DB) error {
			return db.Where("email IN ?", []string{"u0@x", "u1@x"}).Delete(&owned{}).Error
		}},
		{"inline condition", 3, func(db *gorm.DB) error { return db.Delete(&owned{}, "id = ?", "u2").Error }},
		{"slice", 2, func(db *gorm.DB) error { return db.Delete([]owned{user("u0"), user("u3")}).Error }},
		{"pointers", 2, func(db *gorm.DB) error { return db.Delete(&[]*owned{one("u0"), one("u3")}).Error }},
		{"Model", 3, func(db *gorm.DB) error { return db.Model(one("u1")).Delete(&owned{}).Error }},
		{"struct condition", 3, func(db *gorm.DB) error { return db.Where(&owned{Email: "u1@x"}).Delete(&owned{}).Error }},
		{"map condition", 3, func(db *gorm.DB) error { return db.Where(map[string]any{"email": "u1@x"}).Delete(&owned{}).Error }},
		{"id and a condition that does not hold", 4, func(db *gorm.DB) error { return db.Where("email = ?", "no").Delete(one("u1")).Error }},
		{"Or", 2, func(db *gorm.DB) error {
			return db.Where("email = ?", "u0@x").Or("email = ?", "u1@x").Delete(&owned{}).Error
		}},
		{"Or in a group, and an id", 3, func(db *gorm.DB) error {
			return db.Where(db.Where("email = ?", "u0@x").Or("email = ?", "u1@x")).Delete(one("u1")).Error
		}},
		{"Not", 1, func(db *gorm.DB) error { return db.Not("email = ?", "u0@x").Delete(&owned{}).Error }},
		{"Scopes", 3, func(db *gorm.DB) error {
			return db.Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Where("email = ?", "u0@x") }).Delete(&owned{}).Error
		}},
		{"Table", 3, func(db *gorm.DB) error { return db.Table("auth_user").Where("id = ?", "u0").Delete(nil).Error }},
		{"Table and another struct", 3, func(db *gorm.DB) error {
			return db.Table("auth_user").Where("id = ?", "u0").Delete(&struct{ ID string }{}).Error
		}},
		{"Table with its schema", 3, func(db *gorm.DB) error {
			return db.Table(home(s, f.db)+".auth_user").Where("id = ?", "u0").Delete(&owned{}).Error
		}},
		{"Table by a clause", 3, func(db *gorm.DB) error {
			return db.Table("?", clause.Table{Name: "auth_user"}).Where("id = ?", "u0").Delete(&owned{}).Error
		}},
		{"FROM clause", 3, func(db *gorm.DB) error {
			return db.Clauses(clause.From{Tables: []clause.Table{{Name: "auth_user"}}}).Where("id = ?", "u0").Delete(&owned{}).Error
		}},
		{"generics", 3, func(db *gorm.DB) error {
			_, err := gorm.G[owned](db).Where("id = ?", "u1").Delete(ctx)
			return err
		}},
		{"Unscoped", 3, func(db *gorm.DB) error { return db.Unscoped().Delete(one("u0")).Error }},
		{"with associations", 3, func(db *gorm.DB) error { return db.Select(clause.Associations).Delete(one("u0")).Error }},
		{"without conditions", 4, func(db *gorm.DB) error {
			if err := db.Delete(&owned{}).Error; !errors.Is(err, gorm.ErrMissingWhereClause) {
				return fmt.Errorf("got %w", err)
			}
			return nil
		}},
		{"AllowGlobalUpdate", 0, func(db *gorm.DB) error {
			return db.Session(&gorm.Session{AllowGlobalUpdate: true}).Delete(&owned{}).Error
		}},
		{"DryRun", 4, func(db *gorm.DB) error { return db.Session(&gorm.Session{DryRun: true}).Delete(one("u1")).Error }},
		{"ToSQL", 4, func(db *gorm.DB) error {
			db.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Delete(one("u1")) })
			return nil
		}},
		{"a copy of the table", 4, func(db *gorm.DB) error { return db.Table("auth_user_copy").Delete(one("u1")).Error }},
	}
	must(s, f.db.Exec("CREATE TABLE auth_user_copy (id varchar(15) PRIMARY KEY, email varchar(191))").Error)
	s.Cleanup(func() { f.db.Exec("DROP TABLE auth_user_copy") })
	switch f.db.Name() {
	case "mysql":
		forms = append(forms, struct {
			name string
			left int64
			run  func(db *gorm.DB) error
		}{"Order and Limit", 3, func(db *gorm.DB) error {
			return db.Where("email <> ''").Order("id DESC").Limit(1).Delete(&owned{}).Error
		}})
	default:
		forms = append(forms, struct {
			name string
			left int64
			run  func(db *gorm.DB) error
		}{"Returning", 2, func(db *gorm.DB) error {
			var gone []owned
			err := db.Clauses(clause.Returning{}).Where("id IN ?", []string{"u1", "u2"}).Delete(&gone).Error
			if err == nil && (len(gone) != 2 || gone[0].Email == "") {
				err = fmt.Errorf("returned %+v", gone)
			}
			return err
		}}, struct {
			name string
			left int64
			run  func(db *gorm.DB) error
		}{"Returning into one struct", 2, func(db *gorm.DB) error {
			return db.Clauses(clause.Returning{}).Where("id IN ?", []string{"u1", "u2"}).Delete(&owned{}).Error
		}})
	}
	for _, form := range forms {
		for mode, run := range map[string]func() error{
			"default transaction": func() error { return form.run(f.db) },
			"none":                func() error { return form.run(withoutDefault(f.db)) },
			"the caller's":        func() error { return inTransaction(f.db, form.run) },
			"the caller's, rolled back": func() error {
				undone := errors.New("undone")
				err := inTransaction(f.db, func(tx *gorm.DB) error { return errors.Join(form.run(tx), undone) })
				if got := rows(s, f.db); got != [3]int64{4, 4, 4} {
					return fmt.Errorf("got rows %v after a rollback", got)
				}
				if err.Error() != undone.Error() {
					return err
				}
				return form.run(f.db)
			},
		} {
			if s.batches && strings.HasPrefix(form.name, "Returning") && strings.HasPrefix(mode, "the caller's") {
				continue // no write in a batch returns rows
			}
			clearPeople(s, f)
			addPeople(s, f)
			err := run()
			if got, want := rows(s, f.db), [3]int64{form.left, form.left, form.left}; err != nil || got != want {
				s.Errorf("%s, transaction %s: got %v, rows %v; want rows %v", form.name, mode, err, got, want)
			}
		}
	}
	noneInUse(s, f.db)
}

// The condition no longer holds once the children are gone; a cascade asks only before.
func integrityDeleteByChildren(s *suite) {
	f := people(s)
	must(s, f.db.Exec("UPDATE user_session SET idle_expires = 99 WHERE user_id = 'u0'").Error)
	result := f.db.Where("id IN (?)", f.db.Model(&ownedSession{}).Select("user_id").Where("idle_expires = ?", 99)).Delete(&owned{})
	must(s, result.Error)
	equal(s, "RowsAffected", result.RowsAffected, 1)
	equal(s, "rows", rows(s, f.db), [3]int64{3, 3, 3})
	result = f.db.Where("EXISTS (SELECT 1 FROM user_key WHERE user_id = auth_user.id)").Delete(&owned{})
	must(s, result.Error)
	equal(s, "RowsAffected", result.RowsAffected, 3)
	equal(s, "rows", rows(s, f.db), [3]int64{})
}

func integrityDeleteThousands(s *suite) {
	f := open[owned](s, s.newDB(s.T))
	const n = 5100 // more than one statement names
	users, keys := make([]owned, n), make([]ownedKey, n)
	for i := range n {
		users[i] = owned{User: gormkey.User{ID: fmt.Sprintf("u%d", i)}, Email: "gone@x"}
		keys[i] = ownedKey{ID: fmt.Sprintf("k:%d", i), UserID: users[i].ID}
	}
	users[n-1].Email = "stays@x"
	must(s, f.db.CreateInBatches(users, 1000).Error)
	must(s, f.db.CreateInBatches(keys, 1000).Error)
	result := f.db.Where("email = ?", "gone@x").Delete(&owned{})
	must(s, result.Error)
	equal(s, "RowsAffected", result.RowsAffected, n-1)
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 0})
}

func integrityDeleteFails(s *suite) {
	f := people(s)
	broken := errors.New("broken")
	r := record(f.db)
	for mode, run := range map[string]func() error{
		"default transaction": func() error { return f.db.Delete(&owned{}, "id = ?", "u0").Error },
		"none":                func() error { return withoutDefault(f.db).Delete(&owned{}, "id = ?", "u0").Error },
		"the caller's, which goes on": func() (err error) {
			must(s, inTransaction(f.db, func(tx *gorm.DB) error {
				err = tx.Delete(&owned{}, "id = ?", "u0").Error
				return nil
			}))
			return err
		},
		"the repository's": func() error { return f.DeleteUser(s.Context(), "u0") },
	} {
		for n := 1; ; n++ {
			s.bound(n)
			seen, failed := 0, false
			r.mu.Lock()
			r.inject = func(sql string) error {
				if !strings.HasPrefix(sql, "DELETE") {
					return nil
				}
				if seen++; seen == n {
					failed = true
					return broken
				}
				return nil
			}
			r.mu.Unlock()
			err := run()
			r.mu.Lock()
			r.inject = nil
			r.mu.Unlock()
			if !failed {
				break
			}
			wantErr(s, fmt.Sprintf("DELETE %d, transaction %s", n, mode), err, broken)
			equal(s, fmt.Sprintf("rows after DELETE %d, transaction %s", n, mode), rows(s, f.db), [3]int64{4, 4, 4})
		}
		clearPeople(s, f)
		addPeople(s, f)
	}
	noneInUse(s, f.db)
}

// A Delete callback of the application that keeps users, a tenant filter say, does not
// leave them without keys.
func integrityForeignCallback(s *suite) {
	f := people(s)
	must(s, f.db.Callback().Delete().Before("gorm:delete").Register("test:tenant", func(tx *gorm.DB) {
		tx.Statement.AddClause(clause.Where{Exprs: []clause.Expression{clause.Neq{Column: "id", Value: "u0"}}})
	}))
	if err := f.DeleteUser(s.Context(), "u0"); err == nil || !strings.Contains(err.Error(), "not deleted") {
		s.Errorf("DeleteUser: got %v", err)
	}
	equal(s, "rows after DeleteUser", rows(s, f.db), [3]int64{4, 4, 4})
	err := f.db.Delete(&owned{}, "id IN ?", []string{"u0", "u1"}).Error
	if !s.enforced || !s.declared {
		if err == nil || !strings.Contains(err.Error(), "1 of 2 users") {
			s.Errorf("got %v", err)
		}
		equal(s, "rows", rows(s, f.db), [3]int64{4, 4, 4})
		return
	}
	must(s, err)
	equal(s, "rows", rows(s, f.db), [3]int64{3, 3, 3})
}
