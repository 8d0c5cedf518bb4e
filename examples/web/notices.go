package main

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

// logged is what happened to an account, as the library wrote it in the transaction of the act.
type logged = gormkey.LoggedEventOf[*Account]

// deliverEvery is how often the outbox is looked at.
const deliverEvery = 2 * time.Second

// deliverNotices tells people what happened to their accounts, until ctx is done. Neither the end
// of the process nor a mail server that is down loses a notice: it is made from an event, which
// waits in the database. Mails with a link that works once are sent where the link is made, since
// an event holds no token.
func (s *server) deliverNotices(ctx context.Context) {
	ticker := time.NewTicker(deliverEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if _, err := s.auth.DeliverEvents(ctx, 100, s.deliver); err != nil && ctx.Err() == nil {
			slog.Error("notices", "error", err) // they are tried again
		}
	}
}

// deliver mails what an event has to say. It may be called twice for one event, and the mail has
// the same id then.
//
// The events of a deleted account lose what says whose they were only here, behind the notices
// that wait: somebody who takes over an account and deletes it at once does not silence them.
func (s *server) deliver(ctx context.Context, e *logged) error {
	switch e.Type {
	case event.SignedIn, event.PasswordChanged, event.KeyRemoved, event.KeyAdded, event.TokenIssued, event.UserDeleted:
	default:
		return nil
	}
	before, err := s.before(ctx, e)
	if err != nil {
		return err
	}
	if m := s.notice(e, before); m.To != "" {
		if err := s.sendMail(ctx, m); err != nil {
			return err
		}
	}
	if e.Type == event.UserDeleted {
		_, err = s.auth.AnonymizeUser(ctx, e.UserID)
	}
	return err
}

// before returns what happened to the account before an event, the newest first. It is the same
// each time that an event is delivered.
func (s *server) before(ctx context.Context, e *logged) ([]*logged, error) {
	return s.auth.UserEvents(ctx, e.UserID, e.ID, 1000)
}

// notice returns the mail about an event, without an address if there is nothing to say. Links in
// it hold no secret.
func (s *server) notice(e *logged, before []*logged) mail {
	m := mail{ID: e.ID, To: addressAt(e, before), Link: s.site + "/forgot-password"}
	when := "on " + moment(e.At.Time())
	if place := placeOf(e); place != "" {
		when += ", from " + place
	}
	switch {
	case e.Type == event.SignedIn && !seen(e, before):
		m.Subject = "A new sign-in to your account"
		m.Text = "Somebody signed in to your account " + when + ". We have not seen this device there before. If it was you, there is nothing to do. If it was not you, choose a new password now: that signs every device out."
	case e.Type == event.PasswordChanged:
		m.Subject = "Your password was changed"
		m.Text = "The password of your account was changed " + when + ". If it was you, there is nothing to do. If it was not you, choose a new password now: that signs every device out."
	case e.Type == event.KeyRemoved:
		m.Subject, m.Link = "Your email address was changed", ""
		m.Text = "This address no longer belongs to your account. It was changed " + when + ". If it was not you, answer this mail."
	case e.Type == event.KeyAdded && len(before) > 0 && before[0].Type == event.KeyRemoved: // else it is the sign-up's
		m.Subject, m.Link = "This is the address of your account now", ""
		m.Text = "Sign in with this address from now on. It was changed " + when + ". If it was not you, answer this mail."
	case e.Type == event.TokenIssued && e.Purpose == gormkey.PurposeChangeEmail:
		m.Subject = "A change of your email address"
		m.Text = "Somebody who knows your password asked " + when + " to change the address of your account. The change is made when the link in a mail to the new address is opened. If it was not you, choose a new password now: that stops the change."
	case e.Type == event.UserDeleted:
		m.Subject, m.Link = "Your account is deleted", ""
		m.Text = "Your account and its data were deleted " + when + ". If it was not you, answer this mail."
	default:
		return mail{}
	}
	return m
}

// addressAt returns the address that the account had when something happened. The event has it, or
// one before it: nobody gets this far without a sign-up or a sign-in. The address that the account
// has now may be that of somebody who took it over.
func addressAt(e *logged, before []*logged) string {
	if email := emailOf(e); email != "" {
		return email
	}
	for _, other := range before {
		if email := emailOf(other); email != "" { // an address that is removed has a newer event: the one that took its place
			return email
		}
	}
	return ""
}

// emailOf returns the address that an event is about, or "".
func emailOf(e *logged) string {
	key, err := gormkey.ParseKeyID(e.KeyID)
	if err != nil || key.Provider != "email" {
		return ""
	}
	return key.ID
}

// seen tells whether the account was used before from the same kind of browser at the same network
// address. That is a simple rule: a phone that moves between networks is new each time, and so is
// a device that was not used for as long as events are kept. An update of the browser is not new.
// Failed sign-ins do not count, or somebody who guesses would be known after the first guess.
func seen(e *logged, before []*logged) bool {
	return slices.ContainsFunc(before, func(other *logged) bool {
		switch other.Type {
		case event.SignedIn, event.SessionOpened, event.Reauthenticated:
			return other.Address == e.Address && deviceName(other.Agent) == deviceName(e.Agent)
		}
		return false
	})
}

// placeOf says from which browser and address something was done, and "" if nobody noted it.
func placeOf(e *logged) string {
	switch {
	case e.Agent == "":
		return e.Address
	case e.Address == "":
		return deviceName(e.Agent)
	}
	return deviceName(e.Agent) + " at " + e.Address
}
