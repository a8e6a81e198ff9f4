// Package middleware protects net/http handlers with sessions.
//
// [Require] lets requests of a user pass, [RequireServer] those of trusted callers, and
// [Optional] also those without credentials. The handler gets the caller's identity from
// [sessions.FromContext]:
//
//	mux.Handle("GET /me", middleware.Require(manager)(http.HandlerFunc(me)))
//
//	func me(w http.ResponseWriter, r *http.Request) {
//		id, _ := sessions.FromContext(r.Context())
//		fmt.Fprintln(w, "hello", id.UserID)
//	}
//
// The middlewares read credentials from Authorization: Bearer; from the x-stack headers, if
// [sessions.Config.ProjectID] is set; and from cookies, if [sessions.Config.Cookies] is
// enabled, which they refresh on the way through. They do not wrap the ResponseWriter and do
// not look at paths.
// [Config.Revocation] decides how soon the tokens of an ended session are refused.
//
// A refusal has the status, headers and JSON body of the HTTP API; [Config.WriteError]
// changes its form. The packages next to this one do the same for other frameworks.
package middleware

import (
	"context"
	"net/http"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// Config has the settings of the middlewares. The functions of this package use the
// defaults:
//
//	strict := middleware.Config{Manager: manager, Revocation: sessions.Strict}
//	mux.Handle("POST /payments", strict.Require(payments))
type Config struct {
	// Manager verifies credentials. Required: without one every request is
	// refused with 500.
	Manager *sessions.Manager
	// Revocation decides how soon the access tokens of an ended session are refused.
	// Defaults to [sessions.DefaultRevocation].
	Revocation sessions.Revocation
	// WriteError writes the refusals of these middlewares and of the guards after them,
	// as [sessions.Config.WriteError] describes. Defaults to the WriteError of the Manager.
	WriteError func(w http.ResponseWriter, r *http.Request, err *sessions.APIError)
}

// Require lets a request pass if it carries a valid access token, alone or next to a key.
// It refuses other requests with 401, malformed credentials with 400. If the store fails
// and the answer is unknown, it refuses with 503.
func Require(m *sessions.Manager) func(http.Handler) http.Handler {
	return Config{Manager: m}.Require
}

// Optional also lets requests without credentials pass, without an identity. It refuses
// wrong or expired credentials in headers. A request whose cookies no longer work passes
// without an identity, because a browser cannot drop them by itself; the answer clears
// cookies that can never work again.
func Optional(m *sessions.Manager) func(http.Handler) http.Handler {
	return Config{Manager: m}.Optional
}

// RequireServer lets a request pass if it carries a server key or an admin key.
func RequireServer(m *sessions.Manager) func(http.Handler) http.Handler {
	return Config{Manager: m}.RequireServer
}

// Require is [Require] with the settings of c.
func (c Config) Require(next http.Handler) http.Handler { return c.wrap(sessions.NeedUser, next) }

// Optional is [Optional] with the settings of c.
func (c Config) Optional(next http.Handler) http.Handler { return c.wrap(sessions.NeedNothing, next) }

// RequireServer is [RequireServer] with the settings of c.
func (c Config) RequireServer(next http.Handler) http.Handler {
	return c.wrap(sessions.NeedServer, next)
}

// ForbidImpersonation refuses requests of an impersonation with 403. Apply it after
// Require, Optional or RequireServer: without one of them it refuses everything with 500.
//
//	mux.Handle("POST /password", require(middleware.ForbidImpersonation(password)))
func ForbidImpersonation(next http.Handler) http.Handler {
	return guard(next, func(r *http.Request) error { return sessions.GuardImpersonation(r.Context()) })
}

// ReadOnlyImpersonation lets requests of an impersonation pass if their method is safe
// (RFC 9110, section 9.2.1), and refuses the others with 403. Apply it after Require,
// Optional or RequireServer.
func ReadOnlyImpersonation(next http.Handler) http.Handler {
	return guard(next, func(r *http.Request) error { return sessions.GuardReadOnly(r.Context(), r.Method) })
}

func guard(next http.Handler, check func(*http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := check(r); err != nil {
			refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// RequireRecent lets a request pass if its user authenticated at most maxAge ago. It
// refuses other requests with 401 and the challenge of RFC 9470, and impersonations with
// 403. maxAge must be a second or more. Apply RequireRecent after [Require]; see
// [sessions.GuardRecent].
//
//	recent := middleware.RequireRecent(5 * time.Minute)
//	mux.Handle("PUT /email", require(recent(setEmail)))
func RequireRecent(maxAge time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return guard(next, func(r *http.Request) error { return sessions.GuardRecent(r.Context(), maxAge) })
	}
}

func (c Config) wrap(need sessions.Need, next http.Handler) http.Handler {
	write := c.write
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := c.Manager.Admit(w, r, need, c.Revocation)
		if err != nil {
			write(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, writerKey{}, write)))
	})
}

// write answers a refusal.
func (c Config) write(w http.ResponseWriter, r *http.Request, err error) {
	if c.WriteError == nil {
		c.Manager.WriteError(w, r, err)
		return
	}
	e := *sessions.NewAPIError(err) // a copy: some are shared, and the app may change it
	e.SetHeader(w.Header(), r)
	c.WriteError(w, r, &e)
}

// writerKey is the key of the write of the middleware that let a request pass: the guards
// after it have no Config.
type writerKey struct{}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	if write, ok := r.Context().Value(writerKey{}).(func(http.ResponseWriter, *http.Request, error)); ok {
		write(w, r, err)
		return
	}
	sessions.WriteError(w, r, err)
}
