package main

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gormkey/gormkey"
)

// listed is a device as the page shows it.
type listed struct {
	ID, Name, Agent, IP string
	This                bool
	Opened, Until       time.Time
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
		one := listed{d.ID.String(), deviceName(d.UserAgent), d.UserAgent, d.IP, d.ID == this.ID, d.CreatedAt, d.IdleExpires.Time()}
		if one.This {
			list = append([]listed{one}, list...)
			continue
		}
		list = append(list, one)
	}
	s.show(w, r, http.StatusOK, "devices", view{Title: "Your devices", Data: list})
}

// endDevice ends one device. Asked for somebody else's, it does not find it.
func (s *server) endDevice(w http.ResponseWriter, r *http.Request) {
	err := s.auth.EndSession(r.Context(), s.web.User(r.Context()).ID, gormkey.SessionID(r.PostForm.Get("id")))
	switch {
	case err == nil, errors.Is(err, gormkey.ErrInvalidSession): // it has ended
		http.Redirect(w, r, "/account/devices?notice=device-ended", http.StatusSeeOther)
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
	http.Redirect(w, r, "/account/devices?notice=others-ended", http.StatusSeeOther)
}

// deviceName makes a few words of a User-Agent, by the names that come first in it where
// several are claimed.
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
