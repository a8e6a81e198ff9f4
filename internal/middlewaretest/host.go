package middlewaretest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// host is a host with keys and a log. Its users are alice, bob and root, and root
// may impersonate.
type host struct {
	*sessionstest.Kit

	server, admin string // keys; their names are backend and console
	log           *syncBuffer
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

func newHost(t testing.TB, change ...func(*sessions.Config)) *host {
	t.Helper()
	h := &host{log: &syncBuffer{}}
	key := func(name string, access sessions.AccessType) (text string, hashed sessions.ServerKey) {
		text, err := sessions.NewServerKey(access)
		if err != nil {
			t.Fatal(err)
		}
		if hashed, err = sessions.HashServerKey(name, text); err != nil {
			t.Fatal(err)
		}
		return text, hashed
	}
	var server, admin sessions.ServerKey
	h.server, server = key("backend", sessions.AccessServer)
	h.admin, admin = key("console", sessions.AccessAdmin)
	h.Kit = sessionstest.New(t, append([]func(*sessions.Config){func(c *sessions.Config) {
		c.ServerKeys = []sessions.ServerKey{server, admin}
		c.BaseURL = "https://app.example/api/v1"
		c.Logger = slog.New(slog.NewTextHandler(h.log, nil))
		c.MayImpersonate = func(_ context.Context, actor sessions.Identity, _ sessions.User) error {
			if actor.UserID != "root" {
				return sessions.ErrImpersonationNotAllowed
			}
			return nil
		}
	}}, change...)...)
	h.SetUser(sessions.User{ID: "root"}, nil)
	return h
}

// withoutProject is a host that has no clients of the x-stack family.
func withoutProject(c *sessions.Config) { c.ProjectID, c.Audience = "", "test" }

// asked returns the token of an impersonation of alice by root, and the session of root that
// is its parent.
func (h *host) asked(t testing.TB) (token, actorsSession string) {
	t.Helper()
	root := h.SignIn(t, "root").Identity(t)
	grant, err := h.Manager.Impersonate(t.Context(), root, sessions.CreateParams{UserID: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	return grant.AccessToken.Reveal(), root.SessionID
}

func token(s *sessionstest.SignedIn) string { return s.Grant.AccessToken.Reveal() }

func bearer(credential string) string { return "Authorization: Bearer " + credential }

// list returns the live sessions of alice.
func (h *host) list(t testing.TB) []sessions.Session {
	t.Helper()
	list, err := h.List(t.Context(), "alice", sessions.ListOptions{Impersonations: true})
	if err != nil {
		t.Fatal(err)
	}
	return list.Sessions
}

// who answers with the identity of a request.
func who(w http.ResponseWriter, r *http.Request) {
	id, ok := sessions.FromContext(r.Context())
	if !ok {
		_, _ = io.WriteString(w, "nobody")
		return
	}
	parts := []string{string(id.Access), id.KeyName, id.UserID}
	if id.Impersonation {
		parts = append(parts, "acted by "+id.Actor)
	}
	_, _ = io.WriteString(w, strings.Join(parts, "|"))
}

// me returns an app with one route, /me, that answers with the caller's identity.
func (s *suite) me(t testing.TB, with ...Middleware) http.Handler {
	t.Helper()
	return s.Build(t, Group{Routes: []Route{{Path: "/me", With: with, Handler: who}}})
}

// send sends a request without a body, with headers as "name: value".
func (s *suite) send(t testing.TB, app http.Handler, method, target string,
	headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	return s.serve(app, newRequest(t, method, target, "", headers...))
}

func (s *suite) serve(app http.Handler, r *http.Request) *httptest.ResponseRecorder {
	s.requests.Add(1)
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	return w
}

func newRequest(t testing.TB, method, target, body string, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, strings.NewReader(body))
	r.Method = method // some are no methods for httptest
	addHeaders(r, headers)
	return r
}

// addHeaders adds "name: value". It skips empty lines.
func addHeaders(r *http.Request, lines []string) {
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, ": "); ok {
			r.Header.Add(name, value)
		}
	}
}

// codeOf returns the code of a refusal, or "" for another answer.
func codeOf(w *httptest.ResponseRecorder) string {
	var body struct {
		Code  string `json:"code"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error == "" {
		return ""
	}
	return body.Code
}
