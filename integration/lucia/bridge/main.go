// Command bridge serves gormkey's models, through plain GORM, as an adapter of Lucia v2,
// so that Lucia's own adapter suite can test them. It is a test's helper: the library's
// operations refuse raw session ids and keys without a provider, which the suite uses.
//
//	bridge --dsn sqlite:/path/to/file --tables user=user,key=user_key,session=user_session
//	bridge --dsn postgres://user:password@host:port/database
//	bridge --dsn mysql://user:password@host:port/database
//
// The tables exist already, in any schema that Lucia documents; the bridge never
// migrates. Standard input has one request a line, standard output one answer a line:
//
//	{"id":1,"method":"hello","args":[{"protocol":1,"tables":{"user":"auth_user"}}]}
//	{"id":1,"result":{"protocol":1,"name":"gormkey","capabilities":{"getSessionAndUser":true}}}
//	{"id":2,"method":"getUser","args":["abc"]}
//	{"id":2,"result":{"id":"abc","username":"ada"}}
//	{"id":3,"error":{"code":"AUTH_DUPLICATE_KEY_ID","message":"…"}}
//
// hello comes first, and names tables where the flag does not; then come the methods of
// Lucia's Adapter. Requests run at once, and answers come in any order. No message and
// no log has a value of a row. At the end of input the bridge finishes what is under
// way, gives it up after 4 seconds, and exits with 0.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/gormkey/gormkey"
)

func main() {
	dsn := flag.String("dsn", "", "sqlite:/path, postgres://… or mysql://user:password@host:port/database")
	tables := flag.String("tables", "", "such as user=auth_user,key=user_key,session=user_session, which is the default")
	flag.Parse()
	names, err := parseTables(*tables)
	if err == nil && (*dsn == "" || flag.NArg() > 0) {
		err = fmt.Errorf("wants --dsn and no other arguments")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bridge:", err)
		os.Exit(2)
	}
	s := newServer(os.Stdout, names, func(names gormkey.TableNames) (*adapter, error) { return openAdapter(*dsn, names) })
	if err := s.serve(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "bridge: reading the requests:", err)
		os.Exit(1)
	}
}

// parseTables reads the flag --tables.
func parseTables(s string) (gormkey.TableNames, error) {
	var names gormkey.TableNames
	if s == "" {
		return names, nil
	}
	for _, pair := range strings.Split(s, ",") {
		model, table, _ := strings.Cut(pair, "=")
		if err := setTable(&names, model, table); err != nil {
			return names, fmt.Errorf("--tables: %w", err)
		}
	}
	return names, nil
}

func setTable(names *gormkey.TableNames, model, table string) error {
	if table == "" {
		return fmt.Errorf("the table of %q has no name", model)
	}
	switch model {
	case "user":
		names.User = table
	case "key":
		names.Key = table
	case "session":
		names.Session = table
	default:
		return fmt.Errorf("%q is none of user, key, session", model)
	}
	return nil
}
