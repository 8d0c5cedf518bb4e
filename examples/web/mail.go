package main

import (
	"cmp"
	"context"
	crypto "crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/throttle"
)

// mail is a letter to a user. A link, if there is one, stands at its end. A mail with an ID may be
// sent twice, and is to arrive once: give the ID to the mail service as its idempotency key.
type mail struct{ ID, To, Subject, Text, Link string }

// String returns the mail as it is sent.
func (m mail) String() string {
	text := fmt.Sprintf("To: %s\nSubject: %s\n\n%s\n", m.To, m.Subject, m.Text)
	if m.Link != "" {
		text += "\n" + m.Link + "\n"
	}
	return text
}

// toFolder returns a function that writes each mail to a file, which has its name from the ID. A
// real site sends it here.
func toFolder(folder string) func(ctx context.Context, m mail) error {
	return func(_ context.Context, m mail) error {
		if folder == "" { // that is no error, or it would be tried again and again
			slog.Warn("a mail is dropped: there is no -mail folder")
			return nil
		}
		return os.WriteFile(filepath.Join(folder, cmp.Or(m.ID, crypto.Text())+".txt"), []byte(m.String()), 0o600)
	}
}

// toTerminal returns a function that prints each mail. It is for development.
func toTerminal(out io.Writer) func(ctx context.Context, m mail) error {
	return func(_ context.Context, m mail) error {
		_, err := fmt.Fprintf(out, "\n--- mail ---\n%s------------\n", m)
		return err
	}
}

// maxMails is how many may wait to be sent, and how many the page of mails shows.
const maxMails = 64

// post queues a mail. One worker makes it and sends it, a second or two after the request and
// those around it, so that neither the answer nor the client's next one takes longer if there is
// somebody to write to. If too many mails are waiting it is dropped: the user can ask again. In
// development it is sent at once.
func (s *server) post(write func(ctx context.Context) (mail, error)) {
	if s.dev {
		if err := s.send(write); err != nil {
			slog.Error("mail", "error", err)
		}
		return
	}
	s.waiting.Lock()
	defer s.waiting.Unlock()
	if len(s.queue) == maxMails {
		slog.Warn("too many mails are waiting: one is dropped")
		return
	}
	s.queue = append(s.queue, write)
	if !s.sending {
		s.sending = true
		s.mails.Go(s.sendMails)
	}
}

// notify queues a mail that is known already.
func (s *server) notify(m mail) {
	s.post(func(context.Context) (mail, error) { return m, nil })
}

// sendMails works until nothing waits.
func (s *server) sendMails() {
	for {
		time.Sleep(s.pace + rand.N(s.pace))
		for _, write := range s.takeMails() {
			if err := s.send(write); err != nil {
				slog.Error("mail", "error", err)
			}
		}
		s.waiting.Lock()
		if len(s.queue) == 0 {
			s.sending = false
			s.waiting.Unlock()
			return
		}
		s.waiting.Unlock()
	}
}

func (s *server) takeMails() (all []func(ctx context.Context) (mail, error)) {
	s.waiting.Lock()
	defer s.waiting.Unlock()
	all, s.queue = s.queue, nil
	return all
}

func (s *server) send(write func(ctx context.Context) (mail, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m, err := write(ctx)
	if err != nil || m.To == "" {
		return err
	}
	return s.sendMail(ctx, m)
}

// sendMail sends a mail now. In development its page shows it.
func (s *server) sendMail(ctx context.Context, m mail) error {
	if err := s.mail(ctx, m); err != nil || !s.dev {
		return err
	}
	s.waiting.Lock()
	defer s.waiting.Unlock()
	if m.ID == "" || !slices.ContainsFunc(s.sent, func(other mail) bool { return other.ID == m.ID }) {
		s.sent = append(s.sent[max(0, len(s.sent)+1-maxMails):], m)
	}
	return nil
}

// showMails lists what was sent, the newest first. The page exists in development alone.
func (s *server) showMails(w http.ResponseWriter, r *http.Request) {
	s.waiting.Lock()
	list := slices.Clone(s.sent)
	s.waiting.Unlock()
	slices.Reverse(list)
	s.show(w, r, http.StatusOK, "mails", view{Title: "Mails that were sent", Data: list})
}

// countMail limits how many mails of a kind an address gets, and how many a client asks for. The
// throttle counts failures, so each request is taken for a failure.
func (s *server) countMail(r *http.Request, kind gormkey.Purpose, email string) error {
	client := throttle.Client{Address: s.web.ClientAddress(r)}
	err := s.limits.Do(r.Context(), string(kind)+":"+email, client, func() error { return gormkey.ErrInvalidCredentials })
	if errors.Is(err, gormkey.ErrInvalidCredentials) {
		return nil
	}
	return err
}

// secretPage keeps a page whose address or text is a secret out of the Referer header and
// out of caches.
func secretPage(w http.ResponseWriter) {
	// With no-referrer a browser would send "Origin: null" with the form.
	w.Header().Set("Referrer-Policy", "strict-origin")
	w.Header().Set("Cache-Control", "no-store")
}

// showExpired answers a link that was mailed and does not work any more. Path is where to ask
// for another.
func (s *server) showExpired(w http.ResponseWriter, r *http.Request, path string) {
	s.show(w, r, http.StatusGone, "link-expired", view{Title: "This link no longer works", Data: path})
}
