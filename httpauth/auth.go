package httpauth

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gormkey/gormkey"
)

// Auth is the request side of one user type U and its sessions S. It is safe for
// concurrent use.
type Auth[U, S any] struct {
	repo *gormkey.Repository[U]
	into func(*S) gormkey.SessionModel[U]
	o    options
	csrf *http.CrossOriginProtection
	key  *contextKey

	renewals renewals
}

// New returns the request side of a repository, with sessions of gormkey's own struct.
// Every option out of bounds is an error.
func New[U any](auth *gormkey.Repository[U], opts ...Option) (*Auth[U, gormkey.Session[U]], error) {
	return NewFor[gormkey.Session[U]](auth, opts...)
}

// NewFor is [New] for the application's own session struct, the one that it registered
// with [gormkey.WithSessionModel]: httpauth.NewFor[Device](auth).
func NewFor[S any, U any, P interface {
	*S
	gormkey.SessionModel[U]
}](auth *gormkey.Repository[U], opts ...Option) (*Auth[U, S], error) {
	if auth == nil {
		return nil, errors.New("httpauth: the repository is nil")
	}
	a := &Auth[U, S]{
		repo: auth,
		into: func(s *S) gormkey.SessionModel[U] { return P(s) },
		o:    defaultOptions(),
		csrf: http.NewCrossOriginProtection(),
		key:  new(contextKey),
	}
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
func (a *Auth[U, S]) base(session *S) *gormkey.Session[U] { return a.into(session).AuthSession() }

// SignIn verifies credentials, opens a session and sends its cookie
// ([gormkey.Repository.SignIn]). The session that the request came with ends with it, or each
// if it came with several. With
// [WithThrottle] it passes that first, but for credentials with NoPassword.
//
// Errors: those of Repository.SignIn, [ErrCrossOrigin], [*throttle.Error]. No cookie is
// set then, neither the session's nor the device's; [Auth.Error] answers them.
func (a *Auth[U, S]) SignIn(w http.ResponseWriter, r *http.Request, c gormkey.Credentials) (*S, error) {
	session := new(S)
	if err := a.SignInInto(w, r, c, session); err != nil {
		return nil, err
	}
	return session, nil
}

// SignInInto is [Auth.SignIn] for a session with columns of its own, which it stores.
func (a *Auth[U, S]) SignInInto(w http.ResponseWriter, r *http.Request, c gormkey.Credentials, dest *S) error {
	return a.open(w, r, dest, func(replacing ...gormkey.SignInOption) error {
		signIn := func() error { return a.repo.SignInInto(r.Context(), c, a.into(dest), replacing...) }
		if a.o.throttle == nil || c.NoPassword { // there is nothing to guess
			return signIn()
		}
		if err := a.repo.CheckCredentials(c); err != nil { // there is nobody whom it could be a guess at
			return err
		}
		account, client := c.Provider+":"+c.ID, a.KnownClient(r)
		if err := a.o.throttle.Do(r.Context(), account, client, signIn); err != nil {
			return err
		}
		// What fails sets no cookie, so a browser gets its secret here. An error is no reason to
		// refuse who has signed in.
		if given := a.Client(w, r); client.Device == "" {
			_ = a.o.throttle.Trust(r.Context(), account, given)
		}
		return nil
	})
}

// OpenSession opens a session for a user and sends its cookie, without asking for
// credentials: after a sign-up, say ([gormkey.Repository.CreateSession]). The session that
// the request came with ends with it. Errors are its and [ErrCrossOrigin].
func (a *Auth[U, S]) OpenSession(w http.ResponseWriter, r *http.Request, userID string) (*S, error) {
	session := new(S)
	if err := a.OpenSessionInto(w, r, userID, session); err != nil {
		return nil, err
	}
	return session, nil
}

// OpenSessionInto is [Auth.OpenSession] for a session with columns of its own, which it
// stores.
func (a *Auth[U, S]) OpenSessionInto(w http.ResponseWriter, r *http.Request, userID string, dest *S) error {
	return a.open(w, r, dest, func(replacing ...gormkey.SignInOption) error {
		return a.repo.CreateSessionInto(r.Context(), userID, a.into(dest), replacing...)
	})
}

func (a *Auth[U, S]) open(w http.ResponseWriter, r *http.Request, dest *S, open func(replacing ...gormkey.SignInOption) error) error {
	if dest == nil {
		return &gormkey.ArgumentError{Argument: "dest", Reason: "is nil"}
	}
	if err := a.CheckOrigin(r); err != nil {
		return err
	}
	came := a.presented(r)
	replacing := make([]gormkey.SignInOption, len(came.tokens))
	for i, token := range came.tokens {
		replacing[i] = gormkey.Replacing(token)
	}
	if err := open(replacing...); err != nil {
		return err
	}
	a.renewals.end(came.tokens)
	send(w, append(a.o.cookie.stale(a.o.cookie.name, came.several), a.cookieOf(dest))...)
	a.found(r, dest, nil)
	return nil
}

// SignOut ends the session of the request's cookie, or each if there are several of the
// name, and clears the cookie. A request without a session is no error. After an error of the
// database the cookie is as it was, so that it can be tried again. [ErrCrossOrigin] keeps
// other sites from signing people out.
//
// Pages that are no-store are not shown by Back then (OWASP ASVS 14.3.1). Chromium keeps them
// for Back until a cookie with HttpOnly changes, and does not count the change with which a
// redirect led to the page, as after a sign-in. So for browsers that send Sec-Fetch-Mode, as
// Chromium does, the cookie changes twice: it gets a value that is no token, and is cleared
// (measured with Chromium 156). An application that lets browsers cache private pages should
// also send Clear-Site-Data: "cache". With 4,000 files in Chromium's cache a sign-out took
// 0.4 s with that header, and 5 ms without it.
func (a *Auth[U, S]) SignOut(w http.ResponseWriter, r *http.Request) error {
	if err := a.CheckOrigin(r); err != nil {
		return err
	}
	came := a.presented(r)
	for _, token := range came.tokens {
		if err := a.repo.SignOut(r.Context(), token); err != nil && !errors.Is(err, gormkey.ErrInvalidSession) {
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

// SignInWithToken uses up a one-time token of the purpose [gormkey.MagicLink], opens a
// session and sends its cookie ([gormkey.Repository.SignInWithToken]). The session that the
// request came with ends with it. Errors are its and [ErrCrossOrigin].
func (a *Auth[U, S]) SignInWithToken(w http.ResponseWriter, r *http.Request, token gormkey.Token) (*S, error) {
	session := new(S)
	err := a.open(w, r, session, func(replacing ...gormkey.SignInOption) error {
		return a.repo.SignInWithTokenInto(r.Context(), token, a.into(session), replacing...)
	})
	if err != nil {
		return nil, err
	}
	return session, nil
}
