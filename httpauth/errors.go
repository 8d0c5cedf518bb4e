package httpauth

import (
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/throttle"
)

// Status returns the HTTP status for an error of this package or of a [gormkey.Repository], and
// the seconds for the Retry-After header, 0 for none:
//
//	400 [gormkey.ErrInvalidArgument]
//	401 [gormkey.ErrInvalidCredentials], [gormkey.ErrInvalidSession]
//	403 [ErrCrossOrigin], [gormkey.ErrNotRecent], [gormkey.ErrSuspended]
//	404 [gormkey.ErrUserNotFound], [gormkey.ErrKeyNotFound]
//	409 the duplicates, [gormkey.ErrLastKey]
//	422 [gormkey.ErrInvalidPassword], [gormkey.ErrInvalidToken]
//	429 [throttle.ErrTooMany]
//	503 [gormkey.ErrBusy] and every other error, [gormkey.ErrUsage] among them
//
// It is 200 for nil.
func Status(err error) (status, retryAfter int) {
	var refused *throttle.Error
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	switch {
	case err == nil:
		return http.StatusOK, 0
	case errors.As(err, &refused):
		return http.StatusTooManyRequests, int(math.Ceil(refused.RetryAfter.Seconds()))
	case is(throttle.ErrTooMany):
		return http.StatusTooManyRequests, 0
	case is(gormkey.ErrBusy):
		return http.StatusServiceUnavailable, 1
	case is(gormkey.ErrInvalidCredentials, gormkey.ErrInvalidSession):
		return http.StatusUnauthorized, 0
	case is(ErrCrossOrigin, gormkey.ErrNotRecent, gormkey.ErrSuspended):
		return http.StatusForbidden, 0
	case is(gormkey.ErrInvalidArgument):
		return http.StatusBadRequest, 0
	case is(gormkey.ErrUserNotFound, gormkey.ErrKeyNotFound):
		return http.StatusNotFound, 0
	case is(gormkey.ErrDuplicateKey, gormkey.ErrDuplicateUser, gormkey.ErrDuplicateSession, gormkey.ErrDuplicateAttribute, gormkey.ErrLastKey):
		return http.StatusConflict, 0
	case is(gormkey.ErrInvalidPassword, gormkey.ErrInvalidToken):
		return http.StatusUnprocessableEntity, 0
	}
	return http.StatusServiceUnavailable, 0
}

// Error answers a request whose operation failed, with the status of [Status]. The text is the
// status's own; for 400 it is the argument and the reason of the [gormkey.ArgumentError]. A client
// that sends or accepts application/json gets an object with "error", a name that stays the same,
// and "message", that text:
//
//	{"error":"invalid_argument","message":"password: too short: at least 8 characters are needed"}
//
// A request without a session is answered as [RedirectAnonymous] and [WithAnonymous] say, one
// of another origin as [WithCrossOrigin], one whose session is not recent as
// [RedirectReauthenticate], and an error of the database as [WithUnavailable].
//
// A request of another origin is also logged by slog, with the reason: the header and the option.
// The answer has that reason for a client on the same machine and for one that wants
// JSON. Err must not be nil.
func (a *Auth[U, S]) Error(w http.ResponseWriter, r *http.Request, err error) {
	status, retryAfter := Status(err)
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	noStore(w)
	if status < http.StatusInternalServerError && errors.As(err, new(*gormkey.DatabaseError)) {
		slog.ErrorContext(r.Context(), "httpauth: an error came with the answer", "error", err) // such as one of the event log
	}
	switch {
	case errors.Is(err, gormkey.ErrInvalidSession):
		if a.o.signInPath != "" && navigates(r) && !wantsJSON(r) {
			a.redirectAnonymous(w, r)
			return
		}
		a.unauthorized(w, r)
	case errors.Is(err, gormkey.ErrNotRecent):
		a.notRecent(w, r, err)
	case errors.Is(err, ErrCrossOrigin):
		a.forbidden(w, r, err)
	case status == http.StatusServiceUnavailable && !errors.Is(err, gormkey.ErrBusy):
		a.o.unavailable(w, r, err)
	default:
		answer(w, r, status, err)
	}
}

// forbidden answers a request of another origin. Its path is not logged, since it may hold the
// token of a link.
func (a *Auth[U, S]) forbidden(w http.ResponseWriter, r *http.Request, err error) {
	slog.WarnContext(r.Context(), "httpauth: refused", "method", r.Method, "error", err)
	if a.o.crossOrigin != nil {
		a.o.crossOrigin.ServeHTTP(w, r)
		return
	}
	var refused *originError
	if !errors.As(err, &refused) || !isLocal(r) && !wantsJSON(r) {
		err = ErrCrossOrigin
	}
	answer(w, r, http.StatusForbidden, err)
}

// isLocal reports whether the client is on this machine, and no proxy of it.
func isLocal(r *http.Request) bool {
	return isLoopback(r.RemoteAddr) && len(r.Header["X-Forwarded-For"])+len(r.Header["Forwarded"]) == 0
}

// wantsJSON reports whether the client is a program that reads JSON.
func wantsJSON(r *http.Request) bool {
	for _, name := range []string{"Accept", "Content-Type"} {
		for _, value := range r.Header[name] {
			for part := range strings.SplitSeq(value, ",") {
				kind, _, _ := strings.Cut(part, ";")
				if strings.EqualFold(strings.TrimSpace(kind), "application/json") {
					return true
				}
			}
		}
	}
	return false
}

// answer writes the status with its text, or with what may be shown of the error.
func answer(w http.ResponseWriter, r *http.Request, status int, err error) {
	var (
		argument *gormkey.ArgumentError
		refused  *originError
		text     = http.StatusText(status)
	)
	switch {
	case status == http.StatusBadRequest && errors.As(err, &argument):
		text = argument.Argument + ": " + argument.Reason
	case status == http.StatusForbidden && errors.As(err, &refused):
		text = refused.reason
	}
	if !wantsJSON(r) {
		http.Error(w, text, status)
		return
	}
	body, _ := json.Marshal(struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}{errorName(status, err), text})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// errorName names an error for programs.
func errorName(status int, err error) string {
	switch {
	case errors.Is(err, gormkey.ErrNotRecent):
		return "reauthenticate"
	case errors.Is(err, gormkey.ErrSuspended):
		return "suspended"
	}
	switch status {
	case http.StatusBadRequest:
		return "invalid_argument"
	case http.StatusUnauthorized:
		if errors.Is(err, gormkey.ErrInvalidCredentials) {
			return "invalid_credentials"
		}
		return "unauthenticated"
	case http.StatusForbidden:
		return "cross_origin"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusConflict:
		if errors.Is(err, gormkey.ErrLastKey) {
			return "last_key"
		}
		return "taken"
	case http.StatusUnprocessableEntity:
		if errors.Is(err, gormkey.ErrInvalidToken) {
			return "invalid_token"
		}
		return "invalid_password"
	case http.StatusTooManyRequests:
		return "too_many_requests"
	}
	return "unavailable"
}
