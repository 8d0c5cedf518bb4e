package gormkey

import (
	"database/sql"

	"github.com/gormkey/gormkey/internal/engine"
)

// Offline returns a connection to nowhere, on which a GORM dialect opens so that
// [PluginOf.SQL] can write its statements without a server:
//
//	gorm.Open(postgres.New(postgres.Config{Conn: gormkey.Offline()}))
//	gorm.Open(mysql.New(mysql.Config{Conn: gormkey.Offline(), SkipInitializeWithVersion: true}))
//	gorm.Open(sqlite.New(sqlite.Config{Conn: gormkey.Offline()}))
//
// Every statement succeeds and does nothing; every query finds nothing.
func Offline() *sql.DB { return engine.Offline() }
