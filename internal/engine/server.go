package engine

import (
	"fmt"
	"regexp"
)

// A server may speak the protocol of MySQL or PostgreSQL and not keep its row locks. Without them a
// session may outlive its user or its password, and nothing would look wrong. So the server is
// asked for its name when the plugin is registered, and a server that is not known is refused.

// servers are those that speak one protocol.
type servers struct {
	// known matches version and comment of those that the contract was run on, and of their
	// builds by others.
	known *regexp.Regexp
	// broken are known to break what is promised.
	broken []brokenServer
}

type brokenServer struct {
	pattern *regexp.Regexp
	why     string // what happens there
}

// judge decides by what a server says about itself. The names of broken servers are looked for
// first, since most of them also say "MySQL" or "PostgreSQL".
func (s servers) judge(version, comment string, accepted bool) error {
	if accepted {
		return nil
	}
	name := version
	if comment != "" {
		name += " " + comment
	}
	refused := func(why string) error {
		return fmt.Errorf("the server is %.120q: %s; use a server that the guides name, or accept the risk with WithInsecureUnknownServer", name, why)
	}
	for _, b := range s.broken {
		if b.pattern.MatchString(name) {
			return refused(b.why)
		}
	}
	if !s.known.MatchString(name) {
		return refused("it is not known to keep the locks that sessions and passwords rest on")
	}
	return nil
}
