package main

import (
	"bytes"
	"io"
	"net/http"
	"net/url"

	"github.com/gofiber/fiber/v3"
)

// wrap makes Fiber's middleware of net/http's, such as web.RequireUser, and gives the
// handlers after it the user by c.Context().
//
// Fiber's own adaptor.HTTPMiddleware does not do for this: of a header that came twice it
// keeps the last, where httpauth believes neither, and of X-Forwarded-For the last line; a
// bearer token that it reads lies in memory that the next request overwrites; it reads a
// streamed body before the middleware could refuse it; and a Vary or Cache-Control that is
// set already it sets once more. Neither passes on net/http's Flush and Hijack: use Fiber's
// own streams and WebSockets, after wrap. What Fiber's handlers do to the header is not seen
// by the middleware: let them leave Cache-Control where it is.
func wrap(middleware func(http.Handler) http.Handler) fiber.Handler {
	return func(c fiber.Ctx) error {
		r, err := request(c)
		if err != nil {
			return err
		}
		w := newWriter(c)
		var next error
		middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			w.sendHeader() // before the handlers, which may set others
			c.SetContext(r.Context())
			next = c.Next()
		})).ServeHTTP(w, r)
		w.sendHeader()
		return next // nil after a refusal: without c.Next nothing else runs
	}
}

// handle makes a handler of Fiber's of net/http's, for what writes cookies.
func handle(h http.HandlerFunc) fiber.Handler {
	return wrap(func(http.Handler) http.Handler { return h })
}

// request copies what Fiber has of a request. Its context is Fiber's, which does not end
// with the connection: put Fiber's timeout middleware before it.
func request(c fiber.Ctx) (*http.Request, error) {
	from := c.Request()
	uri, err := url.ParseRequestURI(string(from.Header.RequestURI()))
	if err != nil {
		return nil, fiber.ErrBadRequest
	}
	r := &http.Request{
		Method: string(from.Header.Method()), URL: uri, RequestURI: string(from.Header.RequestURI()),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host: string(from.Host()), Header: http.Header{},
		RemoteAddr: c.RequestCtx().RemoteAddr().String(), // the connection's, as httpauth wants it, not c.IP()
		TLS:        c.RequestCtx().TLSConnectionState(),
	}
	for name, value := range from.Header.All() {
		r.Header.Add(string(name), string(value))
	}
	if stream := from.BodyStream(); stream != nil {
		r.Body = io.NopCloser(stream) // not read before the middleware has passed it
	} else {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(from.Body())), int64(len(from.Body()))
	}
	return r.WithContext(c.Context()), nil
}

// writer writes to Fiber's response. Its header begins as that is, since httpauth adds to
// some of what is there and replaces some.
type writer struct {
	c      fiber.Ctx
	header http.Header
	sent   bool
}

func newWriter(c fiber.Ctx) *writer {
	w := &writer{c: c, header: http.Header{}}
	for name, value := range c.Response().Header.All() {
		switch name := string(name); name {
		case fiber.HeaderContentType, fiber.HeaderContentLength: // defaults of Fiber's, not decisions
		default:
			w.header.Add(name, string(value))
		}
	}
	return w
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	if !w.sent {
		w.c.Status(status)
		w.sendHeader()
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.c.Write(p)
}

// sendHeader puts the header in place of Fiber's, once.
func (w *writer) sendHeader() {
	if w.sent {
		return
	}
	w.sent = true
	for name, values := range w.header {
		w.c.Response().Header.Del(name)
		for _, value := range values {
			w.c.Response().Header.Add(name, value)
		}
	}
}
