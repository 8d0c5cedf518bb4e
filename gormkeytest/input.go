package gormkeytest

import (
	"context"
	"strings"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
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
	auth, err := gormkey.From[account](f.db)
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
		"CreateKey":            func(id string) error { _, err := auth.CreateKey(ctx, id, email("x")); return err },
		"UserKeys":             func(id string) error { _, err := auth.UserKeys(ctx, id); return err },
		"CreateSession":        func(id string) error { _, err := auth.CreateSession(ctx, id); return err },
		"UserSessions":         func(id string) error { _, err := auth.UserSessions(ctx, id); return err },
		"InvalidateUserSession": func(id string) error {
			return auth.InvalidateUserSession(ctx, id, session.ID)
		},
		"InvalidateOtherSessions":   func(id string) error { return auth.InvalidateOtherSessions(ctx, id, session.ID) },
		"InvalidateAllUserSessions": func(id string) error { return auth.InvalidateAllUserSessions(ctx, id) },
		"DeleteDeadUserSessions":    func(id string) error { return auth.DeleteDeadUserSessions(ctx, id) },
		"RenameKey":                 func(id string) error { return auth.RenameKey(ctx, id, "email", ada.Email, "x") },
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
			case "GetUser", "UpdateUserAttributes", "CreateKey", "UserKeys", "CreateSession", "UserSessions":
				wantOneOf(s, what, err, gormkey.ErrInvalidUser, gormkey.ErrInvalidArgument)
			case "RenameKey":
				wantOneOf(s, what, err, gormkey.ErrInvalidKey, gormkey.ErrInvalidArgument)
			case "InvalidateUserSession":
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
	refused("CreateUser, nil user", auth.CreateUser(ctx, nil))

	keys := map[string]func(provider, id string) error{
		"CreateKey": func(p, id string) error {
			_, err := auth.CreateKey(ctx, ada.ID, gormkey.Credentials{Provider: p, ID: id, Password: goodPassword})
			return err
		},
		"CreateUser": func(p, id string) error {
			return auth.CreateUser(ctx, &account{Email: "z"}, gormkey.Credentials{Provider: p, ID: id, Password: goodPassword})
		},
		"GetKey": func(p, id string) error { _, err := auth.GetKey(ctx, p, id); return err },
		"SignIn": func(p, id string) error {
			_, err := auth.SignIn(ctx, gormkey.Credentials{Provider: p, ID: id, Password: goodPassword})
			return err
		},
		"UseKey": func(p, id string) error {
			_, err := auth.UseKey(ctx, gormkey.Credentials{Provider: p, ID: id, Password: goodPassword})
			return err
		},
		"UpdateKeyPassword": func(p, id string) error {
			_, err := auth.UpdateKeyPassword(ctx, gormkey.Credentials{Provider: p, ID: id, Password: goodPassword})
			return err
		},
		"DeleteKey":       func(p, id string) error { return auth.DeleteKey(ctx, p, id) },
		"ShareKey, new":   func(p, id string) error { _, err := auth.ShareKey(ctx, p, id, "email", ada.Email); return err },
		"ShareKey, other": func(p, id string) error { _, err := auth.ShareKey(ctx, "username", "u", p, id); return err },
		"RenameKey, old":  func(p, id string) error { return auth.RenameKey(ctx, ada.ID, p, id, "x") },
		"RenameKey, new":  func(p, id string) error { return auth.RenameKey(ctx, ada.ID, p, "x", id) },
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
		"CreateKey":         func(c gormkey.Credentials) error { return second(auth.CreateKey(ctx, ada.ID, c)) },
		"UpdateKeyPassword": func(c gormkey.Credentials) error { return second(auth.UpdateKeyPassword(ctx, c)) },
		"ChangePassword":    func(c gormkey.Credentials) error { return second(auth.ChangePassword(ctx, c, "")) },
	}
	using := map[string]func(c gormkey.Credentials) error{
		"SignIn":           func(c gormkey.Credentials) error { return second(auth.SignIn(ctx, c)) },
		"UseKey":           func(c gormkey.Credentials) error { return second(auth.UseKey(ctx, c)) },
		"CheckCredentials": auth.CheckCredentials,
	}
	for what, bad := range map[string]gormkey.Credentials{
		"password over the limit": with(func(c *gormkey.Credentials) { c.Password = strings.Repeat("x", 4097) }),
		"password not UTF-8":      with(func(c *gormkey.Credentials) { c.Password = "\xff\xfe is no text" }),
		"password and NoPassword": with(func(c *gormkey.Credentials) { c.NoPassword = true }),
		"password and its hash":   with(func(c *gormkey.Credentials) { c.PasswordHash = oldHash }),
		"NoPassword and a hash":   with(func(c *gormkey.Credentials) { c.Password, c.NoPassword, c.PasswordHash = "", true, oldHash }),
		"hash of no known format": with(func(c *gormkey.Credentials) { c.Password, c.PasswordHash = "", "plain text" }),
		"hash that is too long": with(func(c *gormkey.Credentials) {
			c.Password, c.PasswordHash = "", "$"+gormkey.HashedPassword(strings.Repeat("x", 255))
		}),
		"hash with a blank after":   with(func(c *gormkey.Credentials) { c.Password, c.PasswordHash = "", oldHash+" " }),
		"provider that is not text": with(func(c *gormkey.Credentials) { c.Provider = "é" }),
	} {
		for _, verbs := range []map[string]func(c gormkey.Credentials) error{storing, using} {
			for verb, call := range verbs {
				refused(verb+", "+what, call(bad))
			}
		}
	}
	for verb, call := range storing {
		refused(verb+", no password", call(with(func(c *gormkey.Credentials) { c.Password = "" })))
		refused(verb+", short password", call(with(func(c *gormkey.Credentials) { c.Password = "1234567" })))
	}
	for verb, call := range using {
		refused(verb+", a hash for a password", call(with(func(c *gormkey.Credentials) { c.Password, c.PasswordHash = "", oldHash })))
	}
	sessions := map[string]func(id gormkey.SessionID) error{
		"InvalidateSession":       func(id gormkey.SessionID) error { return auth.InvalidateSession(ctx, id) },
		"InvalidateUserSession":   func(id gormkey.SessionID) error { return auth.InvalidateUserSession(ctx, ada.ID, id) },
		"InvalidateOtherSessions": func(id gormkey.SessionID) error { return auth.InvalidateOtherSessions(ctx, ada.ID, id) },
		"UpdateSessionAttributes": func(id gormkey.SessionID) error { _, err := auth.UpdateSessionAttributes(ctx, id, nil); return err },
	}
	for verb, call := range sessions {
		for what, id := range badTexts(128) {
			refused(verb+", session id: "+what, call(gormkey.SessionID(id)))
		}
	}
	refused("ChangePassword, kept session", func() error {
		_, err := auth.ChangePassword(ctx, email(ada.Email), "a\x00")
		return err
	}())
	var nilContext context.Context
	refused("nil context", func() error { _, err := auth.GetUser(nilContext, ada.ID); return err }())
	refused("nil context", func() error { _, err := auth.ValidateSession(nilContext, session.Token); return err }())
	refused("nil context", auth.CreateUser(nilContext, &account{Email: "q"}, email("q")))
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
	f := s.accounts(gormkey.WithUserIDLength(64))
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
		equal(s, c.name+": key id", keys[0].ProviderUserID(), c.keyID)
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
	auth, err := gormkey.From[account](f.db)
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
		{"nil", nil, gormkey.ErrInvalidArgument},
		{"zero", &gorm.DB{}, gormkey.ErrInvalidArgument},
		{"DryRun", f.db.Session(&gorm.Session{DryRun: true}), gormkey.ErrDryRun},
		{"DryRun", f.db.Session(&gorm.Session{DryRun: true}), gorm.ErrDryRunModeUnsupported},
		{"Where", f.db.Where("1 = 0"), gormkey.ErrInvalidArgument},
		{"Model", f.db.Model(&account{}), gormkey.ErrInvalidArgument},
		{"Table", f.db.Table("x"), gormkey.ErrInvalidArgument},
		{"Unscoped", f.db.Unscoped(), gormkey.ErrInvalidArgument},
		{"Select", f.db.Select("id"), gormkey.ErrInvalidArgument},
		{"Omit", f.db.Omit("id"), gormkey.ErrInvalidArgument},
		{"Limit", f.db.Limit(1), gormkey.ErrInvalidArgument},
		{"Joins", f.db.Joins("User"), gormkey.ErrInvalidArgument},
		{"Preload", f.db.Preload("User"), gormkey.ErrInvalidArgument},
		{"Scopes", f.db.Scopes(func(tx *gorm.DB) *gorm.DB { return tx }), gormkey.ErrInvalidArgument},
		{"error", poisoned, poisoned.Error},
		{"other database", s.again(f.db), gormkey.ErrNotRegistered},
	} {
		if _, err := gormkey.From[account](c.db); !isErr(err, c.want) {
			s.Errorf("From a handle with %s: got %v, want %v", c.name, err, c.want)
		}
		want := c.want
		if c.name == "other database" {
			want = gormkey.ErrInvalidArgument
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
		auth, err := gormkey.From[account](db)
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
	p := newPlugin[account](s)
	must(s, closed.Use(p))
	auth, err := gormkey.From[account](closed)
	must(s, err)
	pool, _ := closed.DB()
	if shared, _ := f.db.DB(); shared == pool {
		return // a dialector over the application's pool: closing it would close the case's too
	}
	must(s, pool.Close())
	for what, call := range map[string]func() error{
		"ValidateSession": func() error { _, err := auth.ValidateSession(ctx, session.Token); return err },
		"CreateSession":   func() error { _, err := auth.CreateSession(ctx, ada.ID); return err },
		"DeleteUser":      func() error { return auth.DeleteUser(ctx, ada.ID) },
	} {
		if err := call(); !isErr(err, gormkey.ErrInvalidArgument) {
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
