// Package middlewaretest is the contract between sessions and routers: the same
// requests have the same answers in every framework. The tests of
// each adapter call [Run].
//
// An app is data, a [Group], and an [Adapter] builds it with its own router, so that no case
// knows a framework. Each section of cases has a file and a row in the table of Run.
// Intended differences of frameworks, such as who writes a refusal, are tested next to the
// adapter.
package middlewaretest

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// Adapter builds apps with one framework.
type Adapter struct {
	// Name is the framework, for the names of the tests.
	Name string
	// Build makes an app. It may check the framework's own rules, for instance that
	// refusals are returned errors, and report to t until the app's last request is
	// answered.
	Build func(t testing.TB, app Group) http.Handler
	// NoDial is set if the middlewares take no [sessions.Revocation].
	NoDial bool
	// Refuses are the methods that the router itself answers, with 404 or 405,
	// because it does not know them.
	Refuses []string
	// Lenient is set if the router redirects a path that is not clean, or decodes a
	// path before it matches.
	Lenient bool
	// WriteError is the [sessions.Config.WriteError] with which mounted routes return
	// their refusals to the framework, if the adapter has one.
	WriteError func(w http.ResponseWriter, r *http.Request, err *sessions.APIError)
}

// Group is an app, or a part of one under a prefix and after middlewares.
type Group struct {
	// Prefix begins with a slash and does not end with one. It may be empty, and it may
	// have parameters in the notation of [http.ServeMux] if nothing is mounted whole.
	Prefix string
	// Recover puts the framework's own recover middleware in front, if it has one.
	// Only the app as a whole has it.
	Recover bool
	// WriteError is the app's own form of refusals, for frameworks in which they are
	// errors that one handler of the app answers. Others get it from the Manager's
	// [sessions.Config]. Only the app as a whole has it.
	WriteError func(w http.ResponseWriter, r *http.Request, err *sessions.APIError)
	// With are the middlewares, the outermost first.
	With []Middleware
	// Routes, Mounts and Groups are its content.
	Routes []Route
	Mounts []Mount
	Groups []Group
}

// Route is a route of the host.
type Route struct {
	// Method is the only method that the route serves; "" is all that the router knows.
	Method string
	// Path begins with a slash and has no parameters.
	Path string
	// With are middlewares of this route alone, the outermost first.
	With []Middleware
	// Handler serves the route, with the request and the writer of the framework.
	Handler http.HandlerFunc
}

// Mount is the HTTP API.
type Mount struct {
	Handler *sessions.Handler
	// Whole mounts the handler as one, wrapped in http.StripPrefix, in a group with its
	// own prefix. Otherwise each of its routes is registered, GET also for HEAD, with the
	// router's path parameters in [http.Request.SetPathValue].
	Whole bool
}

// Middleware is a middleware of the adapter.
type Middleware struct {
	// Kind selects the middleware.
	Kind Kind
	// Manager and Revocation are for [Require], [Optional] and [RequireServer].
	Manager    *sessions.Manager
	Revocation sessions.Revocation
	// MaxAge is for [RequireRecent].
	MaxAge time.Duration
}

// Kind is the name of a middleware.
type Kind string

// The middlewares that every adapter has.
const (
	Require               Kind = "Require"
	Optional              Kind = "Optional"
	RequireServer         Kind = "RequireServer"
	ForbidImpersonation   Kind = "ForbidImpersonation"
	ReadOnlyImpersonation Kind = "ReadOnlyImpersonation"
	RequireRecent         Kind = "RequireRecent"
)

// Surface has the exported middlewares of an adapter; M is the framework's type of a
// middleware.
type Surface[M any] struct {
	Require, Optional, RequireServer           func(*sessions.Manager, sessions.Revocation) M
	ForbidImpersonation, ReadOnlyImpersonation M
	RequireRecent                              func(maxAge time.Duration) M
}

// Make makes middlewares, in their order.
func (s Surface[M]) Make(with []Middleware) []M {
	made := make([]M, len(with))
	for i, m := range with {
		switch m.Kind {
		case Require:
			made[i] = s.Require(m.Manager, m.Revocation)
		case Optional:
			made[i] = s.Optional(m.Manager, m.Revocation)
		case RequireServer:
			made[i] = s.RequireServer(m.Manager, m.Revocation)
		case ForbidImpersonation:
			made[i] = s.ForbidImpersonation
		case ReadOnlyImpersonation:
			made[i] = s.ReadOnlyImpersonation
		case RequireRecent:
			made[i] = s.RequireRecent(m.MaxAge)
		default:
			// A case is written wrong, and no test is at hand here to fail.
			panic("middlewaretest: no such middleware: " + string(m.Kind))
		}
	}
	return made
}

// suite is a run of the contract with one adapter.
type suite struct {
	Adapter

	cases, requests atomic.Int64
}

// Run checks every adapter against the contract, and logs how many cases each of them ran.
func Run(t *testing.T, adapters ...Adapter) {
	t.Helper()
	for _, a := range adapters {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			s := &suite{Adapter: a}
			t.Cleanup(func() { // when the parallel cases have run
				t.Logf("%s: %d cases, %d requests", a.Name, s.cases.Load(), s.requests.Load())
			})
			for _, section := range []struct {
				name string
				run  func(*suite, *testing.T)
			}{
				{"callers", (*suite).callers},
				{"without a project", (*suite).withoutAProject},
				{"revocation", (*suite).revocation},
				{"feed", (*suite).feed},
				{"guards", (*suite).guards},
				{"recent", (*suite).recent},
				{"cookies", (*suite).cookies},
				{"groups", (*suite).groups},
				{"mount", (*suite).mount},
				{"refusals", (*suite).refusals},
				{"proxies", (*suite).proxies},
				{"servers", (*suite).servers},
			} {
				t.Run(section.name, func(t *testing.T) {
					t.Parallel()
					section.run(s, t)
				})
			}
		})
	}
}

// run runs one case.
func (s *suite) run(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		s.cases.Add(1)
		test(t)
	})
}

// dials returns the settings of the dial that the adapter has and that every Manager has.
// Other settings have files and cases of their own.
func (s *suite) dials() map[string]sessions.Revocation {
	if s.NoDial {
		return map[string]sessions.Revocation{"by default": sessions.DefaultRevocation}
	}
	return map[string]sessions.Revocation{
		"by default": sessions.DefaultRevocation, "stateless": sessions.Stateless, "strict": sessions.Strict,
	}
}
