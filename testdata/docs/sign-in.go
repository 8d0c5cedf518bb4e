package page

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"docs/kit"

	"github.com/gormkey/gormkey"
)

func Check(t *testing.T) {
	a, err := newApp(kit.DSN(t))
	kit.Must(t, err)
	kit.Close(t, a.db)
	ada := kit.Serve(t, a.routes())
	eve := ada.Another()
	step := func(b *kit.Browser, path string, want int, form ...string) {
		t.Helper()
		if status, body := b.Post(path, form...); status != want {
			t.Errorf("%s %v: got %d %q, want %d", path, form, status, body, want)
		}
	}
	step(ada, "/sign-up", 400, "email", "ada@example.com", "password", "short")
	step(ada, "/sign-up", 303, "email", " Ada@Example.com", "password", kit.Password)
	step(eve, "/sign-up", 409, "email", "ada@example.com", "password", kit.Password)
	step(ada, "/sign-out", 303)
	status, _ := ada.Get("/account")
	kit.Equal(t, "account after the sign-out", status, 401)
	step(ada, "/sign-in", 303, "email", "ADA@example.com", "password", kit.Password)
	_, body := ada.Get("/account")
	kit.Equal(t, "account", body, "ada@example.com is signed in")

	step(eve.With("Sec-Fetch-Site", "cross-site"), "/sign-in", 403, "email", "ada@example.com", "password", kit.Password)
	step(eve.With(), "/sign-in", 403, "email", "ada@example.com", "password", kit.Password)
	step(eve, "/sign-in", 401, "email", "nobody@example.com", "password", kit.Password)
	for range 5 {
		step(eve, "/sign-in", 401, "email", "ada@example.com", "password", "wrong")
	}
	step(eve, "/sign-in", 429, "email", "ada@example.com", "password", kit.Password)
	step(ada, "/sign-in", 303, "email", "ada@example.com", "password", kit.Password) // a known device

	// Sign-ups. What is malformed, or comes from another site, is not counted.
	for range 30 {
		step(eve, "/sign-up", 400, "email", "", "password", kit.Password)
		step(eve.With("Sec-Fetch-Site", "cross-site"), "/sign-up", 403, "email", "eve@example.com", "password", kit.Password)
	}
	for range 2 { // with the three above they are five
		step(eve, "/sign-up", 409, "email", "ada@example.com", "password", kit.Password)
	}
	step(eve, "/sign-up", 429, "email", "ada@example.com", "password", kit.Password)
	for i := range 20 - 5 {
		step(eve, "/sign-up", 400, "email", fmt.Sprintf("%d@example.com", i), "password", "short")
	}
	step(eve, "/sign-up", 429, "email", "eve@example.com", "password", kit.Password)
	step(ada, "/sign-in", 303, "email", "ada@example.com", "password", kit.Password) // sign-ins go on

	err = a.auth.CreateUser(t.Context(), &Account{}, gormkey.Credentials{Provider: "email", ID: "bob@example.com", Password: "short"})
	w := httptest.NewRecorder()
	a.explain(w, httptest.NewRequest(http.MethodPost, "/sign-up", nil), err)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "8 characters") {
		t.Errorf("explain: got %d %q", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	a.explain(w, httptest.NewRequest(http.MethodPost, "/sign-up", nil), errors.New("down"))
	kit.Equal(t, "explain of another error", w.Code, 503)
}
