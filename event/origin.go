package event

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Origin says who asked for an operation, and from where. The application knows it, and the library
// only passes it on.
type Origin struct {
	ActorID string // whoever does it: a user's id, or a name of your own; at most 255 bytes
	Address string // the client's IP address; at most 45 bytes
	Agent   string // the client's User-Agent; at most 255 bytes
}

type originKey struct{}

// WithOrigin returns a context whose operations carry an origin into their events. What is longer is
// cut, and control characters and bytes that are not UTF-8 are dropped: all of it may come from
// a stranger (OWASP ASVS 16.4.1).
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, Origin{clean(o.ActorID, 255), clean(o.Address, 45), clean(o.Agent, 255)})
}

// OriginOf returns the origin of a context, the zero Origin if it has none.
func OriginOf(ctx context.Context) Origin {
	if ctx == nil {
		return Origin{}
	}
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}

// clean makes a text fit for one line of a log, and for a column.
func clean(s string, size int) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == '\u2028' || c == '\u2029' {
			return -1
		}
		return c
	}, s)
	for len(s) > size {
		_, last := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-last]
	}
	return strings.TrimSpace(s)
}
