package middlewaretest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// cookies checks cookie mode: the answer must have the cookies that the middlewares set,
// whoever writes it.
func (s *suite) cookies(t *testing.T) {
	newHost := func(t *testing.T) *host {
		t.Helper()
		return newHost(t, func(c *sessions.Config) { c.Cookies.Enabled = true })
	}
	app := func(t *testing.T, h *host) http.Handler {
		t.Helper()
		optional, require := Middleware{
			Kind: Optional, Manager: h.Manager,
		}, Middleware{Kind: Require, Manager: h.Manager}
		return s.Build(t, Group{
			Routes: []Route{
				{Path: "/me", With: []Middleware{require}, Handler: who},
				{Path: "/open", With: []Middleware{optional}, Handler: who},
				{Path: "/password", With: []Middleware{require, {Kind: ForbidImpersonation}}, Handler: who},
			},
			Groups: []Group{
				{Prefix: "/app", With: []Middleware{
					optional,
				}, Routes: []Route{{Path: "/me", With: []Middleware{require}, Handler: who}}},
				{Prefix: "/api", Mounts: []Mount{{Handler: sessions.NewHandler(h.Manager)}}},
			},
		})
	}
	const set, cleared = "+access +refresh", "-access -refresh"

	for _, path := range []string{"/me", "/open", "/app/me"} {
		s.run(t, "refreshed on the way to "+path, func(t *testing.T) {
			h := newHost(t)
			app, jar := app(t, h), jarOf(t, h.SignIn(t, "alice"))
			w := s.send(t, app, http.MethodGet, path, jar)
			hold(t, w, http.MethodGet, "client||alice", false)
			holdCookies(t, w, "")
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				h.Clock.Advance(20 * time.Minute)
				before := h.Faults.Calls(sessionstest.MethodRefresh)
				w := s.send(t, app, method, path, jar, "Sec-Fetch-Site: same-origin")
				hold(t, w, method, "client||alice", false)
				holdCookies(t, w, set)
				if n := h.Faults.Calls(sessionstest.MethodRefresh) - before; n != 1 {
					t.Errorf("%s: %d refreshes", method, n)
				}
				jar = adopt(w)
			}
		})
	}

	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		s.run(t, "over the wire/"+name, func(t *testing.T) {
			h := newHost(t)
			server, jar := server(t, app(t, h), http2), jarOf(t, h.SignIn(t, "alice"))
			h.Clock.Advance(20 * time.Minute)
			for _, test := range []struct{ path, jar, want, cookies string }{
				{"/me", jar, "client||alice", set},
				{"/me", "Cookie: __Host-sessile_refresh=x", "401 REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", cleared},
				{"/open", "Cookie: __Host-sessile_refresh=x", "nobody", cleared},
			} {
				w, _, err := s.fetch(t.Context(), server, http.MethodGet, test.path, test.jar)
				if err != nil {
					t.Fatal(err)
				}
				hold(t, w, http.MethodGet, test.want, false)
				holdCookies(t, w, test.cookies)
			}
		})
	}

	s.run(t, "another origin is refused", func(t *testing.T) {
		h := newHost(t)
		alice := h.SignIn(t, "alice")
		app, jar := app(t, h), jarOf(t, alice)
		for _, path := range []string{"/me", "/open", "/app/me", "/password"} {
			for _, origin := range []string{
				"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example",
				"Origin: null",
			} {
				w := s.send(t, app, http.MethodPost, path, jar, origin)
				holdRefusal(t, w, http.MethodPost, http.StatusForbidden,
					`{"code":"FORBIDDEN","error":"A request of another origin cannot change anything by `+
						`cookie.","details":{"reason":"cross_origin"}}`)
				holdCookies(t, w, "")
				hold(t, s.send(t, app, http.MethodGet, path, jar, origin), http.MethodGet, "client||alice", false)
				hold(t, s.send(t, app, http.MethodPost, path, bearer(token(alice)), origin), http.MethodPost,
					"client||alice", false)
			}
		}
	})

	s.run(t, "dead cookies are cleared", func(t *testing.T) {
		h := newHost(t)
		alice := h.SignIn(t, "alice")
		app, jar := app(t, h), jarOf(t, alice)
		if _, err := h.End(t.Context(), sessions.EndParams{ID: alice.Grant.Session.ID}); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{
			"/open": "nobody", "/me": "401 REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED",
			"/app/me": "401 REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED",
		} {
			w := s.send(t, app, http.MethodGet, path, jar)
			hold(t, w, http.MethodGet, want, false)
			holdCookies(t, w, cleared)
		}
	})

	// As the doc comment of Optional says in every adapter.
	s.run(t, "Optional lets dead cookies pass as nobody, and no dead header", func(t *testing.T) {
		h := newHost(t)
		ended, disabled := h.SignIn(t, "alice"), h.SignIn(t, "bob")
		app := app(t, h)
		if _, err := h.End(t.Context(), sessions.EndParams{ID: ended.Grant.Session.ID}); err != nil {
			t.Fatal(err)
		}
		h.SetUser(sessions.User{ID: "bob"}, sessions.ErrUserDisabled)
		h.Clock.Advance(20 * time.Minute)
		for _, test := range []struct{ name, credential, want, cookies string }{
			{"a cookie of an ended session", jarOf(t, ended), "nobody", cleared},
			{"a malformed cookie", "Cookie: __Host-sessile_refresh=x", "nobody", cleared},
			{"a cookie that may work again", jarOf(t, disabled), "nobody", ""},
			{"a header of an ended session", bearer(token(ended)), "401 ACCESS_TOKEN_EXPIRED", ""},
			{"a malformed header", bearer("x"), "401 UNPARSABLE_ACCESS_TOKEN", ""},
			{"a dead header next to a dead cookie", bearer("x") + "\n" + jarOf(t, ended),
				"401 UNPARSABLE_ACCESS_TOKEN", ""},
		} {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				w := s.send(
					t, app, method, "/open", append(strings.Split(test.credential, "\n"),
						"Sec-Fetch-Site: same-origin")...,
				)
				hold(t, w, method, test.want, false)
				holdCookies(t, w, test.cookies)
			}
		}
	})

	s.run(t, "an unknown answer clears nothing", func(t *testing.T) {
		h := newHost(t)
		app, jar := app(t, h), jarOf(t, h.SignIn(t, "alice"))
		h.Clock.Advance(20 * time.Minute)
		h.Faults.Before = sessionstest.FailAt(sessionstest.MethodRefresh, 0, errors.New("the database is away"))
		for _, path := range []string{"/me", "/open", "/app/me"} {
			w := s.send(t, app, http.MethodGet, path, jar)
			if w.Code != http.StatusServiceUnavailable || codeOf(w) != "TEMPORARILY_UNAVAILABLE" {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			holdCookies(t, w, "")
		}
	})

	s.run(t, "a header wins", func(t *testing.T) {
		h := newHost(t)
		app, jar := app(t, h), jarOf(t, h.SignIn(t, "alice"))
		for _, test := range []struct{ header, want string }{
			{bearer(token(h.SignIn(t, "bob"))), "client||bob"},
			{bearer("x"), "401 UNPARSABLE_ACCESS_TOKEN"},
			{bearer(h.server + "x"), "401 INVALID_SECRET_SERVER_KEY"},
			{"Authorization: Basic eDp5", "client||alice"},
		} {
			for _, path := range []string{"/me", "/open"} {
				w := s.send(t, app, http.MethodGet, path, jar, test.header)
				hold(t, w, http.MethodGet, test.want, false)
				holdCookies(t, w, "")
			}
		}
	})

	s.run(t, "an impersonation counts, and is guarded", func(t *testing.T) {
		h := newHost(t)
		app, jar := app(t, h), jarOf(t, h.SignIn(t, "bob"), h.Impersonate(t, "bob", "alice"))
		hold(t, s.send(t, app, http.MethodGet, "/me", jar), http.MethodGet, "client||alice|acted by bob", false)
		holdImpersonation(t, s.send(t, app, http.MethodPost, "/password", jar), http.MethodPost)
		h.Clock.Advance(2 * time.Hour)
		w := s.send(t, app, http.MethodPost, "/me", jar)
		hold(t, w, http.MethodPost, "401 REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", false)
		holdCookies(t, w, "+access +refresh -acting_access -acting_refresh")
	})

	for _, path := range []string{"/me", "/open", "/app/me"} {
		s.run(t, "the user's own are refreshed with an impersonation's on the way to "+path, func(t *testing.T) {
			h := newHost(t)
			app, jar := app(t, h), jarOf(t, h.SignIn(t, "bob"), h.Impersonate(t, "bob", "alice"))
			const want = "client||alice|acted by bob"
			for range 2 {
				h.Clock.Advance(20 * time.Minute)
				before := h.Faults.Calls(sessionstest.MethodRefresh)
				w := s.send(t, app, http.MethodPost, path, jar)
				hold(t, w, http.MethodPost, want, false)
				holdCookies(t, w, set+" +acting_access +acting_refresh")
				if n := h.Faults.Calls(sessionstest.MethodRefresh) - before; n != 2 {
					t.Errorf("%d refreshes", n)
				}
				jar = adopt(w)
				w = s.send(t, app, http.MethodPost, path, jar)
				hold(t, w, http.MethodPost, want, false)
				holdCookies(t, w, "")
			}
		})

		s.run(t, "a failure of the user's own session does not fail an impersonation on the way to "+path,
			func(t *testing.T) {
				h := newHost(t)
				bob := h.SignIn(t, "bob")
				h.Clock.Advance(9 * time.Minute)
				app, jar := app(t, h), jarOf(t, bob, h.Impersonate(t, "bob", "alice"))
				h.Clock.Advance(2 * time.Minute) // which has run out
				h.Faults.Before = sessionstest.FailAt(sessionstest.MethodRefresh, 0, errors.New("the database is away"))
				w := s.send(t, app, http.MethodPost, path, jar)
				hold(t, w, http.MethodPost, "client||alice|acted by bob", false)
				holdCookies(t, w, "")
				h.Faults.Before = nil
				if _, err := h.Join(h.Faults).End(t.Context(), sessions.EndParams{
					ID: bob.Grant.Session.ID,
				}); err != nil {
					t.Fatal(err)
				}
				w = s.send(t, app, http.MethodPost, path, jar)
				hold(t, w, http.MethodPost, "client||alice|acted by bob", false)
				holdCookies(t, w, cleared)
			})
	}

	s.run(t, "the endpoints under the router", func(t *testing.T) {
		h := newHost(t)
		app, jar := app(t, h), jarOf(t, h.SignIn(t, "alice"))
		h.Clock.Advance(20 * time.Minute)
		w := s.send(t, app, http.MethodPost, "/api/auth/sessions/current/refresh", jar)
		holdCookies(t, w, set)
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "_token") {
			t.Errorf("refresh: %d", w.Code)
		}
		jar = adopt(w)
		hold(t, s.send(t, app, http.MethodGet, "/me", jar), http.MethodGet, "client||alice", false)
		w = s.send(t, app, http.MethodDelete, "/api/auth/sessions/current", jar, "Sec-Fetch-Site: cross-site")
		holdCookies(t, w, "")
		if w.Code != http.StatusForbidden {
			t.Errorf("sign-out by another origin: %d %s", w.Code, w.Body)
		}
		w = s.send(t, app, http.MethodDelete, "/api/auth/sessions/current", jar)
		holdCookies(t, w, cleared)
		if w.Code != http.StatusOK || len(h.list(t)) != 0 {
			t.Errorf("sign-out: %d %s", w.Code, w.Body)
		}
	})
}

// jarOf is the Cookie header of a browser in which these are signed in.
func jarOf(t testing.TB, signedIn ...*sessionstest.SignedIn) string {
	t.Helper()
	var pairs []string
	for _, in := range signedIn {
		for _, c := range in.Cookies(t) {
			pairs = append(pairs, c.Name+"="+c.Value)
		}
	}
	return "Cookie: " + strings.Join(pairs, "; ")
}

// adopt is the Cookie header of a browser that has taken an answer.
func adopt(w *httptest.ResponseRecorder) string {
	var pairs []string
	for _, c := range w.Result().Cookies() {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return "Cookie: " + strings.Join(pairs, "; ")
}

// holdCookies holds what an answer does to cookies: "+access -refresh".
func holdCookies(t *testing.T, w *httptest.ResponseRecorder, want string) {
	t.Helper()
	var changes []string
	for _, c := range w.Result().Cookies() {
		sign := "+"
		if c.MaxAge < 0 {
			sign = "-"
		}
		changes = append(changes, sign+strings.TrimPrefix(c.Name, "__Host-sessile_"))
	}
	if got := strings.Join(changes, " "); got != want {
		t.Errorf("cookies %q, want %q", got, want)
	}
	if cc := w.Header().Get("Cache-Control"); want != "" && cc != "no-store" {
		t.Errorf("cookies were set with Cache-Control %q", cc)
	}
}
