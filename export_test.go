package gormkey

import "github.com/gormkey/gormkey/internal/engine"

// NewToken is for tests of the generator.
var NewToken = newToken

// NormalizedCode is for tests of what drivers' errors look like.
var NormalizedCode = engine.Code

// Compiled reports whether the lookup of a session would use the compiled statement.
func Compiled[U any](r *Repository[U]) bool {
	return !foreignQueryCallbacks(r.db)
}

// SchemaCacheFound reports whether GORM keeps its schemas where we look for them.
func SchemaCacheFound[U any](r *Repository[U]) bool { return r.b.cache != nil }
