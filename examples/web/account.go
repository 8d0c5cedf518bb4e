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

// changePassword asks for the present password, since somebody else may be using the session by
// now. Wrong answers count as failed sign-ins do. The other devices are signed out.
func (s *server) changePassword(w http.ResponseWriter, r *http.Request) {
	f := passwordForm()
	account, session := s.web.User(r.Context()), s.web.Session(r.Context())
	current, chosen := f.password(r, "current", "Enter your password."), f.newPassword(r, "new")
	if f.Invalid() {
		s.showForm(w, r, "account", "Your account", f)
		return
	}
	old := credentials(account.Email, current)
	err := gormkey.ErrInvalidCredentials
	if s.auth.CheckCredentials(old) == nil { // what nobody can have as a password is not counted
		err = s.limits.Do(r.Context(), old.KeyID().String(), s.web.KnownClient(r), func() error {
			_, err := s.auth.ChangePassword(r.Context(), old, chosen, session.ID)
			return err
		})
	}
	if errors.Is(err, gormkey.ErrInvalidCredentials) {
		f.refuse(http.StatusUnprocessableEntity, "current", "This is not your password.")
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
