package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gormkey/gormkey/event"
)

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
	newer   = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"
	safari  = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15"
)

// letterbox keeps the notices that are sent to it.
type letterbox struct {
	mails []mail
	full  error // what it answers instead
}

func (l *letterbox) put(_ context.Context, m mail) error {
	if l.full != nil {
		return l.full
	}
	if m.ID != "" {
		l.mails = append(l.mails, m)
	}
	return nil
}

// taken returns to whom the notices went, and about what.
func (l *letterbox) taken() (all []string) {
	for _, m := range l.mails {
		all = append(all, m.To+": "+m.Subject)
	}
	l.mails = nil
	return all
}

// deliverAll does once what the job does again and again.
func (s *site) deliverAll(t *testing.T) error {
	t.Helper()
	_, err := s.auth.DeliverEvents(t.Context(), 1000, s.deliver)
	return err
}

// checkNotice: a notice has an id and no secret, and says when and from where.
func (s *site) checkNotice(t *testing.T, m mail) {
	t.Helper()
	device := "Firefox on Linux"
	if strings.Contains(m.Subject, "sign-in") {
		device = "Safari on Mac"
	}
	if m.ID == "" || m.Link != "" && m.Link != s.site+"/forgot-password" ||
		!strings.Contains(m.Text, "on "+moment(s.clock.Now())+", from "+device+" at 127.0.0.1") {
		t.Errorf("got the mail %q with the id %q", m, m.ID)
	}
}

// TestNotices: each act is told to whom it concerns, once.
func TestNotices(t *testing.T) {
	t.Parallel()
	box := new(letterbox)
	s := open(t, settings{dev: true, mail: box.put})
	ada, phone := s.visit(t), s.visit(t)
	in := func(v *visitor, agent, email, password string) func() {
		return func() { v.do("POST", "/sign-in", login(email, password), "User-Agent", agent) }
	}
	act := func(path string, form url.Values) func() {
		return func() { ada.do("POST", path, form, "User-Agent", firefox) }
	}
	follow := func(path string, form url.Values) func() {
		return func() {
			_, token := s.link(t, path)
			form.Set("token", token)
			ada.do("POST", path, form, "User-Agent", firefox)
		}
	}
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"sign-up", act("/sign-up", login("ada@example.com", password)), nil},
		{"the same device", in(ada, firefox, "ada@example.com", password), nil},
		{"a newer browser on it", in(ada, newer, "ada@example.com", password), nil},
		{"a guess elsewhere", in(phone, safari, "ada@example.com", "a guess"), nil},
		{"a sign-in after the guess", in(phone, safari, "ada@example.com", password), []string{"ada@example.com: A new sign-in to your account"}},
		{"a second one there", in(phone, safari, "ada@example.com", password), nil},
		{"a wrong password", act("/account/password", url.Values{"current": {"wrong"}, "new": {"a new password"}}), nil},
		{"a new password", act("/account/password", url.Values{"current": {password}, "new": {"a new password"}}), []string{"ada@example.com: Your password was changed"}},
		{"another address wanted", act("/account/email", url.Values{"email": {"new@example.com"}}), []string{"ada@example.com: A change of your email address"}},
		{"another address", follow("/change-email", url.Values{}), []string{"ada@example.com: Your email address was changed", "new@example.com: This is the address of your account now"}},
		{"a link for the password", act("/forgot-password", login("new@example.com", "")), nil},
		{"a link for nobody's", act("/forgot-password", login("nobody@example.com", "")), nil},
		{"the password by it", follow("/reset-password", url.Values{"password": {password}}), []string{"new@example.com: Your password was changed"}},
		{"a known device", in(ada, firefox, "new@example.com", password), nil},
		{"the end", act("/account/delete", nil), []string{"new@example.com: Your account is deleted"}},
	} {
		s.clock.Advance(time.Second)
		step.do()
		must(t, s.deliverAll(t))
		for _, m := range box.mails {
			s.checkNotice(t, m)
		}
		if got := box.taken(); !slices.Equal(got, step.want) {
			t.Errorf("%s: got the mails %q, want %q", step.name, got, step.want)
		}
		must(t, s.deliverAll(t))
		if got := box.taken(); got != nil {
			t.Errorf("%s: delivered again: %q", step.name, got)
		}
	}
}

// TestNoticesAreTriedAgain: a mail server that is down delays notices and loses none, nor does it
// change their order, or what their user does meanwhile.
func TestNoticesAreTriedAgain(t *testing.T) {
	t.Parallel()
	box := new(letterbox)
	s := open(t, settings{dev: true, mail: box.put})
	ada, phone := s.visit(t), s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password), "User-Agent", firefox)
	phone.do("POST", "/sign-in", login("ada@example.com", password), "User-Agent", safari)
	ada.want(200, "/account", "is changed")(ada.do("POST", "/account/password", url.Values{"current": {password}, "new": {"a new password"}}))
	box.full = errors.New("the letterbox is full")
	for range 3 {
		if err := s.deliverAll(t); !errors.Is(err, box.full) {
			t.Errorf("got the error %v, want %v", err, box.full)
		}
		s.clock.Advance(time.Hour)
	}
	_, _, page := ada.do("GET", "/dev/mails", nil)
	if strings.Contains(page, "A new sign-in") {
		t.Errorf("a mail that was not sent is shown as sent:\n%s", page)
	}
	box.full = nil
	must(t, s.deliverAll(t))
	want := []string{"ada@example.com: A new sign-in to your account", "ada@example.com: Your password was changed"}
	if got := box.taken(); !slices.Equal(got, want) {
		t.Errorf("got the mails %q, want %q", got, want)
	}
}

// TestNoticesDeliveredTwice: a process that ends between the mail and the note of it leads to no
// second mail, since the mail has the id of its event.
func TestNoticesDeliveredTwice(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, settings{dev: true, mail: toFolder(folder)})
	s.visit(t).do("POST", "/sign-up", login("ada@example.com", password), "User-Agent", firefox)
	s.visit(t).do("POST", "/sign-in", login("ada@example.com", password), "User-Agent", safari)
	for range 2 {
		must(t, s.deliverAll(t))
		must(t, s.db.Exec("UPDATE auth_event SET delivered_at = NULL, claimed_until = NULL").Error)
	}
	const subject = "A new sign-in to your account"
	if n := len(mailed(t, folder, subject)); n != 1 {
		t.Errorf("the folder has %d mails, want 1", n)
	}
	n := 0
	for _, m := range s.sent {
		if m.Subject == subject {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the page shows %d mails, want 1", n)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 2 { // and the link of the sign-up
		t.Errorf("got %d files, want 2 (%v)", len(files), err)
	}
}

// TestNoticesOutliveTheAccount: who takes an account over and deletes it at once does not silence
// the notices, although mails fail meanwhile. Once they are sent, no event says whose it was.
func TestNoticesOutliveTheAccount(t *testing.T) {
	t.Parallel()
	box := &letterbox{}
	s := open(t, settings{dev: true, mail: box.put})
	s.visit(t).do("POST", "/sign-up", login("bob@example.com", password), "User-Agent", firefox)
	s.visit(t).do("POST", "/sign-up", login("ada@example.com", password), "User-Agent", firefox)
	id := s.userID(t, "ada@example.com")
	eve := s.visit(t)
	eve.do("POST", "/sign-in", login("ada@example.com", password), "User-Agent", safari)
	eve.do("POST", "/account/email", url.Values{"email": {"eve@example.com"}}, "User-Agent", safari)
	_, token := s.link(t, "/change-email")
	eve.do("POST", "/change-email", url.Values{"token": {token}}, "User-Agent", safari)
	eve.want(200, "/", "is deleted")(eve.do("POST", "/account/delete", nil, "User-Agent", safari))
	box.full = errors.New("the letterbox is full")
	if err := s.deliverAll(t); !errors.Is(err, box.full) {
		t.Errorf("got the error %v, want %v", err, box.full)
	}
	box.full = nil
	s.clock.Advance(3 * time.Second)
	must(t, s.deliverAll(t))
	want := []string{"ada@example.com: A new sign-in to your account", "ada@example.com: A change of your email address",
		"ada@example.com: Your email address was changed", "eve@example.com: This is the address of your account now", "eve@example.com: Your account is deleted"}
	if got := box.taken(); !slices.Equal(got, want) {
		t.Errorf("got the mails %q, want %q", got, want)
	}
	var all []*logged
	must(t, s.db.Find(&all).Error)
	kept := 0
	for _, e := range all {
		if e.UserID == id || e.ActorID == id || strings.Contains(e.KeyID, "ada") || strings.Contains(e.KeyID, "eve") || e.Agent == safari {
			t.Errorf("an event says whose it was: %+v", *e)
		}
		if e.Type == event.UserDeleted && e.DeliveredAt != nil {
			kept++
		}
	}
	if bob, err := s.auth.UserEvents(t.Context(), s.userID(t, "bob@example.com"), "", 10); err != nil || kept != 1 || len(bob) == 0 || bob[0].Agent != firefox {
		t.Errorf("got %d events of the end, and of bob %v (%v)", kept, bob, err)
	}
}

// TestOldEvents: they are kept for as long as the page says.
func TestOldEvents(t *testing.T) {
	t.Parallel()
	s := open(t, settings{dev: true})
	s.visit(t).do("POST", "/sign-up", login("ada@example.com", password))
	id := s.userID(t, "ada@example.com")
	for _, step := range []struct {
		wait time.Duration
		kept bool
	}{{90*24*time.Hour - time.Minute, true}, {2 * time.Minute, false}} {
		s.clock.Advance(step.wait)
		s.deleteOld(t.Context())
		if list, err := s.auth.UserEvents(t.Context(), id, "", 10); err != nil || len(list) > 0 != step.kept {
			t.Errorf("after %v more there are %d events (%v)", step.wait, len(list), err)
		}
	}
}
