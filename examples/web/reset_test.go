package main

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm/logger"
)

// TestResetAnswersAlike: outside of development nobody learns who has an account, and the
// mail has the link.
func TestResetAnswersAlike(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, settings{mail: toFolder(folder), pace: time.Millisecond})
	ada := s.visit(t)
	ada.do("POST", "/sign-up", login("ada@example.com", password))
	_, _, known := ada.do("POST", "/forgot-password", login("ada@example.com", ""))
	ada.want(404, "/dev/mails", "Page not found")(ada.do("GET", "/dev/mails", nil)) // what development shows to anybody
	_, _, unknown := ada.do("POST", "/forgot-password", login("eve@example.com", ""))
	if alike(known) != alike(unknown) || !strings.Contains(known, "ada@example.com") || strings.Contains(known, "token=") {
		t.Errorf("the answers differ, or show the link:\n%s\n%s", known, unknown)
	}
	s.mails.Wait()
	mails := mailed(t, folder, "Choose a new password")
	if len(mails) != 1 {
		t.Fatalf("got %d mails, want 1", len(mails))
	}
	link := regexp.MustCompile(regexp.QuoteMeta(s.http.URL) + `(/reset-password\?token=(\w+))`).FindStringSubmatch(mails[0])
	if link == nil || !strings.Contains(mails[0], "To: ada@example.com") {
		t.Fatalf("the mail is %q", mails[0])
	}
	ada.want(200, "/reset-password", "Choose a new password")(ada.do("GET", link[1], nil))
	ada.want(200, "/sign-in?draft=", "every device is signed out")(ada.do("POST", "/reset-password", url.Values{"token": {link[2]}, "password": {"a new password"}}))
	ada.want(410, "/reset-password", "no longer works")(ada.do("GET", link[1], nil))
	ada.want(200, "/account", "ada@example.com")(ada.do("POST", "/sign-in", login("ada@example.com", "a new password")))
}

// alike replaces what may differ between two visitors' pages.
func alike(page string) string {
	return regexp.MustCompile(`(ada|eve)@|draft=\w+`).ReplaceAllString(page, "")
}

// mailed returns the mails with a subject that a folder has.
func mailed(t *testing.T, folder, subject string) (mails []string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	must(t, err)
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(folder, file.Name()))
		must(t, err)
		if strings.Contains(string(text), "Subject: "+subject+"\n") {
			mails = append(mails, string(text))
		}
	}
	return mails
}

// statements is a GORM logger that keeps what is sent, without the values.
type statements struct {
	logger.Interface
	mu   sync.Mutex
	sent []string
}

var values = regexp.MustCompile(`"[^"]*"|'[^']*'|\b\d+\b`)

func (l *statements) LogMode(logger.LogLevel) logger.Interface { return l }

func (l *statements) Trace(_ context.Context, _ time.Time, statement func() (string, int64), _ error) {
	sql, _ := statement()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, values.ReplaceAllString(sql, "?"))
}

func (l *statements) taken() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := strings.Join(l.sent, "\n")
	l.sent = nil
	return sent
}

// TestResetWorksAlike: the request, the client's next one, and the worker send the database
// the same statements, whether somebody has the address or not, and the request makes no link.
func TestResetWorksAlike(t *testing.T) {
	t.Parallel()
	var letters atomic.Int64
	for _, pace := range []time.Duration{time.Hour, time.Millisecond} { // with the first the worker does nothing here
		s := open(t, settings{pace: pace, mail: func(context.Context, mail) error { letters.Add(1); return nil }})
		s.visit(t).do("POST", "/sign-up", login("ada@example.com", password))
		if pace == time.Millisecond {
			s.mails.Wait()
		}
		ask := func(email string) string {
			s.clock.Advance(24 * time.Hour)
			v := s.visit(t)
			v.want(200, "/forgot-password/sent", "we have sent a link")(v.do("POST", "/forgot-password", login(email, "")))
			if pace == time.Millisecond {
				s.mails.Wait()
			}
			v.do("POST", "/forgot-password", login("third@example.com", ""))
			if pace == time.Millisecond {
				s.mails.Wait()
			}
			return s.log.taken()
		}
		s.log.taken()
		for _, email := range []string{"eve@example.com", "ada@example.com"} {
			ask(email) // the first request makes rows
		}
		letters.Store(0)
		unknown, known := ask("eve@example.com"), ask("ada@example.com")
		if known != unknown || known == "" {
			t.Errorf("pace %v: for an address with an account the statements are\n%s\nand for one without\n%s", pace, known, unknown)
		}
		if issues := strings.Contains(known, "INSERT INTO `user_token`"); issues != (pace == time.Millisecond) {
			t.Errorf("pace %v: a link is made: %t", pace, issues)
		}
		want := int64(0)
		if pace == time.Millisecond {
			want = 1
		}
		if n := letters.Load(); n != want {
			t.Errorf("pace %v: got %d letters, want %d", pace, n, want)
		}
	}
}

// TestMailsAreBounded: what the queue has no place for is dropped, whoever it is for.
func TestMailsAreBounded(t *testing.T) {
	t.Parallel()
	s := open(t, settings{pace: time.Hour})
	for range maxMails + 10 {
		s.post(func(context.Context) (mail, error) { return mail{}, nil })
	}
	s.waiting.Lock()
	defer s.waiting.Unlock()
	if n := len(s.queue); n != maxMails {
		t.Errorf("%d mails are waiting, want %d", n, maxMails)
	}
}

// TestResetIsLimited: an address gets five mails at once, whoever asks, and one that nobody
// has is refused as soon.
func TestResetIsLimited(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, settings{mail: toFolder(folder), pace: time.Millisecond})
	s.visit(t).do("POST", "/sign-up", login("ada@example.com", password))
	for _, email := range []string{"ada@example.com", "eve@example.com"} {
		for range 5 {
			v := s.visit(t)
			v.want(200, "/forgot-password/sent", "we have sent a link")(v.do("POST", "/forgot-password", login(email, "")))
		}
		v := s.visit(t)
		v.want(429, "/forgot-password", "Try again in 10 minutes.")(v.do("POST", "/forgot-password", login(email, "")))
	}
	s.mails.Wait()
	if n := len(mailed(t, folder, "Choose a new password")); n != 5 {
		t.Errorf("got %d mails, want 5", n)
	}
}
