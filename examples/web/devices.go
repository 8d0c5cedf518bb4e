package main

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gormkey/gormkey"
)

// listed is a device as the page shows it.
type listed struct {
	ID, Name, IP        string
	This                bool
	Opened, Used, Until time.Time
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
		one := listed{d.ID.String(), deviceName(d.UserAgent), d.IP, d.ID == this.ID, d.CreatedAt, d.UsedAt, d.IdleExpires.Time()}
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
	err := s.auth.EndSession(r.Context(), s.web.User(r.Context()).ID, gormkey.SessionID(r.PostForm.Get("id")))
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
	if err := s.auth.EndOtherSessions(r.Context(), this.UserID, this.ID); err != nil {
		s.web.Error(w, r, err)
		return
	}
	s.done(w, r, "others-ended", "/account/devices")
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
