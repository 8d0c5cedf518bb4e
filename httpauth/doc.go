// Package httpauth is the request side of gormkey on net/http: it keeps the session's
// token in a cookie, or takes it from an Authorization header, refuses cross-site
// requests, and protects a route with one line:
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
//		_, err := web.SignIn(w, r, gormkey.Credentials{Provider: "email", ID: r.PostFormValue("email"), Password: r.PostFormValue("password")})
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
// A token is read from the cookie or from the Authorization header by different methods,
// never one in place of the other, and never from a URL or a body. A request that could
// change something, which is every one but GET, HEAD and OPTIONS, and a WebSocket
// handshake too, is refused unless the browser says that it comes from the same origin
// ([Auth.CheckOrigin]). A sign-in ends the session that the request came with. A renewed
// session sends its cookie again. A database that fails is 503, never "signed out". Only a
// sign-out clears the cookie: an answer that comes late would clear the cookie of a newer
// session. A header that is malformed or too long signs nobody in, and neither do cookies of
// two sessions.
//
// A renewal's cookie can come late too. If another call of the same Auth ends the session
// while a handler runs, the answer leaves the cookie out. Between processes, and once an answer
// is on its way, HTTP has no means: a browser that renews and signs in at the same moment may
// then have to sign in again.
//
// # What it leaves to the caller
//
// Limits of a request's size and time, TLS and Strict-Transport-Security. A GET must not
// change anything. Content that other people wrote, on the same origin, is trusted by
// every browser. A Cache-Control that a handler sets wins over the no-store that was set
// before, unless the answer has a cookie of this package.
package httpauth
