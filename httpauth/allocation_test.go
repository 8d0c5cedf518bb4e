package httpauth_test

import (
	"net/http"
	"testing"
)

// discard is a ResponseWriter that keeps headers alone, and is used again.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// TestAnonymousAllocations: a request of nobody costs at most 10 allocations above the
// handler's own, and no statement.
func TestAnonymousAllocations(t *testing.T) {
	s := newSite(t)
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = []string{"text/html"} })
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
	})
	for _, test := range []struct {
		name    string
		h, bare http.Handler
		r       *http.Request
	}{
		{"OptionalUser", s.web.OptionalUser(page), page, request("GET", "/")},
		{"OptionalUser, other cookies", s.web.OptionalUser(page), page, request("GET", "/", "Cookie", "theme=dark; lang=no")},
		{"OptionalUser, POST", s.web.OptionalUser(page), page, post("/")},
		{"OptionalUser, POST of an older browser", s.web.OptionalUser(page), page, request("POST", "/", "Origin", "https://example.com")},
		{"OptionalUser twice", s.web.OptionalUser(s.web.OptionalUser(page)), page, request("GET", "/")},
		{"RequireUser", s.web.RequireUser(page), refuse, request("GET", "/")},
		{"RequireUser, POST", s.web.RequireUser(page), refuse, post("/")},
		{"RequireBearer", s.web.RequireBearer(page), refuse, request("GET", "/")},
	} {
		run := func(h http.Handler) float64 {
			w := discard{http.Header{}}
			return testing.AllocsPerRun(100, func() {
				clear(w.header)
				h.ServeHTTP(w, test.r)
			})
		}
		s.wire.taken()
		added := run(test.h) - run(test.bare)
		if added > 10 {
			t.Errorf("%s: got %v allocations added, want at most 10", test.name, added)
		}
		t.Logf("%s: %v allocations added", test.name, added)
		if sent := s.wire.taken(); len(sent) > 0 {
			t.Errorf("%s: got statements %q, want none", test.name, sent)
		}
	}
}
