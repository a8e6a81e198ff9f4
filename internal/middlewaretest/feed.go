package middlewaretest

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// feed checks routes with sessions that another process has ended.
func (s *suite) feed(t *testing.T) {
	if !s.NoDial {
		for _, test := range []struct {
			name     string
			dial     sessions.Revocation
			watching bool
			status   int
		}{
			{"stateless", sessions.Stateless, true, http.StatusOK},
			{"bounded", sessions.Bounded, true, http.StatusUnauthorized},
			{"bounded without a feed, which falls back", sessions.Bounded, false, http.StatusUnauthorized},
			{"strict", sessions.Strict, false, http.StatusUnauthorized},
		} {
			s.run(t, "ended elsewhere, "+test.name, func(t *testing.T) {
				s.endedElsewhere(t, test.dial, test.watching, test.status)
			})
		}
		s.run(t, "bounded asks no database", func(t *testing.T) {
			h := newHost(t)
			watch(t, h.Manager)
			app := s.me(t, Middleware{Kind: Require, Manager: h.Manager, Revocation: sessions.Bounded})
			if w := s.send(t, app, http.MethodGet, "/me", bearer(token(h.SignIn(t, "alice")))); w.Code !=
				http.StatusOK || h.Faults.Calls(sessionstest.MethodGet) != 0 {
				t.Errorf("%d, %d statements", w.Code, h.Faults.Calls(sessionstest.MethodGet))
			}
		})
		for _, test := range []struct {
			name     string
			fallback sessions.Revocation
			status   int
		}{
			{"strict by default", sessions.DefaultRevocation, http.StatusServiceUnavailable},
			{"stateless", sessions.Stateless, http.StatusOK},
		} {
			s.run(t, "bounded without feed and database, "+test.name, func(t *testing.T) {
				h := newHost(t, func(c *sessions.Config) { c.RevocationFallback = test.fallback })
				app := s.me(t, Middleware{Kind: Require, Manager: h.Manager, Revocation: sessions.Bounded})
				as := bearer(token(h.SignIn(t, "alice")))
				h.Faults.Before = func(context.Context, sessionstest.Call) error {
					return errors.New("the database is away")
				}
				if w := s.send(t, app, http.MethodGet, "/me", as); w.Code != test.status {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
	}
	s.run(t, "ended elsewhere, by default with a feed", func(t *testing.T) {
		s.endedElsewhere(t, sessions.DefaultRevocation, true, http.StatusUnauthorized)
	})
	s.run(t, "ended elsewhere, by default without", func(t *testing.T) {
		s.endedElsewhere(t, sessions.DefaultRevocation, false, http.StatusOK)
	})

	// A handler of this framework has the context of the request, and flushed data arrives
	// before the request ends.
	s.run(t, "a stream is closed when its session ends", func(t *testing.T) {
		h := newHost(t)
		alice := h.SignIn(t, "alice")
		app := s.Build(t, Group{Routes: []Route{{
			Path: "/events",
			With: []Middleware{{Kind: Require, Manager: h.Manager}},
			Handler: func(w http.ResponseWriter, r *http.Request) {
				id, _ := sessions.FromContext(r.Context())
				ctx, cancel := h.Watch(r.Context(), id)
				defer cancel()
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), sessions.ErrExpired) {
					t.Errorf("the stream ends for %v", context.Cause(ctx))
				}
			},
		}}})
		server := server(t, app, false)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/events", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		addHeaders(r, []string{bearer(token(alice))})
		s.requests.Add(1)
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if _, err := h.End(t.Context(), sessions.EndParams{
			ID: alice.Grant.Session.ID, Reason: sessions.EndSignedOut, By: "alice",
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := response.Body.Read(make([]byte, 1)); err == nil {
			t.Error("the stream said something")
		}
	})
}

// endedElsewhere sends a route the token of a session that another process has ended.
func (s *suite) endedElsewhere(t *testing.T, dial sessions.Revocation, watching bool, status int) {
	t.Helper()
	h := newHost(t)
	alice := h.SignIn(t, "alice")
	elsewhere, err := sessions.New(h.Config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.End(t.Context(), sessions.EndParams{ID: alice.Grant.Session.ID}); err != nil {
		t.Fatal(err)
	}
	if watching {
		watch(t, h.Manager)
	}
	app := s.me(t, Middleware{Kind: Require, Manager: h.Manager, Revocation: dial})
	if w := s.send(t, app, http.MethodGet, "/me", bearer(token(alice))); w.Code != status {
		t.Errorf("%d %s, want %d", w.Code, w.Body, status)
	}
}

// watch starts the feed of m, and returns after its first poll.
func watch(t *testing.T, m *sessions.Manager) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { m.WatchRevocations(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	pause := time.NewTicker(time.Millisecond)
	defer pause.Stop()
	for !m.Health().FeedCurrent {
		<-pause.C
	}
}
