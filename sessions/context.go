package sessions

import "context"

type identityKey struct{}

// NewContext returns a context that carries id; the middleware packages call it.
func NewContext(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// FromContext returns the identity of a request that passed one of our
// middlewares, net/http or Echo. ok is false where none ran, or where it lets
// requests without credentials pass and this is one.
func FromContext(ctx context.Context) (id Identity, ok bool) {
	id, ok = ctx.Value(identityKey{}).(Identity)
	return id, ok
}
