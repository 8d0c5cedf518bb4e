package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// TestWrapWriter checks that Gin's answers pass the ResponseWriter of the middleware, by each
// way in which Gin writes.
func TestWrapWriter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(file, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, handler := range map[string]gin.HandlerFunc{
		"String":          func(c *gin.Context) { c.String(http.StatusTeapot, "x") },
		"Status":          func(c *gin.Context) { c.Status(http.StatusTeapot) },
		"AbortWithStatus": func(c *gin.Context) { c.AbortWithStatus(http.StatusTeapot) },
		"Redirect":        func(c *gin.Context) { c.Redirect(http.StatusSeeOther, "/") },
		"File":            func(c *gin.Context) { c.File(file) },
		"no file":         func(c *gin.Context) { c.File(file + "x") },
		"Flush":           func(c *gin.Context) { c.Writer.Flush() },
		"Stream": func(c *gin.Context) {
			c.Stream(func(w io.Writer) bool { _, _ = io.WriteString(w, "x"); return false })
		},
		"nothing": func(*gin.Context) {},
	} {
		seen := false
		router := gin.New()
		router.GET("/", wrap(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(spy{w, &seen}, r)
				seen = seen || name == "nothing"
			})
		}), handler)
		server := httptest.NewServer(router)
		response, err := server.Client().Transport.RoundTrip(httptest.NewRequestWithContext(t.Context(), "GET", server.URL, nil))
		server.Close()
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if !seen {
			t.Errorf("%s: the answer of status %d passed the middleware by", name, response.StatusCode)
		}
	}
}

// spy is a middleware's ResponseWriter.
type spy struct {
	http.ResponseWriter
	seen *bool
}

func (s spy) WriteHeader(status int)      { *s.seen = true; s.ResponseWriter.WriteHeader(status) }
func (s spy) Write(p []byte) (int, error) { *s.seen = true; return s.ResponseWriter.Write(p) }
func (s spy) FlushError() error {
	*s.seen = true
	return http.NewResponseController(s.ResponseWriter).Flush()
}
