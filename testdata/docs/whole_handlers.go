package page

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/throttle"
)

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
