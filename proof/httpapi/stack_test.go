package httpapi_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// What StackHeaders makes of the answers of a host's own routes.
func TestStackHeaders(t *testing.T) {
	t.Parallel()
	notFound := &sessions.APIError{Status: 404, Code: "USER_NOT_FOUND", Message: "There is no such user."}
	hosts := map[string]http.HandlerFunc{
		"writes nothing":       func(http.ResponseWriter, *http.Request) {},
		"writes a body":        func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"writes a known error": func(w http.ResponseWriter, r *http.Request) { sessions.WriteError(w, r, notFound) },
		"wraps a known error": func(w http.ResponseWriter, r *http.Request) {
			sessions.WriteError(w, r, errors.Join(notFound))
		},
		"writes an error": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Vary", "Origin")
			http.Error(w, "no", http.StatusTeapot)
		},
		"sets one spelling": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Stack-Known-Error", "USER_NOT_FOUND")
			w.WriteHeader(http.StatusNotFound)
		},
		"fails": func(w http.ResponseWriter, r *http.Request) {
			sessions.WriteError(w, r, errors.New("disk full"))
		},
		"answers with no body": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"is wrapped twice": func(w http.ResponseWriter, r *http.Request) {
			sessions.StackHeaders(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sessions.WriteError(w, r, notFound)
			})).ServeHTTP(w, r)
		},
		"flushes first": func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "hello")
		},
		"sends an early answer": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusConflict)
		},
	}
	type want struct {
		status int // with the override
		actual string
		known  string
	}
	for name, test := range map[string]want{
		"writes nothing": {200, "", ""}, "writes a body": {200, "", ""}, "flushes first": {200, "", ""},
		"answers with no body": {204, "", ""},
		"writes a known error": {200, "404", "USER_NOT_FOUND"}, "wraps a known error": {200, "404", "USER_NOT_FOUND"},
		"sets one spelling": {200, "404", "USER_NOT_FOUND"}, "is wrapped twice": {200, "404", "USER_NOT_FOUND"},
		"writes an error": {200, "418", ""}, "fails": {500, "", ""}, "sends an early answer": {200, "409", ""},
	} {
		t.Run("a route that "+name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(sessions.StackHeaders(hosts[name]))
			defer server.Close()
			send := func(headers ...string) (int, http.Header, string) {
				t.Helper()
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range headers {
					r.Header.Set(name, "true")
				}
				response, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				content, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				return response.StatusCode, response.Header, string(content)
			}

			actual, plain, text := send()
			for name := range plain {
				if strings.HasPrefix(name, "X-Hexclave-") || strings.HasPrefix(name, "X-Stack-") && test.known == "" {
					t.Errorf("not of the family, and yet %s", name)
				}
			}
			for _, spelling := range []string{"X-Stack-", "X-Hexclave-"} {
				// Of the family, without the override.
				status, h, content := send(spelling + "Project-Id")
				if status != actual || content != text || h.Get("X-Stack-Actual-Status") != "" {
					t.Errorf("status %d, want %d: %q", status, actual, content)
				}
				for _, out := range []string{"X-Stack-", "X-Hexclave-"} {
					if h.Get(out+"Request-Id") == "" || h.Get(out+"Request-Id") != h.Get("X-Request-Id") ||
						h.Get(out+"Known-Error") != test.known {
						t.Errorf("%s: %v", spelling, h)
					}
				}
				// With it.
				status, h, content = send(spelling + "Override-Error-Status")
				if status != test.status || content != text {
					t.Errorf("status %d, want %d: %q", status, test.status, content)
				}
				// A cache must not give this 200 to others.
				vary := ""
				if test.actual != "" {
					vary = "X-Stack-Override-Error-Status, X-Hexclave-Override-Error-Status"
				}
				if got := strings.Join(h.Values("Vary"), "; "); strings.TrimPrefix(got, "Origin, ") != vary ||
					strings.HasPrefix(got, "Origin, ") != (name == "writes an error") {
					t.Errorf("Vary %q", got)
				}
				for _, out := range []string{"X-Stack-", "X-Hexclave-"} {
					if h.Get(out+"Actual-Status") != test.actual || h.Get(out+"Known-Error") != test.known ||
						h.Get(out+"Request-Id") == "" {
						t.Errorf("%s: %v", spelling, h)
					}
				}
			}
		})
	}
}

// Our own endpoints need no wrapping and do not mind it.
func TestStackHeadersAroundOurOwnEndpoints(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	plain := e.do(t, http.MethodGet, "/auth/sessions/current", stack("access-type", "client", "access-token", "x",
		"override-error-status", "1"))
	e.serve = sessions.StackHeaders(e.handler)
	wrapped := e.do(t, http.MethodGet, "/auth/sessions/current", stack("access-type", "client", "access-token", "x",
		"override-error-status", "1")).refused(t, 401, unparsable)
	if plain.wire != wrapped.wire || string(plain.body) != string(wrapped.body) {
		t.Errorf("%d %s and %d %s", plain.wire, plain.body, wrapped.wire, wrapped.body)
	}
	e.do(t, http.MethodGet, "/auth/sessions/current", stack("access-type", "client", "access-token",
		own.access)).want(t, 200)
}

// A refusal of the host's own routes has what the API's have: the request id, that
// nobody may keep it, and the challenge.
func TestWriteError(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err    error
		status int
		body   string
		header map[string]string
	}{
		"no credentials": {
			sessions.ErrNoCredentials, 401,
			`{"code":"ACCESS_TYPE_REQUIRED","error":"Credentials are required: a server key or an access token as ` +
				`Authorization: Bearer."}`,
			map[string]string{"Www-Authenticate": `Bearer realm="sessile"`},
		},
		"a bad token": {
			sessions.ErrInvalidToken, 401,
			`{"code":"UNPARSABLE_ACCESS_TOKEN","error":"The access token is not valid."}`, map[string]string{
				"Www-Authenticate": `Bearer realm="sessile", error="invalid_token", error_description="The access ` +
					`token is not valid."`,
			},
		},
		"an unknown user": {
			sessions.ErrUserNotFound, 404, `{"code":"USER_NOT_FOUND","error":"The user does not exist."}`, nil,
		},
		"a disabled user": {
			sessions.ErrUserDisabled, 403,
			`{"code":"FORBIDDEN","error":"The user may not have sessions now.","details":{"reason":"user_disabled"}}`,
			nil,
		},
		"no such session": {
			sessions.ErrNotFound, 404, `{"code":"SESSION_NOT_FOUND","error":"The session does not exist."}`, nil,
		},
		"malformed input": {
			sessions.ErrInvalidParams, 400,
			`{"code":"SCHEMA_ERROR","error":"A parameter is not valid.","details":{"message":"A parameter is not ` +
				`valid."}}`, nil,
		},
		"trouble": {
			sessions.ErrUnavailable, 503,
			`{"code":"TEMPORARILY_UNAVAILABLE","error":"Temporarily unavailable, try again.","details":{"retry":true}}`,
			map[string]string{"Retry-After": "1"},
		},
		"what nobody knows": {
			errors.New("pq: password authentication failed"), 500, `{"code":"INTERNAL","error":"Internal error."}`, nil,
		},
		"the host's own": {
			&sessions.APIError{
				Status: 402, Code: "PAY_FIRST", Message: `Say "please".`, Details: map[string]any{"price": 1},
			}, 402, `{"code":"PAY_FIRST","error":"Say \"please\".","details":{"price":1}}`, nil,
		},
		"the host's own 401": {
			&sessions.APIError{Status: 401, Code: "MORE", Message: "More."}, 401, `{"code":"MORE","error":"More."}`,
			map[string]string{"Www-Authenticate": `Bearer realm="sessile"`},
		},
		"details that cannot be encoded": {
			&sessions.APIError{Status: 400, Code: "X", Message: "x", Details: map[string]any{"f": func() {}}}, 500,
			`{"code":"INTERNAL","error":"Internal error."}`, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			w.Header().Set("Cache-Control", "public, max-age=60")
			sessions.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), test.err)
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			for _, name := range []string{"Www-Authenticate", "Retry-After"} {
				if got := w.Header().Get(name); got != test.header[name] {
					t.Errorf("%s: %q, want %q", name, got, test.header[name])
				}
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Request-Id") == "" ||
				w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("%v", w.Header())
			}
		})
	}
}

// Outer middleware does not decide about caching of answers with tokens.
func TestNoCacheKeepsAnAnswer(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	own := e.signIn(t, alice)
	e.serve = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		e.handler.ServeHTTP(w, r)
	})
	e.refresh(t, own.refresh).want(t, 200) // the header is looked at with every answer
	e.do(t, http.MethodPost, "/auth/sessions", bearer(e.serverKey), jsonBody(`{"user_id":"`+alice+`"}`)).want(t, 200)
	e.do(t, http.MethodPost, "/auth/oauth/revoke", form("token", own.refresh)).want(t, 200)
	e.do(t, http.MethodGet, "/auth/sessions/current").refused(t, 401, nobody)
}
