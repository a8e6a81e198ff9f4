package echov4_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/sessile-go/sessile/middleware/echov4"
	"github.com/sessile-go/sessile/sessions"
)

// A refusal is an error like any other of the app: its handler and its outer
// middleware see it.
func TestTheAppSeesRefusals(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for name, test := range map[string]struct {
		headers  []string
		status   int
		code     string
		internal error
	}{
		"no credentials":  {nil, 401, "ACCESS_TYPE_REQUIRED", sessions.ErrNoCredentials},
		"a bad token":     {[]string{"Authorization: Bearer x"}, 401, "UNPARSABLE_ACCESS_TOKEN", sessions.ErrInvalidToken},
		"of another kind": {[]string{"Authorization: Bearer " + h.serverKey}, 401, "INSUFFICIENT_ACCESS_TYPE", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var outer, handled error
			e := echo.New()
			e.HTTPErrorHandler = func(err error, c echo.Context) {
				handled = err
				if c.Response().Committed {
					t.Error("the answer is written already")
				}
				_ = c.String(http.StatusTeapot, "the app's own page")
			}
			e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c echo.Context) error {
					outer = next(c)
					return outer
				}
			})
			e.GET("/me", func(echo.Context) error { t.Error("it passed"); return nil }, echov4.Require(h.manager))
			w := send(t, e, http.MethodGet, "/me", test.headers...)
			if w.Code != http.StatusTeapot || w.Body.String() != "the app's own page" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w.Header().Get("Www-Authenticate") == "" {
				t.Error("the challenge is lost")
			}
			for _, err := range []error{outer, handled} {
				var he *echo.HTTPError
				var api *sessions.APIError
				if !errors.As(err, &he) || he.Code != test.status || he.Internal == nil {
					t.Fatalf("%#v", err)
				}
				if api, _ = he.Message.(*sessions.APIError); api == nil || api.Code != test.code {
					t.Errorf("message %#v", he.Message)
				}
				if test.internal != nil && !errors.Is(err, test.internal) {
					t.Errorf("internal %v", he.Internal)
				}
			}
		})
	}
}

// A handler of the app answers with an error of ours by returning it.
func TestErrorOfAHandler(t *testing.T) {
	t.Parallel()
	e := echo.New()
	e.GET("/users/:id", func(c echo.Context) error { return echov4.Error(c, sessions.ErrUserNotFound) })
	w := send(t, e, http.MethodGet, "/users/1", "x-stack-access-type: server")
	if w.Code != http.StatusNotFound || codeOf(t, w) != "USER_NOT_FOUND" || w.Header().Get("X-Stack-Known-Error") != "USER_NOT_FOUND" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if got := strings.TrimSpace(w.Body.String()); got != `{"code":"USER_NOT_FOUND","error":"The user does not exist."}` {
		t.Errorf("%s", got)
	}
}

func TestSkipper(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	config := echov4.Config{Manager: h.manager, Skipper: func(c echo.Context) bool { return c.Path() == "/open" }}
	for _, wrap := range []func() echo.MiddlewareFunc{config.Require, config.RequireServer, config.Optional} {
		e := echo.New()
		e.Use(wrap())
		answer := func(c echo.Context) error { return c.String(http.StatusOK, who(c.Request().Context())) }
		e.GET("/open", answer)
		e.GET("/closed", answer)
		if w := send(t, e, http.MethodGet, "/open", "Authorization: Bearer x"); w.Code != http.StatusOK || w.Body.String() != "nobody" {
			t.Errorf("skipped: %d %s", w.Code, w.Body)
		}
		if w := send(t, e, http.MethodGet, "/closed", "Authorization: Bearer x"); w.Code != http.StatusUnauthorized {
			t.Errorf("not skipped: %d %s", w.Code, w.Body)
		}
	}
}

// mounted is an app with the API under a prefix, and routes of its own.
func mounted(h *host, prefix string) *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		status := http.StatusInternalServerError
		if he, ok := errors.AsType[*echo.HTTPError](err); ok {
			status = he.Code
		}
		_ = c.String(status, "the app's: "+http.StatusText(status))
	}
	echov4.Mount(e.Group(prefix), sessions.NewHandler(h.manager))
	e.GET("/users/:id", func(c echo.Context) error { return c.String(http.StatusOK, c.Param("id")) })
	return e
}

func TestMount(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "/api/v1"} {
		t.Run("at "+prefix, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			app := mounted(h, prefix)
			g := h.signIn(t, sessions.CreateParams{UserID: "alice"})
			other := h.signIn(t, sessions.CreateParams{UserID: "alice"})
			as, asServer := "Authorization: Bearer "+g.AccessToken.Reveal(), "Authorization: Bearer "+h.serverKey
			for _, test := range []struct {
				method, path string
				headers      []string
				status       int
				contains     string
			}{
				{"GET", "/auth/sessions?user_id=me", []string{as}, 200, `"is_paginated":false`},
				{"GET", "/auth/sessions/current", []string{as}, 200, `"id":"` + g.Session.ID},
				{"HEAD", "/auth/sessions/current", []string{as}, 200, ""},
				{"HEAD", "/auth/sessions/current", nil, 401, ""},
				{"HEAD", "/.well-known/jwks.json", nil, 200, ""},
				{"GET", "/.well-known/jwks.json", nil, 200, `"keys"`},
				{"GET", "/projects/" + project + "/.well-known/jwks.json", nil, 200, `"keys"`},
				{"GET", "/projects/other/.well-known/jwks.json", nil, 404, `"NOT_FOUND"`},
				{"GET", "/auth/openapi.yaml", nil, 200, "openapi: 3.1"},
				{"GET", "/auth/sessions?user_id=me", nil, 401, `"ACCESS_TYPE_REQUIRED"`},
				{"GET", "/auth/sessions/current", []string{"Authorization: Bearer x"}, 401, `"UNPARSABLE_ACCESS_TOKEN"`},
				{"GET", "/auth/sessions/current", []string{"x-stack-access-type: x", "x-stack-override-error-status: 1"}, 200, `"INVALID_ACCESS_TYPE"`},
				{"POST", "/auth/sessions", []string{asServer}, 415, `"UNSUPPORTED_MEDIA_TYPE"`},
				{"POST", "/auth/oauth/token", nil, 415, `"invalid_request"`},
				{"POST", "/auth/oauth/revoke", nil, 415, `"invalid_request"`},
				{"POST", "/auth/sessions/current/refresh", nil, 400, `headers.x-stack-refresh-token`},
				// An id, and the word that is none.
				{"DELETE", "/auth/sessions/CURRENT", []string{as}, 400, "params.id"},
				{"DELETE", "/auth/sessions/01890a5d-ac96-774b-bcce-b302099a8057", []string{as}, 404, `"SESSION_NOT_FOUND"`},
				{"DELETE", "/auth/sessions/" + g.Session.ID, []string{as}, 400, `"CANNOT_DELETE_CURRENT_SESSION"`},
				{"DELETE", "/auth/sessions/" + other.Session.ID, []string{as}, 200, `{"success":true}`},
				{"DELETE", "/auth/sessions", []string{as}, 200, `"ended":0`},
				{"POST", "/auth/sessions/current/refresh", []string{"x-stack-refresh-token: " + g.RefreshToken.Reveal()}, 200, `"refresh_token"`},
				{"DELETE", "/auth/sessions/current", []string{as}, 200, `{"success":true}`},
			} {
				w := send(t, app, test.method, prefix+test.path, test.headers...)
				if w.Code != test.status || !strings.Contains(w.Body.String(), test.contains) {
					t.Errorf("%s %s: %d %s, want %d with %s", test.method, test.path, w.Code, w.Body, test.status, test.contains)
				}
				if strings.Contains(w.Body.String(), "the app's") || w.Header().Get("X-Request-Id") == "" {
					t.Errorf("%s %s: not our answer: %s", test.method, test.path, w.Body)
				}
			}
		})
	}
}

// Unknown paths and methods stay the app's.
func TestMountLeavesTheRestToTheApp(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	g := h.signIn(t, sessions.CreateParams{UserID: "alice"})
	for _, prefix := range []string{"", "/api/v1"} {
		app := mounted(h, prefix)
		for _, request := range []string{
			"GET /auth/sessions/" + g.Session.ID, "PUT /auth/sessions", "PATCH /auth/sessions/current", "TRACE /auth/sessions", "OPTIONS /auth/sessions", "POST /auth/sessions/current",
			"GET /auth/oauth/token", "GET /auth", "GET /auth/", "GET //auth/sessions", "POST /auth//sessions", "GET /auth/sessions/", "POST /auth/sessions/", "GET /AUTH/sessions", "POST /auth/./sessions",
			"POST /auth/x/../sessions", "GET /auth/sessions%2fcurrent", "POST /auth%2fsessions", "DELETE /auth/sessions/", "DELETE /auth/sessions//current",
		} {
			method, path, _ := strings.Cut(request, " ")
			w := send(t, app, method, "http://sessile.test"+prefix+path, "Authorization: Bearer "+h.adminKey, "Content-Type: application/json")
			// Echo hands an encoded or an empty id to a route of ours, which
			// refuses it; all else is the app's.
			ours := strings.HasPrefix(w.Body.String(), `{"code":"SCHEMA_ERROR"`)
			apps := strings.HasPrefix(w.Body.String(), "the app's: ") || method == http.MethodOptions && w.Code == http.StatusNoContent
			if !ours && !apps || w.Code != http.StatusNoContent && (w.Code < 400 || w.Code >= 500) {
				t.Errorf("%s: %d %s", request, w.Code, w.Body)
			}
		}
		if w := send(t, app, http.MethodGet, "/users/7"); w.Code != 200 || w.Body.String() != "7" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if _, err := h.manager.Verify(g.AccessToken.Reveal()); err != nil {
		t.Error(err)
	}
	if list, err := h.manager.List(t.Context(), "alice", sessions.ListOptions{}); err != nil || len(list.Sessions) != 1 {
		t.Errorf("%v %v", list, err)
	}
}

// Bad input meets the same handler behind Echo.
func TestMountRefusesBadInput(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	app := mounted(h, "/api/v1")
	g := h.signIn(t, sessions.CreateParams{UserID: "alice"})
	for name, test := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		code               string
	}{
		"no user_id":                {"POST", "/auth/sessions", `{}`, nil, 400, "SCHEMA_ERROR"},
		"an unknown field":          {"POST", "/auth/sessions", `{"user_id":"alice","id":"x"}`, nil, 400, "SCHEMA_ERROR"},
		"a field twice":             {"POST", "/auth/sessions", `{"user_id":"alice","USER_ID":"bob"}`, nil, 400, "BODY_PARSING_ERROR"},
		"a truncated body":          {"POST", "/auth/sessions", `{"user_id":"alice"`, nil, 400, "BODY_PARSING_ERROR"},
		"a body that is too large":  {"POST", "/auth/sessions", strings.Repeat(" ", 64<<10+1), nil, 413, "BODY_TOO_LARGE"},
		"another content type":      {"POST", "/auth/sessions", `{"user_id":"alice"}`, []string{"Content-Type: text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"two Authorization headers": {"POST", "/auth/sessions", `{"user_id":"alice"}`, []string{"Authorization: Bearer x"}, 400, "SCHEMA_ERROR"},
		"an id that is no UUID":     {"DELETE", "/auth/sessions/x", "", nil, 400, "SCHEMA_ERROR"},
		"an id in upper case":       {"DELETE", "/auth/sessions/" + strings.ToUpper(g.Session.ID), "", nil, 400, "SCHEMA_ERROR"},
		"an encoded id":             {"DELETE", "/auth/sessions/%7B" + g.Session.ID + "%7D", "", nil, 400, "SCHEMA_ERROR"},
		"an id with a slash":        {"DELETE", "/auth/sessions/x%2F" + g.Session.ID, "", nil, 400, "SCHEMA_ERROR"},
		"a user twice":              {"DELETE", "/auth/sessions?user_id=alice&user_id=alice", "", nil, 400, "SCHEMA_ERROR"},
		"no user":                   {"DELETE", "/auth/sessions", "", nil, 400, "SCHEMA_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(test.method, "/api/v1"+test.path, strings.NewReader(test.body))
			r.Header.Set("Authorization", "Bearer "+h.serverKey)
			r.Header.Set("Content-Type", "application/json")
			for _, line := range test.headers {
				name, value, _ := strings.Cut(line, ": ")
				if name == "Authorization" {
					r.Header.Add(name, value)
				} else {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			app.ServeHTTP(w, r)
			if w.Code != test.status || codeOf(t, w) != test.code {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, test.status, test.code)
			}
			if list, err := h.manager.List(t.Context(), "alice", sessions.ListOptions{Impersonations: true}); err != nil || len(list.Sessions) != 1 {
				t.Errorf("something changed: %v %v", list, err)
			}
		})
	}
}

// Behind Echo, outer middleware sees what our routes have answered.
func TestOuterMiddlewareSeesOurStatus(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	e := echo.New()
	var seen int
	var failed error
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			failed = next(c)
			seen = c.Response().Status
			return failed
		}
	})
	echov4.Mount(e, sessions.NewHandler(h.manager))
	server := httptest.NewServer(e)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/auth/sessions/current", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if content, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(content), "ACCESS_TYPE_REQUIRED") {
		t.Errorf("%s %v", content, err)
	}
	if seen != http.StatusUnauthorized || failed != nil {
		t.Errorf("seen %d and %v", seen, failed)
	}
}
