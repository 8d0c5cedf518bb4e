package gormkey

import "time"

// NewToken is for tests of the generator.
var NewToken = newToken

// NormalizedCode is for tests of what drivers' errors look like.
var NormalizedCode = databaseCode

// Compiled reports whether the lookup of a session would use the compiled statement.
func Compiled[U any](r *Repository[U]) bool {
	return !foreignQueryCallbacks(r.db)
}

// SchemaCacheFound reports whether GORM keeps its schemas where we look for them.
func SchemaCacheFound[U any](r *Repository[U]) bool { return r.b.cache != nil }

// Work is for tests of how long failures take.
type Work struct{ w work }

func (w *Work) Note(kind string, took time.Duration)         { w.w.note(kind, took) }
func (w *Work) Ended(kind, password string, start time.Time) { w.w.ended(kind, password, start) }

// HashKind is for tests of it.
var HashKind = hashKind
