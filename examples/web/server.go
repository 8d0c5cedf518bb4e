package main

import (
	"context"
	"crypto/cipher"
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

// maxBody is enough for the longest form: two passwords of 4096 bytes, each byte written in three
// characters, and an address.
const maxBody = 64 << 10

//go:embed templates static
var assets embed.FS

// settings are what the flags say.
type settings struct {
	dev            bool   // send mails at once, and have a page that shows them
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
	sealer cipher.AEAD    // of drafts
	nobody string         // the id of an account that nobody can use: see resetMail
	mails  sync.WaitGroup // the worker that sends them

	waiting sync.Mutex // guards what follows
	queue   []func(ctx context.Context) (mail, error)
	sending bool   // the worker is there
	sent    []mail // in development
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
	if s.sealer, err = newSealer(); err != nil {
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
		httpauth.RedirectReauthenticate("/confirm"),
		httpauth.WithCrossOrigin(http.HandlerFunc(s.crossOrigin)),
		httpauth.WithUnavailable(s.unavailable),
	}
	if s.insecureCookie {
		options = append(options, httpauth.InsecureCookie())
	}
	s.web, err = httpauth.New(s.auth, options...)
	return s, err
}

// handler returns the routes. A page is anybody's, a private one needs a session, and a recent one
// needs a session whose user has just entered the password. All of them refuse a POST of another
// site before anything else.
func (s *server) handler() http.Handler {
	page := func(h http.HandlerFunc) http.Handler { return s.web.OptionalUser(s.used(s.parsed(h))) }
	private := func(h http.HandlerFunc) http.Handler { return s.web.RequireUser(s.used(s.parsed(h))) }
	recent := func(h http.HandlerFunc) http.Handler {
		return s.web.RequireUser(s.used(s.web.RequireRecent(recently, s.parsed(h))))
	}

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page(s.home))
	mux.Handle("GET /sign-up", page(s.showSignUp))
	mux.Handle("POST /sign-up", page(s.signUp))
	mux.Handle("GET /sign-in", page(s.showSignIn))
	mux.Handle("POST /sign-in", page(s.signIn))
	mux.Handle("POST /sign-out", page(s.signOut))
	mux.Handle("GET /forgot-password", page(s.showForgot))
	mux.Handle("POST /forgot-password", page(s.forgot))
	mux.Handle("GET /forgot-password/sent", page(s.showLinkSent))
	mux.Handle("GET /reset-password", page(s.showReset))
	mux.Handle("POST /reset-password", page(s.reset))
	mux.Handle("GET /verify-email", page(s.showVerify))
	mux.Handle("POST /verify-email", page(s.verify))
	mux.Handle("GET /change-email", page(s.showChange))
	mux.Handle("POST /change-email", page(s.change))
	mux.Handle("GET /confirm", private(s.showConfirm))
	mux.Handle("POST /confirm", private(s.confirm))
	mux.Handle("GET /members", private(s.verified(s.members)))
	mux.Handle("GET /account", private(s.showAccount))
	mux.Handle("GET /account/verify-email", private(s.showResend))
	mux.Handle("POST /account/verify-email", private(s.resend))
	mux.Handle("GET /account/email", recent(s.showEmail))
	mux.Handle("POST /account/email", private(s.changeEmail))
	mux.Handle("GET /account/password", private(s.showPassword))
	mux.Handle("POST /account/password", private(s.changePassword))
	mux.Handle("GET /account/devices", private(s.devices))
	mux.Handle("POST /account/devices/end", private(s.endDevice))
	mux.Handle("POST /account/devices/end-others", private(s.endOtherDevices))
	mux.Handle("POST /account/devices/end-all", private(s.endEveryDevice))
	mux.Handle("GET /account/activity", private(s.showActivity))
	mux.Handle("GET /account/export", recent(s.showExport))
	mux.Handle("POST /account/export", recent(s.export))
	mux.Handle("GET /account/delete", recent(s.showDelete))
	mux.Handle("POST /account/delete", private(s.deleteAccount))
	if s.dev {
		mux.Handle("GET /dev/mails", page(s.showMails))
	}
	// Where password managers look (w3c.github.io/webappsec-change-password-url).
	mux.Handle("GET /.well-known/change-password", http.RedirectHandler("/account/password", http.StatusSeeOther))
	mux.Handle("GET /static/", static())
	mux.Handle("/", page(s.notFound))
	return http.MaxBytesHandler(withHeaders(mux), maxBody)
}

// withHeaders sets the headers of every answer. The pages have no inline script or style, no frame
// and nothing from another site, and the policy says so.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// static serves the style sheet, the script and the icon, under addresses that change with their
// content.
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
		case err != nil && r.Method == http.MethodPost: // a page does not need a GET's broken query
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
