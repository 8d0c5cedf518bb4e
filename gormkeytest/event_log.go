package gormkeytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

var eventLogCases = []testCase{
	{"event log/R105 R110 a row for each thing that happens", logVerbs},
	{"event log/R105 with the operation, or not at all", logAtomic},
	{"event log/R105 who, from where, and how", logFields},
	{"event log/R106 no secret, whatever is typed", logSecrets},
	{"event log/R107 it outlives the user", logDelete},
	{"event log/R107 purged and anonymized", logPurge},
	{"event log/R109 delivered in order, at least once", deliverOrder},
	{"event log/R109 failures wait, and are given up", deliverFailures},
	{"event log/R109 four at once, and thirty that die", deliverCrashes},
	{"event log/bad input", logInput},
	{"event log/R130 statements", logStatements},
	{"event log/R131 indexes", logIndexes},
}

type logged = gormkey.LoggedEventOf[*account]

// withEventLog opens a database with everything that is told.
func (s *suite) withEventLog(opts ...gormkey.Option) *accounts {
	s.Helper()
	return s.withSuspension(append([]gormkey.Option{gormkey.WithEventDelivery()}, opts...)...)
}

// loggedTypes returns the types of the events since the last call, in their order.
func loggedTypes(s *suite, f *accounts) string {
	s.Helper()
	var rows []*logged
	must(s, f.db.Order("id").Find(&rows).Error)
	var types []string
	for _, row := range rows {
		types = append(types, string(row.Type))
	}
	must(s, f.db.Session(&gorm.Session{AllowGlobalUpdate: true}).Delete(&logged{}).Error)
	return strings.Join(types, ", ")
}

func logVerbs(s *suite) {
	f := s.withEventLog()
	ctx := s.Context()
	check := func(what, want string) {
		s.Helper()
		equal(s, what, loggedTypes(s, f), want)
	}
	ada := signUp(s, f, "ada")
	check("CreateUser", "user created, key added")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	check("SignIn", "signed in")
	wrong := email(ada.Email)
	wrong.Password = "a wrong password"
	wantErr(s, "SignIn", second(f.SignIn(ctx, wrong)), gormkey.ErrInvalidCredentials)
	check("a wrong password", "sign-in failed")
	f.clock.Advance(ActivePeriod + time.Hour)
	must(s, second(f.ValidateSession(ctx, session.Token)))
	check("a renewal", "")
	session, err = f.Reauthenticate(ctx, session.Token, email(ada.Email))
	must(s, err)
	check("Reauthenticate", "re-authenticated")
	must(s, second(f.AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))))
	check("AddKey", "key added")
	must(s, f.RenameKey(ctx, ada.ID, keyID("email", ada.Email), "a@example.com"))
	check("RenameKey", "key removed, key added")
	must(s, second(f.ChangePassword(ctx, email("a@example.com"), goodPassword+"!", session.ID)))
	check("ChangePassword", "password changed")
	must(s, f.RemoveKey(ctx, ada.ID, keyID("github", "1")))
	check("RemoveKey", "key removed")
	token, err := f.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, "", time.Hour)
	must(s, err)
	check("IssueToken", "token issued")
	must(s, second(f.SignInWithToken(ctx, token, f.Replacing(session.Token))))
	check("SignInWithToken", "token used, signed in, session ended")
	must(s, second(f.OpenSession(ctx, ada.ID)))
	check("OpenSession", "session opened")
	must(s, f.EndAllSessions(ctx, ada.ID))
	check("EndAllSessions", "session ended")
	must(s, f.Suspend(ctx, ada.ID, time.Time{}, "abuse", "root"))
	check("Suspend", "suspended")
	must(s, f.Unsuspend(ctx, ada.ID, "root"))
	check("Unsuspend", "unsuspended")
	must(s, f.DeleteUser(ctx, ada.ID))
	check("DeleteUser", "user deleted")
	must(s, f.DeleteUser(ctx, ada.ID))
	check("DeleteUser again", "")
}

func logAtomic(s *suite) {
	undo := errors.New("undo")
	fail := false
	f := s.withEventLog(gormkey.WithHook(func(*gorm.DB, event.Event) error {
		if fail {
			return undo
		}
		return nil
	}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	loggedTypes(s, f)
	fail = true
	wantErr(s, "a hook fails", second(f.AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))), undo)
	fail = false
	equal(s, "rolled back", loggedTypes(s, f), "")
	wantErr(s, "the caller rolls back", f.db.Transaction(func(tx *gorm.DB) error {
		must(s, second(f.With(tx).AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))))
		return undo
	}), undo)
	equal(s, "rolled back by the caller", loggedTypes(s, f), "")
	wantErr(s, "a key that is there", second(f.AddKey(ctx, ada.ID, email(ada.Email))), gormkey.ErrDuplicateKey)
	equal(s, "refused", loggedTypes(s, f), "")
	if s.batches {
		return // its statements are not sent one by one
	}
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	tries := 0
	recorder.inject = func(sql string) error {
		if strings.HasPrefix(sql, "INSERT") && strings.Contains(sql, "auth_event") && tries < 2 {
			tries++
			return codedError("40001")
		}
		return nil
	}
	must(s, second(auth.AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))))
	recorder.inject = nil
	equal(s, "tries that failed", tries, 2)
	equal(s, "after two retries", loggedTypes(s, f), "key added")
}

func logFields(s *suite) {
	f := s.withEventLog()
	ada := signUp(s, f, "ada")
	loggedTypes(s, f)
	ctx := event.WithOrigin(s.Context(), event.Origin{ActorID: "root", Address: "192.0.2.7", Agent: "Mozilla/5.0\r\n\x1b[31m\x00" + string([]byte{0xff}) + " " + "é😀" + strings.Repeat("x", 300)})
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	must(s, second(f.As(session, tenMinutes).AddKey(s.Context(), ada.ID, gormkey.Proved("github", "1"))))
	wrong := email(ada.Email)
	wrong.Password = "a wrong password"
	wantErr(s, "SignIn", second(f.SignIn(ctx, wrong)), gormkey.ErrInvalidCredentials)
	must(s, f.Suspend(ctx, ada.ID, time.Time{}, "abuse", "admin"))
	wantErr(s, "SignIn", second(f.SignIn(ctx, email(ada.Email))), gormkey.ErrSuspended)
	rows, err := f.UserEvents(s.Context(), ada.ID, "", 10)
	must(s, err)
	slices.Reverse(rows)
	got := ""
	for _, e := range rows {
		equal(s, "user", e.UserID, ada.ID)
		equal(s, "time", e.At, gormkey.UnixMilli(f.clock.Now().UnixMilli()))
		got += fmt.Sprintf("%s|%s|%s|%s|%s|%s\n", e.Type, e.ActorID, e.KeyID, e.Methods, e.Reason, e.Address)
		if e.ActorID == "root" && (e.Agent == "" || len(e.Agent) > 255 || len(e.Agent) < 250 || strings.ContainsAny(e.Agent, "é😀\r\n\x1b\x00") || !utf8.ValidString(e.Agent)) {
			s.Errorf("agent: got %q", e.Agent)
		}
	}
	equal(s, "events", got, strings.ReplaceAll(`signed in|root|email:ADA|pwd||192.0.2.7
key added|`+ada.ID+`|github:1|||
sign-in failed|root|email:ADA||wrong password|192.0.2.7
session ended|root||||192.0.2.7
suspended|admin|||abuse|192.0.2.7
sign-in failed|root|email:ADA||suspended|192.0.2.7
`, "ADA", ada.Email))
	equal(s, "session", rows[0].SessionID, session.ID)
	var pages []string
	for before := ""; ; {
		few, err := f.UserEvents(s.Context(), ada.ID, before, 4)
		must(s, err)
		if len(few) == 0 {
			break
		}
		for _, e := range few {
			pages = append([]string{e.ID}, pages...)
		}
		before = few[len(few)-1].ID
	}
	for i, row := range rows {
		equal(s, "by pages", pages[i], row.ID)
	}
	equal(s, "by pages", len(pages), len(rows))
}

func logSecrets(s *suite) {
	const canary = "correct horse canary"
	for _, secret := range [][]byte{nil, []byte("0123456789abcdef0123456789abcdef")} {
		opts := []gormkey.Option{}
		if secret != nil {
			opts = append(opts, gormkey.WithEventLogSecret(secret))
		}
		f := s.withEventLog(opts...)
		ctx := s.Context()
		ada := signUp(s, f, "ada")
		session, err := f.SignIn(ctx, email(ada.Email))
		must(s, err)
		token, err := f.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, canary, time.Hour)
		must(s, err)
		// The password in the place of the name, twice, and another name.
		for _, name := range []string{canary, canary, canary + "2"} {
			swapped := gormkey.Credentials{Provider: "email", ID: name, Password: ada.Email}
			wantErr(s, "swapped", second(f.SignIn(ctx, swapped)), gormkey.ErrInvalidCredentials)
		}
		dump := rowsOf(s, f, "auth_event")
		var hashes []string
		must(s, f.db.Model(&gormkey.Key[account]{}).Pluck("hashed_password", &hashes).Error)
		for what, text := range map[string]string{
			"what was typed": canary, "a password": goodPassword, "a token": string(session.Token), "a link": string(token), "a hash": hashes[0],
		} {
			if strings.Contains(dump, text) {
				s.Errorf("the log holds %s", what)
			}
		}
		var keys []string
		must(s, f.db.Model(&logged{}).Where("type = ?", string(event.SignInFailed)).Order("id").Pluck("key_id", &keys).Error)
		if secret == nil {
			equalLists(s, "names that nobody has", keys, []string{"email:?", "email:?", "email:?"})
			continue
		}
		if len(keys) != 3 || keys[0] != keys[1] || keys[0] == keys[2] || len(keys[0]) != len("email:?")+32 {
			s.Errorf("names that nobody has: got %q, want two equal and one other", keys)
		}
	}
}

func logDelete(s *suite) {
	f := s.withEventLog()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	must(s, f.DeleteUser(ctx, ada.ID))
	rows, err := f.UserEvents(ctx, ada.ID, "", 10)
	must(s, err)
	equal(s, "events of a user who is gone", len(rows), 3)
	if findings, err := f.Audit(ctx); err != nil || len(findings) > 0 && s.enforced {
		s.Errorf("audit: %v, %v", findings, err)
	}
}

func logPurge(s *suite) {
	f := s.withEventLog()
	ctx := s.Context()
	ada, bob := signUp(s, f, "ada"), signUp(s, f, "bob")
	f.clock.Advance(time.Hour)
	cut := f.clock.Now()
	must(s, second(f.SignIn(event.WithOrigin(ctx, event.Origin{ActorID: ada.ID, Address: "192.0.2.7", Agent: "x"}), email(ada.Email))))
	n, err := f.PurgeEvents(ctx, cut, gormkey.WithBatchSize(3))
	must(s, err)
	equal(s, "purged", n, 4)
	equal(s, "left", count(s, f.db, "auth_event"), 1)
	for range 50 {
		must(s, f.EndAllSessions(ctx, ada.ID))
		must(s, second(f.OpenSession(ctx, ada.ID)))
	}
	must(s, second(f.OpenSession(ctx, bob.ID)))
	all := count(s, f.db, "auth_event")
	n, err = f.AnonymizeUser(ctx, ada.ID)
	must(s, err)
	equal(s, "anonymized", n, all-1)
	equal(s, "rows", count(s, f.db, "auth_event"), all)
	dump := rowsOf(s, f, "auth_event")
	for _, text := range []string{ada.ID, ada.Email, "192.0.2.7"} {
		equal(s, "the log holds "+text, strings.Contains(dump, text), false)
	}
	equal(s, "of others", strings.Contains(dump, bob.ID), true)
	n, err = f.AnonymizeUser(ctx, ada.ID)
	must(s, err)
	equal(s, "again", n, 0)
	delivered, err := f.DeliverEvents(ctx, 1000, func(_ context.Context, e *logged) error {
		equal(s, "delivered", e.UserID, bob.ID)
		return nil
	})
	must(s, err)
	equal(s, "delivered", delivered, 1)
}

func logInput(s *suite) {
	f := s.withEventLog()
	ctx := s.Context()
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	none := func(context.Context, *logged) error { return nil }
	for name, c := range map[string]struct{ got, want error }{
		"deliver none":           {second(auth.DeliverEvents(ctx, 0, none)), gormkey.ErrUsage},
		"deliver too many":       {second(auth.DeliverEvents(ctx, 1001, none)), gormkey.ErrUsage},
		"deliver to nobody":      {second(auth.DeliverEvents(ctx, 1, nil)), gormkey.ErrUsage},
		"list none":              {second(auth.UserEvents(ctx, "x", "", 0)), gormkey.ErrUsage},
		"list before nothing":    {second(auth.UserEvents(ctx, "x", strings.Repeat("0", 41), 1)), gormkey.ErrInvalidArgument},
		"list nobody's":          {second(auth.UserEvents(ctx, "", "", 1)), gormkey.ErrInvalidArgument},
		"anonymize nobody":       {second(auth.AnonymizeUser(ctx, " ")), gormkey.ErrInvalidArgument},
		"purge in large batches": {second(auth.PurgeEvents(ctx, time.Now(), gormkey.WithBatchSize(20000))), gormkey.ErrUsage},
	} {
		wantErr(s, name, c.got, c.want)
	}
	equal(s, "statements", len(recorder.taken()), 0)
	wantErr(s, "in a transaction", f.db.Transaction(func(tx *gorm.DB) error {
		return second(f.With(tx).DeliverEvents(ctx, 1, none))
	}), gormkey.ErrUsage)
	plain := s.accounts()
	for name, err := range map[string]error{
		"DeliverEvents": second(plain.DeliverEvents(ctx, 1, none)), "UserEvents": second(plain.UserEvents(ctx, "x", "", 1)),
		"PurgeEvents": second(plain.PurgeEvents(ctx, time.Now())), "AnonymizeUser": second(plain.AnonymizeUser(ctx, "x")),
	} {
		wantErr(s, name+" without the option", err, gormkey.ErrUsage)
	}
	equal(s, "the table without the option", plain.db.Migrator().HasTable("auth_event"), false)
	for name, opts := range map[string][]gormkey.Option{
		"without the log": {gormkey.WithEventLogSecret(make([]byte, 32))},
		"a short secret":  {gormkey.WithEventLog(), gormkey.WithEventLogSecret([]byte("short"))},
		"a test secret":   {gormkey.WithEventLog(), gormkey.WithEventLogSecret(make([]byte, 32))},
	} {
		if err := s.newDB(s.T).Use(newPlugin[account](s, opts...)); err == nil || !strings.Contains(err.Error(), "WithEventLogSecret") {
			s.Errorf("%s: got %v", name, err)
		}
	}
}

func logStatements(s *suite) {
	hook := gormkey.WithHook(func(*gorm.DB, event.Event) error { return nil })
	hooked, _ := signInStatements(s, s.withFacts(hook))
	signIn, check := signInStatements(s, s.withFacts(gormkey.WithEventLog()))
	equal(s, "sign-in", signIn, hooked+1)
	equal(s, "session check", len(check), 1)
}

// logIndexes: the list of a user's events and the search for those that wait have an index, by the
// engine's own catalog.
func logIndexes(s *suite) {
	f := s.withEventLog()
	for column, index := range map[string]string{"user_id": "idx_auth_event_user_id", "delivered_at": "idx_auth_event_delivered_at"} {
		if !f.db.Migrator().HasIndex(&logged{}, index) {
			s.Errorf("there is no index %s for %s", index, column)
		}
	}
	if f.db.Name() == "sqlite" {
		for _, query := range []string{"SELECT * FROM auth_event WHERE user_id = 'x' ORDER BY id DESC LIMIT 9", "SELECT * FROM auth_event WHERE delivered_at IS NULL AND id > 'x' ORDER BY id LIMIT 9"} {
			var detail string
			must(s, f.db.Raw("EXPLAIN QUERY PLAN "+query).Row().Scan(new(int), new(int), new(int), &detail))
			if !strings.HasPrefix(detail, "SEARCH auth_event USING INDEX idx_auth_event_") {
				s.Errorf("%s: %s", query, detail)
			}
		}
	}
}
