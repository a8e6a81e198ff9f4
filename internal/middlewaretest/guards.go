package middlewaretest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

var methods = []string{
	"GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "get", "Get", "GETX",
}

func isSafe(method string) bool {
	return slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE"}, method)
}

// caller is the caller of a request.
type caller struct {
	name    string
	headers []string // name: value
	// acts is true if somebody else acts as the user.
	acts bool
	// Whether Require, Optional and RequireServer let the caller pass.
	require, optional, requireServer bool
}

func (c caller) admitted(by Kind) bool {
	return map[Kind]bool{Require: c.require, Optional: c.optional, RequireServer: c.requireServer}[by]
}

func callersOf(t *testing.T, h *host) []caller {
	t.Helper()
	family := func(spelling, access string, more ...string) []string {
		headers := []string{spelling + "project-id: " + h.Config.ProjectID, spelling + "access-type: " + access}
		for _, m := range more {
			headers = append(headers, spelling+m)
		}
		return headers
	}
	with := func(credential string) []string { return []string{bearer(credential)} }
	user, acting := token(h.SignIn(t, "alice")), token(h.Impersonate(t, "root", "alice"))
	asked, _ := h.asked(t)
	return []caller{
		{"a user", with(user), false, true, true, false},
		{"a user of the x-stack family", family("x-stack-", "client", "access-token: "+user), false, true, true, false},
		{"a user of the x-hexclave family", family("x-hexclave-", "client", "access-token: "+user), false,
			true, true, false},
		{"an impersonation by a key", with(acting), true, true, true, false},
		{"an impersonation by a user", with(asked), true, true, true, false},
		{"an impersonation of the x-stack family", family("x-stack-", "client", "access-token: "+acting), true,
			true, true, false},
		{"an impersonation of the x-hexclave family", family("x-hexclave-", "client", "access-token: "+asked), true,
			true, true, false},
		{"a key next to an impersonation", family("x-stack-", "server", "secret-server-key: "+h.server,
			"access-token: "+acting), true, true, true, true},
		{"a key next to a user", family("x-stack-", "server", "secret-server-key: "+h.server, "access-token: "+
			user), false, true, true, true},
		{"a server key", with(h.server), false, false, true, true},
		{"an admin key", with(h.admin), false, false, true, true},
		{"an admin key of the x-stack family", family("x-stack-", "admin", "super-secret-admin-key: "+h.admin), false,
			false, true, true},
		{"nobody", nil, false, false, true, false},
		{"a client without a user", family("x-stack-", "client"), false, false, true, false},
		{"garbage", with("garbage"), false, false, false, false},
	}
}

// everyMethod returns an app with one path and a route for each method.
func (s *suite) everyMethod(t *testing.T, handler http.HandlerFunc, with ...Middleware) http.Handler {
	t.Helper()
	var app Group
	for _, method := range methods {
		if !slices.Contains(s.Refuses, method) {
			app.Routes = append(app.Routes, Route{Method: method, Path: "/me", With: with, Handler: handler})
		}
	}
	return s.Build(t, app)
}

// body of an answer, without the line break that Echo puts there.
func body(w *httptest.ResponseRecorder) string { return strings.TrimSpace(w.Body.String()) }

// guards checks the guards against impersonation, after each middleware, for each kind of
// caller and each method.
func (s *suite) guards(t *testing.T) {
	h := newHost(t)
	callers := callersOf(t, h)
	fronts := map[string]Middleware{
		"Require":       {Kind: Require, Manager: h.Manager},
		"Optional":      {Kind: Optional, Manager: h.Manager},
		"RequireServer": {Kind: RequireServer, Manager: h.Manager},
	}
	if !s.NoDial {
		fronts["Require, strictly"] = Middleware{Kind: Require, Manager: h.Manager, Revocation: sessions.Strict}
	}
	forbid, readOnly := Middleware{Kind: ForbidImpersonation}, Middleware{Kind: ReadOnlyImpersonation}

	for name, front := range fronts {
		for _, guard := range []struct {
			name   string
			with   []Middleware
			passes func(c caller, method string) bool
		}{
			{"ForbidImpersonation", []Middleware{front, forbid}, func(c caller, _ string) bool { return !c.acts }},
			{"ReadOnlyImpersonation", []Middleware{
				front, readOnly,
			}, func(c caller, method string) bool { return !c.acts || isSafe(method) }},
			{"both", []Middleware{front, readOnly, forbid}, func(c caller, _ string) bool { return !c.acts }},
		} {
			for _, c := range callers {
				s.run(t, strings.Join([]string{name, guard.name, c.name}, "/"), func(t *testing.T) {
					var reached bool
					app := s.everyMethod(t, func(w http.ResponseWriter, r *http.Request) {
						reached = true
						id, ok := sessions.FromContext(r.Context())
						if id.Impersonation != c.acts || ok && c.acts && id.Actor != "root" {
							t.Errorf("identity %+v", id)
						}
						w.WriteHeader(http.StatusNoContent)
					}, guard.with...)
					for _, method := range methods {
						reached = false
						w := s.send(t, app, method, "/me", c.headers...)
						switch {
						case slices.Contains(s.Refuses, method):
							if reached || w.Code != 404 && w.Code != 405 {
								t.Errorf("%s: %d %s, reached %v", method, w.Code, w.Body, reached)
							}
						case !c.admitted(front.Kind):
							if reached || w.Code != 401 && w.Code != 400 {
								t.Errorf("%s: %d %s, reached %v", method, w.Code, w.Body, reached)
							}
						case guard.passes(c, method):
							if !reached || w.Code != http.StatusNoContent {
								t.Errorf("%s: %d %s, reached %v", method, w.Code, w.Body, reached)
							}
						default:
							if reached {
								t.Errorf("%s: reached", method)
							}
							holdImpersonation(t, w, method)
						}
					}
				})
			}
		}
	}

	// Without a middleware before it a guard does not know the caller, so nothing passes.
	for name, with := range map[string][]Middleware{
		"ForbidImpersonation":   {forbid},
		"ReadOnlyImpersonation": {readOnly},
		// The wrong way round is without one, too.
		"in front of Require":  {forbid, fronts["Require"]},
		"in front of Optional": {readOnly, fronts["Optional"]},
	} {
		for _, c := range callers {
			s.run(t, "without a middleware/"+name+"/"+c.name, func(t *testing.T) {
				app := s.everyMethod(t, func(http.ResponseWriter, *http.Request) { t.Error("passed") }, with...)
				for _, method := range methods {
					if !slices.Contains(s.Refuses, method) {
						holdMiswired(t, s.send(t, app, method, "/me", c.headers...), method, noMiddleware)
					}
				}
			})
		}
	}

	// A host that authenticates by itself says so with NewContext.
	for name, guard := range map[string]Middleware{"ForbidImpersonation": forbid, "ReadOnlyImpersonation": readOnly} {
		for who, acts := range map[string]bool{"a user": false, "an impersonation": true} {
			s.run(t, "after the host's own middleware/"+name+"/"+who, func(t *testing.T) {
				r := newRequest(t, http.MethodPost, "/me", "")
				r = r.WithContext(
					sessions.NewContext(r.Context(), sessions.Identity{UserID: "alice", Impersonation: acts}),
				)
				w := s.serve(s.me(t, guard), r)
				if acts {
					holdImpersonation(t, w, http.MethodPost)
				} else if w.Code != http.StatusOK {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
	}
}

// holdImpersonation compares an answer with the refusal of an impersonation. Whether an
// answer to HEAD has a body is up to the framework and net/http.
func holdImpersonation(t *testing.T, w *httptest.ResponseRecorder, method string) {
	t.Helper()
	holdRefusal(
		t, w, method, http.StatusForbidden,
		`{"code":"IMPERSONATION_NOT_ALLOWED","error":"This impersonation is not allowed."}`,
	)
	if w.Header().Get("Www-Authenticate") != "" {
		t.Errorf("%s: headers %v", method, w.Header())
	}
}

// The answers to a mistake in the wiring, which the developer must see.
const (
	noMiddleware = "None of Require, Optional and RequireServer has run before."
	noMaxAge     = "RequireRecent: maxAge must be a second or more."
	noManager    = "RequireRecent needs a Manager, and NewContext, which this identity comes from, has " +
		"none: put Require, Optional or RequireServer in front."
	noPathValue = "The path value %s is not set: name the parameter of the route so, and if the router sets no path " +
		"values, call http.Request.SetPathValue."
)

// holdMiswired compares an answer with the refusal of a wrong wiring.
func holdMiswired(t *testing.T, w *httptest.ResponseRecorder, method, message string) {
	t.Helper()
	holdRefusal(t, w, method, http.StatusInternalServerError, `{"code":"INTERNAL","error":"`+message+`"}`)
}

// holdRefusal is for codes that the published SDK does not know.
func holdRefusal(t *testing.T, w *httptest.ResponseRecorder, method string, status int, text string) {
	t.Helper()
	if got := body(w); w.Code != status || got != text && (method != http.MethodHead || got != "") {
		t.Errorf("%s: %d %s, want %d %s", method, w.Code, got, status, text)
	}
	if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("X-Request-Id") == "" ||
		h.Get("X-Stack-Known-Error") != "" {
		t.Errorf("%s: headers %v", method, h)
	}
}
