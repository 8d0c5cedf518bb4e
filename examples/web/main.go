// Web is an application that people can click: sign-up, sign-in behind a throttle, a list
// of devices, a changed and a forgotten password, on one SQLite file and without
// JavaScript.
//
//	go run ./examples/web
//
// server.go has the routes; the handlers are in a file by noun.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal(err)
	}
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("web", flag.ContinueOnError)
	addr := flags.String("addr", "localhost:8080", "`address` to listen on")
	file := flags.String("db", "", "SQLite `file` to keep; a temporary one if empty")
	dev := flags.Bool("dev", true, "show the link to reset a password on the page")
	mails := flags.String("mail", "", "`folder` that gets each mail as a file, with -dev=false")
	site := flags.String("url", "", "the site's `URL`, for links in mails; http and -addr if empty")
	insecure := flags.Bool("insecure-cookie", false, "leave Secure out of the cookies: Safari keeps no others on http://localhost")
	if err := flags.Parse(args); err != nil {
		return err
	}

	if *file == "" {
		folder, err := os.MkdirTemp("", "gormkey-web-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		*file = filepath.Join(folder, "web.db")
	}
	db, auth, err := openDatabase(*file, time.Now)
	if err != nil {
		return err
	}
	defer closeDatabase(db)

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	*site = cmp.Or(*site, "http://"+visited(*addr, listener.Addr()))
	s, err := newServer(db, auth, settings{dev: *dev, site: *site, insecureCookie: *insecure, mail: toFolder(*mails)})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	fmt.Fprintf(out, "Open %s\nThe database is %s. Interrupt to stop.\n", *site, *file)
	return serve(ctx, listener, s)
}

// visited is the address as one types it into a browser: the name that was given, with
// the port that it got.
func visited(given string, got net.Addr) string {
	host, _, _ := net.SplitHostPort(given)
	_, port, _ := net.SplitHostPort(got.String())
	return net.JoinHostPort(cmp.Or(host, "localhost"), port)
}

// serve answers until ctx is done, and lets what was begun end.
func serve(ctx context.Context, listener net.Listener, s *server) error {
	h := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // a sign-in may wait 5 s for its turn to hash
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(listener) }()
	go s.cleanUp(ctx)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancelLast := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancelLast()
	err := h.Shutdown(last)
	s.mails.Wait()
	return err
}
