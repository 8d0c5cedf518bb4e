package gormkeytest

import (
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/password"
)

// destCases are about what an operation that fails, or that is tried again, leaves behind in
// Go and in the transaction around it.
var destCases = []testCase{
	{"input/a struct is as it came after an error", destAfterError},
	{"fault/R35 hooks of sessions and keys on each try", destOnEachTry},
	{"sign-in/too many hash at once", signInBusy},
	{"transaction/R38 a hook of a failed sign-in fails", transactionFailedHook},
}

func destAfterError(s *suite) {
	f := s.accounts(gormkey.WithOneTimeTokens())
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	token := newToken()
	must(s, f.CreateSessionInto(ctx, ada.ID, &device{Session: gormkey.Session[account]{Token: token}}))

	session := device{Session: gormkey.Session[account]{Token: token}, Country: "NO"}
	came := session
	wantErr(s, "taken token", f.CreateSessionInto(ctx, ada.ID, &session), gormkey.ErrDuplicateSession)
	equal(s, "session of a taken token", session, came)
	session.Token = ""
	came = session
	wantErr(s, "nobody", f.CreateSessionInto(ctx, "nobody", &session), gormkey.ErrInvalidUser)
	equal(s, "session of nobody", session, came)

	key := login{Label: "phone"}
	keyCame := key
	wantErr(s, "taken key", f.CreateKeyInto(ctx, ada.ID, email(ada.Email), &key), gormkey.ErrDuplicateKey)
	equal(s, "taken key", key, keyCame)
	wantErr(s, "key of nobody", f.CreateKeyInto(ctx, "nobody", email("x"), &key), gormkey.ErrInvalidUser)
	equal(s, "key of nobody", key, keyCame)

	user := account{Email: ada.Email}
	userCame := user
	wantErr(s, "taken email", f.CreateUser(ctx, &user), gormkey.ErrDuplicateAttribute)
	equal(s, "user of a taken email", user, userCame)

	// What is read into is empty after an error.
	session = device{UserAgent: "left over"}
	wantErr(s, "GetSessionInto", f.GetSessionInto(ctx, gormkey.Token(strings.Repeat("u", 40)), &session), gormkey.ErrInvalidSession)
	equal(s, "GetSessionInto", session, device{})
	session = device{UserAgent: "left over"}
	wantErr(s, "UpdateSessionAttributesInto", f.UpdateSessionAttributesInto(ctx, "nosuch", map[string]any{"Country": "SE"}, &session), gormkey.ErrInvalidSession)
	equal(s, "UpdateSessionAttributesInto", session, device{})
	key = login{Label: "left over"}
	wantErr(s, "GetKeyInto", f.GetKeyInto(ctx, "email", "nobody", &key), gormkey.ErrInvalidKey)
	equal(s, "GetKeyInto", key, login{})

	type stranger struct{ gormkey.Session[account] }
	for what, err := range map[string]error{
		"CreateSessionInto":           f.CreateSessionInto(ctx, ada.ID, &stranger{}),
		"SignInInto":                  f.SignInInto(ctx, email(ada.Email), &stranger{}),
		"SignInWithTokenInto":         f.SignInWithTokenInto(ctx, token, &stranger{}),
		"GetSessionInto":              f.GetSessionInto(ctx, token, &stranger{}),
		"UpdateSessionAttributesInto": f.UpdateSessionAttributesInto(ctx, token.ID(), map[string]any{"Country": "SE"}, &stranger{}),
		"SignInInto nothing":          f.SignInInto(ctx, email(ada.Email), (*device)(nil)),
		"GetKeyInto nothing":          f.GetKeyInto(ctx, "email", ada.Email, (*login)(nil)),
	} {
		wantErr(s, what, err, gormkey.ErrInvalidArgument)
	}
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 1})
	var stored device
	must(s, f.GetSessionInto(ctx, token, &stored))
	equal(s, "country", stored.Country, "XX")
}

// countedDevice and countedLogin are changed by their hooks.
type countedDevice struct {
	gormkey.Session[changing]
	UserAgent string `gorm:"size:64"`
}

// BeforeCreate appends to the name of the program.
func (d *countedDevice) BeforeCreate(*gorm.DB) error {
	d.UserAgent += "!"
	return nil
}

type countedLogin struct {
	gormkey.Key[changing]
	Label string `gorm:"size:64"`
}

// BeforeCreate appends to the label.
func (l *countedLogin) BeforeCreate(*gorm.DB) error {
	l.Label += "!"
	return nil
}

// destOnEachTry: a hook sees the struct as the caller passed it, however often it runs.
func destOnEachTry(s *suite) {
	f := open[changing](s, s.newDB(s.T), gormkey.WithKeyModel(&countedLogin{}), gormkey.WithSessionModel(&countedDevice{}))
	ctx := s.Context()
	ada := &changing{Name: "ada"}
	must(s, f.CreateUser(ctx, ada, email("ada")))
	recorder := record(f.db)
	auth, err := gormkey.From[changing](f.db)
	must(s, err)
	tries := 0
	recorder.inject = func(sql string) error {
		if strings.HasPrefix(sql, "INSERT") {
			if tries++; tries%3 != 0 {
				return codedError("40001")
			}
		}
		return nil
	}
	session := &countedDevice{UserAgent: "phone"}
	must(s, auth.CreateSessionInto(ctx, ada.ID, session))
	equal(s, "session after two retries", session.UserAgent, "phone!")
	key := &countedLogin{Label: "work"}
	must(s, auth.CreateKeyInto(ctx, ada.ID, email("more"), key))
	equal(s, "key after two retries", key.Label, "work!")
	equal(s, "tries", tries, 6)
}

// signInBusy: with no place and no time to wait the answer is ErrBusy, for whoever asks.
func signInBusy(s *suite) {
	limiter := password.NewLimiter(1, 1, time.Nanosecond)
	f := s.withTokens(gormkey.WithPasswordLimiter(limiter))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	_, err := f.CreateSession(ctx, ada.ID)
	must(s, err)
	reset := issue(s, f, ada.ID, gormkey.ResetPassword, "email:"+ada.Email)
	before := snapshot(s, f)
	must(s, limiter.Do(ctx, func() error {
		for what, call := range map[string]func() error{
			"SignIn":            func() error { return second(f.SignIn(ctx, email(ada.Email))) },
			"SignIn of nobody":  func() error { return second(f.SignIn(ctx, email("nobody"))) },
			"UseKey":            func() error { return second(f.UseKey(ctx, email(ada.Email))) },
			"CreateUser":        func() error { return f.CreateUser(ctx, &account{Email: "b"}, email("b")) },
			"CreateKey":         func() error { return second(f.CreateKey(ctx, ada.ID, email("b"))) },
			"UpdateKeyPassword": func() error { return second(f.UpdateKeyPassword(ctx, email(ada.Email))) },
			"ChangePassword":    func() error { return second(f.ChangePassword(ctx, email(ada.Email), "")) },
			"ResetPassword":     func() error { return second(f.ResetPassword(ctx, reset, "a new password")) },
		} {
			wantErr(s, what, call(), gormkey.ErrBusy)
		}
		_, err := f.ResetPassword(ctx, newToken(), "a new password")
		wantErr(s, "ResetPassword with no token, which hashes nothing", err, gormkey.ErrInvalidToken)
		return nil
	}))
	if got := snapshot(s, f); got != before {
		s.Errorf("changed\n%s\nto\n%s", before, got)
	}
	_, err = f.ResetPassword(ctx, reset, "a new password")
	must(s, err)
}

// transactionFailedHook: what fails in the hook of a sign-in that failed is undone alone, and
// the caller's transaction goes on.
func transactionFailedHook(s *suite) {
	f := s.accounts(gormkey.WithHook(func(tx *gorm.DB, e gormkey.Event) error {
		if e.Type == gormkey.SignInFailed {
			return tx.Exec("SELECT nothing FROM nowhere").Error
		}
		return nil
	}))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	must(s, f.db.Transaction(func(tx *gorm.DB) error {
		wrong := email(ada.Email)
		wrong.Password = "wrong"
		_, err := f.With(tx).SignIn(ctx, wrong)
		wantErr(s, "wrong password", err, gormkey.ErrInvalidCredentials)
		if err == gormkey.ErrInvalidCredentials {
			s.Errorf("got only %v, want the hook's error joined to it", err)
		}
		_, err = f.With(tx).UpdateUserAttributes(ctx, ada.ID, map[string]any{"Name": "goes on"})
		return err
	}))
	user, err := f.GetUser(ctx, ada.ID)
	must(s, err)
	equal(s, "name", user.Name, "goes on")
}
