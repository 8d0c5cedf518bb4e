package gormkeytest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

var statementCases = []testCase{
	{"statement/counts", statementCounts},
	{"statement/R46 every one uses an index", statementIndexes},
	{"statement/a transaction of one writer begins with a write", statementWritesFirst},
}

// verbs calls every operation that sends a statement, and hands its name and
// statements to seen.
func verbs(s *suite, f *accounts, seen func(verb string, sent []statement)) {
	s.Helper()
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	ctx := s.Context()
	do := func(verb string, call func() error) {
		s.Helper()
		recorder.taken()
		if err := call(); err != nil {
			s.Fatalf("%s: %v", verb, err)
		}
		sent := recorder.all()
		s.writesFirst(f.db, verb, sent)
		seen(verb, withoutEnds(sent))
	}
	ada := &account{Email: "ada@example.com"}
	login := email(ada.Email)
	github := gormkey.Proved("github", "1")
	var session *device
	do("CreateUser", func() error { return auth.CreateUser(ctx, ada, login) })
	do("GetUser", func() error { _, err := auth.GetUser(ctx, ada.ID); return err })
	do("UpdateUserAttributes", func() error {
		_, err := auth.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Name": "x"})
		return err
	})
	do("AddKey", func() error { _, err := auth.AddKey(ctx, ada.ID, github); return err })
	do("ShareKey", func() error {
		_, err := auth.ShareKey(ctx, keyID("username", "ada"), keyID("email", ada.Email))
		return err
	})
	do("GetKey", func() error { _, err := auth.GetKey(ctx, keyID("github", "1")); return err })
	do("UserKeys", func() error { _, err := auth.UserKeys(ctx, ada.ID); return err })
	do("RemoveKey", func() error { return auth.RemoveKey(ctx, ada.ID, keyID("github", "1")) })
	do("UseKey", func() error { _, err := auth.UseKey(ctx, login); return err })
	do("OpenSession", func() (err error) { session, err = auth.OpenSession(ctx, ada.ID); return err })
	do("SignIn", func() error { _, err := auth.SignIn(ctx, login); return err })
	do("SignIn, replacing", func() error { _, err := auth.SignIn(ctx, login, auth.Replacing(newToken())); return err })
	do("ValidateSession, active", func() error { _, err := auth.ValidateSession(ctx, session.Token); return err })
	do("GetSession", func() error { _, err := auth.GetSession(ctx, session.Token); return err })
	do("UserSessions", func() error { _, err := auth.UserSessions(ctx, ada.ID); return err })
	do("UpdateSessionAttributes", func() error {
		_, err := auth.UpdateSessionAttributes(ctx, session.ID, map[string]any{"Country": "NO"})
		return err
	})
	f.clock.Advance(ActivePeriod + 1e6)
	do("ValidateSession, idle", func() error { _, err := auth.ValidateSession(ctx, session.Token); return err })
	do("OverwritePassword", func() error { _, err := auth.OverwritePassword(ctx, login, session.ID); return err })
	do("ChangePassword", func() error { _, err := auth.ChangePassword(ctx, login, goodPassword, session.ID); return err })
	do("EndSession", func() error { return auth.EndSession(ctx, ada.ID, session.ID) })
	do("EndOtherSessions", func() error { return auth.EndOtherSessions(ctx, ada.ID, session.ID) })
	do("EndAllSessions", func() error { return auth.EndAllSessions(ctx, ada.ID) })
	do("EndSessionOfAnyone", func() error { return auth.EndSessionOfAnyone(ctx, session.ID) })
	_, err = auth.OpenSession(ctx, ada.ID)
	must(s, err)
	f.clock.Advance(365 * ActivePeriod)
	do("DeleteExpired", func() error { _, err := auth.DeleteExpired(ctx); return err })
	do("DeleteUser", func() error { return auth.DeleteUser(ctx, ada.ID) })
}

// writesFirst: a transaction of SQLite that reads before it writes may not be able to write
// when another has written meanwhile, whatever the busy timeout is.
func (s *suite) writesFirst(db *gorm.DB, verb string, sent []statement) {
	s.Helper()
	if s.batches || db.Name() != "sqlite" {
		return
	}
	for i, st := range sent[:max(len(sent)-1, 0)] {
		if next := sent[i+1].sql; st.sql == "BEGIN" && strings.HasPrefix(next, "SELECT") {
			s.Errorf("%s: the transaction begins with %s", verb, next)
		}
	}
}

// statementWritesFirst: so too with hooks and one-time tokens.
func statementWritesFirst(s *suite) {
	hook := gormkey.WithHook(func(*gorm.DB, event.Event) error { return nil })
	f := s.withTokens(hook)
	seen := 0
	verbs(s, f, func(string, []statement) { seen++ })
	if seen < 20 {
		s.Errorf("%d verbs", seen)
	}
	f = s.withTokens(hook)
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	do := func(verb string, call func() error) {
		s.Helper()
		recorder.reset()
		must(s, call())
		s.writesFirst(f.db, verb, recorder.all())
	}
	var token gormkey.Token
	do("IssueToken", func() (err error) {
		token, err = auth.IssueToken(s.Context(), ada.ID, gormkey.PurposeMagicLink, "", time.Hour)
		return err
	})
	do("SignInWithToken", func() error { _, err := auth.SignInWithToken(s.Context(), token); return err })
	token = issue(s, f, ada.ID, gormkey.PurposeResetPassword, "email:"+ada.Email)
	do("ResetPassword", func() error { _, err := auth.ResetPassword(s.Context(), token, "another password"); return err })
	token = issue(s, f, ada.ID, gormkey.PurposeVerifyEmail, ada.Email)
	do("UseToken", func() error { _, err := auth.UseToken(s.Context(), gormkey.PurposeVerifyEmail, token, nil); return err })
	do("RenameKey", func() error { return auth.RenameKey(s.Context(), ada.ID, keyID("email", ada.Email), "new@example.com") })
	do("VoidTokens", func() error { return auth.VoidTokens(s.Context(), ada.ID) })
}

func newToken() gormkey.Token { return gormkey.Token(strings.Repeat("t", 40)) }

func statementCounts(s *suite) {
	f := s.accounts()
	sqlite := f.db.Name() == "sqlite"
	// The lock on SQLite is one statement where other engines lock as they read. A batch
	// has none.
	pick := func(onSQLite, elsewhere int) int {
		switch {
		case s.batches:
			return onSQLite - 1
		case sqlite:
			return onSQLite
		}
		return elsewhere
	}
	dead := 3
	if sqlite {
		dead = 2
	}
	first := s.readsFirst()
	want := map[string]int{
		"CreateUser": 2 + first, "GetUser": 1, "UpdateUserAttributes": 2, "AddKey": 1 + first, "ShareKey": pick(3, 4+first), "GetKey": 1, "UserKeys": 2,
		"RemoveKey": pick(4, 5), "UseKey": 1, "OpenSession": 1, "SignIn": 2, "SignIn, replacing": 3, "ValidateSession, active": 1,
		"GetSession": 1, "UserSessions": 2, "ValidateSession, idle": 2, "OverwritePassword": pick(4, 5), "ChangePassword": pick(5, 6),
		"EndSession": 1, "EndOtherSessions": 1, "EndAllSessions": 1, "EndSessionOfAnyone": 1,
		"DeleteExpired": dead, "DeleteUser": pick(4, 4), "UpdateSessionAttributes": pick(3, 2+first),
	}
	verbs(s, f, func(verb string, sent []statement) {
		sent = slices.DeleteFunc(sent, requirement)
		n, ok := want[verb]
		if delete(want, verb); !ok || len(sent) != n {
			var texts []string
			for _, st := range sent {
				texts = append(texts, st.sql)
			}
			s.Errorf("%s: got %d statements, want %d:\n  %s", verb, len(sent), n, strings.Join(texts, "\n  "))
		}
	})
	for verb := range want {
		s.Errorf("%s was not called", verb)
	}
}

// readsFirst is how many statements a write has before it on Vitess: it reads the user of a
// session, whom the write names, or whether a key's id is free.
func (s *suite) readsFirst() int {
	if s.vitess {
		return 1
	}
	return 0
}

// requirement tells whether a statement makes sure of what a batch has read.
func requirement(st statement) bool { return strings.HasPrefix(st.sql, "SELECT CASE WHEN ") }

func statementIndexes(s *suite) {
	f := s.accounts()
	fill(s, f, 400)
	var all []explained
	verbs(s, f, func(verb string, sent []statement) {
		for _, st := range sent {
			all = append(all, explained{verb, st})
		}
	})
	if n := s.wantIndexes(f.db, all); n < 20 {
		s.Fatalf("got %d statements to explain", n)
	}
}

// explained is a statement of an operation.
type explained struct {
	verb string
	statement
}

// wantIndexes asks the database how it runs statements, and wants none to read a whole
// table. It returns how many it asked for.
func (s *suite) wantIndexes(db *gorm.DB, all []explained) int {
	s.Helper()
	checked := map[string]bool{}
	var explain []explained
	for _, st := range all {
		readsNothing := strings.Contains(st.sql, "1 = 0") || strings.HasPrefix(st.sql, "INSERT") && strings.Contains(st.sql, " VALUES ")
		if !checked[st.sql] && !readsNothing {
			checked[st.sql] = true
			explain = append(explain, st)
		}
	}
	pool, err := db.DB()
	must(s, err)
	conn, err := pool.Conn(s.Context())
	must(s, err)
	defer func() { _ = conn.Close() }()
	prefix, bad := "EXPLAIN ", []string{"Seq Scan"}
	switch db.Name() {
	case "postgres": // so that only a statement without an index has a sequential scan
		_, err := conn.ExecContext(s.Context(), "SET enable_seqscan = off")
		must(s, err)
	case "mysql":
		bad = []string{"|ALL|", "|index|"}
	case "sqlite":
		prefix, bad = "EXPLAIN QUERY PLAN ", []string{"SCAN "}
	}
	for _, st := range explain {
		if s.refusesForeignKeys() { // Vitess explains no prepared statement
			st.sql, st.args = db.Explain(st.sql, st.args...), nil
		}
		rows, err := conn.QueryContext(s.Context(), prefix+st.sql, st.args...)
		if err != nil {
			s.Fatalf("%s: explaining %s: %v", st.verb, st.sql, err)
		}
		columns, err := rows.Columns()
		must(s, err)
		var plan []string
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			must(s, rows.Scan(values...))
			line := "|"
			for _, v := range values {
				switch v := (*v.(*any)).(type) {
				case []byte:
					line += string(v) + "|"
				default:
					line += fmt.Sprint(v) + "|"
				}
			}
			plan = append(plan, line)
		}
		must(s, rows.Err())
		must(s, rows.Close())
		text := strings.Join(plan, "\n")
		for _, b := range bad {
			if strings.Contains(strings.ReplaceAll(text, "SCAN CONSTANT ROW", ""), b) {
				s.Errorf("%s: %s\nreads a whole table:\n%s", st.verb, st.sql, text)
			}
		}
	}
	return len(explain)
}

// fill adds n users, each with a key and a session, by plain GORM.
func fill(s *suite, f *accounts, n int) {
	s.Helper()
	users, keys, sessions := make([]account, n), make([]gormkey.Key[account], n), make([]gormkey.Session[account], n)
	live := gormkey.UnixMilli(f.clock.Now().UnixMilli()) + 1e12
	for i := range n {
		id := fmt.Sprintf("fill-%d", i)
		users[i] = account{User: gormkey.User{ID: id}, Email: id}
		keys[i] = gormkey.Key[account]{ID: "fill:" + id, UserID: id}
		sessions[i] = gormkey.Session[account]{ID: gormkey.SessionID("fill-" + id), UserID: id, ActiveExpires: live, IdleExpires: live}
	}
	must(s, f.db.CreateInBatches(users, 20).Error)
	must(s, f.db.CreateInBatches(keys, 20).Error)
	must(s, f.db.CreateInBatches(sessions, 20).Error)
	analyze(s, f.db, "auth_user", "user_key", "user_session")
}

// analyze lets the database count the rows of tables.
func analyze(s *suite, db *gorm.DB, tables ...string) {
	s.Helper()
	for _, table := range tables {
		switch db.Name() {
		case "mysql":
			must(s, db.Session(&gorm.Session{NewDB: true}).Exec("ANALYZE TABLE "+table).Error)
		case "postgres":
			must(s, db.Session(&gorm.Session{NewDB: true}).Exec("ANALYZE "+table).Error)
		}
	}
}

// signInStatements returns how many statements a sign-in sends, and those of the session check after
// it.
func signInStatements(s *suite, f *accounts) (signIn int, check []statement) {
	s.Helper()
	ada := signUp(s, f, "ada")
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	recorder.reset()
	session, err := auth.SignIn(s.Context(), email(ada.Email))
	must(s, err)
	signIn = len(recorder.taken())
	recorder.reset()
	must(s, second(auth.ValidateSession(s.Context(), session.Token)))
	return signIn, recorder.taken()
}
