package main

import (
	"errors"
	"net/http"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
)

// changeLifetime is how long the link to a new address can be used.
const changeLifetime = time.Hour

func (s *server) emailForm(r *http.Request) *form {
	email := emailField(r, "email")
	email.Label = "New email address"
	return &form{Path: "/account/email", Page: "change-email", Title: "Change your email address", Button: "Send a link to the new address",
		Fields: []*field{email}}
}

func (s *server) showEmail(w http.ResponseWriter, r *http.Request) {
	s.showForm(w, r, s.emailForm(r))
}

// changeEmail mails a link to the new address, and the outbox tells the old one. Nothing changes
// until the link is used: a mistyped address locks nobody out.
func (s *server) changeEmail(w http.ResponseWriter, r *http.Request) {
	f := s.emailForm(r)
	account, email := s.web.User(r.Context()), f.email(r)
	if !f.Invalid() && email == account.Email {
		f.refuse(http.StatusUnprocessableEntity, "email", "This is your email address already.")
	}
	if !f.Invalid() {
		switch _, err := s.auth.GetKey(r.Context(), gormkey.KeyID{Provider: "email", ID: email}); {
		case err == nil:
			f.refuse(http.StatusConflict, "email", "Another account has this address.")
		case !errors.Is(err, gormkey.ErrKeyNotFound):
			s.web.Error(w, r, err)
			return
		}
	}
	if !f.Invalid() {
		if err := s.countMail(r, gormkey.PurposeChangeEmail, email); err != nil && !f.explain(err, "") {
			s.web.Error(w, r, err)
			return
		}
	}
	if f.Invalid() {
		s.sendBack(w, r, f)
		return
	}
	// The link is made here and not when the mail is sent, since the session must be recent now.
	token, err := s.acting(r).IssueToken(s.web.Context(r), account.ID, gormkey.PurposeChangeEmail, email, changeLifetime)
	if err != nil {
		s.web.Error(w, r, err)
		return
	}
	s.notify(mail{To: email, Subject: "Confirm your new email address",
		Text: "With this link you make this the address of your account. It works once, for an hour. If you did not ask for it, ignore this mail.",
		Link: s.site + address("/change-email", "token", string(token))})
	s.done(w, r, "change-sent", "/account")
}

func changeForm(r *http.Request) *form {
	return linkForm(r, "/change-email", "Change your email address", "Use this address")
}

func (s *server) showChange(w http.ResponseWriter, r *http.Request) {
	s.showLink(w, r, changeForm(r), gormkey.PurposeChangeEmail, "/account/email")
}

// change gives the account its new address, which the link proves.
func (s *server) change(w http.ResponseWriter, r *http.Request) {
	s.useLink(w, r, changeForm(r), gormkey.PurposeChangeEmail, "email-changed", func(tx *gorm.DB, t *gormkey.OneTimeToken[Account]) error {
		auth, old := s.auth.With(tx), gormkey.KeyID{Provider: "email", ID: t.User.Email}
		if err := auth.RenameKey(s.web.Context(r), t.UserID, old, t.Payload); err != nil {
			return err
		}
		_, err := auth.UpdateUserAttributes(s.web.Context(r), t.UserID, map[string]any{"Email": t.Payload, "VerifiedAt": s.now()})
		return err
	})
}
