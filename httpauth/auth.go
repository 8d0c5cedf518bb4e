package httpauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gormkey/gormkey"
)

// Auth is the request side of one user type U and its sessions S. Make it with [New]. It is safe
// for concurrent use.
type Auth[U, S any] struct {
	repo repository[U, S]
	o    options
	csrf *http.CrossOriginProtection
	key  *contextKey

	renewals  renewals
	unwatched sync.Once // has warned of a request that no middleware saw
}

// repository is what a request needs of a [gormkey.RepositoryOf], whatever its keys are.
type repository[U, S any] interface {
	SignIn(ctx context.Context, c gormkey.Credentials, set ...func(*S)) (*S, error)
	OpenSession(ctx context.Context, userID string, set ...func(*S)) (*S, error)
	SignInWithToken(ctx context.Context, token gormkey.Token, set ...func(*S)) (*S, error)
	ValidateSession(ctx context.Context, token gormkey.Token) (*S, error)
	GetSession(ctx context.Context, token gormkey.Token) (*S, error)
	SignOut(ctx context.Context, token gormkey.Token) error
	Reauthenticate(ctx context.Context, token gormkey.Token, c gormkey.Credentials) (*S, error)
	CheckRecent(session *S, within time.Duration) error
	Replacing(tokens ...gormkey.Token) func(*S)
	CheckCredentials(c gormkey.Credentials) error
	SessionOf(session *S) *gormkey.Session[U]
}

// New returns the request side of a repository. An option that is out of bounds is an error,
// which names all of them.
func New[U, K, S any](auth *gormkey.RepositoryOf[*U, *K, *S], opts ...Option) (*Auth[U, S], error) {
	if auth == nil {
		return nil, errors.New("httpauth: the repository is nil")
	}
	a := &Auth[U, S]{repo: auth, o: defaultOptions(), csrf: http.NewCrossOriginProtection(), key: new(contextKey)}
	for _, option := range opts {
		option(&a.o)
	}
	if err := a.o.validate(); err != nil {
		return nil, err
	}
	for _, origin := range a.o.trusted {
		if err := a.csrf.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("httpauth: TrustedOrigins: %w", err)
		}
	}
	return a, nil
}

// base returns the part of a session that is gormkey's.
func (a *Auth[U, S]) base(session *S) *gormkey.Session[U] {
	return a.repo.SessionOf(session)
}

// SignIn verifies credentials, opens a session and sends its cookie
// ([gormkey.RepositoryOf.SignIn]). The session that the request came with ends with it; if the
// request came with several, each of them ends. With [WithThrottle] the attempt passes the
// throttle first, unless [gormkey.Proved] made the credentials.
//
// After an error no cookie is set, neither the session's nor the device's. [Auth.Error] answers
// each of them:
//
//   - those of the repository's SignIn
//   - [ErrCrossOrigin]: the request came from another site.
//   - [*throttle.Error]: too many attempts have failed.
func (a *Auth[U, S]) SignIn(w http.ResponseWriter, r *http.Request, c gormkey.Credentials, set ...func(*S)) (*S, error) {
	return a.open(w, r, set, func(set []func(*S)) (*S, error) {
		return a.attempt(w, r, c, func() (*S, error) { return a.repo.SignIn(a.Context(r), c, set...) })
	})
}

// attempt lets an attempt with credentials pass the throttle, if there is one and something to
// guess.
func (a *Auth[U, S]) attempt(w http.ResponseWriter, r *http.Request, c gormkey.Credentials, try func() (*S, error)) (session *S, err error) {
	if a.o.throttle == nil || c.Proved() {
		return try()
	}
	if err := a.repo.CheckCredentials(c); err != nil { // nobody can have these, so it is no guess
		return nil, err
	}
	account, client := c.KeyID().String(), a.KnownClient(r)
	err = a.o.throttle.Do(r.Context(), account, client, func() error {
		session, err = try()
		return err
	})
	if err != nil {
		return nil, err
	}
	// A failed sign-in sets no cookie, so a new browser gets its secret only here. An error of
	// Trust is no reason to refuse somebody who has signed in.
	if given := a.Client(w, r); client.Device == "" {
		_ = a.o.throttle.Trust(r.Context(), account, given)
	}
	return session, nil
}

// OpenSession opens a session for a user and sends its cookie, without asking for credentials:
// after a sign-up, for example ([gormkey.RepositoryOf.OpenSession]). The session that the request
// came with ends with it. Errors are those of the repository's OpenSession, and [ErrCrossOrigin].
func (a *Auth[U, S]) OpenSession(w http.ResponseWriter, r *http.Request, userID string, set ...func(*S)) (*S, error) {
	return a.open(w, r, set, func(set []func(*S)) (*S, error) { return a.repo.OpenSession(a.Context(r), userID, set...) })
}

// SignInWithToken uses up a one-time token of the purpose [gormkey.PurposeMagicLink], opens a
// session and sends its cookie ([gormkey.RepositoryOf.SignInWithToken]). The session that the
// request came with ends with it. Errors are those of the repository's SignInWithToken, and
// [ErrCrossOrigin].
func (a *Auth[U, S]) SignInWithToken(w http.ResponseWriter, r *http.Request, token gormkey.Token, set ...func(*S)) (*S, error) {
	return a.open(w, r, set, func(set []func(*S)) (*S, error) { return a.repo.SignInWithToken(a.Context(r), token, set...) })
}

// open is common to the three calls above: it checks the origin, ends the session that the
// request came with, and sends the new cookie.
func (a *Auth[U, S]) open(w http.ResponseWriter, r *http.Request, set []func(*S), open func(set []func(*S)) (*S, error)) (*S, error) {
	if err := a.CheckOrigin(r); err != nil {
		return nil, err
	}
	came := a.presented(r)
	session, err := open(append(slices.Clone(set), a.repo.Replacing(came.tokens...)))
	if err != nil {
		return nil, err
	}
	a.renewals.end(came.tokens)
	send(w, append(a.o.cookie.stale(a.o.cookie.name, came.several), a.cookieOf(session))...)
	a.found(r, session, nil)
	return session, nil
}

// SignOut ends the session of the request's cookie, or each session if there are several cookies
// of the name, and clears the cookie. A request without a session is no error. After an error of
// the database the cookie stays, so that the user can try again. [ErrCrossOrigin] keeps other
// sites from signing people out.
//
// After it the browser's Back button shows no page that is no-store (OWASP ASVS 14.3.1). Chromium
// keeps such pages for Back until a cookie with HttpOnly changes. It does not count the change
// that came with the redirect to the page, as after a sign-in. So for browsers that send
// Sec-Fetch-Mode, as Chromium does, the cookie changes twice: it gets a value that is no token,
// and is then cleared (measured with Chromium 156).
//
// An application that lets browsers cache private pages should also send Clear-Site-Data:
// "cache". With 4,000 files in Chromium's cache a sign-out took 0.4 s with that header, and 5 ms
// without it.
func (a *Auth[U, S]) SignOut(w http.ResponseWriter, r *http.Request) error {
	if err := a.CheckOrigin(r); err != nil {
		return err
	}
	came := a.presented(r)
	for _, token := range came.tokens {
		if err := a.repo.SignOut(a.Context(r), token); err != nil && !errors.Is(err, gormkey.ErrInvalidSession) {
			return err
		}
	}
	a.renewals.end(came.tokens)
	c := &a.o.cookie
	lines := c.stale(c.name, came.several)
	if came.some && len(r.Header["Sec-Fetch-Mode"]) > 0 {
		lines = append(lines, c.cookie(c.name, "signed-out", time.Time{}))
	}
	send(w, append(lines, c.cleared(c.name))...)
	a.found(r, nil, gormkey.ErrInvalidSession)
	return nil
}
