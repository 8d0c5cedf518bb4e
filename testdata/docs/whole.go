package page

import (
	"context"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"docs/kit"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/throttle"
)

// checkGuides: what stands below, under the name of a guide, is that guide's to the letter.
func checkGuides(t *testing.T) {
	t.Helper()
	mod, err := os.ReadFile("../go.mod")
	kit.Must(t, err)
	_, root, _ := strings.Cut(string(mod), "replace github.com/gormkey/gormkey => ")
	guides := filepath.Join(strings.TrimSpace(root), "docs", "guides")
	table, err := os.ReadFile(filepath.Join(guides, "whole.md"))
	kit.Must(t, err)
	source, err := os.ReadFile("../pages/whole/check.go")
	kit.Must(t, err)
	file, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	kit.Must(t, err)
	below, copied := strings.Index(string(source), "\n// These are in docs/guides/"), 0
	for _, d := range file.Decls {
		if int(d.Pos()) < below {
			continue
		}
		copied++
		code := string(source[d.Pos()-1 : d.End()-1])
		name := ""
		switch d := d.(type) {
		case *ast.FuncDecl:
			name = d.Name.Name
		case *ast.GenDecl:
			name = d.Specs[0].(*ast.TypeSpec).Name.Name
		}
		_, page, _ := strings.Cut(string(source[:d.Pos()])[strings.LastIndex(string(source[:d.Pos()]), "\n// These are in "):], "docs/guides/")
		page, _, _ = strings.Cut(page, ".md")
		guide, err := os.ReadFile(filepath.Join(guides, page+".md"))
		kit.Must(t, err)
		if !strings.Contains(string(guide), "\n"+code+"\n") {
			t.Errorf("%s is not that of %s.md:\n%s", name, page, code)
		}
		_, row, _ := strings.Cut(string(table), "("+page+".md) | ")
		row, _, _ = strings.Cut(row, "\n")
		if !strings.Contains(row, "`"+name+"`") {
			t.Errorf("%s is not in the row of %s.md: %s", name, page, row)
		}
	}
	if copied < 25 {
		t.Errorf("there are %d pieces of the guides", copied)
	}
}

func Check(t *testing.T) {
	checkGuides(t)
	box := kit.NewMails(t)
	a, err := newApp(kit.DSN(t), box.Send)
	kit.Must(t, err)
	kit.Close(t, a.db)
	jobs, cancel := context.WithCancel(t.Context())
	pace, hourly, ended := make(chan time.Time), make(chan time.Time), make(chan struct{}, 2)
	go func() { a.sendResets(jobs, pace); ended <- struct{}{} }()
	go func() { a.cleanUp(jobs, hourly); ended <- struct{}{} }()
	defer func() { cancel(); <-ended; <-ended }()
	hourly <- time.Now()

	ada := kit.Serve(t, a.routes())
	phone, eve := ada.Another(), ada.Another()
	post := func(b *kit.Browser, path string, want int, form ...string) {
		t.Helper()
		if status, body := b.Post(path, form...); status != want {
			t.Errorf("POST %s %v: got %d %q, want %d", path, form, status, body, want)
		}
	}
	get := func(b *kit.Browser, path string, want int) string {
		t.Helper()
		status, body := b.Get(path)
		if status != want {
			t.Errorf("GET %s: got %d %q, want %d", path, status, body, want)
		}
		return body
	}

	// Every route of a user asks for one.
	for _, path := range []string{"/verify", "/verify/resend", "/account/email", "/account/email/confirm", "/account/devices/end", "/account/devices/end-others"} {
		post(eve, path, 401)
	}
	for _, path := range []string{"/account", "/account/devices", "/admin/users"} {
		get(eve, path, 401)
	}

	// Sign up, in and out.
	post(ada, "/sign-up", 400, "email", "", "password", kit.Password)
	post(ada, "/sign-up", 303, "email", " Ada@Example.com", "password", kit.Password)
	kit.Equal(t, "account", get(ada, "/account", 200), "ada@example.com is signed in")
	_, first := box.Next()
	post(eve, "/sign-up", 409, "email", "ada@example.com", "password", kit.Password)
	post(ada, "/sign-out", 303)
	get(ada, "/account", 401)
	post(ada, "/sign-in", 303, "email", "ADA@example.com", "password", kit.Password)
	post(phone, "/sign-in", 303, "email", "ada@example.com", "password", kit.Password)

	// Verify; and the admin's page, which asks for both.
	get(ada, "/admin/users", 403)
	kit.Must(t, a.db.Model(&Account{}).Where("email = ?", "ada@example.com").Update("role", "admin").Error)
	get(ada, "/admin/users", 403)
	post(ada, "/verify/resend", 303)
	_, token := box.Next()
	if page := get(ada, "/verify?token="+token, 200); !strings.Contains(page, `value="`+token+`"`) || !strings.Contains(page, `action="?"`) {
		t.Errorf("the page of the link: %s", page)
	}
	post(ada, "/verify", 422, "token", first)
	post(ada, "/verify", 303, "token", token)
	var all []Account
	kit.Must(t, json.Unmarshal([]byte(get(ada, "/admin/users", 200)), &all))
	if len(all) != 1 || all[0].Email != "ada@example.com" || all[0].VerifiedAt == nil || all[0].CreatedAt.IsZero() {
		t.Errorf("users: got %+v", all)
	}

	// Devices, with the columns of each session.
	var devices []listed
	kit.Must(t, json.Unmarshal([]byte(get(ada, "/account/devices", 200)), &devices))
	kit.Equal(t, "devices", len(devices), 2)
	for _, d := range devices {
		if d.IP != "127.0.0.1" || d.UserAgent == "" || d.SeenAt.IsZero() {
			t.Errorf("device: %+v", d)
		}
		if !d.This {
			post(ada, "/account/devices/end", 303, "id", string(d.ID))
		}
	}
	get(phone, "/account", 401)
	post(phone, "/sign-in", 303, "email", "ada@example.com", "password", kit.Password)
	post(ada, "/account/devices/end-others", 303)
	get(phone, "/account", 401)

	// A new address, and then a new password by mail to it.
	post(ada, "/account/email", 303, "email", "Lovelace@example.com", "password", kit.Password)
	to, token := box.Next()
	kit.Equal(t, "mailed to", to, "lovelace@example.com")
	if page := get(ada, "/account/email/confirm?token="+token, 200); !strings.Contains(page, token) {
		t.Errorf("the page of the link: %s", page)
	}
	post(ada, "/account/email/confirm", 303, "token", token)
	to, _ = box.Next()
	kit.Equal(t, "the notice goes to", to, "ada@example.com")
	post(eve, "/forgot-password", 200, "email", "lovelace@example.com")
	pace <- time.Now()
	_, token = box.Next()
	if page := get(eve, "/reset-password?token="+token, 200); !strings.Contains(page, token) {
		t.Errorf("the page of the link: %s", page)
	}
	post(eve, "/reset-password", 303, "token", token, "password", "another good password")
	get(ada, "/account", 401)
	post(ada, "/sign-in", 401, "email", "lovelace@example.com", "password", kit.Password)
	post(ada, "/sign-in", 303, "email", "lovelace@example.com", "password", "another good password")

	// A mail that fails refuses no sign-up. And a new account is a member, with its device.
	a.mail = func(string, string, string) error { return errors.New("no mailer") }
	bob := eve.Another()
	post(bob, "/sign-up", 303, "email", "bob@example.com", "password", kit.Password)
	kit.Must(t, json.Unmarshal([]byte(get(bob, "/account/devices", 200)), &devices))
	if len(devices) != 1 || devices[0].IP == "" {
		t.Errorf("bob's devices: %+v", devices)
	}
	get(bob, "/admin/users", 403)
	kit.Must(t, a.db.Model(&Account{}).Where("email = ?", "bob@example.com").Update("verified_at", time.Now()).Error)
	get(bob, "/admin/users", 403) // verified, and no admin
	for range 30 {
		if status, _ := bob.Post("/sign-up", "email", kit.Password+time.Now().String(), "password", "short"); status == 429 {
			return
		}
	}
	t.Error("sign-ups are not counted")
}

// These are in docs/guides/sign-in.md.

func login(r *http.Request) gormkey.Credentials {
	email := gormkey.FoldEmail(r.PostFormValue("email")) // "Ada@…" and "ada@…" are one account
	return gormkey.Credentials{Provider: "email", ID: email, Password: r.PostFormValue("password")}
}

func (a *app) create(r *http.Request) (*Account, error) {
	c := login(r)
	account := &Account{Email: c.ID}
	err := a.web.CheckOrigin(r) // OpenSession asks too, but only after the account is made
	if err == nil {
		err = a.auth.CheckCredentials(c) // an impossible address is not counted
	}
	if err == nil {
		err = a.count(r, a.signUps, c.KeyID().String())
	}
	if err == nil {
		err = a.auth.CreateUser(r.Context(), account, c)
	}
	return account, err
}

func (a *app) count(r *http.Request, limits *throttle.Throttle, account string) error {
	client := throttle.Client{Address: a.web.ClientAddress(r)}
	err := limits.Do(r.Context(), account, client, func() error { return gormkey.ErrInvalidCredentials })
	if errors.Is(err, gormkey.ErrInvalidCredentials) {
		return nil
	}
	return err // a *throttle.Error is answered by 429
}

func (a *app) signOut(w http.ResponseWriter, r *http.Request) {
	a.answer(w, r, a.web.SignOut(w, r))
}

func (a *app) account(w http.ResponseWriter, r *http.Request) {
	_, _ = w.Write([]byte(a.web.User(r.Context()).Email + " is signed in\n")) // an *Account
}

func (a *app) answer(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		a.web.Error(w, r, err) // the status fits the error: see httpauth.Status
		return
	}
	http.Redirect(w, r, "/account", http.StatusSeeOther)
}

// These are in docs/guides/devices.md.

func (a *app) device(r *http.Request) func(*Device) {
	return func(d *Device) {
		agent := strings.ToValidUTF8(r.UserAgent(), "")
		d.UserAgent = strings.ToValidUTF8(agent[:min(len(agent), 255)], "") // as wide as the column
		d.IP = a.web.ClientAddress(r).String()
		d.SeenAt = time.Now()
	}
}

func (a *app) signIn(w http.ResponseWriter, r *http.Request) {
	_, err := a.web.SignIn(w, r, login(r), a.device(r))
	a.answer(w, r, err)
}

type listed struct {
	ID        gormkey.SessionID `json:"id"`
	UserAgent string            `json:"userAgent"`
	IP        string            `json:"ip"`
	SeenAt    time.Time         `json:"seenAt"`
	This      bool              `json:"this"`
}

func (a *app) devices(w http.ResponseWriter, r *http.Request) {
	this := a.web.Session(r.Context())
	sessions, err := a.auth.UserSessions(r.Context(), this.UserID)
	if err != nil {
		a.web.Error(w, r, err)
		return
	}
	list := []listed{}
	for _, d := range sessions {
		list = append(list, listed{d.ID, d.UserAgent, d.IP, d.SeenAt, d.ID == this.ID})
	}
	_ = json.NewEncoder(w).Encode(list)
}

func (a *app) endDevice(w http.ResponseWriter, r *http.Request) {
	id := gormkey.SessionID(r.PostFormValue("id"))
	err := a.auth.EndSession(r.Context(), a.web.User(r.Context()).ID, id)
	if errors.Is(err, gormkey.ErrInvalidSession) {
		err = nil // it has ended already; answered as an error it would send the user to the sign-in
	}
	a.answer(w, r, err)
}

func (a *app) endOthers(w http.ResponseWriter, r *http.Request) {
	this := a.web.Session(r.Context())
	a.answer(w, r, a.auth.EndOtherSessions(r.Context(), this.UserID, this.ID))
}

func (a *app) seen(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d := a.web.Session(r.Context()); time.Since(d.SeenAt) > time.Hour {
			_, err := a.auth.UpdateSessionAttributes(r.Context(), d.ID, map[string]any{"SeenAt": time.Now()})
			if err != nil {
				slog.WarnContext(r.Context(), "last seen", "error", err)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// These are in docs/guides/verify-email.md.

func (a *app) sendVerification(ctx context.Context, account *Account) error {
	token, err := a.auth.IssueToken(ctx, account.ID, gormkey.PurposeVerifyEmail, account.Email, 24*time.Hour)
	if err != nil {
		return err
	}
	return a.mail(account.Email, "Confirm your address", "https://example.com/verify?token="+string(token))
}

func (a *app) resend(w http.ResponseWriter, r *http.Request) {
	account := a.web.User(r.Context())
	err := a.countMail(r, account.Email)
	if err == nil && account.VerifiedAt == nil && account.Email != "" {
		err = a.sendVerification(r.Context(), account)
	}
	a.answer(w, r, err)
}

func (a *app) countMail(r *http.Request, to string) error {
	return a.count(r, a.mails, "mail:"+to)
}

func (a *app) verify(w http.ResponseWriter, r *http.Request) {
	me, token := a.web.User(r.Context()), gormkey.Token(r.PostFormValue("token"))
	_, err := a.auth.UseToken(r.Context(), gormkey.PurposeVerifyEmail, token, func(tx *gorm.DB, t *gormkey.OneTimeToken[Account]) error {
		if t.UserID != me.ID || t.Payload != t.User.Email {
			return gormkey.ErrInvalidToken // and the token stays as it was
		}
		return tx.Model(&Account{User: t.User.User}).Update("verified_at", time.Now()).Error
	})
	a.answer(w, r, err)
}

func (a *app) requireVerified(next http.Handler) http.Handler {
	return a.web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.web.User(r.Context()).VerifiedAt == nil {
			http.Error(w, "Confirm your address first", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// These are in docs/guides/reset-password.md.

func (a *app) forgot(w http.ResponseWriter, r *http.Request) {
	email := gormkey.FoldEmail(r.PostFormValue("email"))
	err := a.web.CheckOrigin(r)
	if err == nil {
		err = a.countMail(r, email)
	}
	if err != nil {
		a.web.Error(w, r, err)
		return
	}
	select {
	case a.queue <- email:
	default: // too many wait: the visitor can ask again
	}
	_, _ = w.Write([]byte("If there is an account with this address, you get a mail."))
}

func (a *app) sendResets(ctx context.Context, pace <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace: // of time.NewTicker(time.Second)
		}
		select {
		case email := <-a.queue:
			if err := a.sendReset(ctx, email); err != nil {
				slog.Error("password reset", "error", err)
			}
		default:
		}
	}
}

func (a *app) sendReset(ctx context.Context, email string) error {
	key := gormkey.KeyID{Provider: "email", ID: email}
	found, err := a.auth.GetKey(ctx, key)
	if errors.Is(err, gormkey.ErrKeyNotFound) || errors.Is(err, gormkey.ErrInvalidArgument) {
		return nil
	}
	if err != nil {
		return err
	}
	token, err := a.auth.IssueToken(ctx, found.UserID, gormkey.PurposeResetPassword, key.String(), time.Hour)
	if err != nil {
		return err
	}
	return a.mail(email, "Choose a new password", "https://example.com/reset-password?token="+string(token))
}

func (a *app) showReset(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Referrer-Policy", "strict-origin") // the URL holds the token
	w.Header().Set("Cache-Control", "no-store")
	token := gormkey.Token(r.FormValue("token"))
	if _, err := a.auth.GetToken(r.Context(), gormkey.PurposeResetPassword, token); err != nil {
		a.web.Error(w, r, err) // 422 for a link that was used or is too old
		return
	}
	_ = resetPage.Execute(w, string(token)) // a form with the token, hidden, and a new password
}

func (a *app) reset(w http.ResponseWriter, r *http.Request) {
	var key *gormkey.Key[Account]
	err := a.web.CheckOrigin(r)
	if err == nil {
		key, err = a.auth.ResetPassword(r.Context(), gormkey.Token(r.PostFormValue("token")), r.PostFormValue("password"))
	}
	if err != nil {
		a.web.Error(w, r, err)
		return
	}
	_ = a.limits.Forget(r.Context(), key.KeyID().String()) // the guesses were at the old password
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// These are in docs/guides/change-email.md.

func (a *app) askForEmail(w http.ResponseWriter, r *http.Request) {
	me, wanted := a.web.User(r.Context()), gormkey.FoldEmail(r.PostFormValue("email"))
	err := a.confirmPassword(r, me)
	if err == nil {
		err = a.countMail(r, wanted)
	}
	if err == nil {
		var token gormkey.Token
		token, err = a.auth.IssueToken(r.Context(), me.ID, gormkey.PurposeChangeEmail, wanted, time.Hour)
		if err == nil {
			err = a.mail(wanted, "Confirm your new address", "https://example.com/account/email/confirm?token="+string(token))
		}
	}
	a.answer(w, r, err)
}

func (a *app) confirmPassword(r *http.Request, me *Account) error {
	login := gormkey.Credentials{Provider: "email", ID: me.Email, Password: r.PostFormValue("password")}
	if err := a.auth.CheckCredentials(login); err != nil {
		return err
	}
	return a.limits.Do(r.Context(), login.KeyID().String(), a.web.KnownClient(r), func() error {
		_, err := a.auth.UseKey(r.Context(), login)
		return err
	})
}

func (a *app) changeEmail(w http.ResponseWriter, r *http.Request) {
	me, token := a.web.User(r.Context()), gormkey.Token(r.PostFormValue("token"))
	ctx, old := r.Context(), ""
	used, err := a.auth.UseToken(ctx, gormkey.PurposeChangeEmail, token, func(tx *gorm.DB, t *gormkey.OneTimeToken[Account]) error {
		if t.UserID != me.ID {
			return gormkey.ErrInvalidToken
		}
		old = t.User.Email
		key := gormkey.KeyID{Provider: "email", ID: old}
		if err := a.auth.With(tx).RenameKey(ctx, t.UserID, key, t.Payload); err != nil {
			return err // ErrDuplicateKey: somebody has the address by now
		}
		return tx.Model(&Account{User: t.User.User}).Updates(map[string]any{"email": t.Payload, "verified_at": time.Now()}).Error
	})
	if err == nil { // after the commit: the function above may run twice
		err = a.mail(old, "Your address was changed", "It is now "+used.Payload+". If that was not you, answer this mail.")
	}
	a.answer(w, r, err)
}

// These are in docs/guides/roles.md.

func (a *app) requireRole(role string, next http.Handler) http.Handler {
	return a.web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.web.User(r.Context()).Role != role {
			http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// These are in docs/guides/jobs.md.

func (a *app) cleanUp(ctx context.Context, hourly <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hourly: // of time.NewTicker(time.Hour)
		}
		_, err := a.auth.DeleteExpired(ctx) // sessions and one-time tokens
		for _, counts := range a.throttles() {
			_, countsErr := counts.DeleteExpired(ctx)
			err = errors.Join(err, countsErr)
		}
		if err != nil {
			slog.ErrorContext(ctx, "clean up", "error", err)
		}
	}
}
