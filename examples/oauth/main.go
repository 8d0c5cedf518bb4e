// Oauth signs people in with an OpenID Connect provider, through golang.org/x/oauth2: see
// oauth.go, which is the part to copy. There are passwords too, so that an account can have
// both. Without settings it brings a provider along that lets you be whom you say:
//
//	go run . # then open http://localhost:8080
//	OAUTH_CLIENT_ID=… OAUTH_CLIENT_SECRET=… go run .
//
// The second is Google; OAUTH_ISSUER names another, "https://login.example.com". Register the
// callback http://localhost:8080/oauth/callback there.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

func main() {
	c := client{
		issuer:   cmp.Or(os.Getenv("OAUTH_ISSUER"), "https://accounts.google.com"),
		id:       os.Getenv("OAUTH_CLIENT_ID"),
		secret:   os.Getenv("OAUTH_CLIENT_SECRET"),
		callback: "http://localhost:8080/oauth/callback",
	}
	if c.id == "" {
		// To a browser 127.0.0.1 is another site than localhost, as a real provider is.
		c.issuer, c.id, c.secret = "http://127.0.0.1:8081", "example", rand.Text()
		listener, err := net.Listen("tcp", "127.0.0.1:8081")
		if err != nil {
			log.Fatal(err)
		}
		go func() { log.Fatal(server(newProvider(c)).Serve(listener)) }()
	}
	a, err := newApp(context.Background(), c)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "localhost:8080")
	if err != nil {
		log.Fatal(err)
	}
	log.Print("http://localhost:8080, by way of ", c.issuer)
	log.Fatal(server(a.routes()).Serve(listener))
}

func server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
}

// app is the application around the sign-in.
type app struct {
	*oauth
	mail func(address, path string) // here a line of the log
}

func newApp(ctx context.Context, c client) (*app, error) {
	db, auth, err := open()
	if err != nil {
		return nil, err
	}
	web, err := httpauth.New(auth) // on the internet also httpauth.WithThrottle
	if err != nil {
		return nil, err
	}
	o, err := newOAuth(ctx, c, db, auth, web)
	if err != nil {
		return nil, err
	}
	return &app{o, func(address, path string) { log.Printf("mail to %q: http://localhost:8080%s", address, path) }}, nil
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/sign-in", a.oauth.signIn)
	mux.Handle("POST /oauth/link", a.web.RequireUser(http.HandlerFunc(a.oauth.link)))
	mux.HandleFunc("GET /oauth/callback", a.oauth.callback)

	mux.Handle("GET /{$}", a.web.OptionalUser(http.HandlerFunc(a.index)))
	mux.HandleFunc("POST /sign-up", a.signUp)
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		_, err := a.web.SignIn(w, r, login(r))
		a.home(w, r, err)
	})
	mux.HandleFunc("POST /sign-out", func(w http.ResponseWriter, r *http.Request) { a.home(w, r, a.web.SignOut(w, r)) })
	mux.Handle("POST /verify", a.web.RequireUser(http.HandlerFunc(a.verify)))
	return mux
}

func login(r *http.Request) gormkey.Credentials {
	return gormkey.Credentials{Provider: "email", ID: gormkey.FoldEmail(r.PostFormValue("email")), Password: r.PostFormValue("password")}
}

// home answers what a form asked for.
func (a *app) home(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		a.web.Error(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// signUp makes an account with a password. Its address is what somebody typed, until verify.
func (a *app) signUp(w http.ResponseWriter, r *http.Request) {
	err := a.web.CheckOrigin(r) // OpenSession asks too, but only after the account is made
	account := &Account{Email: login(r).ID}
	if err == nil {
		err = a.auth.CreateUser(r.Context(), account, login(r))
	}
	if err == nil {
		_, err = a.web.OpenSession(w, r, account.ID)
	}
	if err == nil {
		var token gormkey.Token
		if token, err = a.auth.IssueToken(r.Context(), account.ID, gormkey.PurposeVerifyEmail, account.Email, time.Hour); err == nil {
			a.mail(account.Email, "/?token="+string(token))
		}
	}
	a.home(w, r, err)
}

// verify proves an address, for the account that asked alone: somebody who gets mail for an
// account that an attacker made with their address must not prove it by following the link.
func (a *app) verify(w http.ResponseWriter, r *http.Request) {
	token := gormkey.Token(r.PostFormValue("token"))
	_, err := a.auth.UseToken(r.Context(), gormkey.PurposeVerifyEmail, token, func(tx *gorm.DB, t *gormkey.OneTimeToken[Account]) error {
		if t.UserID != a.web.User(r.Context()).ID {
			return gormkey.ErrInvalidToken
		}
		_, err := a.auth.With(tx).UpdateUserAttributes(r.Context(), t.UserID, map[string]any{"VerifiedEmail": t.Payload})
		return err
	})
	a.home(w, r, err)
}

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

func (a *app) index(w http.ResponseWriter, r *http.Request) {
	account := a.web.User(r.Context())
	var keys []*gormkey.Key[Account]
	if account != nil {
		var err error
		if keys, err = a.auth.UserKeys(r.Context(), account.ID); err != nil {
			a.web.Error(w, r, err)
			return
		}
	}
	w.Header().Set("Referrer-Policy", "same-origin") // the URL may hold a token
	_ = page.Execute(w, map[string]any{"Account": account, "Keys": keys, "Provider": a.provider, "Token": r.FormValue("token")})
}
