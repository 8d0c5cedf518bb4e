package main

import (
	"context"
	crypto "crypto/rand"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// mail is a letter to a user.
type mail struct{ To, Subject, Text string }

// toFolder returns what writes each mail to a file. A real site sends it here.
func toFolder(folder string) func(ctx context.Context, m mail) error {
	return func(_ context.Context, m mail) error {
		if folder == "" {
			return fmt.Errorf("a mail is dropped: there is no -mail folder")
		}
		text := fmt.Sprintf("To: %s\nSubject: %s\n\n%s\n", m.To, m.Subject, m.Text)
		return os.WriteFile(filepath.Join(folder, crypto.Text()+".txt"), []byte(text), 0o600)
	}
}

// maxMails is how many may wait to be sent.
const maxMails = 64

// post has a mail made and sent later, a second or two after the request and those around it,
// by one worker. Neither the answer nor that to the client's next request then takes longer if
// there is somebody to write to. With too many waiting it is dropped: the user can ask again.
func (s *server) post(write func(ctx context.Context) (mail, error)) {
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
	return s.mail(ctx, m)
}
