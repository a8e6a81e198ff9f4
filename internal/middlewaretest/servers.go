package middlewaretest

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// servers checks what needs a connection: HTTP/2, panics, clients that hang up, and many
// at a time.
func (s *suite) servers(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		version := map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[http2]
		for _, m := range mounts {
			s.run(t, version+"/"+m.name, func(t *testing.T) { s.overTheWire(t, m.prefix, m.whole, http2) })
		}
		for _, recovers := range []bool{false, true} {
			s.run(t, version+"/a handler panics, "+map[bool]string{
				false: "net/http sees it", true: "the framework sees it",
			}[recovers], func(t *testing.T) {
				s.panics(t, http2, recovers)
			})
		}
		for _, path := range []string{"/me", "/api/auth/sessions/current"} {
			s.run(t, version+"/a client hangs up at "+path, func(t *testing.T) { s.hangsUp(t, http2, path) })
		}
		s.run(t, version+"/many at a time", func(t *testing.T) { s.manyAtATime(t, http2) })
	}
}

// server serves an app on a loopback address until the test is over; it waits for
// the last handler, so one that hangs fails the test.
func server(t *testing.T, app http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(app)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // panics are part of the test
	if http2 {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

// fetch sends a request over a connection. An error is a connection that broke.
func (s *suite) fetch(ctx context.Context, server *httptest.Server, method, path string,
	headers ...string) (*httptest.ResponseRecorder, int, error) {
	r, err := http.NewRequestWithContext(ctx, method, server.URL+path, http.NoBody)
	if err != nil {
		return nil, 0, err
	}
	addHeaders(r, headers)
	s.requests.Add(1)
	response, err := server.Client().Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	w := httptest.NewRecorder()
	maps.Copy(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	_, err = io.Copy(w.Body, response.Body)
	return w, response.ProtoMajor, err
}

func (s *suite) overTheWire(t *testing.T, prefix string, whole, http2 bool) {
	t.Helper()
	h := newHost(t)
	server := server(t, s.mounted(t, h, prefix, whole), http2)
	as := bearer(token(h.SignIn(t, "alice")))
	for _, test := range []struct {
		method, path, header, want string // an identity, a refusal, or what is in the body
	}{
		{http.MethodGet, "/me", as, "client||alice"},
		{http.MethodHead, "/me", as, "client||alice"},
		{http.MethodPost, "/me", as, "client||alice"},
		{http.MethodGet, "/me", "", "401 ACCESS_TYPE_REQUIRED"},
		{http.MethodHead, "/me", "", "401 ACCESS_TYPE_REQUIRED"},
		{http.MethodPost, "/me", bearer("x"), "401 UNPARSABLE_ACCESS_TOKEN"},
		{http.MethodGet, prefix + "/auth/sessions/current", "", "401 ACCESS_TYPE_REQUIRED"},
		{http.MethodHead, prefix + "/auth/sessions/current", "", "401 ACCESS_TYPE_REQUIRED"},
	} {
		w, major, err := s.fetch(t.Context(), server, test.method, test.path, test.header)
		if err != nil {
			t.Fatal(err)
		}
		if http2 != (major == 2) {
			t.Fatalf("HTTP/%d", major)
		}
		hold(t, w, test.method, test.want, false)
		if test.method == http.MethodHead && w.Body.Len() != 0 {
			t.Errorf("HEAD with a body: %s", w.Body)
		}
	}
	for _, path := range []string{"/auth/sessions/current", "/.well-known/jwks.json", "/auth/openapi.yaml"} {
		got, _, err := s.fetch(t.Context(), server, http.MethodGet, prefix+path, as)
		if err != nil {
			t.Fatal(err)
		}
		head, _, err := s.fetch(t.Context(), server, http.MethodHead, prefix+path, as)
		if err != nil {
			t.Fatal(err)
		}
		if got.Code != 200 || head.Code != 200 || got.Body.Len() == 0 || head.Body.Len() != 0 ||
			got.Header().Get("Content-Type") != head.Header().Get("Content-Type") {
			t.Errorf("%s: %d %v, %d %v", path, got.Code, got.Header(), head.Code, head.Header())
		}
	}
}

// panics checks that the middlewares do not recover from the panic of a handler, and that
// nothing is left of it.
func (s *suite) panics(t *testing.T, http2, recovers bool) {
	t.Helper()
	h := newHost(t)
	alice := h.SignIn(t, "alice")
	front := Middleware{Kind: Require, Manager: h.Manager}
	if !s.NoDial {
		front.Revocation = sessions.Strict
	}
	app := s.Build(t, Group{
		Recover: recovers,
		Routes: []Route{
			{Path: "/me", With: []Middleware{front}, Handler: who},
			{Path: "/panic", With: []Middleware{
				front, {Kind: ForbidImpersonation}, {Kind: RequireRecent, MaxAge: 1 << 40},
			}, Handler: func(http.ResponseWriter, *http.Request) { panic("boom") }},
		},
		Groups: []Group{{Prefix: "/api", Mounts: []Mount{{Handler: sessions.NewHandler(h.Manager)}}}},
	})
	server := server(t, app, http2)
	as := bearer(token(alice))
	for range 3 {
		// Either the framework answers, or net/http breaks off.
		if w, _, err := s.fetch(t.Context(), server, http.MethodPost, "/panic", as); err == nil &&
			(!recovers || w.Code != http.StatusInternalServerError || ours(w)) {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		w, _, err := s.fetch(t.Context(), server, http.MethodGet, "/me", as)
		if err != nil {
			t.Fatal(err)
		}
		hold(t, w, http.MethodGet, "client||alice", false)
	}
	if w, _, err := s.fetch(t.Context(), server, http.MethodDelete, "/api/auth/sessions/current", as); err != nil ||
		w.Code != http.StatusOK {
		t.Errorf("%v %v", w, err)
	}
	if w, _, err := s.fetch(t.Context(), server, http.MethodPost, "/panic", as); err != nil ||
		w.Code != http.StatusUnauthorized {
		t.Errorf("%v %v", w, err)
	}
}

// hangsUp checks a client that disconnects while its session is looked up.
func (s *suite) hangsUp(t *testing.T, http2 bool, path string) {
	t.Helper()
	h := newHost(t)
	alice := h.SignIn(t, "alice")
	arrived, left := make(chan struct{}), make(chan struct{})
	h.Faults.Before = func(ctx context.Context, c sessionstest.Call) error {
		if c.Method != sessionstest.MethodGet || c.N != 1 {
			return nil
		}
		close(arrived)
		<-ctx.Done()
		close(left)
		return ctx.Err()
	}
	front := Middleware{Kind: Require, Manager: h.Manager, Revocation: sessions.Strict}
	var reached atomic.Int64
	app := s.Build(t, Group{
		Routes: []Route{
			{Path: "/me", With: []Middleware{
				front,
			}, Handler: func(w http.ResponseWriter, r *http.Request) { reached.Add(1); who(w, r) }},
		},
		Groups: []Group{{Prefix: "/api", Mounts: []Mount{{Handler: sessions.NewHandler(h.Manager)}}}},
	})
	if s.NoDial && path == "/me" { // which asks no store, so it is the API that waits
		path = "/api/auth/sessions/current"
	}
	server := server(t, app, http2)
	ctx, hangUp := context.WithCancel(t.Context())
	broken := make(chan error, 1)
	go func() {
		_, _, err := s.fetch(ctx, server, http.MethodGet, path, bearer(token(alice)))
		broken <- err
	}()
	<-arrived
	hangUp()
	<-left
	if err := <-broken; err == nil {
		t.Error("the client was answered")
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the handler ran %d times", n)
	}
	w, _, err := s.fetch(t.Context(), server, http.MethodGet, path, bearer(token(alice)))
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("%v %v", w, err)
	}
	if w, _, err := s.fetch(t.Context(), server, http.MethodDelete, "/api/auth/sessions/current",
		bearer(token(alice))); err != nil || w.Code != http.StatusOK {
		t.Errorf("%v %v", w, err)
	}
}

// manyAtATime checks that concurrent callers keep their identities.
func (s *suite) manyAtATime(t *testing.T, http2 bool) {
	t.Helper()
	h := newHost(t)
	front := Middleware{Kind: Optional, Manager: h.Manager}
	if !s.NoDial {
		front.Revocation = sessions.Strict
	}
	server := server(t, s.me(t, front), http2)
	who := map[string]string{
		"": "nobody", bearer(h.server): "server|backend|", bearer(h.admin): "admin|console|",
		bearer("x"): "401 UNPARSABLE_ACCESS_TOKEN",
		bearer(token(h.Impersonate(t, "root", "bob"))): "client||bob|acted by root",
	}
	for _, user := range []string{"alice", "bob", "root"} {
		who[bearer(token(h.SignIn(t, user)))] = "client||" + user
	}
	var wg sync.WaitGroup
	errs := make(chan error, 4*len(who))
	for range 4 {
		for header, want := range who {
			wg.Go(func() {
				for range 8 {
					w, _, err := s.fetch(t.Context(), server, http.MethodGet, "/me", header)
					if err == nil {
						hold(t, w, http.MethodGet, want, false)
						continue
					}
					errs <- fmt.Errorf("as %s: %w", want, err)
					return
				}
			})
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}
