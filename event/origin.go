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
	Address string // the client's IP address; at most 45 bytes of ASCII
	Agent   string // the client's User-Agent; at most 255 bytes of ASCII
}

type originKey struct{}

// WithOrigin returns a context whose operations carry an origin into their events. What is longer is
// cut. Control characters and bytes that are not UTF-8 are dropped, and from Address and Agent all
// that is not ASCII: they come from a stranger (OWASP ASVS 16.4.1), and a column of latin1 would
// refuse the row.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, Origin{clean(o.ActorID, 255), clean(ascii(o.Address), 45), clean(ascii(o.Agent), 255)})
}

// ascii drops what is not ASCII.
func ascii(s string) string {
	return strings.Map(func(c rune) rune {
		if c > unicode.MaxASCII {
			return -1
		}
		return c
	}, s)
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
