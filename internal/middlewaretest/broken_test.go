package middlewaretest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/internal/middlewaretest"
	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
)

type wrap = func(http.Handler) http.Handler

// adapter is an adapter of net/http that a test can break.
type adapter struct {
	middlewaretest.Surface[wrap]

	mount func(mux *http.ServeMux, prefix string, h *sessions.Handler)
	// app goes around the whole app.
	app wrap
}

func sound() *adapter {
	config := func(m *sessions.Manager, dial sessions.Revocation) middleware.Config {
		return middleware.Config{Manager: m, Revocation: dial}
	}
	return &adapter{
		Surface: middlewaretest.Surface[wrap]{
			Require: func(m *sessions.Manager, dial sessions.Revocation) wrap {
				return config(m, dial).Require
			},
			Optional: func(m *sessions.Manager, dial sessions.Revocation) wrap {
				return config(m, dial).Optional
			},
			RequireServer: func(m *sessions.Manager, dial sessions.Revocation) wrap {
				return config(m, dial).RequireServer
			},
			ForbidImpersonation:   middleware.ForbidImpersonation,
			ReadOnlyImpersonation: middleware.ReadOnlyImpersonation,
			RequireRecent:         func(maxAge time.Duration) wrap { return middleware.RequireRecent(maxAge) },
		},
		mount: func(mux *http.ServeMux, prefix string, h *sessions.Handler) { h.Register(mux, prefix) },
		app:   through,
	}
}

func through(next http.Handler) http.Handler { return next }

func (a *adapter) build(_ testing.TB, app middlewaretest.Group) http.Handler {
	mux := http.NewServeMux()
	a.add(mux, app, "", nil)
	return a.app(mux)
}

func (a *adapter) add(mux *http.ServeMux, g middlewaretest.Group, prefix string, with []wrap) {
	prefix += g.Prefix
	with = slices.Concat(with, a.Make(g.With))
	for _, route := range g.Routes {
		var handler http.Handler = route.Handler
		for _, wrap := range slices.Backward(slices.Concat(with, a.Make(route.With))) {
			handler = wrap(handler)
		}
		mux.Handle(strings.TrimSpace(route.Method+" "+prefix+route.Path), handler)
	}
	for _, m := range g.Mounts {
		if m.Whole {
			mux.Handle(prefix+"/", http.StripPrefix(prefix, m.Handler))
		} else {
			a.mount(mux, prefix, m.Handler)
		}
	}
	for _, inner := range g.Groups {
		a.add(mux, inner, prefix, with)
	}
}

// admit is a middleware made by hand, to leave things out.
func admit(need sessions.Need, serve func(w http.ResponseWriter, r *http.Request, ctx context.Context, err error,
	next http.Handler)) func(*sessions.Manager, sessions.Revocation) wrap {
	return func(m *sessions.Manager, dial sessions.Revocation) wrap {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, err := m.Admit(w, r, need, dial)
				serve(w, r, ctx, err, next)
			})
		}
	}
}

// eachRoute mounts routes by hand.
func eachRoute(methods func(sessions.Route) []string,
	handler func(sessions.Route) http.Handler) func(*http.ServeMux, string, *sessions.Handler) {
	return func(mux *http.ServeMux, prefix string, h *sessions.Handler) {
		for _, route := range h.Routes() {
			for _, method := range methods(route) {
				mux.Handle(method+" "+prefix+route.Pattern, handler(route))
			}
		}
	}
}

// onlyBodies takes the headers off answers of some statuses, save what says where the
// answer is and what is in it.
func onlyBodies(some func(status int) bool) wrap {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			for name, values := range answer.Header() {
				if !some(answer.Code) || name == "Content-Type" || name == "Location" {
					w.Header()[name] = values
				}
			}
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes()) // a recorder does not fail
		})
	}
}

// onlyGET takes HEAD, which ServeMux adds, away again.
func onlyGET(route sessions.Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			http.NotFound(w, r)
			return
		}
		route.Handler.ServeHTTP(w, r)
	})
}

// faults are ways to write an adapter wrong, each with the section that must see it.
var faults = []struct {
	name, section string
	with          func(a *adapter)
}{
	{"the identity is not handed on", "callers", func(a *adapter) {
		a.Require = admit(sessions.NeedUser, func(w http.ResponseWriter, r *http.Request, _ context.Context, err error,
			next http.Handler) {
			if err != nil {
				sessions.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}},
	{"a refusal does not end the request", "callers", func(a *adapter) {
		a.Require = admit(sessions.NeedUser, func(w http.ResponseWriter, r *http.Request, _ context.Context, err error,
			next http.Handler) {
			if err != nil {
				sessions.WriteError(w, r, err)
			}
			next.ServeHTTP(w, r)
		})
	}},
	{"refusals have no headers", "callers", func(a *adapter) {
		a.RequireServer = admit(sessions.NeedServer, func(w http.ResponseWriter, r *http.Request, ctx context.Context,
			err error, next http.Handler) {
			if err != nil {
				http.Error(w, `{"code":"`+sessions.NewAPIError(err).Code+`","error":"-"}`,
					sessions.NewAPIError(err).Status)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}},
	{"Optional takes bad credentials for none", "callers", func(a *adapter) {
		a.Optional = admit(sessions.NeedNothing, func(w http.ResponseWriter, r *http.Request, ctx context.Context,
			err error, next http.Handler) {
			if err != nil {
				ctx = r.Context()
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}},
	{"the dial is not connected", "revocation", func(a *adapter) {
		require := a.Require
		a.Require = func(m *sessions.Manager, _ sessions.Revocation) wrap { return require(m, sessions.Stateless) }
	}},
	{"who has no manager passes", "revocation", func(a *adapter) {
		require := a.Require
		a.Require = func(m *sessions.Manager, dial sessions.Revocation) wrap {
			if m == nil {
				return through
			}
			return require(m, dial)
		}
	}},
	{"bounded is taken for stateless", "feed", func(a *adapter) {
		require := a.Require
		a.Require = func(m *sessions.Manager, dial sessions.Revocation) wrap {
			if dial == sessions.Bounded {
				dial = sessions.Stateless
			}
			return require(m, dial)
		}
	}},
	{"the identity is handed on alone", "recent", func(a *adapter) {
		a.Require = admit(sessions.NeedUser, func(w http.ResponseWriter, r *http.Request, ctx context.Context,
			err error, next http.Handler) {
			if err != nil {
				sessions.WriteError(w, r, err)
				return
			}
			id, _ := sessions.FromContext(ctx)
			next.ServeHTTP(w, r.WithContext(sessions.NewContext(r.Context(), id)))
		})
	}},
	{"ForbidImpersonation is ReadOnlyImpersonation", "guards", func(a *adapter) {
		a.ForbidImpersonation = a.ReadOnlyImpersonation
	}},
	{"a method is safe in any letters", "guards", func(a *adapter) {
		guard := a.ReadOnlyImpersonation
		a.ReadOnlyImpersonation = func(next http.Handler) http.Handler {
			guarded := guard(next)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Method = strings.ToUpper(r.Method)
				guarded.ServeHTTP(w, r)
			})
		}
	}},
	{"a guard without a middleware lets pass", "guards", func(a *adapter) {
		guard := a.ForbidImpersonation
		a.ForbidImpersonation = func(next http.Handler) http.Handler {
			guarded := guard(next)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, ok := sessions.FromContext(r.Context()); ok {
					guarded.ServeHTTP(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})
		}
	}},
	{"RequireRecent is not connected", "recent", func(a *adapter) {
		a.RequireRecent = func(time.Duration) wrap { return through }
	}},
	{"RequireRecent asks for less", "recent", func(a *adapter) {
		a.RequireRecent = func(maxAge time.Duration) wrap { return middleware.RequireRecent(maxAge + time.Millisecond) }
	}},
	{"cookies are set on another answer", "cookies", func(a *adapter) {
		a.Require = func(m *sessions.Manager, dial sessions.Revocation) wrap {
			return func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx, err := m.Admit(httptest.NewRecorder(), r, sessions.NeedUser, dial)
					if err != nil {
						sessions.WriteError(w, r, err)
						return
					}
					next.ServeHTTP(w, r.WithContext(ctx))
				})
			}
		}
	}},
	{"Optional refuses dead cookies", "cookies", func(a *adapter) {
		a.Optional = admit(sessions.NeedNothing, func(w http.ResponseWriter, r *http.Request, ctx context.Context,
			err error, next http.Handler) {
			if err == nil && r.Header.Get("Cookie") != "" {
				if _, ok := sessions.FromContext(ctx); !ok {
					err = sessions.ErrNoCredentials
				}
			}
			if err != nil {
				sessions.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}},
	{"only the last two cookies are set", "cookies", func(a *adapter) {
		a.Require = admit(sessions.NeedUser, func(w http.ResponseWriter, r *http.Request, ctx context.Context,
			err error, next http.Handler) {
			if lines := w.Header()["Set-Cookie"]; len(lines) > 2 {
				w.Header()["Set-Cookie"] = lines[len(lines)-2:]
			}
			if err != nil {
				sessions.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}},
	{"a refusal takes the cookies off again", "cookies", func(a *adapter) {
		a.Require = admit(sessions.NeedUser, func(w http.ResponseWriter, r *http.Request, ctx context.Context,
			err error, next http.Handler) {
			if err != nil {
				w.Header().Del("Set-Cookie")
				sessions.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}},
	{"the context of the request is lost", "groups", func(a *adapter) {
		a.Require = admit(sessions.NeedUser, func(w http.ResponseWriter, r *http.Request, ctx context.Context,
			err error, next http.Handler) {
			if err != nil {
				sessions.WriteError(w, r, err)
				return
			}
			id, _ := sessions.FromContext(ctx)
			next.ServeHTTP(w, r.WithContext(sessions.NewContext(context.Background(), id)))
		})
	}},
	{"a caller is remembered", "groups", func(a *adapter) {
		var mu sync.Mutex
		var last sessions.Identity
		a.Optional = admit(sessions.NeedNothing, func(w http.ResponseWriter, r *http.Request, ctx context.Context,
			err error, next http.Handler) {
			mu.Lock()
			defer mu.Unlock()
			if id, ok := sessions.FromContext(ctx); err == nil && ok {
				last = id
			}
			next.ServeHTTP(w, r.WithContext(sessions.NewContext(r.Context(), last)))
		})
	}},
	{"HEAD is forgotten", "mount", func(a *adapter) {
		a.mount = eachRoute(func(r sessions.Route) []string { return []string{r.Method} }, onlyGET)
	}},
	{"path parameters are forgotten", "mount", func(a *adapter) {
		a.mount = eachRoute(func(r sessions.Route) []string { return []string{r.Method} },
			func(route sessions.Route) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.SetPathValue("sessile_id", "")
					route.Handler.ServeHTTP(w, r)
				})
			})
	}},
	{"a parameter of the group is taken for ours", "mount", func(a *adapter) {
		a.mount = eachRoute(func(r sessions.Route) []string { return []string{r.Method} },
			func(route sessions.Route) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if id := r.PathValue("id"); id != "" && r.PathValue("sessile_id") != "" {
						r.SetPathValue("sessile_id", id)
					}
					route.Handler.ServeHTTP(w, r)
				})
			})
	}},
	{"a project of the group hides the keys", "mount", func(a *adapter) {
		a.mount = eachRoute(func(r sessions.Route) []string { return []string{r.Method} },
			func(route sessions.Route) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if project := r.PathValue("project_id"); project != "" {
						r.SetPathValue("sessile_project_id", project)
					}
					route.Handler.ServeHTTP(w, r)
				})
			})
	}},
	{"an id is the rest of the path", "mount", func(a *adapter) {
		a.mount = func(mux *http.ServeMux, prefix string, h *sessions.Handler) {
			h.Register(mux, prefix)
			mux.HandleFunc("DELETE "+prefix+"/auth/sessions/current/{sessile_id...}", h.End().ServeHTTP)
		}
	}},
	{"every method reaches a route", "mount", func(a *adapter) {
		a.mount = func(mux *http.ServeMux, prefix string, h *sessions.Handler) {
			mux.Handle(prefix+"/auth/", http.StripPrefix(prefix, h))
			mux.Handle(prefix+"/.well-known/", http.StripPrefix(prefix, h))
			mux.Handle(prefix+"/projects/", http.StripPrefix(prefix, h))
		}
	}},
	{"a refusal is never in the app's form", "refusals", func(a *adapter) {
		a.Require = admit(sessions.NeedUser, func(w http.ResponseWriter, r *http.Request, ctx context.Context,
			err error, next http.Handler) {
			if err != nil {
				sessions.WriteError(w, r, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}},
	{"a guard's refusal is not in the app's form", "refusals", func(a *adapter) {
		a.ForbidImpersonation = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := sessions.GuardImpersonation(r.Context()); err != nil {
					sessions.WriteError(w, r, err)
					return
				}
				next.ServeHTTP(w, r)
			})
		}
	}},
	{"the app's form loses the headers", "refusals", func(a *adapter) {
		a.app = onlyBodies(func(int) bool { return true })
	}},
	{"the app's form loses the headers where it redirects", "refusals", func(a *adapter) {
		a.app = onlyBodies(func(status int) bool { return status == http.StatusSeeOther })
	}},
	{"OAuth's refusals are in the app's form", "refusals", func(a *adapter) {
		a.mount = eachRoute(func(r sessions.Route) []string { return []string{r.Method} },
			func(route sessions.Route) http.Handler {
				if !strings.HasPrefix(route.Pattern, "/auth/oauth/") {
					return route.Handler
				}
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					http.Error(w, `{"ok":false,"problem":"UNSUPPORTED_MEDIA_TYPE"}`, http.StatusUnsupportedMediaType)
				})
			})
	}},
	{"anybody's X-Forwarded-For is believed", "proxies", func(a *adapter) {
		a.app = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if ip := r.Header.Get("X-Forwarded-For"); ip != "" {
					r.RemoteAddr = ip + ":1"
				}
				next.ServeHTTP(w, r)
			})
		}
	}},
	{"a panic is swallowed", "servers", func(a *adapter) {
		guard := a.ForbidImpersonation
		a.ForbidImpersonation = func(next http.Handler) http.Handler {
			guarded := guard(next)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() { _ = recover() }()
				guarded.ServeHTTP(w, r)
			})
		}
	}},
	{"everybody is who came first", "servers", func(a *adapter) {
		var mu sync.Mutex
		var first sessions.Identity
		a.Optional = admit(sessions.NeedNothing, func(w http.ResponseWriter, r *http.Request, ctx context.Context,
			err error, next http.Handler) {
			mu.Lock()
			defer mu.Unlock()
			if id, ok := sessions.FromContext(ctx); err == nil && ok && first.Access == "" {
				first = id
			}
			next.ServeHTTP(w, r.WithContext(sessions.NewContext(r.Context(), first)))
		})
	}},
}

// broken names the fault that a copy of this program runs the contract with.
const broken = "SESSILE_BROKEN_ADAPTER"

// TestTheContractBites runs the contract with adapters that are wrong, in a program
// of its own each, because a test cannot fail and pass.
func TestTheContractBites(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestAnAdapter$/^net/^"+fault.section+"$")
			cmd.Env = append(os.Environ(), broken+"="+fault.name)
			out, err := cmd.CombinedOutput()
			if !errors.As(err, new(*exec.ExitError)) ||
				!strings.Contains(string(out), "--- FAIL: TestAnAdapter/net/"+fault.section) {
				t.Errorf("the contract holds: %v\n%s", err, out)
			}
		})
	}
}

// TestAnAdapter runs the contract: with a sound adapter, or in a copy of this
// program with a broken one.
func TestAnAdapter(t *testing.T) {
	t.Parallel()
	a := sound()
	for _, fault := range faults {
		if fault.name == os.Getenv(broken) {
			fault.with(a)
		}
	}
	middlewaretest.Run(t, middlewaretest.Adapter{Name: "net", Build: a.build, Lenient: true})
}
