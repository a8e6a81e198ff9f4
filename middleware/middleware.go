// Package middleware protects net/http handlers with sessions.
//
// [Require] lets requests pass that speak for a user, [RequireServer] those of
// trusted callers, [Optional] also those without credentials. A handler after one of
// them reads who is calling with [sessions.FromContext]:
//
//	mux.Handle("GET /me", middleware.Require(manager)(http.HandlerFunc(me)))
//
//	func me(w http.ResponseWriter, r *http.Request) {
//		id, _ := sessions.FromContext(r.Context())
//		fmt.Fprintln(w, "hello", id.UserID)
//	}
//
// They wrap handlers and never look at paths, and of the request they read nothing
// but the credentials: Authorization: Bearer, the x-stack header family, or cookies
// if [sessions.Config.Cookies] is enabled, which are refreshed on the way through.
// For how soon an ended session is refused see [Config.Revocation].
//
// Refusals have the status, headers and JSON body of the HTTP API, unless the app has a
// form of its own, see [Config.WriteError]. The packages next to this one do the same for
// other frameworks.
package middleware

import (
	"context"
	"net/http"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// Config has the settings of the middlewares. Use it if the functions of this package
// do not say enough:
//
//	strict := middleware.Config{Manager: manager, Revocation: sessions.Strict}
//	mux.Handle("POST /payments", strict.Require(payments))
type Config struct {
	// Manager verifies credentials. Required: without one every request is
	// refused with 500.
	Manager *sessions.Manager
	// Revocation says how soon the access tokens of an ended session are refused.
	// Defaults to [sessions.DefaultRevocation].
	Revocation sessions.Revocation
	// WriteError writes the refusals of these middlewares, and of the guards that are
	// applied after them, in a form of their own, as [sessions.Config.WriteError] says.
	// Defaults to that of the Manager.
	WriteError func(w http.ResponseWriter, r *http.Request, err *sessions.APIError)
}

// Require lets a request pass if it carries a good access token, alone or next to a key.
// It refuses others: 401, 400 if credentials are malformed, 503 if the answer is unknown
// because the store failed.
func Require(m *sessions.Manager) func(http.Handler) http.Handler {
	return Config{Manager: m}.Require
}

// Optional also lets requests without credentials pass; they have no identity.
// Wrong or dead credentials in headers are refused all the same. A request whose
// cookies are dead passes, without an identity, because a browser cannot put them away
// by itself; those that can never work again are cleared by the answer.
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

// ForbidImpersonation refuses requests in which somebody else acts as the user,
// with 403. Apply it after one of the middlewares above: without one it refuses
// everything with 500.
//
//	mux.Handle("POST /password", require(middleware.ForbidImpersonation(password)))
func ForbidImpersonation(next http.Handler) http.Handler { return guard(sessions.Forbid, next) }

// ReadOnlyImpersonation lets requests in which somebody else acts as the user pass
// if their method is safe (RFC 9110, section 9.2.1), and refuses others with 403.
// Apply it after one of the middlewares above.
func ReadOnlyImpersonation(next http.Handler) http.Handler { return guard(sessions.ReadOnly, next) }

func guard(g sessions.Guard, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.GuardImpersonation(r.Context(), r.Method, g); err != nil {
			refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// RequireRecent lets a request pass if its user has authenticated at most maxAge
// ago, a second or more. It refuses others with 401 and the challenge of RFC 9470,
// impersonations with 403. Apply it after [Require]; see [sessions.GuardRecent].
//
//	recent := middleware.RequireRecent(5 * time.Minute)
//	mux.Handle("PUT /email", require(recent(setEmail)))
func RequireRecent(maxAge time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := sessions.GuardRecent(r.Context(), maxAge); err != nil {
				refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
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
	e := *sessions.NewAPIError(err) // a copy: some are shared, and it is the app's to change
	e.SetHeader(w.Header(), r)
	c.WriteError(w, r, &e)
}

// writerKey is for the write of the middleware that has let a request pass: the guards
// after it have no Config.
type writerKey struct{}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	if write, ok := r.Context().Value(writerKey{}).(func(http.ResponseWriter, *http.Request, error)); ok {
		write(w, r, err)
		return
	}
	sessions.WriteError(w, r, err)
}
