package echov5_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/sessile-go/sessile/middleware/echov5"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// newKit makes a kit with a server key.
func newKit(t *testing.T) (k *sessionstest.Kit, serverKey string) {
	t.Helper()
	serverKey, err := sessions.NewServerKey(sessions.AccessServer)
	if err != nil {
		t.Fatal(err)
	}
	hashed, err := sessions.HashServerKey("backend", serverKey)
	if err != nil {
		t.Fatal(err)
	}
	return sessionstest.New(t, func(c *sessions.Config) { c.ServerKeys = []sessions.ServerKey{hashed} }), serverKey
}

func send(t testing.TB, app http.Handler, method, target string, headers http.Header) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for name, values := range headers {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	return w
}

func bearer(credential string) http.Header {
	return http.Header{"Authorization": {"Bearer " + credential}}
}

func who(ctx context.Context) string {
	if id, ok := sessions.FromContext(ctx); ok {
		return id.UserID
	}
	return "nobody"
}

// A refusal is an error like any other: the app's error handler and outer middleware see it.
func TestTheAppSeesRefusals(t *testing.T) {
	t.Parallel()
	k, serverKey := newKit(t)
	alice, acting := k.SignIn(t, "alice").Header(), k.Impersonate(t, "root", "alice").Header()
	require := echov5.Require(k.Manager)
	k.Clock.Advance(time.Minute)
	tooOld := func(err error) bool {
		return errors.As(err, new(*sessions.AuthenticationTooOldError))
	}
	for name, test := range map[string]struct {
		headers http.Header
		guard   echo.MiddlewareFunc
		status  int
		code    string
		is      func(error) bool
	}{
		"no credentials": {
			nil, nil, 401, "ACCESS_TYPE_REQUIRED", func(err error) bool {
				return errors.Is(err, sessions.ErrNoCredentials)
			},
		},
		"a bad token": {
			bearer("x"), nil, 401, "UNPARSABLE_ACCESS_TOKEN", func(err error) bool {
				return errors.Is(err, sessions.ErrInvalidToken)
			},
		},
		"of another kind": {
			bearer(serverKey), nil, 401, "INSUFFICIENT_ACCESS_TYPE", func(err error) bool { return err != nil },
		},
		"an impersonation": {acting, echov5.ForbidImpersonation, 403, "IMPERSONATION_NOT_ALLOWED",
			func(err error) bool {
				return errors.Is(err, sessions.ErrImpersonationNotAllowed)
			}},
		"an impersonation that writes": {acting, echov5.ReadOnlyImpersonation, 403, "IMPERSONATION_NOT_ALLOWED",
			func(err error) bool {
				return errors.Is(err, sessions.ErrImpersonationNotAllowed)
			}},
		"too long ago": {alice, echov5.RequireRecent(time.Second), 401, "INSUFFICIENT_USER_AUTHENTICATION", tooOld},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var outer, handled error
			e := echo.New()
			e.HTTPErrorHandler = func(c *echo.Context, err error) {
				handled = err
				if response, err := echo.UnwrapResponse(c.Response()); err != nil || response.Committed {
					t.Error("the answer is written already")
				}
				_ = c.String(http.StatusTeapot, "the app's own page")
			}
			e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c *echo.Context) error {
					outer = next(c)
					return outer
				}
			})
			with := []echo.MiddlewareFunc{require}
			if test.guard != nil {
				with = append(with, test.guard)
			}
			e.POST("/me", func(*echo.Context) error { t.Error("it passed"); return nil }, with...)
			w := send(t, e, http.MethodPost, "/me", test.headers)
			if w.Code != http.StatusTeapot || w.Body.String() != "the app's own page" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if test.status == http.StatusUnauthorized && w.Header().Get("Www-Authenticate") == "" {
				t.Error("the challenge is lost")
			}
			for _, err := range []error{outer, handled} {
				if echo.StatusCode(err) != test.status {
					t.Fatalf("%#v", err)
				}
				var api *sessions.APIError
				if !errors.As(err, &api) || api.Code != test.code {
					t.Errorf("%#v", err)
				}
				if !test.is(err) {
					t.Errorf("cause of %#v", err)
				}
			}
		})
	}
}

// A handler of the app can return an error of package sessions.
func TestErrorOfAHandler(t *testing.T) {
	t.Parallel()
	e := echo.New()
	e.GET("/users/:id", func(c *echo.Context) error { return echov5.Error(c, sessions.ErrUserNotFound) })
	w := send(t, e, http.MethodGet, "/users/1", http.Header{"x-stack-access-type": {"server"}})
	if w.Code != http.StatusNotFound || w.Header().Get("X-Stack-Known-Error") != "USER_NOT_FOUND" ||
		w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if got := strings.TrimSpace(
		w.Body.String(),
	); got != `{"code":"USER_NOT_FOUND","error":"The user does not exist."}` {
		t.Errorf("%s", got)
	}
}

// What apps do in their HTTPErrorHandler.
func TestErrorHandlersOfApps(t *testing.T) {
	t.Parallel()
	k, _ := newKit(t)
	const text = "Credentials are required: a server key or an access token as Authorization: Bearer, or an access " +
		"type."
	answer := func(c *echo.Context, status int, message string) {
		_ = c.JSON(status, map[string]string{"message": message})
	}
	for name, test := range map[string]struct {
		handler echo.HTTPErrorHandler
		want    string
	}{
		"Echo's own":           {echo.DefaultHTTPErrorHandler(false), `"code":"ACCESS_TYPE_REQUIRED"`},
		"Echo's own, to debug": {echo.DefaultHTTPErrorHandler(true), `"code":"ACCESS_TYPE_REQUIRED"`},
		"problem details":      {echo.ProblemDetailsHTTPErrorHandler(false), `"detail":"` + text + `"`},
		"an HTTPError": {func(c *echo.Context, err error) {
			var he *echo.HTTPError
			if errors.As(err, &he) {
				answer(c, he.Code, he.Message)
			}
		}, `{"message":"` + text + `"}`},
		"a status": {func(c *echo.Context, err error) { answer(c, echo.StatusCode(err), "no") }, `{"message":"no"}`},
		"our type": {func(c *echo.Context, err error) {
			var api *sessions.APIError
			if errors.As(err, &api) && errors.Is(err, sessions.ErrNoCredentials) {
				answer(c, api.Status, api.Code)
			}
		}, `{"message":"ACCESS_TYPE_REQUIRED"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := echo.NewWithConfig(echo.Config{HTTPErrorHandler: test.handler})
			e.GET("/me", func(*echo.Context) error { t.Error("it passed"); return nil }, echov5.Require(k.Manager))
			w := send(t, e, http.MethodGet, "/me", nil)
			if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), test.want) ||
				w.Header().Get("Www-Authenticate") == "" {
				t.Errorf("%d %v %s, want %s", w.Code, w.Header(), w.Body, test.want)
			}
		})
	}
}

// WriteError writes the default form if no mounted route waits for the refusal.
func TestWriteErrorOutsideOfEcho(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	echov5.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), sessions.NewAPIError(sessions.ErrUserNotFound))
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "USER_NOT_FOUND") ||
		w.Header().Get("X-Request-Id") == "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestSkipper(t *testing.T) {
	t.Parallel()
	k, _ := newKit(t)
	config := echov5.Config{Manager: k.Manager, Skipper: func(c *echo.Context) bool { return c.Path() == "/open" }}
	for _, wrap := range []func() echo.MiddlewareFunc{config.Require, config.RequireServer, config.Optional} {
		e := echo.New()
		e.Use(wrap())
		answer := func(c *echo.Context) error { return c.String(http.StatusOK, who(c.Request().Context())) }
		e.GET("/open", answer)
		e.GET("/closed", answer)
		if w := send(t, e, http.MethodGet, "/open", bearer("x")); w.Code != http.StatusOK ||
			w.Body.String() != "nobody" {
			t.Errorf("skipped: %d %s", w.Code, w.Body)
		}
		if w := send(t, e, http.MethodGet, "/closed", bearer("x")); w.Code != http.StatusUnauthorized {
			t.Errorf("not skipped: %d %s", w.Code, w.Body)
		}
	}
}

// After a skipped middleware a guard does not know the caller, so nothing passes.
func TestAGuardBehindAMiddlewareThatWasSkipped(t *testing.T) {
	t.Parallel()
	k, serverKey := newKit(t)
	skipped := echov5.Config{Manager: k.Manager, Skipper: func(*echo.Context) bool { return true }}.Require()
	for name, guard := range map[string]echo.MiddlewareFunc{
		"ForbidImpersonation": echov5.ForbidImpersonation, "ReadOnlyImpersonation": echov5.ReadOnlyImpersonation,
		"RequireRecent": echov5.RequireRecent(time.Hour),
	} {
		for caller, headers := range map[string]http.Header{
			"a user": k.SignIn(t, "alice").Header(), "an impersonation": k.Impersonate(t, "root", "alice").Header(),
			"a key": bearer(serverKey), "garbage": bearer("garbage"), "nobody": nil,
		} {
			t.Run(name+"/"+caller, func(t *testing.T) {
				t.Parallel()
				e := echo.New()
				e.Any("/", func(*echo.Context) error { t.Error("passed"); return nil }, skipped, guard)
				for _, method := range []string{
					"GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND",
				} {
					w := send(t, e, method, "/", headers)
					if body := strings.TrimSpace(w.Body.String()); w.Code != http.StatusInternalServerError ||
						method != http.MethodHead &&
							body != `{"code":"INTERNAL","error":"None of Require, Optional and RequireServer has run `+
								`before."}` {
						t.Errorf("%s: %d %s", method, w.Code, body)
					}
				}
			})
		}
	}
}

// Outer middleware sees the status of a mounted route.
func TestOuterMiddlewareSeesOurStatus(t *testing.T) {
	t.Parallel()
	k, _ := newKit(t)
	e := echo.New()
	var seen int
	var failed error
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			failed = next(c)
			_, seen = echo.ResolveResponseStatus(c.Response(), failed)
			return failed
		}
	})
	echov5.Mount(e, sessions.NewHandler(k.Manager))
	server := httptest.NewServer(e)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/auth/sessions/current", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if content, err := io.ReadAll(response.Body); err != nil ||
		!strings.Contains(string(content), "ACCESS_TYPE_REQUIRED") {
		t.Errorf("%s %v", content, err)
	}
	if seen != http.StatusUnauthorized || failed != nil {
		t.Errorf("seen %d and %v", seen, failed)
	}
}

// What a host has wrapped around an answer is found in the error, by the app's
// handler for problem details, too.
func TestErrorKeepsItsCause(t *testing.T) {
	t.Parallel()
	errQuota := errors.New("over quota")
	for name, handler := range map[string]echo.HTTPErrorHandler{
		"by default": nil, "telling more": echo.DefaultHTTPErrorHandler(true),
		"problem details": echo.ProblemDetailsHTTPErrorHandler(false),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := echo.NewWithConfig(echo.Config{HTTPErrorHandler: handler})
			var returned error
			e.GET("/", func(c *echo.Context) error {
				answer := &sessions.APIError{Status: http.StatusTooManyRequests, Code: "QUOTA", Message: "Too much."}
				returned = echov5.Error(c, fmt.Errorf("%w: %w", errQuota, answer))
				return returned
			})
			w := send(t, e, http.MethodGet, "/", nil)
			if w.Code != http.StatusTooManyRequests || w.Header().Get("Cache-Control") != "no-store" ||
				strings.Contains(w.Body.String(), "over quota") {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			var api *sessions.APIError
			if !errors.Is(returned, errQuota) || !errors.As(returned, &api) || api.Code != "QUOTA" {
				t.Errorf("%#v", returned)
			}
		})
	}
}

// A mounted route leaves the parameters of the app's own routes alone.
func TestMountLeavesTheAppsParameters(t *testing.T) {
	t.Parallel()
	k, _ := newKit(t)
	e := echo.New()
	echov5.Mount(e, sessions.NewHandler(k.Manager))
	e.GET("/users/:id", func(c *echo.Context) error { return c.String(http.StatusOK, c.Param("id")) })
	e.GET("/auth/:provider/callback/:id", func(c *echo.Context) error {
		return c.String(http.StatusOK, c.Param("provider")+" "+c.Param("id"))
	})
	for path, want := range map[string]string{"/users/7": "7", "/auth/sessions/callback/8": "sessions 8"} {
		if w := send(t, e, http.MethodGet, path, nil); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// What a host logs names the cause, and the answer does not.
func TestAnErrorTellsTheLogItsCause(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"unknown": {errors.New("no such column"), "INTERNAL: Internal error.: no such column"},
		"of ours": {
			sessions.ErrNoCredentials,
			"ACCESS_TYPE_REQUIRED: Credentials are required: a server key or an access token as Authorization: " +
				"Bearer.: sessions: unauthenticated: no credentials",
		},
		"the host": {
			&sessions.APIError{Status: 409, Code: "TAKEN", Message: "The name is taken."}, "TAKEN: The name is taken.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			c := echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/", nil), w)
			err := echov5.Error(c, test.err)
			if err.Error() != test.want {
				t.Errorf("%q, want %q", err.Error(), test.want)
			}
			if body, jsonErr := json.Marshal(err); jsonErr != nil || strings.Contains(string(body), "no such column") {
				t.Errorf("the answer is %s, %v", body, jsonErr)
			}
		})
	}
}

// A router that decodes parameters may put a slash into one: into one of the group,
// which is the app's affair, or into ours, which then is not one segment.
func TestMountUnderDecodedParameters(t *testing.T) {
	t.Parallel()
	k, serverKey := newKit(t)
	id := k.SignIn(t, "alice").Grant.Session.ID
	for name, config := range map[string]echo.RouterConfig{
		"as they are":           {},
		"decoded":               {UnescapePathParamValues: true},
		"of the decoded path":   {UseEscapedPathForMatching: true},
		"decoded, of that path": {UseEscapedPathForMatching: true, UnescapePathParamValues: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := echo.NewWithConfig(echo.Config{Router: echo.NewRouter(config)})
			echov5.Mount(e.Group("/orgs/:id"), sessions.NewHandler(k.Manager))
			for path, want := range map[string]int{
				"/orgs/7/auth/sessions/" + id + "%2F":         404,
				"/orgs/7/auth/sessions/current%2Frefresh":     404,
				"/orgs/" + id + "/auth/sessions/7":            400,
				"/orgs/%37/auth/sessions/current/refresh":     404,
				"/orgs/7%2F8/auth/sessions/current%2Frefresh": 404,
			} {
				if want == 404 && !config.UnescapePathParamValues && !config.UseEscapedPathForMatching &&
					strings.Contains(path, "%2F") {
					want = 400 // one segment, and no UUID
				}
				if w := send(t, e, http.MethodDelete, path, bearer(serverKey)); w.Code != want {
					t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, want)
				}
			}
			// One segment with a slash in it, unless the path is decoded before it is matched.
			w := send(t, e, http.MethodGet, "/orgs/7%2F8/auth/openapi.yaml", nil)
			if matched := w.Code == http.StatusOK; matched == config.UseEscapedPathForMatching {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	if list, err := k.List(t.Context(), "alice", sessions.ListOptions{}); err != nil || len(list.Sessions) != 1 {
		t.Errorf("%v %v", list, err)
	}
}
