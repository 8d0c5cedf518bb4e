// Fiber is a small server on gofiber/fiber: sign up, sign in, sign out, a route for people
// and one for programs. Copy adapt.go into yours.
//
//	go run .
//	curl -i -c /tmp/jar -H 'Sec-Fetch-Site: same-origin' -d 'email=ada@example.com&password=correct horse battery staple' localhost:8080/sign-up
//	curl -i -b /tmp/jar localhost:8080/account
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
)

func main() {
	auth, err := open()
	if err != nil {
		log.Fatal(err)
	}
	app, err := routes(auth)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(app.Listen("localhost:8080"))
}

func routes(auth *gormkey.Repository[Account]) (*fiber.App, error) {
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

	app := fiber.New(fiber.Config{ReadTimeout: 30 * time.Second})
	app.Post("/sign-up", handle(func(w http.ResponseWriter, r *http.Request) {
		err := web.CheckOrigin(r) // OpenSession asks too, but only after the account is made
		account := &Account{Email: login(r).ID}
		if err == nil {
			err = auth.CreateUser(r.Context(), account, login(r))
		}
		if err == nil {
			_, err = web.OpenSession(w, r, account.ID)
		}
		answer(w, r, err)
	}))
	app.Post("/sign-in", handle(func(w http.ResponseWriter, r *http.Request) {
		_, err := web.SignIn(w, r, login(r))
		answer(w, r, err)
	}))
	app.Post("/sign-out", handle(func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, web.SignOut(w, r))
	}))

	account := func(c fiber.Ctx) error {
		return c.SendString(web.User(c.Context()).Email + "\n") // an *Account
	}
	app.Get("/account", wrap(web.RequireUser), account)
	app.Get("/api/account", wrap(web.RequireBearer), account)
	return app, nil
}
