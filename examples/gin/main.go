// Gin is a small server on gin-gonic/gin: sign up, sign in, sign out, a route for people
// and one for programs. Copy wrap into yours.
//
//	go run .
//	curl -i -c /tmp/jar -H 'Sec-Fetch-Site: same-origin' -d 'email=ada@example.com&password=correct horse battery staple' localhost:8080/sign-up
//	curl -i -b /tmp/jar localhost:8080/account
package main

import (
	"io"
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

// wrap makes Gin's middleware of net/http's, such as web.RequireUser.
func wrap(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed, under := false, c.Writer
		middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r // whose context has the user
			c.Writer = &writer{under, w}
			c.Next()
		})).ServeHTTP(under, c.Request)
		c.Writer = under
		if !passed {
			c.Abort() // or Gin would go on to the handlers after this one
		}
	}
}

// writer is Gin's, whose answers pass the ResponseWriter that the middleware gave: web's keeps
// them out of caches.
type writer struct {
	gin.ResponseWriter
	w http.ResponseWriter
}

func (w *writer) Header() http.Header                    { return w.w.Header() }
func (w *writer) WriteHeader(status int)                 { w.w.WriteHeader(status) }
func (w *writer) Write(p []byte) (int, error)            { return w.w.Write(p) }
func (w *writer) WriteString(s string) (int, error)      { return io.WriteString(w.w, s) }
func (w *writer) ReadFrom(from io.Reader) (int64, error) { return io.Copy(w.w, from) }
func (w *writer) Flush()                                 { _ = http.NewResponseController(w.w).Flush() }
func (w *writer) Unwrap() http.ResponseWriter            { return w.w }

// WriteHeaderNow sends what Gin has noted until now.
func (w *writer) WriteHeaderNow() {
	w.w.WriteHeader(w.Status())
	w.ResponseWriter.WriteHeaderNow()
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
