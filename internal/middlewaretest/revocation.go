package middlewaretest

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// revocation checks how soon a route refuses the tokens of an ended session.
func (s *suite) revocation(t *testing.T) {
	// Signing out is refused at once in this process, on routes that ask no database.
	s.run(t, "signing out is refused at once", func(t *testing.T) {
		h := newHost(t)
		alice := h.SignIn(t, "alice")
		app := s.me(t, Middleware{Kind: Require, Manager: h.Manager, Revocation: sessions.Stateless})
		as := bearer(token(alice))
		if w := s.send(t, app, http.MethodGet, "/me", as); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w := s.send(t, sessions.NewHandler(h.Manager), http.MethodDelete, "/auth/sessions/current", as); w.Code !=
			http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if w := s.send(t, app, http.MethodGet, "/me", as); w.Code != http.StatusUnauthorized ||
			codeOf(w) != "ACCESS_TOKEN_EXPIRED" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if h.Faults.Calls(sessionstest.MethodGet) != 0 {
			t.Error("the database was asked")
		}
	})

	// A stateless route asks no database, and a strict one asks once. If that fails,
	// nobody passes.
	if !s.NoDial {
		s.run(t, "the dial", func(t *testing.T) {
			h := newHost(t)
			as := bearer(token(h.SignIn(t, "alice")))
			stateless := s.me(t, Middleware{Kind: Require, Manager: h.Manager, Revocation: sessions.Stateless})
			if w := s.send(t, stateless, http.MethodGet, "/me", as); w.Code != 200 ||
				h.Faults.Calls(sessionstest.MethodGet) != 0 {
				t.Errorf("stateless: %d, %d statements", w.Code, h.Faults.Calls(sessionstest.MethodGet))
			}
			strict := s.me(t, Middleware{Kind: Require, Manager: h.Manager, Revocation: sessions.Strict})
			if w := s.send(t, strict, http.MethodGet, "/me", as); w.Code != 200 ||
				h.Faults.Calls(sessionstest.MethodGet) != 1 {
				t.Errorf("strict: %d, %d statements", w.Code, h.Faults.Calls(sessionstest.MethodGet))
			}
			h.Faults.Before = sessionstest.FailAt(sessionstest.MethodGet, 0,
				errors.New("dial tcp db.internal:5432: connection refused"))
			w := s.send(t, strict, http.MethodGet, "/me", as)
			if w.Code != http.StatusServiceUnavailable || codeOf(w) != "TEMPORARILY_UNAVAILABLE" ||
				w.Header().Get("Retry-After") != "1" || strings.Contains(w.Body.String(), "internal:") {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			if !strings.Contains(h.log.String(), "connection refused") {
				t.Errorf("the log says nothing of it: %q", h.log.String())
			}
			if strings.Contains(h.log.String(), strings.TrimPrefix(as, bearer(""))) {
				t.Error("the log has the token")
			}
			h.Clock.Advance(time.Hour)
			if w := s.send(t, strict, http.MethodGet, "/me", as); w.Code != http.StatusUnauthorized {
				t.Errorf("expired, and yet the database was asked: %d", w.Code)
			}
		})
	}

	for _, kind := range []Kind{Require, RequireServer, Optional} {
		s.run(t, "without a manager nobody passes "+string(kind), func(t *testing.T) {
			w := s.send(t, s.me(t, Middleware{Kind: kind}), http.MethodGet, "/me", bearer("x"))
			if w.Code != http.StatusInternalServerError || codeOf(w) != "INTERNAL" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}

	// An impersonation is refused after the end of its parent: at once in the process
	// that ended it, with any dial.
	for name, dial := range s.dials() {
		s.run(t, "an impersonation whose actor has signed out, "+name, func(t *testing.T) {
			h := newHost(t)
			asked, actorsSession := h.asked(t)
			app := s.me(t, Middleware{
				Kind: Require, Manager: h.Manager, Revocation: dial,
			}, Middleware{Kind: ReadOnlyImpersonation})
			if w := s.send(t, app, http.MethodGet, "/me", bearer(asked)); w.Code != http.StatusOK {
				t.Fatalf("before: %d %s", w.Code, w.Body)
			}
			if _, err := h.End(t.Context(), sessions.EndParams{ID: actorsSession}); err != nil {
				t.Fatal(err)
			}
			if w := s.send(t, app, http.MethodGet, "/me", bearer(asked)); w.Code != http.StatusUnauthorized {
				t.Errorf("after: %d %s", w.Code, w.Body)
			}
		})
	}
}
