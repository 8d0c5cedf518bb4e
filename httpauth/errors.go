package httpauth

import (
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/throttle"
)

// Status returns the HTTP status for an error of this package or of a [gormkey.Repository], and
// the seconds for the Retry-After header, 0 for none:
//
//	400 [gormkey.ErrInvalidArgument]
//	401 [gormkey.ErrInvalidCredentials], [gormkey.ErrInvalidSession]
//	403 [ErrCrossOrigin]
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
	case is(ErrCrossOrigin):
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

// Error answers a request whose operation failed, with the status that [Status] returns and that
// status's own text. For a request without a session [RedirectAnonymous] and [WithAnonymous]
// decide, for one of another origin [WithCrossOrigin], and for an error of the database
// [WithUnavailable]. Err must not be nil.
func (a *Auth[U, S]) Error(w http.ResponseWriter, r *http.Request, err error) {
	status, retryAfter := Status(err)
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	noStore(w)
	switch {
	case errors.Is(err, gormkey.ErrInvalidSession):
		if a.o.signInPath != "" && navigates(r) {
			a.redirectAnonymous(w, r)
			return
		}
		a.unauthorized(w, r)
	case status == http.StatusForbidden && a.o.crossOrigin != nil:
		a.o.crossOrigin.ServeHTTP(w, r)
	case status == http.StatusServiceUnavailable && !errors.Is(err, gormkey.ErrBusy):
		a.o.unavailable(w, r, err)
	default:
		http.Error(w, http.StatusText(status), status)
	}
}
