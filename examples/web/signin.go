package main

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

func credentials(email, password string) gormkey.Credentials {
	return gormkey.Credentials{Provider: "email", ID: email, Password: password}
}

// device notes, on the session that a request is about to open, where it comes from.
func (s *server) device(r *http.Request) func(*Device) {
	agent, address := strings.ToValidUTF8(r.UserAgent(), ""), "an unknown address"
	if a := s.web.ClientAddress(r); a.IsValid() {
		address = a.String()
	}
	agent = strings.ToValidUTF8(agent[:min(len(agent), 255)], "")
	return func(d *Device) { d.UserAgent, d.IP, d.CreatedAt = agent, address, s.now() }
}

func (s *server) home(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "home", view{Title: "Welcome"})
}

func signUpForm(r *http.Request) *form {
	return &form{Action: "/sign-up", Button: "Create account", Fields: []*field{
		emailField(r), passwordField("password", "Password", "new-password"),
	}}
}

func (s *server) showSignUp(w http.ResponseWriter, r *http.Request) {
	s.showForm(w, r, "sign-up", "Create an account", signUpForm(r))
}

// signUp says that an address is taken. Where even that is too much, mail it, and answer
// alike.
func (s *server) signUp(w http.ResponseWriter, r *http.Request) {
	f := signUpForm(r)
	email, password := f.email(r), f.newPassword(r, "password")
	if f.Invalid() {
		s.showForm(w, r, "sign-up", "Create an account", f)
		return
	}
	account := &Account{Email: email}
	err := s.auth.CreateUser(r.Context(), account, credentials(email, password))
	switch {
	case err == nil:
		if _, err = s.web.OpenSession(w, r, account.ID, s.device(r)); err == nil {
			_ = s.limits.Trust(r.Context(), "email:"+email, s.web.Client(w, r)) // or a stranger's guesses may lock it out
		}
	case errors.Is(err, gormkey.ErrDuplicateKey), errors.Is(err, gormkey.ErrDuplicateAttribute):
		f.refuse(http.StatusConflict, "email", "There is an account with this address. Sign in, or choose a new password for it.")
	}
	switch {
	case err == nil:
		http.Redirect(w, r, "/account?notice=welcome", http.StatusSeeOther)
	case f.Invalid() || f.explain(w, err, "password"):
		s.showForm(w, r, "sign-up", "Create an account", f)
	default:
		s.web.Error(w, r, err)
	}
}

func signInForm(r *http.Request) *form {
	return &form{Action: "/sign-in", Button: "Sign in", Fields: []*field{
		emailField(r), passwordField("password", "Password", "current-password"),
	}, Hidden: []hidden{{"next", httpauth.LocalPath(r.Form.Get("next"), "")}}}
}

func (s *server) showSignIn(w http.ResponseWriter, r *http.Request) {
	s.showForm(w, r, "sign-in", "Sign in", signInForm(r))
}

func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	f := signInForm(r)
	email, password := f.email(r), f.password(r, "password", "Enter your password.")
	if f.Invalid() {
		s.showForm(w, r, "sign-in", "Sign in", f)
		return
	}
	_, err := s.web.SignIn(w, r, credentials(email, password), s.device(r))
	if errors.Is(err, gormkey.ErrInvalidCredentials) || errors.Is(err, gormkey.ErrInvalidArgument) { // one that nobody has
		f.refuse(http.StatusUnauthorized, "", "The address or the password is not right.")
	}
	switch {
	case err == nil:
		http.Redirect(w, r, httpauth.LocalPath(r.PostForm.Get("next"), "/account"), http.StatusSeeOther)
	case f.Invalid() || f.explain(w, err, ""):
		s.showForm(w, r, "sign-in", "Sign in", f)
	default:
		s.web.Error(w, r, err)
	}
}

func (s *server) signOut(w http.ResponseWriter, r *http.Request) {
	if err := s.web.SignOut(w, r); err != nil {
		s.web.Error(w, r, err)
		return
	}
	http.Redirect(w, r, "/?notice=signed-out", http.StatusSeeOther)
}

// showForm answers with a form, and the status of what is wrong with it.
func (s *server) showForm(w http.ResponseWriter, r *http.Request, page, title string, f *form) {
	status := f.status
	if status == 0 {
		status = http.StatusOK
	}
	s.show(w, r, status, page, view{Title: title, Form: f})
}
