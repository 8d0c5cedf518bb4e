// Package httpauth is the request side of gormkey on net/http. It keeps the session's token in a
// cookie, or takes it from an Authorization header. It refuses cross-site requests, and protects a
// route with one line:
//
//	web, err := httpauth.New(auth) // auth is a *gormkey.Repository[Account]
//	…
//	mux.Handle("GET /account", web.RequireUser(http.HandlerFunc(account)))
//	mux.Handle("POST /sign-in", http.HandlerFunc(signIn))
//
//	func account(w http.ResponseWriter, r *http.Request) {
//		fmt.Fprintln(w, web.User(r.Context()).Email) // a *Account
//	}
//
//	func signIn(w http.ResponseWriter, r *http.Request) {
//		_, err := web.SignIn(w, r, gormkey.Credentials{Provider: "email", ID: gormkey.FoldEmail(r.PostFormValue("email")), Password: r.PostFormValue("password")})
//		if err != nil {
//			web.Error(w, r, err)
//			return
//		}
//		http.Redirect(w, r, httpauth.LocalPath(r.FormValue("next"), "/"), http.StatusSeeOther)
//	}
//
// Its middleware has the type func(http.Handler) http.Handler, so that it works with every
// router of that form, with WebSockets (http.Hijacker) and with server-sent events
// (http.Flusher).
//
// # What it stops
//
//   - A route accepts either the cookie or the Authorization header, never both, and never a
//     token in a URL or a body.
//   - A request that could change something is refused unless the browser says that it comes from
//     the same origin ([Auth.CheckOrigin]). That is every request except GET, HEAD and OPTIONS,
//     and a WebSocket handshake.
//   - A sign-in ends the session that the request came with.
//   - A renewed session sends its cookie again.
//   - A database that fails is answered with 503, and never with "signed out".
//   - Only a sign-out clears the cookie: an answer that arrives late would clear the cookie of a
//     newer session.
//   - Malformed, repeated or oversized headers never sign anyone in, and neither do cookies of
//     two sessions.
//
// The cookie of a renewal can arrive late too. If another call of the same Auth ends the session
// while a handler runs, the answer leaves the cookie out. If another process ends it, or the
// answer is on its way already, HTTP offers no remedy: a browser that renews and signs in at the
// same moment may have to sign in again.
//
// # What it leaves to the caller
//
//   - Limits of a request's size and time, TLS, and Strict-Transport-Security.
//   - A GET must not change anything.
//   - Browsers trust everything on the same origin, also content that other people wrote.
//   - A Cache-Control that a handler sets wins over no-store, unless the answer has a cookie of
//     this package.
package httpauth
