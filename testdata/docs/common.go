package page

import (
	"context"
	"net/http"
	"time"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/password"
	"github.com/gormkey/gormkey/throttle"
)

// These are the names that the pieces of a page take for granted.

type Account struct {
	gormkey.User
	Email string
}

type (
	Admin   struct{ gormkey.User }
	Device  struct{ gormkey.Session[Account] }
	Profile struct{ AccountID string }

	Note struct {
		ID        uint
		AccountID string
		Account   *Account
	}

	AuditEntry struct {
		UserID, Text string
		At           time.Time
	}
)

var (
	ctx                              = context.Background()
	db                               *gorm.DB
	plugin                           *gormkey.Plugin[Account]
	auth                             *gormkey.Repository[Account]
	account                          *Account
	login                            gormkey.Credentials
	session                          *gormkey.Session[Account]
	token                            gormkey.Token
	limits                           *throttle.Throttle
	limiter                          *password.Limiter
	web                              *httpauth.Auth[Account, gormkey.Session[Account]]
	w                                http.ResponseWriter
	r                                *http.Request
	mux                              *http.ServeMux
	accountPage, home, apiMe, signUp http.Handler
	oldKey, newKey                   []byte
	newUUID                          func() string
	isBreached                       func(string) bool
	notify                           func(context.Context, *gormkey.LoggedEvent[Account]) error
)

func use(...any) {}
