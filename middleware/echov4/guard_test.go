package echov4_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/sessile-go/sessile/middleware/echov4"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// kit is a Manager with all kinds of callers.
type kit struct {
	*sessions.Manager
	server, user, acting, asked string // asked is of a user who impersonates
}

func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{}
	var err error
	if k.server, err = sessions.NewServerKey(sessions.AccessServer); err != nil {
		t.Fatal(err)
	}
	key, err := sessions.HashServerKey("backend", k.server)
	if err != nil {
		t.Fatal(err)
	}
	k.Manager, err = sessions.New(sessions.Config{
		Store:          sessionstest.NewStore(),
		Users:          func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		MayImpersonate: func(context.Context, sessions.Identity, sessions.User) error { return nil },
		Secrets:        [][]byte{bytes.Repeat([]byte("k"), 32)},
		Issuer:         "https://sessile.test",
		Audience:       "test",
		ServerKeys:     []sessions.ServerKey{key},
	})
	if err != nil {
		t.Fatal(err)
	}
	create := func(p sessions.CreateParams) string {
		grant, err := k.Create(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return grant.AccessToken.Reveal()
	}
	k.user = create(sessions.CreateParams{UserID: "alice"})
	k.acting = create(sessions.CreateParams{UserID: "alice", Impersonation: true, Actor: "root"})
	id, err := k.Verify(create(sessions.CreateParams{UserID: "root"}))
	if err != nil {
		t.Fatal(err)
	}
	grant, err := k.Impersonate(t.Context(), id, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	k.asked = grant.AccessToken.Reveal()
	return k
}

type caller struct {
	name    string
	headers []string // name: value
	// acts is whether somebody else acts as the user.
	acts bool
	// Who is let through by Require, Optional and RequireServer.
	require, optional, requireServer bool
}

func (k *kit) callers() []caller {
	return []caller{
		{"a user", []string{"Authorization: Bearer " + k.user}, false, true, true, false},
		{"a user of the x-stack family", []string{"x-stack-access-type: client", "x-stack-access-token: " + k.user}, false, true, true, false},
		{"an impersonation by a key", []string{"Authorization: Bearer " + k.acting}, true, true, true, false},
		{"an impersonation by a user", []string{"Authorization: Bearer " + k.asked}, true, true, true, false},
		{"an impersonation of the x-hexclave family", []string{"x-hexclave-access-type: client", "x-hexclave-access-token: " + k.asked}, true, true, true, false},
		{"a key with an impersonation beside it", []string{"x-stack-access-type: server", "x-stack-secret-server-key: " + k.server, "x-stack-access-token: " + k.acting}, true, true, true, true},
		{"a key", []string{"Authorization: Bearer " + k.server}, false, false, true, true},
		{"nobody", nil, false, false, true, false},
		{"garbage", []string{"Authorization: Bearer garbage"}, false, false, false, false},
	}
}

var methods = []string{"GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND"}

func isSafe(method string) bool {
	return slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE"}, method)
}

// call sends a request through middlewares to a handler that answers 204. Told is
// the error that reached the app's HTTPErrorHandler.
func call(t testing.TB, method string, headers []string, handler echo.HandlerFunc, chain ...echo.MiddlewareFunc) (w *httptest.ResponseRecorder, told error) {
	t.Helper()
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		told = err
		e.DefaultHTTPErrorHandler(err, c)
	}
	e.Add(method, "/", handler, chain...)
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(t.Context())
	r.Method = method
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w = httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w, told
}

// The guards, behind each middleware, for each kind of caller and each method. A
// refusal is returned, so that the app sees it.
func TestGuards(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, front := range []struct {
		name   string
		with   echo.MiddlewareFunc
		admits func(caller) bool
	}{
		{"Require", echov4.Require(k.Manager), func(c caller) bool { return c.require }},
		{"Require, strictly", echov4.Config{Manager: k.Manager, Revocation: sessions.Strict}.Require(), func(c caller) bool { return c.require }},
		{"Optional", echov4.Optional(k.Manager), func(c caller) bool { return c.optional }},
		{"RequireServer", echov4.RequireServer(k.Manager), func(c caller) bool { return c.requireServer }},
	} {
		for _, guard := range []struct {
			name   string
			with   echo.MiddlewareFunc
			passes func(c caller, method string) bool
		}{
			{"ForbidImpersonation", echov4.ForbidImpersonation, func(c caller, _ string) bool { return !c.acts }},
			{"ReadOnlyImpersonation", echov4.ReadOnlyImpersonation, func(c caller, method string) bool { return !c.acts || isSafe(method) }},
		} {
			for _, c := range k.callers() {
				for _, method := range methods {
					t.Run(strings.Join([]string{front.name, guard.name, c.name, method}, "/"), func(t *testing.T) {
						t.Parallel()
						var reached bool
						w, told := call(t, method, c.headers, func(ec echo.Context) error {
							reached = true
							if id, _ := sessions.FromContext(ec.Request().Context()); id.Impersonation != c.acts || c.acts && id.Actor != "root" {
								t.Errorf("identity %+v", id)
							}
							return ec.NoContent(http.StatusNoContent)
						}, front.with, guard.with)
						switch {
						case !front.admits(c):
							if reached || w.Code != 401 && w.Code != 400 || told == nil {
								t.Errorf("%d %s, reached %v", w.Code, w.Body, reached)
							}
						case guard.passes(c, method):
							if !reached || w.Code != http.StatusNoContent || told != nil {
								t.Errorf("%d %s, reached %v, told %v", w.Code, w.Body, reached, told)
							}
						default:
							var api *sessions.APIError
							var he *echo.HTTPError
							if reached || w.Code != http.StatusForbidden || !errors.Is(told, sessions.ErrImpersonationNotAllowed) || !errors.As(told, &he) || he.Code != http.StatusForbidden {
								t.Fatalf("%d %s, reached %v, told %v", w.Code, w.Body, reached, told)
							}
							if api, _ = he.Message.(*sessions.APIError); api == nil || api.Code != sessions.CodeImpersonationNotAllowed {
								t.Errorf("message %v", he.Message)
							}
							if body := strings.TrimSpace(w.Body.String()); method != http.MethodHead && body != `{"code":"IMPERSONATION_NOT_ALLOWED","error":"This impersonation is not allowed."}` {
								t.Errorf("body %s", body)
							}
							if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Request-Id") == "" || w.Header().Get("X-Stack-Known-Error") != "" {
								t.Errorf("headers %v", w.Header())
							}
						}
					})
				}
			}
		}
	}
}

// Without a middleware in front a guard cannot tell, so nothing passes.
func TestAGuardWithoutAMiddleware(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	skipped := echov4.Config{Manager: k.Manager, Skipper: func(echo.Context) bool { return true }}.Require()
	for name, chain := range map[string][]echo.MiddlewareFunc{
		"ForbidImpersonation":          {echov4.ForbidImpersonation},
		"ReadOnlyImpersonation":        {echov4.ReadOnlyImpersonation},
		"in front of Require":          {echov4.ForbidImpersonation, echov4.Require(k.Manager)},
		"in front of Optional":         {echov4.ReadOnlyImpersonation, echov4.Optional(k.Manager)},
		"behind one that was skipped":  {skipped, echov4.ForbidImpersonation},
		"behind one skipped, to write": {skipped, echov4.ReadOnlyImpersonation},
	} {
		for _, c := range k.callers() {
			for _, method := range methods {
				t.Run(strings.Join([]string{name, c.name, method}, "/"), func(t *testing.T) {
					t.Parallel()
					w, told := call(t, method, c.headers, func(echo.Context) error { t.Error("passed"); return nil }, chain...)
					if body := strings.TrimSpace(w.Body.String()); w.Code != http.StatusInternalServerError || told == nil || method != http.MethodHead && body != `{"code":"INTERNAL","error":"Internal error."}` {
						t.Errorf("%d %s, told %v", w.Code, body, told)
					}
				})
			}
		}
	}
}

// A guard on a group holds for what is mounted there.
func TestAGuardOnAGroup(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	e := echo.New()
	g := e.Group("/api", echov4.Require(k.Manager), echov4.ReadOnlyImpersonation)
	ok := func(c echo.Context) error { return c.NoContent(http.StatusNoContent) }
	g.GET("/notes", ok)
	g.POST("/notes", ok)
	for _, test := range []struct {
		method, token string
		status        int
	}{{"GET", k.acting, 204}, {"POST", k.acting, 403}, {"POST", k.user, 204}} {
		r := httptest.NewRequest(test.method, "/api/notes", nil)
		r.Header.Set("Authorization", "Bearer "+test.token)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%s: %d, want %d", test.method, w.Code, test.status)
		}
	}
}
