package page

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

type Account struct {
	gormkey.User
	Email string `gorm:"size:255;uniqueIndex"`
}

func Check(t *testing.T) {
	t.Run("session", TestSessionEnds)
	t.Run("page", TestAccountPage)
	t.Run("sign-in", TestSignIn)
	t.Run("two databases", func(t *testing.T) {
		auth, _ := newAuth(t)
		signUp(t, auth, "ada")
		other, _ := newAuth(t)
		signUp(t, other, "ada")
		findings, err := auth.Audit(t.Context()) // foreign keys are enforced
		if err != nil || len(findings) > 0 {
			t.Errorf("audit: got %v, %v", findings, err)
		}
	})
	t.Run("a cookie jar", func(t *testing.T) {
		auth, clock := newAuth(t)
		web, err := httpauth.New(auth)
		if err != nil {
			t.Fatal(err)
		}
		session := signUp(t, auth, "ada")
		site := &url.URL{Scheme: "https", Host: "example.com"}
		kept := func() int {
			w := httptest.NewRecorder()
			opened, err := web.OpenSession(w, as(session, httptest.NewRequest(http.MethodPost, "/", nil)), session.UserID)
			if err != nil {
				t.Fatal(err)
			}
			session = opened
			jar, _ := cookiejar.New(nil)
			jar.SetCookies(site, w.Result().Cookies())
			if n := len(jar.Cookies(&url.URL{Scheme: "http", Host: "example.com"})); n != 0 {
				t.Errorf("over http: got %d cookies", n)
			}
			return len(jar.Cookies(site))
		}
		if n := kept(); n != 0 {
			t.Errorf("in 2023: got %d cookies", n)
		}
		clock.Advance(time.Since(clock.Now()))
		if n := kept(); n != 1 {
			t.Errorf("today: got %d cookies", n)
		}
	})
	t.Run("a POST without the header", func(t *testing.T) {
		auth, _ := newAuth(t)
		web, err := httpauth.New(auth)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		web.OptionalUser(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
		if w.Code != http.StatusForbidden {
			t.Errorf("got %d", w.Code)
		}
	})
}
