package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtype"
	"github.com/gormkey/gormkey/httpauth"
)

// recently is for how long a password counts, for what nobody else should do who finds the device
// unlocked. The page that asks for it says so too.
const recently = 10 * time.Minute

// acting returns the operations bound to the request's session. They fail with
// gormkey.ErrNotRecent if its user entered the password too long ago, and s.web.Error then sends
// the browser to the page that asks for it.
func (s *server) acting(r *http.Request) *repository {
	return s.auth.As(s.web.Session(r.Context()), recently)
}

func (s *server) confirmForm(r *http.Request) *form {
	return &form{Path: "/confirm", Page: "confirm-password", Title: "Confirm your password", Button: "Continue", Next: next(r),
		Username: s.web.User(r.Context()).Email, Fields: []*field{passwordField("password", "Password", "current-password")}}
}

// showConfirm sends on who has entered the password just now, for example to sign in on the way
// here. It asks somebody who came in by another way, though recently.
func (s *server) showConfirm(w http.ResponseWriter, r *http.Request) {
	d, _ := s.draft(r)
	session := s.web.Session(r.Context())
	if d.Page != r.URL.Path && session.Methods.Has(authtype.MethodPassword) && s.auth.CheckRecent(session, recently) == nil {
		http.Redirect(w, r, httpauth.LocalPath(next(r), "/account"), http.StatusSeeOther)
		return
	}
	s.showForm(w, r, s.confirmForm(r))
}

// confirm leads back to the page that needed the password. What was sent from there is not done
// by it: the user presses the button again.
func (s *server) confirm(w http.ResponseWriter, r *http.Request) {
	f := s.confirmForm(r)
	typed := f.password(r, "password")
	if f.Invalid() {
		s.sendBack(w, r, f)
		return
	}
	_, err := s.web.Reauthenticate(w, r, credentials(s.web.User(r.Context()).Email, typed))
	if errors.Is(err, gormkey.ErrInvalidCredentials) || errors.Is(err, gormkey.ErrInvalidArgument) { // no account has such a password
		f.refuse(http.StatusUnprocessableEntity, "password", "This is not your password.")
	}
	switch {
	case err == nil:
		s.done(w, r, "password-confirmed", httpauth.LocalPath(f.Next, "/account"))
	case f.Invalid() || f.explain(err, ""):
		s.sendBack(w, r, f)
	default:
		s.web.Error(w, r, err)
	}
}
