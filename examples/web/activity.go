package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

// maxActivity is how many events the page shows.
const maxActivity = 50

// activity is an event as the page shows it.
type activity struct {
	At     time.Time
	What   string
	Place  string // "" if nobody noted it
	Failed bool
}

// showActivity lists what happened to the account, the newest first.
func (s *server) showActivity(w http.ResponseWriter, r *http.Request) {
	events, err := s.auth.UserEvents(r.Context(), s.web.User(r.Context()).ID, "", maxActivity+1)
	if err != nil {
		s.web.Error(w, r, err)
		return
	}
	var list struct {
		Events []activity
		More   int // how many are shown, if there are more
	}
	if len(events) > maxActivity {
		events, list.More = events[:maxActivity], maxActivity
	}
	for _, e := range events {
		list.Events = append(list.Events, activity{e.At.Time(), happened(e), placeOf(e), e.Type == event.SignInFailed})
	}
	s.show(w, r, http.StatusOK, "activity", view{Title: "Account activity", Data: list})
}

// happened says in plain words what an event is about. A type that it does not know is in words
// already.
func happened(e *logged) string {
	switch e.Type {
	case event.UserCreated:
		return "Account created"
	case event.KeyAdded:
		return about("Address added", emailOf(e))
	case event.KeyRemoved:
		return about("Address removed", emailOf(e))
	case event.PasswordChanged:
		return "Password changed"
	case event.SignedIn, event.SessionOpened:
		if by := methodWords(e.Methods); by != "" {
			return "Signed in by " + by
		}
		return "Signed in"
	case event.Reauthenticated:
		return "Password confirmed"
	case event.SignInFailed:
		return failed(e)
	case event.SessionEnded:
		if e.SessionID == "" { // perhaps several
			return "Signed out devices"
		}
		return "Signed out a device"
	case event.TokenIssued, event.TokenUsed:
		return link(e)
	case event.Suspended:
		return about("Account suspended", e.Reason)
	case event.Unsuspended:
		return "Account no longer suspended"
	}
	words := string(e.Type)
	return strings.ToUpper(words[:min(len(words), 1)]) + words[min(len(words), 1):]
}

// about adds a detail, if there is one.
func about(what, detail string) string {
	if detail == "" {
		return what
	}
	return what + ": " + detail
}

// failed says what went wrong. Somebody who is signed in is asked for the password too, before it
// is changed for example.
func failed(e *logged) string {
	if e.ActorID != "" && e.ActorID == e.UserID && e.Reason == "wrong password" {
		return "Wrong password on a signed-in device"
	}
	switch e.Reason {
	case "wrong password":
		return "A sign-in failed: wrong password"
	case "suspended":
		return "A sign-in failed: the account was suspended"
	}
	return "A sign-in failed"
}

// link says what a link was for that was asked for, or used.
func link(e *logged) string {
	words := map[gormkey.Purpose][2]string{
		gormkey.PurposeVerifyEmail:   {"Asked for a link to confirm the address", "Address confirmed"},
		gormkey.PurposeResetPassword: {"Asked for a link to choose a new password", "Used the link to choose a new password"},
		gormkey.PurposeChangeEmail:   {"Asked to change the address", "Used the link to change the address"},
	}[e.Purpose]
	switch {
	case words[0] == "":
		return map[event.Type]string{event.TokenIssued: "Asked for a link", event.TokenUsed: "Used a link"}[e.Type]
	case e.Type == event.TokenIssued:
		return words[0]
	}
	return words[1]
}
