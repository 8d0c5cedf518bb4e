package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// Every POST is answered with a redirect, so that Back and Reload never send a form again. Two
// short-lived cookies carry what the next page has to say: a notice, which is shown once, and
// the draft of a form that was refused.
const (
	noticeCookie = "web_notice"
	draftCookie  = "web_draft"

	draftLifetime = 10 * time.Minute
)

// draft is what the page needs to show a form again. Passwords are never in it.
//
// The browser keeps it, sealed, in a cookie. The page's address has the draft's ID, so that the
// same page opened anew shows an empty form, and Back and Reload show this one.
type draft struct {
	ID         string
	Page       string            // the path whose form it is; other pages take the address alone
	Email      string            // as it was typed
	Remember   bool              // the box of "Keep me signed in" was ticked
	Errors     map[string]string `json:",omitempty"` // by field, "" for the whole form
	Status     int               // of the page that shows the errors
	RetryAfter int               // in seconds, or 0
	Until      time.Time
}

// newSealer returns a cipher with a key of its own, so that drafts end with the process. If
// several processes serve the site, give all of them one key.
func newSealer() (cipher.AEAD, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// keepDraft sends the draft to the browser, and returns its id.
func (s *server) keepDraft(w http.ResponseWriter, d draft) (id string) {
	d.ID, d.Until = rand.Text(), s.now().Add(draftLifetime)
	d.Email = d.Email[:min(len(d.Email), 320)] // a cookie holds 4096 bytes
	text, _ := json.Marshal(d)                 // of strings and numbers: it has no error
	sealed := s.sealer.Seal(nil, nil, text, []byte(draftCookie))
	s.setCookie(w, draftCookie, base64.RawURLEncoding.EncodeToString(sealed), draftLifetime)
	return d.ID
}

// draft returns the draft that the page's address names. Missing tells that there was one, and
// that the browser does not have it any more, or never kept it.
func (s *server) draft(r *http.Request) (d draft, missing bool) {
	id := r.URL.Query().Get("draft")
	if id == "" {
		return draft{}, false
	}
	cookie, err := r.Cookie(s.cookieName(draftCookie))
	if err != nil {
		return draft{}, true
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return draft{}, true
	}
	text, err := s.sealer.Open(nil, nil, sealed, []byte(draftCookie))
	if err != nil || json.Unmarshal(text, &d) != nil || d.ID != id || s.now().After(d.Until) {
		return draft{}, true
	}
	return d, false
}

// done redirects after a form that was accepted. The next page shows the notice, one of
// notices, unless it is "".
func (s *server) done(w http.ResponseWriter, r *http.Request, notice, path string) {
	if notice != "" {
		s.setCookie(w, noticeCookie, notice, time.Minute)
	}
	if _, err := r.Cookie(s.cookieName(draftCookie)); err == nil {
		s.setCookie(w, draftCookie, "", 0)
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
}

// takeNotice returns the words of the notice that the browser brings, once.
func (s *server) takeNotice(w http.ResponseWriter, r *http.Request) string {
	cookie, err := r.Cookie(s.cookieName(noticeCookie))
	if err != nil {
		return ""
	}
	s.setCookie(w, noticeCookie, "", 0)
	return notices[cookie.Value]
}

func (s *server) cookieName(name string) string {
	if s.insecureCookie {
		return name
	}
	return "__Host-" + name
}

// setCookie sets a cookie that no script and no other site sees. An age of 0 deletes it.
func (s *server) setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	seconds := int(age.Seconds())
	if seconds == 0 {
		seconds = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/", MaxAge: seconds,
		Secure: !s.insecureCookie, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
