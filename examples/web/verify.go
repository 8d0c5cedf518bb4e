package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

// verifyLifetime is how long a link that confirms an address can be used.
const verifyLifetime = 24 * time.Hour

// postVerification queues a mail with a link that confirms the account's address.
func (s *server) postVerification(r *http.Request, account *Account) error {
	if err := s.countMail(r, gormkey.PurposeVerifyEmail, account.Email); err != nil {
		return err
	}
	id, email, origin := account.ID, account.Email, event.OriginOf(s.web.Context(r))
	s.post(func(ctx context.Context) (mail, error) {
		token, err := s.auth.IssueToken(event.WithOrigin(ctx, origin), id, gormkey.PurposeVerifyEmail, email, verifyLifetime)
		if errors.Is(err, gormkey.ErrUserNotFound) { // deleted in between
			return mail{}, nil
		}
		return mail{To: email, Subject: "Confirm your email address", Text: "With this link you confirm that this is your email address. It works once, for a day. If you have no account with us, ignore this mail.",
			Link: s.site + address("/verify-email", "token", string(token))}, err
	})
	return nil
}

// resendForm is a button without fields.
func (s *server) resendForm(r *http.Request) *form {
	return &form{Path: "/account/verify-email", Page: "verify-needed", Title: "Confirm your email address", Button: "Send a new link",
		Data: s.web.User(r.Context()).Email}
}

func (s *server) showResend(w http.ResponseWriter, r *http.Request) {
	if s.web.User(r.Context()).VerifiedAt != nil {
		http.Redirect(w, r, "/account", http.StatusSeeOther)
		return
	}
	s.showForm(w, r, s.resendForm(r))
}

func (s *server) resend(w http.ResponseWriter, r *http.Request) {
	f := s.resendForm(r)
	switch err := s.postVerification(r, s.web.User(r.Context())); {
	case err == nil:
		s.done(w, r, "link-sent", f.Path)
	case f.explain(err, ""):
		s.sendBack(w, r, f)
	default:
		s.web.Error(w, r, err)
	}
}

// verified is a gate: it lets those pass who have confirmed their address.
func (s *server) verified(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.web.User(r.Context()).VerifiedAt == nil {
			f := s.resendForm(r)
			s.show(w, r, http.StatusForbidden, f.Page, view{Title: f.Title, Form: f, Data: f.Data})
			return
		}
		next(w, r)
	}
}

func (s *server) members(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "members", view{Title: "Members’ page"})
}

// linkForm is the page of a link that was mailed: one button. A GET uses nothing up, since
// programs that look at mail follow links too.
func linkForm(r *http.Request, path, title, button string) *form {
	return &form{Path: path, Page: "confirm", Title: title, Button: button, Token: r.Form.Get("token")}
}

func verifyForm(r *http.Request) *form {
	return linkForm(r, "/verify-email", "Confirm your email address", "Confirm")
}

func (s *server) showVerify(w http.ResponseWriter, r *http.Request) {
	s.showLink(w, r, verifyForm(r), gormkey.PurposeVerifyEmail, "/account/verify-email")
}

// showLink shows the button of a link, with the address that it is about.
func (s *server) showLink(w http.ResponseWriter, r *http.Request, f *form, purpose gormkey.Purpose, again string) {
	secretPage(w)
	t, err := s.auth.GetToken(r.Context(), purpose, gormkey.Token(f.Token))
	switch {
	case err == nil:
		f.Data = t.Payload
		s.showForm(w, r, f)
	case errors.Is(err, gormkey.ErrInvalidToken):
		s.showExpired(w, r, again)
	default:
		s.web.Error(w, r, err)
	}
}

func (s *server) verify(w http.ResponseWriter, r *http.Request) {
	s.useLink(w, r, verifyForm(r), gormkey.PurposeVerifyEmail, "confirmed", func(tx *gorm.DB, t *gormkey.OneTimeToken[Account]) error {
		if t.User.Email != t.Payload {
			return gormkey.ErrInvalidToken
		}
		_, err := s.auth.With(tx).UpdateUserAttributes(s.web.Context(r), t.UserID, map[string]any{"VerifiedAt": s.now()})
		return err
	})
}

// useLink uses a link up, and does in the same transaction what it is for.
func (s *server) useLink(w http.ResponseWriter, r *http.Request, f *form, purpose gormkey.Purpose, notice string, work func(*gorm.DB, *gormkey.OneTimeToken[Account]) error) {
	secretPage(w)
	_, err := s.auth.UseToken(s.web.Context(r), purpose, gormkey.Token(f.Token), work)
	switch {
	case err == nil && s.web.User(r.Context()) != nil:
		s.done(w, r, notice, "/account")
	case err == nil:
		s.done(w, r, notice, "/sign-in")
	case errors.Is(err, gormkey.ErrInvalidToken): // the link's own page says so
		http.Redirect(w, r, address(f.Path, "token", f.Token), http.StatusSeeOther)
	case errors.Is(err, gormkey.ErrDuplicateKey), errors.Is(err, gormkey.ErrDuplicateAttribute):
		f.refuse(http.StatusConflict, "", addressTaken+" Nothing was changed.")
		s.sendBack(w, r, f)
	default:
		s.web.Error(w, r, err)
	}
}
