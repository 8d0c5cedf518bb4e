package pwned_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/gormkey/gormkey/password"
	"github.com/gormkey/gormkey/password/pwned"
)

func ExampleNotPwned() {
	// A mirror of Pwned Passwords that knows one password; a program leaves WithURL out.
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("asked for", r.URL.Path)
		fmt.Fprint(w, "607335F8F5F37F1CF65AB8F1DA672CEE58C:12\r\n0000000000000000000000000000000000A:0\r\n")
	}))
	defer mirror.Close()

	notPwned := pwned.NotPwned(nil, pwned.WithURL(mirror.URL), pwned.OnFailure(func(err error) {
		slog.Error("a password was not looked up", "error", err)
	}))
	policy := password.All(password.Default("Acme Notes"), notPwned)

	fmt.Println(policy("sunshine")) // asks nobody
	fmt.Println(policy("a walrus in a tea cup"))
	// Output:
	// password: too common: it is on a list of passwords that are guessed first
	// asked for /range/9966E
	// password: known from a leak of another site, so others try it
}
