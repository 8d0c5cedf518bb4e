package gormkeytest

import (
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtype"
)

var factCases = []testCase{
	{"fact/R47 each door writes them", factDoors},
	{"fact/R47 nothing else writes them", factWriters},
	{"fact/R47 turned on later", factLater},
	{"fact/R125 without the option there are none", factOff},
	{"fact/R129 on Lucia's tables", factLucia},
	{"fact/R118 who is not remembered", factRemembered},
	{"fact/R119 remembering is no proof", factRememberedProof},
}

// withFacts opens a database whose sessions have facts, with one-time tokens.
func (s *suite) withFacts(opts ...gormkey.Option) *accounts {
	s.Helper()
	return s.withTokens(append([]gormkey.Option{gormkey.WithSessionFacts()}, opts...)...)
}

// facts are those of a session, in a form to compare.
type facts struct {
	opened, authenticated, factor gormkey.UnixMilli
	methods                       authtype.Methods
	remembered                    string
}

func factsOf[P any](session *gormkey.SessionOf[P]) facts {
	f := facts{session.OpenedAt, session.AuthenticatedAt, session.FactorAt, session.Methods, "NULL"}
	if session.Remembered != nil {
		f.remembered = map[bool]string{true: "yes", false: "no"}[*session.Remembered]
	}
	return f
}

func factDoors(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	must(s, second(f.AddKey(ctx, ada.ID, gormkey.Proved("github", "1"))))
	now := gormkey.UnixMilli(f.clock.Now().UnixMilli())
	mail := func(set ...func(*device)) (*device, error) {
		token, err := f.IssueToken(ctx, ada.ID, gormkey.PurposeMagicLink, "", hour)
		must(s, err)
		return f.SignInWithToken(ctx, token, set...)
	}
	signIn := func(c gormkey.Credentials) func(...func(*device)) (*device, error) {
		return func(set ...func(*device)) (*device, error) { return f.SignIn(ctx, c, set...) }
	}
	open := func(set ...func(*device)) (*device, error) { return f.OpenSession(ctx, ada.ID, set...) }
	by := func(methods ...authtype.Method) []func(*device) { return []func(*device){f.By(methods...)} }
	planted := func(d *device) {
		d.OpenedAt, d.AuthenticatedAt, d.FactorAt, d.Methods = now+9e9, now+9e9, now+9e9, "otp pwd"
	}
	for name, door := range map[string]struct {
		open func(...func(*device)) (*device, error)
		set  []func(*device)
		want facts
	}{
		"SignIn":                         {signIn(email(ada.Email)), nil, facts{now, now, 0, "pwd", "NULL"}},
		"SignIn, whatever By says":       {signIn(email(ada.Email)), by(authtype.MethodOTP), facts{now, now, 0, "pwd", "NULL"}},
		"SignIn, whatever is planted":    {signIn(email(ada.Email)), []func(*device){planted}, facts{now, now, 0, "pwd", "NULL"}},
		"SignIn, remembered":             {signIn(email(ada.Email)), []func(*device){f.Remembered(true)}, facts{now, now, 0, "pwd", "yes"}},
		"SignIn, not remembered":         {signIn(email(ada.Email)), []func(*device){f.Remembered(false)}, facts{now, now, 0, "pwd", "no"}},
		"SignIn by GitHub":               {signIn(gormkey.Proved("github", "1")), nil, facts{now, now, 0, "fed", "NULL"}},
		"SignIn by GitHub, two factors":  {signIn(gormkey.Proved("github", "1")), by(authtype.MethodFederationMFA), facts{now, now, 0, "fed-mfa", "NULL"}},
		"SignInWithToken":                {mail, nil, facts{now, now, 0, "mail", "NULL"}},
		"SignInWithToken, remembered":    {mail, []func(*device){f.Remembered(true)}, facts{now, now, 0, "mail", "yes"}},
		"OpenSession":                    {open, nil, facts{now, 0, 0, "", "NULL"}},
		"OpenSession, planted":           {open, []func(*device){planted}, facts{now, 0, 0, "", "NULL"}},
		"OpenSession by a password":      {open, by(authtype.MethodPassword), facts{now, now, 0, "pwd", "NULL"}},
		"OpenSession by a passkey":       {open, by(authtype.MethodPasskeyUV), facts{now, now, now, "passkey-uv", "NULL"}},
		"OpenSession by two":             {open, by(authtype.MethodPassword, authtype.MethodOTP), facts{now, now, now, "otp pwd", "NULL"}},
		"OpenSession by a known device":  {open, by(authtype.MethodDevice), facts{now, 0, 0, "device", "NULL"}},
		"OpenSession, Remembered, twice": {open, []func(*device){f.Remembered(true), f.Remembered(false)}, facts{now, 0, 0, "", "no"}},
	} {
		session, err := door.open(door.set...)
		must(s, err)
		equal(s, name, factsOf(&session.Session), door.want)
		stored, err := f.ValidateSession(ctx, session.Token)
		must(s, err)
		equal(s, name+", stored", factsOf(&stored.Session), door.want)
		// R64: none shown is the empty text, and NULL is a row that something else wrote.
		equal(s, name+", rows with methods", count(s, f.db, "user_session", "id = ? AND methods IS NOT NULL", string(session.ID)), 1)
		wantRows := int64(1)
		if door.want.factor > 0 {
			wantRows = 0
		}
		equal(s, name+", rows without a second factor", count(s, f.db, "user_session", "id = ? AND factor_at IS NULL", string(session.ID)), wantRows)
	}
	_, err := f.OpenSession(ctx, ada.ID, f.By("password"))
	wantErr(s, "an unknown method", err, gormkey.ErrUsage)
}

func factWriters(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email), f.Remembered(true))
	must(s, err)
	want := factsOf(&session.Session)
	check := func(what string) {
		s.Helper()
		stored, err := f.GetSession(ctx, session.Token)
		must(s, err)
		equal(s, what, factsOf(&stored.Session), want)
	}
	for range 3 {
		f.clock.Advance(ActivePeriod + time.Second)
		renewed, err := f.ValidateSession(ctx, session.Token)
		must(s, err)
		equal(s, "renewed", renewed.Fresh, true)
		check("after a renewal")
	}
	for _, name := range []string{"opened_at", "authenticated_at", "factor_at", "methods", "remembered", "AuthenticatedAt", "Methods"} {
		_, err := f.UpdateSessionAttributes(ctx, session.ID, map[string]any{name: nil})
		wantErr(s, name, err, gormkey.ErrInvalidArgument)
	}
	check("after UpdateSessionAttributes")
	changed := *session
	changed.AuthenticatedAt, changed.Methods, changed.Country = want.authenticated+1, "otp pwd", "NO"
	must(s, f.db.WithContext(ctx).Omit("User").Save(&changed).Error)
	stored, err := f.GetSession(ctx, session.Token)
	must(s, err)
	equal(s, "own column after Save", stored.Country, "NO")
	check("after Save")
	must(s, f.db.WithContext(ctx).Model(&device{Session: gormkey.Session[account]{ID: session.ID}}).Updates(&device{Session: gormkey.Session[account]{AuthenticatedAt: 9, Methods: "otp"}, Country: "SE"}).Error)
	check("after Updates")
	// A row that GORM writes for the application has none.
	token := newToken()
	now := gormkey.UnixMilli(f.clock.Now().UnixMilli())
	row := &device{Session: gormkey.Session[account]{ID: token.ID(), UserID: ada.ID, ActiveExpires: now + 1e6, IdleExpires: now + 2e6, AuthenticatedAt: now, Methods: "pwd"}}
	must(s, f.db.WithContext(ctx).Omit("User").Create(row).Error)
	created, err := f.ValidateSession(ctx, token)
	must(s, err)
	equal(s, "facts of a row of the application's", factsOf(&created.Session), facts{0, 0, 0, "", "NULL"})
	equal(s, "rows without methods", count(s, f.db, "user_session", "methods IS NULL"), 1)
	// A word that is no method counts as nothing.
	must(s, f.db.WithContext(ctx).Exec("UPDATE user_session SET methods = 'root pwd  otp ' WHERE methods IS NOT NULL").Error)
	read, err := f.GetSession(ctx, session.Token)
	must(s, err)
	equal(s, "methods", read.Methods, "otp pwd")
}

// factLater: an application turns the facts on. Nobody is signed out, and old sessions are
// never recent.
func factLater(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	before, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	later := openAccounts(s, s.again(f.db), gormkey.WithSessionFacts(), gormkey.WithClock(f.clock.Now))
	old, err := later.ValidateSession(ctx, before.Token)
	must(s, err)
	equal(s, "facts of an old session", factsOf(&old.Session), facts{0, 0, 0, "", "NULL"})
	equal(s, "an old session is recent", old.RecentWithin(f.clock.Now(), 24*time.Hour), false)
	// The older process goes on.
	opened, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	seen, err := later.ValidateSession(ctx, opened.Token)
	must(s, err)
	equal(s, "facts of an older process's session", factsOf(&seen.Session), facts{0, 0, 0, "", "NULL"})
	fresh, err := later.SignIn(ctx, email(ada.Email))
	must(s, err)
	must(s, second(f.ValidateSession(ctx, fresh.Token)))
	must(s, second(later.Reauthenticate(ctx, before.Token, email(ada.Email))))
}

func factOff(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	for _, name := range []string{"opened_at", "authenticated_at", "factor_at", "methods", "remembered"} {
		equal(s, name, f.db.Migrator().HasColumn("user_session", name), false)
	}
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	equal(s, "facts", factsOf(&session.Session), facts{0, 0, 0, "", "NULL"})
	before := snapshot(s, f)
	_, err = f.SignIn(ctx, email(ada.Email), f.Remembered(false))
	wantErr(s, "Remembered", err, gormkey.ErrUsage)
	_, err = f.OpenSession(ctx, ada.ID, f.By(authtype.MethodPassword))
	wantErr(s, "By", err, gormkey.ErrUsage)
	_, err = f.Reauthenticate(ctx, session.Token, email(ada.Email))
	wantErr(s, "Reauthenticate", err, gormkey.ErrUsage)
	wantErr(s, "As", f.As(session, time.Hour).DeleteUser(ctx, ada.ID), gormkey.ErrUsage)
	equal(s, "rows", snapshot(s, f), before)
}

// factLucia: the columns are added to a Lucia's table, which Lucia does not mind, since it
// names the columns that it writes.
func factLucia(s *suite) {
	for _, schema := range ofDialect(s) {
		clock := NewClock()
		db, plugin := luciaTables(s, schema, gormkey.WithClock(clock.Now), gormkey.WithSessionFacts())
		must(s, db.Use(plugin))
		must(s, plugin.AutoMigrate(db))
		auth, err := plugin.Repository()
		must(s, err)
		ctx := s.Context()
		u := &reader{Username: "ada"}
		must(s, auth.CreateUser(ctx, u, email("ada")))
		lucia := "lucia" + string(newToken())[5:]
		now := clock.Now().UnixMilli()
		must(s, db.Exec("INSERT INTO user_session (id, user_id, active_expires, idle_expires) VALUES (?, ?, ?, ?)", lucia, u.ID, now+1e6, now+2e6).Error)
		old, err := auth.ValidateSession(ctx, gormkey.Token(lucia))
		must(s, err)
		equal(s, schema.name+": facts of Lucia's session", factsOf(&old.Session), facts{0, 0, 0, "", "NULL"})
		session, err := auth.Reauthenticate(ctx, gormkey.Token(lucia), email("ada"))
		must(s, err)
		equal(s, schema.name+": id in the row", string(session.ID), string(session.Token))
		stored, err := auth.ValidateSession(ctx, session.Token)
		must(s, err)
		equal(s, schema.name+": methods", stored.Methods, "pwd")
		_, err = auth.ValidateSession(ctx, gormkey.Token(lucia))
		wantErr(s, schema.name+": the old token", err, gormkey.ErrInvalidSession)
		must(s, second(auth.As(session, 10*time.Minute).AddKey(ctx, u.ID, gormkey.Proved("github", "1"))))
	}
}

func factRemembered(s *suite) {
	const day = 24 * time.Hour
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	for name, c := range map[string]struct {
		set          []func(*device)
		active, idle time.Duration
	}{
		"not chosen": {nil, ActivePeriod, ActivePeriod + IdlePeriod},
		"yes":        {[]func(*device){f.Remembered(true)}, ActivePeriod, ActivePeriod + IdlePeriod},
		"no":         {[]func(*device){f.Remembered(false)}, min(ActivePeriod, 12*time.Hour), day},
	} {
		session, err := f.SignIn(ctx, email(ada.Email), c.set...)
		must(s, err)
		want := factsOf(&session.Session).remembered
		for step := range 4 {
			now := f.clock.Now()
			equal(s, name+": active", session.ActiveExpires.Time(), now.Add(c.active).UTC())
			equal(s, name+": idle", session.IdleExpires.Time(), now.Add(c.idle).UTC())
			if step == 2 {
				session, err = f.Reauthenticate(ctx, session.Token, email(ada.Email))
			} else {
				f.clock.Advance(c.active + time.Millisecond)
				session, err = f.ValidateSession(ctx, session.Token)
			}
			must(s, err)
			equal(s, name+": remembered", factsOf(&session.Session).remembered, want)
		}
		f.clock.Advance(c.idle + time.Millisecond)
		_, err = f.ValidateSession(ctx, session.Token)
		wantErr(s, name+": unused for longer", err, gormkey.ErrInvalidSession)
	}
	short := openAccounts(s, s.newDB(s.T), gormkey.WithSessionFacts(), gormkey.WithSessionPeriods(time.Hour, 2*time.Hour))
	ada = signUp(s, short, "ada")
	session, err := short.SignIn(ctx, email(ada.Email), short.Remembered(false))
	must(s, err)
	equal(s, "periods under a day", session.IdleExpires.Time(), short.clock.Now().Add(3*time.Hour).UTC())
}

func factRememberedProof(s *suite) {
	f := s.withFacts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.OpenSession(ctx, ada.ID, f.Remembered(true))
	must(s, err)
	equal(s, "recent", session.RecentWithin(f.clock.Now(), 24*time.Hour), false)
	wantErr(s, "as", f.As(session, 24*time.Hour).DeleteUser(ctx, ada.ID), gormkey.ErrNotRecent)
	signedIn, err := f.SignIn(ctx, email(ada.Email), f.Remembered(true))
	must(s, err)
	f.clock.Advance(ActivePeriod + IdlePeriod + time.Millisecond)
	_, err = f.ValidateSession(ctx, signedIn.Token)
	wantErr(s, "after its end", err, gormkey.ErrInvalidSession)
}
