package middlewaretest

import (
	"context"
	"net/http"
	"testing"
)

type contextKey struct{}

// groups checks middlewares at different levels of an app.
func (s *suite) groups(t *testing.T) {
	h := newHost(t)
	user, acting := bearer(token(h.SignIn(t, "alice"))), bearer(token(h.Impersonate(t, "root", "alice")))
	require := Middleware{Kind: Require, Manager: h.Manager}

	// A guard of a group applies to everything in it.
	for _, test := range []struct {
		name, method, header string
		status               int
	}{
		{"an impersonation reads", http.MethodGet, acting, 200},
		{"an impersonation writes", http.MethodPost, acting, 403},
		{"the user writes", http.MethodPost, user, 200},
		{"nobody reads", http.MethodGet, "", 401},
	} {
		s.run(t, "a guard on a group/"+test.name, func(t *testing.T) {
			app := s.Build(t, Group{Groups: []Group{{
				Prefix: "/api", With: []Middleware{require, {Kind: ReadOnlyImpersonation}},
				Routes: []Route{
					{Method: http.MethodGet, Path: "/notes", Handler: who}, {
						Method: http.MethodPost, Path: "/notes", Handler: who,
					},
				},
			}}})
			if w := s.send(t, app, test.method, "/api/notes", test.header); w.Code != test.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, test.status)
			}
		})
	}

	// Optional at the top, and stricter middlewares below.
	nested := Group{
		Routes: []Route{{Path: "/open", Handler: who}},
		Groups: []Group{{
			Prefix: "/app", With: []Middleware{{Kind: Optional, Manager: h.Manager}},
			Routes: []Route{{Path: "/home", Handler: who}},
			Groups: []Group{
				{
					Prefix: "/my", With: []Middleware{require},
					Routes: []Route{
						{Path: "/notes", Handler: who},
						{Path: "/password", With: []Middleware{{Kind: ForbidImpersonation}}, Handler: who},
					},
					Groups: []Group{{
						Prefix: "/money", With: []Middleware{{Kind: ForbidImpersonation}},
						Routes: []Route{
							{Path: "/send", With: []Middleware{{Kind: RequireServer, Manager: h.Manager}},
								Handler: who},
						},
					}},
				},
				{Prefix: "/internal", With: []Middleware{{Kind: RequireServer, Manager: h.Manager}},
					Routes: []Route{{Path: "/jobs", Handler: who}}},
			},
		}},
	}
	server := bearer(h.server)
	const none, notEnough = "401 ACCESS_TYPE_REQUIRED", "401 INSUFFICIENT_ACCESS_TYPE"
	for _, test := range []struct {
		path                           string
		nobody, asUser, asActor, asKey string
	}{
		{"/open", "nobody", "nobody", "nobody", "nobody"},
		{"/app/home", "nobody", "client||alice", "client||alice|acted by root", "server|backend|"},
		{"/app/my/notes", none, "client||alice", "client||alice|acted by root", notEnough},
		{"/app/my/password", none, "client||alice", "403", notEnough},
		{"/app/my/money/send", none, notEnough, "403", notEnough},
		{"/app/internal/jobs", none, notEnough, notEnough, "server|backend|"},
	} {
		s.run(t, "nested"+test.path, func(t *testing.T) {
			app := s.Build(t, nested)
			for header, want := range map[string]string{
				"": test.nobody, user: test.asUser, acting: test.asActor, server: test.asKey,
			} {
				w := s.send(t, app, http.MethodGet, test.path, header)
				if want == "403" {
					holdImpersonation(t, w, http.MethodGet)
					continue
				}
				hold(t, w, http.MethodGet, want, false)
			}
		})
	}

	// Key and token in one request: the middleware within sees both, too.
	s.run(t, "nested/a key next to a user", func(t *testing.T) {
		w := s.send(t, s.Build(t, nested), http.MethodGet, "/app/my/money/send",
			"x-stack-project-id: "+h.Config.ProjectID, "x-stack-access-type: server",
			"x-stack-secret-server-key: "+h.server, "x-stack-access-token: "+token(h.SignIn(t, "bob")))
		hold(t, w, http.MethodGet, "server|backend|bob", true)
	})

	s.run(t, "what the context holds already stays in it", func(t *testing.T) {
		app := s.Build(t,
			Group{Routes: []Route{{Path: "/me", With: []Middleware{require, {Kind: ForbidImpersonation}},
				Handler: func(w http.ResponseWriter, r *http.Request) {
					if r.Context().Value(contextKey{}) != "the host's" {
						t.Error("the value is lost")
					}
					if r.Context().Err() == nil {
						t.Error("the cancellation is lost")
					}
					who(w, r)
				}}}})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "the host's"))
		cancel()
		hold(t, s.serve(app, newRequest(t, http.MethodGet, "/me", "", user).WithContext(ctx)), http.MethodGet,
			"client||alice", false)
	})

	// The handler sees the app's request, and the app's request is all that changes.
	s.run(t, "one request leaves nothing for the next", func(t *testing.T) {
		app := s.Build(t, nested)
		for range 3 {
			hold(t, s.send(t, app, http.MethodGet, "/app/home", user), http.MethodGet, "client||alice", false)
			hold(t, s.send(t, app, http.MethodGet, "/app/home"), http.MethodGet, "nobody", false)
			hold(t, s.send(t, app, http.MethodGet, "/open", user), http.MethodGet, "nobody", false)
		}
	})
}
