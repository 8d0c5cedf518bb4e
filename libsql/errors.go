package libsql

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// SQLite's result codes that errors are given.
const (
	codeError      = 1
	codeBusy       = 5
	codeLocked     = 6
	codeAuth       = 23
	codeCheck      = 275
	codeTimeout    = 773 // SQLITE_BUSY_TIMEOUT
	codeForeignKey = 787
	codeNotNull    = 1299
	codePrimaryKey = 1555
	codeUnique     = 2067
)

// Error is a server's refusal of a statement, which therefore has changed nothing. The
// server sends a text alone; the code is read from it:
//
//	2067  UNIQUE constraint failed, also that of a primary key (1555 elsewhere)
//	787   FOREIGN KEY constraint failed
//	1299  NOT NULL constraint failed
//	275   CHECK constraint failed
//	5, 6  database is locked, or the table
//	773   the transaction is rolled back: it took too long, or its connection was lost
//	23    the token is refused
//	1     anything else
//
// It has its fields' names from mattn/go-sqlite3, by which GORM and gormkey know it.
type Error struct {
	ExtendedCode int
	Message      string // without the statement
}

// Error returns the message.
func (e *Error) Error() string { return "libsql: " + e.Message }

// LostError is a connection's end after a COMMIT, or a write outside a transaction, was
// sent and before it was answered: nobody knows whether it ran. It is
// io.ErrUnexpectedEOF to errors.Is.
//
// What else may be lost never comes to this. A SELECT outside a transaction, a BEGIN, and
// what the server cannot have had are run again by database/sql, twice at most, on another
// connection; within a transaction it is an [Error] of code 773.
type LostError struct {
	Message string // of the network; without the statement
	cause   error  // of the context, if that cut it
}

// Error returns the message.
func (e *LostError) Error() string {
	return "libsql: the connection was lost before the answer: " + e.Message
}

// Unwrap returns io.ErrUnexpectedEOF, and the context's error if that cut the connection.
func (e *LostError) Unwrap() []error {
	if e.cause != nil {
		return []error{io.ErrUnexpectedEOF, e.cause}
	}
	return []error{io.ErrUnexpectedEOF}
}

// failure is what became of a statement.
type failure int

const (
	refused  failure = iota // by the server: an *Error
	unsent                  // it did not run: the connection or the stream was gone before it
	noServer                // nor will it now
	lost                    // it may have run
)

var httpStatus = regexp.MustCompile(`(?:^|\n)error code (\d{3}): `)

func isStatus(err error) bool { return httpStatus.MatchString(err.Error()) }

// classify tells what an error of the client means, by its text where that is all.
func classify(err error) failure {
	text := err.Error()
	var network *net.OpError
	var name *net.DNSError
	switch {
	case errors.As(err, &name), errors.As(err, &network) && network.Op == "dial":
		return noServer
	case strings.Contains(text, "stream is closed"), // the client's own word: it sent nothing
		strings.Contains(text, "failed to write JSON message"), // an incomplete frame, which no server runs
		strings.HasSuffix(text, "\nerror code 400: "),          // as the client reads STREAM_EXPIRED
		strings.Contains(text, "STREAM_EXPIRED"), strings.Contains(text, "invalid baton"):
		return unsent
	case strings.HasPrefix(text, "unable to execute "):
		return refused
	case errors.Is(err, driver.ErrBadConn):
		return lost
	}
	if status := httpStatus.FindStringSubmatch(text); status != nil {
		if status[1] >= "500" { // a proxy's, say, behind which it ran
			return lost
		}
		return refused
	}
	if strings.HasPrefix(text, "failed to execute SQL:") && !isNetwork(err) {
		return refused
	}
	return lost
}

// isNetwork reports whether a request failed, or its answer was none of the protocol's.
func isNetwork(err error) bool {
	var request *url.Error
	var network net.Error
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	return errors.As(err, &request) || errors.As(err, &network) || errors.As(err, &syntax) || errors.As(err, &shape) ||
		strings.HasSuffix(err.Error(), "\nno response received") || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

var codes = []struct {
	text string
	code int
}{
	{"UNIQUE constraint failed", codeUnique},
	{"PRIMARY KEY constraint failed", codePrimaryKey},
	{"FOREIGN KEY constraint failed", codeForeignKey},
	{"NOT NULL constraint failed", codeNotNull},
	{"CHECK constraint failed", codeCheck},
	{"database is locked", codeBusy},
	{"database table is locked", codeLocked},
	{"ransaction timed out", codeTimeout},
	{"ransaction timed-out", codeTimeout},
	{"error code 401", codeAuth},
	{"error code 403", codeAuth},
	{"error code 429", codeBusy},
}

// refusal makes an error from the server's text. The client puts the statement before
// it, which is cut off, since it may have values in it.
func refusal(text, query string) *Error {
	text = strings.TrimPrefix(text, "unable to execute "+query+": ")
	text = strings.TrimPrefix(text, "failed to execute SQL: "+query+"\n")
	text = strings.TrimPrefix(text, "failed to execute SQL:\n")
	for _, c := range codes {
		if strings.Contains(text, c.text) {
			return &Error{c.code, text}
		}
	}
	return &Error{codeError, text}
}

// hide takes the token out of a text, if a server or a proxy has put it there.
func hide(text, token string) string {
	if token == "" {
		return text
	}
	return strings.ReplaceAll(text, token, "…")
}

// dialError says why there is no connection, with the network's error behind it.
func dialError(err error, token string) error {
	var network *net.OpError
	if errors.As(err, &network) && !(token != "" && strings.Contains(network.Error(), token)) {
		return fmt.Errorf("libsql: connect: %w", network)
	}
	return errors.New("libsql: connect: " + hide(err.Error(), token))
}
