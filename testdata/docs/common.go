package page

import (
	"context"
	"net/http"

	"gorm.io/gorm"

	"github.com/gormkey/gormkey"
	"github.com/gormkey/gormkey/httpauth"
	"github.com/gormkey/gormkey/throttle"
)

// These are the names that the pieces of a page take for granted.

type Account struct {
	gormkey.User
	Email string
}

type Profile struct{ AccountID string }

var (
	ctx                      = context.Background()
	db                       *gorm.DB
	plugin                   *gormkey.Plugin[Account]
	auth                     *gormkey.Repository[Account]
	account                  *Account
	limits                   *throttle.Throttle
	web                      *httpauth.Auth[Account, gormkey.Session[Account]]
	r                        *http.Request
	accountPage, home, apiMe http.Handler
	oldKey, newKey           []byte
)

func use(...any) {}
