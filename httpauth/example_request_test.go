package httpauth_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/event"
	"github.com/gormkey/gormkey/httpauth"
)

// A page has a button that ends the user's other sessions. The one that asks stays.
func ExampleAuth_Session() {
	web, db, ada, done := exampleSite()
	defer done()
	auth := exampleAuth(db)

	site := web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session := web.Session(r.Context())
		if err := auth.EndOtherSessions(r.Context(), session.UserID, session.ID); err != nil {
			web.Error(w, r, err)
			return
		}
		_, _ = io.WriteString(w, "signed out elsewhere")
	}))
	laptop, phone := exampleBrowser(web, ada, site), exampleBrowser(web, ada, site)
	fmt.Println("laptop:", laptop.send("POST", "/sessions/end-others", nil))
	fmt.Println("phone:", phone.send("POST", "/sessions/end-others", nil))
	// Output:
	// laptop: 200 signed out elsewhere
	// phone: 401 Unauthorized
}

// A function that makes a part of a page has the context alone.
func ExampleAuth_User() {
	web, _, ada, done := exampleSite()
	defer done()

	menu := func(ctx context.Context) string {
		if user := web.User(ctx); user != nil {
			return user.Email + " | Sign out"
		}
		return "Sign in"
	}
	site := web.OptionalUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, menu(r.Context()))
	}))
	stranger := &browser{site: site}
	fmt.Println(stranger.send("GET", "/", nil))
	fmt.Println(exampleBrowser(web, ada, site).send("GET", "/", nil))
	// Output:
	// 200 Sign in
	// 200 ada@example.com | Sign out
}

// For a router whose handlers return an error.
func ExampleAuth_ValidateBearer() {
	web, db, ada, done := exampleSite()
	defer done()
	session, err := exampleAuth(db).OpenSession(context.Background(), ada.ID)
	if err != nil {
		log.Fatal(err)
	}

	orders := func(w http.ResponseWriter, r *http.Request) error {
		session, err := web.ValidateBearer(w, r)
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, "orders of "+session.User.Email)
		return err
	}
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := orders(w, r); err != nil {
			web.Error(w, r, err)
		}
	})
	fmt.Println(serve(api, request("GET", "/api/orders", "Authorization", "Bearer "+string(session.Token))).Body)
	fmt.Println(serve(api, request("GET", "/api/orders", "Accept", "application/json")).Body)
	// Output:
	// orders of ada@example.com
	// {"error":"unauthenticated","message":"Unauthorized"}
}

// The link in a mail leads to a form, and the form's button posts the token.
func ExampleAuth_SignInWithToken() {
	web, db, ada, done := exampleSite() // with gormkey.WithOneTimeTokens
	defer done()
	link, err := exampleAuth(db).IssueToken(context.Background(), ada.ID, gormkey.PurposeMagicLink, "", 15*time.Minute)
	if err != nil {
		log.Fatal(err)
	}

	b := &browser{site: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := web.SignInWithToken(w, r, gormkey.Token(r.PostFormValue("token")))
		if err != nil {
			web.Error(w, r, err)
			return
		}
		_, _ = io.WriteString(w, session.User.Email)
	})}
	form := url.Values{"token": {string(link)}}
	fmt.Println(b.send("POST", "/link", form))
	fmt.Println(b.send("POST", "/link", form)) // it is used up
	// Output:
	// 200 ada@example.com
	// 422 Unprocessable Entity
}

// One call answers whatever an operation refuses: as text, or as JSON for a client that wants it.
func ExampleAuth_Error() {
	web, db, _, done := exampleSite()
	defer done()
	auth := exampleAuth(db)

	signUp := func(c gormkey.Credentials) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := auth.CreateUser(r.Context(), &Account{Email: c.ID}, c); err != nil {
				web.Error(w, r, err)
			}
		})
	}
	short := credentials("bob")
	short.Password = "short"
	for _, c := range []gormkey.Credentials{short, credentials("ada")} {
		fmt.Print(serve(signUp(c), post("/sign-up")).Body)
		answer := serve(signUp(c), post("/sign-up", "Accept", "application/json"))
		fmt.Print(answer.Code, " ", answer.Body)
	}
	// Output:
	// password: too short: at least 8 characters are needed
	// 400 {"error":"invalid_argument","message":"password: too short: at least 8 characters are needed"}
	// Conflict
	// 409 {"error":"taken","message":"Conflict"}
}

// The session is opened in a transaction, and its cookie is sent once the transaction is done.
func ExampleAuth_SetCookie() {
	web, db, _, done := exampleSite()
	defer done()
	auth := exampleAuth(db)

	mux := http.NewServeMux()
	mux.HandleFunc("POST /sign-up", func(w http.ResponseWriter, r *http.Request) {
		var session *gormkey.Session[Account]
		err := web.CheckOrigin(r)
		if err == nil {
			err = db.WithContext(r.Context()).Transaction(func(tx *gorm.DB) (err error) {
				bob := &Account{Email: "bob@example.com"}
				if err := auth.With(tx).CreateUser(r.Context(), bob, credentials("bob")); err != nil {
					return err
				}
				session, err = auth.With(tx).OpenSession(r.Context(), bob.ID)
				return err
			})
		}
		if err != nil {
			web.Error(w, r, err)
			return
		}
		web.SetCookie(w, session)
	})
	mux.Handle("GET /account", web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, web.User(r.Context()).Email)
	})))

	b := &browser{site: mux}
	b.send("POST", "/sign-up", nil)
	fmt.Println(b.send("GET", "/account", nil))
	// Output: 200 bob@example.com
}

// A user who is deleted has no session any more. The browser need not keep the token.
func ExampleAuth_ClearCookie() {
	web, db, ada, done := exampleSite()
	defer done()
	auth := exampleAuth(db)

	b := exampleBrowser(web, ada, web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := auth.DeleteUser(r.Context(), web.User(r.Context()).ID); err != nil {
			web.Error(w, r, err)
			return
		}
		web.ClearCookie(w)
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})))
	fmt.Println("cookies:", len(b.cookies))
	fmt.Println(b.send("POST", "/account/delete", nil))
	fmt.Println("cookies:", len(b.cookies))
	// Output:
	// cookies: 1
	// 303 /
	// cookies: 0
}

// A sign-up makes the browser known: a stranger's guesses then do not keep the user out.
func ExampleAuth_Client() {
	_, db, _, done := exampleSite()
	defer done()
	limits := exampleLimits(db)
	web, err := httpauth.New(exampleAuth(db), httpauth.WithThrottle(limits))
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /sign-up", func(w http.ResponseWriter, r *http.Request) { // after CreateUser
		if err := limits.Trust(r.Context(), credentials("ada").KeyID().String(), web.Client(w, r)); err != nil {
			web.Error(w, r, err)
		}
	})
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		login := credentials("ada")
		login.Password = r.PostFormValue("password")
		session, err := web.SignIn(w, r, login)
		if err != nil {
			web.Error(w, r, err)
			return
		}
		_, _ = io.WriteString(w, session.User.Email)
	})
	ada, stranger := &browser{site: mux}, &browser{site: mux}
	ada.send("POST", "/sign-up", nil)
	for range 5 {
		stranger.send("POST", "/sign-in", url.Values{"password": {"a guess"}})
	}
	fmt.Println("stranger:", stranger.send("POST", "/sign-in", url.Values{"password": {goodPassword}}))
	fmt.Println("ada:", ada.send("POST", "/sign-in", url.Values{"password": {goodPassword}}))
	// Output:
	// stranger: 429 Too Many Requests
	// ada: 200 ada@example.com
}

// A form that asks for the password again is an attempt too.
func ExampleAuth_KnownClient() {
	web, db, ada, done := exampleSite()
	defer done()
	auth, limits := exampleAuth(db), exampleLimits(db)

	b := exampleBrowser(web, ada, web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		login := credentials("ada")
		login.Password = r.PostFormValue("password")
		err := limits.Do(r.Context(), login.KeyID().String(), web.KnownClient(r), func() error {
			_, err := auth.UseKey(r.Context(), login)
			return err
		})
		if err != nil {
			web.Error(w, r, err)
			return
		}
		_, _ = io.WriteString(w, "confirmed")
	})))
	fmt.Println(b.send("POST", "/confirm", url.Values{"password": {goodPassword}}))
	for range 5 {
		b.send("POST", "/confirm", url.Values{"password": {"a guess"}})
	}
	fmt.Println(b.send("POST", "/confirm", url.Values{"password": {"a guess"}}))
	// Output:
	// 200 confirmed
	// 429 Too Many Requests
}

// A handler's operations say who did it, and from where.
func ExampleAuth_Context() {
	_, db, _, done := exampleSite()
	defer done()
	auth := exampleAuth(db)
	web, err := httpauth.New(auth)
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.Handle("POST /keys", web.RequireUser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := auth.AddKey(web.Context(r), web.User(r.Context()).ID, gormkey.Proved("github", "583231"))
		if err != nil {
			web.Error(w, r, err)
		}
	})))

	r := httptest.NewRequest("GET", "/", nil) // from 192.0.2.1
	r.Header.Set("User-Agent", "curl/8")
	fmt.Printf("%+v\n", event.OriginOf(web.Context(r)))
	// Output: {ActorID: Address:192.0.2.1 Agent:curl/8}
}
