package main

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

// maxBody is enough for the longest form, two passwords of 4096 bytes each of which takes
// three characters, and an address.
const maxBody = 64 << 10

//go:embed templates static
var assets embed.FS

// settings are what the flags say.
type settings struct {
	dev            bool   // show what would be mailed
	site           string // scheme and host, for links in mails
	insecureCookie bool
	mail           func(ctx context.Context, m mail) error
	now            func() time.Time // of the throttle; time.Now if nil
	pace           time.Duration    // of the mails; a second if 0
}

// server holds what the handlers need.
type server struct {
	settings
	auth   *repository
	web    *httpauth.Auth[Account, Device]
	limits *throttle.Throttle
	pages  pages
	nobody string         // the id of an account that nobody can use: see resetMail
	mails  sync.WaitGroup // the worker that sends them

	waiting sync.Mutex
	queue   []func(ctx context.Context) (mail, error)
	sending bool // the worker is there
}

func newServer(db *gorm.DB, auth *repository, set settings) (*server, error) {
	s := &server{settings: set, auth: auth}
	if s.now == nil {
		s.now = time.Now
	}
	if s.pace == 0 {
		s.pace = time.Second
	}
	var err error
	if s.pages, err = loadPages(); err != nil {
		return nil, err
	}
	if s.nobody, err = nobody(db, s.auth); err != nil {
		return nil, err
	}
	if s.limits, err = throttle.New(db, throttle.WithClock(s.now)); err != nil {
		return nil, err
	}
	options := []httpauth.Option{
		httpauth.WithThrottle(s.limits),
		httpauth.RedirectAnonymous("/sign-in"),
		httpauth.WithCrossOrigin(s.problem(http.StatusForbidden)),
		httpauth.WithUnavailable(s.unavailable),
	}
	if s.insecureCookie {
		options = append(options, httpauth.InsecureCookie())
	}
	s.web, err = httpauth.New(s.auth, options...)
	return s, err
}

// handler returns the routes. A page is anybody's, a private one needs a session, and
// both refuse a POST of another site before anything else.
func (s *server) handler() http.Handler {
	page := func(h http.HandlerFunc) http.Handler { return s.web.OptionalUser(s.parsed(h)) }
	private := func(h http.HandlerFunc) http.Handler { return s.web.RequireUser(s.parsed(h)) }

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page(s.home))
	mux.Handle("GET /sign-up", page(s.showSignUp))
	mux.Handle("POST /sign-up", page(s.signUp))
	mux.Handle("GET /sign-in", page(s.showSignIn))
	mux.Handle("POST /sign-in", page(s.signIn))
	mux.Handle("POST /sign-out", page(s.signOut))
	mux.Handle("GET /forgot-password", page(s.showForgot))
	mux.Handle("POST /forgot-password", page(s.forgot))
	mux.Handle("GET /reset-password", page(s.showReset))
	mux.Handle("POST /reset-password", page(s.reset))
	mux.Handle("GET /account", private(s.showAccount))
	mux.Handle("POST /account/password", private(s.changePassword))
	mux.Handle("GET /account/devices", private(s.devices))
	mux.Handle("POST /account/devices/end", private(s.endDevice))
	mux.Handle("POST /account/devices/end-others", private(s.endOtherDevices))
	// Where password managers look (w3c.github.io/webappsec-change-password-url).
	mux.Handle("GET /.well-known/change-password", http.RedirectHandler("/account", http.StatusSeeOther))
	mux.Handle("GET /static/", static())
	mux.Handle("/", page(s.notFound))
	return http.MaxBytesHandler(withHeaders(mux), maxBody)
}

// withHeaders sets what holds for every answer. There is no script, no frame and nothing
// from elsewhere, and the policy says so.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// static serves the style sheet and the icon, under names that change with what they hold.
func static() http.Handler {
	files := http.FileServerFS(assets)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := fs.Stat(assets, r.URL.Path[1:]); err == nil && r.URL.RawQuery != "" {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		files.ServeHTTP(w, r)
	})
}

// parsed reads a form before its handler, which then finds it in r.PostForm.
func (s *server) parsed(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := r.ParseForm()
		tooLarge := new(http.MaxBytesError)
		switch {
		case errors.As(err, &tooLarge):
			s.problem(http.StatusRequestEntityTooLarge)(w, r)
		case err != nil && r.Method == http.MethodPost: // a GET's broken query is nobody's business
			s.problem(http.StatusBadRequest)(w, r)
		default:
			next(w, r)
		}
	})
}

func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	s.problem(http.StatusNotFound)(w, r)
}

// unavailable answers for a database that failed; the cookie stays.
func (s *server) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil { // else nobody waits for the answer
		slog.Error("database", "error", err)
	}
	s.problem(http.StatusServiceUnavailable)(w, r)
}
