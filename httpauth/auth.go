package httpauth

import (
	"errors"
	"fmt"
	"net/http"

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
// ([gormkey.Repository.SignIn]). The session that the request came with ends with it. With
// [WithThrottle] it passes that first, but for credentials with NoPassword.
//
// Errors: those of Repository.SignIn, [ErrCrossOrigin], [*throttle.Error]. No cookie is
// set then; [Auth.Error] answers them.
func (a *Auth[U, S]) SignIn(w http.ResponseWriter, r *http.Request, c gormkey.Credentials) (*S, error) {
	session := new(S)
	if err := a.SignInInto(w, r, c, session); err != nil {
		return nil, err
	}
	return session, nil
}

// SignInInto is [Auth.SignIn] for a session with columns of its own, which it stores.
func (a *Auth[U, S]) SignInInto(w http.ResponseWriter, r *http.Request, c gormkey.Credentials, dest *S) error {
	return a.open(w, r, dest, func(replacing gormkey.SignInOption) error {
		signIn := func() error { return a.repo.SignInInto(r.Context(), c, a.into(dest), replacing) }
		if a.o.throttle == nil || c.NoPassword { // there is nothing to guess
			return signIn()
		}
		return a.o.throttle.Do(r.Context(), c.Provider+":"+c.ID, a.Client(w, r), signIn)
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
	return a.open(w, r, dest, func(replacing gormkey.SignInOption) error {
		return a.repo.CreateSessionInto(r.Context(), userID, a.into(dest), replacing)
	})
}

func (a *Auth[U, S]) open(w http.ResponseWriter, r *http.Request, dest *S, open func(replacing gormkey.SignInOption) error) error {
	if dest == nil {
		return &gormkey.ArgumentError{Argument: "dest", Reason: "is nil"}
	}
	if err := a.CheckOrigin(r); err != nil {
		return err
	}
	if err := open(gormkey.Replacing(a.cookieToken(r))); err != nil {
		return err
	}
	a.SetCookie(w, dest)
	a.found(r, dest, nil)
	return nil
}

// SignOut ends the session of the request's cookie and clears the cookie. By
// Clear-Site-Data the browser also forgets the pages that Back would show (OWASP ASVS
// 14.3.1). A request without a session is no error. After an error of the database the session and the
// cookie are as they were, so that it can be tried again. [ErrCrossOrigin] keeps other
// sites from signing people out.
func (a *Auth[U, S]) SignOut(w http.ResponseWriter, r *http.Request) error {
	if err := a.CheckOrigin(r); err != nil {
		return err
	}
	if token := a.cookieToken(r); token != "" {
		if err := a.repo.SignOut(r.Context(), token); err != nil && !errors.Is(err, gormkey.ErrInvalidSession) {
			return err
		}
	}
	a.ClearCookie(w)
	w.Header().Set("Clear-Site-Data", `"cache"`)
	a.found(r, nil, gormkey.ErrInvalidSession)
	return nil
}

// SignInWithToken uses up a one-time token of the purpose [gormkey.MagicLink], opens a
// session and sends its cookie ([gormkey.Repository.SignInWithToken]). The session that the
// request came with ends with it. Errors are its and [ErrCrossOrigin].
func (a *Auth[U, S]) SignInWithToken(w http.ResponseWriter, r *http.Request, token gormkey.Token) (*S, error) {
	session := new(S)
	err := a.open(w, r, session, func(replacing gormkey.SignInOption) error {
		return a.repo.SignInWithTokenInto(r.Context(), token, a.into(session), replacing)
	})
	if err != nil {
		return nil, err
	}
	return session, nil
}
