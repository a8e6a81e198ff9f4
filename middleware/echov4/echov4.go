// Package echov4 protects Echo v4 handlers with sessions, and mounts the HTTP API
// on an Echo router.
//
// It has the surface of package middleware, but is native: a refusal is a returned
// [*echo.HTTPError], see [Error], so the app's HTTPErrorHandler and outer middleware see
// it. The identity is in the request's context and read with the same
// [sessions.FromContext]:
//
//	e.GET("/me", me, echov4.Require(manager))
//
//	func me(c echo.Context) error {
//		id, _ := sessions.FromContext(c.Request().Context())
//		return c.String(http.StatusOK, "hello "+id.UserID)
//	}
package echov4

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sessile-go/sessile/sessions"
)

// Config has the settings of the middlewares. Use it if the functions of this package
// do not say enough.
type Config struct {
	// Skipper lets a request pass untouched if it returns true. Defaults to none.
	Skipper func(c echo.Context) bool
	// Manager verifies credentials. Required: without one every request is
	// refused with 500.
	Manager *sessions.Manager
	// Revocation says how soon the access tokens of an ended session are refused.
	// Defaults to [sessions.DefaultRevocation].
	Revocation sessions.Revocation
}

// Require lets a request pass if it carries a good access token, alone or next to a key.
// It refuses others: 401, 400 if credentials are malformed, 503 if the answer is unknown
// because the store failed.
func Require(m *sessions.Manager) echo.MiddlewareFunc { return Config{Manager: m}.Require() }

// Optional also lets requests without credentials pass; they have no identity.
// Wrong or dead credentials in headers are refused all the same. A request whose
// cookies are dead passes, without an identity, because a browser cannot put them away
// by itself; those that can never work again are cleared by the answer.
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

// ForbidImpersonation refuses requests in which somebody else acts as the user,
// with 403. Apply it after one of the middlewares above: without one it refuses
// everything with 500.
//
//	e.POST("/password", password, echov4.Require(manager), echov4.ForbidImpersonation)
func ForbidImpersonation(next echo.HandlerFunc) echo.HandlerFunc {
	return guard(sessions.Forbid, next)
}

// ReadOnlyImpersonation lets requests in which somebody else acts as the user pass
// if their method is safe (RFC 9110, section 9.2.1), and refuses others with 403.
// Apply it after one of the middlewares above.
func ReadOnlyImpersonation(next echo.HandlerFunc) echo.HandlerFunc {
	return guard(sessions.ReadOnly, next)
}

func guard(g sessions.Guard, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := sessions.GuardImpersonation(c.Request().Context(), c.Request().Method, g); err != nil {
			return Error(c, err)
		}
		return next(c)
	}
}

// RequireRecent lets a request pass if its user has authenticated at most maxAge
// ago, a second or more. It refuses others with 401 and the challenge of RFC 9470,
// impersonations with 403. Apply it after [Require]; see [sessions.GuardRecent].
//
//	e.PUT("/email", setEmail, echov4.Require(manager), echov4.RequireRecent(5*time.Minute))
func RequireRecent(maxAge time.Duration) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := sessions.GuardRecent(c.Request().Context(), maxAge); err != nil {
				return Error(c, err)
			}
			return next(c)
		}
	}
}

func (c Config) middleware(need sessions.Need) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(ec echo.Context) error {
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

// Error makes an error of package sessions, or an [*sessions.APIError] of the host's,
// into one for Echo's HTTPErrorHandler, and sets its headers on the answer, the Bearer
// challenge among them. A handler returns it:
//
//	return echov4.Error(c, err)
//
// Message is the text, a string. Internal is another [*echo.HTTPError], whose Message is
// the JSON body: Echo's own handler looks there first, and so answers with it. errors.As
// finds the [*sessions.APIError], and errors.Is what err is.
func Error(c echo.Context, err error) *echo.HTTPError {
	e := sessions.NewAPIError(err)
	e.SetHeader(c.Response().Header(), c.Request())
	if _, ok := errors.AsType[*sessions.APIError](err); !ok {
		err = fmt.Errorf("%w: %w", e, err) // whose text names the cause, for the host's log
	}
	return &echo.HTTPError{
		Code: e.Status, Message: e.Message,
		Internal: &echo.HTTPError{Code: e.Status, Message: e, Internal: err},
	}
}

// WriteError returns the refusals of mounted routes to the app's HTTPErrorHandler, where
// those of the middlewares go anyway, if it is the [sessions.Config.WriteError] of the
// handler's Manager:
//
//	sessions.Config{WriteError: echov4.WriteError}
//
// Elsewhere it writes the default form.
func WriteError(w http.ResponseWriter, r *http.Request, err *sessions.APIError) {
	if refused, ok := r.Context().Value(refusedKey{}).(**sessions.APIError); ok {
		*refused = err
		return
	}
	sessions.WriteError(w, r, err)
}

// refusedKey is for where a mounted route leaves its refusal.
type refusedKey struct{}

// Router is what Mount needs of [*echo.Echo] and [*echo.Group].
type Router interface {
	Add(method, path string, handler echo.HandlerFunc, middleware ...echo.MiddlewareFunc) *echo.Route
}

// Mount registers every route of h at a router or a group, whose prefix may have
// parameters of any name. The routes write their own answers, refusals included, and
// return nil, unless [WriteError] is set; unknown paths and methods stay the app's.
func Mount(router Router, h *sessions.Handler) {
	for _, route := range h.Routes() {
		path := strings.NewReplacer("{", ":", "}", "").Replace(route.Pattern)
		handler := serve(route)
		router.Add(route.Method, path, handler)
		if route.Method == echo.GET {
			router.Add(echo.HEAD, path, handler)
		}
	}
}

func serve(route sessions.Route) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		for _, name := range c.ParamNames() {
			if !strings.Contains(route.Pattern, "{"+name+"}") { // one of the group
				continue
			}
			value := c.Param(name)
			if strings.Contains(value, "/") { // Echo gives the last parameter the rest of the path
				return echo.NotFoundHandler(c)
			}
			r.SetPathValue(name, value)
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
