package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
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
		return os.WriteFile(filepath.Join(folder, rand.Text()+".txt"), []byte(text), 0o600)
	}
}

// post makes and sends a mail outside of the request, whose answer then takes as long
// whether there is somebody to write to or not. With too many on their way it is
// dropped: the user can ask again.
func (s *server) post(write func(ctx context.Context) (mail, error)) {
	select {
	case s.places <- struct{}{}:
	default:
		slog.Warn("too many mails at once: one is dropped")
		return
	}
	s.mails.Go(func() {
		defer func() { <-s.places }()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		m, err := write(ctx)
		if err == nil && m.To != "" {
			err = s.mail(ctx, m)
		}
		if err != nil {
			slog.Error("mail", "error", err)
		}
	})
}
