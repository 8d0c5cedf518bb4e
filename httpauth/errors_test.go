package httpauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

// TestStatus: every error of the comment, plain, wrapped and joined.
func TestStatus(t *testing.T) {
	s := newSite(t)
	for _, test := range []struct {
		err        error
		status     int
		retryAfter int
	}{
		{gormkey.ErrInvalidArgument, 400, 0},
		{&gormkey.ArgumentError{Argument: "provider", Reason: "is empty"}, 400, 0},
		{gormkey.ErrInvalidCredentials, 401, 0},
		{gormkey.ErrInvalidSession, 401, 0},
		{httpauth.ErrCrossOrigin, 403, 0},
		{gormkey.ErrUserNotFound, 404, 0},
		{gormkey.ErrKeyNotFound, 404, 0},
		{gormkey.ErrDuplicateKey, 409, 0},
		{gormkey.ErrDuplicateUser, 409, 0},
		{gormkey.ErrDuplicateSession, 409, 0},
		{gormkey.ErrDuplicateAttribute, 409, 0},
		{gormkey.ErrLastKey, 409, 0},
		{gormkey.ErrInvalidPassword, 422, 0},
		{gormkey.ErrInvalidToken, 422, 0},
		{throttle.ErrTooMany, 429, 0},
		{&throttle.Error{RetryAfter: time.Millisecond}, 429, 1},
		{&throttle.Error{RetryAfter: time.Second}, 429, 1},
		{&throttle.Error{RetryAfter: time.Second + time.Millisecond}, 429, 2},
		{&throttle.Error{RetryAfter: 10 * time.Minute}, 429, 600},
		{gormkey.ErrBusy, 503, 1},
		{gormkey.ErrOutcomeUnknown, 503, 0},
		{gormkey.ErrNotRegistered, 503, 0},
		{&gormkey.UsageError{Argument: "db", Reason: "is closed"}, 503, 0},
		{&gormkey.DatabaseError{Op: "sign in", Code: "57P01"}, 503, 0},
		{context.Canceled, 503, 0},
		{context.DeadlineExceeded, 503, 0},
		{errors.New("anything"), 503, 0},
	} {
		for what, err := range map[string]error{
			"": test.err, "wrapped ": fmt.Errorf("a page: %w", test.err), "joined ": errors.Join(errors.New("a hook's"), test.err),
		} {
			what += test.err.Error()
			status, retryAfter := httpauth.Status(err)
			equal(t, what+": status", status, test.status)
			equal(t, what+": seconds", retryAfter, test.retryAfter)

			hook := new(unavailable)
			w := httptest.NewRecorder()
			s.with(hook.option()).Error(w, request("GET", "/"), err)
			equal(t, what+": status of the answer", w.Code, test.status)
			want := ""
			if test.retryAfter > 0 {
				want = fmt.Sprint(test.retryAfter)
			}
			equal(t, what+": Retry-After", w.Header().Get("Retry-After"), want)
			equal(t, what+": Cache-Control", w.Header().Get("Cache-Control"), "no-store")
			equal(t, what+": Set-Cookie", w.Header().Get("Set-Cookie"), "")
			body, hooked := http.StatusText(test.status)+"\n", 0
			if test.status == 503 && !errors.Is(err, gormkey.ErrBusy) {
				body, hooked = "come back later\n", 1
			}
			if test.err.Error() == "gormkey: provider: is empty" { // may be shown
				body = "provider: is empty\n"
			}
			equal(t, what+": body", w.Body.String(), body)
			equal(t, what+": errors for the hook", len(hook.got), hooked)
		}
	}
	status, retryAfter := httpauth.Status(nil)
	equal(t, "no error: status", status, 200)
	equal(t, "no error: seconds", retryAfter, 0)
}

// TestErrorTellsNothing: what an error says stays here.
func TestErrorTellsNothing(t *testing.T) {
	s := newSite(t)
	const secret = "duplicate key value (ada@example.com)"
	for _, err := range []error{errors.New(secret), fmt.Errorf("%s: %w", secret, gormkey.ErrDuplicateKey)} {
		w := httptest.NewRecorder()
		s.with(httpauth.WithUnavailable(func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(503) })).Error(w, request("GET", "/"), err)
		if strings.Contains(w.Body.String(), "ada") {
			t.Errorf("got body %q, want the status's text", w.Body.String())
		}
	}
}
