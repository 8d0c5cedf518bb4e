// Gin is a small server on gin-gonic/gin: sign up, sign in, sign out, a route for people
// and one for programs. Copy wrap into yours.
//
//	go run .
//	curl -i -c /tmp/jar -H 'Sec-Fetch-Site: same-origin' -d 'email=ada@example.com&password=correct horse battery staple' localhost:8080/sign-up
//	curl -i -b /tmp/jar localhost:8080/account
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

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

// wrap makes Gin's middleware of net/http's, such as web.RequireUser. It is for middleware
// that leaves the ResponseWriter as it is, as httpauth's does.
func wrap(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r // whose context has the user
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort() // or Gin would go on to the handlers after this one
		}
	}
}

func routes(auth *gormkey.Repository[Account]) (http.Handler, error) {
	web, err := httpauth.New(auth) // on the internet also httpauth.WithThrottle
	if err != nil {
		return nil, err
	}
	answer := func(c *gin.Context, err error) {
		if err != nil { // 401, 403, 409, 503, …: httpauth.Status says which
			web.Error(c.Writer, c.Request, err)
			return
		}
		c.Status(http.StatusNoContent)
	}

	router := gin.New()
	router.Use(gin.Recovery())
	router.POST("/sign-up", func(c *gin.Context) {
		err := web.CheckOrigin(c.Request) // OpenSession asks too, but only after the account is made
		account := &Account{Email: login(c.Request).ID}
		if err == nil {
			err = auth.CreateUser(c.Request.Context(), account, login(c.Request))
		}
		if err == nil {
			_, err = web.OpenSession(c.Writer, c.Request, account.ID)
		}
		answer(c, err)
	})
	router.POST("/sign-in", func(c *gin.Context) {
		_, err := web.SignIn(c.Writer, c.Request, login(c.Request))
		answer(c, err)
	})
	router.POST("/sign-out", func(c *gin.Context) {
		answer(c, web.SignOut(c.Writer, c.Request))
	})

	account := func(c *gin.Context) {
		c.String(http.StatusOK, "%s\n", web.User(c.Request.Context()).Email) // an *Account
	}
	router.GET("/account", wrap(web.RequireUser), account)
	router.GET("/api/account", wrap(web.RequireBearer), account)
	return router, nil
}
