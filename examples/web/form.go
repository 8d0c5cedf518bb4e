package main

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	mailaddress "net/mail"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

// form is a form with its answers and what is wrong with them.
type form struct {
	Action, Button string
	Fields         []*field
	Hidden         []hidden
	Error          string // what is wrong with all of it
	status         int    // 0 while nothing is wrong
}

type field struct {
	Name, Label, Hint  string
	Type, Autocomplete string
	Value, Error       string
}

type hidden struct{ Name, Value string }

// emailField keeps what was typed; passwordField does not.
func emailField(r *http.Request) *field {
	return &field{Name: "email", Label: "Email address", Type: "email", Autocomplete: "email", Value: r.PostForm.Get("email")}
}

func passwordField(name, label, autocomplete string) *field {
	f := &field{Name: name, Label: label, Type: "password", Autocomplete: autocomplete}
	if autocomplete == "new-password" {
		f.Hint = "At least 8 characters. A few random words are good."
	}
	return f
}

// Invalid tells whether there is anything to show.
func (f *form) Invalid() bool { return f.status != 0 }

// Focus is the field that the message about the whole form leads to.
func (f *form) Focus() string { return f.Fields[0].Name }

// refuse notes what is wrong with a field, with "" for the whole form. The first status
// stays.
func (f *form) refuse(status int, name, message string) {
	if f.status == 0 {
		f.status = status
	}
	for _, field := range f.Fields {
		if field.Name == name {
			field.Error = message
			return
		}
	}
	f.Error = message
}

// email returns the address that was typed, as its key has it: in lower case. Only
// ASCII is taken, where lower case has no surprises such as the Kelvin sign's k.
func (f *form) email(r *http.Request) string {
	typed := strings.TrimSpace(r.PostForm.Get("email"))
	address := strings.ToLower(typed)
	parsed, err := mailaddress.ParseAddress(address)
	switch {
	case typed == "":
		f.refuse(http.StatusUnprocessableEntity, "email", "Enter your email address.")
	case err != nil || parsed.Address != address || len(address) > 249 || strings.ContainsFunc(typed, func(c rune) bool { return c > 127 }):
		f.refuse(http.StatusUnprocessableEntity, "email", "Enter an address like name@example.com.")
	}
	return address
}

// password returns a password as it was typed: a blank at its end belongs to it.
func (f *form) password(r *http.Request, name, empty string) string {
	typed := r.PostForm.Get(name)
	if typed == "" {
		f.refuse(http.StatusUnprocessableEntity, name, empty)
	}
	return typed
}

func (f *form) newPassword(r *http.Request, name string) string {
	typed := f.password(r, name, "Choose a password.")
	if typed != "" && utf8.RuneCountInString(typed) < 8 {
		f.refuse(http.StatusUnprocessableEntity, name, "Choose one with at least 8 characters.")
	}
	return typed
}

// explain notes an error that the person in front of the form can do something about:
// too many attempts, too much to do, and what the library says of a new password, whose
// field is named. It returns false for the others.
func (f *form) explain(w http.ResponseWriter, err error, password string) bool {
	status, retryAfter := httpauth.Status(err)
	argument := new(gormkey.ArgumentError)
	switch {
	case errors.Is(err, throttle.ErrTooMany):
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		f.refuse(status, "", "Too many attempts. Try again "+inWords(time.Duration(retryAfter)*time.Second)+".")
	case errors.Is(err, gormkey.ErrBusy):
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		f.refuse(status, "", "A lot of people are here right now. Try again in a moment.")
	case errors.As(err, &argument) && argument.Argument == "password" && password != "":
		f.refuse(http.StatusUnprocessableEntity, password, "Choose one of 8 characters to 4096 bytes.")
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
