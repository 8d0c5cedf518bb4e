package httpauth

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gormkey/gormkey"
)

// writer is the ResponseWriter for handlers behind a middleware. It completes the header just
// before it is sent, whatever a handler has done to it: net/http's file server, for example,
// removes Cache-Control from answers that are errors.
type writer struct {
	http.ResponseWriter // nil where no middleware stands
	cookies             *cookieOptions
	sent                bool

	mu      sync.Mutex
	private bool // the answer is for one user

	renewed gormkey.Token // the token whose cookie is sent again, "" for none
	line    string        // its Set-Cookie
	ended   atomic.Bool   // a sign-in or sign-out has ended its session meanwhile
}

// complete makes sure of three things: an answer with a cookie of ours is no-store; an answer for
// a single user is no-store unless the handler has decided otherwise; and a renewed token is not
// sent after the one that has replaced it.
func (w *writer) complete() {
	if w.sent {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.Header()
	if w.ended.Load() {
		setLines(h, slices.DeleteFunc(slices.Clone(h["Set-Cookie"]), func(line string) bool { return line == w.line }))
	}
	undecided := w.private && len(h["Cache-Control"]) == 0
	if undecided || slices.ContainsFunc(h["Set-Cookie"], w.cookies.own) {
		h["Cache-Control"] = []string{"no-store"}
	}
}

// own reports whether a line of Set-Cookie is for a cookie of this package.
func (c *cookieOptions) own(line string) bool {
	name, _, _ := strings.Cut(line, "=")
	return name == c.name || name == c.device
}

func setLines(h http.Header, lines []string) {
	if len(lines) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = lines
}

// Unwrap is for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader does not mark the header as sent. The status may be an informational one, and some
// ResponseWriters note it and send it later.
func (w *writer) WriteHeader(status int) {
	w.complete()
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) begin() {
	w.complete()
	w.sent = true
}

func (w *writer) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

func (w *writer) WriteString(s string) (int, error) {
	w.begin()
	return io.WriteString(w.ResponseWriter, s)
}

// ReadFrom lets net/http send a file without copying it through the program.
func (w *writer) ReadFrom(from io.Reader) (int64, error) {
	w.begin()
	return io.Copy(w.ResponseWriter, from)
}

// FlushError is [http.ResponseController]'s Flush.
func (w *writer) FlushError() error {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// flusher is the Flush of a writer whose ResponseWriter has one.
type flusher struct{ w *writer }

func (f flusher) Flush() { _ = f.w.FlushError() }

// closeNotifier is http.CloseNotifier, which is deprecated; Gin needs it.
type closeNotifier interface{ CloseNotify() <-chan bool }

// These are writers with the optional methods of their ResponseWriters. A handler looks for such a
// method by a type assertion, so a writer must have exactly those that work.
type (
	writerF struct {
		*writer
		flusher
	}
	writerH struct {
		*writer
		http.Hijacker
	}
	writerFH struct {
		*writer
		flusher
		http.Hijacker
	}
	writerFC struct {
		*writer
		flusher
		closeNotifier
	}
	writerFCP struct {
		*writer
		flusher
		closeNotifier
		http.Pusher
	}
	writerFHC struct {
		*writer
		flusher
		http.Hijacker
		closeNotifier
	}
)

// over puts w in front of a ResponseWriter, and returns the value that handlers get.
func (w *writer) over(under http.ResponseWriter, cookies *cookieOptions) http.ResponseWriter {
	w.ResponseWriter, w.cookies = under, cookies
	f := flusher{w}
	_, flushes := under.(http.Flusher)
	hijacker, hijacks := under.(http.Hijacker)
	notifier, notifies := under.(closeNotifier)
	pusher, pushes := under.(http.Pusher)
	switch {
	case flushes && hijacks && notifies: // net/http's on HTTP/1
		return writerFHC{w, f, hijacker, notifier}
	case flushes && hijacks:
		return writerFH{w, f, hijacker}
	case flushes && notifies && pushes: // and on HTTP/2
		return writerFCP{w, f, notifier, pusher}
	case flushes && notifies:
		return writerFC{w, f, notifier}
	case flushes:
		return writerF{w, f}
	case hijacks:
		return writerH{w, hijacker}
	}
	return w
}

// watch returns the ResponseWriter for the handlers behind a middleware. Behind another
// middleware of the same Auth it is the one that is there already, and outermost is false.
func (a *Auth[U, S]) watch(w http.ResponseWriter, request *validated[S]) (_ http.ResponseWriter, outermost bool) {
	if request.w.ResponseWriter != nil {
		return w, false
	}
	return request.w.over(w, &a.o.cookie), true
}

// unwatch is called when the handlers have returned.
func (a *Auth[U, S]) unwatch(request *validated[S]) {
	request.w.complete() // nothing may have been written
	a.renewals.remove(&request.w)
}

// renewals are the answers with a renewed session's cookie that are not complete yet. If a
// sign-in replaces the session's token before they are, then a browser would get the new token
// first and the old one after it. Nothing can be done about an answer of another process.
type renewals struct {
	mu sync.Mutex
	of map[gormkey.Token][]*writer
}

func (r *renewals) add(w *writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[gormkey.Token][]*writer{}
	}
	r.of[w.renewed] = append(r.of[w.renewed], w)
}

func (r *renewals) remove(w *writer) {
	if w.renewed == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	left := slices.DeleteFunc(r.of[w.renewed], func(other *writer) bool { return other == w })
	if r.of[w.renewed] = left; len(left) == 0 {
		delete(r.of, w.renewed)
	}
}

// end notes that the sessions of tokens have ended.
func (r *renewals) end(tokens []gormkey.Token) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, token := range tokens {
		for _, w := range r.of[token] {
			w.ended.Store(true)
		}
	}
}
