package echov4_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/middleware/echov4"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

const project = "7d3f0c5e-9a0b-4c1d-8e2f-3a4b5c6d7e8f"

var began = time.Date(2026, time.March, 14, 15, 9, 26, 0, time.UTC)

// host is an app with sessions: what a test of the middlewares needs of it.
type host struct {
	manager             *sessions.Manager
	faults              *sessionstest.Faults
	clock               *sessionstest.Clock
	serverKey, adminKey string
	log                 syncBuffer
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{clock: sessionstest.NewClock(began), faults: &sessionstest.Faults{Store: sessionstest.NewStore()}}
	var keys []sessions.ServerKey
	for name, access := range map[string]sessions.AccessType{"backend": sessions.AccessServer, "console": sessions.AccessAdmin} {
		key, err := sessions.NewServerKey(access)
		if err != nil {
			t.Fatal(err)
		}
		hashed, err := sessions.HashServerKey(name, key)
		if err != nil {
			t.Fatal(err)
		}
		if keys = append(keys, hashed); access == sessions.AccessServer {
			h.serverKey = key
		} else {
			h.adminKey = key
		}
	}
	var err error
	h.manager, err = sessions.New(sessions.Config{
		Store:      h.faults,
		Users:      func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		Secrets:    [][]byte{bytes.Repeat([]byte("k"), 32)},
		Issuer:     "https://sessile.test",
		ProjectID:  project,
		ServerKeys: keys,
		Logger:     slog.New(slog.NewTextHandler(&h.log, nil)),
		Now:        h.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) signIn(t testing.TB, p sessions.CreateParams) sessions.Grant {
	t.Helper()
	g, err := h.manager.Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// adapter makes an app with one route, /me, behind a middleware. The route
// answers with the identity that it sees.
type adapter struct {
	name string
	app  func(m *sessions.Manager, need sessions.Need, dial sessions.Revocation) http.Handler
}

// adapters are all that must do the same.
var adapters = []adapter{
	{"net/http", func(m *sessions.Manager, need sessions.Need, dial sessions.Revocation) http.Handler {
		config := middleware.Config{Manager: m, Revocation: dial}
		wrap := map[sessions.Need]func(http.Handler) http.Handler{sessions.NeedUser: config.Require, sessions.NeedServer: config.RequireServer, sessions.NeedNothing: config.Optional}[need]
		mux := http.NewServeMux()
		mux.Handle("/me", wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, who(r.Context())) })))
		return mux
	}},
	{"net/http, short form", func(m *sessions.Manager, need sessions.Need, _ sessions.Revocation) http.Handler {
		wrap := map[sessions.Need]func(*sessions.Manager) func(http.Handler) http.Handler{sessions.NeedUser: middleware.Require, sessions.NeedServer: middleware.RequireServer, sessions.NeedNothing: middleware.Optional}[need]
		mux := http.NewServeMux()
		mux.Handle("/me", wrap(m)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, who(r.Context())) })))
		return mux
	}},
	{"Echo v4", func(m *sessions.Manager, need sessions.Need, dial sessions.Revocation) http.Handler {
		config := echov4.Config{Manager: m, Revocation: dial}
		wrap := map[sessions.Need]func() echo.MiddlewareFunc{sessions.NeedUser: config.Require, sessions.NeedServer: config.RequireServer, sessions.NeedNothing: config.Optional}[need]
		e := echo.New()
		e.Any("/me", func(c echo.Context) error { return c.String(http.StatusOK, who(c.Request().Context())) }, wrap())
		return e
	}},
	{"Echo v4, short form", func(m *sessions.Manager, need sessions.Need, _ sessions.Revocation) http.Handler {
		wrap := map[sessions.Need]func(*sessions.Manager) echo.MiddlewareFunc{sessions.NeedUser: echov4.Require, sessions.NeedServer: echov4.RequireServer, sessions.NeedNothing: echov4.Optional}[need]
		e := echo.New()
		e.Any("/me", func(c echo.Context) error { return c.String(http.StatusOK, who(c.Request().Context())) }, wrap(m))
		return e
	}},
}

func who(ctx context.Context) string {
	id, ok := sessions.FromContext(ctx)
	if !ok {
		return "nobody"
	}
	parts := []string{string(id.Access), id.KeyName, id.UserID}
	if id.Impersonation {
		parts = append(parts, "acted by "+id.Actor)
	}
	return strings.Join(parts, "|")
}

func send(t testing.TB, app http.Handler, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	return w
}

func codeOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var body struct {
		Code  string `json:"code"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Code == "" || body.Error == "" {
		t.Errorf("not an error of ours: %s", w.Body)
	}
	return body.Code
}

// TestContract is what every adapter does with every caller.
func TestContract(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	own := h.signIn(t, sessions.CreateParams{UserID: "alice"}).AccessToken.Reveal()
	acting := h.signIn(t, sessions.CreateParams{UserID: "alice", Impersonation: true, Actor: "admin-1"}).AccessToken.Reveal()
	ended := h.signIn(t, sessions.CreateParams{UserID: "alice"})
	endedElsewhere := h.signIn(t, sessions.CreateParams{UserID: "alice"})
	if _, err := h.manager.End(t.Context(), ended.Session.ID, "", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := h.manager.WithStore(h.faults.Store).End(t.Context(), endedElsewhere.Session.ID, "", ""); err != nil {
		t.Fatal(err)
	}
	family := func(lines ...string) []string {
		return append([]string{"x-stack-project-id: " + project}, lines...)
	}
	const none, notEnough = "401 ACCESS_TYPE_REQUIRED", "401 INSUFFICIENT_ACCESS_TYPE"
	const unparsable, expired, noUser = "401 UNPARSABLE_ACCESS_TOKEN", "401 ACCESS_TOKEN_EXPIRED", "400 CANNOT_GET_OWN_USER_WITHOUT_USER"

	for _, test := range []struct {
		name                   string
		headers                []string
		user, server, optional string // the identity, or the refusal
		strictly               string // what the strict dial says, where it is another thing
	}{
		{"nobody", nil, none, none, "nobody", ""},
		{"another scheme", []string{"Authorization: Basic eDp5"}, none, none, "nobody", ""},
		{"an access token", []string{"Authorization: Bearer " + own}, "client||alice", notEnough, "client||alice", ""},
		{"an access token of an impersonation", []string{"Authorization: Bearer " + acting}, "client||alice|acted by admin-1", notEnough, "client||alice|acted by admin-1", ""},
		{"a server key", []string{"Authorization: Bearer " + h.serverKey}, notEnough, "server|backend|", "server|backend|", ""},
		{"an admin key", []string{"Authorization: Bearer " + h.adminKey}, notEnough, "admin|console|", "admin|console|", ""},
		{"a wrong key", []string{"Authorization: Bearer " + h.serverKey + "x"}, "401 INVALID_SECRET_SERVER_KEY", "401 INVALID_SECRET_SERVER_KEY", "401 INVALID_SECRET_SERVER_KEY", ""},
		{"a wrong admin key", []string{"Authorization: Bearer " + h.adminKey + "x"}, "401 INVALID_SUPER_SECRET_ADMIN_KEY", "401 INVALID_SUPER_SECRET_ADMIN_KEY", "401 INVALID_SUPER_SECRET_ADMIN_KEY", ""},
		{"a malformed token", []string{"Authorization: Bearer x"}, unparsable, unparsable, unparsable, ""},
		{"a forged token", []string{"Authorization: Bearer " + own[:len(own)-4] + "AAAA"}, unparsable, unparsable, unparsable, ""},
		{"two Authorization headers", []string{"Authorization: Bearer " + own, "Authorization: Bearer " + h.serverKey}, "400 SCHEMA_ERROR", "400 SCHEMA_ERROR", "400 SCHEMA_ERROR", ""},
		{"a token of a session that this process has ended", []string{"Authorization: Bearer " + ended.AccessToken.Reveal()}, expired, expired, expired, ""},
		{"a token of a session that another process has ended", []string{"Authorization: Bearer " + endedElsewhere.AccessToken.Reveal()}, "client||alice", notEnough, "client||alice", expired},
		{"a client of the x-stack family", family("x-stack-access-type: client", "x-stack-access-token: "+own), "client||alice", notEnough, "client||alice", ""},
		{"a client of the x-hexclave family", []string{"x-hexclave-project-id: " + project, "x-hexclave-access-type: client", "x-hexclave-access-token: " + own}, "client||alice", notEnough, "client||alice", ""},
		{"a client without a user", family("x-stack-access-type: client"), noUser, notEnough, "client||", ""},
		{"a server of the x-stack family", family("x-stack-access-type: server", "x-stack-secret-server-key: "+h.serverKey), noUser, "server|backend|", "server|backend|", ""},
		{"a server with a user", family("x-stack-access-type: server", "x-stack-secret-server-key: "+h.serverKey, "x-stack-access-token: "+own), "server|backend|alice", "server|backend|alice", "server|backend|alice", ""},
		{"a server with a dead user", family("x-stack-access-type: server", "x-stack-secret-server-key: "+h.serverKey, "x-stack-access-token: "+ended.AccessToken.Reveal()), expired, expired, expired, ""},
		{"another project", []string{"x-stack-project-id: x", "x-stack-access-type: client"}, "400 CURRENT_PROJECT_NOT_FOUND", "400 CURRENT_PROJECT_NOT_FOUND", "400 CURRENT_PROJECT_NOT_FOUND", ""},
		{"headers that name somebody", []string{"X-User-Id: alice", "X-Forwarded-User: alice", "X-Original-Url: /open", "X-Middleware-Subrequest: middleware", "Cookie: access_token=" + own}, none, none, "nobody", ""},
	} {
		for _, a := range adapters {
			for need, expected := range map[sessions.Need]string{sessions.NeedUser: test.user, sessions.NeedServer: test.server, sessions.NeedNothing: test.optional} {
				for _, dial := range []sessions.Revocation{sessions.Stateless, sessions.Strict} {
					want := expected
					name := map[sessions.Need]string{sessions.NeedUser: "Require", sessions.NeedServer: "RequireServer", sessions.NeedNothing: "Optional"}[need]
					if dial == sessions.Strict {
						if strings.Contains(a.name, "short form") {
							continue // it has no dial
						}
						name += ", strict"
						if test.strictly != "" {
							want = test.strictly
						}
					}
					t.Run(test.name+"/"+a.name+"/"+name, func(t *testing.T) {
						t.Parallel()
						app := a.app(h.manager, need, dial)
						for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
							w := send(t, app, method, "/me?access_token="+own, test.headers...)
							check(t, w, method, want, len(test.headers) > 0 && strings.HasPrefix(test.headers[0], "x-"))
						}
					})
				}
			}
		}
	}
}

// check holds an answer against an identity, or against a refusal with all of its
// headers.
func check(t *testing.T, w *httptest.ResponseRecorder, method, want string, ofFamily bool) {
	t.Helper()
	status, code, refused := strings.Cut(want, " ")
	if refused = refused && (status == "400" || status == "401"); !refused {
		if w.Code != http.StatusOK || method != http.MethodHead && w.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", method, w.Code, w.Body, want)
		}
		return
	}
	if got := map[int]string{400: "400", 401: "401"}[w.Code]; got != status {
		t.Errorf("%s: status %d, want %s: %s", method, w.Code, want, w.Body)
		return
	}
	header := w.Header()
	if method != http.MethodHead {
		if got := codeOf(t, w); got != code {
			t.Errorf("%s: %s, want %s", method, got, code)
		}
		if got := strings.ToLower(header.Get("Content-Type")); got != "application/json; charset=utf-8" && got != "application/json" {
			t.Errorf("Content-Type %q", got)
		}
	}
	if challenge := header.Get("Www-Authenticate"); status == "401" && !strings.HasPrefix(challenge, `Bearer realm="sessile"`) {
		t.Errorf("WWW-Authenticate %q", challenge)
	}
	if header.Get("Cache-Control") != "no-store" || header.Get("X-Request-Id") == "" {
		t.Errorf("%v", header)
	}
	known := ""
	if ofFamily {
		known = code
	}
	if header.Get("X-Stack-Known-Error") != known || header.Get("X-Hexclave-Known-Error") != known {
		t.Errorf("known error %q, want %q", header.Get("X-Stack-Known-Error"), known)
	}
}

// Signing out is refused at once in this process, on routes that ask no database.
func TestSignOutIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, a := range adapters {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			g := h.signIn(t, sessions.CreateParams{UserID: "alice"})
			app := a.app(h.manager, sessions.NeedUser, sessions.Stateless)
			as := "Authorization: Bearer " + g.AccessToken.Reveal()
			if w := send(t, app, http.MethodGet, "/me", as); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w := send(t, sessions.NewHandler(h.manager), http.MethodDelete, "/auth/sessions/current", as); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w := send(t, app, http.MethodGet, "/me", as); w.Code != http.StatusUnauthorized || codeOf(t, w) != "ACCESS_TOKEN_EXPIRED" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if h.faults.Calls(sessionstest.MethodGet) != 0 {
				t.Error("the database was asked")
			}
		})
	}
}

// A stateless route asks no database, a strict one does, once; and where it cannot
// be told, nobody passes.
func TestTheDial(t *testing.T) {
	t.Parallel()
	for _, a := range adapters {
		if strings.Contains(a.name, "short form") {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			as := "Authorization: Bearer " + h.signIn(t, sessions.CreateParams{UserID: "alice"}).AccessToken.Reveal()
			if w := send(t, a.app(h.manager, sessions.NeedUser, sessions.Stateless), http.MethodGet, "/me", as); w.Code != 200 || h.faults.Calls(sessionstest.MethodGet) != 0 {
				t.Errorf("stateless: %d, %d statements", w.Code, h.faults.Calls(sessionstest.MethodGet))
			}
			strict := a.app(h.manager, sessions.NeedUser, sessions.Strict)
			if w := send(t, strict, http.MethodGet, "/me", as); w.Code != 200 || h.faults.Calls(sessionstest.MethodGet) != 1 {
				t.Errorf("strict: %d, %d statements", w.Code, h.faults.Calls(sessionstest.MethodGet))
			}
			h.faults.Before = sessionstest.FailAt(sessionstest.MethodGet, 0, errors.New("dial tcp db.internal:5432: connection refused"))
			w := send(t, strict, http.MethodGet, "/me", as)
			if w.Code != http.StatusServiceUnavailable || codeOf(t, w) != "TEMPORARILY_UNAVAILABLE" || w.Header().Get("Retry-After") != "1" || strings.Contains(w.Body.String(), "internal:") {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			if !strings.Contains(h.log.String(), "connection refused") {
				t.Errorf("the log says nothing of it: %q", h.log.String())
			}
			if strings.Contains(h.log.String(), as[len("Authorization: Bearer "):]) {
				t.Error("the log has the token")
			}
			h.clock.Advance(time.Hour)
			if w := send(t, strict, http.MethodGet, "/me", as); w.Code != http.StatusUnauthorized {
				t.Errorf("expired, and yet the database was asked: %d", w.Code)
			}
		})
	}
}

func TestWithoutAManagerNobodyPasses(t *testing.T) {
	t.Parallel()
	for _, a := range adapters {
		for _, need := range []sessions.Need{sessions.NeedUser, sessions.NeedServer, sessions.NeedNothing} {
			w := send(t, a.app(nil, need, sessions.Stateless), http.MethodGet, "/me", "Authorization: Bearer x")
			if w.Code != http.StatusInternalServerError || codeOf(t, w) != "INTERNAL" {
				t.Errorf("%s: %d %s", a.name, w.Code, w.Body)
			}
		}
	}
}
