package gormkeytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// ownedCases are about rows of the application that belong to users.
var ownedCases = []testCase{
	{"owned/rows go, stay or stand in the way", ownedDelete},
	{"owned/a row of nobody is refused", ownedCreate},
	{"owned/migrated with the plugin's tables", ownedMigrate},
	{"owned/audit and repair", ownedRepair},
	{"owned/foreign keys on, then off", ownedToggle},
	{"owned/longer user ids", ownedWiden},
	{"owned/a soft-deleted user keeps them", ownedSoft},
	{"owned/models that do not belong", ownedRefused},
	{"race/R07 owned rows against deletes", ownedRace},
}

// note goes with its account.
type note struct {
	ID        uint
	AccountID string   `gorm:"not null;index"`
	Account   *account `gorm:"constraint:OnDelete:CASCADE"`
}

// draft stays without its account.
type draft struct {
	ID        uint
	AccountID *string  `gorm:"index"`
	Account   *account `gorm:"constraint:OnDelete:SET NULL"`
}

// invoice stands in the way of a delete.
type invoice struct {
	ID      uint
	PayerID string   `gorm:"not null;index"`
	Payer   *account `gorm:"constraint:OnDelete:RESTRICT"`
}

// memo belongs to two accounts.
type memo struct {
	ID       uint
	AuthorID string   `gorm:"not null;index"`
	Author   *account `gorm:"constraint:OnDelete:CASCADE"`
	EditorID *string  `gorm:"index"`
	Editor   *account `gorm:"constraint:OnDelete:SET NULL"`
}

func withOwned() gormkey.Option {
	return gormkey.WithOwned(&note{}, &draft{}, &invoice{}, &memo{})
}

// unlinked is the number of rows of a table whose column is NULL.
func unlinked(s *suite, db *gorm.DB, table, column string) int64 {
	s.Helper()
	return count(s, db, table, column+" IS NULL")
}

func ownedDelete(s *suite) {
	f := s.accounts(withOwned(), gormkey.WithOneTimeTokens())
	ctx := s.Context()
	for name, remove := range map[string]func(a *account) error{
		"DeleteUser":   func(a *account) error { return f.DeleteUser(ctx, a.ID) },
		"plain delete": func(a *account) error { return f.db.Delete(a).Error },
		"by its email": func(a *account) error { return f.db.Where("email = ?", a.Email).Delete(&account{}).Error },
		"in a transaction": func(a *account) error {
			return f.db.Transaction(func(tx *gorm.DB) error { return tx.Delete(a).Error })
		},
	} {
		ada, bob := signUp(s, f, "ada-"+name), signUp(s, f, "bob-"+name)
		for _, row := range []any{
			&note{AccountID: ada.ID}, &note{AccountID: ada.ID}, &note{AccountID: bob.ID}, &draft{AccountID: &ada.ID}, &draft{AccountID: &bob.ID},
			&memo{AuthorID: ada.ID, EditorID: &bob.ID}, &memo{AuthorID: bob.ID, EditorID: &ada.ID},
		} {
			must(s, f.db.Create(row).Error)
		}
		bill := &invoice{PayerID: ada.ID}
		must(s, f.db.Create(bill).Error)
		before := ownedRows(s, f.db)
		refused := remove(ada)
		wantViolated(s, name+", restricted", refused)
		if !s.enforced && !strings.Contains(refused.Error(), "gormkey: rows of invoices belong to the user by payer_id") {
			s.Errorf("%s, restricted: got %v, want the table and the column", name, refused)
		}
		equal(s, name+", restricted: rows", ownedRows(s, f.db), before)
		must(s, f.db.Delete(bill).Error)
		must(s, remove(ada))
		equal(s, name+": rows", ownedRows(s, f.db), [7]int64{1, 1, 0, 1, 2, 0, 1})
		equal(s, name+": drafts without an account", unlinked(s, f.db, "drafts", "account_id"), 1)
		equal(s, name+": memos without an editor", unlinked(s, f.db, "memos", "editor_id"), 1)
		must(s, remove(bob))
		equal(s, name+": rows after all", ownedRows(s, f.db), [7]int64{0, 0, 0, 0, 2, 0, 0})
		equal(s, name+": drafts without an account", unlinked(s, f.db, "drafts", "account_id"), 2)
		must(s, f.db.Where("1 = 1").Delete(&draft{}).Error)
		must(s, f.DeleteUser(ctx, ada.ID)) // again
	}
}

// ownedRows returns the numbers of users, keys, sessions, notes, drafts, invoices and memos.
func ownedRows(s *suite, db *gorm.DB) [7]int64 {
	s.Helper()
	ours := rows(s, db)
	return [7]int64{ours[0], ours[1], ours[2], count(s, db, "notes"), count(s, db, "drafts"), count(s, db, "invoices"), count(s, db, "memos")}
}

func ownedCreate(s *suite) {
	f := s.accounts(withOwned())
	ada := signUp(s, f, "ada")
	nobody := "nobody"
	empty := ""
	for name, row := range map[string]any{
		"note":             &note{AccountID: nobody},
		"note without":     &note{},
		"draft":            &draft{AccountID: &nobody},
		"draft with none":  &draft{AccountID: &empty},
		"invoice":          &invoice{PayerID: nobody},
		"memo's author":    &memo{AuthorID: nobody, EditorID: &ada.ID},
		"memo's editor":    &memo{AuthorID: ada.ID, EditorID: &nobody},
		"one of two notes": &[]note{{AccountID: ada.ID}, {AccountID: nobody}},
	} {
		wantViolated(s, name, f.db.Create(row).Error)
	}
	wantViolated(s, "a map", f.db.Model(&note{}).Create(map[string]any{"account_id": nobody}).Error)
	equal(s, "rows", ownedRows(s, f.db), [7]int64{1, 1, 0, 0, 0, 0, 0})
	must(s, f.db.Create(&draft{}).Error)
	must(s, f.db.Create(&memo{AuthorID: ada.ID}).Error)
	must(s, f.db.Create(&[]note{{AccountID: ada.ID}, {AccountID: ada.ID}}).Error)
	must(s, f.db.Model(&draft{}).Create(map[string]any{"account_id": ada.ID}).Error)
	equal(s, "rows", ownedRows(s, f.db), [7]int64{1, 1, 0, 2, 2, 0, 1})
}

func ownedMigrate(s *suite) {
	db := s.newDB(s.T)
	plugin := newAccounts(s, withOwned())
	must(s, db.Use(plugin))
	auth, err := plugin.Repository()
	must(s, err)
	findings, err := auth.Audit(s.Context())
	must(s, err)
	var missing []string // each once, though a memo belongs to two accounts
	for _, table := range []string{"auth_user", "notes", "drafts", "invoices", "memos", "user_session", "user_key"} {
		missing = append(missing, "missing table "+table)
	}
	equalLists(s, "findings before", problems(findings), missing)
	up, down, err := plugin.SQL(db)
	must(s, err)
	for _, table := range []string{"notes", "drafts", "invoices", "memos"} {
		if !strings.Contains(strings.Join(up, "\n"), table) || !strings.Contains(strings.Join(down, "\n"), table) {
			s.Errorf("SQL: nothing about %s", table)
		}
	}
	if !s.declared && strings.Contains(strings.Join(up, "\n"), "FOREIGN KEY") {
		s.Errorf("SQL: foreign keys that are off:\n%s", strings.Join(up, "\n"))
	}
	must(s, plugin.AutoMigrate(db))
	pending, err := plugin.PendingSQL(db)
	must(s, err)
	equalLists(s, "pending", pending, nil)
	record := recordDDL(db)
	must(s, plugin.AutoMigrate(db))
	equalLists(s, "DDL of the second run", record.taken(), nil)
	findings, err = auth.Audit(s.Context())
	must(s, err)
	equalLists(s, "findings", problems(findings), nil)
}

// receipt has a constraint with a name of the application's.
type receipt struct {
	ID      uint
	PayerID string   `gorm:"not null;index"`
	Payer   *account `gorm:"constraint:payer_of_receipt,OnDelete:CASCADE"`
}

// ownedToggle: the foreign keys of tables from before are dropped by whatever name they have.
func ownedToggle(s *suite) {
	if !s.enforced || s.batches {
		s.Skip("the engine refuses foreign keys, or does not do without")
	}
	with := gormkey.WithOwned(&receipt{}, &memo{})
	db := s.newDB(s.T)
	on := gormkey.New[account](with)
	must(s, db.Use(on))
	must(s, on.AutoMigrate(db))
	offDB := s.again(db)
	off := gormkey.New[account](with, gormkey.WithoutForeignKeys())
	must(s, offDB.Use(off))
	must(s, off.AutoMigrate(offDB))
	auth, err := off.Repository()
	must(s, err)
	findings, err := auth.Audit(s.Context())
	must(s, err)
	equalLists(s, "off on tables with foreign keys", problems(findings), []string{
		"foreign key present receipts.payer_id", "foreign key present memos.author_id", "foreign key present memos.editor_id",
		"foreign key present user_session.user_id", "foreign key present user_key.user_id",
	})
	must(s, off.DropForeignKeys(offDB))
	findings, err = auth.Audit(s.Context())
	must(s, err)
	equalLists(s, "after they were dropped", problems(findings), nil)
	must(s, off.DropForeignKeys(offDB)) // again
}

func ownedRepair(s *suite) {
	f := s.accounts(withOwned())
	if s.enforced && s.declared || s.batches {
		s.Skip("the database keeps the rows whole")
	}
	ctx := s.Context()
	for i := range 5 {
		a := signUp(s, f, fmt.Sprint(i))
		for _, row := range []any{
			&note{AccountID: a.ID}, &note{AccountID: a.ID}, &draft{AccountID: &a.ID}, &draft{}, &invoice{PayerID: a.ID}, &memo{AuthorID: a.ID, EditorID: &a.ID},
		} {
			must(s, f.db.Create(row).Error)
		}
		if i > 0 {
			must(s, f.db.Exec("DELETE FROM auth_user WHERE id = ?", a.ID).Error) // which nobody sees
		}
	}
	findings, err := f.Audit(ctx)
	must(s, err)
	got := problems(findings)
	slices.Sort(got)
	equalLists(s, "findings", got, []string{
		"orphans drafts.account_id 4", "orphans invoices.payer_id 4", "orphans memos.author_id 4", "orphans memos.editor_id 4", "orphans notes.account_id 8", "orphans user_key.user_id 4",
	})
	seen := 0
	n, err := f.Repair(ctx, gormkey.WithBatchSize(3), gormkey.WithProgress(func(int64) error { seen++; return nil }))
	must(s, err)
	equal(s, "changed", n, 8+4+4+4) // notes, drafts, memos by their author, keys
	equal(s, "batches, at least", seen >= 8, true)
	equal(s, "rows", ownedRows(s, f.db), [7]int64{1, 1, 0, 2, 10, 5, 1})
	equal(s, "drafts without an account", unlinked(s, f.db, "drafts", "account_id"), 9)
	findings, err = f.Audit(ctx)
	must(s, err)
	equalLists(s, "findings after it", problems(findings), []string{"orphans invoices.payer_id 4"})
}

// ownedWiden: what points at longer ids becomes longer with them.
func ownedWiden(s *suite) {
	f := s.accounts(withOwned())
	if s.batches {
		s.Skip("texts have no width there")
	}
	ada := signUp(s, f, "ada")
	must(s, f.db.Create(&note{AccountID: ada.ID}).Error)
	next := s.again(f.db)
	plugin := newAccounts(s, withOwned(), gormkey.WithUserIDLength(36), gormkey.WithPasswordHasher(FastHasher()))
	must(s, next.Use(plugin))
	must(s, plugin.AutoMigrate(next))
	auth, err := plugin.Repository()
	must(s, err)
	long := &account{User: gormkey.User{ID: strings.Repeat("x", 36)}, Email: "long@example.com"}
	must(s, auth.CreateUser(s.Context(), long, email(long.Email)))
	must(s, next.Create(&[]note{{AccountID: long.ID}, {AccountID: ada.ID}}).Error)
	must(s, next.Create(&memo{AuthorID: long.ID, EditorID: &ada.ID}).Error)
	must(s, auth.DeleteUser(s.Context(), long.ID))
	equal(s, "rows", ownedRows(s, next), [7]int64{1, 1, 0, 2, 0, 0, 0})
}

// softOwner is a user whom a delete keeps.
type softOwner struct {
	gormkey.User
	DeletedAt gorm.DeletedAt
}

type softNote struct {
	ID      uint
	OwnerID string     `gorm:"not null;index"`
	Owner   *softOwner `gorm:"constraint:OnDelete:CASCADE"`
}

func ownedSoft(s *suite) {
	f := open[softOwner](s, s.newDB(s.T), gormkey.WithOwned(&softNote{}))
	ctx := s.Context()
	u := new(softOwner)
	must(s, f.CreateUser(ctx, u, email("u")))
	must(s, f.db.Create(&softNote{OwnerID: u.ID}).Error)
	must(s, f.DeleteUser(ctx, u.ID))
	equal(s, "keys", count(s, f.db, "user_key"), 0)
	equal(s, "notes of a user who may come back", count(s, f.db, "soft_notes"), 1)
	must(s, f.db.Unscoped().Delete(u).Error)
	equal(s, "notes of a user who is gone", count(s, f.db, "soft_notes"), 0)
}

type stray struct{ ID uint }

type strict struct {
	ID        uint
	AccountID string   `gorm:"not null"`
	Account   *account `gorm:"constraint:OnDelete:SET NULL"`
}

type loose struct {
	ID        uint
	AccountID string
	Account   *account `gorm:"constraint:-"`
}

type strayKey struct {
	ID        uint
	AccountID string
	Account   *account
}

func (strayKey) TableName() string { return "user_key" }

func ownedRefused(s *suite) {
	for name, c := range map[string]struct {
		model any
		want  string
	}{
		"nil":                {nil, "no pointer to a struct"},
		"a struct":           {note{}, "no pointer to a struct"},
		"a pointer":          {new(int), "no pointer to a struct"},
		"no relation":        {&stray{}, "no belongs-to relation"},
		"SET NULL, NOT NULL": {&strict{}, "NOT NULL"},
		"no constraint":      {&loose{}, "constraint:-"},
		"our table":          {&strayKey{}, "registered already"},
		"our own":            {&device{}, "registered already"},
	} {
		db := s.newDB(s.T)
		plugin := gormkey.New[account](gormkey.WithOwned(c.model))
		plugin.Models() // does not panic
		err := db.Use(plugin)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			s.Errorf("%s: got %v, want a text with %q", name, err, c.want)
		}
	}
	db := s.newDB(s.T)
	if err := db.Use(gormkey.New[account](gormkey.WithOwned(&note{}, &note{}))); err == nil {
		s.Error("a model twice: got no error")
	}
}

// ownedRace: no row is made for a user who is being deleted.
func ownedRace(s *suite) {
	f := s.accounts(withOwned())
	ctx := s.Context()
	signUp(s, f, "ada") // who stays, since nothing is NOT IN an empty list
	var created, refused atomic.Int64
	for round := range fullRounds(40, 500) {
		u := &account{Email: fmt.Sprint(round)}
		must(s, f.CreateUser(ctx, u, email(u.Email)))
		turns := newTurns(round)
		fs := repeat(4, func(i int) {
			turns.afterSecond(i)
			row := []any{&note{AccountID: u.ID}, &draft{AccountID: &u.ID}, &memo{AuthorID: u.ID, EditorID: &u.ID}, &note{AccountID: u.ID}}[i]
			switch err := busyRetry(func() error { return f.db.Create(row).Error }); {
			case err == nil:
				created.Add(1)
			case isErr(err, gorm.ErrForeignKeyViolated) || s.enforced && s.declared:
				refused.Add(1)
			default:
				s.Errorf("Create: %v", err)
			}
			turns.firstDone()
		})
		fs = append(fs, func() {
			turns.afterFirst()
			if err := f.DeleteUser(ctx, u.ID); err != nil {
				s.Errorf("DeleteUser: %v", err)
			}
			turns.secondDone()
		})
		atOnce(fs...)
	}
	nobody := " NOT IN (SELECT id FROM auth_user)"
	equal(s, "notes without an account", count(s, f.db, "notes", "account_id"+nobody), 0)
	equal(s, "drafts without their account", count(s, f.db, "drafts", "account_id"+nobody), 0)
	equal(s, "memos without an author", count(s, f.db, "memos", "author_id"+nobody), 0)
	equal(s, "memos without their editor", count(s, f.db, "memos", "editor_id"+nobody), 0)
	if created.Load() == 0 || refused.Load() == 0 {
		s.Fatalf("%d created, %d refused: one side always won, so nothing was raced", created.Load(), refused.Load())
	}
}

// busyRetry repeats a statement of the application's that the database could not get a lock
// for.
func busyRetry(statement func() error) (err error) {
	for range 50 {
		if err = statement(); !gormkey.Retryable(err) && !errors.Is(err, gormkey.ErrBusy) {
			return err
		}
	}
	return err
}
