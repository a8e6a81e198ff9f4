package middlewaretest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// envelope writes a refusal in an app's own form. A browser that navigates without
// credentials is redirected to the sign-in page.
func envelope(w http.ResponseWriter, r *http.Request, err *sessions.APIError) {
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && errors.Is(err, sessions.ErrUnauthenticated) {
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.app+json")
	w.WriteHeader(err.Status)
	_, _ = fmt.Fprintf(w, `{"ok":false,"problem":%q,"at":%q}`, err.Code, r.URL.Path)
}

// refusals checks refusals in the app's own form: with the hook of package sessions, and
// with the framework's error handler.
func (s *suite) refusals(t *testing.T) {
	shaped := func(t *testing.T, change ...func(*sessions.Config)) *host {
		t.Helper()
		own := func(c *sessions.Config) { c.WriteError = envelope }
		return newHost(t, append([]func(*sessions.Config){own}, change...)...)
	}
	s.refusalsOfMiddlewares(t, shaped)
	for _, m := range mounts {
		s.run(t, "mounted/"+m.name, func(t *testing.T) { s.refusalsOfRoutes(t, shaped(t), m.prefix, m.whole) })
	}
	if s.WriteError != nil {
		s.run(t, "mounted/returned to the app", func(t *testing.T) {
			s.refusalsOfRoutes(t, shaped(t, func(c *sessions.Config) { c.WriteError = s.WriteError }), "/api", false)
		})
	}
}

func (s *suite) refusalsOfMiddlewares(t *testing.T, shaped func(*testing.T, ...func(*sessions.Config)) *host) {
	t.Helper()
	h := shaped(t)
	user, acting := bearer(token(h.SignIn(t, "alice"))), bearer(token(h.Impersonate(t, "root", "alice")))
	old := shaped(t, func(c *sessions.Config) { c.AccessTokenTTL = time.Hour })
	signedInBefore := bearer(token(old.SignIn(t, "alice")))
	old.Clock.Advance(10 * time.Minute)
	require := func(h *host) Middleware { return Middleware{Kind: Require, Manager: h.Manager} }

	for _, test := range []struct {
		name    string
		with    []Middleware
		headers []string
		status  int
		code    string
		header  string // the name of one, and how it begins
	}{
		{"nobody", []Middleware{
			require(h),
		}, nil, 401, "ACCESS_TYPE_REQUIRED", `WWW-Authenticate: Bearer realm="sessile"`},
		{"a bad token", []Middleware{require(h)}, []string{bearer("x")}, 401, "UNPARSABLE_ACCESS_TOKEN",
			`WWW-Authenticate: Bearer realm="sessile", error="invalid_token"`},
		{"a bad token before Optional", []Middleware{{Kind: Optional, Manager: h.Manager}}, []string{bearer("x")}, 401,
			"UNPARSABLE_ACCESS_TOKEN", "Cache-Control: no-store"},
		{"a user before RequireServer", []Middleware{{Kind: RequireServer, Manager: h.Manager}}, []string{user}, 401,
			"INSUFFICIENT_ACCESS_TYPE", "WWW-Authenticate: Bearer"},
		{"of the x-stack family", []Middleware{require(h)}, []string{"x-stack-access-type: x"}, 400,
			"INVALID_ACCESS_TYPE", "X-Stack-Known-Error: INVALID_ACCESS_TYPE"},
		{"ForbidImpersonation", []Middleware{require(h), {Kind: ForbidImpersonation}}, []string{acting}, 403,
			"IMPERSONATION_NOT_ALLOWED", "Cache-Control: no-store"},
		{"ReadOnlyImpersonation", []Middleware{require(h), {Kind: ReadOnlyImpersonation}}, []string{acting}, 403,
			"IMPERSONATION_NOT_ALLOWED", "Cache-Control: no-store"},
		{"RequireRecent", []Middleware{require(old), {Kind: RequireRecent, MaxAge: time.Minute}},
			[]string{signedInBefore},
			401, "INSUFFICIENT_USER_AUTHENTICATION",
			`WWW-Authenticate: Bearer realm="sessile", error="insufficient_user_authentication"`},
		{"two in front of a guard", []Middleware{
			{Kind: Optional, Manager: h.Manager}, require(h), {Kind: ForbidImpersonation},
		}, []string{acting}, 403, "IMPERSONATION_NOT_ALLOWED", "X-Content-Type-Options: nosniff"},
	} {
		s.run(t, "middlewares/"+test.name, func(t *testing.T) {
			app := s.Build(t, Group{
				WriteError: envelope, Routes: []Route{
					{Path: "/me", With: test.with, Handler: func(http.ResponseWriter, *http.Request) {
						t.Error("it passed")
					}},
				},
			})
			for _, method := range []string{http.MethodPost, http.MethodHead} {
				if method == http.MethodHead && test.name == "ReadOnlyImpersonation" {
					continue
				}
				holdEnvelope(t, s.send(t, app, method, "/me", test.headers...), method, test.status,
					test.code, test.header)
			}
		})
	}

	if !s.NoDial {
		s.run(t, "middlewares/the store is away", func(t *testing.T) {
			h := shaped(t)
			as := bearer(token(h.SignIn(t, "alice")))
			h.Faults.Before = sessionstest.FailAt(sessionstest.MethodGet, 0, errors.New("the database is away"))
			with := []Middleware{{Kind: Require, Manager: h.Manager, Revocation: sessions.Strict}}
			app := s.Build(t, Group{WriteError: envelope, Routes: []Route{{Path: "/me", With: with, Handler: who}}})
			holdEnvelope(t, s.send(t, app, http.MethodGet, "/me", as), http.MethodGet, 503, "TEMPORARILY_UNAVAILABLE",
				"Retry-After: ")
		})
	}

	s.run(t, "middlewares/a browser is sent to the sign-in page", func(t *testing.T) {
		h := shaped(t, func(c *sessions.Config) { c.Cookies.Enabled = true })
		alice := h.SignIn(t, "alice")
		jar := jarOf(t, alice)
		if _, err := h.End(t.Context(), sessions.EndParams{ID: alice.Grant.Session.ID}); err != nil {
			t.Fatal(err)
		}
		with := []Middleware{require(h)}
		app := s.Build(t, Group{WriteError: envelope, Routes: []Route{{Path: "/me", With: with, Handler: who}}})
		for _, headers := range [][]string{{"Sec-Fetch-Mode: navigate"}, {"Sec-Fetch-Mode: navigate", jar}} {
			w := s.send(t, app, http.MethodGet, "/me", headers...)
			if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/sign-in" ||
				w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if len(headers) == 2 {
				holdCookies(t, w, "-access -refresh")
			}
		}
		holdEnvelope(t, s.send(t, app, http.MethodGet, "/me", jar), http.MethodGet, 401,
			"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "Vary: Cookie")
	})
}

// refusalsOfRoutes checks the HTTP API of an app with its own form of refusals. The OAuth
// endpoints keep theirs, which their clients parse.
func (s *suite) refusalsOfRoutes(t *testing.T, h *host, prefix string, whole bool) {
	t.Helper()
	app := s.Build(t, Group{
		WriteError: envelope, Groups: []Group{
			{Prefix: prefix, Mounts: []Mount{{Handler: sessions.NewHandler(h.Manager), Whole: whole}}},
		},
	})
	as := bearer(token(h.SignIn(t, "alice")))
	type call struct {
		method, path string
		headers      []string
		status       int
		code, header string
	}
	calls := []call{
		{"GET", "/auth/sessions/current", nil, 401, "ACCESS_TYPE_REQUIRED", `WWW-Authenticate: Bearer realm="sessile"`},
		{"HEAD", "/auth/sessions/current", nil, 401, "ACCESS_TYPE_REQUIRED",
			`WWW-Authenticate: Bearer realm="sessile"`},
		{"GET", "/auth/sessions/current", []string{"x-stack-access-type: x"}, 400, "INVALID_ACCESS_TYPE",
			"X-Stack-Known-Error: INVALID_ACCESS_TYPE"},
		{"GET", "/auth/sessions?user_id=bob", []string{as}, 403, "FORBIDDEN", "Cache-Control: no-store"},
		{"DELETE", "/auth/sessions/01890a5d-ac96-774b-bcce-b302099a8057", []string{as}, 404, "SESSION_NOT_FOUND",
			"Cache-Control: no-store"},
		{"DELETE", "/auth/sessions/x", []string{as}, 400, "SCHEMA_ERROR", "Cache-Control: no-store"},
		{"POST", "/auth/sessions/current/refresh", nil, 400, "SCHEMA_ERROR", "Cache-Control: no-store"},
		{"POST", "/auth/sessions/current/refresh", []string{"x-stack-refresh-token: x"},
			401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "X-Hexclave-Known-Error: REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"},
		{"GET", "/projects/other/.well-known/jwks.json", nil, 404, "NOT_FOUND", "Cache-Control: no-store"},
	}
	if whole {
		calls = append(calls, call{"GET", "/nowhere", nil, 404, "NOT_FOUND", "Cache-Control: no-store"},
			call{"PUT", "/auth/sessions", nil, 405, "METHOD_NOT_ALLOWED", "Allow: DELETE, GET, HEAD, POST"})
	}
	for _, call := range calls {
		w := s.send(t, app, call.method, prefix+call.path, call.headers...)
		holdEnvelope(t, w, call.method, call.status, call.code, call.header)
	}
	for _, path := range []string{"/auth/oauth/token", "/auth/oauth/revoke"} {
		w := s.send(t, app, http.MethodPost, prefix+path)
		var body struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error != "invalid_request" ||
			w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := s.send(t, app, http.MethodGet, prefix+"/auth/sessions/current", as); w.Code != http.StatusOK ||
		!strings.Contains(w.Body.String(), `"user_id":"alice"`) {
		t.Errorf("an answer that is no refusal: %d %s", w.Code, w.Body)
	}
}

// holdEnvelope compares an answer with a refusal in the app's form, with the headers of the
// default form.
func holdEnvelope(t *testing.T, w *httptest.ResponseRecorder, method string, status int, code, header string) {
	t.Helper()
	var got struct {
		OK      *bool  `json:"ok"`
		Problem string `json:"problem"`
		At      string `json:"at"`
	}
	err := json.Unmarshal(w.Body.Bytes(), &got)
	isShaped := err == nil && got.OK != nil && !*got.OK && got.Problem == code && got.At != ""
	if w.Code != status || !isShaped && (method != http.MethodHead || w.Body.Len() > 0) {
		t.Errorf("%s: %d %s, want %s", method, w.Code, w.Body, strconv.Itoa(status)+" "+code)
	}
	if got := w.Header().Get("Content-Type"); method != http.MethodHead && got != "application/vnd.app+json" {
		t.Errorf("%s: Content-Type %q", method, got)
	}
	name, begins, _ := strings.Cut(header, ": ")
	if got := w.Header().Get(name); got == "" || !strings.HasPrefix(got, begins) {
		t.Errorf("%s: %s is %q, want %q", method, name, got, begins)
	}
	if w.Header().Get("X-Request-Id") == "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s: headers %v", method, w.Header())
	}
}
