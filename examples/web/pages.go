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
	funcs := template.FuncMap{"asset": asset, "day": day, "moment": moment}
	layout, err := template.New("").Funcs(funcs).ParseFS(assets, "templates/layout.html", "templates/form.html")
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

func day(t time.Time) string    { return t.UTC().Format("2 January 2006") }
func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// view is what every page gets.
type view struct {
	Title   string
	Path    string   // of the request, to mark it in the navigation
	Account *Account // nil for nobody
	Notice  string   // what was just done
	Form    *form    // nil on pages without one
	Data    any      // the page's own
}

// notices are the words for "?notice=" after a redirect. Only these can be shown, since
// anybody can write a link.
var notices = map[string]string{
	"welcome":          "Your account is ready, and you are signed in.",
	"signed-out":       "You are signed out.",
	"password-changed": "Your password is changed, and your other devices are signed out.",
	"password-reset":   "Your password is changed, and every device is signed out. Sign in with the new one.",
	"device-ended":     "That device is signed out.",
	"others-ended":     "Your other devices are signed out.",
}

// show answers with a page.
func (s *server) show(w http.ResponseWriter, r *http.Request, status int, page string, v view) {
	v.Path = r.URL.Path
	v.Account = s.web.User(r.Context())
	v.Notice = notices[r.URL.Query().Get("notice")]
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
	http.StatusBadRequest:            {"That did not arrive well", "The form could not be read. Go back and send it again."},
	http.StatusForbidden:             {"That came from elsewhere", "The request was made by another site, so nothing was done. If it was you, open the page here and try again."},
	http.StatusNotFound:              {"There is no such page", "The address may be mistyped, or the page has moved."},
	http.StatusRequestEntityTooLarge: {"That is too much", "The form is larger than any of ours. Go back and shorten it."},
	http.StatusServiceUnavailable:    {"We cannot answer at the moment", "You are still signed in if you were. Try again in a minute."},
}

// problem returns the page for a status.
func (s *server) problem(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := problems[status]
		s.show(w, r, status, "problem", view{Title: p.Title, Data: p.Text})
	}
}
