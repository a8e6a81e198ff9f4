package sessions_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// Optional in front of all routes and Require in front of some is one refresh.
func TestMiddlewaresInARowRefreshOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, need := range []sessions.Need{sessions.NeedNothing, sessions.NeedUser} {
			for _, dial := range []sessions.Revocation{sessions.Stateless, sessions.Strict} {
				ctx, err := s.Admit(w, r, need, dial)
				if err != nil {
					sessions.WriteError(w, r, err)
					return
				}
				r = r.WithContext(ctx)
			}
		}
		id, _ := sessions.FromContext(r.Context())
		_, _ = io.WriteString(w, id.UserID)
	})
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)
	for n := range 3 {
		s.Clock.Advance(time.Hour)
		b.send(t, "GET", "/").want(t, 200, "alice", bothSet)
		if got := s.Faults.Calls(sessionstest.MethodRefresh); got != n+1 {
			t.Errorf("%d refreshes for %d requests", got, n+1)
		}
	}
	if _, err := s.End(t.Context(), sessions.EndParams{ID: alice.Grant.Session.ID}); err != nil {
		t.Fatal(err)
	}
	b.send(t, "GET", "/").want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ended", bothCleared)
}

// A strict route looks the session up once, after a refresh on the way through, too. If that look-up fails, the route
// does not trust the refresh: the session may have ended since.
func TestAStrictRouteLooksUpARefreshedSessionOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.Admit(w, r, sessions.NeedUser, sessions.Strict); err != nil {
			sessions.WriteError(w, r, err)
			return
		}
		_, _ = io.WriteString(w, "in")
	})
	b := s.browse(t, s.SignIn(t, "alice"))
	s.Clock.Advance(time.Hour)
	before := s.Faults.Calls(sessionstest.MethodGet)
	b.send(t, "GET", "/").want(t, 200, "in", bothSet)
	if n := s.Faults.Calls(sessionstest.MethodGet) - before; n != 1 {
		t.Errorf("%d look-ups", n)
	}
	s.Clock.Advance(time.Hour)
	s.Faults.Before = sessionstest.FailAt(sessionstest.MethodGet, 0, errAway)
	b.send(t, "GET", "/").want(t, 503, "TEMPORARILY_UNAVAILABLE", bothSet)
}

func TestUnderRefreshPathOnlyTheEndpointRefreshes(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *sessions.Config) { c.Cookies.RefreshPath = "/auth/sessions/current" })
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)
	b.send(t, "GET", "/me").want(t, 200, "alice", "")

	s.Clock.Advance(10 * time.Minute)
	stale := cookies(accessCookie, alice.Grant.AccessToken.Reveal())
	b.send(t, "GET", "/me", stale).want(t, 401, "ACCESS_TOKEN_EXPIRED", "")
	b.send(t, "GET", "/me").want(t, 401, "ACCESS_TYPE_REQUIRED", "")
	b.send(t, "GET", "/open", stale).want(t, 200, "nobody", "")
	// Below the path, to which browsers send the refresh cookie, too.
	b.send(t, "GET", "/auth/sessions/current").want(t, 401, "ACCESS_TYPE_REQUIRED", "")
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 0 {
		t.Errorf("%d refreshes", n)
	}
	got := b.send(t, "POST", "/auth/sessions/current/refresh")
	got.hasNoToken(t)
	if got.status != 200 || got.cookies != bothSet {
		t.Errorf("refresh: %d with cookies %q", got.status, got.cookies)
	}
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
	s.Clock.Advance(10 * time.Minute)
	if got := b.send(t, "DELETE", "/auth/sessions/current"); got.status != 200 || len(b.jar) != 0 {
		t.Errorf("sign-out by the refresh cookie: %d, %d cookies left", got.status, len(b.jar))
	}
}

// hold makes a gate before the store's refreshes. It stays shut until open is called.
func (s *site) hold() (open func()) {
	gate := make(chan struct{})
	s.Faults.Before = func(ctx context.Context, c sessionstest.Call) error {
		if c.Method != sessionstest.MethodRefresh {
			return nil
		}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return sync.OnceFunc(func() { close(gate) })
}

func TestConcurrentRequestsShareOneRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // which also fails if a goroutine is left
		s := newSite(t)
		b := s.browse(t, s.SignIn(t, "alice"))
		s.Clock.Advance(time.Hour)
		open := s.hold()

		first, hangUp := context.WithCancel(t.Context())
		impatient, giveUp := context.WithCancel(t.Context())
		tabs := make([]*browser, 20)
		answers := make([]reply, len(tabs))
		var all sync.WaitGroup
		for i := range tabs {
			tabs[i] = b.fork()
			all.Go(func() {
				path := []string{"/me", "/open", "/auth/sessions?user_id=me"}[i%3]
				answers[i] = tabs[i].send(t, "GET", path, func(r *http.Request) {
					switch i {
					case 0:
						*r = *r.WithContext(first)
					case 1:
						*r = *r.WithContext(impatient)
					}
				})
			})
			synctest.Wait() // so the first tab is the one that refreshes
		}
		hangUp()
		giveUp()
		synctest.Wait()
		answers[1].want(t, 503, "TEMPORARILY_UNAVAILABLE", "")
		open()
		all.Wait()

		for i, got := range answers {
			if i != 1 && (got.status != 200 || got.cookies != bothSet) {
				t.Errorf("request %d: %d %s with cookies %q", i, got.status, got.code, got.cookies)
			}
			if i > 1 && (tabs[i].jar[refreshCookie].Value != tabs[0].jar[refreshCookie].Value ||
				tabs[i].jar[accessCookie].Value != tabs[0].jar[accessCookie].Value) {
				t.Errorf("request %d got other cookies", i)
			}
		}
		if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 1 {
			t.Errorf("%d refreshes reached the store, want 1", n)
		}
		tabs[0].send(t, "GET", "/me").want(t, 200, "alice", "")
		s.Clock.Advance(time.Hour)
		tabs[0].send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	})
}

func TestRefreshesOfDifferentBrowsersDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		alice, bob := s.browse(t, s.SignIn(t, "alice")), s.browse(t, s.SignIn(t, "bob"))
		s.Clock.Advance(time.Hour)
		open := s.hold()
		var answers [2]reply
		var all sync.WaitGroup
		for i, b := range []*browser{alice, bob} {
			all.Go(func() { answers[i] = b.send(t, "GET", "/me") })
		}
		synctest.Wait()
		open()
		all.Wait()
		answers[0].want(t, 200, "alice", bothSet)
		answers[1].want(t, 200, "bob", bothSet)
	})
}

func TestAPanickingHookDoesNotHangTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var panics bool
		s := newSite(t, func(c *sessions.Config) {
			users := c.Users
			c.Users = func(ctx context.Context, id string) (sessions.User, error) {
				if panics {
					panics = false
					panic("a bug of the host")
				}
				return users(ctx, id)
			}
		})
		b := s.browse(t, s.SignIn(t, "alice"))
		s.Clock.Advance(time.Hour)
		open := s.hold()
		panics = true

		answers := make([]reply, 5)
		recovered := make([]any, len(answers))
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				defer func() { recovered[i] = recover() }()
				answers[i] = b.fork().send(t, "GET", "/me")
			})
			synctest.Wait()
		}
		open()
		all.Wait()
		if recovered[0] != "a bug of the host" {
			t.Errorf("the panic came to %v", recovered)
		}
		for _, got := range answers[1:] {
			got.want(t, 503, "TEMPORARILY_UNAVAILABLE", "")
		}
		b.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	})
}

func TestTwoReplicasGiveTheSameSuccessor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		here := s.browse(t, s.SignIn(t, "alice"))
		s.Clock.Advance(time.Hour)
		there := here.fork()
		there.site = s.replica(t)
		open := s.hold()
		var answers [2]reply
		var all sync.WaitGroup
		for i, b := range []*browser{here, there} {
			all.Go(func() { answers[i] = b.send(t, "GET", "/me") })
		}
		synctest.Wait()
		if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 2 {
			t.Fatalf("%d refreshes, want one of each replica", n)
		}
		open()
		all.Wait()
		answers[0].want(t, 200, "alice", bothSet)
		answers[1].want(t, 200, "alice", bothSet)
		if here.jar[refreshCookie].Value != there.jar[refreshCookie].Value {
			t.Error("two successors")
		}
		s.Clock.Advance(time.Hour)
		there.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	})
}

func TestALostAnswerSignsNobodyOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "alice"))
	s.Clock.Advance(time.Hour)
	lost := b.fork()
	lost.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	s.TakeEvents()

	s.Clock.Advance(time.Second) // within the overlap
	again := b.fork()
	again.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	if again.jar[refreshCookie].Value != lost.jar[refreshCookie].Value {
		t.Error("within the overlap it is another successor")
	}
	s.Clock.Advance(time.Hour)
	b.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
	var types []sessions.EventType
	for _, e := range s.TakeEvents() {
		types = append(types, e.Type)
	}
	equalTypes(t, types, sessions.EventOverlap, sessions.EventRecovered)
}

func TestWhatCannotBeToldClearsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "alice"), s.Impersonate(t, "alice", "bob"))
	s.Clock.Advance(10 * time.Minute)
	for _, m := range []sessionstest.Method{sessionstest.MethodRefresh, sessionstest.MethodGet} {
		s.Faults.Before = sessionstest.FailAt(m, 0, errAway)
		set := ""
		if m == sessionstest.MethodGet { // why it is refused
			s.Clock.Advance(time.Hour)
			set = bothSet // the user's own, which had run out, too
		}
		b.send(t, "GET", "/me").want(t, 503, "TEMPORARILY_UNAVAILABLE", set)
		b.send(t, "GET", "/open").want(t, 503, "TEMPORARILY_UNAVAILABLE", "")
	}
	s.Faults.Before = nil
	b.send(t, "GET", "/me").want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED expired", endOfActing)
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
}

// A good access token that could not be looked up is no reason to refresh.
func TestALookupThatFailsRefreshesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "alice"))
	s.Faults.Before = sessionstest.FailAt(sessionstest.MethodGet, 0, errAway)
	b.send(t, "GET", "/auth/sessions/current").want(t, 503, "TEMPORARILY_UNAVAILABLE", "")
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 0 {
		t.Errorf("%d refreshes", n)
	}
}

// A request that was on its way when the user authenticated again is answered after
// the new cookies are set.
func TestAReplacedSessionDoesNotClearTheCookiesOfTheNextOne(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)
	late := b.fork()
	grant, err := s.Reauthenticate(t.Context(), alice.Grant.Session.ID)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := s.SetCookies(w, grant); err != nil {
		t.Fatal(err)
	}
	b.take(w.Result())
	late.send(t, "GET", "/me").want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ended", "")
	late.send(t, "GET", "/open").want(t, 200, "nobody", "")
	b.send(t, "GET", "/me").want(t, 200, "alice", "")
}

// The answer of a request that took its time must not put the cookies of a dead
// session over those that the browser has got meanwhile.
func TestASessionThatEndsWhileItIsRefreshedSetsNoCookies(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]func(t *testing.T, s *site, b *browser, id string){
		"ended": func(t *testing.T, s *site, _ *browser, id string) {
			t.Helper()
			if _, err := s.End(t.Context(), sessions.EndParams{ID: id}); err != nil {
				t.Error(err)
			}
		},
		"replaced": func(t *testing.T, s *site, b *browser, id string) {
			t.Helper()
			replace(t, s.Manager, b, id)
		},
		"replaced by another replica": func(t *testing.T, s *site, b *browser, id string) {
			t.Helper()
			replace(t, mustNew(t, s.Config), b, id)
		},
	} {
		for path, want := range map[string]reply{
			"/me":                            {status: 401, code: "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ended"},
			"/open":                          {status: 200, body: "nobody"},
			"/auth/sessions/current/refresh": {status: 401, code: "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED ended"},
		} {
			t.Run(name+path, func(t *testing.T) {
				t.Parallel()
				var during func()
				s := newSite(t, func(c *sessions.Config) {
					lookup := c.Users
					c.Users = func(ctx context.Context, id string) (sessions.User, error) {
						if f := during; f != nil { // the refresh is committed, and not answered
							during = nil
							f()
						}
						return lookup(ctx, id)
					}
				})
				alice := s.SignIn(t, "alice")
				b := s.browse(t, alice)
				s.Clock.Advance(time.Hour)
				during = func() { die(t, s, b, alice.Grant.Session.ID) }
				method := "GET"
				if strings.HasSuffix(path, "/refresh") {
					method = "POST"
				}
				b.send(t, method, path).want(t, want.status, want.body+want.code, "")
				if name != "ended" {
					b.send(t, "GET", "/me").want(t, 200, "alice", "")
				}
			})
		}
	}
}

// replace is step-up by m, whose answer reaches the browser at once.
func replace(t *testing.T, m *sessions.Manager, b *browser, id string) {
	t.Helper()
	grant, err := m.Reauthenticate(t.Context(), id)
	if err != nil {
		t.Error(err)
		return
	}
	w := httptest.NewRecorder()
	if err := m.SetCookies(w, grant); err != nil {
		t.Error(err)
	}
	b.take(w.Result())
}

// A refresh may take longer than an access token lives: the next request goes on
// with the tokens of this one.
func TestASlowRefreshIsNotLost(t *testing.T) {
	t.Parallel()
	var slow time.Duration
	var s *site
	s = newSite(t, func(c *sessions.Config) {
		lookup := c.Users
		c.AccessTokenTTL, c.Rotation.MaxRecoveries = 10*time.Second, sessions.NoRecovery
		c.Users = func(ctx context.Context, id string) (sessions.User, error) {
			if slow > 0 {
				s.Clock.Advance(slow)
			}
			return lookup(ctx, id)
		}
	})
	b := s.browse(t, s.SignIn(t, "alice"))
	s.Clock.Advance(time.Hour)
	slow = 11 * time.Second
	b.send(t, "GET", "/me").want(t, 401, "ACCESS_TOKEN_EXPIRED", bothSet)
	slow = 0
	b.send(t, "GET", "/me").want(t, 200, "alice", bothSet)
}

// What reads why a session ended may fail, which is no proof that it ended for good.
func TestAReplacementThatCannotBeToldClearsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alice := s.SignIn(t, "alice")
	b := s.browse(t, alice)
	if _, err := s.Reauthenticate(t.Context(), alice.Grant.Session.ID); err != nil {
		t.Fatal(err)
	}
	s.Faults.Before = sessionstest.FailAt(sessionstest.MethodGet, 0, errAway)
	b.send(t, "GET", "/me").want(t, 503, "TEMPORARILY_UNAVAILABLE", "")
}

// Bearer wins, which at this endpoint means that there is no refresh token.
func TestTheRefreshEndpointReadsNoCookiesBesideABearer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browse(t, s.SignIn(t, "bob"))
	for _, authorization := range []string{s.SignIn(t, "alice").Header().Get("Authorization"), "Bearer junk"} {
		b.send(t, "POST", "/auth/sessions/current/refresh", header("Authorization", authorization)).want(t, 400,
			"SCHEMA_ERROR", "")
	}
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 0 {
		t.Errorf("%d refreshes", n)
	}
	b.send(t, "POST", "/auth/sessions/current/refresh", header("Authorization", "Basic dXNlcjpwYXNz"))
	if n := s.Faults.Calls(sessionstest.MethodRefresh); n != 1 {
		t.Errorf("%d refreshes beside a password of the staging site", n)
	}
}
