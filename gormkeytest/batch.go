package gormkeytest

import (
	"strings"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// Batches says that transactions are lists of statements that are sent as one batch at
// Commit, as on Cloudflare D1. Cases of what cannot be there are skipped.
func Batches() Setting { return func(s *suite) { s.batches = true } }

// noBatch are the cases that such a database cannot have, and why.
var noBatch = map[string]string{
	"migrate/columns added later, rows kept":              "it rebuilds no table",
	"migrate/plain AutoMigrate loses no rows":             "it rebuilds no table",
	"schema/pending SQL of rebuilds":                      "it rebuilds no table",
	"schema/a table that users point at is rebuilt":       "it rebuilds no table",
	"schema/a migration of the application loses no rows": "it rebuilds no table",
	"names/columns outside ASCII keep their values":       "it rebuilds no table",
	"schema/many to many":                                 "no write in a batch returns the id that the database made",
	"schema/foreign keys turned on and off":               "foreign keys are always on",
	"schema/foreign keys of one plugin, none of another":  "foreign keys are always on",
	"after commit/R108 once for several tries":            "its statements are not sent one by one",
	"integrity/create in batches of thousands":            "a statement has 100 parameters",
	"integrity/delete of thousands":                       "a statement has 100 parameters",
	"security/values stay out of errors and logs":         "it reads after its batch, so that what cannot be read was written",
	"hook/an error of a statement is ignored":             "a batch fails as a whole, and says so",
	"race/R42 issue against what voids tokens":            "nothing is held until a batch is sent",
	"transaction/R38 a hook of a failed sign-in fails":    "a batch fails as a whole, and says so",
	"transaction/R38 inside the caller's transaction":     "what a batch changes is known at its end; see batch/the caller's",
}

var batchCases = []testCase{
	{"batch/the caller's", batchOfCaller},
	{"batch/what cannot be in one", batchRefusals},
}

// inBatch runs work in a transaction of the caller's.
func (s *suite) inBatch(f *accounts, work func(auth *accountsAuth) error) error {
	s.Helper()
	return f.db.WithContext(s.Context()).Transaction(func(tx *gorm.DB) error { return work(f.With(tx)) })
}

// batchOfCaller: a refusal is the caller's at Commit, and then nothing is done.
func batchOfCaller(s *suite) {
	if !s.batches {
		s.Skip("transactions are no batches")
	}
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	bob := &account{Email: "bob@example.com"}
	must(s, f.CreateUser(ctx, bob, email(bob.Email), email("bob2@example.com")))
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)

	must(s, s.inBatch(f, func(auth *accountsAuth) error {
		if err := auth.CreateUser(ctx, &account{User: gormkey.User{ID: "cy-has-an-id"}, Email: "cy@example.com"}, email("cy@example.com")); err != nil {
			return err
		}
		_, err := auth.OpenSession(ctx, "cy-has-an-id") // of a user of the same batch
		return err
	}))
	equal(s, "rows", rows(s, f.db), [3]int64{3, 4, 2})

	refused := func(name string, work func(auth *accountsAuth) error) {
		s.Helper()
		var inside error
		err := s.inBatch(f, func(auth *accountsAuth) error {
			inside = work(auth)
			return inside
		})
		if inside != nil || err == nil {
			s.Errorf("%s: got %v inside, and %v at Commit; want an error at Commit", name, inside, err)
		}
	}
	before := snapshot(s, f)
	for name, work := range map[string]func(auth *accountsAuth) error{
		"taken key": func(auth *accountsAuth) error {
			return auth.CreateUser(ctx, &account{Email: "d"}, email(ada.Email))
		},
		"taken email": func(auth *accountsAuth) error { return auth.CreateUser(ctx, &account{Email: ada.Email}) },
		"key of nobody": func(auth *accountsAuth) error {
			return second(auth.AddKey(ctx, "nobody", email("d@example.com")))
		},
		"session of nobody": func(auth *accountsAuth) error { return second(auth.OpenSession(ctx, "nobody")) },
		"somebody else's session": func(auth *accountsAuth) error {
			return auth.EndSession(ctx, "cy-has-an-id", session.ID)
		},
	} {
		refused(name, work)
		equal(s, name+": rows", snapshot(s, f), before)
	}

	// What an operation has read is not to change before Commit.
	refused("the other key deleted meanwhile", func(auth *accountsAuth) error {
		if err := auth.RemoveKey(ctx, bob.ID, keyID("email", bob.Email)); err != nil {
			return err
		}
		return f.RemoveKey(ctx, bob.ID, keyID("email", "bob2@example.com"))
	})
	equal(s, "keys", count(s, f.db, "user_key", "id LIKE 'email:bob%'"), 1)
	refused("a password changed meanwhile", func(auth *accountsAuth) error {
		if _, err := auth.OverwritePassword(ctx, email("cy@example.com"), ""); err != nil {
			return err
		}
		_, err := f.OverwritePassword(ctx, email("cy@example.com"), "")
		return err
	})
	equal(s, "sessions", count(s, f.db, "user_session"), 1) // of ada
	refused("a user deleted meanwhile", func(auth *accountsAuth) error {
		if err := auth.DeleteUser(ctx, ada.ID); err != nil {
			return err
		}
		return f.DeleteUser(ctx, ada.ID)
	})
	equal(s, "orphans", orphans(s, f.db), 0)
}

// batchRefusals: what would be wrong in a batch is an error before it, and the rest of
// the batch stands.
func batchRefusals(s *suite) {
	if !s.batches {
		s.Skip("transactions are no batches")
	}
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	without := newAccounts(s, gormkey.WithoutForeignKeys())
	if err := s.newDB(s.T).Use(without); err == nil || !strings.Contains(err.Error(), "WithoutForeignKeys") {
		s.Errorf("WithoutForeignKeys: got %v", err)
	}
	must(s, s.inBatch(f, func(auth *accountsAuth) error {
		for name, err := range map[string]error{
			"UpdateUserAttributes":    second(auth.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Name": "x"})),
			"UpdateSessionAttributes": second(auth.UpdateSessionAttributes(ctx, session.ID, map[string]any{"Country": "NO"})),
			"DeleteExpired":           second(auth.DeleteExpired(ctx)),
		} {
			wantErr(s, name, err, gormkey.ErrUsage)
		}
		if err := auth.CreateUser(ctx, &account{Email: "bob@example.com"}, email("bob@example.com")); err != nil {
			return err
		}
		for name, err := range map[string]error{ // they read
			"SignIn":            second(auth.SignIn(ctx, email(ada.Email))),
			"ValidateSession":   second(auth.ValidateSession(ctx, session.Token)),
			"ChangePassword":    second(auth.ChangePassword(ctx, email(ada.Email), goodPassword, "")),
			"OverwritePassword": second(auth.OverwritePassword(ctx, email(ada.Email), "")),
			"RemoveKey":         auth.RemoveKey(ctx, ada.ID, keyID("email", ada.Email)),
			"DeleteUser":        auth.DeleteUser(ctx, ada.ID),
		} {
			if err == nil || isErr(err, gormkey.ErrInvalidSession) || isErr(err, gormkey.ErrInvalidCredentials) {
				s.Errorf("%s after a write: got %v", name, err)
			}
		}
		return nil
	}))
	equal(s, "rows", rows(s, f.db), [3]int64{2, 2, 1})
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
}
