package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	mailaddress "net/mail"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

// form is a form with its answers and what is wrong with them. The page that shows it and the
// POST that takes it have the same path.
type form struct {
	Path, Page, Title string // Page is the template
	Button            string
	Danger            bool // the button deletes something
	Fields            []*field
	Username          string // for password managers, on forms that ask for a password alone
	Next, Token       string // hidden fields; "" for none
	Error             string // what is wrong with the whole form
	Draft             string // the id of the draft that it shows, or ""
	Data              any    // the page's own
	status            int    // 0 while nothing is wrong
	retryAfter        int    // in seconds
}

type field struct {
	Name, Label, Hint  string
	Type, Autocomplete string
	Value, Error       string
	Taken              bool // the error is addressTaken, which has links
	Checked            bool // of a checkbox
	Focus              bool
}

// addressTaken is what a page says of an address that has an account.
const addressTaken = "There is an account with this address."

// emailField keeps what was typed; passwordField does not.
func emailField(r *http.Request, autocomplete string) *field {
	return &field{Name: "email", Label: "Email address", Type: "email", Autocomplete: autocomplete, Value: r.PostForm.Get("email")}
}

func passwordField(name, label, autocomplete string) *field {
	f := &field{Name: name, Label: label, Type: "password", Autocomplete: autocomplete}
	if autocomplete == "new-password" {
		f.Hint = "At least 8 characters. A few random words work well."
	}
	return f
}

// rememberField asks whether the visitor wants to stay signed in. It is not ticked at first: the
// computer may be a library's.
func rememberField(r *http.Request) *field {
	return &field{Name: "remember", Label: "Keep me signed in", Type: "checkbox", Checked: r.PostForm.Get("remember") != "",
		Hint: "Leave this empty on a computer that other people use."}
}

// checked tells whether a checkbox is ticked.
func (f *form) checked(name string) bool {
	for _, field := range f.Fields {
		if field.Name == name {
			return field.Checked
		}
	}
	return false
}

// next returns the path to go to after the sign-in, or "".
func next(r *http.Request) string { return httpauth.LocalPath(r.Form.Get("next"), "") }

// Invalid tells whether something is wrong.
func (f *form) Invalid() bool { return f.status != 0 || f.Error != "" }

// Link returns the address of another page with what the two share: where to go afterwards, and
// the email address that was typed.
func (f *form) Link(path string) string { return address(path, "next", f.Next, "draft", f.Draft) }

// address returns a path with a query of names and values. An empty value is left out.
func address(path string, pairs ...string) string {
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// refuse notes what is wrong with a field, with "" for the whole form. The first status
// stays.
func (f *form) refuse(status int, name, message string) {
	f.status = cmp.Or(f.status, status)
	for _, field := range f.Fields {
		if field.Name == name {
			field.Error, field.Taken = message, message == addressTaken
			return
		}
	}
	f.Error = message
}

// focus puts the cursor into the first field with an error. If nothing is wrong and the form is
// all that the page is about, it goes into the first empty field.
func (f *form) focus(alone bool) {
	for _, field := range f.Fields {
		if field.Error != "" || alone && !f.Invalid() && field.Value == "" && field.Type != "checkbox" {
			field.Focus = true
			return
		}
	}
}

// email returns the address that was typed, in the form in which it is kept and compared.
func (f *form) email(r *http.Request) string {
	address := gormkey.FoldEmail(r.PostForm.Get("email"))
	parsed, err := mailaddress.ParseAddress(address)
	switch {
	case address == "":
		f.refuse(http.StatusUnprocessableEntity, "email", "Enter your email address.")
	case err != nil || parsed.Address != address || len(address) > 249: // 255 bytes with "email:"
		f.refuse(http.StatusUnprocessableEntity, "email", "Enter an email address like name@example.com.")
	}
	return address
}

// password returns a password as it was typed: a space at its end belongs to it.
func (f *form) password(r *http.Request, name string) string {
	typed := r.PostForm.Get(name)
	if typed == "" {
		f.refuse(http.StatusUnprocessableEntity, name, "Enter your password.")
	}
	return typed
}

func (f *form) newPassword(r *http.Request, name string) string {
	typed := r.PostForm.Get(name)
	switch {
	case typed == "":
		f.refuse(http.StatusUnprocessableEntity, name, "Choose a password.")
	case utf8.RuneCountInString(typed) < 8:
		f.refuse(http.StatusUnprocessableEntity, name, "Choose a password with at least 8 characters.")
	}
	return typed
}

// explain notes an error that the person in front of the form can do something about: too many
// attempts, a busy server, and a new password that the library refuses, whose field is named. It
// returns false for the others.
func (f *form) explain(err error, newPassword string) bool {
	status, retryAfter := httpauth.Status(err)
	argument := new(gormkey.ArgumentError)
	switch {
	case errors.Is(err, throttle.ErrTooMany):
		f.retryAfter = retryAfter
		f.refuse(status, "", "Too many attempts. Try again "+inWords(time.Duration(retryAfter)*time.Second)+".")
	case errors.Is(err, gormkey.ErrBusy):
		f.retryAfter = retryAfter
		f.refuse(status, "", "The server is busy. Try again in a moment.")
	case errors.As(err, &argument) && newPassword != "":
		f.refuse(http.StatusUnprocessableEntity, newPassword, "This password cannot be used. Choose one with 8 to 1,000 characters.")
	default:
		return false
	}
	return true
}

// inWords says when, in minutes that are not too few.
func inWords(d time.Duration) string {
	switch minutes := int(math.Ceil(d.Minutes())); {
	case minutes <= 1:
		return "in a minute"
	case minutes < 120:
		return fmt.Sprintf("in %d minutes", minutes)
	default:
		return fmt.Sprintf("in %d hours", (minutes+59)/60)
	}
}

// showForm answers a GET with a form: empty, or as the draft that the address names has it.
func (s *server) showForm(w http.ResponseWriter, r *http.Request, f *form) {
	d, missing := s.draft(r)
	f.Draft = d.ID
	for _, field := range f.Fields {
		switch field.Name {
		case "email":
			if d.ID != "" {
				field.Value = d.Email
			}
		case "remember":
			field.Checked = d.Remember
		}
	}
	switch {
	case missing:
		f.Error = "Please fill in the form again. If you keep seeing this, your browser refuses this site’s cookies."
	case d.Page == f.Path:
		for name, message := range d.Errors {
			f.refuse(d.Status, name, message)
		}
		if d.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(d.RetryAfter))
		}
	}
	f.focus(f.Path == "/sign-in" || f.Path == "/sign-up" || f.Path == "/confirm")
	s.show(w, r, cmp.Or(f.status, http.StatusOK), f.Page, view{Title: f.Title, Form: f, Data: f.Data})
}

// sendBack answers a POST that was refused: it redirects to the page of the form.
func (s *server) sendBack(w http.ResponseWriter, r *http.Request, f *form) {
	d := draft{Page: f.Path, Status: f.status, RetryAfter: f.retryAfter, Errors: map[string]string{}}
	if f.Error != "" {
		d.Errors[""] = f.Error
	}
	for _, field := range f.Fields {
		if field.Error != "" {
			d.Errors[field.Name] = field.Error
		}
		switch field.Name {
		case "email":
			d.Email = field.Value
		case "remember":
			d.Remember = field.Checked
		}
	}
	http.Redirect(w, r, address(f.Path, "token", f.Token, "next", f.Next, "draft", s.keepDraft(w, d)), http.StatusSeeOther)
}
