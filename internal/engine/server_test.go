package engine

import (
	"strings"
	"testing"
)

// TestServers: by what they answer to VERSION() and @@version_comment.
func TestServers(t *testing.T) {
	all := map[string]servers{"mysql": mysqlServers, "postgres": postgresServers}
	for _, c := range []struct {
		protocol, version, comment string
		refused                    string // in the error, "" for none
	}{
		{"mysql", "8.0.36", "MySQL Community Server - GPL", ""},
		{"mysql", "8.4.3", "Source distribution", ""},
		{"mysql", "9.7.4-2", "(Debian)", ""},
		{"mysql", "8.0.36-28", "Percona Server (GPL), Release 28, Revision 47601f19", ""},
		{"mysql", "10.11.19-MariaDB-0+deb12u1", "Debian 12", ""},
		{"mysql", "8.4.6-Vitess", "Version: 24.0.0 (Git revision  branch '') built on  by @ using go1.26.8 linux/amd64", ""},
		{"mysql", "8.0.34-PlanetScale", "PlanetScale", ""},
		{"mysql", "", "", ""}, // offline
		{"mysql", "8.0.11-TiDB-v8.4.0", "TiDB Server (Apache License 2.0) Community Edition, MySQL 8.0 compatible", "TiDB"},
		{"mysql", "8.0.33", "Dolt", "Dolt"},
		{"mysql", "5.7.25-OceanBase_CE-v4.3.5.1", "OceanBase_CE 4.3.5.1", "locks"},
		{"mysql", "5.7.32", "SingleStoreDB source distribution (compatible; MySQL Enterprise & MySQL Commercial)", "locks"},
		{"mysql", "8.0.33", "Acme Cloud Database", "WithInsecureUnknownServer"},
		{"postgres", "PostgreSQL 15.19 (Debian 15.19-0+deb12u1) on x86_64-pc-linux-gnu", "", ""},
		{"postgres", "PostgreSQL 18.4 on x86_64-pc-linux-gnu, compiled by gcc", "", ""},
		{"postgres", "", "", ""},
		{"postgres", "PostgreSQL 15.12-YB-2025.1.0.1-b0 on x86_64-pc-linux-gnu", "", "locks"},
		{"postgres", "CockroachDB CCL v24.3.1 (x86_64-pc-linux-gnu)", "", "locks"},
		{"postgres", "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC, Redshift 1.0.77467", "", "locks"},
		{"postgres", "Acme 1.0", "", "WithInsecureUnknownServer"},
	} {
		err := all[c.protocol].judge(c.version, c.comment, false)
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s %s: got error %v", c.version, c.comment, err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "WithInsecureUnknownServer")):
			t.Errorf("%s %s: got error %v, want one that says %q", c.version, c.comment, err, c.refused)
		}
		if err := all[c.protocol].judge(c.version, c.comment, true); err != nil {
			t.Errorf("%s %s, accepted: got error %v", c.version, c.comment, err)
		}
	}
}
