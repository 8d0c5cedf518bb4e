package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"

	"github.com/gin-gonic/gin"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	os.Exit(m.Run())
}

// TestWrap checks that what stands behind a refusal does not run, and that what stands behind
// a pass runs once, in order and with the context that the middleware gave.
func TestWrap(t *testing.T) {
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
	note := func(name string) gin.HandlerFunc {
		return func(c *gin.Context) {
			user, _ := c.Request.Context().Value(key{}).(string)
			ran = append(ran, name+" "+user)
		}
	}
	router := gin.New()
	router.Use(note("before"), wrap(guard), note("between"))
	router.Any("/*path", note("handler"), func(c *gin.Context) { c.Status(http.StatusAccepted) })

	for path, want := range map[string]struct {
		status int
		ran    []string
	}{
		"/refused": {http.StatusSeeOther, []string{"before "}},
		"/passed":  {http.StatusAccepted, []string{"before ", "between ada", "handler ada"}},
	} {
		ran = nil
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", path, nil))
		if w.Code != want.status || !slices.Equal(ran, want.ran) || w.Header().Get("Vary") != "Cookie" {
			t.Errorf("%s: got %d, %q, %v; want %d, %q", path, w.Code, ran, w.Header(), want.status, want.ran)
		}
	}
}
