package engine

import (
	"fmt"
	"regexp"
)

// What speaks the protocol of MySQL or PostgreSQL need not keep its locks, on which it
// rests that no session outlives its user or its password. So the server is asked who it
// is, and one that is not known is refused.

// knownServers match version and comment of those that the contract was run on, and of
// their builds by others.
var knownServers = map[string]*regexp.Regexp{
	"mysql":    regexp.MustCompile(`(?i)mariadb|mysql|percona|vitess|planetscale|aurora|source distribution|google|debian|ubuntu|homebrew|alpine|wolfi|red ?hat|fedora|suse|arch linux|freebsd|conda|azure|cloud ?sql|alisql|tencent|^$`),
	"postgres": regexp.MustCompile(`^(PostgreSQL [0-9]|$)`),
}

// refusedServers are known to break what is promised, with what happens there.
var refusedServers = []struct {
	pattern *regexp.Regexp
	why     string
}{
	{regexp.MustCompile(`(?i)tidb`), "TiDB takes no shared row locks, so that sessions outlive a changed password and their user"},
	{regexp.MustCompile(`(?i)dolt`), "Dolt keeps no row locks, so that ended sessions live on and keys outlive their user"},
	{regexp.MustCompile(`(?i)oceanbase|singlestore|memsql|starrocks|doris|clickhouse|databend|manticore|go-mysql-server`), "its row locks are not MySQL's"},
	{regexp.MustCompile(`(?i)-YB-|yugabyte|cockroach|redshift|greenplum|materialize|questdb|risingwave|cratedb|dsql`), "its row locks are not PostgreSQL's"},
}

// JudgeServer decides by what a server says that it is.
func JudgeServer(dialect, version, comment string, accepted bool) error {
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
	for _, s := range refusedServers {
		if s.pattern.MatchString(name) {
			return refused(s.why)
		}
	}
	if !knownServers[dialect].MatchString(name) {
		return refused("it is not known to keep the locks that sessions and passwords rest on")
	}
	return nil
}
