package gormkey

import (
	"database/sql"
	"fmt"
	"regexp"

	"gorm.io/gorm"
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

// checkServer refuses servers and settings under which the promises do not hold.
func checkServer(db *gorm.DB, opts *options) error {
	db = db.Session(&gorm.Session{NewDB: true})
	var version, comment string
	switch db.Name() {
	case "mysql":
		if err := db.Raw("SELECT VERSION()").Scan(&version).Error; err != nil {
			return fmt.Errorf("reading the server's version: %w", err)
		}
		if err := db.Raw("SELECT @@version_comment").Scan(&comment).Error; err != nil {
			return fmt.Errorf("reading @@version_comment: %w", err)
		}
		var autocommit sql.NullBool
		if err := db.Raw("SELECT @@autocommit").Scan(&autocommit).Error; err != nil {
			return fmt.Errorf("reading @@autocommit: %w", err)
		}
		if autocommit.Valid && !autocommit.Bool {
			return fmt.Errorf("the connection has autocommit=0, under which a read keeps its snapshot, and a session that was ended elsewhere still validates: take it out of the DSN or the server's settings, and begin transactions where you want them")
		}
	case "postgres":
		if err := db.Raw("SELECT version()").Scan(&version).Error; err != nil {
			return fmt.Errorf("reading the server's version: %w", err)
		}
	default:
		return nil
	}
	return judgeServer(db.Name(), version, comment, opts.unknownServer)
}

// judgeServer decides by what a server says that it is.
func judgeServer(dialect, version, comment string, accepted bool) error {
	if accepted {
		return nil
	}
	name := version
	if comment != "" {
		name += " " + comment
	}
	refused := func(why string) error {
		return fmt.Errorf("the server is %.120q: %s; use a server that the guides name, or accept the risk with InsecureUnknownServer", name, why)
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
