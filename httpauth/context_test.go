package httpauth_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

// TestR105Origin: what happens in a request is told with who did it, and from where.
func TestR105Origin(t *testing.T) {
	var told []event.Event
	s := newSiteOf(t, []gormkey.Option{gormkey.WithHook(func(_ *gorm.DB, e event.Event) error {
		told = append(told, e)
		return nil
	})})
	ada, web, auth, login := s.signUp("ada"), s.web, s.auth, credentials("ada")
	from := func(r *http.Request) *http.Request {
		r.RemoteAddr = "192.0.2.7:1234"
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("User-Agent", "Browser/1\r\n"+strings.Repeat("x", 300))
		return r
	}
	check := func(what string, want event.Type, actor string) {
		t.Helper()
		e := told[len(told)-1]
		if e.Type != want || e.ActorID != actor || e.Address != "192.0.2.7" || !strings.HasPrefix(e.Agent, "Browser/1x") || len(e.Agent) != 255 {
			t.Errorf("%s: got %q by %q from %q, agent of %d bytes", what, e.Type, e.ActorID, e.Address, len(e.Agent))
		}
	}
	w := httptest.NewRecorder()
	_, err := web.SignIn(w, from(httptest.NewRequest("POST", "/", nil)), login)
	must(t, err)
	check("SignIn", event.SignedIn, "")
	wrong := login
	wrong.Password = "a wrong password"
	_, err = web.SignIn(httptest.NewRecorder(), from(httptest.NewRequest("POST", "/", nil)), wrong)
	if err == nil {
		t.Fatal("a wrong password signed in")
	}
	check("a wrong password", event.SignInFailed, "")
	cookie := w.Result().Cookies()[0]
	handler := func(h http.HandlerFunc) {
		r := from(httptest.NewRequest("GET", "/", nil))
		r.AddCookie(cookie)
		web.RequireUser(h).ServeHTTP(httptest.NewRecorder(), r)
	}
	handler(func(_ http.ResponseWriter, r *http.Request) {
		_, err := auth.AddKey(web.Context(r), ada.ID, gormkey.Proved("github", "1"))
		must(t, err)
	})
	check("a handler", event.KeyAdded, ada.ID)
	handler(func(_ http.ResponseWriter, r *http.Request) {
		ctx := event.WithOrigin(r.Context(), event.Origin{ActorID: "a job"})
		if got := event.OriginOf(web.Context(r.WithContext(ctx))); got.ActorID != "a job" || got.Address != "" {
			t.Errorf("an origin that is there: got %+v", got)
		}
	})
	handler(func(w http.ResponseWriter, r *http.Request) { must(t, web.SignOut(w, r)) })
	check("SignOut", event.SessionEnded, ada.ID)
}

// TestR105Unwritable: an event log that cannot be written changes no answer, and is not silent.
func TestR105Unwritable(t *testing.T) {
	s := newSiteOf(t, []gormkey.Option{gormkey.WithEventLog()})
	s.signUp("ada")
	must(t, s.db.Exec("DROP TABLE auth_event").Error)
	log := new(strings.Builder)
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	wrong := credentials("ada")
	wrong.Password = "a wrong password"
	_, err := s.web.SignIn(httptest.NewRecorder(), post("/sign-in"), wrong)
	if database := new(gormkey.DatabaseError); !errors.Is(err, gormkey.ErrInvalidCredentials) || !errors.As(err, &database) {
		t.Fatalf("got %v, want invalid credentials and the database's error", err)
	}
	w := httptest.NewRecorder()
	s.web.Error(w, post("/sign-in"), err)
	equal(t, "status", w.Code, http.StatusUnauthorized)
	if text := log.String(); !strings.Contains(text, "an error came with the answer") || !strings.Contains(text, "auth_event does not exist") {
		t.Errorf("log: got %q", text)
	}
	if text := w.Body.String() + log.String(); strings.Contains(text, "ada@") || strings.Contains(text, wrong.Password) {
		t.Errorf("what was typed is in %q", text)
	}
}
