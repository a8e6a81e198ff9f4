package sessions

import (
	"context"
	"errors"
	"fmt"
)

type admittedKey struct{}

// admitted is the identity of a request that has passed a middleware, and the Manager of
// that middleware. The identity is zero if the request has no credentials.
type admitted struct {
	m  *Manager
	id Identity
}

// NewContext returns a context that carries id, for tests of handlers that call
// [FromContext] or [GuardImpersonation]. The context has no [Manager], which
// [GuardRecent] needs. Those of the middlewares have one.
func NewContext(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, admittedKey{}, admitted{id: id})
}

// FromContext returns the identity of a request that has passed one of our middlewares, for
// net/http or for Echo. ok is true if that is a user or the holder of a key. It is false if
// no middleware ran, or if Optional let the request pass although it names nobody: it has
// no credentials, or a client of Stack Auth's SDK has sent no access token.
func FromContext(ctx context.Context) (id Identity, ok bool) {
	a, _ := ctx.Value(admittedKey{}).(admitted)
	if !a.id.HasUser() && !a.id.Trusted() {
		return Identity{}, false
	}
	return a.id, true
}

var (
	errNoMiddleware = miswired("None of Require, Optional and RequireServer has run before.")
	errNewContext   = miswired("RequireRecent needs a Manager, and NewContext, which this identity comes " +
		"from, has none: put Require, Optional or RequireServer in front.")
)

// GuardImpersonation refuses the request of ctx if somebody else acts as the user. The
// middleware packages call it and [GuardReadOnly], and write the refusal.
//
// Errors: [ErrImpersonationNotAllowed]; a misconfiguration, answered with 500, if no
// middleware of this module has run before, because then the caller is unknown.
func GuardImpersonation(ctx context.Context) error {
	a, ok := ctx.Value(admittedKey{}).(admitted)
	switch {
	case !ok:
		return errNoMiddleware
	case a.id.Impersonation:
		return fmt.Errorf("%w: on this route", ErrImpersonationNotAllowed)
	default:
		return nil
	}
}

// GuardReadOnly refuses the request of ctx if somebody else acts as the user and method
// is not safe. GET, HEAD, OPTIONS and TRACE are (RFC 9110, section 9.2.1).
//
// Errors: those of [GuardImpersonation].
func GuardReadOnly(ctx context.Context, method string) error {
	err := GuardImpersonation(ctx)
	switch {
	case !errors.Is(err, ErrImpersonationNotAllowed):
		return err
	case isSafe(method):
		return nil
	default:
		return fmt.Errorf("%w: the method is not safe", ErrImpersonationNotAllowed)
	}
}

func isSafe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	default:
		return false
	}
}
