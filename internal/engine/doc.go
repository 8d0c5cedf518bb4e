// Package engine holds what databases do differently: their errors and locks, their types and
// catalogs, and how their tables are migrated. It knows of GORM and of no model.
package engine
