package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gormkey/gormkey"
)

func (s *server) showAccount(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "account", view{Title: "Your account"})
}

// checked lets the change of a password pass the throttle, since the form asks for the old one.
func (s *server) checked(w http.ResponseWriter, r *http.Request, f *form, c gormkey.Credentials, attempt func() error) bool {
	err := gormkey.ErrInvalidCredentials
	if s.auth.CheckCredentials(c) == nil { // a password that no account can have is not counted
		err = s.limits.Do(r.Context(), c.KeyID().String(), s.web.KnownClient(r), attempt)
	}
	switch {
	case err == nil:
	case errors.Is(err, gormkey.ErrInvalidCredentials):
		f.refuse(http.StatusUnprocessableEntity, "current", "This is not your current password.")
	case !f.explain(err, "new"):
		s.web.Error(w, r, err)
		return false
	}
	return true
}

func (s *server) passwordForm(r *http.Request) *form {
	return &form{Path: "/account/password", Page: "change-password", Title: "Change your password", Button: "Change password",
		Username: s.web.User(r.Context()).Email, Fields: []*field{
			passwordField("current", "Current password", "current-password"),
			passwordField("new", "New password", "new-password"),
		}}
}

func (s *server) showPassword(w http.ResponseWriter, r *http.Request) {
	s.showForm(w, r, s.passwordForm(r))
}

// changePassword signs the other devices out. The form asks for the old password, so this needs no
// other proof.
func (s *server) changePassword(w http.ResponseWriter, r *http.Request) {
	f := s.passwordForm(r)
	account, session := s.web.User(r.Context()), s.web.Session(r.Context())
	old, chosen := credentials(account.Email, f.password(r, "current")), f.newPassword(r, "new")
	if !f.Invalid() && !s.checked(w, r, f, old, func() error {
		_, err := s.auth.ChangePassword(s.web.Context(r), old, chosen, session.ID)
		return err
	}) {
		return
	}
	if f.Invalid() {
		s.sendBack(w, r, f)
		return
	}
	s.done(w, r, "password-changed", "/account")
}

func (s *server) showDelete(w http.ResponseWriter, r *http.Request) {
	s.showForm(w, r, &form{Path: "/account/delete", Page: "delete-account", Title: "Delete your account", Button: "Delete my account", Danger: true})
}

// deleteAccount leaves the account's events to the outbox: see deliver.
func (s *server) deleteAccount(w http.ResponseWriter, r *http.Request) {
	if err := s.acting(r).DeleteUser(s.web.Context(r), s.web.User(r.Context()).ID); err != nil {
		s.web.Error(w, r, err)
		return
	}
	_ = s.web.SignOut(w, r) // the session is gone; this clears the cookie
	s.done(w, r, "deleted", "/")
}

// export is what a user downloads: everything that is stored about them, without secrets.
type export struct {
	ID         string         `json:"id"`
	Email      string         `json:"email"`
	VerifiedAt *time.Time     `json:"verifiedAt"`
	CreatedAt  time.Time      `json:"createdAt"`
	Keys       []exportKey    `json:"keys"`
	Devices    []exportDevice `json:"devices"`
	Activity   []exportEvent  `json:"activity"` // the newest first
}

type exportKey struct {
	Provider    string `json:"provider"`
	ID          string `json:"id"`
	HasPassword bool   `json:"hasPassword"`
}

type exportDevice struct {
	UserAgent       string     `json:"userAgent"`
	IP              string     `json:"ip"`
	OpenedAt        *time.Time `json:"openedAt"`        // null if nobody noted it
	AuthenticatedAt *time.Time `json:"authenticatedAt"` // when the user last showed who they are
	Methods         string     `json:"methods"`
	Remembered      *bool      `json:"remembered"`
	UsedAt          time.Time  `json:"usedAt"`
	Expires         time.Time  `json:"expires"`
}

type exportEvent struct {
	At        time.Time `json:"at"`
	Type      string    `json:"type"`
	Key       string    `json:"key"`
	Methods   string    `json:"methods"`
	Purpose   string    `json:"purpose"`
	Reason    string    `json:"reason"`
	IP        string    `json:"ip"`
	UserAgent string    `json:"userAgent"`
}

// noted returns a moment for the file.
func noted(at gormkey.UnixMilli) *time.Time {
	if at == 0 {
		return nil
	}
	t := at.Time()
	return &t
}

func (s *server) showExport(w http.ResponseWriter, r *http.Request) {
	s.showForm(w, r, &form{Path: "/account/export", Page: "export", Title: "Download your data", Button: "Download the file"})
}

// everything returns all events of a user, page by page.
func (s *server) everything(ctx context.Context, userID string) (all []*logged, err error) {
	for before := ""; ; before = all[len(all)-1].ID {
		page, err := s.auth.UserEvents(ctx, userID, before, 1000)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
	}
}

// export answers a form, so that the page with the button is what the browser comes back to if it
// has to confirm the password first.
func (s *server) export(w http.ResponseWriter, r *http.Request) {
	account := s.web.User(r.Context())
	keys, err := s.auth.UserKeys(r.Context(), account.ID)
	devices, devicesErr := s.auth.UserSessions(r.Context(), account.ID)
	events, eventsErr := s.everything(r.Context(), account.ID)
	if err := errors.Join(err, devicesErr, eventsErr); err != nil {
		s.web.Error(w, r, err)
		return
	}
	all := export{account.ID, account.Email, account.VerifiedAt, account.CreatedAt, nil, nil, nil}
	for _, k := range keys {
		all.Keys = append(all.Keys, exportKey{k.KeyID().Provider, k.KeyID().ID, k.PasswordDefined()})
	}
	for _, d := range devices {
		all.Devices = append(all.Devices, exportDevice{d.UserAgent, d.IP, noted(d.OpenedAt), noted(d.AuthenticatedAt),
			string(d.Methods), d.Remembered, d.UsedAt, d.IdleExpires.Time()})
	}
	for _, e := range events {
		all.Activity = append(all.Activity, exportEvent{e.At.Time(), string(e.Type), e.KeyID, string(e.Methods), string(e.Purpose), e.Reason, e.Address, e.Agent})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Disposition", `attachment; filename="latchkey.json"`)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "\t")
	_ = encoder.Encode(all)
}
