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

// Work is for tests of what failures do.
type Work struct{ w work }

func (w *Work) Hashed(hash string) { w.w.hashed(hash) }
func (w *Work) Plan(hash string, outdated bool) (dummy bool, checks []string, own int) {
	return w.w.plan(hash, outdated)
}

func (w *Work) Met(hash string) { w.w.met(hash) }

// HashKind is for tests of what tells hashes apart.
func HashKind(hash string) string { return splitHash(hash).kind() }
