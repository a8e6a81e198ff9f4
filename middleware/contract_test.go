package middleware_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

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

// shortForm uses the functions of the package, without a Config.
var shortForm = middlewaretest.Surface[wrap]{
	Require:               func(m *sessions.Manager, _ sessions.Revocation) wrap { return middleware.Require(m) },
	Optional:              func(m *sessions.Manager, _ sessions.Revocation) wrap { return middleware.Optional(m) },
	RequireServer:         func(m *sessions.Manager, _ sessions.Revocation) wrap { return middleware.RequireServer(m) },
	ForbidImpersonation:   surface.ForbidImpersonation,
	ReadOnlyImpersonation: surface.ReadOnlyImpersonation,
	RequireRecent:         surface.RequireRecent,
}

// add adds a group to a mux, which has no groups: the prefix and the middlewares are those of
// all groups around it.
func add(mux *http.ServeMux, s middlewaretest.Surface[wrap], g middlewaretest.Group, prefix string, with []wrap) {
	prefix += g.Prefix
	with = slices.Concat(with, s.Make(g.With))
	for _, route := range g.Routes {
		var handler http.Handler = route.Handler
		for _, wrap := range slices.Backward(slices.Concat(with, s.Make(route.With))) {
			handler = wrap(handler)
		}
		pattern := prefix + route.Path
		if route.Method != "" {
			pattern = route.Method + " " + pattern
		}
		mux.Handle(pattern, handler)
	}
	for _, m := range g.Mounts {
		if m.Whole {
			mux.Handle(prefix+"/", http.StripPrefix(prefix, m.Handler))
		} else {
			m.Handler.Register(mux, prefix)
		}
	}
	for _, inner := range g.Groups {
		add(mux, s, inner, prefix, with)
	}
}

// TestContract runs the contract of all adapters.
func TestContract(t *testing.T) {
	t.Parallel()
	build := func(s middlewaretest.Surface[wrap]) func(testing.TB, middlewaretest.Group) http.Handler {
		return func(_ testing.TB, app middlewaretest.Group) http.Handler {
			mux := http.NewServeMux()
			add(mux, s, app, "", nil)
			return mux
		}
	}
	middlewaretest.Run(t,
		middlewaretest.Adapter{Name: "net/http", Build: build(surface), Lenient: true},
		middlewaretest.Adapter{Name: "net/http, short form", Build: build(shortForm), Lenient: true, NoDial: true},
	)
}
