// Package routers runs the contract of the adapters with routers that need none:
// they take net/http's middlewares, or a few lines that do.
package routers

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"

	"github.com/sessile-go/sessile/internal/middlewaretest"
	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
)

type wrap = func(http.Handler) http.Handler

var surface = middlewaretest.Surface[wrap]{
	Require: func(m *sessions.Manager, dial sessions.Revocation) wrap {
		return middleware.Config{Manager: m, Revocation: dial}.Require
	},
	Optional: func(m *sessions.Manager, dial sessions.Revocation) wrap {
		return middleware.Config{Manager: m, Revocation: dial}.Optional
	},
	RequireServer: func(m *sessions.Manager, dial sessions.Revocation) wrap {
		return middleware.Config{Manager: m, Revocation: dial}.RequireServer
	},
	ForbidImpersonation:   middleware.ForbidImpersonation,
	ReadOnlyImpersonation: middleware.ReadOnlyImpersonation,
	RequireRecent:         func(maxAge time.Duration) wrap { return middleware.RequireRecent(maxAge) },
}

// TestContract runs what all adapters have in common.
func TestContract(t *testing.T) {
	t.Parallel()
	middlewaretest.Run(t,
		// Without chi.RegisterMethod it knows those of net/http.
		middlewaretest.Adapter{Name: "chi", Build: buildChi, Refuses: []string{"PROPFIND", "get", "Get", "GETX"}},
		// It takes upper-case letters for a method, and matches decoded paths.
		middlewaretest.Adapter{Name: "Gin", Build: buildGin, Refuses: []string{"get", "Get"}, Lenient: true},
	)
}

func buildChi(_ testing.TB, app middlewaretest.Group) http.Handler {
	r := chi.NewRouter()
	if app.Recover {
		r.Use(quiet, chimiddleware.Recoverer)
	}
	addChi(r, app, "")
	return r
}

// addChi adds a group to a router; path is all of its prefix.
func addChi(r chi.Router, g middlewaretest.Group, path string) {
	r.Group(func(r chi.Router) {
		r.Use(surface.Make(g.With)...)
		for _, route := range g.Routes {
			if with := r.With(surface.Make(route.With)...); route.Method == "" {
				with.Handle(route.Path, route.Handler)
			} else {
				with.Method(route.Method, route.Path, route.Handler)
			}
		}
		for _, m := range g.Mounts {
			if m.Whole {
				r.Handle("/*", http.StripPrefix(path, m.Handler))
				continue
			}
			mountChi(r, m.Handler)
		}
		for _, inner := range g.Groups {
			if inner.Prefix == "" {
				addChi(r, inner, path)
				continue
			}
			r.Route(inner.Prefix, func(r chi.Router) { addChi(r, inner, path+inner.Prefix) })
		}
	})
}

// quiet keeps what Recoverer has to say off standard error.
func quiet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, chimiddleware.WithLogEntry(r, noLog{}))
	})
}

type noLog struct{}

func (noLog) Write(int, int, http.Header, time.Duration, any) {}
func (noLog) Panic(any, []byte)                               {}

func buildGin(_ testing.TB, app middlewaretest.Group) http.Handler {
	e := gin.New()
	if app.Recover {
		e.Use(gin.RecoveryWithWriter(io.Discard))
	}
	addGin(&e.RouterGroup, app)
	return e
}

func bridges(with []middlewaretest.Middleware) []gin.HandlerFunc {
	var made []gin.HandlerFunc
	for _, m := range surface.Make(with) {
		made = append(made, bridge(m))
	}
	return made
}

// colons is for patterns: Gin has :id for {id}.
var colons = strings.NewReplacer("{", ":", "}", "")

func addGin(to *gin.RouterGroup, g middlewaretest.Group) {
	for _, route := range g.Routes {
		chain := append(bridges(route.With), gin.WrapF(route.Handler))
		if route.Method == "" {
			to.Any(route.Path, chain...)
		} else {
			to.Handle(route.Method, route.Path, chain...)
		}
	}
	for _, m := range g.Mounts {
		if m.Whole {
			to.Any("/*path", gin.WrapH(http.StripPrefix(to.BasePath(), m.Handler)))
			continue
		}
		mountGin(to, m.Handler)
	}
	for _, inner := range g.Groups {
		addGin(to.Group(colons.Replace(inner.Prefix), bridges(inner.With)...), inner)
	}
}

// TestMain keeps Gin from listing its routes on standard output.
func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	m.Run()
}
