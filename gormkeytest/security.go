package gormkeytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

var securityCases = []testCase{
	{"security/values stay out of errors and logs", valueErrors},
	{"user/a column with a serializer", valueSerialized},
	{"security/R02 ids are byte-exact", securityExactIDs},
	{"security/R04 tokens are hashed at rest", securityAtRest},
	{"security/R39 no secret in logs, errors and prints", securityCanaries},
	{"security/R23 the whole password in NFKC", securityPasswords},
	{"security/R32 the database's error text stays inside", securityErrorText},
}

// pairs of ids that some collation takes for one.
var pairs = [][2]string{
	{"AbC", "abc"}, {"josé", "jose"}, {"e\u0301", "é"}, {"straße", "strasse"}, {"a", "ａ"}, {"k", "\u212a"}, {"i", "ı"}, {"I", "İ"},
	{"a\u200bb", "ab"}, {"a\u00adb", "ab"}, {"①", "1"}, {"ﬀ", "ff"}, {"a\u00a0b", "a b"}, {"æ", "ae"}, {"😀", "😁"}, {"a.b", "a b"},
	{"\u01c6", "dž"}, {"ﬁn", "fin"}, {"\u212b", "\u00c5"}, {"\u2126", "\u03a9"}, {"a\u034fb", "ab"}, {"ſ", "s"}, {"ÿ", "y"}, {"ll", "l\u200dl"},
}

func securityExactIDs(s *suite) {
	f := s.accounts(gormkey.WithUserIDLength(64))
	ctx := s.Context()
	for i, p := range pairs {
		name := fmt.Sprintf("%d-", i)
		owner := &account{User: gormkey.User{ID: name + p[0]}, Email: name + "owner"}
		must(s, f.CreateUser(ctx, owner, email(name+p[0])))
		session, err := f.OpenSession(ctx, owner.ID)
		must(s, err)
		for what, err := range map[string]error{
			"GetUser": second(f.GetUser(ctx, name+p[1])),
			"GetKey":  second(f.GetKey(ctx, keyID("email", name+p[1]))),
			"SignIn":  second(f.SignIn(ctx, email(name+p[1]))),
			"UpdateUserAttributes": second(f.UpdateUserAttributes(ctx, name+p[1], map[string]any{
				"Name": "changed",
			})),
			"OverwritePassword": second(f.OverwritePassword(ctx, email(name+p[1]), "")),
			"OpenSession":       second(f.OpenSession(ctx, name+p[1])),
		} {
			if err == nil {
				s.Errorf("%s: %q matched %q", what, p[1], p[0])
			}
		}
		must(s, f.DeleteUser(ctx, name+p[1]))
		must(s, f.RemoveKey(ctx, owner.ID, keyID("email", name+p[1]), gormkey.AllowLastKey()))
		must(s, f.EndAllSessions(ctx, name+p[1]))
		got, err := f.ValidateSession(ctx, session.Token)
		if err != nil || got.User.Name == "changed" {
			s.Errorf("%q: the owner's rows were touched: %v", p, err)
		}
		_, err = f.SignIn(ctx, email(name+p[0]))
		must(s, err)
		// The other one is free for somebody else.
		other := &account{User: gormkey.User{ID: name + p[1]}, Email: name + "other"}
		if err := f.CreateUser(ctx, other, email(name+p[1])); err != nil {
			s.Errorf("%q beside %q: %v", p[1], p[0], err)
		}
	}
	session, err := f.OpenSession(ctx, "0-AbC")
	must(s, err)
	for _, tail := range []string{"\xff", "\xff\xfe", "\xc3", "\x00", "\xed\xa0\x80", " "} {
		for what, err := range map[string]error{
			"EndSessionOfAnyone": f.EndSessionOfAnyone(ctx, session.ID+gormkey.SessionID(tail)), "GetUser": second(f.GetUser(ctx, "0-AbC"+tail)), "DeleteUser": f.DeleteUser(ctx, "0-AbC"+tail),
		} {
			wantErr(s, what+" with a tail", err, gormkey.ErrInvalidArgument)
		}
	}
	must(s, f.EndSessionOfAnyone(ctx, gormkey.SessionID(strings.ToUpper(string(session.ID)))))
	_, err = f.ValidateSession(ctx, session.Token)
	must(s, err)
	_, err = f.ValidateSession(ctx, gormkey.Token(strings.ToUpper(string(session.Token))))
	wantErr(s, "token in capitals", err, gormkey.ErrInvalidSession)
}

func second[T any](_ T, err error) error { return err }

// securityAtRest dumps the tables: no value in them is the token or signs in as one.
func securityAtRest(s *suite) {
	f := s.accounts()
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	session, err := f.SignIn(ctx, email(ada.Email))
	must(s, err)
	for _, table := range []string{"auth_user", "user_key", "user_session"} {
		var dump []map[string]any
		must(s, f.db.Table(table).Find(&dump).Error)
		for _, row := range dump {
			for column, value := range row {
				text := fmt.Sprint(value)
				if b, ok := value.([]byte); ok {
					text = string(b)
				}
				if strings.Contains(text, string(session.Token)) || strings.Contains(text, goodPassword) {
					s.Errorf("%s.%s holds a secret", table, column)
				}
				if _, err := f.ValidateSession(ctx, gormkey.Token(text)); !errors.Is(err, gormkey.ErrInvalidSession) {
					s.Errorf("%s.%s signs in: %v", table, column, err)
				}
			}
		}
	}
}

// logBuffer is a GORM logger at its most talkative.
type logBuffer struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *logBuffer) Printf(format string, args ...any) { _, _ = fmt.Fprintf(l, format+"\n", args...) }

func (l *logBuffer) LogMode(logger.LogLevel) logger.Interface { return l }
func (l *logBuffer) Info(_ context.Context, f string, a ...any) {
	l.Printf(f, a...)
}
func (l *logBuffer) Warn(_ context.Context, f string, a ...any)  { l.Printf(f, a...) }
func (l *logBuffer) Error(_ context.Context, f string, a ...any) { l.Printf(f, a...) }
func (l *logBuffer) Trace(_ context.Context, _ time.Time, fc func() (string, int64), err error) {
	sql, n := fc()
	l.Printf("%s [%d] %v", sql, n, err)
}

func securityCanaries(s *suite) {
	logs := new(logBuffer)
	db := s.newDB(s.T)
	db.Config.Logger = logger.New(logs, logger.Config{LogLevel: logger.Info, SlowThreshold: time.Nanosecond})
	f := openAccounts(s, db)
	ctx := s.Context()
	const canary = "canary-password-71f0"
	secrets := []string{canary}
	var shown bytes.Buffer
	show := func(values ...any) {
		for _, v := range values {
			_, _ = fmt.Fprintf(&shown, "%v %+v %#v %s %q %x %d\n", v, v, v, v, v, v, v)
			j, _ := json.Marshal(v)
			shown.Write(j)
			slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "v", v)
			slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "v", v)
		}
	}
	login := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: canary}
	ada := &account{Email: "ada@example.com"}
	must(s, f.CreateUser(ctx, ada, login))
	session, err := f.SignIn(ctx, login)
	must(s, err)
	key, err := f.GetKey(ctx, keyID("email", "ada@example.com"))
	must(s, err)
	secrets = append(secrets, string(session.Token), string(*key.HashedPassword), strings.Split(string(*key.HashedPassword), "$")[5])
	validated, err := f.ValidateSession(ctx, session.Token)
	must(s, err)
	show(login, session, *session, validated, session.Token, key, *key, *key.HashedPassword, ada)
	replacing := &device{}
	f.Replacing(session.Token)(replacing)
	show(replacing, *replacing)

	fail := func(err error) {
		if err == nil {
			s.Error("got no error from a call that should fail")
		}
		show(err)
		for e := err; e != nil; e = errors.Unwrap(e) {
			show(e.Error())
		}
	}
	wrong := login
	wrong.Password = canary + "x"
	fail(second(f.SignIn(ctx, wrong)))
	fail(second(f.SignIn(ctx, gormkey.Credentials{Provider: "email", ID: "nobody", Password: canary})))
	fail(f.CreateUser(ctx, &account{Email: "b"}, login))
	fail(f.CreateUser(ctx, &account{Email: "ada@example.com"}, login))
	fail(second(f.ValidateSession(ctx, session.Token+"x")))
	fail(second(f.AddKey(ctx, ada.ID, login)))
	fail(second(f.OpenSession(ctx, ada.ID, func(d *device) { d.Token = session.Token })))
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	fail(second(f.SignIn(cancelled, login)))
	fail(second(f.ValidateSession(cancelled, session.Token)))
	must(s, f.db.Exec("DROP TABLE user_session").Error)
	fail(second(f.ValidateSession(ctx, session.Token)))
	fail(second(f.SignIn(ctx, login)))
	fail(f.SignOut(ctx, session.Token))
	must(s, f.db.Exec("DROP TABLE user_key").Error)
	fail(second(f.OverwritePassword(ctx, login, "")))
	fail(f.CreateUser(ctx, &account{Email: "c"}, login))
	fail(f.db.Where("id = ?", session.Token).First(&gormkey.Session[account]{}).Error) // a token cannot be bound

	for _, secret := range secrets {
		if strings.Contains(logs.out.String(), secret) {
			s.Errorf("the log holds a secret of %d bytes", len(secret))
		}
		if i := strings.Index(shown.String(), secret); i >= 0 {
			s.Errorf("a print holds a secret of %d bytes: …%s", len(secret), shown.String()[max(0, i-80):i])
		}
	}
	if !strings.Contains(logs.out.String(), "user_session") || !strings.Contains(shown.String(), "redacted") {
		s.Error("the log or the prints are empty: the case shows nothing")
	}
}

func securityPasswords(s *suite) {
	f := s.accounts(gormkey.WithPasswordPolicy(password.MinLength(8))) // some of them are common
	ctx := s.Context()
	signUp(s, f, "ada")
	for _, c := range []struct {
		name, stored, typed string
		same                bool
	}{
		{"NFC and NFD", "caf\u00e9-caf\u00e9", "cafe\u0301-cafe\u0301", true},
		{"full width", "ｐassword1", "password1", true},
		{"NUL", "password\x001", "password", false},
		{"73rd byte", strings.Repeat("x", 72) + "a", strings.Repeat("x", 72) + "b", false},
		{"1000th byte", strings.Repeat("x", 999) + "a", strings.Repeat("x", 999) + "b", false},
		{"blank at the end", "password ", "password", false},
		{"case", "Password", "password", false},
		{"64 characters of four bytes", strings.Repeat("😀", 64), strings.Repeat("😀", 64), true},
	} {
		credentials := gormkey.Credentials{Provider: "email", ID: "ada@example.com", Password: c.stored}
		_, err := f.OverwritePassword(ctx, credentials, "")
		must(s, err)
		credentials.Password = c.typed
		_, err = f.SignIn(ctx, credentials)
		if c.same {
			must(s, err)
		} else {
			wantErr(s, c.name, err, gormkey.ErrInvalidCredentials)
		}
	}
}

// securityErrorText: a failed statement's text does not quote what was bound, and the
// driver's own error is there for errors.As.
func securityErrorText(s *suite) {
	f := s.accounts()
	ada := signUp(s, f, "ada")
	_, err := f.UpdateUserAttributes(s.Context(), ada.ID, map[string]any{"Role": gorm.Expr("nosuchfunction(?)", "bound-value-93")})
	var database *gormkey.DatabaseError
	if !errors.As(err, &database) || database.Op != "update user attributes" || errors.Unwrap(database) == nil {
		s.Fatalf("got %#v, want a DatabaseError with its cause", err)
	}
	if strings.Contains(err.Error(), "nosuchfunction") || strings.Contains(err.Error(), "bound-value-93") {
		s.Errorf("the text quotes the statement: %v", err)
	}

	// Nor does the log: it has the code. What is taken is an answer, and no error there.
	logs := new(logBuffer)
	auth, err := from(f.db.Session(&gorm.Session{Logger: logs}))
	must(s, err)
	_, err = auth.AddKey(s.Context(), ada.ID, email(ada.Email))
	wantErr(s, "taken key", err, gormkey.ErrDuplicateKey)
	statement := "INSERT"
	if s.vitess { // which looks before it locks
		statement = "SELECT"
	}
	if text := logs.out.String(); !strings.Contains(text, statement) || strings.Contains(text, "error") || strings.Contains(text, "nique") {
		s.Errorf("the log of a taken key: %s", text)
	}
	recorder := record(f.db)
	auth, err = from(f.db.Session(&gorm.Session{Logger: logs}))
	must(s, err)
	recorder.inject = func(string) error { return quotingError{} }
	_, err = auth.GetUser(s.Context(), ada.ID)
	recorder.inject = nil
	wantErr(s, "a failed statement", err, quotingError{})
	if text := logs.out.String(); !strings.Contains(text, "XX000") || strings.Contains(text, "bound-value-93") {
		s.Errorf("the log of a failed statement: %s", text)
	}
}

// quotingError is an error of a database that quotes what was bound.
type quotingError struct{}

func (quotingError) Error() string    { return "near bound-value-93" }
func (quotingError) SQLState() string { return "XX000" }
