// Echo is a small server on labstack/echo: sign up, sign in, sign out, a route for people
// and one for programs. Echo has an adapter of its own, echo.WrapMiddleware, which passes
// the user on and stops where the middleware does.
//
//	go run .
//	curl -i -c /tmp/jar -H 'Sec-Fetch-Site: same-origin' -d 'email=ada@example.com&password=correct horse battery staple' localhost:8080/sign-up
//	curl -i -b /tmp/jar localhost:8080/account
package main

import (
	"log"
	"net/http"

	"github.com/labstack/echo/v5"

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
	if err := router.Start("localhost:8080"); err != nil { // nil after Ctrl+C
		log.Fatal(err)
	}
}

func routes(auth *gormkey.Repository[Account]) (*echo.Echo, error) {
	web, err := httpauth.New(auth) // on the internet also httpauth.WithThrottle
	if err != nil {
		return nil, err
	}
	answer := func(c *echo.Context, err error) error {
		if err != nil { // 401, 403, 409, 503, …: httpauth.Status says which
			web.Error(c.Response(), c.Request(), err)
			return nil // it is answered
		}
		return c.NoContent(http.StatusNoContent)
	}

	router := echo.New()
	router.POST("/sign-up", func(c *echo.Context) error {
		err := web.CheckOrigin(c.Request()) // OpenSession asks too, but only after the account is made
		account := &Account{Email: login(c.Request()).ID}
		if err == nil {
			err = auth.CreateUser(c.Request().Context(), account, login(c.Request()))
		}
		if err == nil {
			_, err = web.OpenSession(c.Response(), c.Request(), account.ID)
		}
		return answer(c, err)
	})
	router.POST("/sign-in", func(c *echo.Context) error {
		_, err := web.SignIn(c.Response(), c.Request(), login(c.Request()))
		return answer(c, err)
	})
	router.POST("/sign-out", func(c *echo.Context) error {
		return answer(c, web.SignOut(c.Response(), c.Request()))
	})

	account := func(c *echo.Context) error {
		return c.String(http.StatusOK, web.User(c.Request().Context()).Email+"\n") // an *Account
	}
	router.GET("/account", account, echo.WrapMiddleware(web.RequireUser))
	router.GET("/api/account", account, echo.WrapMiddleware(web.RequireBearer))
	return router, nil
}
