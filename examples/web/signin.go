package main

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/httpauth"
)

// credentials take an address that gormkey.FoldEmail made.
func credentials(email, password string) gormkey.Credentials {
	return gormkey.Credentials{Provider: "email", ID: email, Password: password}
}

// device notes where a session comes from, as the request opens it.
func (s *server) device(r *http.Request) func(*Device) {
	agent, address := strings.ToValidUTF8(r.UserAgent(), ""), "an unknown address"
	if a := s.web.ClientAddress(r); a.IsValid() {
		address = a.String()
	}
	agent = strings.ToValidUTF8(agent[:min(len(agent), 255)], "")
	return func(d *Device) {
		d.UserAgent, d.IP, d.UsedAt = agent, address, s.now()
	}
}

func (s *server) home(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "home", view{Title: "Welcome"})
}

// sentOn redirects somebody who is signed in already, and reports whether it did. A form that was
// sent all the same, from another tab for example, is shown with its errors.
func (s *server) sentOn(w http.ResponseWriter, r *http.Request) bool {
	if d, _ := s.draft(r); s.web.User(r.Context()) == nil || d.Page == r.URL.Path {
		return false
	}
	http.Redirect(w, r, httpauth.LocalPath(next(r), "/account"), http.StatusSeeOther)
	return true
}

func signUpForm(r *http.Request) *form {
	return &form{Path: "/sign-up", Page: "sign-up", Title: "Create an account", Button: "Create account", Next: next(r), Fields: []*field{
		emailField(r, "username"), passwordField("password", "Password", "new-password"),
	}}
}

func (s *server) showSignUp(w http.ResponseWriter, r *http.Request) {
	if !s.sentOn(w, r) {
		s.showForm(w, r, signUpForm(r))
	}
}

// signUp tells a visitor that an address is taken. If nobody may learn even that, send it by
// mail, and answer as for a new account. The new session counts as opened by the password, so the
// account's pages do not ask for it at once.
func (s *server) signUp(w http.ResponseWriter, r *http.Request) {
	f := signUpForm(r)
	email, password := f.email(r), f.newPassword(r, "password")
	if f.Invalid() {
		s.sendBack(w, r, f)
		return
	}
	account := &Account{Email: email}
	err := s.auth.CreateUser(s.web.Context(r), account, credentials(email, password))
	switch {
	case err == nil:
		if _, err = s.web.OpenSession(w, r, account.ID, s.device(r), s.auth.By(authtype.MethodPassword)); err == nil {
			_ = s.limits.Trust(r.Context(), "email:"+email, s.web.Client(w, r)) // or a stranger's guesses may lock it out
			_ = s.postVerification(r, account)                                  // the account's page sends another
		}
	case errors.Is(err, gormkey.ErrDuplicateKey), errors.Is(err, gormkey.ErrDuplicateAttribute):
		f.refuse(http.StatusConflict, "email", addressTaken)
	}
	switch {
	case err == nil:
		s.done(w, r, "welcome", httpauth.LocalPath(f.Next, "/account"))
	case f.Invalid() || f.explain(err, "password"):
		s.sendBack(w, r, f)
	default:
		s.web.Error(w, r, err)
	}
}

func signInForm(r *http.Request) *form {
	return &form{Path: "/sign-in", Page: "sign-in", Title: "Sign in", Button: "Sign in", Next: next(r), Fields: []*field{
		emailField(r, "username"), passwordField("password", "Password", "current-password"), rememberField(r),
	}}
}

func (s *server) showSignIn(w http.ResponseWriter, r *http.Request) {
	if !s.sentOn(w, r) {
		s.showForm(w, r, signInForm(r))
	}
}

func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	f := signInForm(r)
	email, password := f.email(r), f.password(r, "password")
	if f.Invalid() {
		s.sendBack(w, r, f)
		return
	}
	_, err := s.web.SignIn(w, r, credentials(email, password), s.device(r), s.auth.Remembered(f.checked("remember")))
	if errors.Is(err, gormkey.ErrInvalidCredentials) || errors.Is(err, gormkey.ErrInvalidArgument) { // no account has such a password
		f.refuse(http.StatusUnauthorized, "password", "The email address or the password is wrong.")
	}
	switch {
	case err == nil:
		s.done(w, r, "", httpauth.LocalPath(f.Next, "/account"))
	case f.Invalid() || f.explain(err, ""):
		s.sendBack(w, r, f)
	default:
		s.web.Error(w, r, err)
	}
}

func (s *server) signOut(w http.ResponseWriter, r *http.Request) {
	if err := s.web.SignOut(w, r); err != nil {
		s.web.Error(w, r, err)
		return
	}
	s.done(w, r, "signed-out", "/")
}
