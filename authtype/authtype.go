// Package authtype has the types of gormkey's columns and values: what they are in a row, in
// JSON, in a log and in a form. Package gormkey has names of its own for those that every
// application meets ([gormkey.Token], [gormkey.SessionID], [gormkey.KeyID] and so on), so that
// this package is rarely imported.
//
// [gormkey.Token]: https://pkg.go.dev/github.com/gormkey/gormkey#Token
// [gormkey.SessionID]: https://pkg.go.dev/github.com/gormkey/gormkey#SessionID
// [gormkey.KeyID]: https://pkg.go.dev/github.com/gormkey/gormkey#KeyID
package authtype

import "errors"

const redacted = "[redacted]"

// ErrInvalidExpiry is wrapped by the error of a column that holds no moment in milliseconds.
var ErrInvalidExpiry = errors.New("gormkey: invalid expiry")

// Purpose names what a one-time token is good for: 1 to 32 characters of a–z, 0–9 and
// "-". The application may have others than gormkey's.
type Purpose string
