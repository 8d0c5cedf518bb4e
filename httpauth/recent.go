package httpauth

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gormkey/gormkey"
)

// RedirectReauthenticate sends a browser whose session is not recent to a local path, such as
// "/confirm", by 303: a page that asks for the password again and calls [Auth.Reauthenticate].
// The query's "next" has the path for which it asked, or, after a form, the path of the page with
// the form (see [LocalPath]). Scripts and clients that send or accept JSON get 403 all the same,
// as everybody does without this option:
//
//	{"error":"reauthenticate","message":"Forbidden"}
func RedirectReauthenticate(path string) Option {
	return func(o *options) { o.reauthenticatePath = path }
}

// Reauthenticate asks the user of the request's session to show again who they are, gives the
// session a new token and sends its cookie ([gormkey.RepositoryOf.Reauthenticate]). With
// [WithThrottle] the attempt passes the same throttle as a sign-in with the key, so nobody gets
// more guesses by it.
//
// A request that left with the old cookie and arrives later gets 401 and no cookie, so it takes
// the new one from nobody. Errors are those of the repository's Reauthenticate and of
// [Auth.SignIn]; after each the session and its cookie are as they were.
func (a *Auth[U, S]) Reauthenticate(w http.ResponseWriter, r *http.Request, c gormkey.Credentials) (*S, error) {
	if err := a.CheckOrigin(r); err != nil {
		return nil, err
	}
	came := a.presented(r)
	token, err := a.chosen(r.Context(), came)
	if err != nil {
		return nil, err
	}
	session, err := a.attempt(w, r, c, func() (*S, error) { return a.repo.Reauthenticate(a.Context(r), token, c) })
	if err != nil {
		return nil, err
	}
	a.renewals.end(came.tokens)
	send(w, append(a.o.cookie.stale(a.o.cookie.name, came.several), a.cookieOf(session))...)
	a.found(r, session, nil)
	return session, nil
}

// RequireRecent lets a request pass if its session is recent: the user showed who they are within
// a period of 1 minute to 24 hours ([gormkey.RepositoryOf.CheckRecent]). It is also
// [Auth.RequireUser], unless it stands behind that or behind [Auth.RequireBearer], whose session
// it then takes. Other requests are answered as [Auth.Error] answers [gormkey.ErrNotRecent]; those
// with a bearer token get 401 with the challenge of RFC 9470, 3.
//
// It spares the user a form that would be refused. What counts is the check in the operation's own
// transaction: see [gormkey.RepositoryOf.As].
func (a *Auth[U, S]) RequireRecent(within time.Duration, next http.Handler) http.Handler {
	recent := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := a.scopeOf(r.Context())
		err := a.repo.CheckRecent(s.current, within)
		switch {
		case errors.Is(err, gormkey.ErrNotRecent) && s.request.cookie == nil: // it came by a bearer token
			w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_user_authentication", max_age=`+strconv.Itoa(int(within.Seconds())))
			noStore(w)
			answer(w, r, http.StatusUnauthorized, err)
		case err != nil:
			a.Error(w, r, err)
		default:
			next.ServeHTTP(w, r)
		}
	})
	required := a.RequireUser(recent)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := a.scopeOf(r.Context()); s != nil && s.current != nil {
			recent.ServeHTTP(w, r)
			return
		}
		required.ServeHTTP(w, r)
	})
}

// notRecent answers a request whose session is not recent.
func (a *Auth[U, S]) notRecent(w http.ResponseWriter, r *http.Request, err error) {
	if a.o.reauthenticatePath == "" || !navigates(r) || wantsJSON(r) {
		answer(w, r, http.StatusForbidden, err)
		return
	}
	next := requestTarget(r)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		next = refererPath(r)
	}
	http.Redirect(w, r, withNext(a.o.reauthenticatePath, next), http.StatusSeeOther)
}

// refererPath returns the path and the query of the page that sent a form, "" if it is not of
// this host.
func refererPath(r *http.Request) string {
	u, err := url.Parse(r.Header.Get("Referer"))
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return ""
	}
	return u.RequestURI()
}

// withNext adds the query "next" to a path, if next is a local path.
func withNext(target, next string) string {
	if next = LocalPath(next, ""); next == "" {
		return target
	}
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return target + separator + "next=" + url.QueryEscape(next)
}
