package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/throttle"
)

// resetLifetime is for how long a link can be used.
const resetLifetime = time.Hour

func forgotForm(r *http.Request) *form {
	return &form{Action: "/forgot-password", Button: "Send me a link", Fields: []*field{emailField(r)}}
}

func (s *server) showForgot(w http.ResponseWriter, r *http.Request) {
	s.showForm(w, r, "forgot-password", "Forgot your password?", forgotForm(r))
}

// forgot does the same for an address that has an account and one that has none: it counts the
// request and queues a mail. In development it shows what would be mailed.
func (s *server) forgot(w http.ResponseWriter, r *http.Request) {
	f := forgotForm(r)
	email := f.email(r)
	if !f.Invalid() {
		if err := s.countReset(r, email); err != nil && !f.explain(w, err, "") {
			s.web.Error(w, r, err)
			return
		}
	}
	if f.Invalid() {
		s.showForm(w, r, "forgot-password", "Forgot your password?", f)
		return
	}
	secretPage(w)
	sent := struct{ Email, Link string }{Email: email}
	if s.dev {
		m, err := s.resetMail(r.Context(), email)
		if err != nil {
			s.web.Error(w, r, err)
			return
		}
		if m.To != "" {
			sent.Link = m.Text
		}
	} else {
		s.post(func(ctx context.Context) (mail, error) {
			m, err := s.resetMail(ctx, email)
			m.Text = "Choose a new password within an hour:\n\n" + m.Text + "\n\nIf you did not ask for this, do nothing."
			return m, err
		})
	}
	s.show(w, r, http.StatusOK, "link-sent", view{Title: "Look at your mail", Data: sent})
}

// countReset limits how many mails one address gets, and one client asks for. The throttle
// counts failures, so each request is taken for one.
func (s *server) countReset(r *http.Request, email string) error {
	client := throttle.Client{Address: s.web.ClientAddress(r)}
	err := s.limits.Do(r.Context(), "reset:"+email, client, func() error { return gormkey.ErrInvalidCredentials })
	if errors.Is(err, gormkey.ErrInvalidCredentials) {
		return nil
	}
	return err
}

// secretPage keeps a page whose address or text is a secret out of the Referer header and
// out of caches.
func secretPage(w http.ResponseWriter) {
	// With no-referrer a browser would send "Origin: null" with the form.
	w.Header().Set("Referrer-Policy", "strict-origin")
	w.Header().Set("Cache-Control", "no-store")
}

// resetMail makes a mail whose text is the link, or one to nobody. An older link stops
// working. For an address without an account it makes a link that nobody gets: otherwise
// somebody who sends requests all the time could tell by the worker's load who has one.
func (s *server) resetMail(ctx context.Context, email string) (mail, error) {
	key, err := s.auth.GetKey(ctx, gormkey.KeyID{Provider: "email", ID: email})
	to, userID, keyID := "", s.nobody, "email:nobody"
	switch {
	case err == nil:
		to, userID, keyID = key.KeyID().ID, key.UserID, key.ID
	case !errors.Is(err, gormkey.ErrKeyNotFound):
		return mail{}, err
	}
	token, err := s.auth.IssueToken(ctx, userID, gormkey.PurposeResetPassword, keyID, resetLifetime)
	switch {
	case errors.Is(err, gormkey.ErrUserNotFound): // deleted in between
		return mail{}, nil
	case err != nil:
		return mail{}, err
	}
	return mail{to, "A new password", s.site + "/reset-password?" + url.Values{"token": {string(token)}}.Encode()}, nil
}

func resetForm(token gormkey.Token) *form {
	return &form{Action: "/reset-password", Button: "Set password", Fields: []*field{
		passwordField("password", "New password", "new-password"),
	}, Hidden: []hidden{{"token", string(token)}}}
}

// showReset does not use the link up: programs that look at mail follow it too.
func (s *server) showReset(w http.ResponseWriter, r *http.Request) {
	secretPage(w)
	token := gormkey.Token(r.Form.Get("token"))
	_, err := s.auth.GetToken(r.Context(), gormkey.PurposeResetPassword, token)
	switch {
	case err == nil:
		s.showForm(w, r, "reset-password", "Choose a new password", resetForm(token))
	case errors.Is(err, gormkey.ErrInvalidToken):
		s.showExpired(w, r)
	default:
		s.web.Error(w, r, err)
	}
}

func (s *server) reset(w http.ResponseWriter, r *http.Request) {
	secretPage(w)
	token := gormkey.Token(r.PostForm.Get("token"))
	f := resetForm(token)
	chosen := f.newPassword(r, "password")
	if f.Invalid() {
		s.showForm(w, r, "reset-password", "Choose a new password", f)
		return
	}
	key, err := s.auth.ResetPassword(r.Context(), token, chosen)
	switch {
	case err == nil:
		_ = s.limits.Forget(r.Context(), key.ID) // the guesses were at the old one
		http.Redirect(w, r, "/sign-in?notice=password-reset", http.StatusSeeOther)
	case errors.Is(err, gormkey.ErrInvalidToken):
		s.showExpired(w, r)
	case f.explain(w, err, "password"):
		s.showForm(w, r, "reset-password", "Choose a new password", f)
	default:
		s.web.Error(w, r, err)
	}
}

func (s *server) showExpired(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusGone, "link-too-old", view{Title: "This link no longer works"})
}
