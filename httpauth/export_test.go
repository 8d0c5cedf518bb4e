package httpauth

// Lucia's vectors hold values that are no tokens, so that only what is read can be
// compared, not who is signed in by it.
var (
	ReadCookie  = readCookie
	BearerToken = bearerToken
)
