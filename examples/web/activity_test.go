package main

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
)

var whats = regexp.MustCompile(`<p class="what">([^<]*)</p>`)

// happened returns what the page of activity says, the newest first.
func (v *visitor) happened() (all []string) {
	v.Helper()
	_, at, page := v.do("GET", "/account/activity", nil, "User-Agent", firefox)
	for _, m := range whats.FindAllStringSubmatch(page, -1) {
		all = append(all, m[1])
	}
	if at != "/account/activity" || len(all) == 0 {
		v.Fatalf("at %s the page lists nothing:\n%s", at, page)
	}
	return all
}

// TestActivity: the page says in words what its user did, and what others tried.
func TestActivity(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada, phone, eve := s.visit(t), s.visit(t), s.visit(t)
	do := func(path string, form url.Values) { ada.do("POST", path, form, "User-Agent", firefox) }
	use := func(path string) {
		_, token := s.link(t, path)
		do(path, url.Values{"token": {token}})
	}
	eve.do("POST", "/sign-up", login("eve@example.com", password), "User-Agent", safari)
	do("/sign-up", login("ada@example.com", password))
	seen := 0
	for _, step := range []struct {
		do   func()
		want []string // the newest first
	}{
		{func() {}, []string{"Asked for a link to confirm the address", "Signed in by password", "Address added: ada@example.com", "Account created"}},
		{func() { use("/verify-email") }, []string{"Address confirmed"}},
		{func() { eve.do("POST", "/sign-in", login("ada@example.com", "a guess"), "User-Agent", safari) }, []string{"A sign-in failed: wrong password"}},
		{func() { do("/account/password", url.Values{"current": {"wrong"}, "new": {"a new password"}}) }, []string{"Wrong password on a signed-in device"}},
		{func() { do("/confirm", url.Values{"password": {password}}) }, []string{"Password confirmed"}},
		{func() { phone.do("POST", "/sign-in", login("ada@example.com", password)) }, []string{"Signed in by password"}},
		{func() { do("/account/password", url.Values{"current": {password}, "new": {"a new password"}}) }, []string{"Password changed", "Signed out devices"}},
		{func() { do("/account/email", url.Values{"email": {"new@example.com"}}) }, []string{"Asked to change the address"}},
		{func() { use("/change-email") }, []string{"Address added: new@example.com", "Address removed: ada@example.com", "Used the link to change the address"}},
		{func() { phone.do("POST", "/sign-in", login("new@example.com", "a new password")) }, []string{"Signed in by password"}},
		{func() { do("/account/devices/end-others", nil) }, []string{"Signed out devices"}},
		{func() { eve.do("POST", "/forgot-password", login("new@example.com", "")) }, []string{"Asked for a link to choose a new password"}},
		{func() { do("/sign-out", nil); do("/sign-in", login("new@example.com", "a new password")) }, []string{"Signed in by password", "Signed out a device"}},
	} {
		step.do()
		list := ada.happened()
		if got := list[:len(list)-seen]; !slices.Equal(got, step.want) {
			t.Errorf("got %q, want %q", got, step.want)
		}
		seen = len(list)
	}
	_, _, page := ada.do("GET", "/account/activity", nil)
	text := strings.Join(strings.Fields(tags.ReplaceAllString(page, " ")), " ")
	for _, want := range []string{
		"A sign-in failed: wrong password " + moment(s.clock.Now()) + " Safari on Mac at 127.0.0.1",
		"Account created " + moment(s.clock.Now()) + " Firefox on Linux at 127.0.0.1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if n := strings.Count(page, `<li class="failed">`); n != 2 {
		t.Errorf("%d lines are marked as failed, want 2", n)
	}
	if strings.Contains(page, "eve@example.com") {
		t.Errorf("the page shows somebody else:\n%s", page)
	}
	nobody := s.visit(t)
	nobody.want(200, "/sign-in?next=%2Faccount%2Factivity", "Sign in")(nobody.do("GET", "/account/activity", nil))
	ada.want(200, "/account", `href="/account/activity"`)(ada.do("GET", "/account", nil))
	if cache := ada.only("GET", "/account/activity", nil).Header.Get("Cache-Control"); cache != "no-store" {
		t.Errorf("Cache-Control is %q", cache)
	}
}

// TestEventsSayWhere: every act of the site is noted with who did it, and from where.
func TestEventsSayWhere(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	do := func(v *visitor, path string, form url.Values) {
		v.want(200, "/", "")(v.do("POST", path, form, "User-Agent", firefox))
	}
	in := func() { do(s.visit(t), "/sign-in", login("ada@example.com", password)) }
	do(ada, "/sign-up", login("ada@example.com", password))
	_, token := s.link(t, "/verify-email")
	do(ada, "/verify-email", url.Values{"token": {token}})
	id := s.userID(t, "ada@example.com")
	s.clock.Advance(time.Second)
	in()
	do(ada, "/account/devices/end", url.Values{"id": {s.session(t, "ada@example.com").ID.String()}})
	in()
	do(ada, "/account/devices/end-others", nil)
	do(ada, "/account/devices/end-all", nil)
	do(ada, "/forgot-password", login("ada@example.com", ""))
	do(ada, "/sign-in", login("ada@example.com", password))
	do(ada, "/sign-out", nil)

	list, err := s.auth.UserEvents(t.Context(), id, "", 100)
	must(t, err)
	ended, mine := 0, 0
	for _, e := range list {
		if e.Agent != firefox || e.Address != "127.0.0.1" || e.ActorID != "" && e.ActorID != id {
			t.Errorf("of %s: got %q, %q by %q", e.Type, e.Agent, e.Address, e.ActorID)
		}
		if e.Type == event.SessionEnded {
			ended++
			if e.ActorID == id {
				mine++
			}
		}
	}
	if len(list) != 13 || ended != 4 || mine != ended {
		t.Errorf("got %d events, %d of ended sessions, %d of them with who did it", len(list), ended, mine)
	}
}

// TestActivityIsBounded: the page shows the latest, and says where the others are.
func TestActivityIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	id := s.userID(t, "ada@example.com")
	for {
		list, err := s.auth.UserEvents(t.Context(), id, "", 100)
		must(t, err)
		_, _, page := ada.do("GET", "/account/activity", nil)
		shown, more := len(whats.FindAllString(page, -1)), strings.Contains(page, "These are the latest 50.")
		if shown != min(len(list), maxActivity) || more != (len(list) > maxActivity) {
			t.Fatalf("of %d events %d are shown; the page says that there are more: %t", len(list), shown, more)
		}
		if len(list) > maxActivity {
			break
		}
		for range max(1, maxActivity-len(list)) {
			_, err := s.auth.OpenSession(t.Context(), id)
			must(t, err)
		}
	}
	s.clock.Advance(time.Minute)
	must(t, s.db.Exec("DELETE FROM auth_event").Error)
	ada.want(http.StatusOK, "/account/activity", "Nothing happened.")(ada.do("GET", "/account/activity", nil))
}

// TestActivityInWords: of every type, and of one that a later version of the library has.
func TestActivityInWords(t *testing.T) {
	t.Parallel()
	for _, step := range []struct {
		e    logged
		want string
	}{
		{logged{Type: event.UserDeleted}, "User deleted"},
		{logged{Type: "passkey added"}, "Passkey added"},
		{logged{}, ""},
		{logged{Type: event.KeyAdded}, "Address added"},
		{logged{Type: event.KeyRemoved, KeyID: "email:a:b@example.com"}, "Address removed: a:b@example.com"},
		{logged{Type: event.SignedIn}, "Signed in"},
		{logged{Type: event.SignedIn, Methods: "mail pwd"}, "Signed in by password and a mailed link"},
		{logged{Type: event.SessionOpened, Methods: "fed"}, "Signed in by another service"},
		{logged{Type: event.SignInFailed, Reason: "suspended", UserID: "ada", ActorID: "ada"}, "A sign-in failed: the account was suspended"},
		{logged{Type: event.SignInFailed, Reason: "wrong password", UserID: "ada", ActorID: "eve"}, "A sign-in failed: wrong password"},
		{logged{Type: event.SignInFailed, Reason: "unreadable hash"}, "A sign-in failed"},
		{logged{Type: event.TokenUsed, Purpose: gormkey.PurposeResetPassword}, "Used the link to choose a new password"},
		{logged{Type: event.TokenIssued, Purpose: "invitation"}, "Asked for a link"},
		{logged{Type: event.TokenUsed, Purpose: "invitation"}, "Used a link"},
		{logged{Type: event.Suspended}, "Account suspended"},
		{logged{Type: event.Suspended, Reason: "unpaid"}, "Account suspended: unpaid"},
		{logged{Type: event.Unsuspended}, "Account no longer suspended"},
	} {
		if got := happened(&step.e); got != step.want {
			t.Errorf("%s: got %q, want %q", step.e.Type, got, step.want)
		}
	}
	for place, want := range map[[2]string]string{
		{"", ""}: "", {firefox, ""}: "Firefox on Linux", {"", "192.0.2.1"}: "192.0.2.1", {"<b>", "::1"}: "Unknown device at ::1",
	} {
		if got := placeOf(&logged{Agent: place[0], Address: place[1]}); got != want {
			t.Errorf("%s: got %q, want %q", fmt.Sprint(place), got, want)
		}
	}
}
