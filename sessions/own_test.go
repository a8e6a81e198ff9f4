package sessions_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// family is what alice has: two sessions, and one in which bob acts as her.
type family struct {
	*sessionstest.Kit
	here, there, acting, stranger *sessionstest.SignedIn
}

func newFamily(t *testing.T, shown bool) *family {
	t.Helper()
	k := sessionstest.New(t, func(c *sessions.Config) { c.Impersonation.ShowToUser = shown })
	return &family{k, k.SignIn(t, "alice"), k.SignIn(t, "alice"), k.Impersonate(t, "bob", "alice"), k.SignIn(t, "bob")}
}

func id(s *sessionstest.SignedIn) string { return s.Grant.Session.ID }

func (f *family) live(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, user := range []string{"alice", "bob"} {
		list, err := f.List(t.Context(), user, sessions.ListOptions{Impersonations: true})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, idsOf(list.Sessions)...)
	}
	slices.Sort(ids)
	return ids
}

func idsOf(list []sessions.Session) []string {
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

func wantIDs(t *testing.T, what string, got []string, want ...*sessionstest.SignedIn) {
	t.Helper()
	var ids []string
	for _, s := range want {
		ids = append(ids, id(s))
	}
	slices.Sort(ids)
	got = slices.Clone(got)
	slices.Sort(got)
	if !slices.Equal(got, ids) {
		t.Errorf("%s: %v, want %v", what, got, ids)
	}
}

func TestACallerSeesAndEndsItsOwn(t *testing.T) {
	t.Parallel()
	for name, shown := range map[string]bool{"hidden": false, "shown": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFamily(t, shown)
			alice, acting := f.here.Identity(t), f.acting.Identity(t)
			see := func(caller sessions.Identity) []string {
				// What the caller asks for cannot widen what it sees.
				list, err := f.ListOwn(t.Context(), caller, sessions.ListOptions{Impersonations: true})
				if err != nil {
					t.Fatal(err)
				}
				return idsOf(list.Sessions)
			}
			mine := []*sessionstest.SignedIn{f.here, f.there}
			if shown {
				mine = append(mine, f.acting)
			}
			wantIDs(t, "alice sees", see(alice), mine...)
			wantIDs(t, "who acts as alice sees", see(acting), f.acting)

			all := f.live(t)
			for what, test := range map[string]struct {
				caller sessions.Identity
				id     string
				want   error
			}{
				"another user's":         {alice, id(f.stranger), sessions.ErrNotFound},
				"none":                   {alice, "0195e000-0000-7000-8000-000000000001", sessions.ErrNotFound},
				"no id":                  {alice, "me", sessions.ErrNotFound},
				"the current one":        {alice, id(f.here), sessions.ErrInvalidParams},
				"by an impersonation":    {acting, id(f.here), sessions.ErrNotFound},
				"an impersonation's own": {acting, id(f.acting), sessions.ErrInvalidParams},
				"by a key that names nobody": {
					sessions.Identity{Access: sessions.AccessServer}, id(f.here), sessions.ErrNoCredentials,
				},
			} {
				if _, err := f.EndOwn(t.Context(), test.caller, test.id); !errors.Is(err, test.want) {
					t.Errorf("end %s: %v, want %v", what, err, test.want)
				}
			}
			if _, err := f.EndOwn(t.Context(), alice, id(f.acting)); !shown && !errors.Is(err, sessions.ErrNotFound) ||
				shown && err != nil {
				t.Errorf("end an impersonation: %v", err)
			}
			if got := f.live(t); !shown && !slices.Equal(got, all) {
				t.Errorf("a refused end has ended something: %v of %v", got, all)
			}
			s, err := f.EndOwn(t.Context(), alice, id(f.there))
			if err != nil || s.EndReason != sessions.EndRevoked || s.EndedBy != "alice" {
				t.Errorf("end the other one: %+v, %v", s, err)
			}
		})
	}
}

func TestEndingOthersEndsWhatIsHiddenTooAndDoesNotTell(t *testing.T) {
	t.Parallel()
	for name, shown := range map[string]bool{"hidden": false, "shown": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFamily(t, shown)
			if _, err := f.EndOthers(t.Context(), f.acting.Identity(t)); !errors.Is(err,
				sessions.ErrImpersonationNotAllowed) {
				t.Errorf("by an impersonation: %v", err)
			}
			for what, caller := range map[string]sessions.Identity{
				"a key": {Access: sessions.AccessAdmin}, "a user without a session": {UserID: "alice"},
			} {
				if _, err := f.EndOthers(t.Context(), caller); !errors.Is(err, sessions.ErrNoCredentials) {
					t.Errorf("by %s: %v", what, err)
				}
			}
			wantIDs(t, "before", f.live(t), f.here, f.there, f.acting, f.stranger)
			told, err := f.EndOthers(t.Context(), f.here.Identity(t))
			if err != nil {
				t.Fatal(err)
			}
			if shown {
				wantIDs(t, "told of", idsOf(told), f.there, f.acting)
			} else {
				wantIDs(t, "told of", idsOf(told), f.there)
			}
			wantIDs(t, "after", f.live(t), f.here, f.stranger)
		})
	}
}

func TestSignOutIsByWhoActs(t *testing.T) {
	t.Parallel()
	f := newFamily(t, false)
	for by, s := range map[string]*sessionstest.SignedIn{"alice": f.here, "bob": f.acting} {
		caller := s.Identity(t)
		if s, err := f.SignOut(t.Context(), caller); err != nil || s.EndedBy != by {
			t.Fatal(s, err)
		}
		if got, err := f.Get(t.Context(), id(s)); err != nil || got.EndReason != sessions.EndSignedOut ||
			got.EndedBy != by {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := f.SignOut(t.Context(), caller); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("again: %v", err)
		}
	}
	wantIDs(t, "after", f.live(t), f.there, f.stranger)
	if _, err := f.SignOut(t.Context(), sessions.Identity{}); !errors.Is(err, sessions.ErrNoCredentials) {
		t.Errorf("nobody: %v", err)
	}
	f.Faults.Before = func(context.Context, sessionstest.Call) error { return errAway }
	if _, err := f.SignOut(t.Context(), f.there.Identity(t)); !errors.Is(err, sessions.ErrUnavailable) {
		t.Errorf("without a database: %v", err)
	}
}

func TestAHostLearnsTheClientAsTheAPIDoes(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t, func(c *sessions.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	r := httptest.NewRequest(http.MethodPost, "/sign-in", nil) // from 192.0.2.1
	r.Header.Set("X-Forwarded-For", "198.51.100.1, 203.0.113.7")
	r.Header.Set("User-Agent", "Browser/1.0")
	if got := k.RequestClient(r); got != (sessions.Client{IP: "203.0.113.7", UserAgent: "Browser/1.0"}) {
		t.Errorf("%+v", got)
	}
}

// What ListOwn returns may go to the user as it is.
func TestOwnSessionsSayNothingThatTheirUserIsNotToKnow(t *testing.T) {
	t.Parallel()
	k := sessionstest.New(t, func(c *sessions.Config) {
		c.Impersonation.ShowToUser, c.AccessTokenTTL = true, 24*time.Hour
	})
	grant := func(p sessions.CreateParams) sessions.Grant {
		g, err := k.Create(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	k.Clock.Advance(59 * time.Minute) // to 12:59
	alice := grant(sessions.CreateParams{UserID: "alice", By: "backend"})
	acting := grant(sessions.CreateParams{
		UserID: "alice", By: "backend", Impersonation: true, Actor: "bob", Reason: "suspected of fraud",
		TTL: 24 * time.Hour,
	})
	handed := grant(sessions.CreateParams{
		UserID: "alice", By: "backend", Impersonation: true, Actor: "bob", Reason: "suspected of fraud",
		TTL: 24 * time.Hour, Handoff: true,
	})
	identity := func(g sessions.Grant) sessions.Identity {
		caller, err := k.Verify(g.AccessToken.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		return caller
	}
	user, actor := identity(alice), identity(acting)
	began := k.Clock.Now()
	k.Clock.Advance(90 * time.Minute)
	if _, err := k.Refresh(t.Context(), alice.RefreshToken.Reveal(), sessions.Client{}); err != nil {
		t.Fatal(err)
	}
	check := func(what string, s sessions.Session, toActor bool) {
		t.Helper()
		used := began // not before it began
		if s.ID == alice.Session.ID {
			used = time.Date(2026, time.March, 1, 14, 0, 0, 0, time.UTC) // not 14:29
		}
		if s.CreatedBy != "" || s.HandoffHash != "" || !s.HandoffExpiresAt.IsZero() || s.ParentSessionID != "" ||
			!s.LastUsedAt.Equal(used) {
			t.Errorf("%s: %+v", what, s)
		}
		if told := s.Actor == "bob" && s.Reason == "suspected of fraud"; told != toActor ||
			!told && s.Actor+s.Reason != "" {
			t.Errorf("%s: actor %q, reason %q", what, s.Actor, s.Reason)
		}
	}
	for what, caller := range map[string]sessions.Identity{"the user's list": user, "the actor's list": actor} {
		list, err := k.ListOwn(t.Context(), caller, sessions.ListOptions{})
		if err != nil || len(list.Sessions) == 0 {
			t.Fatal(list, err)
		}
		for _, s := range list.Sessions {
			check(what, s, caller.Impersonation)
		}
	}
	ended, err := k.EndOwn(t.Context(), user, handed.Session.ID)
	if err != nil {
		t.Fatal(err)
	}
	check("EndOwn", ended, false)
	others, err := k.EndOthers(t.Context(), user)
	if err != nil || len(others) != 1 {
		t.Fatal(others, err)
	}
	check("EndOthers", others[0], false)
}
