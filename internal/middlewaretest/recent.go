package middlewaretest

import (
	"net/http"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// recent checks RequireRecent: routes for users who authenticated a moment ago.
func (s *suite) recent(t *testing.T) {
	const maxAge = 5 * time.Minute
	const tooOld = `{"code":"INSUFFICIENT_USER_AUTHENTICATION",` +
		`"error":"The user has to authenticate again.","details":{"max_age":300}}`
	const challenge = `Bearer realm="sessile", error="insufficient_user_authentication", ` +
		`error_description="The user has to authenticate again.", max_age="300"`

	for _, test := range []struct {
		name   string
		age    time.Duration
		passes bool
	}{
		{"at once", 0, true},
		{"just before the end", maxAge - time.Microsecond, true},
		{"exactly at the end", maxAge, true},
		{"just after the end", maxAge + time.Microsecond, false},
		{"a second after the end", maxAge + time.Second, false},
		// The clock of the replica that signed the user in was ahead.
		{"authenticated in the future", -time.Second, true},
	} {
		s.run(t, test.name, func(t *testing.T) {
			// Otherwise the token would not be valid yet.
			h := newHost(t, func(c *sessions.Config) { c.ClockSkew = time.Minute })
			as := bearer(token(h.SignIn(t, "alice")))
			app := s.me(t, Middleware{
				Kind: Require, Manager: h.Manager,
			}, Middleware{Kind: RequireRecent, MaxAge: maxAge})
			h.Clock.Advance(test.age)
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
				w := s.send(t, app, method, "/me", as)
				if test.passes {
					hold(t, w, method, "client||alice", false)
					continue
				}
				holdRefusal(t, w, method, http.StatusUnauthorized, tooOld)
				if got := w.Header().Get("Www-Authenticate"); got != challenge {
					t.Errorf("challenge %s", got)
				}
			}
		})
	}

	s.run(t, "max age is in whole seconds", func(t *testing.T) {
		h := newHost(t)
		as := bearer(token(h.SignIn(t, "alice")))
		app := s.me(t, Middleware{
			Kind: Require, Manager: h.Manager,
		}, Middleware{Kind: RequireRecent, MaxAge: 90*time.Second + 500*time.Millisecond})
		h.Clock.Advance(90*time.Second + 500*time.Millisecond)
		hold(t, s.send(t, app, http.MethodGet, "/me", as), http.MethodGet, "client||alice", false)
		h.Clock.Advance(time.Millisecond)
		w := s.send(t, app, http.MethodGet, "/me", as)
		holdRefusal(t, w, http.MethodGet, http.StatusUnauthorized,
			`{"code":"INSUFFICIENT_USER_AUTHENTICATION","error":"The user has to authenticate `+
				`again.","details":{"max_age":90}}`)
	})

	s.run(t, "a refresh makes nobody recent, authenticating does", func(t *testing.T) {
		h := newHost(t)
		alice := h.SignIn(t, "alice")
		app := s.me(t, Middleware{Kind: Require, Manager: h.Manager}, Middleware{Kind: RequireRecent, MaxAge: maxAge})
		h.Clock.Advance(maxAge + time.Second)
		refreshed, err := h.Refresh(t.Context(), alice.Grant.RefreshToken.Reveal(), sessions.Client{})
		if err != nil {
			t.Fatal(err)
		}
		w := s.send(t, app, http.MethodGet, "/me", bearer(refreshed.AccessToken.Reveal()))
		holdRefusal(t, w, http.MethodGet, http.StatusUnauthorized, tooOld)
		again, err := h.Reauthenticate(t.Context(), alice.Grant.Session.ID)
		if err != nil {
			t.Fatal(err)
		}
		w = s.send(t, app, http.MethodGet, "/me", bearer(again.AccessToken.Reveal()))
		hold(t, w, http.MethodGet, "client||alice", false)
	})

	h := newHost(t)
	callers := callersOf(t, h)
	for _, front := range []Kind{Require, Optional, RequireServer} {
		for _, c := range callers {
			s.run(t, "after "+string(front)+"/"+c.name, func(t *testing.T) {
				app := s.me(t, Middleware{
					Kind: front, Manager: h.Manager,
				}, Middleware{Kind: RequireRecent, MaxAge: maxAge})
				w := s.send(t, app, http.MethodGet, "/me", c.headers...)
				switch {
				case !c.admitted(front):
					if w.Code != 401 && w.Code != 400 {
						t.Errorf("%d %s", w.Code, w.Body)
					}
				case c.acts:
					holdImpersonation(t, w, http.MethodGet)
				case !c.require: // a key or a client without a user, or nobody
					if w.Code != http.StatusUnauthorized || codeOf(w) != "ACCESS_TYPE_REQUIRED" ||
						w.Header().Get("Www-Authenticate") != `Bearer realm="sessile"` {
						t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
					}
				case w.Code != http.StatusOK:
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
	}

	as := bearer(token(h.SignIn(t, "alice")))
	require := Middleware{Kind: Require, Manager: h.Manager}
	for name, test := range map[string]struct {
		message string
		with    []Middleware
	}{
		"no middleware in front":    {noMiddleware, []Middleware{{Kind: RequireRecent, MaxAge: maxAge}}},
		"in front of the wrong one": {noMiddleware, []Middleware{{Kind: RequireRecent, MaxAge: maxAge}, require}},
		"max age below a second":    {noMaxAge, []Middleware{require, {Kind: RequireRecent, MaxAge: time.Second - 1}}},
		"no max age":                {noMaxAge, []Middleware{require, {Kind: RequireRecent}}},
		"a negative max age":        {noMaxAge, []Middleware{require, {Kind: RequireRecent, MaxAge: -maxAge}}},
	} {
		s.run(t, name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				holdMiswired(t, s.send(t, s.me(t, test.with...), method, "/me", as), method, test.message)
			}
		})
	}

	// An identity of NewContext has no time of authentication.
	s.run(t, "after the host's own middleware", func(t *testing.T) {
		r := newRequest(t, http.MethodPost, "/me", "")
		r = r.WithContext(sessions.NewContext(r.Context(), sessions.Identity{UserID: "alice", AuthTime: h.Clock.Now()}))
		holdMiswired(t, s.serve(s.me(t, Middleware{Kind: RequireRecent, MaxAge: maxAge}), r),
			http.MethodPost, noManager)
	})
}
