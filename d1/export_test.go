package d1

import "database/sql/driver"

// NewConnector returns that of [OpenDB].
func NewConnector(c Config) driver.Connector { return newConnector(c) }

// Classified is what [Classify] found.
type Classified struct {
	Kind               string
	Returning, Several bool
	Savepoint          string
}

// Classify reads a statement.
func Classify(sql string) Classified {
	t := classify(sql)
	names := map[kind]string{other: "other", read: "read", change: "change", begin: "begin", savepoint: "savepoint", release: "release", rollbackTo: "rollback to", unenforce: "unenforce"}
	return Classified{names[t.kind], t.returning, t.several, t.savepoint}
}
