package httpauth

// Lucia's vectors hold values that are no tokens, so that only what is read can be
// compared, not who is signed in by it.
var (
	ReadCookie  = readCookie
	BearerToken = bearerToken
)

// Renewals returns how many answers an Auth waits for.
func Renewals[U, S any](a *Auth[U, S]) (n int) {
	a.renewals.mu.Lock()
	defer a.renewals.mu.Unlock()
	for _, of := range a.renewals.of {
		n += len(of)
	}
	return n + len(a.renewals.of)
}
