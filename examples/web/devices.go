package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/authtype"
)

// listed is a device as the page shows it. A time that nobody noted is zero.
type listed struct {
	ID, Name, IP string
	This         bool
	Opened       since
	Confirmed    since  // after it was opened
	By           string // how the user showed who they are, or ""
	Remembered   bool
	Used, Until  time.Time
}

func (s *server) listed(d, this *Device) listed {
	one := listed{
		ID: d.ID.String(), Name: deviceName(d.UserAgent), IP: d.IP, This: d.ID == this.ID,
		Opened: s.since(d.OpenedAt), By: methodWords(d.Methods),
		Remembered: d.Remembered == nil || *d.Remembered,
		Used:       d.UsedAt, Until: d.IdleExpires.Time(),
	}
	if d.AuthenticatedAt > d.OpenedAt {
		one.Confirmed = s.since(d.AuthenticatedAt)
	}
	return one
}

// usedEvery is how exactly a device's last use is known. Each session costs one UPDATE in that
// time.
const usedEvery = time.Hour

// used notes that a device is in use. A page is shown even if that fails.
func (s *server) used(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := s.web.Session(r.Context())
		if d != nil && s.now().Sub(d.UsedAt) >= usedEvery {
			_, err := s.auth.UpdateSessionAttributes(r.Context(), d.ID, map[string]any{"UsedAt": s.now()})
			if err != nil && !errors.Is(err, gormkey.ErrInvalidSession) {
				slog.Error("last use of a device", "error", err)
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) devices(w http.ResponseWriter, r *http.Request) {
	this := s.web.Session(r.Context())
	sessions, err := s.auth.UserSessions(r.Context(), this.UserID)
	if err != nil {
		s.web.Error(w, r, err)
		return
	}
	list := make([]listed, 0, len(sessions))
	for _, d := range sessions {
		one := s.listed(d, this)
		if one.This {
			list = append([]listed{one}, list...)
			continue
		}
		list = append(list, one)
	}
	s.show(w, r, http.StatusOK, "devices", view{Title: "Your devices", Data: list})
}

// endDevice signs one device out. It does not find a device of another account.
func (s *server) endDevice(w http.ResponseWriter, r *http.Request) {
	err := s.acting(r).EndSession(s.web.Context(r), s.web.User(r.Context()).ID, gormkey.SessionID(r.PostForm.Get("id")))
	switch {
	case err == nil, errors.Is(err, gormkey.ErrInvalidSession): // it has ended
		s.done(w, r, "device-ended", "/account/devices")
	case errors.Is(err, gormkey.ErrInvalidArgument):
		s.problem(http.StatusBadRequest)(w, r)
	default:
		s.web.Error(w, r, err)
	}
}

func (s *server) endOtherDevices(w http.ResponseWriter, r *http.Request) {
	this := s.web.Session(r.Context())
	if err := s.acting(r).EndOtherSessions(s.web.Context(r), this.UserID, this.ID); err != nil {
		s.web.Error(w, r, err)
		return
	}
	s.done(w, r, "others-ended", "/account/devices")
}

// endEveryDevice signs this one out too, so it never asks for a password: who is worried gets out.
func (s *server) endEveryDevice(w http.ResponseWriter, r *http.Request) {
	if err := s.auth.EndAllSessions(s.web.Context(r), s.web.User(r.Context()).ID); err != nil {
		s.web.Error(w, r, err)
		return
	}
	_ = s.web.SignOut(w, r) // the session is gone; this clears the cookie
	s.done(w, r, "all-ended", "/")
}

// since is a moment of the past, with words for it if it is not long ago.
type since struct {
	At  time.Time
	Ago string
}

func (s *server) since(at gormkey.UnixMilli) since {
	if at == 0 {
		return since{}
	}
	return since{at.Time(), ago(s.now().Sub(at.Time()))}
}

// ago says how long ago something was, and nothing from the second day on, when the date says
// more.
func ago(d time.Duration) string {
	switch minutes := int(d.Minutes()); {
	case minutes < 1:
		return "just now"
	case minutes == 1:
		return "a minute ago"
	case minutes < 60:
		return fmt.Sprintf("%d minutes ago", minutes)
	case minutes < 120:
		return "an hour ago"
	case minutes < 48*60:
		return fmt.Sprintf("%d hours ago", minutes/60)
	}
	return ""
}

// methodWords says how a user has shown who they are. This site has passwords only; the other
// words are for one that also signs people in by mail or by another service.
func methodWords(methods authtype.Methods) string {
	var words []string
	for _, m := range []struct {
		method authtype.Method
		words  string
	}{
		{authtype.MethodPassword, "password"},
		{authtype.MethodMail, "a mailed link"},
		{authtype.MethodFederation, "another service"},
		{authtype.MethodFederationMFA, "another service"},
	} {
		if methods.Has(m.method) && !slices.Contains(words, m.words) {
			words = append(words, m.words)
		}
	}
	return strings.Join(words, " and ")
}

// deviceName makes a few words of a User-Agent. Browsers claim to be others too, so the order of
// the names matters.
func deviceName(agent string) string {
	find := func(names ...[2]string) string {
		for _, n := range names {
			if strings.Contains(agent, n[0]) {
				return n[1]
			}
		}
		return ""
	}
	browser := find([2]string{"Edg/", "Edge"}, [2]string{"OPR/", "Opera"}, [2]string{"Firefox/", "Firefox"},
		[2]string{"Chrome/", "Chrome"}, [2]string{"Safari/", "Safari"}, [2]string{"curl/", "curl"})
	system := find([2]string{"Android", "Android"}, [2]string{"iPhone", "iPhone"}, [2]string{"iPad", "iPad"},
		[2]string{"Windows", "Windows"}, [2]string{"Mac OS", "Mac"}, [2]string{"CrOS", "ChromeOS"}, [2]string{"Linux", "Linux"})
	switch {
	case browser == "" && system == "":
		return "Unknown device"
	case browser == "":
		return system
	case system == "":
		return browser
	}
	return browser + " on " + system
}
