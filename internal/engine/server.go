package engine

import (
	"fmt"
	"regexp"
)

// A server that speaks the protocol of MySQL or PostgreSQL need not keep its locks, and
// without them a session may outlive its user or its password. So the server is asked who it
// is, and one that is not known is refused.

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

// judge decides by what a server says that it is.
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
