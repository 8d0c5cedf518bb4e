package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"
)

// pages are the templates, each with the layout around it.
type pages map[string]*template.Template

func loadPages() (pages, error) {
	funcs := template.FuncMap{"asset": asset, "day": day, "moment": moment, "stamp": stamp, "under": under}
	layout, err := template.New("").Funcs(funcs).ParseFS(assets, "templates/layout.html", "templates/form.html", "templates/time.html")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(assets, "templates/*.html")
	if err != nil {
		return nil, err
	}
	p := pages{}
	for _, file := range files {
		page, err := layout.Clone()
		if err != nil {
			return nil, err
		}
		if p[strings.TrimSuffix(path.Base(file), ".html")], err = page.ParseFS(assets, file); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// asset returns the path of a file in static with a mark of its content, so that browsers
// may keep it for good.
func asset(name string) (string, error) {
	content, err := assets.ReadFile("static/" + name)
	sum := sha256.Sum256(content)
	return "/static/" + name + "?" + hex.EncodeToString(sum[:6]), err
}

// Pages show times in UTC. Where scripts run, page.js replaces them by the visitor's local time.
func day(t time.Time) string    { return t.UTC().Format("2 January 2006") }
func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }
func stamp(t time.Time) string  { return t.UTC().Format(time.RFC3339) }

// under tells whether a path is a page or below it.
func under(path, page string) bool { return path == page || strings.HasPrefix(path, page+"/") }

// view is what every page gets.
type view struct {
	Title   string
	Path    string   // of the request, to mark it in the navigation
	Account *Account // nil for nobody
	Notice  string   // what was just done
	Form    *form    // nil on pages without one
	Dev     bool     // link to the page of mails
	Data    any      // the page's own
}

// notices are what a page can say about the form before it. Only these can be shown, since a
// cookie may hold anything.
var notices = map[string]string{
	"welcome":            "Your account is ready. We have sent you a link to confirm your email address.",
	"signed-out":         "You are signed out.",
	"password-changed":   "Your password is changed, and your other devices are signed out.",
	"password-reset":     "Your password is changed, and every device is signed out. Sign in with the new password.",
	"device-ended":       "That device is signed out.",
	"others-ended":       "Your other devices are signed out.",
	"all-ended":          "You are signed out on every device.",
	"link-sent":          "We have sent you a new link. The older ones no longer work.",
	"confirmed":          "Your email address is confirmed.",
	"change-sent":        "We have sent a link to the new address. Open it to finish the change.",
	"email-changed":      "Your email address is changed. Use the new one to sign in.",
	"password-confirmed": "Your password is confirmed. Nothing else has changed yet.",
	"deleted":            "Your account is deleted.",
}

// show answers with a page.
func (s *server) show(w http.ResponseWriter, r *http.Request, status int, page string, v view) {
	v.Path, v.Dev = r.URL.Path, s.dev
	v.Account = s.web.User(r.Context())
	v.Notice = s.takeNotice(w, r)
	var body bytes.Buffer // so that a failure is not half a page
	if err := s.pages[page].ExecuteTemplate(&body, "layout", v); err != nil {
		slog.Error("template", "page", page, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}

// problems are the words for a status that has a page.
var problems = map[int]struct{ Title, Text string }{
	http.StatusBadRequest:            {"We could not read the form", "Go back and send it again."},
	http.StatusForbidden:             {"We refused this request", "Nothing shows that it came from a page of this site, so nothing was done. Open the page again and repeat what you did."},
	http.StatusNotFound:              {"Page not found", "The address may be mistyped, or the page may have moved."},
	http.StatusRequestEntityTooLarge: {"The form is too large", "Go back and shorten what you entered."},
	http.StatusServiceUnavailable:    {"The site is not available right now", "If you were signed in, you still are. Try again in a minute."},
}

// problem returns the page for a status.
func (s *server) problem(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := problems[status]
		s.show(w, r, status, "problem", view{Title: p.Title, Data: p.Text})
	}
}

// crossOrigin answers a form that does not come from a page of this site. A page that was opened
// over plain http, from another machine on the same network for example, gets here too: browsers
// keep the cookies of a sign-in for https alone, so it is refused before a password is looked at.
func (s *server) crossOrigin(w http.ResponseWriter, r *http.Request) {
	if s.insecureCookie || r.TLS != nil || r.Header.Get("Origin") != "http://"+r.Host {
		s.problem(http.StatusForbidden)(w, r)
		return
	}
	slog.Warn("a form was refused since the page was opened over http: serve https, or in development start with -insecure-cookie", "host", r.Host)
	s.show(w, r, http.StatusForbidden, "needs-https", view{Title: "This site needs https", Data: r.Host})
}
