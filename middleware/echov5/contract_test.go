package echov5_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v5"
	echomiddleware "github.com/labstack/echo/v5/middleware"

	"github.com/sessile-go/sessile/internal/middlewaretest"
	"github.com/sessile-go/sessile/middleware/echov5"
	"github.com/sessile-go/sessile/sessions"
)

var surface = middlewaretest.Surface[echo.MiddlewareFunc]{
	Require: func(m *sessions.Manager, dial sessions.Revocation) echo.MiddlewareFunc {
		return echov5.Config{Manager: m, Revocation: dial}.Require()
	},
	Optional: func(m *sessions.Manager, dial sessions.Revocation) echo.MiddlewareFunc {
		return echov5.Config{Manager: m, Revocation: dial}.Optional()
	},
	RequireServer: func(m *sessions.Manager, dial sessions.Revocation) echo.MiddlewareFunc {
		return echov5.Config{Manager: m, Revocation: dial}.RequireServer()
	},
	ForbidImpersonation:   echov5.ForbidImpersonation,
	ReadOnlyImpersonation: echov5.ReadOnlyImpersonation,
	RequireRecent:         echov5.RequireRecent,
}

// shortForm uses the functions of the package, without a Config.
var shortForm = middlewaretest.Surface[echo.MiddlewareFunc]{
	Require: func(m *sessions.Manager, _ sessions.Revocation) echo.MiddlewareFunc {
		return echov5.Require(m)
	},
	Optional: func(m *sessions.Manager, _ sessions.Revocation) echo.MiddlewareFunc {
		return echov5.Optional(m)
	},
	RequireServer: func(m *sessions.Manager, _ sessions.Revocation) echo.MiddlewareFunc {
		return echov5.RequireServer(m)
	},
	ForbidImpersonation:   surface.ForbidImpersonation,
	ReadOnlyImpersonation: surface.ReadOnlyImpersonation,
	RequireRecent:         surface.RequireRecent,
}

// add adds a group of the contract to one of Echo; path is all of its prefix.
func add(to *echo.Group, s middlewaretest.Surface[echo.MiddlewareFunc], g middlewaretest.Group, path string) {
	for _, route := range g.Routes {
		handler := answers(func(c *echo.Context) error {
			route.Handler(c.Response(), c.Request())
			return nil
		})
		if with := s.Make(route.With); route.Method == "" {
			to.Any(route.Path, handler, with...)
		} else {
			to.Add(route.Method, route.Path, handler, with...)
		}
	}
	for _, m := range g.Mounts {
		if m.Whole {
			to.Any("/*", answers(echo.WrapHandler(http.StripPrefix(path, m.Handler))))
		} else {
			echov5.Mount(router{to}, m.Handler)
		}
	}
	for _, inner := range g.Groups {
		prefix := strings.NewReplacer("{", ":", "}", "").Replace(inner.Prefix)
		add(to.Group(prefix, s.Make(inner.With)...), s, inner, path+prefix)
	}
}

// reached is set in the context of a request that gets past the middlewares.
const reached = "reached"

func answers(handler echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		c.Set(reached, true)
		return handler(c)
	}
}

// router marks what is mounted.
type router struct{ *echo.Group }

func (r router) Add(method, path string, handler echo.HandlerFunc, with ...echo.MiddlewareFunc) echo.RouteInfo {
	return r.Group.Add(method, path, answers(handler), with...)
}

// errorsAreReturned checks that a refusal is returned before anything is written, as an
// error for Echo's HTTPErrorHandler, and that nothing else is returned.
func errorsAreReturned(t testing.TB) echo.MiddlewareFunc {
	t.Helper()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			err := next(c)
			response, unwrapErr := echo.UnwrapResponse(c.Response())
			if unwrapErr != nil {
				t.Error(unwrapErr)
				return err
			}
			switch isReached := c.Get(reached) != nil; {
			case isReached && isRefused(err) && !response.Committed: // by a mounted route, under WriteError
			case isReached && errors.Is(err, echo.ErrNotFound): // a mounted route leaves the path to the app
			case isReached != (err == nil):
				if c.Request().Method != http.MethodOptions { // which Echo answers itself
					t.Errorf("%s %s: reached %v, returned %v", c.Request().Method, c.Request().URL, isReached, err)
				}
			case err == nil:
			case response.Committed:
				t.Errorf("written and returned: %v", err)
			case errors.Is(err, echo.ErrNotFound) || errors.Is(err, echo.ErrMethodNotAllowed): // the router's
			default:
				var api *sessions.APIError
				if !errors.As(err, &api) || api.Status != echo.StatusCode(err) {
					t.Errorf("returned %#v", err)
				}
			}
			return err
		}
	}
}

func isRefused(err error) bool {
	return errors.As(err, new(*sessions.APIError))
}

// TestContract runs the contract of all adapters.
func TestContract(t *testing.T) {
	t.Parallel()
	build := func(s middlewaretest.Surface[echo.MiddlewareFunc],
		config echo.RouterConfig) func(testing.TB, middlewaretest.Group) http.Handler {
		return func(t testing.TB, app middlewaretest.Group) http.Handler {
			t.Helper()
			e := echo.NewWithConfig(echo.Config{Router: echo.NewRouter(config)})
			if app.Recover {
				e.Use(echomiddleware.Recover())
			} else {
				e.Use(errorsAreReturned(t))
			}
			if app.WriteError != nil {
				byDefault := e.HTTPErrorHandler
				e.HTTPErrorHandler = func(c *echo.Context, err error) {
					var api *sessions.APIError
					if errors.As(err, &api) {
						app.WriteError(c.Response(), c.Request(), api)
						return
					}
					byDefault(c, err)
				}
			}
			add(e.Group(""), s, app, "")
			return e
		}
	}
	byDefault := echo.RouterConfig{AllowOverwritingRoute: true} // as echo.New has it
	every := echo.RouterConfig{UnescapePathParamValues: true, UseEscapedPathForMatching: true, AutoHandleHEAD: true}
	middlewaretest.Run(t,
		middlewaretest.Adapter{Name: "Echo v5", Build: build(surface, byDefault), WriteError: echov5.WriteError},
		middlewaretest.Adapter{
			Name: "Echo v5, every option of the router", Build: build(surface, every), Lenient: true,
		},
		middlewaretest.Adapter{Name: "Echo v5, short form", Build: build(shortForm, byDefault), NoDial: true},
	)
}
