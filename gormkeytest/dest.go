package gormkeytest

import (
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
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
	with := func(token gormkey.Token) func(*device) { return func(d *device) { d.Token = token } }
	must(s, second(f.OpenSession(ctx, ada.ID, with(token))))

	session, err := f.OpenSession(ctx, ada.ID, with(token))
	wantErr(s, "taken token", err, gormkey.ErrDuplicateSession)
	equal(s, "session of a taken token", session, nil)
	session, err = f.OpenSession(ctx, "nobody")
	wantErr(s, "nobody", err, gormkey.ErrUserNotFound)
	equal(s, "session of nobody", session, nil)

	key, err := f.AddKey(ctx, ada.ID, email(ada.Email))
	wantErr(s, "taken key", err, gormkey.ErrDuplicateKey)
	equal(s, "taken key", key, nil)
	key, err = f.AddKey(ctx, "nobody", email("x"))
	wantErr(s, "key of nobody", err, gormkey.ErrUserNotFound)
	equal(s, "key of nobody", key, nil)

	user := account{Email: ada.Email}
	userCame := user
	wantErr(s, "taken email", f.CreateUser(ctx, &user), gormkey.ErrDuplicateAttribute)
	equal(s, "user of a taken email", user, userCame)
	equal(s, "rows", rows(s, f.db), [3]int64{1, 1, 1})
	stored, err := f.GetSession(ctx, token)
	must(s, err)
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
	f := openOf[changing, countedLogin, countedDevice](s, s.newDB(s.T))
	ctx := s.Context()
	ada := &changing{Name: "ada"}
	must(s, f.CreateUser(ctx, ada, email("ada")))
	recorder := record(f.db)
	auth, err := gormkey.FromOf[changing, countedLogin, countedDevice](f.db)
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
	session, err := auth.OpenSession(ctx, ada.ID, as(countedDevice{UserAgent: "phone"}))
	must(s, err)
	equal(s, "session after two retries", session.UserAgent, "phone!")
	key, err := auth.AddKey(ctx, ada.ID, email("more"), as(countedLogin{Label: "work"}))
	must(s, err)
	equal(s, "key after two retries", key.Label, "work!")
	equal(s, "tries", tries, 6)
}

// signInBusy: with no place and no time to wait the answer is ErrBusy, for whoever asks.
func signInBusy(s *suite) {
	limiter := password.NewLimiter(1, 1, time.Nanosecond)
	f := s.withTokens(gormkey.WithPasswordLimiter(limiter))
	ctx := s.Context()
	ada := signUp(s, f, "ada")
	_, err := f.OpenSession(ctx, ada.ID)
	must(s, err)
	reset := issue(s, f, ada.ID, gormkey.PurposeResetPassword, "email:"+ada.Email)
	before := snapshot(s, f)
	must(s, limiter.Do(ctx, func() error {
		for what, call := range map[string]func() error{
			"SignIn":            func() error { return second(f.SignIn(ctx, email(ada.Email))) },
			"SignIn of nobody":  func() error { return second(f.SignIn(ctx, email("nobody"))) },
			"UseKey":            func() error { return second(f.UseKey(ctx, email(ada.Email))) },
			"CreateUser":        func() error { return f.CreateUser(ctx, &account{Email: "b"}, email("b")) },
			"AddKey":            func() error { return second(f.AddKey(ctx, ada.ID, email("b"))) },
			"OverwritePassword": func() error { return second(f.OverwritePassword(ctx, email(ada.Email), "")) },
			"ChangePassword":    func() error { return second(f.OverwritePassword(ctx, email(ada.Email), "")) },
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
	f := s.accounts(gormkey.WithHook(func(tx *gorm.DB, e event.Event) error {
		if e.Type == event.SignInFailed {
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
