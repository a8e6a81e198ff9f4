package middleware_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// form writes refusals as "<name> <code>".
func form(name string) func(http.ResponseWriter, *http.Request, *sessions.APIError) {
	return func(w http.ResponseWriter, _ *http.Request, err *sessions.APIError) {
		w.WriteHeader(err.Status)
		fmt.Fprint(w, name, " ", err.Code)
		err.Code = "CHANGED" // by an app that uses it as its own
	}
}

// The WriteError of a middleware also applies to its guards, and overrides the Manager's.
func TestWriteErrorOfAMiddleware(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t, func(c *sessions.Config) { c.WriteError = form("manager") })
	plain := sessionstest.New(t)
	const none = `{"code":"ACCESS_TYPE_REQUIRED","error":"Credentials are required: a server key or an access token ` +
		`as Authorization: Bearer, or an access type."}`
	const noManager = `{"code":"INTERNAL","error":"The middleware has no Manager."}`
	of := func(k *sessionstest.Kit, name string) middleware.Config {
		c := middleware.Config{Manager: k.Manager}
		if name != "" {
			c.WriteError = form(name)
		}
		return c
	}
	guarded := func(c middleware.Config) wrap {
		return func(next http.Handler) http.Handler { return c.Require(middleware.ForbidImpersonation(next)) }
	}
	acting, actingPlain := k.Impersonate(t, "root", "alice").Header(), plain.Impersonate(t, "root", "alice").Header()
	const forbidden = `{"code":"IMPERSONATION_NOT_ALLOWED","error":"This impersonation is not allowed."}`

	for name, test := range map[string]struct {
		with   wrap
		header http.Header
		want   string
	}{
		"neither":                      {of(plain, "").Require, nil, none},
		"the Manager's":                {of(k, "").Require, nil, "manager ACCESS_TYPE_REQUIRED"},
		"its own":                      {of(plain, "own").Require, nil, "own ACCESS_TYPE_REQUIRED"},
		"its own before the Manager's": {of(k, "own").Require, nil, "own ACCESS_TYPE_REQUIRED"},
		"no Manager":                   {middleware.Config{}.Require, nil, noManager},
		"its own, without a Manager":   {middleware.Config{WriteError: form("own")}.Require, nil, "own INTERNAL"},
		"a guard after neither":        {guarded(of(plain, "")), actingPlain, forbidden},
		"a guard after the Manager's":  {guarded(of(k, "")), acting, "manager IMPERSONATION_NOT_ALLOWED"},
		"a guard after one of its own": {guarded(of(k, "own")), acting, "own IMPERSONATION_NOT_ALLOWED"},
		"a guard without a middleware": {
			middleware.ForbidImpersonation, acting,
			`{"code":"INTERNAL","error":"None of Require, Optional and RequireServer has run before."}`,
		},
		"the innermost of two middlewares": {
			func(next http.Handler) http.Handler { return of(k, "outer").Optional(guarded(of(k, "inner"))(next)) },
			acting, "inner IMPERSONATION_NOT_ALLOWED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := test.with(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it passed") }))
			for range 2 { // a change by the app does not last
				r := httptest.NewRequest(http.MethodPost, "/", nil)
				maps.Copy(r.Header, test.header)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if w.Body.String() != test.want || w.Code < 400 || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%d %v %s, want %s", w.Code, w.Header(), w.Body, test.want)
				}
			}
		})
	}
}

// Pages go to the sign-in page, everything else gets the default form.
func ExampleConfig_writeError() {
	config := middleware.Config{
		Manager: newManager(),
		WriteError: func(w http.ResponseWriter, r *http.Request, err *sessions.APIError) {
			if r.Header.Get("Sec-Fetch-Mode") == "navigate" && errors.Is(err, sessions.ErrUnauthenticated) {
				http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
				return
			}
			sessions.WriteError(w, r, err)
		},
	}
	page := config.Require(http.NotFoundHandler())

	r := httptest.NewRequest(http.MethodGet, "/devices", nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Location"))

	w = httptest.NewRecorder()
	page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/devices", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 303 /sign-in
	// 401 Bearer realm="sessile"
}
