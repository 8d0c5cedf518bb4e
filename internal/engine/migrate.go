package engine

import (
	"time"

	"gorm.io/gorm"
)

// migrateLock names the lock that migrating processes wait for.
const (
	migrateLock     = "gormkey:migrate"
	migrateLockID   = 0x676f726d6b6579 // "gormkey"
	migrateLockWait = time.Minute
)

// WriteSource is dbresolver's setting for the primary; it means nothing without it.
const WriteSource = "gorm:db_resolver:write"

// Clean returns a handle on the same connection or transaction without anything that the
// application's handle carries. It reads from the primary, since a replica may not have the new
// tables yet.
func Clean(db *gorm.DB) *gorm.DB {
	return db.Session(&gorm.Session{NewDB: true}).Set(WriteSource, struct{}{}).Session(&gorm.Session{})
}
