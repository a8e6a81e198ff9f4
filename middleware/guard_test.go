package middleware_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/middleware"
	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// kit is a Manager with all kinds of callers.
type kit struct {
	*sessions.Manager
	clock               *sessionstest.Clock
	server, admin       string
	user, acting, asked string // access tokens; asked is of a user who impersonates
	actorsSession       string
}

func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{clock: sessionstest.NewClock(time.Date(2026, time.March, 14, 15, 9, 26, 0, time.UTC))}
	var keys []sessions.ServerKey
	for _, key := range []struct {
		access sessions.AccessType
		text   *string
	}{{sessions.AccessServer, &k.server}, {sessions.AccessAdmin, &k.admin}} {
		text, err := sessions.NewServerKey(key.access)
		if err != nil {
			t.Fatal(err)
		}
		hashed, err := sessions.HashServerKey(string(key.access), text)
		if err != nil {
			t.Fatal(err)
		}
		*key.text, keys = text, append(keys, hashed)
	}
	var err error
	k.Manager, err = sessions.New(sessions.Config{
		Store:          sessionstest.NewStore(),
		Users:          func(_ context.Context, id string) (sessions.User, error) { return sessions.User{ID: id}, nil },
		MayImpersonate: func(context.Context, sessions.Identity, sessions.User) error { return nil },
		Secrets:        [][]byte{bytes.Repeat([]byte("k"), 32)},
		Issuer:         "https://sessile.test",
		Audience:       "test",
		ServerKeys:     keys,
		Now:            k.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	k.user = k.create(t, sessions.CreateParams{UserID: "alice"})
	k.acting = k.create(t, sessions.CreateParams{UserID: "alice", Impersonation: true, Actor: "root"})
	caller := k.create(t, sessions.CreateParams{UserID: "root"})
	id, err := k.Verify(caller)
	if err != nil {
		t.Fatal(err)
	}
	grant, err := k.Impersonate(t.Context(), id, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	k.asked, k.actorsSession = grant.AccessToken.Reveal(), id.SessionID
	return k
}

func (k *kit) create(t testing.TB, p sessions.CreateParams) string {
	t.Helper()
	grant, err := k.Create(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return grant.AccessToken.Reveal()
}

// caller is who makes a request.
type caller struct {
	name    string
	headers []string // name: value
	// acts is whether somebody else acts as the user.
	acts bool
	// Who is let through by Require, Optional and RequireServer.
	require, optional, requireServer bool
}

func (k *kit) callers() []caller {
	family := func(spelling, access string, more ...string) []string {
		headers := []string{spelling + "access-type: " + access}
		for _, m := range more {
			headers = append(headers, spelling+m)
		}
		return headers
	}
	bearer := func(credential string) []string { return []string{"Authorization: Bearer " + credential} }
	return []caller{
		{"a user", bearer(k.user), false, true, true, false},
		{"a user of the x-stack family", family("x-stack-", "client", "access-token: "+k.user), false, true, true, false},
		{"a user of the x-hexclave family", family("x-hexclave-", "client", "access-token: "+k.user), false, true, true, false},
		{"an impersonation by a key", bearer(k.acting), true, true, true, false},
		{"an impersonation by a user", bearer(k.asked), true, true, true, false},
		{"an impersonation of the x-stack family", family("x-stack-", "client", "access-token: "+k.acting), true, true, true, false},
		{"an impersonation of the x-hexclave family", family("x-hexclave-", "client", "access-token: "+k.asked), true, true, true, false},
		{"a key with an impersonation beside it", family("x-stack-", "server", "secret-server-key: "+k.server, "access-token: "+k.acting), true, true, true, true},
		{"a key with a user beside it", family("x-stack-", "server", "secret-server-key: "+k.server, "access-token: "+k.user), false, true, true, true},
		{"a server key", bearer(k.server), false, false, true, true},
		{"an admin key", bearer(k.admin), false, false, true, true},
		{"an admin key of the x-stack family", family("x-stack-", "admin", "super-secret-admin-key: "+k.admin), false, false, true, true},
		{"nobody", nil, false, false, true, false},
		{"a client without a user", family("x-stack-", "client"), false, false, true, false},
		{"garbage", bearer("garbage"), false, false, false, false},
	}
}

// wrap puts a guard behind a middleware, or behind nothing.
type wrap func(http.Handler) http.Handler

var methods = []string{"GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "get", "Get", "GETX"}

func isSafe(method string) bool {
	return slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE"}, method)
}

func request(t testing.TB, method string, headers []string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(t.Context())
	r.Method = method
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// The guards, behind each middleware, for each kind of caller and each method.
func TestGuards(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, front := range []struct {
		name   string
		with   wrap
		admits func(caller) bool
	}{
		{"Require", middleware.Require(k.Manager), func(c caller) bool { return c.require }},
		{"Require, strictly", middleware.Config{Manager: k.Manager, Revocation: sessions.Strict}.Require, func(c caller) bool { return c.require }},
		{"Optional", middleware.Optional(k.Manager), func(c caller) bool { return c.optional }},
		{"RequireServer", middleware.RequireServer(k.Manager), func(c caller) bool { return c.requireServer }},
	} {
		for _, guard := range []struct {
			name   string
			with   wrap
			passes func(c caller, method string) bool
		}{
			{"ForbidImpersonation", middleware.ForbidImpersonation, func(c caller, _ string) bool { return !c.acts }},
			{"ReadOnlyImpersonation", middleware.ReadOnlyImpersonation, func(c caller, method string) bool { return !c.acts || isSafe(method) }},
			{"both", func(h http.Handler) http.Handler {
				return middleware.ReadOnlyImpersonation(middleware.ForbidImpersonation(h))
			}, func(c caller, _ string) bool { return !c.acts }},
		} {
			for _, c := range k.callers() {
				for _, method := range methods {
					t.Run(strings.Join([]string{front.name, guard.name, c.name, method}, "/"), func(t *testing.T) {
						t.Parallel()
						var reached bool
						h := front.with(guard.with(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							reached = true
							id, ok := sessions.FromContext(r.Context())
							if id.Impersonation != c.acts || ok && c.acts && id.Actor != "root" {
								t.Errorf("identity %+v", id)
							}
							w.WriteHeader(http.StatusNoContent)
						})))
						w := httptest.NewRecorder()
						h.ServeHTTP(w, request(t, method, c.headers))
						body := w.Body.String()
						switch {
						case !front.admits(c):
							if reached || w.Code != 401 && w.Code != 400 {
								t.Errorf("%d %s, reached %v", w.Code, body, reached)
							}
						case guard.passes(c, method):
							if !reached || w.Code != http.StatusNoContent {
								t.Errorf("%d %s, reached %v", w.Code, body, reached)
							}
						case reached || w.Code != http.StatusForbidden || body != `{"code":"IMPERSONATION_NOT_ALLOWED","error":"This impersonation is not allowed."}`:
							t.Errorf("%d %s, reached %v", w.Code, body, reached)
						case w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Request-Id") == "" || w.Header().Get("Www-Authenticate") != "" || w.Header().Get("X-Stack-Known-Error") != "":
							t.Errorf("headers %v", w.Header())
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
	for name, guard := range map[string]wrap{
		"ForbidImpersonation": middleware.ForbidImpersonation, "ReadOnlyImpersonation": middleware.ReadOnlyImpersonation,
		// The wrong way round is without one, too.
		"in front of Require": func(h http.Handler) http.Handler {
			return middleware.ForbidImpersonation(middleware.Require(k.Manager)(h))
		},
		"in front of Optional": func(h http.Handler) http.Handler {
			return middleware.ReadOnlyImpersonation(middleware.Optional(k.Manager)(h))
		},
	} {
		for _, c := range k.callers() {
			for _, method := range methods {
				t.Run(strings.Join([]string{name, c.name, method}, "/"), func(t *testing.T) {
					t.Parallel()
					w := httptest.NewRecorder()
					guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("passed") })).ServeHTTP(w, request(t, method, c.headers))
					if body := w.Body.String(); w.Code != http.StatusInternalServerError || body != `{"code":"INTERNAL","error":"Internal error."}` {
						t.Errorf("%d %s", w.Code, body)
					}
				})
			}
		}
	}
}

// A host that authenticates by itself says so with NewContext.
func TestAGuardBehindTheHostsOwnMiddleware(t *testing.T) {
	t.Parallel()
	for _, acts := range []bool{false, true} {
		w := httptest.NewRecorder()
		r := request(t, http.MethodPost, nil)
		r = r.WithContext(sessions.NewContext(r.Context(), sessions.Identity{UserID: "alice", Impersonation: acts}))
		middleware.ForbidImpersonation(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if want := map[bool]int{false: 200, true: 403}[acts]; w.Code != want {
			t.Errorf("impersonation %v: %d", acts, w.Code)
		}
	}
}

// An impersonation is refused on the host's routes when the session behind it is
// over: in the process that ended it at once, by whatever dial.
func TestAnImpersonationWhoseActorHasSignedOut(t *testing.T) {
	t.Parallel()
	for name, dial := range map[string]sessions.Revocation{"stateless": sessions.Stateless, "strict": sessions.Strict} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			h := middleware.Config{Manager: k.Manager, Revocation: dial}.Require(middleware.ReadOnlyImpersonation(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			send := func() int {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, request(t, http.MethodGet, []string{"Authorization: Bearer " + k.asked}))
				return w.Code
			}
			if code := send(); code != 200 {
				t.Fatalf("status %d before", code)
			}
			if _, err := k.End(t.Context(), k.actorsSession, "", ""); err != nil {
				t.Fatal(err)
			}
			if code := send(); code != 401 {
				t.Errorf("status %d after", code)
			}
		})
	}
}
