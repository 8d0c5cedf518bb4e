package httpauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gormkey/gormkey"
)

// contextKey is the key of an Auth's scope in a request's context.
type contextKey struct{ _ byte }

// scope is the value that a middleware puts into a request's context.
type scope[S any] struct {
	request *validated[S]
	current *S // nil for nobody
}

// validated keeps the results for one request, so that nested middleware asks the database once.
// The writer's mutex guards it.
type validated[S any] struct {
	w              writer
	cookie, bearer *outcome[S]
}

// outcome is a result of a check: a session or an error.
type outcome[S any] struct {
	session *S
	err     error
}

// RequireUser lets a request pass if its cookie has a session. Next gets the session and its user
// by its context ([Auth.Session], [Auth.User]). The cookie of a renewed session is sent again.
// Other requests are answered as [RedirectAnonymous], [WithAnonymous], [WithCrossOrigin] and
// [WithUnavailable] say: by default with 401, 401, 403 and 503.
//
// The response is no-store unless next sets a Cache-Control of its own, and varies by Cookie. If
// it sets a cookie of this package, then it is no-store whatever next sets. For that, next gets a
// ResponseWriter around w. It has the optional methods that those of net/http have and w has, and
// Unwrap for [http.ResponseController].
//
// The session is read once for each request, even if several of these stand behind one another. A
// preflight of CORS has no cookie: answer it before.
func (a *Auth[U, S]) RequireUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := a.validatedOf(r)
		w, outermost := a.watch(w, request)
		if outermost {
			defer a.unwatch(request)
		}
		session, err := a.validate(w, r, request)
		if err != nil {
			a.Error(w, r, err)
			return
		}
		next.ServeHTTP(w, a.withSession(r, request, session))
	})
}

// OptionalUser is [Auth.RequireUser] that also lets requests without a session pass: for pages
// that look different for people who are signed in. A request that [Auth.CheckOrigin] refuses is
// refused here too, with or without a session, so it also protects a sign-in form. An exception
// is a request without the cookie and with a bearer token, since no other site can send that.
func (a *Auth[U, S]) OptionalUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := a.validatedOf(r)
		w, outermost := a.watch(w, request)
		if outermost {
			defer a.unwatch(request)
		}
		session, err := a.validate(w, r, request)
		if err != nil && !errors.Is(err, gormkey.ErrInvalidSession) {
			a.Error(w, r, err)
			return
		}
		next.ServeHTTP(w, a.withSession(r, request, session))
	})
}

// RequireBearer is [Auth.RequireUser] for a token in "Authorization: Bearer <token>", for
// programs. It neither reads nor sets the cookie. Only the client itself can add the header, so
// the origin is not checked. Requests without a session get 401 with WWW-Authenticate (RFC 6750,
// 3), or the answer of [WithAnonymous].
func (a *Auth[U, S]) RequireBearer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := a.validatedOf(r)
		w, outermost := a.watch(w, request)
		if outermost {
			defer a.unwatch(request)
		}
		session, err := a.validateBearer(w, r, request)
		if errors.Is(err, gormkey.ErrInvalidSession) {
			challenge := "Bearer"
			if hasPrefixFold(r.Header.Get("Authorization"), "Bearer") { // and not Basic, for example
				challenge = `Bearer error="invalid_token"`
			}
			w.Header().Set("WWW-Authenticate", challenge)
			noStore(w)
			a.unauthorized(w, r)
			return
		}
		if err != nil {
			a.Error(w, r, err)
			return
		}
		next.ServeHTTP(w, a.withSession(r, request, session))
	})
}

// Session returns the session that the innermost middleware found, nil for nobody. Outside of
// any middleware it is nil too, and the first such call is logged, since a route was left out.
func (a *Auth[U, S]) Session(ctx context.Context) *S {
	if s := a.scopeOf(ctx); s != nil {
		return s.current
	}
	a.unwatched.Do(func() {
		slog.WarnContext(ctx, "httpauth: Session or User was called for a request that passed neither RequireUser, OptionalUser nor RequireBearer, so nobody is signed in there")
	})
	return nil
}

// User returns the user of [Auth.Session], nil if nobody is signed in.
func (a *Auth[U, S]) User(ctx context.Context) *U {
	if session := a.Session(ctx); session != nil {
		return a.base(session).User
	}
	return nil
}

// Validate returns the session of the request's cookie, for routers and middleware of another
// form. It sends the cookie of a renewed session again, so call it before the response has begun.
//
// Errors:
//
//   - [gormkey.ErrInvalidSession]: nobody is signed in.
//   - [ErrCrossOrigin]: the request could change something, and may come from another site.
//   - Any other error is the database's: keep the cookie, and answer 503.
func (a *Auth[U, S]) Validate(w http.ResponseWriter, r *http.Request) (*S, error) {
	return a.validate(w, r, a.validatedOf(r))
}

// ValidateBearer returns the session of "Authorization: Bearer <token>". It returns
// [gormkey.ErrInvalidSession] if nobody is signed in; any other error is the database's.
func (a *Auth[U, S]) ValidateBearer(w http.ResponseWriter, r *http.Request) (*S, error) {
	return a.validateBearer(w, r, a.validatedOf(r))
}

func (a *Auth[U, S]) validate(w http.ResponseWriter, r *http.Request, request *validated[S]) (*S, error) {
	request.w.mu.Lock() // also for the response's header
	defer request.w.mu.Unlock()
	vary(w, "Cookie")
	came := a.presented(r)
	if err := a.checkCookieOrigin(r, came.some); err != nil {
		return nil, err
	}
	return once(w, request, &request.cookie, func() (*S, error) {
		token, err := a.chosen(r.Context(), came)
		if err != nil {
			return nil, err
		}
		session, err := a.repo.ValidateSession(r.Context(), token)
		if err != nil {
			return nil, err
		}
		if a.base(session).Fresh {
			c := a.cookieOf(session)
			send(w, c)
			if request.w.ResponseWriter != nil {
				request.w.renewed, request.w.line = token, c.String()
				a.renewals.add(&request.w)
			}
		}
		return session, nil
	})
}

// chosen returns the token that counts. Of several tokens it is the only one that has a session.
// If two have one, somebody may have planted one of them, and nobody knows which.
func (a *Auth[U, S]) chosen(ctx context.Context, came presented) (token gormkey.Token, err error) {
	switch {
	case len(came.tokens) == 0 || came.tooMany:
		return "", gormkey.ErrInvalidSession
	case len(came.tokens) == 1:
		return came.tokens[0], nil
	}
	for _, candidate := range came.tokens {
		_, err := a.repo.GetSession(ctx, candidate)
		switch {
		case errors.Is(err, gormkey.ErrInvalidSession):
		case err != nil:
			return "", err
		case token != "":
			return "", gormkey.ErrInvalidSession
		default:
			token = candidate
		}
	}
	if token == "" {
		return "", gormkey.ErrInvalidSession
	}
	return token, nil
}

func (a *Auth[U, S]) validateBearer(w http.ResponseWriter, r *http.Request, request *validated[S]) (*S, error) {
	request.w.mu.Lock()
	defer request.w.mu.Unlock()
	vary(w, "Authorization")
	token := bearerToken(r)
	if token == "" {
		return nil, gormkey.ErrInvalidSession
	}
	return once(w, request, &request.bearer, func() (*S, error) {
		return a.repo.ValidateSession(r.Context(), token)
	})
}

// once validates, or returns the result of an earlier check of the same request.
func once[S any](w http.ResponseWriter, request *validated[S], found **outcome[S], validate func() (*S, error)) (*S, error) {
	if *found == nil {
		session, err := validate()
		*found = &outcome[S]{session, err}
	}
	if (*found).err == nil {
		request.w.private = true
		noStore(w)
	}
	return (*found).session, (*found).err
}

// found sets the result for the rest of the request, after a call has opened or ended its
// session.
func (a *Auth[U, S]) found(r *http.Request, session *S, err error) {
	if s := a.scopeOf(r.Context()); s != nil {
		s.request.w.mu.Lock()
		defer s.request.w.mu.Unlock()
		s.request.cookie = &outcome[S]{session, err}
	}
}

func (a *Auth[U, S]) scopeOf(ctx context.Context) *scope[S] {
	s, _ := ctx.Value(a.key).(*scope[S])
	return s
}

func (a *Auth[U, S]) validatedOf(r *http.Request) *validated[S] {
	if s := a.scopeOf(r.Context()); s != nil {
		return s.request
	}
	return new(validated[S])
}

func (a *Auth[U, S]) withSession(r *http.Request, request *validated[S], session *S) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), a.key, &scope[S]{request, session}))
}

// unauthorized answers a request without a session.
func (a *Auth[U, S]) unauthorized(w http.ResponseWriter, r *http.Request) {
	if a.o.anonymous != nil {
		a.o.anonymous.ServeHTTP(w, r)
		return
	}
	answer(w, r, http.StatusUnauthorized, gormkey.ErrInvalidSession)
}

// redirectAnonymous sends a browser to the page where it can sign in.
func (a *Auth[U, S]) redirectAnonymous(w http.ResponseWriter, r *http.Request) {
	target := a.o.signInPath
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		target = withNext(target, requestTarget(r))
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// requestTarget returns the path and the query for which the client asked. The request's URL may
// lack a prefix of it by now: see [http.StripPrefix].
func requestTarget(r *http.Request) string {
	if target, err := url.ParseRequestURI(r.RequestURI); err == nil { // which a proxy's client sends with the host
		return target.RequestURI()
	}
	return r.URL.RequestURI() // a request of a test, which came over no connection
}

// navigates reports whether the answer will be shown as a page. Browsers older than 2023 do not
// say; they are treated as if it will.
func navigates(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return (mode == "" || mode == "navigate") && !isUpgrade(r)
}

// noStore keeps a page for one user out of caches, and out of the pages that Back shows after a
// sign-out, whatever was decided for it before.
func noStore(w http.ResponseWriter) { w.Header()["Cache-Control"] = []string{"no-store"} }

// vary adds a header's name to Vary.
func vary(w http.ResponseWriter, name string) {
	h := w.Header()
	if !slices.ContainsFunc(h["Vary"], func(v string) bool { return v == "*" || hasToken(v, name) }) {
		h["Vary"] = append(h["Vary"], name)
	}
}

// hasToken reports whether a comma-separated list of names has one.
func hasToken(list, name string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(part), name) {
			return true
		}
	}
	return false
}
