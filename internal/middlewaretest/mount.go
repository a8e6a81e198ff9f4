package middlewaretest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// mounts are the ways to serve the HTTP API.
var mounts = []struct {
	name, prefix string
	whole        bool
}{
	{"routes", "", false},
	{"routes under a prefix", "/api/v1", false},
	{"whole under a prefix", "/api/v1", true},
}

// mounted returns an app with the API under a prefix and its own routes.
func (s *suite) mounted(t *testing.T, h *host, prefix string, whole bool) http.Handler {
	t.Helper()
	return s.Build(t, Group{
		Routes: []Route{
			{Path: "/users/7", Handler: who}, {
				Path: "/me", With: []Middleware{{Kind: Require, Manager: h.Manager}}, Handler: who,
			},
		},
		Groups: []Group{{Prefix: prefix, Mounts: []Mount{{Handler: sessions.NewHandler(h.Manager), Whole: whole}}}},
	})
}

// mount checks the HTTP API in the router of the framework.
func (s *suite) mount(t *testing.T) {
	for _, m := range mounts {
		s.run(t, m.name+"/every route", func(t *testing.T) {
			h := newHost(t)
			s.everyRoute(t, h, s.mounted(t, h, m.prefix, m.whole), m.prefix)
		})
		s.run(t, m.name+"/the app's routes", func(t *testing.T) {
			h := newHost(t)
			app := s.mounted(t, h, m.prefix, m.whole)
			hold(t, s.send(t, app, http.MethodGet, "/users/7"), http.MethodGet, "nobody", false)
			hold(t, s.send(t, app, http.MethodGet, "/me", bearer(token(h.SignIn(t, "alice")))), http.MethodGet,
				"client||alice", false)
			if w := s.send(t, app, http.MethodGet, "/nowhere"); w.Code != http.StatusNotFound || ours(w) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
		s.badInput(t, m.name, m.prefix, m.whole)
		s.leavesTheRest(t, m.name, m.prefix, m.whole)
	}

	// For an app after something that strips a prefix.
	for _, whole := range []bool{false, true} {
		s.run(t, map[bool]string{false: "routes", true: "whole"}[whole]+" after StripPrefix", func(t *testing.T) {
			h := newHost(t)
			app := http.StripPrefix("/outer", s.mounted(t, h, "/api", whole))
			s.everyRoute(t, h, app, "/outer/api")
			hold(t, s.send(t, app, http.MethodGet, "/outer/me", bearer(token(h.SignIn(t, "alice")))), http.MethodGet,
				"client||alice", false)
		})
	}

	// The parameters of a group have names that the API might use.
	for _, prefix := range []string{
		"/{id}", "/orgs/{id}", "/projects/{project_id}", "/{project_id}/{id}", "/{session_id}/x/{sid}",
	} {
		s.run(t, "routes under the parameters "+prefix, func(t *testing.T) {
			h := newHost(t)
			alice, other := h.SignIn(t, "alice"), h.SignIn(t, "alice")
			app := s.Build(t, Group{
				Groups: []Group{{Prefix: prefix, Mounts: []Mount{{Handler: sessions.NewHandler(h.Manager)}}}},
			})
			// The value in the group names a session that this caller could end.
			path := strings.NewReplacer("{id}", other.Grant.Session.ID, "{session_id}", other.Grant.Session.ID, "{sid}",
				"y", "{project_id}", "other").Replace(prefix)
			ended := h.SignIn(t, "alice").Grant.Session.ID
			if w := s.send(t, app, http.MethodDelete, path+"/auth/sessions/"+ended, bearer(token(alice))); w.Code !=
				http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			for _, session := range h.list(t) {
				if session.ID == ended {
					t.Error("the session of the path is live")
				}
			}
			if n := len(h.list(t)); n != 2 {
				t.Errorf("%d sessions are left", n)
			}
			// everyRoute counts
			if _, err := h.End(t.Context(), sessions.EndParams{ID: other.Grant.Session.ID}); err != nil {
				t.Fatal(err)
			}
			if _, err := h.End(t.Context(), sessions.EndParams{ID: alice.Grant.Session.ID}); err != nil {
				t.Fatal(err)
			}
			s.everyRoute(t, h, app, path)
		})
	}

	s.run(t, "a middleware without a handler", func(t *testing.T) {
		h := newHost(t)
		as := bearer(token(h.SignIn(t, "alice")))
		app := s.me(t, Middleware{Kind: Require, Manager: h.Manager})
		hold(t, s.send(t, app, http.MethodGet, "/me", as), http.MethodGet, "client||alice", false)
		for _, path := range []string{"/auth/sessions/current", "/.well-known/jwks.json"} {
			if w := s.send(t, app, http.MethodGet, path, as); w.Code != http.StatusNotFound || ours(w) {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	})

	// Like under a wrapper of the framework that sets no path values.
	s.run(t, "an endpoint whose path value nobody sets", func(t *testing.T) {
		h := newHost(t)
		handler := sessions.NewHandler(h.Manager)
		var app Group
		missing := map[string]string{}
		for _, route := range handler.Routes() {
			if _, name, ok := strings.Cut(route.Pattern, "{"); ok {
				name, _, _ = strings.Cut(name, "}")
				path := strings.NewReplacer("{", "", "}", "").Replace(route.Pattern)
				app.Routes = append(app.Routes, Route{
					Method: route.Method, Path: path, Handler: route.Handler.ServeHTTP,
				})
				missing[route.Method+" "+path] = name
			}
		}
		app.Routes = append(app.Routes, Route{
			Method: http.MethodDelete, Path: "/devices/one", Handler: handler.End().ServeHTTP,
		})
		missing["DELETE /devices/one"] = "sessile_id"
		built := s.Build(t, app)
		for request, name := range missing {
			method, path, _ := strings.Cut(request, " ")
			w := s.send(t, built, method, path, bearer(h.admin))
			holdMiswired(t, w, method, fmt.Sprintf(noPathValue, name))
		}
	})

	s.run(t, "a handler twice in one app", func(t *testing.T) {
		h := newHost(t)
		handler := sessions.NewHandler(h.Manager)
		app := s.Build(t, Group{Groups: []Group{
			{Prefix: "/v1", Mounts: []Mount{{Handler: handler}}},
			{Prefix: "/v2", Mounts: []Mount{{Handler: handler}}},
			{Prefix: "/v3", Mounts: []Mount{{Handler: handler, Whole: true}}},
		}})
		alice := h.SignIn(t, "alice")
		for _, prefix := range []string{"/v1", "/v2", "/v3"} {
			if w := s.send(t, app, http.MethodGet, prefix+"/auth/sessions/current", bearer(token(alice))); w.Code !=
				http.StatusOK {
				t.Errorf("%s: %d %s", prefix, w.Code, w.Body)
			}
		}
		if w := s.send(t, app, http.MethodDelete, "/v2/auth/sessions/current", bearer(token(alice))); w.Code !=
			http.StatusOK {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		for _, prefix := range []string{"/v1", "/v2", "/v3"} {
			if w := s.send(t, app, http.MethodGet, prefix+"/auth/sessions/current", bearer(token(alice))); w.Code !=
				http.StatusUnauthorized {
				t.Errorf("%s: %d %s", prefix, w.Code, w.Body)
			}
		}
	})

	// Two hosts in one process: each refuses the tokens of the other.
	s.run(t, "two managers in one app", func(t *testing.T) {
		other := bytes.Repeat([]byte("other"), 8)
		a, b := newHost(t), newHost(t, func(c *sessions.Config) { c.Secrets = [][]byte{other} })
		app := s.Build(t, Group{Groups: []Group{
			{Prefix: "/a", Mounts: []Mount{
				{Handler: sessions.NewHandler(a.Manager)},
			}, Routes: []Route{{Path: "/me", With: []Middleware{{Kind: Require, Manager: a.Manager}}, Handler: who}}},
			{Prefix: "/b", Mounts: []Mount{
				{Handler: sessions.NewHandler(b.Manager)},
			}, Routes: []Route{{Path: "/me", With: []Middleware{{Kind: Require, Manager: b.Manager}}, Handler: who}}},
		}})
		for prefix, tokens := range map[string]struct{ good, bad string }{
			"/a": {token(a.SignIn(t, "alice")), token(b.SignIn(t, "alice"))}, "/b": {
				token(b.SignIn(t, "alice")), token(a.SignIn(t, "alice")),
			},
		} {
			for _, path := range []string{"/me", "/auth/sessions/current"} {
				if w := s.send(t, app, http.MethodGet, prefix+path, bearer(tokens.good)); w.Code != http.StatusOK {
					t.Errorf("%s%s: %d %s", prefix, path, w.Code, w.Body)
				}
				if w := s.send(t, app, http.MethodGet, prefix+path, bearer(tokens.bad)); w.Code !=
					http.StatusUnauthorized || codeOf(w) != "UNPARSABLE_ACCESS_TOKEN" {
					t.Errorf("%s%s: %d %s", prefix, path, w.Code, w.Body)
				}
			}
		}
	})
}

// ours reports whether an answer comes from the HTTP API.
func ours(w *httptest.ResponseRecorder) bool { return w.Header().Get("X-Request-Id") != "" }

// everyRoute calls each route under a prefix, with valid and invalid requests.
func (s *suite) everyRoute(t *testing.T, h *host, app http.Handler, prefix string) {
	t.Helper()
	alice, other := h.SignIn(t, "alice"), h.SignIn(t, "alice")
	as, asServer := bearer(token(alice)), bearer(h.server)
	for _, test := range []struct {
		method, path string
		headers      []string
		status       int
		contains     string
	}{
		{"GET", "/auth/sessions?user_id=me", []string{as}, 200, `"is_paginated":false`},
		{"HEAD", "/auth/sessions?user_id=me", []string{as}, 200, ""},
		{"GET", "/auth/sessions/current", []string{as}, 200, `"id":"` + alice.Grant.Session.ID},
		{"HEAD", "/auth/sessions/current", []string{as}, 200, ""},
		{"HEAD", "/auth/sessions/current", nil, 401, ""},
		{"HEAD", "/.well-known/jwks.json", nil, 200, ""},
		{"GET", "/.well-known/jwks.json", nil, 200, `"keys"`},
		{"GET", "/projects/" + h.Config.ProjectID + "/.well-known/jwks.json", nil, 200, `"keys"`},
		{"HEAD", "/projects/" + h.Config.ProjectID + "/.well-known/jwks.json", nil, 200, ""},
		{"GET", "/projects/other/.well-known/jwks.json", nil, 404, `"NOT_FOUND"`},
		{"GET", "/projects/" + h.Config.ProjectID + "/.well-known/openid-configuration", nil, 200,
			`"https://app.example/api/v1/auth/oauth/token"`},
		{"HEAD", "/projects/" + h.Config.ProjectID + "/.well-known/openid-configuration", nil, 200, ""},
		{"GET", "/projects/other/.well-known/openid-configuration", nil, 404, `"NOT_FOUND"`},
		{"GET", "/auth/openapi.yaml", nil, 200, "openapi: 3.1"},
		{"GET", "/auth/sessions?user_id=me", nil, 401, `"ACCESS_TYPE_REQUIRED"`},
		{"GET", "/auth/sessions/current", []string{bearer("x")}, 401, `"UNPARSABLE_ACCESS_TOKEN"`},
		{"GET", "/auth/sessions/current", []string{"x-stack-access-type: x", "x-stack-override-error-status: 1"}, 200,
			`"INVALID_ACCESS_TYPE"`},
		{"POST", "/auth/sessions", []string{asServer}, 415, `"UNSUPPORTED_MEDIA_TYPE"`},
		{"POST", "/auth/sessions/redeem", nil, 415, `"UNSUPPORTED_MEDIA_TYPE"`},
		{"POST", "/auth/oauth/token", nil, 415, `"invalid_request"`},
		{"POST", "/auth/oauth/revoke", nil, 415, `"invalid_request"`},
		{"POST", "/auth/sessions/current/refresh", nil, 400, `headers.x-stack-refresh-token`},
		// An id, and a word that is not one.
		{"DELETE", "/auth/sessions/CURRENT", []string{as}, 400, "params.id"},
		{"DELETE", "/auth/sessions/01890a5d-ac96-774b-bcce-b302099a8057", []string{as}, 404, `"SESSION_NOT_FOUND"`},
		{"DELETE", "/auth/sessions/" + alice.Grant.Session.ID, []string{as}, 400, `"CANNOT_DELETE_CURRENT_SESSION"`},
		{"DELETE", "/auth/sessions/" + other.Grant.Session.ID, []string{as}, 200, `{"success":true}`},
		{"DELETE", "/auth/sessions", []string{as}, 200, `"ended":0`},
		{"POST", "/auth/sessions/current/refresh", []string{
			"x-stack-refresh-token: " + alice.Grant.RefreshToken.Reveal(),
		}, 200, `"refresh_token"`},
		{"DELETE", "/auth/sessions/current", []string{as}, 200, `{"success":true}`},
	} {
		w := s.send(t, app, test.method, prefix+test.path, test.headers...)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.contains) {
			t.Errorf("%s %s: %d %s, want %d with %s", test.method, test.path, w.Code, w.Body, test.status,
				test.contains)
		}
		if !ours(w) || w.Header().Get("Location") != "" {
			t.Errorf("%s %s: not our answer: %v %s", test.method, test.path, w.Header(), w.Body)
		}
	}
}

// badInput meets the same handler in every router.
func (s *suite) badInput(t *testing.T, name, prefix string, whole bool) {
	t.Helper()
	h := newHost(t)
	app := s.mounted(t, h, prefix, whole)
	id := h.SignIn(t, "alice").Grant.Session.ID
	for name2, test := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		code               string
	}{
		"no user_id": {"POST", "/auth/sessions", `{}`, nil, 400, "SCHEMA_ERROR"},
		"an unknown field": {
			"POST", "/auth/sessions", `{"user_id":"alice","id":"x"}`, nil, 400, "SCHEMA_ERROR",
		},
		"a field twice": {
			"POST", "/auth/sessions", `{"user_id":"alice","USER_ID":"bob"}`, nil, 400, "BODY_PARSING_ERROR",
		},
		"a truncated body": {"POST", "/auth/sessions", `{"user_id":"alice"`, nil, 400, "BODY_PARSING_ERROR"},
		"a body that is too large": {
			"POST", "/auth/sessions", strings.Repeat(" ", 64<<10+1), nil, 413, "BODY_TOO_LARGE",
		},
		"another content type": {
			"POST", "/auth/sessions", `{"user_id":"alice"}`, []string{"Content-Type: text/plain"}, 415,
			"UNSUPPORTED_MEDIA_TYPE",
		},
		"two Authorization headers": {
			"POST", "/auth/sessions", `{"user_id":"alice"}`, []string{"Authorization: Bearer x"}, 400, "SCHEMA_ERROR",
		},
		"an id that is no UUID": {"DELETE", "/auth/sessions/x", "", nil, 400, "SCHEMA_ERROR"},
		"an id in upper case":   {"DELETE", "/auth/sessions/" + strings.ToUpper(id), "", nil, 400, "SCHEMA_ERROR"},
		"an encoded id":         {"DELETE", "/auth/sessions/%7B" + id + "%7D", "", nil, 400, "SCHEMA_ERROR"},
		"an id with a slash":    {"DELETE", "/auth/sessions/x%2F" + id, "", nil, 400, "SCHEMA_ERROR"},
		"a user twice": {
			"DELETE", "/auth/sessions?user_id=alice&user_id=alice", "", nil, 400, "SCHEMA_ERROR",
		},
		"no user": {"DELETE", "/auth/sessions", "", nil, 400, "SCHEMA_ERROR"},
	} {
		s.run(t, name+"/bad input/"+name2, func(t *testing.T) {
			r := newRequest(t, test.method, prefix+test.path, test.body, bearer(h.server))
			r.Header.Set("Content-Type", "application/json")
			for _, line := range test.headers {
				name, value, _ := strings.Cut(line, ": ")
				if name == "Authorization" {
					r.Header.Add(name, value)
				} else {
					r.Header.Set(name, value)
				}
			}
			w := s.serve(app, r)
			switch status, code := test.status, test.code; {
			// it refuses what is not clean
			case strings.Contains(test.path, "%2F") && whole && w.Code == http.StatusNotFound &&
				codeOf(w) == "NOT_FOUND":
			// decoded, it has a segment too many
			case strings.Contains(test.path, "%2F") && s.Lenient && w.Code == http.StatusNotFound && !ours(w):
			case w.Code != status || codeOf(w) != code:
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, status, code)
			}
			if left := h.list(t); len(left) != 1 {
				t.Errorf("something changed: %v", left)
			}
		})
	}
}

// isPlain reports whether all routers read a path in the same way: it is clean, and
// nothing in it is encoded.
func isPlain(p string) bool { return path.Clean(p) == p && !strings.Contains(p, "%") }

// leavesTheRest checks unknown paths and methods. If routes are registered, they are the
// app's; a handler that owns a prefix answers them. Either way they do nothing.
func (s *suite) leavesTheRest(t *testing.T, name, prefix string, whole bool) {
	t.Helper()
	h := newHost(t)
	app := s.mounted(t, h, prefix, whole)
	id := h.SignIn(t, "alice").Grant.Session.ID
	for _, request := range []string{
		"GET /auth/sessions/" + id, "PUT /auth/sessions", "PATCH /auth/sessions/current", "TRACE /auth/sessions",
		"OPTIONS /auth/sessions", "OPTIONS /auth/sessions/" + id, "POST /auth/sessions/current",
		"GET /auth/oauth/token", "HEAD /auth/oauth/token", "HEAD /auth/sessions/current/refresh", "GET /auth",
		"GET /auth/", "GET /AUTH/sessions",
		"GET //auth/sessions", "POST /auth//sessions", "GET /auth/sessions/", "POST /auth/sessions/",
		"POST /auth/./sessions", "POST /auth/x/../sessions", "GET /auth/sessions%2fcurrent", "POST /auth%2fsessions",
		"DELETE /auth/sessions/", "DELETE /auth/sessions//current", "DELETE /auth/sessions/%2e%2e/sessions/current",
		// More segments than the pattern with an id has.
		"DELETE /auth/sessions/current/refresh", "DELETE /auth/sessions/" + id + "/x", "DELETE /auth/sessions/" + id +
			"/", "GET /projects/x/y/.well-known/jwks.json",
	} {
		s.run(t, name+"/the rest/"+request, func(t *testing.T) {
			method, path, _ := strings.Cut(request, " ")
			w := s.send(t, app, method, "http://sessile.test"+prefix+path, bearer(h.admin),
				"Content-Type: application/json")
			redirected := w.Code >= 300 && w.Code < 400
			refused := w.Code >= 400 && w.Code < 500
			switch {
			// by whom depends on how it reads the path
			case s.Lenient && !isPlain(path) && (redirected && !ours(w) || refused):
			case whole && refused && ours(w):
				if path := "/auth/sessions"; request == "PUT "+path && (w.Code != http.StatusMethodNotAllowed ||
					w.Header().Get("Allow") != "DELETE, GET, HEAD, POST") {
					t.Errorf("%d %v", w.Code, w.Header())
				}
			case whole && refused && method == "TRACE": // no method of the framework's own Any
			// what some routers answer
			case !whole && method == http.MethodOptions && w.Code == http.StatusNoContent && !ours(w):
			case !whole && refused && !ours(w):
			default:
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			if left := h.list(t); len(left) != 1 || left[0].ID != id {
				t.Errorf("something changed: %v", left)
			}
		})
	}
}
