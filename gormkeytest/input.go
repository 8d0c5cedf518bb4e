package gormkeytest

import (
	"context"
	"errors"
	"strings"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

var inputCases = []testCase{
	{"input/R30 R31 R32 refused before any statement", inputRefused},
	{"input/longest values", inputLongest},
	{"input/malformed tokens send nothing", inputTokens},
	{"input/handles", inputHandles},
	{"input/R32 plain GORM creates are checked too", inputPlainCreates},
}

// badTexts are refused wherever an id is asked for. R31: those that would be a
// condition are no ids that match anything either.
func badTexts(limit int) map[string]string {
	return map[string]string{
		"empty": "", "too long": strings.Repeat("x", limit+1), "1 MiB": strings.Repeat("x", 1<<20), "NUL": "a\x00b", "NUL at the end": "a\x00",
		"invalid UTF-8": "a\xff\xfe", "cut UTF-8": "a\xc3", "overlong NUL": "a\xc0\x80", "surrogate": "a\xed\xa0\x80",
		"blank before": " a", "blank after": "a ", "tab after": "a\t", "newline after": "a\n", "no-break space after": "a\u00a0",
	}
}

var hostileTexts = []string{"1=1", "id=id", "' OR 1=1--", `" OR ""="`, "x'; DROP TABLE auth_user; --", "%", "_", "@id", "?", "$1", "\\", "''", "nobody"}

func inputRefused(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	_, err = f.SignIn(ctx, email(signUp(s, f, "bob").Email)) // so that there is somebody else
	must(s, err)
	before, unchanged := rows(s, f.db), snapshot(s, f)
	recorder.taken()

	refused := func(what string, err error) {
		s.Helper()
		wantErr(s, what, err, gormkey.ErrInvalidArgument)
		if sent := recorder.all(); len(sent) > 0 { // no BEGIN either
			s.Errorf("%s: sent %q", what, sent[0].sql)
		}
		if len(err.Error()) > 300 {
			s.Errorf("%s: message of %d bytes", what, len(err.Error()))
		}
	}
	users := map[string]func(id string) error{
		"GetUser":              func(id string) error { _, err := auth.GetUser(ctx, id); return err },
		"UpdateUserAttributes": func(id string) error { _, err := auth.UpdateUserAttributes(ctx, id, nil); return err },
		"DeleteUser":           func(id string) error { return auth.DeleteUser(ctx, id) },
		"AddKey":               func(id string) error { _, err := auth.AddKey(ctx, id, email("x")); return err },
		"UserKeys":             func(id string) error { _, err := auth.UserKeys(ctx, id); return err },
		"OpenSession":          func(id string) error { _, err := auth.OpenSession(ctx, id); return err },
		"UserSessions":         func(id string) error { _, err := auth.UserSessions(ctx, id); return err },
		"EndSession": func(id string) error {
			return auth.EndSession(ctx, id, session.ID)
		},
		"EndOtherSessions": func(id string) error { return auth.EndOtherSessions(ctx, id, session.ID) },
		"EndAllSessions":   func(id string) error { return auth.EndAllSessions(ctx, id) },
		"RenameKey":        func(id string) error { return auth.RenameKey(ctx, id, keyID("email", ada.Email), "x") },
	}
	for verb, call := range users {
		for what, id := range badTexts(15) {
			refused(verb+", user id: "+what, call(id))
		}
		for _, id := range hostileTexts {
			err := call(id)
			recorder.taken()
			what := verb + ", user id " + id
			switch verb {
			case "GetUser", "UpdateUserAttributes", "AddKey", "UserKeys", "OpenSession", "UserSessions":
				wantOneOf(s, what, err, gormkey.ErrUserNotFound, gormkey.ErrInvalidArgument)
			case "RenameKey":
				wantOneOf(s, what, err, gormkey.ErrKeyNotFound, gormkey.ErrInvalidArgument)
			case "EndSession":
				wantOneOf(s, what, err, gormkey.ErrInvalidSession, gormkey.ErrInvalidArgument)
			default: // nobody is no error
				if err != nil {
					wantErr(s, what, err, gormkey.ErrInvalidArgument)
				}
			}
			if got := snapshot(s, f); got != unchanged {
				s.Fatalf("%s: changed\n%s\nto\n%s", what, unchanged, got)
			}
			recorder.taken()
		}
	}
	recorder.taken()
	refused("CreateUser, own id", auth.CreateUser(ctx, &account{User: gormkey.User{ID: strings.Repeat("x", 16)}, Email: "y"}))
	wantErr(s, "CreateUser, nil user", auth.CreateUser(ctx, nil), gormkey.ErrUsage)

	keys := map[string]func(provider, id string) error{
		"AddKey": func(p, id string) error {
			_, err := auth.AddKey(ctx, ada.ID, gormkey.Credentials{Provider: p, ID: id, Password: goodPassword})
			return err
		},
		"CreateUser": func(p, id string) error {
			return auth.CreateUser(ctx, &account{Email: "z"}, gormkey.Credentials{Provider: p, ID: id, Password: goodPassword})
		},
		"GetKey": func(p, id string) error { _, err := auth.GetKey(ctx, keyID(p, id)); return err },
		"SignIn": func(p, id string) error {
			_, err := auth.SignIn(ctx, gormkey.Credentials{Provider: p, ID: id, Password: goodPassword})
			return err
		},
		"UseKey": func(p, id string) error {
			_, err := auth.UseKey(ctx, gormkey.Credentials{Provider: p, ID: id, Password: goodPassword})
			return err
		},
		"OverwritePassword": func(p, id string) error {
			_, err := auth.OverwritePassword(ctx, gormkey.Credentials{Provider: p, ID: id, Password: goodPassword}, "")
			return err
		},
		"RemoveKey": func(p, id string) error { return auth.RemoveKey(ctx, ada.ID, keyID(p, id)) },
		"ShareKey, new": func(p, id string) error {
			_, err := auth.ShareKey(ctx, keyID(p, id), keyID("email", ada.Email))
			return err
		},
		"ShareKey, other": func(p, id string) error {
			_, err := auth.ShareKey(ctx, keyID("username", "u"), keyID(p, id))
			return err
		},
		"RenameKey, old": func(p, id string) error { return auth.RenameKey(ctx, ada.ID, keyID(p, id), "x") },
		"RenameKey, new": func(p, id string) error { return auth.RenameKey(ctx, ada.ID, keyID(p, "x"), id) },
	}
	for verb, call := range keys {
		for what, id := range badTexts(255 - len("email:")) {
			refused(verb+", id: "+what, call("email", id))
		}
		for _, provider := range []string{"", "a:b", ":", "a b", "é", "a\x00", "a\xff", strings.Repeat("x", 65), "a;b", "a'b", "a/b"} {
			refused(verb+", provider "+provider[:min(len(provider), 8)], call(provider, "x"))
		}
	}
	with := func(change func(c *gormkey.Credentials)) gormkey.Credentials {
		c := gormkey.Credentials{Provider: "email", ID: "x", Password: goodPassword}
		change(&c)
		return c
	}
	storing := map[string]func(c gormkey.Credentials) error{
		"CreateUser":        func(c gormkey.Credentials) error { return auth.CreateUser(ctx, &account{Email: "z"}, c) },
		"AddKey":            func(c gormkey.Credentials) error { return second(auth.AddKey(ctx, ada.ID, c)) },
		"OverwritePassword": func(c gormkey.Credentials) error { return second(auth.OverwritePassword(ctx, c, "")) },
	}
	using := map[string]func(c gormkey.Credentials) error{
		"SignIn":           func(c gormkey.Credentials) error { return second(auth.SignIn(ctx, c)) },
		"UseKey":           func(c gormkey.Credentials) error { return second(auth.UseKey(ctx, c)) },
		"CheckCredentials": auth.CheckCredentials,
		"ChangePassword": func(c gormkey.Credentials) error {
			return second(auth.ChangePassword(ctx, c, goodPassword, ""))
		},
	}
	for what, bad := range map[string]gormkey.Credentials{
		"password over the limit":   with(func(c *gormkey.Credentials) { c.Password = strings.Repeat("x", 4097) }),
		"password not UTF-8":        with(func(c *gormkey.Credentials) { c.Password = "\xff\xfe is no text" }),
		"provider that is not text": with(func(c *gormkey.Credentials) { c.Provider = "é" }),
	} {
		for _, verbs := range []map[string]func(c gormkey.Credentials) error{storing, using} {
			for verb, call := range verbs {
				refused(verb+", "+what, call(bad))
			}
		}
	}
	both := func(c gormkey.Credentials) gormkey.Credentials { c.Password = goodPassword; return c }
	for verb, call := range storing {
		for what, hash := range map[string]password.Hash{
			"hash of no known format": "plain text", "hash that is too long": "$" + password.Hash(strings.Repeat("x", 255)), "hash with a blank after": oldHash + " ",
		} {
			refused(verb+", "+what, call(gormkey.Imported("email", ada.Email, hash)))
		}
		wantErr(s, verb+", proved and a password", call(both(gormkey.Proved("email", ada.Email))), gormkey.ErrUsage)
		wantErr(s, verb+", a password and its hash", call(both(gormkey.Imported("email", ada.Email, oldHash))), gormkey.ErrUsage)
		refused(verb+", no password", call(with(func(c *gormkey.Credentials) { c.Password = "" })))
		refused(verb+", short password", call(with(func(c *gormkey.Credentials) { c.Password = "1234567" })))
	}
	for verb, call := range using {
		wantErr(s, verb+", a hash for a password", call(gormkey.Imported("email", ada.Email, oldHash)), gormkey.ErrUsage)
		wantErr(s, verb+", proved and a password", call(both(gormkey.Proved("email", ada.Email))), gormkey.ErrUsage)
		wantErr(s, verb+", a password and its hash", call(both(gormkey.Imported("email", ada.Email, oldHash))), gormkey.ErrUsage)
	}
	sessions := map[string]func(id gormkey.SessionID) error{
		"EndSessionOfAnyone":      func(id gormkey.SessionID) error { return auth.EndSessionOfAnyone(ctx, id) },
		"EndSession":              func(id gormkey.SessionID) error { return auth.EndSession(ctx, ada.ID, id) },
		"EndOtherSessions":        func(id gormkey.SessionID) error { return auth.EndOtherSessions(ctx, ada.ID, id) },
		"UpdateSessionAttributes": func(id gormkey.SessionID) error { _, err := auth.UpdateSessionAttributes(ctx, id, nil); return err },
	}
	for verb, call := range sessions {
		for what, id := range badTexts(128) {
			refused(verb+", session id: "+what, call(gormkey.SessionID(id)))
		}
	}
	refused("OverwritePassword, kept session", second(auth.OverwritePassword(ctx, email(ada.Email), "a\x00")))
	refused("ChangePassword, kept session", second(auth.ChangePassword(ctx, email(ada.Email), goodPassword, "a\x00")))
	for what, bad := range map[string]string{"empty": "", "short": "1234567", "not UTF-8": "\xff\xfe is no text"} {
		refused("ChangePassword, a new password that is "+what, second(auth.ChangePassword(ctx, email(ada.Email), bad, "")))
	}
	wantErr(s, "ChangePassword, proved", second(auth.ChangePassword(ctx, gormkey.Proved("email", ada.Email), goodPassword, "")), gormkey.ErrUsage)
	var argument *gormkey.ArgumentError
	if err := second(auth.AddKey(ctx, ada.ID, gormkey.Credentials{Provider: "email", ID: "x", Password: "1234567"})); !errors.As(err, &argument) || argument.Reason != "too short: at least 8 characters are needed" {
		s.Errorf("a short password: got %v, want a reason with the bound", err)
	}
	var nilContext context.Context
	for verb, err := range map[string]error{
		"GetUser": second(auth.GetUser(nilContext, ada.ID)), "ValidateSession": second(auth.ValidateSession(nilContext, session.Token)),
		"CreateUser": auth.CreateUser(nilContext, &account{Email: "q"}, email("q")),
	} {
		wantErr(s, verb+", nil context", err, gormkey.ErrUsage)
	}
	for verb, err := range map[string]error{
		"OpenSession": second(auth.OpenSession(ctx, ada.ID, nil)), "SignIn": second(auth.SignIn(ctx, email(ada.Email), nil)), "AddKey": second(auth.AddKey(ctx, ada.ID, email("q"), nil)),
	} {
		wantErr(s, verb+", a nil function", err, gormkey.ErrUsage)
	}
	equal(s, "statements", len(recorder.all()), 0)
	equal(s, "rows", rows(s, f.db), before)
}

func wantOneOf(s *suite, what string, err error, wants ...error) {
	s.Helper()
	for _, want := range wants {
		if isErr(err, want) {
			return
		}
	}
	s.Errorf("%s: got error %v, want one of %v", what, err, wants)
}

func inputLongest(s *suite) {
	// A letter that is repeated is a common password.
	f := s.accounts(gormkey.WithUserIDLength(64), gormkey.WithPasswordPolicy(password.MinLength(8)))
	ctx := s.Context()
	for _, c := range []struct{ name, userID, keyID string }{
		{"ASCII", strings.Repeat("u", 64), strings.Repeat("k", 249)},
		{"two bytes", strings.Repeat("é", 32), strings.Repeat("é", 124) + "k"},
		{"four bytes", strings.Repeat("😀", 16), strings.Repeat("😀", 62) + "k"},
	} {
		u := &account{User: gormkey.User{ID: c.userID}, Email: c.name}
		credentials := email(c.keyID)
		credentials.Password = strings.Repeat("é", 2048)
		must(s, f.CreateUser(ctx, u, credentials))
		session, err := f.SignIn(ctx, credentials)
		must(s, err)
		got, err := f.ValidateSession(ctx, session.Token)
		must(s, err)
		equal(s, c.name+": user id", got.User.ID, c.userID)
		keys, err := f.UserKeys(ctx, c.userID)
		must(s, err)
		equal(s, c.name+": key id", keys[0].KeyID().ID, c.keyID)
		credentials.Password += "é"
		_, err = f.SignIn(ctx, credentials)
		wantErr(s, c.name+": one character more", err, gormkey.ErrInvalidArgument)
		credentials.Password = strings.Repeat("é", 2047) + "e"
		_, err = f.SignIn(ctx, credentials)
		wantErr(s, c.name+": another last character", err, gormkey.ErrInvalidCredentials)
	}
}

func inputTokens(s *suite) {
	f := s.accounts()
	recorder := record(f.db)
	auth, err := from(f.db)
	must(s, err)
	for _, token := range []gormkey.Token{
		"", "x", "aaaaaaaaaaaaaaaaaaaaa", gormkey.Token(strings.Repeat("a", 128)), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x00",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaé", "' OR 1=1 -- aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", gormkey.Token(strings.Repeat("x", 1<<20)),
	} {
		_, err := auth.ValidateSession(s.Context(), token)
		wantErr(s, "ValidateSession", err, gormkey.ErrInvalidSession)
		_, err = auth.GetSession(s.Context(), token)
		wantErr(s, "GetSession", err, gormkey.ErrInvalidSession)
		wantErr(s, "SignOut", auth.SignOut(s.Context(), token), gormkey.ErrInvalidSession)
		if sent := recorder.taken(); len(sent) > 0 {
			s.Errorf("a malformed token of %d bytes sent %q", len(token), sent[0].sql)
		}
	}
}

func inputHandles(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	poisoned := f.db.Where("nonsense(").First(&account{})
	for _, c := range []struct {
		name string
		db   *gorm.DB
		want error
	}{
		{"nil", nil, gormkey.ErrUsage},
		{"zero", &gorm.DB{}, gormkey.ErrUsage},
		{"DryRun", f.db.Session(&gorm.Session{DryRun: true}), gormkey.ErrUsage},
		{"Where", f.db.Where("1 = 0"), gormkey.ErrUsage},
		{"Model", f.db.Model(&account{}), gormkey.ErrUsage},
		{"Table", f.db.Table("x"), gormkey.ErrUsage},
		{"Unscoped", f.db.Unscoped(), gormkey.ErrUsage},
		{"Select", f.db.Select("id"), gormkey.ErrUsage},
		{"Omit", f.db.Omit("id"), gormkey.ErrUsage},
		{"Limit", f.db.Limit(1), gormkey.ErrUsage},
		{"Joins", f.db.Joins("User"), gormkey.ErrUsage},
		{"Preload", f.db.Preload("User"), gormkey.ErrUsage},
		{"Scopes", f.db.Scopes(func(tx *gorm.DB) *gorm.DB { return tx }), gormkey.ErrUsage},
		{"error", poisoned, poisoned.Error},
		{"other database", s.again(f.db), gormkey.ErrNotRegistered},
	} {
		if _, err := from(c.db); !isErr(err, c.want) {
			s.Errorf("From a handle with %s: got %v, want %v", c.name, err, c.want)
		}
		want := c.want
		if c.name == "other database" {
			want = gormkey.ErrUsage
		}
		if _, err := f.With(c.db).ValidateSession(ctx, session.Token); !isErr(err, want) {
			s.Errorf("With a handle with %s: got %v, want %v", c.name, err, want)
		}
	}
	if _, err := gormkey.From[member](f.db); !isErr(err, gormkey.ErrNotRegistered) {
		s.Errorf("From for another user type: got %v", err)
	}
	for name, db := range map[string]*gorm.DB{
		"a context": f.db.WithContext(ctx), "a setting": f.db.Set("x", 1), "Debug off": f.db.Session(&gorm.Session{}),
		"NewDB after Where": f.db.Where("1 = 0").Session(&gorm.Session{NewDB: true}),
	} {
		auth, err := from(db)
		must(s, err)
		if _, err := auth.ValidateSession(ctx, session.Token); err != nil {
			s.Errorf("a handle with %s: %v", name, err)
		}
		if _, err := auth.GetUser(ctx, ada.ID); err != nil {
			s.Errorf("a handle with %s: %v", name, err)
		}
		if _, err := auth.UpdateUserAttributes(ctx, ada.ID, map[string]any{"Name": name}); err != nil {
			s.Errorf("a handle with %s: %v", name, err)
		}
	}
	other := s.again(f.db)
	closed, err := gorm.Open(other.Dialector, &gorm.Config{Logger: other.Logger})
	must(s, err)
	p := newAccounts(s)
	must(s, closed.Use(p))
	auth, err := from(closed)
	must(s, err)
	pool, _ := closed.DB()
	if shared, _ := f.db.DB(); shared == pool {
		return // a dialector over the application's pool: closing it would close the case's too
	}
	must(s, pool.Close())
	for what, call := range map[string]func() error{
		"ValidateSession": func() error { _, err := auth.ValidateSession(ctx, session.Token); return err },
		"OpenSession":     func() error { _, err := auth.OpenSession(ctx, ada.ID); return err },
		"DeleteUser":      func() error { return auth.DeleteUser(ctx, ada.ID) },
	} {
		if err := call(); !isErr(err, gormkey.ErrUsage) {
			s.Errorf("%s on a closed database: got %v", what, err)
		}
	}
}

func inputPlainCreates(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	long := strings.Repeat("x", 300)
	for name, model := range map[string]any{
		"user": &account{User: gormkey.User{ID: long}, Email: "e"}, "key": &login{Key: gormkey.Key[account]{ID: long, UserID: ada.ID}},
		"empty key": &gormkey.Key[account]{UserID: ada.ID}, "session": &gormkey.Session[account]{ID: "a\x00", UserID: ada.ID},
		"sessions": &[]gormkey.Session[account]{{ID: "ok", UserID: ada.ID}, {ID: "trailing ", UserID: ada.ID}},
	} {
		wantErr(s, name, f.db.Create(model).Error, gormkey.ErrInvalidArgument)
	}
	for name, id := range map[string]any{"text": long, "pointer": &long, "named type": gormkey.SessionID(long)} {
		row := map[string]any{"id": id, "user_id": ada.ID, "active_expires": 1, "idle_expires": 1}
		wantErr(s, "a map with a "+name, f.db.Model(&gormkey.Session[account]{}).Create(row).Error, gormkey.ErrInvalidArgument)
	}
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 0})
}
