package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

// resetLifetime is how long a link can be used.
const resetLifetime = time.Hour

func forgotForm(r *http.Request) *form {
	return &form{Path: "/forgot-password", Page: "forgot-password", Title: "Forgot your password?", Button: "Send me a link",
		Next: next(r), Fields: []*field{emailField(r, "username")}}
}

// showForgot knows the address of somebody who is signed in.
func (s *server) showForgot(w http.ResponseWriter, r *http.Request) {
	f := forgotForm(r)
	if account := s.web.User(r.Context()); account != nil {
		f.Fields[0].Value = account.Email
	}
	s.showForm(w, r, f)
}

// forgot does the same whether or not an account has the address: it counts the request and
// queues a mail.
func (s *server) forgot(w http.ResponseWriter, r *http.Request) {
	f := forgotForm(r)
	email := f.email(r)
	if !f.Invalid() {
		if err := s.countMail(r, gormkey.PurposeResetPassword, email); err != nil && !f.explain(err, "") {
			s.web.Error(w, r, err)
			return
		}
	}
	if f.Invalid() {
		s.sendBack(w, r, f)
		return
	}
	origin := event.OriginOf(s.web.Context(r))
	s.post(func(ctx context.Context) (mail, error) {
		return s.resetMail(event.WithOrigin(ctx, origin), email, f.Next)
	})
	f.Draft = s.keepDraft(w, draft{Email: email}) // for the words of the next page
	http.Redirect(w, r, f.Link("/forgot-password/sent"), http.StatusSeeOther)
}

func (s *server) showLinkSent(w http.ResponseWriter, r *http.Request) {
	d, _ := s.draft(r)
	f := form{Next: next(r), Draft: d.ID}
	s.show(w, r, http.StatusOK, "link-sent", view{Title: "Check your mail", Data: struct{ Email, SignIn string }{d.Email, f.Link("/sign-in")}})
}

// resetMail makes a mail with a link. An older link stops working. For an address without an
// account it makes a link that nobody gets: otherwise somebody who sends requests all the time
// could tell by the worker's load who has an account.
func (s *server) resetMail(ctx context.Context, email, next string) (mail, error) {
	key, err := s.auth.GetKey(ctx, gormkey.KeyID{Provider: "email", ID: email})
	to, userID, keyID := "", s.nobody, "email:nobody"
	switch {
	case err == nil:
		to, userID, keyID = email, key.UserID, key.ID
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
	return mail{To: to, Subject: "Choose a new password", Text: "With this link you can choose a new password. It works once, for an hour. If you did not ask for it, ignore this mail.",
		Link: s.site + address("/reset-password", "token", string(token), "next", next)}, nil
}

func resetForm(r *http.Request) *form {
	return &form{Path: "/reset-password", Page: "reset-password", Title: "Choose a new password", Button: "Set password",
		Token: r.Form.Get("token"), Next: next(r), Fields: []*field{passwordField("password", "New password", "new-password")}}
}

// showReset does not use the link up: programs that look at mail follow it too.
func (s *server) showReset(w http.ResponseWriter, r *http.Request) {
	secretPage(w)
	f := resetForm(r)
	t, err := s.auth.GetToken(r.Context(), gormkey.PurposeResetPassword, gormkey.Token(f.Token))
	switch {
	case err == nil:
		f.Username = t.User.Email
		s.showForm(w, r, f)
	case errors.Is(err, gormkey.ErrInvalidToken):
		s.showExpired(w, r, address("/forgot-password", "next", f.Next))
	default:
		s.web.Error(w, r, err)
	}
}

func (s *server) reset(w http.ResponseWriter, r *http.Request) {
	secretPage(w)
	f := resetForm(r)
	chosen := f.newPassword(r, "password")
	if f.Invalid() {
		s.sendBack(w, r, f)
		return
	}
	key, err := s.auth.ResetPassword(s.web.Context(r), gormkey.Token(f.Token), chosen)
	switch {
	case err == nil:
		_ = s.limits.Forget(r.Context(), key.ID) // the guesses were at the old one
		// The link proves the address too. If this fails, the account's page sends another link.
		_, _ = s.auth.UpdateUserAttributes(s.web.Context(r), key.UserID, map[string]any{"VerifiedAt": s.now()})
		f.Draft = s.keepDraft(w, draft{Email: key.KeyID().ID})
		s.setCookie(w, noticeCookie, "password-reset", time.Minute)
		http.Redirect(w, r, f.Link("/sign-in"), http.StatusSeeOther)
	case errors.Is(err, gormkey.ErrInvalidToken): // the link's own page says so
		http.Redirect(w, r, address(f.Path, "token", f.Token, "next", f.Next), http.StatusSeeOther)
	case f.explain(err, "password"):
		s.sendBack(w, r, f)
	default:
		s.web.Error(w, r, err)
	}
}
