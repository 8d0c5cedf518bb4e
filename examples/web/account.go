package main

import (
	"errors"
	"net/http"

	"github.com/gormkey/gormkey"
)

func passwordForm() *form {
	return &form{Action: "/account/password", Button: "Change password", Fields: []*field{
		passwordField("current", "Your password now", "current-password"),
		passwordField("new", "New password", "new-password"),
	}}
}

func (s *server) showAccount(w http.ResponseWriter, r *http.Request) {
	s.showForm(w, r, "account", "Your account", passwordForm())
}

// changePassword asks for the password that is, since a session may be somebody else's by
// now, and counts its guesses with those of sign-ins. The other devices are signed out.
func (s *server) changePassword(w http.ResponseWriter, r *http.Request) {
	f := passwordForm()
	account, session := s.web.User(r.Context()), s.web.Session(r.Context())
	current, chosen := f.password(r, "current", "Enter your password."), f.newPassword(r, "new")
	if f.Invalid() {
		s.showForm(w, r, "account", "Your account", f)
		return
	}
	err := s.auth.CheckCredentials(credentials(account.Email, current))
	if err == nil {
		err = s.limits.Do(r.Context(), "email:"+account.Email, s.web.KnownClient(r), func() error {
			_, err := s.auth.UseKey(r.Context(), credentials(account.Email, current))
			return err
		})
	}
	if errors.Is(err, gormkey.ErrInvalidCredentials) || errors.Is(err, gormkey.ErrInvalidArgument) {
		f.refuse(http.StatusUnprocessableEntity, "current", "This is not your password.")
	}
	if err == nil {
		_, err = s.auth.ChangePassword(r.Context(), credentials(account.Email, chosen), session.ID)
	}
	switch {
	case err == nil:
		http.Redirect(w, r, "/account?notice=password-changed", http.StatusSeeOther)
	case f.Invalid() || f.explain(w, err, "new"):
		s.showForm(w, r, "account", "Your account", f)
	default:
		s.web.Error(w, r, err)
	}
}
