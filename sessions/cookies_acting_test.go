package sessions_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

func TestAnImpersonationCountsWhileItsCookiesAreThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "alice"), s.Impersonate(t, "alice", "bob"))
	b.send(t, "GET", "/me").want(t, 200, "alice as bob", "")
	s.Clock.Advance(10 * time.Minute)
	b.send(t, "GET", "/me").want(t, 200, "alice as bob", bothSet+" +acting_access +acting_refresh")
	w := httptest.NewRecorder()
	s.ClearImpersonationCookies(w)
	b.take(w.Result())
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
}

// Whoever acts for longer than a session may be idle is still signed in afterwards.
func TestActingKeepsTheUsersOwnSession(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"on the way through": "", "by the page": "/auth/sessions/current"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *sessions.Config) { c.IdleTimeout, c.Cookies.RefreshPath = 20*time.Minute, path })
			alice := s.SignIn(t, "alice")
			b := s.browse(t, alice, s.Impersonate(t, "alice", "bob"))
			step := func(want string) {
				t.Helper()
				if path == "" {
					b.send(t, "POST", "/me").want(t, 200, "alice as bob", want)
				} else if got := b.send(t, "POST", "/auth/sessions/current/refresh"); got.status != 200 ||
					got.cookies != want {
					t.Fatalf("%d with cookies %q, want %q", got.status, got.cookies, want)
				}
			}
			const acting = "+acting_access +acting_refresh"
			for range 4 { // for 40 minutes
				s.Clock.Advance(10 * time.Minute)
				before := s.Faults.Calls(sessionstest.MethodRefresh)
				step(bothSet + " " + acting)
				if n := s.Faults.Calls(sessionstest.MethodRefresh) - before; n != 2 {
					t.Errorf("%d refreshes", n)
				}
				if path == "" {
					step("") // nothing has run out
				} else {
					step(acting)
				}
			}
			if got := b.send(t, "DELETE", "/auth/sessions/current"); got.status != 200 ||
				got.cookies != "-acting_access -acting_refresh" {
				t.Errorf("%d with cookies %q", got.status, got.cookies)
			}
			b.send(t, "GET", "/me").want(t, 200, "alice", "")
			if row, err := s.Get(t.Context(), alice.Grant.Session.ID); err != nil || !row.EndedAt.IsZero() {
				t.Errorf("%+v, %v", row, err)
			}
		})
	}
}

// The user's own tokens run out alone: nothing is done to the impersonation's.
func TestActingRefreshesOnlyWhatHasRunOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "alice"))
	s.Clock.Advance(9 * time.Minute)
	w := httptest.NewRecorder()
	if err := s.SetCookies(w, s.Impersonate(t, "alice", "bob").Grant); err != nil {
		t.Fatal(err)
	}
	b.take(w.Result())
	b.send(t, "GET", "/me").want(t, 200, "alice as bob", "")
	s.Clock.Advance(time.Minute)
	late := b.fork()
	b.send(t, "GET", "/open").want(t, 200, "alice as bob", bothSet)
	late.send(t, "GET", "/me").want(t, 200, "alice as bob", bothSet) // another of the same page
	b.send(t, "GET", "/me").want(t, 200, "alice as bob", "")
	// A request of another origin refreshes nothing.
	s.Clock.Advance(10 * time.Minute)
	b.send(t, "POST", "/me", header("Sec-Fetch-Site", "cross-site")).want(t, 403, "FORBIDDEN cross_origin", "")
	// Nor does a planted pair, which the user's own next request is refused for.
	twice := b.fork()
	twice.send(t, "GET", "/me", cookies(refreshCookie, "x")).want(t, 200, "alice as bob",
		"+acting_access +acting_refresh")
}

// A dead session of the user's own is cleared. The request is still done as the
// impersonation, or, if that depends on it, not at all; never as somebody else.
func TestActingFromASessionThatIsOver(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		asked bool // by the user, and not by a key
		fresh bool // the impersonation's access token
		want  string
		open  string
		did   string
	}{
		"it does not depend on it": {false, true, "alice as bob", "alice as bob", "-access -refresh"},
		"the same, and is refreshed": {
			false, false, "alice as bob", "alice as bob", "-access -refresh +acting_access +acting_refresh",
		},
		"it depends on it": {
			true, true, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "nobody",
			"-access -refresh -acting_access -acting_refresh",
		},
		"it depends on it, and would be refreshed": {
			true, false, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "nobody",
			"-access -refresh -acting_access -acting_refresh",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *sessions.Config) {
				c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
			})
			alice := s.SignIn(t, "alice")
			act := func() sessions.Grant {
				if !test.asked {
					return s.Impersonate(t, "alice", "bob").Grant
				}
				grant, err := s.Manager.Impersonate(t.Context(), alice.Identity(t), sessions.CreateParams{
					UserID: "bob",
				})
				if err != nil {
					t.Fatal(err)
				}
				return grant
			}
			if test.fresh {
				s.Clock.Advance(9 * time.Minute)
			}
			grant := act()
			b := s.browse(t, alice)
			w := httptest.NewRecorder()
			if err := s.SetCookies(w, grant); err != nil {
				t.Fatal(err)
			}
			b.take(w.Result())
			// Another process ends the user's own session.
			if _, err := s.Join(s.Faults).End(t.Context(), sessions.EndParams{ID: alice.Grant.Session.ID}); err != nil {
				t.Fatal(err)
			}
			if s.Clock.Advance(5 * time.Minute); !test.fresh {
				s.Clock.Advance(5 * time.Minute)
			}
			delete(b.jar, accessCookie) // as browsers do when it has run out
			open := b.fork()
			if got := b.send(t, "POST", "/me"); got.cookies != test.did || got.body != test.want &&
				got.code != test.want {
				t.Errorf("%d %q with cookies %q, want %q with %q", got.status, got.body, got.cookies,
					test.want, test.did)
			}
			if got := open.send(t, "POST", "/open"); got.body != test.open {
				t.Errorf("an optional route: %d %q", got.status, got.body)
			}
		})
	}
}

// One middleware inside another says what the outer one has said: a dead pair that it has
// cleared is not good again because its access token is.
func TestMiddlewaresInARowAgreeOnADeadImpersonation(t *testing.T) {
	t.Parallel()
	for name, needs := range map[string][]sessions.Need{
		"Require inside Optional":  {sessions.NeedNothing, sessions.NeedUser},
		"Optional inside Require":  {sessions.NeedUser, sessions.NeedNothing},
		"Optional inside Optional": {sessions.NeedNothing, sessions.NeedNothing},
	} {
		for _, depends := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", it depends on the user's session: ", depends), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *sessions.Config) {
					c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error { return nil }
				})
				s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for _, need := range needs {
						ctx, err := s.Admit(w, r, need, sessions.Stateless)
						if err != nil {
							sessions.WriteError(w, r, err)
							return
						}
						r = r.WithContext(ctx)
					}
					id, _ := sessions.FromContext(r.Context())
					_, _ = io.WriteString(w, id.Actor+" as "+id.UserID)
				})
				alice := s.SignIn(t, "alice")
				s.Clock.Advance(6 * time.Minute)
				grant := s.Impersonate(t, "alice", "bob").Grant
				if depends {
					var err error
					if grant, err = s.Manager.Impersonate(t.Context(), alice.Identity(t), sessions.CreateParams{
						UserID: "bob",
					}); err != nil {
						t.Fatal(err)
					}
				}
				b := s.browse(t, alice)
				w := httptest.NewRecorder()
				if err := s.SetCookies(w, grant); err != nil {
					t.Fatal(err)
				}
				b.take(w.Result())
				// Another process ends the user's own session, and its access token runs out.
				if _, err := s.Join(s.Faults).End(t.Context(), sessions.EndParams{
					ID: alice.Grant.Session.ID,
				}); err != nil {
					t.Fatal(err)
				}
				s.Clock.Advance(5 * time.Minute)
				switch {
				case !depends:
					b.send(t, "POST", "/").want(t, 200, "alice as bob", bothCleared)
				case slices.Contains(needs, sessions.NeedUser):
					b.send(t, "POST", "/").want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ended",
						bothCleared+" "+endOfActing)
				default:
					b.send(t, "POST", "/").want(t, 200, " as ", bothCleared+" "+endOfActing)
				}
			})
		}
	}
}

// That the user's own session cannot be refreshed now is no reason to refuse what the
// impersonation may do.
func TestActingWhileTheUsersOwnCannotBeRefreshed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	s.Clock.Advance(9 * time.Minute)
	b := s.browse(t, alice, s.Impersonate(t, "alice", "bob"))
	delete(b.jar, accessCookie)
	s.Clock.Advance(5 * time.Minute)
	s.Faults.Before = sessionstest.FailAt(sessionstest.MethodRefresh, 0, errAway)
	for range 2 {
		b.send(t, "POST", "/me").want(t, 200, "alice as bob", "")
	}
	s.SetUser(sessions.User{ID: "alice"}, sessions.ErrUserDisabled) // whose session is kept
	s.Faults.Before = nil
	b.send(t, "POST", "/me").want(t, 200, "alice as bob", "")
	s.SetUser(sessions.User{ID: "alice"}, nil)
	b.send(t, "POST", "/me").want(t, 200, "alice as bob", bothSet)
}

// The next request is the user's own; this one was meant for another.
func TestARequestOfADeadImpersonationIsNeverTheUsersOwn(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(t *testing.T, s *site, acting *sessionstest.SignedIn){
		"it has expired": func(_ *testing.T, s *site, _ *sessionstest.SignedIn) { s.Clock.Advance(time.Hour) },
		"it expired a week ago": func(_ *testing.T, s *site, _ *sessionstest.SignedIn) {
			s.Clock.Advance(7 * 24 * time.Hour)
		},
		"it is in its last 30 s": func(_ *testing.T, s *site, acting *sessionstest.SignedIn) {
			s.Clock.Advance(45 * time.Minute)
			s.refresh(t, acting.Grant.RefreshToken)
			s.Clock.Set(acting.Grant.Session.ExpiresAt.Add(-time.Second))
		},
		"it was ended": func(t *testing.T, s *site, acting *sessionstest.SignedIn) {
			t.Helper()
			if _, err := s.End(t.Context(), sessions.EndParams{
				ID: acting.Grant.Session.ID, Reason: sessions.EndRevoked,
			}); err != nil {
				t.Fatal(err)
			}
		},
		"it was pruned": func(t *testing.T, s *site, acting *sessionstest.SignedIn) {
			t.Helper()
			s.Clock.Advance(40 * 24 * time.Hour)
			if _, err := s.Prune(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, mode := range []string{"", "/auth/sessions/current"} {
			t.Run(name+", refresh path "+mode, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, func(c *sessions.Config) { c.Cookies.RefreshPath = mode })
				own, acting := s.SignIn(t, "alice"), s.Impersonate(t, "alice", "bob")
				b := s.browse(t, own, acting)
				die(t, s, acting)
				// The user's own cookies are good all the time.
				own.Grant = s.refresh(t, own.Grant.RefreshToken)
				for _, c := range own.Cookies(t) {
					c.Expires = s.Clock.Now().Add(time.Duration(c.MaxAge) * time.Second)
					b.jar[c.Name] = c
				}
				open := b.fork()
				cleared := endOfActing
				if mode != "" {
					cleared = "" // the middleware has not seen whether it can be refreshed
				}
				if got := b.send(t, "POST", "/me"); got.status != 401 || got.cookies != cleared {
					t.Errorf("%d %q with cookies %q", got.status, got.body, got.cookies)
				}
				if got := open.send(t, "GET", "/open"); got.body != "nobody" || got.cookies != cleared {
					t.Errorf("an optional route: %d %q with cookies %q", got.status, got.body, got.cookies)
				}
				if mode != "" {
					if got := b.send(t, "POST", "/auth/sessions/current/refresh"); got.status != 401 ||
						got.cookies != endOfActing {
						t.Errorf("refresh: %d with cookies %q", got.status, got.cookies)
					}
				}
				b.send(t, "POST", "/me").want(t, 200, "alice", "")
			})
		}
	}
}

// Its refresh cookie is gone, by eviction perhaps, and it hides the user's own session.
func TestAnImpersonationThatCannotRefreshGivesWayUnderRefreshPath(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *sessions.Config) { c.Cookies.RefreshPath = "/auth/sessions/current" })
	b := s.browse(t, s.SignIn(t, "alice"), s.Impersonate(t, "alice", "bob"))
	delete(b.jar, "__Secure-sessile_acting_refresh")
	s.Clock.Advance(time.Hour)
	b.send(t, "GET", "/me").want(t, 401, "ACCESS_TOKEN_EXPIRED", "")
	b.send(t, "POST", "/auth/sessions/current/refresh").want(t, 401,
		"REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED malformed", endOfActing)
	b.send(t, "POST", "/auth/sessions/current/refresh")
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
}
