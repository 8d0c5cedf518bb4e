// Package engine holds what databases do differently: their errors, locks and types. It
// knows of GORM and of no table.
package engine
