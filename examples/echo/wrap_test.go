package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/labstack/echo/v5"
)

// TestWrapMiddleware checks what the example relies on: that what stands behind a refusal does
// not run, and that what stands behind a pass runs once, in order and with the context that the
// middleware gave, and that its error is answered.
func TestWrapMiddleware(t *testing.T) {
	type key struct{}
	guard := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if w.Header().Add("Vary", "Cookie"); r.URL.Path == "/refused" {
				http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "ada")))
		})
	}
	var ran []string
	note := func(name string) echo.MiddlewareFunc {
		return func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c *echo.Context) error {
				user, _ := c.Request().Context().Value(key{}).(string)
				ran = append(ran, name+" "+user)
				return next(c)
			}
		}
	}
	router := echo.New()
	router.Use(note("before"), echo.WrapMiddleware(guard), note("between"))
	router.Any("/*", func(*echo.Context) error { return echo.NewHTTPError(http.StatusTeapot, "") }, note("handler"))

	for path, want := range map[string]struct {
		status int
		ran    []string
	}{
		"/refused": {http.StatusSeeOther, []string{"before "}},
		"/passed":  {http.StatusTeapot, []string{"before ", "between ada", "handler ada"}},
	} {
		ran = nil
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", path, nil))
		if w.Code != want.status || !slices.Equal(ran, want.ran) || w.Header().Get("Vary") != "Cookie" {
			t.Errorf("%s: got %d, %q, %v; want %d, %q", path, w.Code, ran, w.Header(), want.status, want.ran)
		}
	}
}
