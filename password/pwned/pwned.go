// Package pwned refuses passwords that are known from leaks, by the range API of Pwned Passwords
// (https://haveibeenpwned.com/API/v3#PwnedPasswords). It is a package of its own since it links
// net/http.
package pwned

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gormkey/gormkey/password"
)

var (
	// ErrPwned: the password is known from a leak.
	ErrPwned = errors.New("password: known from a leak of another site, so others try it")
	// ErrUnavailable: there was no answer that can be used, and the policy fails closed.
	ErrUnavailable = errors.New("password: cannot be checked right now, try again later")
)

const (
	defaultURL = "https://api.pwnedpasswords.com"
	timeout    = 2 * time.Second
	maxAnswer  = 1 << 20 // bytes; a padded answer has about 40,000
	sent       = 5       // hex digits of the SHA-1
)

// Option is an option of [NotPwned].
type Option func(*policy)

// FailClosed refuses every password, with [ErrUnavailable], while the service does not answer.
// Then nobody can sign up or change a password. By default the password is accepted.
func FailClosed() Option { return func(p *policy) { p.closed = true } }

// OnFailure has failed called for each password that could not be looked up, with the reason,
// before the policy answers. The reason holds nothing of the password. It is called concurrently.
func OnFailure(failed func(error)) Option { return func(p *policy) { p.failed = failed } }

// WithURL sets the address of a mirror, https://api.pwnedpasswords.com by default. "/range/" and
// five hex digits are put behind it.
func WithURL(address string) Option {
	return func(p *policy) { p.url = strings.TrimSuffix(address, "/") }
}

type policy struct {
	client http.Client
	url    string
	closed bool
	failed func(error)
}

// NotPwned returns a policy that refuses, with [ErrPwned], a password that Pwned Passwords knows,
// however often (OWASP ASVS 6.2.12). It sends the first 5 hex digits of the password's SHA-1,
// which are those of about 2,000 of the known ones; the answer is a list of hashes that begin so,
// padded so that its length tells an eavesdropper nothing. The password is looked up as it was
// typed, byte by byte.
//
// A lookup takes 2 seconds at most, has no other deadline, and reads 1 MiB at most. So do not
// change a password inside a transaction of yours, and put NotPwned last in
// [github.com/gormkey/gormkey/password.All]. If it fails, then the password is accepted, unless
// [FailClosed] is given; give [OnFailure] to hear of it. What is no answer of the API is a failure.
//
// The client is copied: its Transport and a shorter Timeout are used, its Jar and CheckRedirect are
// not. A nil client is http.DefaultClient. A redirect to another host or scheme is a failure. A nil
// option, a nil function for OnFailure, and an address that is not http or https panic here.
func NotPwned(client *http.Client, options ...Option) func(password string) error {
	if client == nil {
		client = http.DefaultClient
	}
	p := &policy{client: *client, url: defaultURL, failed: func(error) {}}
	for _, option := range options {
		option(p)
	}
	if u, err := url.Parse(p.url); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" {
		panic("pwned: WithURL: is no address of a server")
	}
	if p.failed == nil {
		panic("pwned: OnFailure: is nil")
	}
	p.client.Jar, p.client.CheckRedirect = nil, sameServer
	return p.check
}

func (p *policy) check(typed string) error {
	if password.Check(typed) != nil {
		return nil // no hasher takes it
	}
	known, err := p.lookUp(typed)
	switch {
	case known:
		return ErrPwned
	case err == nil:
		return nil
	}
	p.failed(err)
	if p.closed {
		return ErrUnavailable
	}
	return nil
}

func (p *policy) lookUp(typed string) (known bool, err error) {
	sum := sha1.Sum([]byte(typed))
	digits := strings.ToUpper(hex.EncodeToString(sum[:]))
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/range/"+digits[:sent], nil)
	if err != nil {
		return false, withoutDigits(err, digits[:sent])
	}
	request.Header.Set("Add-Padding", "true")
	request.Header.Set("User-Agent", "gormkey")
	response, err := p.client.Do(request)
	if err != nil {
		return false, withoutDigits(err, digits[:sent])
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("pwned: the answer has the status %d", response.StatusCode)
	}
	return search(response.Body, digits[sent:])
}

// search reads an answer, lines of the other 35 digits of a hash, a colon and a count. What padding
// adds has the count 0.
func search(answer io.Reader, rest string) (known bool, err error) {
	limited := &io.LimitedReader{R: answer, N: maxAnswer + 1}
	lines, count := bufio.NewScanner(limited), 0
	for lines.Scan() {
		digits, times, _ := strings.Cut(lines.Text(), ":")
		n, err := strconv.ParseUint(times, 10, 64)
		if err != nil || len(digits) != len(rest) {
			return false, errors.New("pwned: the answer is no list of hashes")
		}
		if n > 0 && strings.EqualFold(digits, rest) {
			return true, nil
		}
		count++
	}
	switch err := lines.Err(); {
	case err != nil:
		return false, fmt.Errorf("pwned: reading the answer: %w", err)
	case limited.N == 0:
		return false, fmt.Errorf("pwned: the answer has over %d bytes", maxAnswer)
	case count == 0:
		return false, errors.New("pwned: the answer is empty")
	}
	return false, nil
}

// sameServer lets a redirect pass that stays on the server.
func sameServer(request *http.Request, via []*http.Request) error {
	first := via[0].URL
	if request.URL.Host != first.Host || request.URL.Scheme != first.Scheme {
		return errors.New("pwned: the answer is a redirect to another server")
	}
	if len(via) > 3 {
		return errors.New("pwned: too many redirects")
	}
	return nil
}

// withoutDigits takes the digits of the hash out of an error, which has the address of the request
// or of a redirect, since an error ends up in a log.
func withoutDigits(err error, digits string) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if strings.Contains(err.Error(), digits) {
		return errors.New("pwned: the request failed")
	}
	return fmt.Errorf("pwned: %w", err)
}
