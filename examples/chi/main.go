// Chi is a small server on go-chi/chi: sign up, sign in, sign out, a route for people
// and one for programs. Its middleware is of net/http's form, and needs no adapter.
//
//	go run .
//	curl -i -c /tmp/jar -H 'Sec-Fetch-Site: same-origin' -d 'email=ada@example.com&password=correct horse battery staple' localhost:8080/sign-up
//	curl -i -b /tmp/jar localhost:8080/account
package main

import (
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

func main() {
	auth, err := open()
	if err != nil {
		log.Fatal(err)
	}
	router, err := routes(auth)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "localhost:8080", Handler: router, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func routes(auth *gormkey.Repository[Account]) (http.Handler, error) {
	web, err := httpauth.New(auth) // on the internet also httpauth.WithThrottle
	if err != nil {
		return nil, err
	}
	answer := func(w http.ResponseWriter, r *http.Request, err error) {
		if err != nil { // 401, 403, 409, 503, …: httpauth.Status says which
			web.Error(w, r, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}

	router := chi.NewRouter()
	router.Post("/sign-up", func(w http.ResponseWriter, r *http.Request) {
		err := web.CheckOrigin(r) // OpenSession asks too, but only after the account is made
		account := &Account{Email: login(r).ID}
		if err == nil {
			err = auth.CreateUser(r.Context(), account, login(r))
		}
		if err == nil {
			_, err = web.OpenSession(w, r, account.ID)
		}
		answer(w, r, err)
	})
	router.Post("/sign-in", func(w http.ResponseWriter, r *http.Request) {
		_, err := web.SignIn(w, r, login(r))
		answer(w, r, err)
	})
	router.Post("/sign-out", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, web.SignOut(w, r))
	})

	account := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, web.User(r.Context()).Email) // an *Account
	}
	router.With(web.RequireUser).Get("/account", account)
	router.With(web.RequireBearer).Get("/api/account", account)
	return router, nil
}
