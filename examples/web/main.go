// Web is an application that people can click and copy from: sign-up with a confirmed address,
// sign-in behind a throttle, a list of devices, a changed and a forgotten password, a changed
// address, an export and the end of an account. People see what happened to their account, and get
// a mail about what they should know. It asks for the password again before what a
// stranger at an unlocked screen should not do. It runs on one SQLite file, and works without
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
	"net/netip"
	"net/url"
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
	dev := flags.Bool("dev", true, "send no mail: print it, and show it on /dev/mails")
	mails := flags.String("mail", "", "`folder` that gets each mail as a file; with -dev=false alone, mails are dropped")
	site := flags.String("url", "", "the site's `URL`, for links in mails; http and -addr if empty")
	insecure := flags.Bool("insecure-cookie", false, "leave Secure out of the cookies: for development over http, on a network or with Safari")
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
	send := toFolder(*mails)
	if *dev && *mails == "" {
		send = toTerminal(out)
	}
	s, err := newServer(db, auth, settings{dev: *dev, site: *site, insecureCookie: *insecure, mail: send})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	fmt.Fprintf(out, "Open %s\nThe database is %s. Interrupt to stop.\n", *site, *file)
	if !*insecure && plainHTTP(*site) {
		fmt.Fprintln(out, "Over http people can sign in on localhost only. For other machines serve https, or in development add -insecure-cookie.")
	}
	return serve(ctx, listener, s)
}

// visited is the address as people type it into a browser: the name that was given, with the
// port that the listener got.
func visited(given string, got net.Addr) string {
	host, _, _ := net.SplitHostPort(given)
	_, port, _ := net.SplitHostPort(got.String())
	return net.JoinHostPort(cmp.Or(host, "localhost"), port)
}

// plainHTTP tells whether browsers keep no Secure cookie of a site: over http they do so for
// loopback addresses alone.
func plainHTTP(site string) bool {
	u, err := url.Parse(site)
	if err != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err != nil || !ip.IsLoopback()
}

// serve answers until ctx is done. Requests that have begun are answered, and mails are sent.
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
	s.mails.Go(func() { s.deliverNotices(ctx) })
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
