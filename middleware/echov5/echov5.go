// Package echov5 protects Echo v5 handlers with sessions, and mounts the HTTP API
// on an Echo router.
//
// It has the functions of package middleware in the form that Echo expects: a refusal is
// a returned error with a StatusCode, see [Error], which outer middleware and the app's
// HTTPErrorHandler get. The identity is in the context of the request:
//
//	e.GET("/me", me, echov5.Require(manager))
//
//	func me(c *echo.Context) error {
//		id, _ := sessions.FromContext(c.Request().Context())
//		return c.String(http.StatusOK, "hello "+id.UserID)
//	}
package echov5

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/sessile-go/sessile/sessions"
)

// Config has the settings of the middlewares. The functions of this package use the
// defaults.
type Config struct {
	// Skipper lets a request pass untouched if it returns true. Defaults to none.
	Skipper func(c *echo.Context) bool
	// Manager verifies credentials. Required: without one every request is
	// refused with 500.
	Manager *sessions.Manager
	// Revocation decides how soon the access tokens of an ended session are refused.
	// Defaults to [sessions.DefaultRevocation].
	Revocation sessions.Revocation
}

// Require lets a request pass if it carries a valid access token, alone or next to a key.
// It refuses other requests with 401, malformed credentials with 400. If the store fails
// and the answer is unknown, it refuses with 503.
func Require(m *sessions.Manager) echo.MiddlewareFunc { return Config{Manager: m}.Require() }

// Optional also lets requests without credentials pass, without an identity. It refuses
// wrong or expired credentials in headers. A request whose cookies no longer work passes
// without an identity, because a browser cannot drop them by itself; the answer clears
// cookies that can never work again.
func Optional(m *sessions.Manager) echo.MiddlewareFunc { return Config{Manager: m}.Optional() }

// RequireServer lets a request pass if it carries a server key or an admin key.
func RequireServer(m *sessions.Manager) echo.MiddlewareFunc {
	return Config{Manager: m}.RequireServer()
}

// Require is [Require] with the settings of c.
func (c Config) Require() echo.MiddlewareFunc { return c.middleware(sessions.NeedUser) }

// Optional is [Optional] with the settings of c.
func (c Config) Optional() echo.MiddlewareFunc { return c.middleware(sessions.NeedNothing) }

// RequireServer is [RequireServer] with the settings of c.
func (c Config) RequireServer() echo.MiddlewareFunc { return c.middleware(sessions.NeedServer) }

// ForbidImpersonation refuses requests of an impersonation with 403. Apply it after
// Require, Optional or RequireServer: without one of them it refuses everything with 500.
//
//	e.POST("/password", password, echov5.Require(manager), echov5.ForbidImpersonation)
func ForbidImpersonation(next echo.HandlerFunc) echo.HandlerFunc {
	return guard(next, func(r *http.Request) error { return sessions.GuardImpersonation(r.Context()) })
}

// ReadOnlyImpersonation lets requests of an impersonation pass if their method is safe
// (RFC 9110, section 9.2.1), and refuses the others with 403. Apply it after Require,
// Optional or RequireServer.
func ReadOnlyImpersonation(next echo.HandlerFunc) echo.HandlerFunc {
	return guard(next, func(r *http.Request) error { return sessions.GuardReadOnly(r.Context(), r.Method) })
}

func guard(next echo.HandlerFunc, check func(*http.Request) error) echo.HandlerFunc {
	return func(c *echo.Context) error {
		if err := check(c.Request()); err != nil {
			return Error(c, err)
		}
		return next(c)
	}
}

// RequireRecent lets a request pass if its user authenticated at most maxAge ago. It
// refuses other requests with 401 and the challenge of RFC 9470, and impersonations with
// 403. maxAge must be a second or more. Apply RequireRecent after [Require]; see
// [sessions.GuardRecent].
//
//	e.PUT("/email", setEmail, echov5.Require(manager), echov5.RequireRecent(5*time.Minute))
func RequireRecent(maxAge time.Duration) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return guard(next, func(r *http.Request) error { return sessions.GuardRecent(r.Context(), maxAge) })
	}
}

func (c Config) middleware(need sessions.Need) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(ec *echo.Context) error {
			if c.Skipper != nil && c.Skipper(ec) {
				return next(ec)
			}
			ctx, err := c.Manager.Admit(ec.Response(), ec.Request(), need, c.Revocation)
			if err != nil {
				return Error(ec, err)
			}
			ec.SetRequest(ec.Request().WithContext(ctx))
			return next(ec)
		}
	}
}

// Error turns an error of package sessions, or a [*sessions.APIError] of the app, into
// one for Echo's HTTPErrorHandler, and sets its headers on the answer, such as the Bearer
// challenge. A handler returns it:
//
//	return echov5.Error(c, err)
//
// The error has the StatusCode of the answer and marshals to the JSON body. errors.As
// finds an [*echo.HTTPError] with the text, and the [*sessions.APIError]; errors.Is matches
// what err matches.
func Error(c *echo.Context, err error) error {
	e := sessions.NewAPIError(err)
	e.SetHeader(c.Response().Header(), c.Request())
	return &apiError{APIError: e, cause: err}
}

// apiError is an [echo.HTTPStatusCoder] and a json.Marshaler, which Echo's own error handler
// looks for.
type apiError struct {
	*sessions.APIError

	cause error
}

var _ echo.HTTPStatusCoder = (*apiError)(nil)

// Error returns a text for the host's log. No answer has it.
func (e *apiError) Error() string {
	if errors.As(e.cause, new(*sessions.APIError)) {
		return e.cause.Error()
	}
	return e.APIError.Error() + ": " + e.cause.Error()
}

// StatusCode returns the status of the answer.
func (e *apiError) StatusCode() int { return e.Status }

// Unwrap returns an HTTPError for handlers that look for one, the APIError, and the cause,
// which may wrap the APIError with errors of the caller.
func (e *apiError) Unwrap() []error {
	return []error{echo.NewHTTPError(e.Status, e.Message), e.APIError, e.cause}
}

// WriteError sends the refusals of mounted routes to the app's HTTPErrorHandler, which gets
// those of the middlewares in any case. Set it in the Config of the handler's Manager:
//
//	sessions.Config{WriteError: echov5.WriteError}
//
// Outside a mounted route it writes the default form.
func WriteError(w http.ResponseWriter, r *http.Request, err *sessions.APIError) {
	if refused, ok := r.Context().Value(refusedKey{}).(**sessions.APIError); ok {
		*refused = err
		return
	}
	sessions.WriteError(w, r, err)
}

// refusedKey is the key of the place for the refusal of a mounted route.
type refusedKey struct{}

// Router is the part of [*echo.Echo] and [*echo.Group] that Mount uses.
type Router interface {
	Add(method, path string, handler echo.HandlerFunc, middleware ...echo.MiddlewareFunc) echo.RouteInfo
}

// Mount registers every route of h with a router or a group, whose prefix may have
// parameters of any name. The routes write their answers and refusals and return nil,
// unless the WriteError of the Manager's Config is [WriteError]. Unknown paths and
// methods are left to the app.
func Mount(router Router, h *sessions.Handler) {
	for _, route := range h.Routes() {
		path := strings.NewReplacer("{", ":", "}", "").Replace(route.Pattern)
		handler := serve(route)
		router.Add(route.Method, path, handler)
		if route.Method == http.MethodGet {
			router.Add(http.MethodHead, path, handler)
		}
	}
}

func serve(route sessions.Route) echo.HandlerFunc {
	return func(c *echo.Context) error {
		r := c.Request()
		for _, param := range c.PathValues() {
			if !strings.Contains(route.Pattern, "{"+param.Name+"}") { // one of the group
				continue
			}
			if strings.Contains(param.Value, "/") { // Echo gives the last parameter the rest of the path
				return echo.ErrNotFound
			}
			r.SetPathValue(param.Name, param.Value)
		}
		var refused *sessions.APIError
		r = r.WithContext(context.WithValue(r.Context(), refusedKey{}, &refused))
		route.Handler.ServeHTTP(c.Response(), r)
		if refused != nil {
			return Error(c, refused)
		}
		return nil
	}
}
