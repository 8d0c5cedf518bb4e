package httpauth

import (
	"context"
	"net/http"

	"github.com/gormkey/gormkey/event"
)

// Context returns the context of a request with its [event.Origin]: the user who is signed in as
// the actor, the client's address ([Auth.ClientAddress]) and its User-Agent. Give it to operations
// of the repository, so that their events say who did it, and from where. The calls of this package
// that sign somebody in or out, or ask again, do so themselves. An origin that the context has already stays.
func (a *Auth[U, S]) Context(r *http.Request) context.Context {
	ctx := r.Context()
	if event.OriginOf(ctx) != (event.Origin{}) {
		return ctx
	}
	o := event.Origin{Agent: r.UserAgent()}
	if addr := a.ClientAddress(r); addr.IsValid() {
		o.Address = addr.String()
	}
	if s := a.scopeOf(ctx); s != nil && s.current != nil {
		o.ActorID = a.base(s.current).UserID
	}
	return event.WithOrigin(ctx, o)
}
